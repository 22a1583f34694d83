"""A function without a graph beside its reference, by numbers: where its backward cannot be followed, or is rounded.

`rule.py` asks first whether the backward that was captured is the reference's pullback, to 30 digits. Where that says
nothing, the gradients that ran are compared with the pullback in balls, as what runs unwatched is with what was
captured: by half of the format's digits, and the verdict says to how many they agree; along paths they are asked too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import Captured, right, zeros
from .guarded import by_itself, captured_at
from .not_finite import finite, not_finite
from .rule import RuleReport, Subject, points_of
from .what_ran import WEIGHTS, digits_of_numbers, in_digits, right_in_floats
from .without_graph import without_graph

Array = NDArray[Any]


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
            notes = (note, *_differences(subject, captured, gradients, half))
            return replace(report, verdict="wrong", notes=notes, digits=digits)
    if least is math.inf and reason:
        return replace(report, reason=reason)
    by_themselves = without_graph(subject)  # which may see more than half of the digits
    if by_themselves.verdict == "wrong":
        note = f"its gradients are the reference's to {in_digits(least)}"
        return replace(by_themselves, notes=(*by_themselves.notes, note))
    return replace(report, verdict="agrees", digits=min(least, -math.log10(subject.roundoff)))


def _differences(subject: Subject, captured: Captured, ran: Sequence[Array], half: float) -> list[str]:
    """Of each input whose gradient is not the reference's, the element that is furthest off."""
    generator = np.random.default_rng(WEIGHTS)
    weights = {c.index: generator.standard_normal(c.shape) for c in captured.cotangents}
    ours = right_in_floats(captured, weights)
    size = max((float(np.abs(x).max(initial=0.0)) for x in ours), default=0.0)
    said = []
    for name, right_one, seen in zip(subject.names, ours, ran, strict=True):
        off = np.abs(right_one - seen)
        if off.size and not float(off.max()) <= 10.0**-half * size:
            worst = np.unravel_index(int(np.nan_to_num(off, nan=math.inf).argmax()), off.shape)
            place = [int(i) for i in worst]
            said.append(f"{name} {place}: {float(seen[worst]):.9g}, of the reference {float(right_one[worst]):.9g}")
    return said
