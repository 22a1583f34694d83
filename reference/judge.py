"""The judge: are the observed numbers such as an honest implementation may get?

`wrong` claims that a number lies outside the bound of every algorithm of this class: each sum of products by ordinary
additions and multiplications in any order (FMA, blocked, parallel and compensated included), each elementary function
within its stated ulps, derivatives by the natural formulas, in the stated precision. Strassen-like or FFT products,
numerical differentiation and approximated activations are outside the class.

Bounds are worst-case and end to end: from the case's numbers to the element that is judged. They grow with depth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounded import Bounded, BoundedArithmetic
from .case import Case, run
from .certified import certified
from .observation import Observation, Place, computed, differences, observed
from .precision import PRECISIONS, Precision

Array = NDArray[np.float64]

SHOWN = 8  # elements of one array that a judgement keeps in full, the worst first


class Verdict(Enum):
    """AGREES: inside the bound. WRONG: outside it. UNDECIDED: the bound is too wide here to refuse anything."""

    AGREES = "agrees"
    UNDECIDED = "undecided"
    WRONG = "wrong"


class UnusableAnswer(Exception):
    """An implementation answered with something that cannot be judged. The message says what and where."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What one array may be. All arrays have its shape.

    value, tolerance: an honest number x̂ satisfies |x̂ − value| ≤ tolerance; tolerance is ∞ where nothing can be said
    truth, truth_remainder: the exact result as the sum of two doubles; NaN where it is a set (a kink)
    """

    value: Array
    tolerance: Array
    truth: Array
    truth_remainder: Array


@dataclass(frozen=True)
class Element:
    """One number that was judged: where in its array, what was expected and what came."""

    index: tuple[int, ...]
    expected: float
    got: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """Error over tolerance; above 1 is wrong. Infinite for NaN."""
        return float(_ratios(np.array(self.got), np.array(self.expected), np.array(self.tolerance)))


@dataclass(frozen=True)
class Comparison:
    """One array compared.

    largest_ulps: the largest error, in ulps of the array's largest element (so that cancelled elements do not drown
        the rest); None where no element has one true value, or all are zero
    largest_ratio: the largest error / tolerance among decided elements, measured from the truth, and for a wrong
        element from the centre of its bound; without right answers at kinks (any slope of a set is as good as another);
        None if no element is left
    digits: how many decimal digits the check could see, of the array's largest element, at its weakest decided element
    worst: the wrong elements, the furthest out first, at most `SHOWN` of them
    """

    place: Place
    elements: int
    undecided: int
    wrong: int
    largest_ulps: float | None
    largest_ratio: float | None
    digits: float | None
    worst: tuple[Element, ...]

    @property
    def verdict(self) -> Verdict:
        if self.wrong:
            return Verdict.WRONG
        return Verdict.UNDECIDED if self.undecided == self.elements else Verdict.AGREES


@dataclass(frozen=True)
class Judgement:
    """All that was compared of one observation, in the order of computing: the first wrong one is where it begins."""

    comparisons: tuple[Comparison, ...]

    @property
    def verdict(self) -> Verdict:
        verdicts = {comparison.verdict for comparison in self.comparisons}
        for verdict in (Verdict.WRONG, Verdict.AGREES):
            if verdict in verdicts:
                return verdict
        return Verdict.UNDECIDED

    @property
    def wrong(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if comparison.wrong)


def expectations(case: Case, precision: Precision) -> dict[Place, Expected]:
    """What every honest implementation in this precision may answer to the case."""
    bounds = computed(run(case, BoundedArithmetic(precision)))
    truth = computed(certified(case))
    return {place: _expected(bounds[place], truth[place]) for place in bounds}


def judge(case: Case, observation: Observation, expected: Mapping[Place, Expected] | None = None) -> Judgement:
    """Compare everything that the observation shows with what may be expected of it.

    expected: from `expectations` for the observation's precision; computed if not given.
    Raises UnusableAnswer where the shapes do not fit, where nothing is shown, or where the implementation started from
    other numbers than the case's.
    """
    if observation.received is not None and (places := differences(case, observation.received)):
        raise UnusableAnswer(
            f"{observation.adapter} did not start from the case's numbers: {', '.join(places)} differ in some bit."
        )
    if expected is None:
        expected = expectations(case, PRECISIONS[observation.precision])
    comparisons = tuple(_compare(place, array, expected) for place, array in observed(observation))
    if not comparisons:
        raise UnusableAnswer(f"{observation.adapter} showed nothing that could be compared.")
    return Judgement(comparisons)


def _compare(place: Place, array: NDArray[Any], expected: Mapping[Place, Expected]) -> Comparison:
    if place not in expected:
        raise UnusableAnswer(
            f"{place}: the case has no such thing (no biases there, or no learning rate), but an answer came."
        )
    may_be = expected[place]
    got = _shaped(place, array, may_be.value.shape)
    decided = _decided(may_be)
    ratios = _ratios(got, may_be.value, may_be.tolerance)
    wrong = decided & ~(ratios <= 1)  # not `> 1`: a NaN must count as wrong
    known = np.isfinite(may_be.truth)
    with np.errstate(all="ignore"):
        errors = np.abs((got - may_be.truth) - may_be.truth_remainder)
        accuracy = errors / may_be.tolerance
    scale = float(np.abs(may_be.value[np.isfinite(may_be.value)]).max(initial=0.0))
    ulp = PRECISIONS[array.dtype.name].ulp(scale)
    return Comparison(
        place=place,
        elements=got.size,
        undecided=int(np.count_nonzero(~decided)),
        wrong=int(np.count_nonzero(wrong)),
        largest_ulps=_largest(errors[np.isfinite(errors)] / ulp) if scale else None,
        largest_ratio=_largest(np.where(wrong, ratios, accuracy)[decided & (wrong | known)]),
        digits=_digits(may_be.tolerance[decided], scale),
        worst=_worst(got, may_be, np.where(wrong, ratios, -1.0), place),
    )


def _decided(may_be: Expected) -> NDArray[np.bool_]:
    """Where the check can fail: the tolerance must be below the array's largest element, or all zeros would pass.

    In an array of exact zeros the check is strong: whatever is not (almost) zero fails.
    """
    finite = np.isfinite(may_be.value) & np.isfinite(may_be.tolerance)
    scale = np.abs(may_be.value[finite]).max(initial=0.0)
    return finite & ((may_be.tolerance < scale) | (scale == 0))


def _ratios(got: Array, value: Array, tolerance: Array) -> Array:
    """|got − value| / tolerance, with 0 / 0 = 0 and anything that is not a finite number infinitely far away."""
    with np.errstate(all="ignore"):
        error = np.abs(got - value)
        ratios = np.where(error == 0, 0.0, error / tolerance)
    return np.where(np.isfinite(got) & ~np.isnan(ratios), ratios, np.inf)


def _largest(values: Array) -> float | None:
    return float(values.max()) if values.size else None


def _digits(tolerances: Array, scale: float) -> float | None:
    """−log₁₀(largest tolerance / scale): 0 where only the sign and size of the largest element can be told."""
    if not tolerances.size or scale == 0:
        return None
    largest = float(tolerances.max())
    return math.inf if largest == 0 else max(0.0, -math.log10(largest / scale))


def _worst(got: Array, may_be: Expected, ratios: Array, place: Place) -> tuple[Element, ...]:
    order = np.argsort(-ratios, axis=None, kind="stable")[:SHOWN]
    elements = []
    for flat in order:
        index = np.unravel_index(int(flat), ratios.shape)
        if ratios[index] < 0:
            break
        where = tuple(int(i) for i in index)
        if place.quantity in ("bias_gradients", "updated_biases"):
            where = where[1:]  # one per unit: the row is only the arithmetic's
        elements.append(Element(where, float(may_be.value[index]), float(got[index]), float(may_be.tolerance[index])))
    return tuple(elements)


def _shaped(place: Place, array: NDArray[Any], shape: tuple[int, ...]) -> Array:
    """The answer as float64 in the reference's shape, where vectors are 1 × units and the loss is 1 × 1."""
    if array.dtype.name not in PRECISIONS:
        raise UnusableAnswer(f"{place}: expected {' or '.join(PRECISIONS)} numbers, got {array.dtype}.")
    natural = shape if place.quantity not in ("loss", "bias_gradients", "updated_biases") else None
    fits = array.shape == natural if natural is not None else array.size == shape[0] * shape[1]
    if not fits:
        wanted = " × ".join(str(n) for n in shape) if natural is not None else f"{shape[1]} numbers"
        came = " × ".join(str(n) for n in array.shape) or "a single number"
        raise UnusableAnswer(f"{place}: expected {wanted}, got {came}.")
    return np.asarray(array, dtype=np.float64).reshape(shape)


def _expected(bound: Bounded, truth: Any) -> Expected:
    """Bound and truth of one array. A ball wider than 1/1000 of the tolerance is no single truth, as at a kink."""
    shape = bound.value.shape
    middles = [ball.mid() for ball in truth.entries()]
    high = np.array([float(middle) for middle in middles]).reshape(shape)
    low = np.array([float(middle - float(middle)) for middle in middles]).reshape(shape)
    radius = np.array([float(ball.rad()) for ball in truth.entries()]).reshape(shape)
    known = np.isfinite(bound.error) & (radius <= bound.error / 1000)
    return Expected(bound.value, bound.error, np.where(known, high, np.nan), np.where(known, low, np.nan))
