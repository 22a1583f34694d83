"""A function without a graph beside its reference, by numbers: where its backward cannot be followed, or is rounded.

`rule.py` asks first whether the backward that was captured is the reference's pullback, to 30 digits. Where that says
nothing, the gradients that ran are compared with the pullback in balls, as what runs unwatched is with what was
captured: by half of the format's digits, and the verdict says to how many they agree.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

from ...reference.programs import right, zeros
from .guarded import by_itself, captured_at
from .not_finite import finite, not_finite
from .rule import RuleReport, Subject, points_of
from .what_ran import digits_of_numbers, in_digits


def by_numbers(subject: Subject) -> RuleReport:
    """The verdict on the numbers at every generic point."""
    plain, half = subject.of_reference(), -math.log10(subject.roundoff) / 2
    report = RuleReport("undecided", subject.name, tuple(subject.names), ())
    reason, least = "", math.inf
    for seed, point in enumerate(p for p in points_of(subject) if not p.special):
        captured = captured_at(plain, point.values, seed)
        if isinstance(captured, str) or not finite(captured):
            reason = captured if isinstance(captured, str) else not_finite(captured)
            continue
        ours = [g or zeros(captured.program, x.shape) for g, x in zip(right(captured), captured.inputs, strict=True)]
        total, gradients = by_itself(subject.name, partial(subject.value_and_gradient, point.values))
        value, digits = digits_of_numbers(replace(captured, gradients=tuple(ours)), total, gradients)
        if value < half:
            reason = f"what it gives is not what its reference gives: they agree to {in_digits(value)} only"
            return replace(report, reason=reason)
        least = min(least, digits)
        if digits < half:
            note = f"{point.name}: the gradients that ran agree with the reference's to {in_digits(digits)} only"
            return replace(report, verdict="wrong", notes=(note,), digits=digits)
    if least is math.inf and reason:
        return replace(report, reason=reason)
    return replace(report, verdict="agrees", digits=min(least, -math.log10(subject.roundoff)))
