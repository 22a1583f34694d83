"""The rule check: is the gradient that was seen the chain rule's? Without a tolerance, a format, or rounding.

Both are lines of one program. It runs in balls, with more bits until every element is decided: the two differ, surely,
or are equal to 30 digits. Where the function has a kink the chain rule's own ball holds every gradient that may be
taken there. The doors in `reports/` ask; `flow.py` explains what differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from ..numbers import Profile
from .captured import Captured
from .chain_rule import Edge
from .kinks import nearest_together
from .movement import STOP, zeros
from .ndarrays import FLOATS, Balls, half_unit
from .perturbed import sizes_of_rounding
from .program import CONSTANT, Value
from .running import lines_needed, run
from .surrogates import right

BITS = (128, 256, 512, 1024)  # tried in this order
DIGITS = 30
SINGLE = 2.0**-24  # float32's unit roundoff
TO_SIX = 6  # digits: what agrees less is no matter of a literal's last place
NARROW = 2.0**-20  # a ball wider than this, and as wide with more bits, is one of a kink's


class Outcome(StrEnum):
    """Of one gradient. KINK: one of those that may be taken there;  LITERALS: equal but for a literal's rounding"""

    EQUAL = "equal"
    LITERALS = "equal up to the rounding of literals"
    KINK = "one of those that a kink admits"
    DIFFERENT = "different"
    UNDECIDED = "not decided"


@dataclass(frozen=True)
class Witness:
    """The element that is furthest off. index: of the input;  right, seen: its gradient by the chain rule, and seen."""

    index: tuple[int, ...]
    right: float
    seen: float


@dataclass(frozen=True)
class Agreement:
    """What was found for one input.

    digits: to how many both are known to agree, relative to the gradient's largest element
    wrong: of so many elements;  witness: the worst of them
    reason: why nothing was decided, or what is wrong at a kink
    """

    outcome: Outcome
    digits: float = 0.0
    wrong: int = 0
    elements: int = 0
    witness: Witness | None = None
    reason: str = ""


def check(captured: Captured, roundoff: float = 0.0) -> list[Agreement]:
    """One agreement for each input: the gradient seen against the pullback of the forward seen.

    roundoff: of the format that it ran in
    """
    found = agreements(captured, right(captured), captured.gradients, captured.inputs, roundoff)
    ran = captured.ran[len(captured.outputs) :]
    return [_without_value(a, x) for a, x in zip(found, ran, strict=True)]


def _beside_what_is_wrong(found: list[Agreement]) -> list[Agreement]:
    """Nothing that is less than a rounding of what is wrong elsewhere is told as wrong: the gradient by where a loop
    starts that has converged, which is 1e-35 and left out.
    """
    gaps = [0.0 if a.witness is None else abs(a.witness.right - a.witness.seen) for a in found]
    of_wrong = [
        gap for a, gap in zip(found, gaps, strict=True) if a.outcome is Outcome.DIFFERENT and math.isfinite(gap)
    ]
    least = UNIT * max(of_wrong, default=0.0)
    return [
        replace(a, outcome=Outcome.EQUAL, wrong=0, witness=None)
        if a.outcome is Outcome.DIFFERENT and gap < least
        else a
        for a, gap in zip(found, gaps, strict=True)
    ]


UNIT = 2.0**-53  # float64's unit roundoff


def _without_value(agreement: Agreement, ran: NDArray[Any] | None) -> Agreement:
    """Different, not undecided, where the right gradient is a number and the one that ran is not, nor exactly is."""
    witness = agreement.witness
    if agreement.outcome is not Outcome.UNDECIDED or witness is None or ran is None:
        return agreement
    number = float(ran[witness.index])
    if math.isfinite(number):
        return agreement
    wrong = int((~np.isfinite(ran)).sum())
    return replace(agreement, outcome=Outcome.DIFFERENT, wrong=wrong, witness=replace(witness, seen=number), reason="")


def right_as_stopped(captured: Captured) -> bool:
    """Whether the gradient is right if what the code stops by intention is stopped in the chain rule as well."""
    nodes = captured.program.nodes

    def passed(edge: Edge, share: Value) -> Value | None:
        return None if nodes[edge.user].operation is STOP else share

    found = agreements(captured, right(captured, passed), captured.gradients, captured.inputs)
    return all(a.outcome in {Outcome.EQUAL, Outcome.LITERALS, Outcome.KINK} for a in found)


def largest_difference(captured: Captured) -> float:
    """How far the gradients seen are from the chain rule's, all of them relative to the largest element of all."""
    program = captured.program
    ours, seen = (
        [a or zeros(program, x.shape) for a, x in zip(values, captured.inputs, strict=True)]
        for values in (right(captured), captured.gradients)
    )
    with Balls(BITS[0]).at_work():
        there, found = (
            [x for array in run(values, captured.given, Balls(BITS[0])) for x in array.flat] for values in (ours, seen)
        )
    if not all(x.is_finite() for x in (*there, *found)):
        return math.inf
    size = max((abs(x).abs_upper() for x in there), default=arb(0))
    gap = max((abs(a - b).abs_upper() for a, b in zip(there, found, strict=True)), default=arb(0))
    return float(gap / size) if size > 0 else math.inf


def agreements(
    captured: Captured,
    ours: Sequence[Value | None],
    seen: Sequence[Value | None],
    inputs: Sequence[Value],
    roundoff: float = 0.0,
) -> list[Agreement]:
    """Compares pairs of values of one program, None being zeros; with more bits for as long as one is undecided."""
    program = captured.program
    pairs = [
        (a or zeros(program, x.shape), b or zeros(program, x.shape)) for a, b, x in zip(ours, seen, inputs, strict=True)
    ]
    found: list[Agreement] = [Agreement(Outcome.UNDECIDED)] * len(pairs)
    for bits in BITS:
        open_ = [k for k, a in enumerate(found) if a.outcome is Outcome.UNDECIDED and not a.reason]
        if not open_:
            break
        wanted = [value for k in open_ for value in pairs[k]]
        with Balls(bits).at_work():
            results = run(wanted, captured.given, Balls(bits))
            for place, k in enumerate(open_):
                found[k] = compared(results[2 * place], results[2 * place + 1], last=bits == BITS[-1])
    for k, agreement in enumerate(found):
        if agreement.outcome is Outcome.KINK:
            found[k] = _together(captured, *pairs[k], agreement)
    different = [k for k, a in enumerate(found) if a.outcome is Outcome.DIFFERENT]
    found = _but_for_literals(captured, pairs, found, different, SINGLE if roundoff >= SINGLE else 0.0)
    return _beside_what_is_wrong(found)


TOGETHER = (
    "each of them may be taken at the kink, all of them together may not: they depend on each other there, as what "
    "equally large elements are given adds up to what their maximum is given"
)


def _together(captured: Captured, ours: Value, seen: Value, agreement: Agreement) -> Agreement:
    """Different, where each element may be taken at its kink, and all of them together may not."""
    with Balls(BITS[0]).at_work():
        right, there = (x.reshape(-1) for x in run([ours, seen], captured.given, Balls(BITS[0])))
        wide = [k for k, x in enumerate(right) if x.rad() > 0 and float(x.rad()) > NARROW * float(abs(x).abs_upper())]
        nearest = nearest_together(ours, there, wide, captured.given, BITS[0])
    if nearest is None:
        return agreement
    off = [abs(float(there[k].mid()) - x) for k, x in zip(wide, nearest, strict=True)]
    worst = int(np.argmax(off))
    place = tuple(int(i) for i in np.unravel_index(wide[worst], ours.shape))
    witness = Witness(place, float(nearest[worst]), float(there[wide[worst]].mid()))
    wrong = sum(x > NARROW * max(off) for x in off)
    return Agreement(Outcome.DIFFERENT, 0.0, wrong, agreement.elements, witness, TOGETHER)


def compared(ours: NDArray[Any], seen: NDArray[Any], last: bool) -> Agreement:
    """Two arrays of balls of one shape. Undecided without a reason: more bits may decide it."""
    elements = ours.size
    if not all(x.is_finite() for x in (*ours.flat, *seen.flat)):
        if not last:
            return Agreement(Outcome.UNDECIDED)
        return Agreement(Outcome.UNDECIDED, 0.0, 0, elements, _nowhere(ours, seen), NOWHERE)
    size = max((abs(x).abs_upper() for x in (*ours.flat, *seen.flat)), default=arb(0))
    allowed = max(size, arb(0)) * arb(10) ** -DIGITS
    gaps = [abs(a - b) for a, b in zip(ours.flat, seen.flat, strict=True)]
    wrong = [k for k, gap in enumerate(gaps) if gap.abs_lower() > allowed]
    if wrong:
        worst = max(wrong, key=lambda k: float(gaps[k].abs_lower()))
        place = tuple(int(i) for i in np.unravel_index(worst, ours.shape))
        witness = Witness(place, float(ours.flat[worst].mid()), float(seen.flat[worst].mid()))
        digits = _digits([gaps[k] for k in wrong], size)  # of the others, some may be wide, at a kink
        return Agreement(Outcome.DIFFERENT, digits, len(wrong), elements, witness)
    nothing = arb(10) ** (-2 * DIGITS)
    if all(gap.abs_upper() <= max(allowed, nothing) for gap in gaps):
        return Agreement(
            Outcome.EQUAL, _digits([gap for gap in gaps if not gap.abs_upper() <= nothing], size), 0, elements
        )
    if not last:
        return Agreement(Outcome.UNDECIDED)
    wide = [k for k, gap in enumerate(gaps) if gap.abs_upper() > allowed]
    if all(float(ours.flat[k].rad()) > NARROW * float(size) for k in wide):
        return Agreement(Outcome.KINK, 0.0, 0, elements)
    return Agreement(Outcome.UNDECIDED, reason=f"cancellation beyond {BITS[-1]} bits")


NOWHERE = "not a number, or infinite, at this point"


def _nowhere(ours: NDArray[Any], seen: NDArray[Any]) -> Witness | None:
    """An element that is no number where the right one is; None where the right gradient has none itself."""
    if not all(x.is_finite() for x in ours.flat):
        return None
    worst = next(k for k, x in enumerate(seen.flat) if not x.is_finite())
    place = tuple(int(i) for i in np.unravel_index(worst, ours.shape))
    return Witness(place, float(ours.flat[worst].mid()), float(seen.flat[worst].mid()))


def _digits(gaps: Sequence[arb], size: arb) -> float:
    """To how many digits all agree, by what is certain."""
    largest = max((gap.abs_upper() for gap in gaps), default=arb(0))
    if largest == 0 or size == 0:
        return float("inf")
    return max(0.0, float(-(largest / size).log() / arb(10).log()))


def _but_for_literals(
    captured: Captured,
    pairs: Sequence[tuple[Value, Value]],
    found: list[Agreement],
    different: Sequence[int],
    held: float,
) -> list[Agreement]:
    """What differs by less than a literal's own rounding is not told as different.

    A program holds 0.7978845608 where √(2/π) is meant, and its derivative another rounding of it. With every such
    literal anywhere within half a unit of its last place, do the two sides still exclude each other? A literal that
    stands on both sides is one number, but for float64's rounding: its last decimal place explains no difference.
    held: what a literal is off, of itself, in the format that it ran in: in float32, and what is narrower, kernels hold
    it in float32, and 1/α may come of that
    """
    close = [k for k in different if found[k].digits > TO_SIX]
    for k in close:
        ours, seen = pairs[k]
        numbers = Balls(BITS[0], rounded_literals=literals([ours]) ^ literals([seen]), held=held)
        with numbers.at_work():
            results = run(pairs[k], captured.given, numbers)
            if all(a.overlaps(b) for a, b in zip(results[0].flat, results[1].flat, strict=True)):
                found[k] = Agreement(Outcome.LITERALS, found[k].digits, 0, found[k].elements)
    return found


def literals(values: Sequence[Value]) -> frozenset[float]:
    """The numbers that stand in the lines that these depend on."""
    nodes = values[0].program.nodes
    arrays = [nodes[k].parameters["array"] for k in lines_needed(values) if nodes[k].operation is CONSTANT]
    return frozenset(
        number for x in arrays if x.size for number in (x.reshape(-1) if any(x.strides) else x.flat[:1]).tolist()
    )


def rounded_gradients(captured: Captured) -> bool:
    """Whether the gradients depend on numbers of the run that the forward does not: rounded, they are not its own."""
    there = [g for g in captured.gradients if g is not None]
    if not there:
        return False
    nodes, known = captured.program.nodes, set(lines_needed(captured.outputs))
    arrays = [
        nodes[k].parameters["array"] for k in lines_needed(there) if k not in known and nodes[k].operation is CONSTANT
    ]
    return any(
        half_unit(float(x)) != 0 for array in arrays for x in (array.flat if any(array.strides) else array.flat[:1])
    )


def ran_as_captured(captured: Captured, profile: Profile | None = None) -> float:
    """To how many digits the numbers that ran are those of the program, relative to the largest output, or gradient.

    Rounding decides it in a framework that does what its operations are called; a kernel that does something else, or
    numbers that took another way, show here.
    profile: the formats of the run, where what cancels is to be told by the size of what it was added up from
    """
    digits = math.inf
    ends = len(captured.outputs)
    for values, ran in ((captured.outputs, captured.ran[:ends]), (captured.gradients, captured.ran[ends:])):
        there = [(v, x) for v, x in zip(values, ran, strict=True) if v is not None and x is not None and x.size]
        results = run([v for v, _ in there], captured.given, FLOATS)
        size = max((float(np.abs(x).max()) for _, x in there), default=0.0)
        if profile is not None:
            size = max([size, *sizes_of_rounding([v for v, _ in there], captured.given, profile)])
        for result, (_, x) in zip(results, there, strict=True):
            gap = float(np.abs(result - x).max())
            if not math.isfinite(gap):
                return 0.0
            digits = min(digits, -math.log10(gap / size)) if gap and size else digits
    return max(0.0, digits)
