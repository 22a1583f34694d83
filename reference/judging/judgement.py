"""The judge: are the observed numbers such as an honest implementation may get?

`wrong` claims that a number lies outside the bound of every algorithm of this class: each sum of products by ordinary
additions and multiplications in any order (FMA, blocked, parallel and compensated included), each elementary function
within its measured ulps, derivatives by the natural formulas, in the stated profile of formats, each step starting from
the numbers that the implementation shows. Strassen-like or FFT products, numerical differentiation and approximated
activations are outside the class.

`suspect` claims less: independent roundings would give such a number, or such a set of numbers, about once in 10⁹ runs
(see `error_model.LAMBDA`).

Every step is judged by itself, from the implementation's own numbers (see `stepwise.py`); what is not shown is bridged
by the bounds of the steps in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case
from ..numbers import PRECISIONS, PROFILES, Enclosure, Profile
from .expected import CERTAIN, Expected, step_expectations
from .observation import Observation, Place, differences, observed
from .statistical import Aggregate, aggregates
from .stepwise import Evidence, as_matrix, evidence

Array = NDArray[np.float64]

SHOWN = 8  # elements of one array that a judgement keeps in full, the worst first


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
        error = abs(self.got - self.expected)
        if error == 0:
            return 0.0
        return error / self.tolerance if self.tolerance and not math.isnan(error) else math.inf


@dataclass(frozen=True)
class Comparison:
    """One array compared.

    suspect: elements inside the worst-case bound and outside the statistical one
    largest_ulps: the largest error from the certified truth of the whole case, in ulps of the array's largest element
        (so that cancelled elements do not drown the rest); None where truth was not asked for or is a set (a kink)
    largest_ratio: the largest error / tolerance of this step among decided elements; None if there is none
    largest_error: the largest error of this step among them, in units of the array's largest element
    digits: how many decimal digits the check could see, of the array's largest element, at its weakest decided element
    scale_error: the smallest relative error of the array as a whole that the aggregate tests see; None without them
    worst: the wrong elements (or the suspect ones, if none is wrong), the furthest out first, at most `SHOWN` of them
    aggregates: projections of the errors that independent roundings do not give
    undecided_because: the reasons, each once: "overflow", "kink" or "bound" (it reaches the largest element)
    """

    place: Place
    elements: int
    undecided: int
    wrong: int
    suspect: int
    largest_ulps: float | None
    largest_ratio: float | None
    largest_error: float | None
    digits: float | None
    scale_error: float | None
    worst: tuple[Element, ...]
    aggregates: tuple[Aggregate, ...] = ()
    undecided_because: tuple[str, ...] = ()

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


# ---------------------------------------------------------------------------------------- the judgement


def judge(
    case: Case,
    observation: Observation,
    truth: Mapping[Place, Enclosure] | None = None,
    rules: Rules = RULES,
) -> Judgement:
    """Compare everything that the observation shows with what may be expected of it.

    truth: from `truth_of`, to say how many ulps from the exact results of the whole case the numbers are
    rules: what is right; another convention's (see `conventions.py`)
    Raises UnusableAnswer where the shapes do not fit, where nothing is shown, or where the implementation started from
    other numbers than the case's.
    """
    if observation.received is not None and (places := differences(case, observation.received)):
        raise UnusableAnswer(
            f"{observation.adapter} did not start from the case's numbers: {', '.join(places)} differ in some bit."
        )
    _check(case, observation)
    comparisons = _compared(case, observation, PROFILES[observation.precision], truth, rules)
    judgement = Judgement(comparisons, observation.precision, observation.precision)
    if not judgement.wrong:
        return judgement
    return replace(judgement, explained_by=_explaining(case, observation, rules, [c.place for c in judgement.wrong]))


def _explaining(case: Case, observation: Observation, rules: Rules, wrong: Sequence[Place]) -> str | None:
    """The finest profile coarser than the declared one under which nothing is wrong, and what was wrong is decided."""
    names = list(PROFILES)
    for name in names[names.index(observation.precision) + 1 :]:
        compared = _compared(case, observation, PROFILES[name], None, rules)
        verdicts = {comparison.place: comparison.verdict for comparison in compared}
        if Verdict.WRONG not in verdicts.values() and all(verdicts[p] is not Verdict.UNDECIDED for p in wrong):
            return name
    return None


def _compared(
    case: Case, observation: Observation, profile: Profile, truth: Mapping[Place, Enclosure] | None, rules: Rules
) -> tuple[Comparison, ...]:
    seen = evidence(case, observation, profile)
    entries = list(_in_order(observation, seen))
    expected = step_expectations(case, profile, seen, rules, [place for place, _, _ in entries])
    return tuple(
        _compare(
            place,
            array,
            expected[place].known_up_to(error),
            None if truth is None or error is not None else truth.get(place),
        )
        for place, array, error in entries
    )


def _in_order(observation: Observation, seen: Evidence) -> Iterator[tuple[Place, NDArray[Any], Array | None]]:
    """What is to be compared, with its uncertainty, in the order of computing.

    Gradients that were recovered from updates are among it: their errors are not lost in the size of the weights.
    """
    shown = {place: as_matrix(place, array) for place, array in observed(observation)}
    entries: list[tuple[Place, NDArray[Any], Array | None]] = [(place, array, None) for place, array in shown.items()]
    for place, s in seen.items():
        if place not in shown and place.quantity.endswith("_gradients"):
            entries.append((place, s.value, s.error))
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


def _compare(place: Place, got: NDArray[Any], may_be: Expected, truth: Enclosure | None) -> Comparison:
    """One array, a block of rows after the other so that the work stays in the processor's cache."""
    scale = _largest_finite(may_be.value)
    undecided = wrong = suspect = 0
    ratio = error = tolerance = -1.0
    outside: list[tuple[float, tuple[int, ...]]] = []
    reasons: dict[str, None] = {}
    rows = max(1, BLOCK // got.shape[1])
    for start in range(0, len(got), rows):
        part = slice(start, start + rows)
        block = _block(np.asarray(got[part], np.float64), may_be.rows(part), scale)
        undecided += block.undecided
        wrong += block.wrong
        suspect += block.suspect
        ratio, error, tolerance = (
            max(ratio, block.ratio), max(error, block.error), max(tolerance, block.tolerance)
        )  # fmt: skip
        outside += [(r, (index[0] + start, *index[1:])) for r, index in block.outside]
        reasons.update(dict.fromkeys(block.reasons))
    projected = _aggregates(place, got, may_be, scale)
    if wrong:
        outside = [(r, index) for r, index in outside if r > 1]
    outside.sort(reverse=True)
    return Comparison(
        place=place,
        elements=got.size,
        undecided=undecided,
        wrong=wrong,
        suspect=suspect,
        largest_ulps=_largest_ulps(got, truth),
        largest_ratio=ratio if ratio >= 0 else None,
        largest_error=error / scale if error >= 0 and scale else None,
        digits=_digits(tolerance, scale),
        scale_error=next((a.resolution for a in projected if a.resolution is not None), None),
        worst=tuple(_element(place, index, got, may_be) for _, index in outside[:SHOWN]),
        aggregates=tuple(aggregate for aggregate in projected if not aggregate.ratio <= 1),
        undecided_because=tuple(reasons),
    )


BLOCK = 2**16  # elements


@dataclass(frozen=True)
class _Block:
    """What some rows of an array come to. ratio, error, tolerance: the largest, −1 for none; outside: the worst."""

    undecided: int
    wrong: int
    suspect: int
    ratio: float
    error: float
    tolerance: float
    outside: list[tuple[float, tuple[int, ...]]]
    reasons: tuple[str, ...] = ()


def _block(got: Array, may_be: Expected, scale: float) -> _Block:
    tolerance = may_be.tolerance
    largest, least = float(tolerance.max()), float(tolerance.min())
    tolerance = tolerance.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        errors = got - may_be.value
        if may_be.remainder.any():
            errors -= may_be.remainder
        np.abs(errors, out=errors)
        error = float(errors.max())
        ratios = errors / tolerance
        ratio = float(np.fmax.reduce(ratios, axis=None, initial=0.0))  # 0 / 0 is no error
        # The quick way: everything is decided, exact results are numbers and not sets, and nothing is outside.
        certain = largest < (scale or math.inf) and bool(may_be.uncertainty.max() <= CERTAIN * least)
        likely = tolerance if may_be.systematic is None else may_be.likely
        if certain and error < math.inf and (ratio < 1 if likely is tolerance else bool((errors <= likely).all())):
            return _Block(0, 0, 0, ratio, error, largest, [])
        single = np.broadcast_to(may_be.uncertainty <= CERTAIN * tolerance, tolerance.shape)
        decided = _decided(tolerance, scale)
        ratios = np.where(np.isnan(ratios), np.where(errors == 0, 0.0, np.inf), ratios)  # 0 / 0 is no error, NaN is
        wrong = decided & (ratios > 1)
        suspect = decided & ~wrong & ~(errors <= likely)
    counted = ratios[decided & (wrong | single)]
    flat = np.where(wrong | suspect, ratios, -1.0)
    order = np.argsort(-flat, axis=None, kind="stable")[:SHOWN]
    indices = [tuple(int(i) for i in np.unravel_index(int(k), flat.shape)) for k in order]
    return _Block(
        undecided=int(np.count_nonzero(~decided)),
        wrong=int(np.count_nonzero(wrong)),
        suspect=int(np.count_nonzero(suspect)),
        ratio=float(counted.max(initial=-1.0)),
        error=float(errors[decided & (wrong | single) & np.isfinite(errors)].max(initial=-1.0)),
        tolerance=float(tolerance[decided].max(initial=-1.0)),
        outside=[(float(flat[index]), index) for index in indices if flat[index] >= 0],
        reasons=_reasons(tolerance[~decided], single[~decided]),
    )


def _reasons(tolerances: Array, single: NDArray[np.bool_]) -> tuple[str, ...]:
    """Why elements are undecided, from their tolerances and from whether their exact results are single numbers."""
    finite = np.isfinite(tolerances)
    found = {"overflow": ~finite, "kink": finite & ~single, "bound": finite & single}
    return tuple(reason for reason, where in found.items() if where.any())


def _aggregates(place: Place, got: NDArray[Any], may_be: Expected, scale: float) -> tuple[Aggregate, ...]:
    """The aggregate tests of an array whose steps were independent, on its decided and finite elements."""
    if may_be.systematic is None or may_be.random is None:
        return ()
    if place.quantity.startswith("updated"):
        return ()  # old − rate · gradient: where the step is below half an ulp of the weight, the error *is* the step
    shape = got.shape
    with np.errstate(all="ignore"):
        errors = (np.asarray(got, np.float64) - may_be.value) - may_be.remainder
    systematic = np.broadcast_to(may_be.systematic + may_be.uncertainty, shape)
    random = np.broadcast_to(may_be.random, shape)
    among = _decided(may_be.tolerance, scale)
    seed = crc32(str(place).encode())
    return aggregates(errors, may_be.value, systematic, random, among, may_be.unit_roundoff, may_be.axis, seed)


def _largest_ulps(got: NDArray[Any], truth: Enclosure | None) -> float | None:
    if truth is None:
        return None
    scale = _largest_finite(truth.high)
    if not scale:
        return None
    ulp = PRECISIONS[got.dtype.name].ulp(scale)
    with np.errstate(all="ignore"):
        errors = np.abs((np.asarray(got, np.float64) - truth.high) - truth.low)
    known = errors[np.isfinite(errors) & (truth.radius <= CERTAIN * ulp)]
    return float(known.max()) / ulp if known.size else None


def _decided(tolerance: Array, scale: float) -> NDArray[np.bool_]:
    """Where the check can fail: the tolerance must be below the array's largest element, or all zeros would pass.

    In an array of exact zeros the check is strong: whatever is not (almost) zero fails.
    """
    return tolerance < (scale or np.inf)


def _largest_finite(values: Array) -> float:
    largest = max(float(values.max()), -float(values.min()))
    return largest if math.isfinite(largest) else float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _digits(tolerance: float, scale: float) -> float | None:
    """−log₁₀(largest tolerance / scale): 0 where only the sign and size of the largest element can be told."""
    if tolerance < 0 or scale == 0:
        return None
    return math.inf if tolerance == 0 else max(0.0, math.log10(scale) - math.log10(tolerance))


def _element(place: Place, index: tuple[int, ...], got: NDArray[Any], may_be: Expected) -> Element:
    where = (
        index[1:] if place.quantity in ("bias_gradients", "updated_biases") else index
    )  # the row is the arithmetic's
    here = may_be.rows(slice(index[0], index[0] + 1))
    value, tolerance = (float(array[0, index[1]]) for array in (here.value, here.tolerance))
    return Element(where, value, float(got[index]), tolerance)
