"""The chain rule, over any program. To be read beside `backprop.py`: what is layer by layer there is line by line here.

A program is a list of lines, each an operation on results above it. E depends on a result v through every line that
uses v, so its derivative is a sum, one share for each use:

    ∂E/∂v  =  Σ over the lines w that use v   ∂E/∂w · ∂w/∂v

Going up the list from its end, all uses of a result have been met before the result itself is. The shares ∂E/∂w · ∂w/∂v
are the operation's `pullback`, written with operations again: so the gradient is a program too, and has a gradient.
Source: Linnainmaa, BIT 16 (1976); Griewank & Walther, Evaluating Derivatives (2008), §3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .program import Value


@dataclass(frozen=True)
class Edge:
    """One use of a result: the line `user` has the result of the line `used` as its operand number `operand`."""

    used: int
    user: int
    operand: int


Passed = Callable[[Edge, Value], Value | None]
SeenAs = Callable[[int, Value], Value]


def pullback(
    outputs: Sequence[Value],
    cotangents: Sequence[Value],
    inputs: Sequence[Value],
    passed: Passed = lambda edge, share: share,
    seen_as: SeenAs = lambda line, value: value,
) -> list[Value | None]:
    """∂E/∂input for each input, where ∂E/∂output is given for each output. None: the outputs do not depend on it.

    cotangents: in the outputs' shapes. The gradients have the inputs' shapes and are added to the same program.
    passed(edge, share): what of a share goes through;  seen_as(line, value): what that line's pullback takes a result
        or an operand for. Both are for trying what a wrong gradient would be.
    """
    program, before = outputs[0].program, outputs[0].program.origin
    nodes = program.nodes
    between, given = depending(outputs, inputs), {value.index for value in inputs}
    shares: dict[int, list[Value]] = {}
    for output, cotangent in zip(outputs, cotangents, strict=True):
        shares.setdefault(output.index, []).append(cotangent)

    gradients: dict[int, Value] = {}
    for line in sorted(between, reverse=True):
        if line not in shares:
            continue
        gradients[line] = _added_up(shares[line])
        node, result = nodes[line], seen_as(line, program.value(line))
        operands = [seen_as(line, program.value(k)) for k in node.operands]
        if line in given or not between.intersection(node.operands):
            continue
        program.origin = node.origin
        for k, share in enumerate(node.operation.pullback(gradients[line], result, *operands, **node.parameters)):
            if share is None or node.operands[k] not in between:
                continue
            through = passed(Edge(node.operands[k], line, k), share)
            if through is not None:
                shares.setdefault(node.operands[k], []).append(through)
    program.origin = before
    return [gradients.get(value.index) for value in inputs]


def pushforward(outputs: Sequence[Value], inputs: Sequence[Value], tangents: Sequence[Value]) -> list[Value | None]:
    """How each output changes where the inputs move along their tangents: the pullback, transposed.

    The pullback is linear in its cotangents; pulled back itself, it carries tangents the other way.
    Source: the "double-vjp" of Townsend, A new trick for calculating Jacobian vector products (2017).
    """
    program = outputs[0].program
    cotangents = [program.input(output.shape) for output in outputs]
    gradients = pullback(outputs, cotangents, inputs)
    there = [(g, t) for g, t in zip(gradients, tangents, strict=True) if g is not None]
    if not there:
        return [None] * len(outputs)
    return pullback([g for g, _ in there], [t for _, t in there], cotangents)


def depending(outputs: Iterable[Value], inputs: Iterable[Value]) -> set[int]:
    """The lines between: those that the outputs depend on, and that depend on an input themselves."""
    outputs, given = list(outputs), {value.index for value in inputs}
    if not outputs:
        return set()
    nodes = outputs[0].program.nodes
    needed, waiting = set(), [value.index for value in outputs]
    while waiting:
        line = waiting.pop()
        if line not in needed:
            needed.add(line)
            if line not in given:
                waiting += nodes[line].operands
    between: set[int] = set()
    for line in sorted(needed):
        if line in given or not between.isdisjoint(nodes[line].operands):
            between.add(line)
    return between


def _added_up(shares: Sequence[Value]) -> Value:
    total = shares[0]
    for share in shares[1:]:
        total = total + share
    return total
