"""Do the numbers that really ran say the same as the program? What is outside of the graph would show here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.judging import PathCheck, check_path
from ...reference.numbers import PROFILES, Profile
from ...reference.programs import FLOATS, Captured, ran_as_captured, right, run, sizes_of_rounding
from .asked_in_part import asked_in_part
from .guarded import captured_at, in_a_line
from .points import NEARER, generic

if TYPE_CHECKING:
    from .rule import RuleReport, Subject

Array = NDArray[Any]
WEIGHTS = 7  # the seed of the fixed random c of Σ c · output
FORMATS = {2.0**-53: "float64", 2.0**-24: "float32", 2.0**-11: "float16", 2.0**-8: "bfloat16"}


def half_of_digits(subject: Subject, captured: Captured) -> float:
    """Half of the digits of the coarsest format that a number came in: that many agree in spite of rounding."""
    return -math.log10(max(subject.roundoff, captured.roundoff)) / 2


def profile_of(subject: Subject, captured: Captured) -> Profile:
    """The formats that it ran in."""
    return PROFILES[FORMATS.get(max(subject.roundoff, captured.roundoff), "bfloat16")]


def as_captured(subject: Subject, captured: Captured) -> float:
    """To how many digits the numbers that were captured are those of the program."""
    digits, half = ran_as_captured(captured), half_of_digits(subject, captured)
    if digits >= half:
        return digits
    where_it_cancels = ran_as_captured(captured, profile_of(subject, captured))
    return where_it_cancels if where_it_cancels >= half else digits


def along_a_path(subject: Subject, captured: Captured) -> PathCheck | str | None:
    """Whether the gradient that runs adds up to the function that runs; None where it cannot be asked.

    In words what the function raises somewhere along the path.
    """
    start = [np.asarray(x, dtype=np.float64) for x in subject.start]
    roundoff = max(subject.roundoff, captured.roundoff)
    if not any(x.size for x in start) or roundoff not in FORMATS:
        return None
    end = [np.asarray(x, dtype=np.float64) for x in generic(start, 5, NEARER[1]).values]
    try:
        return check_path(subject.value_and_gradient, start, end, dtype=FORMATS[roundoff])
    except (InvalidInput, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # a function that has a domain may raise anything beyond it
        return in_a_line(error)


BEYOND = (
    "something outside of the graph takes part (NumPy, a number read out of a tensor, an extension), or a kernel whose "
    "numbers are wrong (numbers=True asks each by itself)"
)


def as_it_ran(subject: Subject, report: RuleReport) -> RuleReport:
    """The report, with a reason if what runs is another than what was captured, which is right."""
    path, seen = along_a_path(subject, report.seen[0].captured), report.seen
    # what is stopped is missing along a path, and has been looked at
    declared = subject.surrogates or any(s.captured.stops or s.captured.conventions for s in seen)
    if isinstance(path, str):
        report = replace(report, notes=(*report.notes, f"no path could be gone along: it raised {path}"))
    elif path is not None and path.agrees is False and not declared:
        return replace(report, reason=f"the gradient that ran does not add up to the function that ran: {BEYOND}")
    return asked_in_part(subject, report)


NODES = 8  # of Gauss's quadrature


def missed_along_a_path(subject: Subject, least: float) -> tuple[float, float] | None:
    """The part of the function's change along a straight path that the gradient which runs misses, and the part that
    the chain rule of what is captured misses. None where the function has no value or does not change, or where the
    first is more than `least`: what is captured is then not asked, which takes longer.
    """
    start = [np.asarray(x, dtype=np.float64) for x in subject.start]
    end = [np.asarray(x, dtype=np.float64) for x in generic(start, 5, NEARER[1]).values]
    moved = [b - a for a, b in zip(start, end, strict=True)]
    rule = [((1 + x) / 2, weight / 2) for x, weight in zip(*np.polynomial.legendre.leggauss(NODES), strict=True)]

    def missed(gradient: Callable[[list[Array]], list[Array]]) -> float:
        terms = [
            weight * float((g * m).sum())
            for share, weight in rule
            for g, m in zip(gradient([a + share * m for a, m in zip(start, moved, strict=True)]), moved, strict=True)
        ]
        return abs(1 - sum(terms) / change)

    try:
        change = subject.value_and_gradient(end)[0] - subject.value_and_gradient(start)[0]
        by_what_ran = missed(lambda values: subject.value_and_gradient(values)[1]) if change else math.nan
        if not by_what_ran <= least:
            return None
        by_the_chain_rule = missed(lambda values: _by_the_chain_rule(subject, values))
    except (Exception, SystemExit):  # a function may raise anything away from the point given
        return None
    return (by_what_ran, by_the_chain_rule) if math.isfinite(by_the_chain_rule) else None


def _by_the_chain_rule(subject: Subject, values: Sequence[Array]) -> list[Array]:
    """The gradient of Σ c · output by the chain rule of what is captured there."""
    captured = subject.capture(values, 0)
    generator = np.random.default_rng(WEIGHTS)
    return right_in_floats(captured, {c.index: generator.standard_normal(c.shape) for c in captured.cotangents})


def right_in_floats(captured: Captured, cotangents: Mapping[int, Array] | None = None) -> list[Array]:
    """The chain rule's gradients in floats.  cotangents: others than the captured ones, by line"""
    ours, given = right(captured), {**captured.given, **(cotangents or {})}
    numbers = iter(run([g for g in ours if g is not None], given, FLOATS))
    return [np.zeros(x.shape) if g is None else next(numbers) for g, x in zip(ours, captured.inputs, strict=True)]


def alike_unwatched(subject: Subject, captured: Captured, total: float, gradients: Sequence[Array]) -> float:
    """To how many digits a run that nobody watched gives the numbers of what was captured. Where it does not, what is
    captured with that run's own cotangents is asked: a backward may branch by them, as that of logcumsumexp does."""
    alike, half = min(digits_of_numbers(captured, total, gradients)), half_of_digits(subject, captured)
    if alike >= half:
        return alike
    profile = profile_of(subject, captured)
    where_it_cancels = min(digits_of_numbers(captured, total, gradients, profile))
    if where_it_cancels >= half:
        return where_it_cancels
    again = captured_at(subject, subject.start, WEIGHTS)
    if isinstance(again, str):
        return alike
    another = min(digits_of_numbers(again, total, gradients, profile))
    return another if another >= half else alike


def digits_of_numbers(
    captured: Captured, total: float, gradients: Sequence[Array], profile: Profile | None = None
) -> tuple[float, float]:
    """To how many digits a run that nobody watched gives the captured program's value, and its gradients.

    profile: as of `ran_as_captured`
    """
    generator = np.random.default_rng(WEIGHTS)
    weights = {c.index: generator.standard_normal(c.shape) for c in captured.cotangents}
    values = [*captured.outputs, *(g for g in captured.gradients if g is not None)]
    given = {**captured.given, **weights}
    results = run(values, given, FLOATS)
    from_what = [0.0] * len(values) if profile is None else sizes_of_rounding(values, given, profile)
    ends = len(captured.outputs)
    factors = [weights[c.index] for c in captured.cotangents]
    terms = [r * w for r, w in zip(results[:ends], factors, strict=True)]
    size = sum(float(np.abs(t).sum()) for t in terms)
    scale = size + sum(s * float(np.abs(w).sum()) for s, w in zip(from_what[:ends], factors, strict=True))
    pairs: list[tuple[Any, Any, float]] = [(sum(float(t.sum()) for t in terms), total, scale)]
    there = [x for x, g in zip(gradients, captured.gradients, strict=True) if g is not None]
    largest = max([0.0, *(float(np.abs(x).max(initial=0.0)) for x in there), *from_what[ends:]])
    pairs += [(r, x, largest) for r, x in zip(results[ends:], there, strict=True)]
    gaps = [float(np.abs(a - b).max(initial=0.0)) / scale for a, b, scale in pairs if scale]
    first, *rest = gaps if scale else [0.0, *gaps]
    return _as_digits(first), min(map(_as_digits, rest), default=math.inf)


def _as_digits(gap: float) -> float:
    if not math.isfinite(gap):
        return 0.0
    return -math.log10(gap) if gap else math.inf


def in_digits(number: float) -> str:
    """Such as 3 digits; none is 0 digits."""
    digits = max(0, round(number))
    return f"{digits} digit{'' if digits == 1 else 's'}"
