"""What each edge of a program contributes to a wrong gradient, along two directions: most need not be tried at all.

With an edge times c, a gradient is right + (c − 1) · what goes through the edge; so along any direction of the input
the error has to be one and the same multiple of that. What goes through the edge u → w comes, along a direction, to
⟨its share of ∂E/∂u, how u moves⟩: one pullback gives all shares, one pushforward all movements.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from .chain_rule import Edge, pullback, pushforward
from .flow import Trial
from .ndarrays import FLOATS, Array
from .program import Value
from .running import lines_needed, run

DIRECTIONS = 2
ALIKE, CANCELLED = 1e-3, 1e-9  # they decide nothing but where to look; what cancels is looked at


class Contributions:
    """Of all edges, for each wrong input and direction."""

    def __init__(self, trial: Trial) -> None:
        self.wrong, self.program = trial.wrong, trial.segment.captured.program
        self.below: dict[frozenset[Edge], set[int]] = {}
        nodes = trial.segment.captured.program.nodes
        before = len(nodes)
        try:
            self._measure(trial)
        finally:
            del nodes[before:]

    def _measure(self, trial: Trial) -> None:
        segment = trial.segment
        program = segment.captured.program
        shares: dict[Edge, Value] = {}

        def passed(edge: Edge, share: Value) -> Value:
            shares[edge] = share
            return share

        there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
        pullback([o for o, _ in there], [c for _, c in there], segment.inputs, passed)
        edges = list(shares)
        amounts = run([shares[edge] for edge in edges], trial.known, FLOATS)
        used = sorted({edge.used for edge in edges})
        tangents = [program.input(x.shape) for x in segment.inputs]
        first = len(program.nodes)
        moving = pushforward([program.value(k) for k in used], segment.inputs, tangents)
        new = enumerate(program.nodes[first:], first)
        unknown = {k: np.zeros(node.shape) for k, node in new if node.operation.name == "input"}
        moved = [(k, m) for k, m in zip(used, moving, strict=True) if m is not None]
        generator = np.random.default_rng(0)
        self.errors: dict[tuple[int, int], float] = {}
        self.through: dict[tuple[int, int], dict[Edge, tuple[float, float]]] = {}
        for k in self.wrong:
            for number in range(DIRECTIONS):
                along = [np.zeros(x.shape) for x in segment.inputs]
                along[k] = generator.standard_normal(along[k].shape)
                given = {**trial.known, **unknown, **{t.index: d for t, d in zip(tangents, along, strict=True)}}
                how: dict[int, Array] = dict(
                    zip((u for u, _ in moved), run([m for _, m in moved], given, FLOATS), strict=True)
                )
                self.errors[k, number] = float(((trial.seen[k] - trial.right[k]) * along[k]).sum())
                self.through[k, number] = {
                    edge: (float(terms.sum()), float(np.abs(terms).sum()))
                    for edge, amount in zip(edges, amounts, strict=True)
                    if edge.used in how
                    for terms in [amount * how[edge.used]]
                }

    def may_explain(self, edges: Collection[Edge], factor: float | None = None) -> bool:
        """Whether the error may be a multiple (`factor` − 1 times, if that is known) of what goes through these edges,
        none of which is on another's way."""
        return any(self._may_explain(k, edges, factor) for k in self.wrong)

    def may_explain_both(self, first: frozenset[Edge], second: frozenset[Edge]) -> bool:
        """Whether the error may be that both are missing; they may be on each other's way."""
        if any(e.user in self._below(second) for e in first) or any(e.user in self._below(first) for e in second):
            return True
        return self.may_explain(first | second, factor=0.0)

    def _below(self, edges: frozenset[Edge]) -> set[int]:
        """The lines that what goes through these edges comes to, on the way back."""
        if edges not in self.below:
            self.below[edges] = set(lines_needed([self.program.value(edge.used) for edge in edges]))
        return self.below[edges]

    def _may_explain(self, k: int, edges: Collection[Edge], factor: float | None) -> bool:
        ratios: list[float] = [] if factor is None else [factor - 1]
        for number in range(DIRECTIONS):
            terms = [self.through[k, number].get(edge, (0.0, 0.0)) for edge in edges]
            through, size = sum(t for t, _ in terms), sum(s for _, s in terms)
            if not size:
                return False
            if not abs(through) > CANCELLED * size:
                return True
            ratios.append(self.errors[k, number] / through)
        apart = max(ratios) - min(ratios) if all(map(math.isfinite, ratios)) else 0.0
        return apart <= ALIKE * max(map(abs, ratios))


def contributions(trial: Trial) -> Contributions | None:
    """None where an operation has no second derivative, or there is nothing to move along."""
    try:
        return Contributions(trial)
    except Exception:  # it only saves time
        return None
