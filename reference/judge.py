"""The judge: are the observed numbers such as an honest implementation may get?

`wrong` claims that a number lies outside the bound of every algorithm of this class: each sum of products by ordinary
additions and multiplications in any order (FMA, blocked, parallel and compensated included), each elementary function
within its measured ulps, derivatives by the natural formulas, in the stated profile of formats, each step starting from
the numbers that the implementation shows. Strassen-like or FFT products, numerical differentiation and approximated
activations are outside the class.

`suspect` claims less: independent roundings would give such a number, or such a set of numbers, about once in 10⁹ runs
(see `bounded.LAMBDA`).

Every step is judged by itself, from the implementation's own numbers (see `stepwise.py`); what is not shown is bridged
by the bounds of the steps in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Arithmetic
from .bounded import CHANNELS, LAMBDA, RANDOM, SYSTEMATIC, TRUTH, WORST, Bounded, BoundedArithmetic
from .case import Case, run
from .certified import Enclosure, enclosures
from .observation import Observation, Place, computed, differences, observed
from .precision import FLOAT64, PRECISIONS, PROFILES, Precision, Profile
from .statistical import Aggregate, aggregates
from .stepwise import Evidence, evidence, shaped, stepwise

Array = NDArray[np.float64]

SHOWN = 8  # elements of one array that a judgement keeps in full, the worst first
CERTAIN = 1 / 1000  # of its tolerance is as far as an element's truth may be uncertain
LARGEST_IN_BALLS = 1e8  # multiplications; a float64 case that needs more is judged around values in float64


class Verdict(Enum):
    """AGREES: inside the bounds. SUSPECT: outside the statistical one. WRONG: outside the worst-case one.

    UNDECIDED: the bound is too wide here to refuse anything.
    """

    AGREES = "agrees"
    UNDECIDED = "undecided"
    SUSPECT = "suspect"
    WRONG = "wrong"


# The verdict on several together is the first of these that is among them: undecided only if nothing was decided.
SEVERITY = (Verdict.WRONG, Verdict.SUSPECT, Verdict.AGREES, Verdict.UNDECIDED)


class UnusableAnswer(Exception):
    """An implementation answered with something that cannot be judged. The message says what and where."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What one array may be. All arrays have its shape.

    value, remainder: the exact result as the sum of two doubles, up to `uncertainty`
    tolerance: an honest number x̂ satisfies |x̂ − value| ≤ tolerance; ∞ where nothing can be said
    likely: the same, but for a probability that the budget of false alarms allows; at most `tolerance`
    systematic, random: the parts that `likely` is made of, for aggregate tests; None from end to end
    axis: along which random errors are shared (see `Steps.axes`)
    """

    value: Array
    remainder: Array
    uncertainty: Array
    tolerance: Array
    likely: Array
    systematic: Array | None = None
    random: Array | None = None
    axis: int | None = None


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

    suspect: elements inside the worst-case bound and outside the statistical one
    largest_ulps: the largest error from the certified truth of the whole case, in ulps of the array's largest element
        (so that cancelled elements do not drown the rest); None where truth was not asked for or is a set (a kink)
    largest_ratio: the largest error / tolerance of this step among decided elements; None if there is none
    digits: how many decimal digits the check could see, of the array's largest element, at its weakest decided element
    scale_error: the smallest relative error of the array as a whole that the aggregate tests see; None without them
    worst: the wrong elements (or the suspect ones, if none is wrong), the furthest out first, at most `SHOWN` of them
    aggregates: projections of the errors that independent roundings do not give
    """

    place: Place
    elements: int
    undecided: int
    wrong: int
    suspect: int
    largest_ulps: float | None
    largest_ratio: float | None
    digits: float | None
    scale_error: float | None
    worst: tuple[Element, ...]
    aggregates: tuple[Aggregate, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.wrong:
            return Verdict.WRONG
        if self.suspect or self.aggregates:
            return Verdict.SUSPECT
        return Verdict.UNDECIDED if self.undecided == self.elements else Verdict.AGREES


@dataclass(frozen=True)
class Judgement:
    """All that was compared of one observation, in the order of computing: the first wrong one is where it begins.

    profile: what the numbers were judged as
    explained_by: the finest profile, from the declared one on, under which nothing is wrong; None if there is none
    """

    comparisons: tuple[Comparison, ...]
    profile: str
    explained_by: str | None

    @property
    def verdict(self) -> Verdict:
        verdicts = {comparison.verdict for comparison in self.comparisons}
        return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.UNDECIDED)

    @property
    def wrong(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if comparison.wrong)

    @property
    def suspect(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if comparison.verdict is Verdict.SUSPECT)


# ---------------------------------------------------------------------------------------- what may be expected


def expectations(case: Case, precision: Precision | Profile) -> dict[Place, Expected]:
    """What every honest implementation in this precision may answer to the case, from the case's numbers alone."""
    bounds = computed(run(case, BoundedArithmetic(precision)))
    truth = truth_of(case, _profile(precision), bounds)
    return {place: _expected(bound, truth[place]) for place, bound in bounds.items()}


def truth_of(case: Case, profile: Profile, bounds: Mapping[Place, Bounded] | None = None) -> dict[Place, Enclosure]:
    """The exact results of a case, each to a thousandth of its tolerance from end to end.

    For formats narrower than float64, float64 with error bounds encloses them at the speed of BLAS; what stays too
    wide, and everything for float64, is computed in balls.
    bounds: the case run on `BoundedArithmetic(profile)`, if that has been done
    """
    bounds = bounds or computed(run(case, BoundedArithmetic(profile)))
    if profile.storage is not FLOAT64 or _multiplications(case) > LARGEST_IN_BALLS:
        enclosed = {place: _by_value(bound) for place, bound in bounds.items()}
        if _multiplications(case) > LARGEST_IN_BALLS or all(
            _certain(enclosed[place], bound).all() for place, bound in bounds.items()
        ):
            return enclosed
    radii = {place: CERTAIN * bound.errors[WORST] for place, bound in bounds.items()}
    return enclosures(lambda ar: computed(run(case, ar)), radii)


def _by_value(bound: Bounded) -> Enclosure:
    radius = np.broadcast_to(bound.errors[TRUTH], bound.value.shape)
    return Enclosure(bound.value, np.zeros(()), radius)


def _certain(enclosure: Enclosure, bound: Bounded) -> NDArray[np.bool_]:
    certain: NDArray[np.bool_] = enclosure.radius <= CERTAIN * bound.errors[WORST]
    return certain


def _multiplications(case: Case) -> float:
    sizes = case.sizes
    return 3.0 * case.batch * sum(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


def _profile(precision: Precision | Profile) -> Profile:
    return precision if isinstance(precision, Profile) else PROFILES[precision.name]


def step_expectations(case: Case, profile: Profile, seen: Evidence) -> dict[Place, Expected]:
    """What each step may give, from the numbers that the implementation was seen to have before it."""
    steps = stepwise(case, BoundedArithmetic(profile, len(CHANNELS)), seen)
    bounds = steps.expected
    in_balls = profile.storage is FLOAT64 and _multiplications(case) <= LARGEST_IN_BALLS
    if not in_balls or not all(np.isfinite(s.value).all() for s in seen.values()):
        return {place: _expected(bound, _by_value(bound), steps.axes.get(place)) for place, bound in bounds.items()}

    def compute(ar: Arithmetic) -> dict[Place, Any]:
        return stepwise(case, ar, steps.used).expected

    radii = {place: CERTAIN * bound.errors[WORST] for place, bound in bounds.items()}
    truth = enclosures(compute, radii)
    return {place: _expected(bound, truth[place], steps.axes.get(place)) for place, bound in bounds.items()}


def _expected(bound: Bounded, truth: Enclosure, axis: int | None = None) -> Expected:
    """Tolerances around the truth, or, where the bound's own value is known as well (at a kink), around that."""
    shape = bound.value.shape
    worst = np.broadcast_to(bound.errors[WORST], shape)
    certain = truth.radius <= np.maximum(CERTAIN * worst, bound.errors[TRUTH])
    if certain.all():
        value, remainder, uncertainty = truth.high, truth.low, truth.radius
    else:
        value = np.where(certain, truth.high, bound.value)
        remainder = np.where(certain, truth.low, 0.0)
        uncertainty = np.where(certain, truth.radius, bound.errors[TRUTH])
    tolerance = worst + uncertainty
    if len(bound.errors) <= RANDOM:
        return Expected(value, remainder, uncertainty, tolerance, tolerance)
    systematic, random = (np.broadcast_to(bound.errors[channel], shape) for channel in (SYSTEMATIC, RANDOM))
    likely = np.minimum(tolerance, systematic + LAMBDA * random + uncertainty)
    return Expected(value, remainder, uncertainty, tolerance, likely, systematic + uncertainty, random, axis)


# ---------------------------------------------------------------------------------------- the judgement


def judge(case: Case, observation: Observation, truth: Mapping[Place, Enclosure] | None = None) -> Judgement:
    """Compare everything that the observation shows with what may be expected of it.

    truth: from `truth_of`, to say how many ulps from the exact results of the whole case the numbers are
    Raises UnusableAnswer where the shapes do not fit, where nothing is shown, or where the implementation started from
    other numbers than the case's.
    """
    if observation.received is not None and (places := differences(case, observation.received)):
        raise UnusableAnswer(
            f"{observation.adapter} did not start from the case's numbers: {', '.join(places)} differ in some bit."
        )
    _check(case, observation)
    comparisons = _compared(case, observation, PROFILES[observation.precision], truth)
    judgement = Judgement(comparisons, observation.precision, observation.precision)
    if not judgement.wrong:
        return judgement
    return replace(judgement, explained_by=_explaining(case, observation))


def _explaining(case: Case, observation: Observation) -> str | None:
    """The finest profile coarser than the declared one under which nothing is wrong and something is decided."""
    names = list(PROFILES)
    for name in names[names.index(observation.precision) + 1 :]:
        verdict = Judgement(_compared(case, observation, PROFILES[name], None), name, name).verdict
        if verdict in (Verdict.AGREES, Verdict.SUSPECT):
            return name
    return None


def _compared(
    case: Case, observation: Observation, profile: Profile, truth: Mapping[Place, Enclosure] | None
) -> tuple[Comparison, ...]:
    seen = evidence(case, observation, profile)
    expected = step_expectations(case, profile, seen)
    return tuple(
        _compare(place, array, dtype, _widened(expected[place], error), None if truth is None else truth.get(place))
        for place, array, dtype, error in _in_order(observation, seen)
    )


def _widened(may_be: Expected, error: Array | None) -> Expected:
    """What may be expected of numbers that are known up to `error` only."""
    if error is None:
        return may_be
    systematic = None if may_be.systematic is None else may_be.systematic + error
    return replace(may_be, tolerance=may_be.tolerance + error, likely=may_be.likely + error, systematic=systematic)


def _in_order(observation: Observation, seen: Evidence) -> Iterator[tuple[Place, Array, str, Array | None]]:
    """What is to be compared, in the order of computing: forward, loss, backward from the last layer, updates.

    Gradients that were recovered from updates are among it: their errors are not lost in the size of the weights.
    """
    shown = {place: array for place, array in observed(observation)}
    recovered = [
        (place, s) for place, s in seen.items() if place not in shown and place.quantity.endswith("_gradients")
    ]
    storage = PROFILES[observation.precision].storage.name
    entries: list[tuple[Place, Array, str, Array | None]] = [
        (place, shaped(place, array), array.dtype.name, None) for place, array in shown.items()
    ]
    entries += [(place, s.value, storage, s.error) for place, s in recovered]
    yield from sorted(entries, key=lambda entry: _moment(entry[0]))


def _moment(place: Place) -> tuple[int, int, int]:
    """When a place's array is computed."""
    k = -1 if place.layer is None else place.layer
    match place.quantity:
        case "pre_activations":
            return 0, k, 0
        case "activations":
            return 0, k, 1
        case "loss":
            return 1, 0, 0
        case "deltas":
            return 2, -k, 0
        case "bias_gradients":
            return 2, -k, 1
        case "weight_gradients":
            return 2, -k, 2
    return 3, k, 0


def _check(case: Case, observation: Observation) -> None:
    """Shapes and dtypes of everything shown. Raises UnusableAnswer."""
    if observation.precision not in PROFILES:
        raise UnusableAnswer(f"precision: expected one of {', '.join(PROFILES)}; got {observation.precision!r}.")
    shapes = _shapes(case)
    shown = list(observed(observation))
    if not shown:
        raise UnusableAnswer(f"{observation.adapter} showed nothing that could be compared.")
    for place, array in shown:
        if place not in shapes:
            raise UnusableAnswer(
                f"{place}: the case has no such thing (no biases there, or no learning rate), but an answer came."
            )
        if array.dtype.name not in PRECISIONS:
            raise UnusableAnswer(f"{place}: expected {', '.join(PRECISIONS)} numbers, got {array.dtype}.")
        shape = shapes[place]
        vector = place.quantity in ("loss", "bias_gradients", "updated_biases")
        if array.size != shape[1] if vector else array.shape != shape:
            wanted = f"{shape[1]} numbers" if vector else " × ".join(str(n) for n in shape)
            came = " × ".join(str(n) for n in array.shape) or "a single number"
            raise UnusableAnswer(f"{place}: expected {wanted}, got {came}.")


def _shapes(case: Case) -> dict[Place, tuple[int, int]]:
    """The shape of every array that an answer to the case may have."""
    shapes = {Place("loss", None): (1, 1)}
    for k, (units, layer) in enumerate(zip(case.sizes[1:], case.layers, strict=True)):
        for quantity in ("pre_activations", "activations", "deltas"):
            shapes[Place(quantity, k)] = (case.batch, units)
        for gradients, updated, shape in (
            ("weight_gradients", "updated_weights", (units, case.sizes[k])),
            ("bias_gradients", "updated_biases", (1, units)),
        ):
            if gradients == "weight_gradients" or layer.biases is not None:
                shapes[Place(gradients, k)] = shape
                if case.learning_rate is not None:
                    shapes[Place(updated, k)] = shape
    return shapes


def _compare(place: Place, got: Array, dtype: str, may_be: Expected, truth: Enclosure | None) -> Comparison:
    decided = _decided(may_be)
    with np.errstate(all="ignore"):
        errors = np.abs((got - may_be.value) - may_be.remainder)
        ratios = np.where(errors == 0, 0.0, errors / may_be.tolerance)
    ratios = np.where(np.isfinite(got) & ~np.isnan(ratios), ratios, np.inf)
    wrong = decided & ~(ratios <= 1)
    suspect = decided & ~wrong & ~(errors <= may_be.likely)
    scale = float(np.abs(may_be.value[np.isfinite(may_be.value)]).max(initial=0.0))
    projected = _aggregates(place, got, may_be, decided)
    return Comparison(
        place=place,
        elements=got.size,
        undecided=int(np.count_nonzero(~decided)),
        wrong=int(np.count_nonzero(wrong)),
        suspect=int(np.count_nonzero(suspect)),
        largest_ulps=_largest_ulps(got, truth, dtype),
        largest_ratio=_largest(ratios[decided & (wrong | (may_be.uncertainty <= CERTAIN * may_be.tolerance))]),
        digits=_digits(may_be.tolerance[decided], scale),
        scale_error=next((a.resolution for a in projected if a.resolution is not None), None),
        worst=_worst(got, may_be, np.where(wrong if wrong.any() else suspect, ratios, -1.0), place),
        aggregates=tuple(aggregate for aggregate in projected if not aggregate.ratio <= 1),
    )


def _aggregates(place: Place, got: Array, may_be: Expected, decided: NDArray[np.bool_]) -> tuple[Aggregate, ...]:
    """The aggregate tests of an array whose steps were independent, on its decided and finite elements."""
    if may_be.systematic is None or may_be.random is None:
        return ()
    if place.quantity.startswith("updated"):
        return ()  # old − rate · gradient: where the step is below half an ulp of the weight, the error *is* the step
    with np.errstate(all="ignore"):
        errors = (got - may_be.value) - may_be.remainder
    seed = crc32(str(place).encode())
    return aggregates(errors, may_be.value, may_be.systematic, may_be.random, decided, seed, may_be.axis)


def _largest_ulps(got: Array, truth: Enclosure | None, dtype: str) -> float | None:
    if truth is None:
        return None
    scale = float(np.abs(truth.high[np.isfinite(truth.high)]).max(initial=0.0))
    if not scale:
        return None
    ulp = PRECISIONS[dtype].ulp(scale)
    with np.errstate(all="ignore"):
        errors = np.abs((got - truth.high) - truth.low)
    return _largest(errors[np.isfinite(errors) & (truth.radius <= CERTAIN * ulp)] / ulp)


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
    return math.inf if largest == 0 else max(0.0, math.log10(scale) - math.log10(largest))


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
