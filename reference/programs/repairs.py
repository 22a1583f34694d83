"""What would have to stand in somebody's backward for its gradient to be the chain rule's: one line of it, changed.

The backward that was captured is a program too. Of each of its lines it is asked whether the gradient is right with
that line scaled, with another value for one that it uses, with a factor more, or summed over other axes. `edits.py`
asks the other way round, for what is missing of the right gradient; `flow.py` tries and proves both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from math import prod

import numpy as np

from .chain_rule import depending
from .flow import Edit, Segment, Trial, alike
from .movement import REARRANGE, broadcast, permuted, reshaped
from .origins import Origin
from .program import Node, Value
from .running import lines_needed
from .sums import PRODUCTS, total

MOVING = {"rearrange", "scatter", "reshape", "join", "stop", "mirror", "constant", "input"}
USES = 6  # of one value, that are looked at together
Made = Callable[[Value], Value]


def of_a_scale(trial: Trial) -> Iterator[Edit]:
    """A line of the backward is a multiple of what it has to be."""
    from .edits import constant_ratio, in_words

    for line in _backward(trial):
        without = trial.tried(partial(_replayed, line=line, change=partial(_times, factor=0.0)))
        if any(alike(trial.right[k], without[k]) for k in trial.wrong):
            yield Edit(
                f"{_line_named(trial, line)} adds what does not belong there",
                partial(_replayed, line=line, change=partial(_times, factor=0.0)),
                _origin(trial, line),
                repairs=True,
            )
        for k in trial.wrong:
            share = trial.seen[k] - without[k]
            factor = constant_ratio(trial.right[k] - without[k], share)
            if factor is None or alike(trial.right[k], without[k]):
                continue
            exact, words = in_words(1 / factor)
            if not exact:
                continue
            yield Edit(
                f"{_line_named(trial, line)} is {words}",
                partial(_replayed, line=line, change=partial(_times, factor=1 / exact)),
                _origin(trial, line),
                fitted=exact == 1 / factor,
                repairs=True,
            )
            break


def of_an_operand(trial: Trial) -> Iterator[Edit]:
    """A line of the backward uses one value where another of its shape belongs."""
    from .edits import named, named_apart

    nodes = trial.segment.captured.program.nodes
    candidates = _candidates(trial)
    for line in _backward(trial):
        node = nodes[line]
        if node.operation.name in MOVING:
            continue
        for used in dict.fromkeys(node.operands):
            shape = nodes[used].shape
            for other in candidates:
                if other is not None and (trial.segment.value(other).shape != shape or other in {used, line}):
                    continue
                if other is not None and other < 0:  # of the chain rule's own lines
                    stands, belongs = named(trial, used), _called(trial, other)
                else:
                    stands, belongs = named_apart(trial, used, other)
                yield Edit(
                    f"in {_line_named(trial, line)}, {stands} stands where {belongs} belongs",
                    partial(_with_operand, line=line, used=used, other=other),
                    _origin(trial, line),
                    repairs=True,
                )


def of_a_matrix(trial: Trial) -> Iterator[Edit]:
    """A product of matrices in the backward has another matrix than it should: what belongs there may be transposed,
    or a gradient that somebody's own backward never computes."""
    from .edits import named

    nodes = trial.segment.captured.program.nodes
    flowing = _flowing(trial)
    for line in _backward(trial):
        if nodes[line].operation is not PRODUCTS or nodes[line].shape[0] != 1:
            continue
        for used in dict.fromkeys(nodes[line].operands):
            for other in (*(k for k in _candidates(trial) if k is not None), *flowing):
                shape = trial.segment.value(other).shape
                for turned in (False, True):
                    order = -1 if turned else 1
                    if len(shape) < 2 or shape[-2:][::order] != nodes[used].shape[1:] or prod(shape[:-2]) != 1:
                        continue
                    belongs = f"{_called(trial, other, other in flowing)}{' transposed' if turned else ''}"
                    yield Edit(
                        f"in {_line_named(trial, line)}, {named(trial, used)} stands where {belongs} belongs",
                        partial(_with_matrix, line=line, used=used, other=other, turned=turned),
                        _origin(trial, line),
                        repairs=True,
                    )


def of_a_flow(trial: Trial) -> Iterator[Edit]:
    """A line of the backward uses another value than the gradient that comes back to there."""
    from .edits import named, source

    nodes = trial.segment.captured.program.nodes
    computed = set(_backward(trial))  # what is wrong of these came before
    for line in _backward(trial):
        if nodes[line].operation.name in MOVING:
            continue
        for used in dict.fromkeys(nodes[line].operands):
            for other in _flowing(trial):
                if trial.segment.value(other).shape == nodes[used].shape:
                    belongs = _called(trial, other, flowing=True)
                    yield Edit(
                        f"in {_line_named(trial, line)}, {named(trial, used)} is not {belongs}, which belongs there"
                        if source(nodes, used) in computed
                        else f"in {_line_named(trial, line)}, {named(trial, used)} stands where {belongs} belongs",
                        partial(_with_operand, line=line, used=used, other=other),
                        _origin(trial, line),
                        repairs=True,
                    )


def of_several_uses(trial: Trial) -> Iterator[Edit]:
    """Of the places where the backward uses one value of the forward, several are another's: a name that is bound to
    the wrong one of the values saved."""
    from .edits import named

    nodes = trial.segment.captured.program.nodes
    shown = [k for k in sorted(trial.forward_lines & trial.known.keys()) if _is_value(nodes[k])]
    places: dict[int, list[tuple[int, int]]] = {}
    for line in _backward(trial):
        if nodes[line].operation.name in MOVING:
            continue
        for position, operand in enumerate(nodes[line].operands):
            used = operand
            while nodes[used].operation.name == "reshape":
                used = nodes[used].operands[0]
            if used in trial.forward_lines:
                places.setdefault(used, []).append((line, position))
    for used, all_ in places.items():
        line, position = all_[0]
        shape = nodes[nodes[line].operands[position]].shape
        for other in (k for k in shown if k != used and _fits(nodes[k].shape, shape)):
            for count in range(2, len(all_) + 1) if len(all_) <= USES else ():
                for several in combinations(all_, count):
                    yield Edit(
                        f"in the backward, {named(trial, used)} stands where {named(trial, other)} belongs, "
                        f"{count} times",
                        partial(_with_uses, places=frozenset(several), other=other),
                        _origin(trial, several[0][0]),
                        repairs=True,
                    )


def _is_value(node: Node) -> bool:
    """Whether it is an input or computed, and no other's elements moved."""
    return node.operation.name == "input" or node.operation.name not in MOVING


def of_a_missing_factor(trial: Trial) -> Iterator[Edit]:
    """A line of the backward lacks a factor or a term, a value of the forward or of a derivative."""
    nodes = trial.segment.captured.program.nodes
    for line in _backward(trial):
        node = nodes[line]
        spread = node.operation is REARRANGE and nodes[node.operands[0]].shape != node.shape  # a sum, put back
        if node.operation.name in MOVING and not spread:
            continue
        for other in _candidates(trial):
            if other is None or other == line or not _fits(trial.segment.value(other).shape, nodes[line].shape):
                continue
            ways: tuple[tuple[str, Callable[[Value, Value], Value]], ...] = (
                ("lacks a factor", lambda x, v: x * v),
                ("has a factor too many", lambda x, v: x / v),
                ("lacks a term", lambda x, v: x + v),
                ("has a term too many", lambda x, v: x - v),
            )
            for words, way in ways:
                yield Edit(
                    f"{_line_named(trial, line)} {words}: {_called(trial, other)}",
                    partial(_together_with, line=line, other=other, way=way),
                    _origin(trial, line),
                    repairs=True,
                )


def of_axes(trial: Trial) -> Iterator[Edit]:
    """A line of the backward sums over other axes than it has to, or a matrix in it is transposed."""
    nodes = trial.segment.captured.program.nodes
    for line in _backward(trial):
        node = nodes[line]
        name = _line_named(trial, line)
        if node.operation.name == "sum":
            operand = nodes[node.operands[0]].shape
            for count in range(len(operand) + 1):
                for axes in combinations(range(len(operand)), count):
                    if axes == node.parameters["axes"]:
                        continue
                    wrong, belong = _axes(node.parameters["axes"]), _axes(axes)
                    average = prod(operand[k] for k in node.parameters["axes"]) / prod(operand[k] for k in axes)
                    for scale in dict.fromkeys((1.0, average)):  # a mean divides by other sizes, too
                        yield Edit(
                            f"{name} is over the wrong axes: {wrong} where {belong} belongs",
                            partial(_with_axes, line=line, axes=axes, scale=scale),
                            _origin(trial, line),
                            repairs=True,
                        )
            yield from _spread_again(trial, line)
        shape = node.shape
        if len(shape) >= 2 and shape[-1] == shape[-2] > 1:
            order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
            yield Edit(
                f"{name} is transposed",
                partial(_replayed, line=line, change=partial(permuted, axes=order)),
                _origin(trial, line),
                repairs=True,
            )
        for axis in (k for k, n in enumerate(shape) if n > 1):
            for words, change in (("summed", summed), ("averaged", averaged)):
                yield Edit(
                    f"{name} is not {words} over axis {axis}",
                    partial(_replayed, line=line, change=partial(change, axis=axis)),
                    _origin(trial, line),
                    repairs=True,
                )


def _spread_again(trial: Trial, line: int) -> Iterator[Edit]:
    """A sum, or a mean, that is broadcast back to the shape of what was summed: over other axes."""
    nodes = trial.segment.captured.program.nodes
    operand = nodes[line].operands[0]
    shape = nodes[operand].shape
    for spread in _backward(trial):
        if spread <= line or nodes[spread].operation.name != "rearrange" or nodes[spread].shape != shape:
            continue
        for count in range(1, len(shape) + 1):
            for axes in combinations(range(len(shape)), count):
                for scale in dict.fromkeys((1.0, 1.0 / prod(shape[k] for k in axes))):
                    yield Edit(
                        f"{_line_named(trial, line)} is over the wrong axes: {_axes(axes)} belongs there",
                        partial(_spread_over, line=spread, operand=operand, axes=axes, scale=scale),
                        _origin(trial, line),
                        repairs=True,
                    )


# ---------------------------------------------------------------------------------------- the backward as it is


def _backward(trial: Trial) -> list[int]:
    """The lines of somebody's own backward, the last one first."""
    if trial.backward is None:
        segment = trial.segment
        program = segment.captured.program
        roots = [v for k, v in enumerate(segment.seen) if v is not None and k in trial.wrong]
        before = {*trial.forward_lines, *lines_needed([c for c in segment.arrived if c is not None])}
        lines = [line for line in lines_needed(roots) if line not in before] if roots else []
        trial.backward = [line for line in reversed(lines) if program.nodes[line].operation.name != "constant"]
    return trial.backward


def _candidates(trial: Trial) -> list[int | None]:
    """What may belong somewhere: values of the forward, of the backward, of derivatives, what arrives, and 1."""
    if trial.candidates is None:
        segment = trial.segment
        arrived = [c for c in segment.arrived if c is not None]
        right = [g for g in trial.right_values if g is not None]
        base, flowing = segment.base, depending(right, arrived)
        derived = [base - 1 - k for k in lines_needed(right) if k >= base and k not in flowing] if right else []
        known = [*sorted(trial.forward_lines), *(c.index for c in arrived), *_backward(trial)]
        trial.candidates = [None, *dict.fromkeys(k for k in known if k in trial.known), *derived]
    return trial.candidates


def _flowing(trial: Trial) -> list[int]:
    """The chain rule's own lines that depend on what arrives: the gradients of the forward's values."""
    segment = trial.segment
    right = [g for g in trial.right_values if g is not None]
    arrived = [c for c in segment.arrived if c is not None]
    lines = depending(right, arrived) if right else set()
    return [segment.base - 1 - k for k in sorted(lines) if k >= segment.base]


def _replayed(segment: Segment, line: int, change: Made) -> list[Value | None]:
    """The gradients seen, with one line's result changed and all below it done again."""
    return _redone(segment, line, change(segment.captured.program.value(line)))


def _times(x: Value, factor: float) -> Value:
    return x * factor


def _together_with(segment: Segment, line: int, other: int, way: Callable[[Value, Value], Value]) -> list[Value | None]:
    return _replayed(segment, line, lambda x: way(x, segment.value(other)))


def summed(x: Value, axis: int) -> Value:
    """Over one axis, and broadcast back."""
    return broadcast(total(x, [axis], keep=True), x.shape)


def averaged(x: Value, axis: int) -> Value:
    """Over one axis, and broadcast back."""
    return summed(x, axis) / x.shape[axis]


def _with_matrix(segment: Segment, line: int, used: int, other: int, turned: bool) -> list[Value | None]:
    program = segment.captured.program
    node, found = program.nodes[line], segment.value(other)
    matrix = reshaped(found, found.shape[-2:])
    matrix = reshaped(permuted(matrix, (1, 0)) if turned else matrix, program.nodes[used].shape)
    operands = [matrix if k == used else program.value(k) for k in node.operands]
    return _redone(segment, line, program.add(node.operation, *operands, **node.parameters))


def _with_uses(segment: Segment, places: frozenset[tuple[int, int]], other: int) -> list[Value | None]:
    """The gradients seen, with another value at these places: (line, position among its operands)."""
    program = segment.captured.program
    roots = [v for v in segment.seen if v is not None]
    new: dict[int, Value] = {}
    below: set[int] = set()
    for line, _ in places:
        below |= depending(roots, [program.value(line)])
    for k in sorted(below):
        node = program.nodes[k]
        operands = [
            broadcast(program.value(other), program.nodes[j].shape)
            if (k, position) in places
            else new.get(j) or program.value(j)
            for position, j in enumerate(node.operands)
        ]
        new[k] = program.add(node.operation, *operands, **node.parameters)
    return [None if v is None else new.get(v.index) or v for v in segment.seen]


def _redone(segment: Segment, line: int, instead: Value) -> list[Value | None]:
    return redone(segment.seen, line, instead)


def redone(gradients: Sequence[Value | None], line: int, instead: Value) -> list[Value | None]:
    """The gradients, computed once more from what they depend on, with another value for one line."""
    program = instead.program
    roots = [v for v in gradients if v is not None]
    below = depending(roots, [program.value(line)])
    new: dict[int, Value] = {line: instead}
    for k in sorted(below - {line}):
        node = program.nodes[k]
        operands = [new.get(j) or program.value(j) for j in node.operands]
        new[k] = program.add(node.operation, *operands, **node.parameters)
    return [None if v is None else new.get(v.index) or v for v in gradients]


def _with_operand(segment: Segment, line: int, used: int, other: int | None) -> list[Value | None]:
    program = segment.captured.program
    node = program.nodes[line]
    shape = program.nodes[used].shape
    value = program.constant(1.0, shape) if other is None else segment.value(other)
    operands = [value if k == used else program.value(k) for k in node.operands]
    return _redone(segment, line, program.add(node.operation, *operands, **node.parameters))


def _spread_over(segment: Segment, line: int, operand: int, axes: Sequence[int], scale: float) -> list[Value | None]:
    x = segment.value(operand)
    return _redone(segment, line, broadcast(total(x, axes, keep=True), x.shape) * scale)


def _with_axes(segment: Segment, line: int, axes: Sequence[int], scale: float) -> list[Value | None]:
    """Summed over these axes, and put into the shape that the line had if that can be."""
    program = segment.captured.program
    node = program.nodes[line]
    operand = program.value(node.operands[0])
    summed = (total(operand, axes, keep=True) if axes else operand) * scale
    kept = tuple(1 if k in node.parameters["axes"] else n for k, n in enumerate(operand.shape))
    if _fits(summed.shape, kept):
        return _redone(segment, line, reshaped(broadcast(summed, kept), node.shape))
    squeezed = tuple(n for k, n in enumerate(operand.shape) if k not in axes)
    if squeezed == node.shape:
        return _redone(segment, line, reshaped(summed, node.shape))
    return list(segment.seen)


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _line_named(trial: Trial, line: int) -> str:
    """What a reader knows a line by: its call, or what the call makes it of, where it is only a part of that."""
    if line not in trial.names:
        trial.names[line] = _named_in_its_call(trial, line)
    return trial.names[line]


def _named_in_its_call(trial: Trial, line: int) -> str:
    from .edits import named

    nodes = trial.segment.captured.program.nodes
    origin = nodes[line].origin
    call = f"the backward's {origin}"
    if origin.call < 0 or not any(nodes[k].origin == origin and line in nodes[k].operands for k in _backward(trial)):
        return call
    left, sources = [line], set[int]()
    while left:
        k = left.pop()
        if nodes[k].origin == origin:
            left += nodes[k].operands
        elif nodes[k].operation.name != "constant":
            sources.add(k)
    return f"{named(trial, *sources)} in {call}" if len(sources) == 1 else f"a part of {call}"


def _called(trial: Trial, line: int, flowing: bool = False) -> str:
    """A candidate's name; one of the chain rule's own lines is part of a derivative, or a gradient on its way."""
    from .edits import named

    if line >= 0:
        return named(trial, line)
    node = trial.segment.value(line).node
    source = str(node.origin) if node.origin.name else node.operation.name
    return f"the gradient on its way through {source}" if flowing else f"a factor of the derivative of {source}"


def _origin(trial: Trial, line: int) -> Origin:
    return trial.segment.captured.program.nodes[line].origin


def _axes(axes: Sequence[int]) -> str:
    return " and ".join(map(str, axes)) if axes else "none"
