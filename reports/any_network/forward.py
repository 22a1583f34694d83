"""The rule check of forward mode, as a report: what is asked of tangents where `rule.py` asks of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ...reference.programs import Agreement, Captured, NoGraph, Outcome, agreements, depending, pushforward
from .guarded import by_itself
from .not_finite import finite, not_finite
from .rule import NOTHING_DEPENDS, RuleReport


def check_forward_rule(capture: Callable[[int], Captured], name: str, names: Sequence[str]) -> RuleReport:
    """The verdict on forward mode: the tangents of the outputs against the chain rule's, at three points.

    capture(seed): a program whose inputs are the points and then their tangents, whose outputs are the outputs and then
        their tangents; seed 0 is the point given
    """
    verdict, reason, wrong_at = "agrees", "", ""
    found: list[Agreement] = []
    for seed in range(3):
        try:
            captured = by_itself(name, partial(capture, seed))
        except NoGraph as nowhere:
            verdict, reason = "undecided", f"no graph to be had: {nowhere}"
            break
        points, outputs = len(captured.inputs) // 2, len(captured.outputs) // 2
        between = depending(captured.outputs[:outputs], captured.inputs[:points])
        if not between.intersection(x.index for x in captured.inputs):
            reason = NOTHING_DEPENDS
            break
        if not finite(captured):
            reason = not_finite(captured)
            continue
        ours = pushforward(captured.outputs[:outputs], captured.inputs[:points], captured.inputs[points:])
        found = agreements(captured, ours, captured.outputs[outputs:], captured.outputs[:outputs])
        wrong = [a for a in found if a.outcome is Outcome.DIFFERENT]
        if wrong:
            witness = wrong[0].witness
            assert witness is not None
            verdict = "wrong"
            place_ = f"output {found.index(wrong[0])} {list(witness.index)}"
            wrong_at = f"{place_}: its tangent by the chain rule is {witness.right!r}, seen {witness.seen!r}"
            break
        if any(a.outcome is Outcome.UNDECIDED for a in found):
            verdict, reason = "undecided", next(a.reason for a in found if a.outcome is Outcome.UNDECIDED)
    if not found:
        verdict = "undecided"
    notes = (wrong_at,) if wrong_at else ()
    return RuleReport(verdict, name, tuple(names), (), (), (), notes, reason, what="tangent in forward mode")
