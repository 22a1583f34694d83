"""Judges the numbers of one call of a framework: did it give what an honest implementation may, from its operands?

The adapters call it for every operation that they see run, forward and backward, with the operation as a program
(`programs/`); the reports gather the verdicts. It is the judge of `stepwise.py` for arrays of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    LAMBDA,
    PROFILES,
    RANDOM,
    SYSTEMATIC,
    TF32,
    TRUTH,
    U64,
    WORST,
    Precision,
    Profile,
)
from ..programs import (
    Bounds,
    NoBounds,
    Origin,
    Part,
    Value,
    bounded,
    computing_lines,
    held,
    in_parts,
    lines_needed,
    one_sum,
    run,
    spread,
    starting_lines,
)
from .statistical import Aggregate, aggregates
from .verdict import SEVERITY, Verdict

Array = NDArray[Any]
Positions = NDArray[np.int64]
TAKEN = "it depends on an operation that has no rule here"
FARTHEST = 1e300  # for a bound that is none
OVERFLOWN = "an honest implementation may overflow here or lose a sum's terms, or the numbers are not finite"


@dataclass(frozen=True)
class JudgedCall:
    """One result of one call.

    verdict: undecided where there is no bound, or an infinite one, for every element
    number: which of the call's results;  precision: the format's name
    ratio: the largest error, in parts of what any honest implementation may be off;  likely: in parts of what
        independent roundings come to
    place, observed, expected, allowed: of the element with that largest ratio, its worst bound last
    aggregates: of the whole array (`statistical.py`)
    elements, undecided: how many there are, and of how many nothing can be said
    zeroable: how many that are not zero might be zero instead, unseen element by element
    reason: why undecided
    like: what its numbers are those of, where it does not agree: a coarser format, found out
    error, largest: the largest error, and the largest element that was expected
    line: of the run's program, where its numbers stand;  operands: the lines that it was computed from
    backward: whether it is part of the way back
    """

    origin: Origin
    number: int
    shape: tuple[int, ...]
    precision: str
    verdict: Verdict
    ratio: float = 0.0
    likely: float = 0.0
    place: tuple[int, ...] = ()
    observed: float = math.nan
    expected: float = math.nan
    allowed: float = math.inf
    aggregates: tuple[Aggregate, ...] = ()
    elements: int = 0
    undecided: int = 0
    zeroable: int = 0
    reason: str = ""
    like: str = ""
    error: float = math.nan
    largest: float = math.nan
    line: int = -1
    operands: tuple[int, ...] = ()
    backward: bool = False

    @property
    def digits(self) -> float:
        """To how many digits of the largest element every element is what it should be; infinite where exact."""
        if math.isnan(self.error) or not self.error:
            return math.nan if math.isnan(self.error) else math.inf
        return max(0.0, -math.log10(self.error / self.largest)) if self.largest and math.isfinite(self.error) else 0.0


@dataclass(frozen=True)
class JudgedRun:
    """A whole run. results: of every call, in order

    taken: the results that nothing can be asked of (random numbers, masks), by name
    notes: what a reader has to know, such as what ran as its parts
    """

    results: tuple[JudgedCall, ...]
    taken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judged_call(
    results: Sequence[Value],
    given: Mapping[int, Array],
    observed: Sequence[Array],
    precisions: Sequence[Precision],
    computed_in: Profile,
    allowed: Precision | None = None,
) -> list[JudgedCall]:
    """The verdict on each result of one call.

    results: the call as a program;  given: the numbers of the lines that it starts from
    observed: what the call gave, as float64 or as it is;  precisions: the formats that it stored them in
    computed_in: the formats of what happens inside
    allowed: a format that the factors of products may be rounded to first, by a setting of the framework
    """
    found = []
    for number, (result, array, precision) in enumerate(zip(results, observed, precisions, strict=True)):
        numbers = Bounds(computed_in, computing_lines([result], given) > 1, one_sum(result, given))
        parts: list[tuple[Positions | None, JudgedCall]] = []
        for positions in in_parts(result, given):
            part = _Part(number, result, given, array, positions)
            try:
                call, _ = part.judged(numbers, precision)
            except NoBounds as reason:
                parts = [(None, _undecided(result.node.origin, number, array, precision, str(reason)))]
                break
            if call.verdict in (Verdict.WRONG, Verdict.SUSPECT):
                call = _explained(call, part.judged, numbers, part.observed, precision, allowed)
            parts.append((positions, call))
        found.append(replace(_together(parts, array.shape), operands=starting_lines(result, given)))
    return found


class _Part:
    """A result of a call, or of a large one some elements. positions: theirs, None for all"""

    def __init__(
        self, number: int, result: Value, given: Mapping[int, Array], observed: Array, positions: Positions | None
    ) -> None:
        self.number, self.result, self.given, self.positions = number, result, given, positions
        taken = observed if positions is None else observed.reshape(-1)[positions]
        self.observed = np.asarray(taken, np.float64)

    def judged(self, numbers: Bounds, stored: Precision) -> tuple[JudgedCall, Array]:
        """The verdict, and the values that were expected. Raises NoBounds."""
        if self.positions is None:
            lines = starting_lines(self.result, self.given)
            given = {line: np.asarray(self.given[line], np.float64) for line in lines}
            (expected,) = run([self.result], given, numbers)
            padded = len(numbers.summed) > 1  # products there are
            if padded and not all(np.isfinite(array).all() for array in given.values()):
                expected["errors"][~np.isfinite(self.observed)] = math.inf  # a padding's zeros may be multiplied by it
        else:
            expected = Part(self.result.program, self.given, numbers).at(self.result.index, self.positions)
        call = _judged(self.result.node.origin, self.number, self.observed, numbers.stored(expected, stored), stored)
        return call, expected["value"]


def _together(parts: Sequence[tuple[Positions | None, JudgedCall]], shape: tuple[int, ...]) -> JudgedCall:
    """The verdict on a result of which the parts were judged one by one: the most serious one's."""
    if len(parts) == 1 and parts[0][0] is None:
        return parts[0][1]
    calls = [call for _, call in parts]
    positions, worst = min(parts, key=lambda part: (SEVERITY.index(part[1].verdict), -part[1].ratio, -part[1].likely))
    place = () if positions is None or not worst.place else np.unravel_index(positions[worst.place[0]], shape)
    known = [call for call in calls if not math.isnan(call.error)]
    return replace(
        worst,
        shape=shape,
        place=tuple(int(k) for k in place),
        elements=sum(call.elements for call in calls),
        undecided=sum(call.undecided for call in calls),
        zeroable=sum(call.zeroable for call in calls),
        error=max((call.error for call in known), default=math.nan),
        largest=max((call.largest for call in known), default=math.nan),
    )


def _undecided(origin: Origin, number: int, array: Array, precision: Precision, reason: str) -> JudgedCall:
    return JudgedCall(
        origin, number, array.shape, precision.name, Verdict.UNDECIDED, elements=array.size, undecided=array.size,
        reason=reason,
    )  # fmt: skip


def judged_whole(
    results: Sequence[Value],
    given: Mapping[int, Array],
    observed: Sequence[Array],
    precisions: Sequence[Precision],
    computed_in: Profile,
    own: Collection[int] = (),
) -> list[JudgedCall]:
    """The verdict on the results of a whole program, computed by code of which nothing else was seen.

    wrong: beyond what any order and any honest formula may give;  suspect: beyond LAMBDA deviations of what the
    program's roundings spread over (`programs/perturbed.py`). Where neither could see a result replaced by zero, or a
    number on the way may have overflowed, it is undecided. Arguments as `judged_call`'s.
    own: lines among those given whose numbers are another run's own; what depends on them is undecided
    """
    numbers = Bounds(computed_in, expanded=True)
    found = []
    try:
        spreads, overflows = spread(results, given, computed_in)
        bounds = run(results, given, numbers)
    except NoBounds as reason:
        return [
            _undecided(value.node.origin, 0, array, precision, str(reason))
            for value, array, precision in zip(results, observed, precisions, strict=True)
        ]
    for k, (result, array, precision) in enumerate(zip(results, observed, precisions, strict=True)):
        if not set(own).isdisjoint(lines_needed([result])):
            found.append(_undecided(result.node.origin, 0, array, precision, TAKEN))
            continue
        value, deviation = spreads[k]
        ours = np.abs(value) * U64 + LAMBDA * deviation * (U64 / computed_in.storage.unit_roundoff)
        # One rounding early in the program moves many elements alike: their errors are not independent of each other.
        likely = np.stack([ours, LAMBDA * deviation, LAMBDA * deviation, np.zeros(value.shape)], axis=-1)
        expected = numbers.stored(bounded(value, likely), precision)
        worst = bounds[k]["errors"][..., WORST]
        overflown = ~np.isfinite(worst) & ~np.isfinite(array)  # as an honest implementation may
        worst = np.where(overflown, math.inf, np.nan_to_num(worst, nan=FARTHEST, posinf=FARTHEST))
        expected["errors"][..., WORST] = np.maximum(worst, expected["errors"][..., WORST])
        call = _judged(result.node.origin, 0, array, expected, precision)
        if overflown.any() if call.verdict is Verdict.AGREES else overflows:
            call = replace(call, verdict=Verdict.UNDECIDED, reason=OVERFLOWN)
        if call.verdict is Verdict.AGREES and call.zeroable and call.zeroable == np.count_nonzero(value):
            call = replace(call, verdict=Verdict.UNDECIDED, reason=AS_LARGE)
        found.append(call)
    return found


AS_LARGE = "roundings may be as large as the numbers themselves"
CHOSEN = "roundings decide what is chosen by numbers here, such as the largest of a window"
MOVED = 8  # such runs


def undecided_by_choice(
    calls: Sequence[JudgedCall], choices: Callable[[float, int], Sequence[bytes]]
) -> list[JudgedCall]:
    """The calls; those that are not right are undecided where roundings decide what is chosen by numbers (the largest
    of a window, a branch of `where`), so that another order of operations may choose another.

    choices: what a run chooses whose results are moved at random, from a seed, by up to so many roundings; not asked if
        all is right
    """
    accused = [call.verdict in (Verdict.WRONG, Verdict.SUSPECT) for call in calls]
    own = choices(0.0, 0) if any(accused) else ()
    if not own or all(choices(2.0, seed) == own for seed in range(MOVED)):
        return list(calls)
    return [
        replace(call, verdict=Verdict.UNDECIDED, reason=CHOSEN) if is_accused else call
        for call, is_accused in zip(calls, accused, strict=True)
    ]


def _explained(
    alarm: JudgedCall,
    judged: Callable[[Bounds, Precision], tuple[JudgedCall, Array]],
    numbers: Bounds,
    observed: Array,
    precision: Precision,
    allowed: Precision | None,
) -> JudgedCall:
    """The alarm with the coarser format that explains it, if one does; none where that format is allowed.

    It takes evidence, for wider bounds alone would explain any small error: products of factors that were rounded, or
    cut, to a format have to be right in the finer one from there on; a result that was rounded to a format has to
    consist of its numbers.
    """
    _, finer = judged(numbers, precision)
    for narrow in (FLOAT32, TF32, FLOAT16, BFLOAT16):
        profile = replace(numbers.profile, truncated=narrow is not FLOAT32)  # tensor cores cut sums
        for cut in (False, True) if narrow.digits < precision.digits else ():
            again, value = judged(replace(numbers, profile=profile, factors=(narrow, cut)), precision)
            if again.verdict is Verdict.AGREES and not np.array_equal(value, finer):
                like = f"products of factors {'cut' if cut else 'rounded'} to {narrow.name}"
                return replace(again if narrow is allowed else alarm, like=like)
    for narrow in (BFLOAT16, FLOAT16, FLOAT32):
        if narrow.digits < precision.digits and observed.any() and held(observed, narrow).all():
            again, _ = judged(replace(numbers, profile=PROFILES[narrow.name]), narrow)
            if again.verdict is Verdict.AGREES:
                return replace(alarm, like=f"{narrow.name}, stored in {precision.name}")
    if allowed is not None:  # without evidence of it: its wider bounds have to do
        profile = replace(numbers.profile, multiply=allowed, truncated=True)
        again, _ = judged(replace(numbers, profile=profile), precision)
        return replace(again, like=f"products of {allowed.name}")
    return alarm


def _judged(origin: Origin, number: int, observed: Array, expected: Array, precision: Precision) -> JudgedCall:
    value, errors = expected["value"], expected["errors"]
    finite = np.isfinite(value)
    known = np.isfinite(errors[..., WORST]) & np.isfinite(errors[..., TRUTH])
    with np.errstate(all="ignore"):
        off = np.where(np.isfinite(observed), np.abs(observed - value), np.inf)
        off = np.where(observed == value, 0.0, off)
        worst = errors[..., TRUTH] + errors[..., WORST]
        likely = errors[..., TRUTH] + np.minimum(
            errors[..., WORST], errors[..., SYSTEMATIC] + LAMBDA * errors[..., RANDOM]
        )
        ratios = np.where(known, _parts(off, worst), 0.0)
        likely_ratios = np.where(known, _parts(off, likely), 0.0)
        seen = aggregates(
            np.where(known & finite, observed - value, 0.0), np.where(finite, value, 0.0),
            errors[..., SYSTEMATIC] + errors[..., TRUTH],
            errors[..., RANDOM], known, precision.unit_roundoff,
        )  # fmt: skip
    if not observed.size or not known.any():
        reason = OVERFLOWN if observed.size else ""
        verdict = Verdict.UNDECIDED if observed.size else Verdict.AGREES
        return JudgedCall(
            origin, number, observed.shape, precision.name, verdict, elements=observed.size, undecided=observed.size,
            reason=reason,
        )  # fmt: skip
    place = np.unravel_index(int(np.argmax(ratios)), ratios.shape) if ratios.any() else (0,) * observed.ndim
    ratio, most_likely = float(ratios.max()), float(likely_ratios.max())
    beyond = most_likely > 1 or any(a.ratio > 1 for a in seen)
    there = known & (value != 0)
    unseen = there & (np.abs(value) <= likely)
    telling = any(a.resolution is not None and a.resolution < 1 for a in seen)  # all of them together
    if ratio <= 1 and not beyond and not telling and there.any() and (unseen == there).all():
        return _undecided(origin, number, observed, precision, AS_LARGE)
    return JudgedCall(
        origin,
        number,
        observed.shape,
        precision.name,
        Verdict.WRONG if ratio > 1 else Verdict.SUSPECT if beyond else Verdict.AGREES,
        ratio,
        most_likely,
        tuple(int(k) for k in place),
        float(observed[place]),
        float(value[place]),
        float(worst[place]),
        seen,
        observed.size,
        int(np.count_nonzero(~known)),
        int(np.count_nonzero(unseen)),
        error=float(off[known].max()),
        largest=float(np.abs(value[known & finite]).max(initial=0.0)),
    )


def _parts(off: Array, bound: Array) -> Array:
    """off / bound; what is exact is 0, and infinitely off where nothing is allowed."""
    return np.where(off == 0, 0.0, off / np.where(bound > 0, bound, 5e-324))
