"""The chain rule where a custom function's backward is declared to be meant as it is: a surrogate, such as that of a
straight-through estimator.

What flows into such a function is not its pullback but what its own backward makes of the right cotangents; everything
before and after it stays under the chain rule. Source: Bengio, Léonard & Courville, arXiv:1308.3432 (2013).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .captured import Border, Captured
from .chain_rule import Edge, Passed, pullback
from .movement import zeros
from .program import Value
from .running import lines_needed


def _all(edge: Edge, share: Value) -> Value | None:  # noqa: ARG001 (an edge is what others decide by)
    return share


def right(captured: Captured, passed: Passed = _all) -> list[Value | None]:
    """The gradients that are right: the pullback, through declared surrogates by their own backward.

    passed: see `pullback`
    """
    declared = [b for b in captured.borders if b.name in captured.surrogates and b.seen]
    ends, cotangents = list(captured.outputs), list(captured.cotangents)
    if not ends:
        return [None] * len(captured.inputs)
    borders = [output for border in declared for output in border.outputs]
    given = [*captured.inputs, *borders]
    for border in reversed(declared):
        found = dict(zip((v.index for v in given), pullback(ends, cotangents, given, passed), strict=True))
        there = [(x, g) for x, g in _through(border, [found[v.index] for v in border.outputs]) if g is not None]
        ends += [x for x, _ in there]
        cotangents += [g for _, g in there]
    return pullback(ends, cotangents, given, passed)[: len(captured.inputs)]


def _through(border: Border, arriving: Sequence[Value | None]) -> list[tuple[Value, Value | None]]:
    """The function's inputs, and what its own backward gives for them if these cotangents arrive."""
    if all(g is None for g in arriving):
        return []
    instead: dict[int, Value] = {}
    for seen, ours, output in zip(border.arrived, arriving, border.outputs, strict=True):
        if seen is not None:
            instead[seen.index] = ours or zeros(output.program, output.shape)
    there = [g for g in border.gradients if g is not None]
    new = dict(zip((g.index for g in there), substituted(there, instead), strict=True))
    return [(x, None if g is None else new[g.index]) for x, g in zip(border.inputs, border.gradients, strict=True)]


def substituted(wanted: Sequence[Value], instead: Mapping[int, Value]) -> list[Value]:
    """The same values, with others in place of some lines: what depends on them is written down once more."""
    if not wanted:
        return []
    program, new = wanted[0].program, dict(instead)
    before = program.origin
    for line in lines_needed(wanted):
        node = program.nodes[line]
        if line not in new and not new.keys().isdisjoint(node.operands):
            program.origin = node.origin
            operands = [new.get(k, program.value(k)) for k in node.operands]
            new[line] = program.add(node.operation, *operands, **node.parameters)
    program.origin = before
    return [new.get(value.index, value) for value in wanted]
