"""The rule check of forward mode, as a report: what is asked of tangents where `rule.py` asks of gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import Agreement, Captured, NoGraph, Outcome, agreements, depending, pushforward
from .guarded import by_itself
from .not_finite import finite, not_finite
from .rule import NOTHING_DEPENDS, RuleReport
from .what_ran import WEIGHTS
from .without_graph import Numbers, by_numbers_alone

Array = NDArray[Any]
TANGENT = "tangent in forward mode"

MOST = 100  # elements of the inputs: without a graph each takes a call of its own


@dataclass(frozen=True)
class ForwardMode:
    """Somebody's function in forward mode.

    capture(seed): a program whose inputs are the points and then their tangents, whose outputs are the outputs and then
        their tangents; seed 0 is the point given
    along(values, tangents): the outputs there and their tangents, as they run;  start, roundoff: of the inputs
    """

    name: str
    names: Sequence[str]
    start: Sequence[Array]
    roundoff: float
    capture: Callable[[int], Captured]
    along: Callable[[Sequence[Array], Sequence[Array]], tuple[list[Array], list[Array]]]


def check_forward_rule(mode: ForwardMode) -> RuleReport:
    """The verdict on forward mode: the tangents of the outputs against the chain rule's, at three points.

    Where there is no graph, the tangents that run are asked along paths, as a gradient is.
    """
    name, names, capture = mode.name, mode.names, mode.capture
    verdict, reason, wrong_at = "agrees", "", ""
    found: list[Agreement] = []
    for seed in range(3):
        try:
            captured = by_itself(name, partial(capture, seed))
        except NoGraph as nowhere:
            return _along_paths(mode, str(nowhere))
        if captured.left and captured.outputs:
            return _along_paths(mode, f"numbers leave the graph at {', '.join(map(str, captured.left))}")
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
    return RuleReport(verdict, name, tuple(names), (), (), (), notes, reason, what=TANGENT)


def _along_paths(mode: ForwardMode, left: str) -> RuleReport:
    elements = sum(x.size for x in mode.start)
    if elements > MOST:
        reason = (
            f"no graph to be had: {left}; tangents are asked one by one, and the inputs have {elements} elements: "
            f"choose smaller ones, of {MOST} at most"
        )
        return RuleReport("undecided", mode.name, tuple(mode.names), (), reason=reason, what=TANGENT)

    def value_and_gradient(values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Of Σ c · output with fixed random c: each element of the gradient is a tangent."""
        total, gradient = 0.0, [np.zeros(x.shape) for x in values]
        for k, x in enumerate(values):
            for place in np.ndindex(x.shape):
                units = [np.zeros(y.shape) for y in values]
                units[k][place] = 1.0
                outputs, tangents = mode.along(values, units)
                generator = np.random.default_rng(WEIGHTS)
                weights = [generator.standard_normal(y.shape) for y in outputs]
                total = sum(float((y * w).sum()) for y, w in zip(outputs, weights, strict=True))
                gradient[k][place] = sum(float((t * w).sum()) for t, w in zip(tangents, weights, strict=True))
        return total, gradient

    by_itself(mode.name, partial(value_and_gradient, mode.start))  # it may have no forward mode
    numbers = Numbers(mode.name, mode.names, mode.start, mode.roundoff, value_and_gradient, TANGENT)
    return by_numbers_alone(numbers, left)
