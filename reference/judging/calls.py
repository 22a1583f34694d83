"""Judges the numbers of one call of a framework: did it give what an honest implementation may, from its operands?

The adapters call it for every operation that they see run, forward and backward, with the operation as a program
(`programs/`); the reports gather the verdicts. It is the judge of `stepwise.py` for arrays of any shape.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import LAMBDA, RANDOM, SYSTEMATIC, TRUTH, WORST, Precision, Profile
from ..programs import Bounds, NoBounds, Origin, Value, computing_lines, run
from .statistical import Aggregate, aggregates
from .verdict import Verdict

Array = NDArray[Any]


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
) -> list[JudgedCall]:
    """The verdict on each result of one call.

    results: the call as a program;  given: the numbers of the lines that it starts from
    observed: what the call gave, in float64;  precisions: the formats that it stored them in
    computed_in: the formats of what happens inside
    """
    numbers = Bounds(computed_in, expanded=computing_lines(results, given) > 1)
    found = []
    for number, (result, array, precision) in enumerate(zip(results, observed, precisions, strict=True)):
        origin = result.node.origin
        try:
            (expected,) = run([result], given, numbers)
        except NoBounds as reason:
            found.append(
                JudgedCall(
                    origin, number, array.shape, precision.name, Verdict.UNDECIDED, elements=array.size,
                    undecided=array.size, reason=str(reason),
                )
            )  # fmt: skip
            continue
        found.append(_judged(origin, number, array, numbers.stored(expected, precision), precision))
    return found


def _judged(origin: Origin, number: int, observed: Array, expected: Array, precision: Precision) -> JudgedCall:
    value, errors = expected["value"], expected["errors"]
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
            np.where(known, observed - value, 0.0), value, errors[..., SYSTEMATIC] + errors[..., TRUTH],
            errors[..., RANDOM], known, precision.unit_roundoff,
        )  # fmt: skip
    if not observed.size or not known.any():
        reason = (
            "" if not observed.size else "an honest implementation may overflow here, or the numbers are not finite"
        )
        verdict = Verdict.UNDECIDED if observed.size else Verdict.AGREES
        return JudgedCall(
            origin, number, observed.shape, precision.name, verdict, elements=observed.size, undecided=observed.size,
            reason=reason,
        )  # fmt: skip
    place = np.unravel_index(int(np.argmax(ratios)), ratios.shape) if ratios.any() else (0,) * observed.ndim
    ratio, most_likely = float(ratios.max()), float(likely_ratios.max())
    beyond = most_likely > 1 or any(a.ratio > 1 for a in seen)
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
        int(np.count_nonzero(known & (value != 0) & (np.abs(value) <= likely))),
    )


def _parts(off: Array, bound: Array) -> Array:
    """off / bound; what is exact is 0, and infinitely off where nothing is allowed."""
    return np.where(off == 0, 0.0, off / np.where(bound > 0, bound, 5e-324))
