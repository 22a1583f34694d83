"""What an honest implementation may answer: from the case's numbers alone, or step by step from its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case, run
from ..numbers import (
    CHANNELS,
    FLOAT64,
    LAMBDA,
    NUMPY,
    PROFILES,
    RANDOM,
    SYSTEMATIC,
    TRUTH,
    WORST,
    Arithmetic,
    Bounded,
    BoundedArithmetic,
    Enclosure,
    Kernels,
    Precision,
    Profile,
    enclosures,
    enclosures_in_pairs,
)
from .observation import Place, computed
from .stepwise import Evidence, stepwise

Array = NDArray[np.float64]

CERTAIN = 1 / 1000  # of its tolerance is as far as an element's truth may be uncertain
OUR_SHARE = 16  # times an implementation's error is our own at most: (n + 8)u of n terms, against nu
FASTER_IN_BALLS, LARGEST_IN_BALLS = 1e6, 1e8  # multiplications; in between balls are for what pairs cannot tell


@dataclass(frozen=True, eq=False)
class Expected:
    """What one array may be. Arrays have its shape or broadcast to it.

    value, remainder: the exact result as the sum of two doubles, up to `uncertainty`
    worst: an honest implementation is at most this far from the exact result; ∞ where nothing can be said
    systematic, random: the parts of it that the statistical bound is made of (see `bounded.py`); None from end to end
    axis: along which random errors are shared (see `Steps.axes`)
    unit_roundoff: of the format that numbers are stored in
    """

    value: Array
    remainder: Array
    uncertainty: Array
    worst: Array
    systematic: Array | None = None
    random: Array | None = None
    axis: int | None = None
    unit_roundoff: float = FLOAT64.unit_roundoff

    @property
    def tolerance(self) -> Array:
        """An honest number x̂ satisfies |x̂ − value − remainder| ≤ tolerance."""
        tolerance = self.worst + self.uncertainty
        return tolerance if tolerance.shape == self.value.shape else np.broadcast_to(tolerance, self.value.shape)

    @property
    def likely(self) -> Array:
        """The same, but for a probability that the budget of false alarms allows; at most `tolerance`."""
        if self.systematic is None or self.random is None:
            return self.tolerance
        return np.minimum(self.tolerance, self.systematic + LAMBDA * self.random + self.uncertainty)

    def known_up_to(self, error: Array | None) -> Expected:
        """What may be expected of numbers that are themselves known up to `error` only."""
        return self if error is None else replace(self, uncertainty=self.uncertainty + error)

    def rows(self, part: slice) -> Expected:
        """Some of the rows."""

        def cut(array: Array) -> Array:
            return array[part] if array.ndim and len(array) == len(self.value) else array

        return Expected(
            value=cut(self.value),
            remainder=cut(self.remainder),
            uncertainty=cut(self.uncertainty),
            worst=cut(self.worst),
            systematic=None if self.systematic is None else cut(self.systematic),
            random=None if self.random is None else cut(self.random),
            axis=self.axis,
            unit_roundoff=self.unit_roundoff,
        )


def expectations(case: Case, precision: Precision | Profile, kernels: Kernels = NUMPY) -> dict[Place, Expected]:
    """What every honest implementation in this precision may answer to the case, from the case's numbers alone."""
    bounds = computed(run(case, BoundedArithmetic(precision, kernels=kernels)))
    truth = truth_of(case, _profile(precision), bounds, kernels)
    return {place: _expected(bound, truth[place], share=OUR_SHARE) for place, bound in bounds.items()}


def truth_of(
    case: Case, profile: Profile, bounds: Mapping[Place, Bounded] | None = None, kernels: Kernels = NUMPY
) -> dict[Place, Enclosure]:
    """The exact results of a case, each to a thousandth of its tolerance from end to end.

    For formats narrower than float64, float64 with error bounds encloses them at the speed of BLAS, for float64 so do
    pairs of doubles; small cases, and what stays too wide, are computed in balls.
    bounds: the case run on `BoundedArithmetic(profile)`, if that has been done
    """
    bounds = bounds or computed(run(case, BoundedArithmetic(profile)))
    if profile.storage is not FLOAT64:
        enclosed = {place: _by_value(bound) for place, bound in bounds.items()}
        if _multiplications(case) > LARGEST_IN_BALLS or all(
            _certain(enclosed[place], bound).all() for place, bound in bounds.items()
        ):
            return enclosed
    return _enclosures(case, bounds, lambda ar: computed(run(case, ar)), kernels)


def _enclosures(
    case: Case, bounds: Mapping[Place, Bounded], compute: Callable[[Arithmetic], Mapping[Place, Any]], kernels: Kernels
) -> dict[Place, Enclosure]:
    """In pairs of doubles where there is much to compute; in balls where there is little, or pairs are not enough.

    What is computed with kernels that give the same bits everywhere is in balls, whose bits do not depend on BLAS.
    """
    radii = {place: CERTAIN * bound.errors[WORST] for place, bound in bounds.items()}
    if kernels is NUMPY and _multiplications(case) > FASTER_IN_BALLS:
        enclosed, certain = enclosures_in_pairs(compute, radii)
        if certain or _multiplications(case) > LARGEST_IN_BALLS:
            return enclosed
    return enclosures(compute, radii)


def _by_value(bound: Bounded) -> Enclosure:
    radius = np.broadcast_to(bound.errors[TRUTH], bound.value.shape)
    return Enclosure(bound.value, np.zeros(()), radius)


def _certain(enclosure: Enclosure, bound: Bounded) -> NDArray[np.bool_]:
    certain: NDArray[np.bool_] = enclosure.radius <= CERTAIN * bound.errors[WORST]
    return certain


def _multiplications(case: Case) -> float:
    return 3.0 * case.batch * sum(a * b for a, b in pairwise(case.sizes))


def _profile(precision: Precision | Profile) -> Profile:
    return precision if isinstance(precision, Profile) else PROFILES[precision.name]


def step_expectations(
    case: Case, profile: Profile, seen: Evidence, rules: Rules = RULES, places: Collection[Place] | None = None
) -> dict[Place, Expected]:
    """What each step may give, from the numbers that the implementation was seen to have before it.

    places: those asked for; None for all
    """
    if case.online:
        return _online_expectations(case, profile, rules)
    channels = len(CHANNELS) if seen else WORST + 1  # from end to end, roundings are shared by all later elements
    loss = places is None or Place("loss", None) in places
    steps = stepwise(case, BoundedArithmetic(profile, channels), seen, rules, loss=loss)
    bounds = steps.expected
    wanted = bounds if places is None else {place: bounds[place] for place in places}
    if profile.storage is not FLOAT64 or not all(np.isfinite(s.value).all() for s in seen.values()):
        return {place: _expected(bound, None, steps.axes.get(place)) for place, bound in wanted.items()}

    def compute(ar: Arithmetic) -> dict[Place, Any]:
        return stepwise(case, ar, steps.used, rules, bounds, loss).expected

    truth = _enclosures(case, wanted, compute, NUMPY)
    return {place: _expected(bound, truth[place], steps.axes.get(place)) for place, bound in wanted.items()}


def _online_expectations(case: Case, profile: Profile, rules: Rules) -> dict[Place, Expected]:
    """From end to end, over all samples."""
    bounds = computed(run(case, BoundedArithmetic(profile), rules))
    exactly = profile.storage is FLOAT64
    truth = _enclosures(case, bounds, lambda ar: computed(run(case, ar, rules)), NUMPY) if exactly else {}
    return {place: _expected(bound, truth.get(place)) for place, bound in bounds.items()}


def around_own_value(bound: Bounded) -> Expected:
    """What may be expected where nothing but the bound itself is known of the exact result."""
    return _expected(bound, None)


def _expected(bound: Bounded, truth: Enclosure | None, axis: int | None = None, share: float = math.inf) -> Expected:
    """Around the truth, or, where the bound's own value is known as well (at a kink, or without balls), around that.

    share: what the bound's own uncertainty can be at most, in units of `worst`, unless the exact result is a set
    """
    worst, ours = bound.errors[WORST], bound.errors[TRUTH]
    systematic, random = (
        (bound.errors[SYSTEMATIC], bound.errors[RANDOM]) if len(bound.errors) > RANDOM else (None, None)
    )
    value, remainder, uncertainty = bound.value, np.zeros((1, 1)), ours
    if truth is not None:
        better = (truth.radius <= np.maximum(CERTAIN * worst, ours)) & (ours <= share * worst)
        if better.all():
            value, remainder, uncertainty = truth.high, truth.low, truth.radius
        else:
            value, remainder = np.where(better, truth.high, bound.value), np.where(better, truth.low, 0.0)
            uncertainty = np.where(better, truth.radius, ours)
    unit = bound.model.profile.storage.unit_roundoff
    return Expected(value, remainder, uncertainty, worst, systematic, random, axis, unit)
