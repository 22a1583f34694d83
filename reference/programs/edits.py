"""The edits of a gradient that mistakes in backward code amount to, the plainest first.

`flow.py` tries them one after the other. Edges, factors and sums come from the forward program itself, so an operation
that is new needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from . import repairs
from .chain_rule import Edge, pullback
from .contributions import contributions
from .elementwise import absolute
from .flow import ROUNDED, Edit, Segment, Trial, alike
from .jacobians import of_a_reversed_input, of_the_diagonal, of_the_transpose, only_at
from .movement import REARRANGE, RESHAPE, SCATTER, numbered, permuted, rearranged, scattered
from .ndarrays import Array
from .origins import Origin
from .program import Node, Value
from .sums import TOTAL

KNOWN_FACTORS = {0.0: "missing", -1.0: "negated", 2.0: "doubled", 0.5: "halved"}


def edits(trial: Trial) -> Iterator[Edit]:
    """Every edit that may explain the trial's wrong gradients, the plainest first."""
    for family in FAMILIES:
        for edit in family(trial):
            if trial.exhausted:
                return
            yield edit


# ---------------------------------------------------------------------------------------- one gradient as a whole


def of_one_gradient(trial: Trial) -> Iterator[Edit]:
    """Never computed; a multiple; transposed; another input's; summed over an axis too many."""
    for k in trial.wrong:
        right, seen = trial.right[k], trial.seen[k]
        name = f"the gradient of input {k}"
        if not seen.any():
            yield Edit(f"{name} is never computed: it is zero", lambda s: [None] * len(s.inputs))
            continue
        factor = constant_ratio(seen, right)
        if factor is not None:
            yield _scaled(name if len(trial.wrong) == 1 else "every wrong gradient", factor)
            yield _scaled(name, factor)
        for line in sorted(trial.forward_lines):
            value = trial.known.get(line)
            if value is not None and value.shape == seen.shape and alike(value, seen):
                yield Edit(
                    f"{name} is no gradient: {named(trial, line)} itself is returned",
                    partial(_for_each_input, line=line),
                )
        for j in range(len(trial.right)):
            if j != k and trial.right[j].shape == seen.shape and alike(trial.right[j], seen):
                yield Edit(f"{name} is that of input {j}", partial(_anothers, number=j))
        yield from _of_axes(name, k, right)


def _for_each_input(segment: Segment, line: int) -> list[Value | None]:
    return [segment.captured.program.value(line)] * len(segment.inputs)


def _anothers(segment: Segment, number: int) -> list[Value | None]:
    return [segment.right()[number]] * len(segment.inputs)


def _scaled(name: str, factor: float) -> Edit:
    exact, words = in_words(factor)
    return Edit(
        f"{name} is {words}",
        lambda s: [None if g is None else g * exact for g in s.right()],
        fitted=exact == factor and factor not in KNOWN_FACTORS,
    )


def _of_axes(name: str, k: int, right: Array) -> Iterator[Edit]:
    if right.ndim >= 2 and right.shape[-1] == right.shape[-2]:
        axes = (*range(right.ndim - 2), right.ndim - 1, right.ndim - 2)
        yield _changed(f"{name} is transposed", k, lambda g: permuted(g, axes))
    for axis in (axis for axis in range(right.ndim) if right.shape[axis] > 1):
        summed = partial(repairs.summed, axis=axis)
        yield _changed(f"{name} is summed over one axis too many: axis {axis}", k, summed)
        yield _changed(f"{name} is averaged over axis {axis}", k, partial(repairs.averaged, axis=axis))
        flipped = np.flip(numbered(right.shape), axis)
        yield _changed(f"{name} is reversed along axis {axis}", k, partial(rearranged, positions=flipped))


def _changed(text: str, k: int, change: Callable[[Value], Value]) -> Edit:
    """The right gradient of input k, changed."""

    def gradients(s: Segment) -> list[Value | None]:
        right = s.right()
        return [change(g) if g is not None and j == k else g for j, g in enumerate(right)]

    return Edit(text, gradients)


# ------------------------------------------------------------------------------------------------ what arrives


def of_the_cotangent(trial: Trial) -> Iterator[Edit]:
    """Dropped: ones in its place; its absolute value; only one sample of it, or all but one."""
    yield _with_cotangents("the incoming gradient is dropped: ones in its place", _ones)
    yield _with_cotangents("the incoming gradient's sign is dropped", absolute)
    ranks = [len(c.shape) for c in trial.segment.arrived if c is not None]
    for axis in range(max(ranks, default=0)):
        for which, words in ((0, "only the first"), (-1, "only the last")):
            text = f"{words} element along axis {axis} of the incoming gradient is used"
            yield _with_cotangents(text, partial(_only, axis=axis, which=which))
        text = f"the last element along axis {axis} of the incoming gradient is left out"
        yield _with_cotangents(text, partial(_all_but_the_last, axis=axis))


def _with_cotangents(text: str, change: Callable[[Value], Value]) -> Edit:
    def gradients(s: Segment) -> list[Value | None]:
        there = [(o, change(c)) for o, c in zip(s.outputs, s.arrived, strict=True) if c is not None]
        return pullback([o for o, _ in there], [c for _, c in there], s.inputs)

    return Edit(text, gradients)


def _ones(cotangent: Value) -> Value:
    return cotangent.program.constant(1.0, cotangent.shape)


def _all_but_the_last(cotangent: Value, axis: int) -> Value:
    return cotangent - _only(cotangent, axis, -1)


def _only(cotangent: Value, axis: int, which: int) -> Value:
    if axis >= len(cotangent.shape) or not cotangent.size:
        return cotangent
    return only_at(cotangent, axis, which % cotangent.shape[axis])


# ------------------------------------------------------------------------------------------------ an edge


def of_an_edge(trial: Trial) -> Iterator[Edit]:
    """What goes back along one edge is missing, negated, or a multiple: whole calls first, then their single lines."""
    through = contributions(trial)
    for edges, text, origin in _edge_sets(trial):
        if through is not None and not through.may_explain(edges):
            continue
        factor = _factor_of(trial, edges)
        if factor is None:
            continue
        exact, words = in_words(factor, _sizes(trial))
        yield Edit(
            f"{text} is {words}",
            partial(_with_factor, edges=edges, factor=exact),
            origin,
            fitted=exact == factor and factor not in KNOWN_FACTORS,
        )


def _edge_sets(trial: Trial) -> Iterator[tuple[frozenset[Edge], str, Origin]]:
    nodes = trial.segment.captured.program.nodes
    between = trial.between()
    inner = sorted(between - {v.index for v in trial.segment.inputs})
    by_call: dict[tuple[int, int], list[Edge]] = {}
    by_user: dict[int, list[Edge]] = {}
    single: list[Edge] = []
    for line in inner:
        for position, used in enumerate(nodes[line].operands):
            if used not in between:
                continue
            edge = Edge(used, line, position)
            single.append(edge)
            if nodes[used].origin.call != nodes[line].origin.call or used in {v.index for v in trial.segment.inputs}:
                by_call.setdefault((used, nodes[line].origin.call), []).append(edge)
                by_user.setdefault(nodes[line].origin.call, []).append(edge)
    told: set[frozenset[Edge]] = set()
    for group in (*by_user.values(), *by_call.values(), *([edge] for edge in single)):
        edges = frozenset(group)
        if edges not in told:
            told.add(edges)
            user = nodes[group[0].user].origin
            whole = edges == frozenset(by_user.get(user.call, ()))
            source = "" if whole else f", as it depends on {named(trial, group[0].used)},"
            yield edges, f"the gradient through {user}{source}", user


def source(nodes: Sequence[Node], line: int) -> int:
    """Where the elements come from that only movements are between."""
    while nodes[line].operation.name in {"rearrange", "reshape", "stop", "mirror", "identity"}:
        line = nodes[line].operands[0]
    return line


def named(trial: Trial, line: int) -> str:
    """What a reader knows a value by: the input, or the operation that computed it, seen through movements."""
    nodes = trial.segment.captured.program.nodes
    start = partial(source, nodes)
    inputs = {v.index: k for k, v in enumerate(trial.segment.inputs)}
    inputs |= {start(v.index): k for k, v in enumerate(trial.segment.inputs)}
    place = inputs.get(line, inputs.get(start(line)))
    if place is not None:
        return f"input {place}"
    node = nodes[start(line)]
    if node.operation.name == "constant":
        return "a constant" if node.parameters["array"].size != 1 else f"{float(node.parameters['array'].flat[0]):g}"
    if any(c is not None and start(c.index) == start(line) for c in trial.segment.arrived):
        return "the incoming gradient"
    return str(node.origin) if node.origin.name else node.operation.name


def named_apart(trial: Trial, one: int | None, other: int | None) -> tuple[str, str]:
    """Both by their names, and by their operations as well where one call computed both; None is 1."""
    lines = (one, other)
    first, second = ("1" if line is None else named(trial, line) for line in lines)
    if one is None or other is None or first != second:
        return first, second
    nodes = trial.segment.captured.program.nodes
    how, by = (nodes[source(nodes, line)].operation.name.replace("_", " ") for line in (one, other))
    return (f"{how} of {first}", f"{by} of {second}") if how != by else (first, f"another {by} of it")


def _factor_of(trial: Trial, edges: frozenset[Edge]) -> float | None:
    """c in seen = right + (c − 1) · what goes through these edges, if there is one for all wrong inputs."""
    without = trial.tried(lambda s: _with_factor(s, edges, 0.0))
    factors = []
    for k in trial.wrong:
        share = trial.right[k] - without[k]
        ratio = constant_ratio(trial.seen[k] - trial.right[k], share)
        if ratio is None or abs(ratio) < ROUNDED:
            continue
        factors.append(ratio + 1.0)
    return factors[0] if factors else None


def _with_factor(segment: Segment, edges: frozenset[Edge], factor: float) -> list[Value | None]:
    def passed(edge: Edge, share: Value) -> Value | None:
        if edge not in edges:
            return share
        return None if factor == 0.0 else share * factor

    there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    return pullback([o for o, _ in there], [c for _, c in there], segment.inputs, passed)


def of_a_gradient_passed_through(trial: Trial) -> Iterator[Edit]:
    """What arrives is returned as it came, though what is in between is not the identity."""
    for k in trial.wrong:
        for cotangent in (c for c in trial.segment.arrived if c is not None):
            value = trial.known.get(cotangent.index)
            if value is not None and value.shape == trial.seen[k].shape and alike(value, trial.seen[k]):
                yield Edit(
                    f"the gradient of input {k} is no gradient: the incoming gradient itself is returned",
                    partial(_for_each_input, line=cotangent.index),
                )


CHOICES = {"maximum": 1e300, "minimum": -1e300, "absolute": 1.0}  # with that operand, all of it goes through


def of_a_choice(trial: Trial) -> Iterator[Edit]:
    """What is cut off on the way (clamp, relu, a hinge) gets a gradient like all others: the mask is missing."""
    nodes, between = trial.segment.captured.program.nodes, trial.between()
    calls: dict[int, list[int]] = {}
    for line in sorted(between):
        if nodes[line].operation.name in CHOICES and between.intersection(nodes[line].operands):
            calls.setdefault(nodes[line].origin.call, []).append(line)
    for lines in calls.values():
        origin = nodes[lines[-1]].origin
        yield Edit(
            f"the derivative of {origin} is left out: what it cuts off or turns over gets its gradient as it came",
            partial(_without_choices, lines=frozenset(lines), between=frozenset(between)),
            origin,
        )


def _without_choices(segment: Segment, lines: frozenset[int], between: frozenset[int]) -> list[Value | None]:
    nodes = segment.captured.program.nodes

    def seen_as(at: int, value: Value) -> Value:
        if at not in lines or value.index not in between or value.index not in nodes[at].operands:
            return value
        return value.program.constant(CHOICES[nodes[at].operation.name], value.shape)

    there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    return pullback([o for o, _ in there], [c for _, c in there], segment.inputs, seen_as=seen_as)


def of_repeats(trial: Trial) -> Iterator[Edit]:
    """Of an element that is used several times, by an index or by broadcasting, one share alone is kept: it is written
    where it is to be added."""
    nodes = trial.segment.captured.program.nodes
    between = trial.between()
    for line in sorted(between):
        if nodes[line].operation is not REARRANGE or nodes[line].operands[0] not in between:
            continue
        there = nodes[line].parameters["positions"].reshape(-1)
        if len(np.unique(there[there >= 0])) == np.count_nonzero(there >= 0):
            continue
        for which in ("last", "first"):
            yield Edit(
                f"on the way back through {nodes[line].origin}, an element that is used several times gets the "
                "gradient of one use alone: it is written where it is to be added",
                partial(_with_one_share, line=line, which=which),
                nodes[line].origin,
            )


def _with_one_share(segment: Segment, line: int, which: str) -> list[Value | None]:
    moved = segment.captured.program.nodes[line]

    def passed(edge: Edge, share: Value) -> Value | None:
        if edge.user != line:
            return share
        added = share.program.value(share.node.operands[0]) if share.node.operation is RESHAPE else share
        if added.node.operation not in (TOTAL, SCATTER):
            return share
        arrived = share.program.value(added.node.operands[0])
        positions = moved.parameters["positions"].copy()
        flat = positions.reshape(-1)
        order = np.arange(flat.size) if which == "first" else np.arange(flat.size)[::-1]
        kept = order[np.unique(flat[order], return_index=True)[1]]
        flat[np.setdiff1d(order, kept)] = -1
        return scattered(arrived, positions, share.shape)

    there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    return pullback([o for o, _ in there], [c for _, c in there], segment.inputs, passed)


def of_two_edges(trial: Trial) -> Iterator[Edit]:
    """Two edges that carry nothing, of different calls."""
    sets = list(_edge_sets(trial))
    calls: dict[frozenset[Edge], tuple[str, Origin]] = {}
    for edges, text, origin in sets:
        calls.setdefault(edges, (text, origin))
    whole = [(edges, text, origin) for edges, (text, origin) in calls.items()][:40]
    through = contributions(trial)
    for i, (first, text, origin) in enumerate(whole):
        for second, other, _ in whole[i + 1 :]:
            if first & second or trial.exhausted or not (through is None or through.may_explain_both(first, second)):
                continue
            both = first | second
            yield Edit(f"{text} and {other} are missing", partial(_with_factor, edges=both, factor=0.0), origin)


# ------------------------------------------------------------------------------------------------ a factor


def of_a_factor(trial: Trial) -> Iterator[Edit]:
    """A factor of a local derivative is left out, taken twice, or another value of its shape stands in its place."""
    segment = trial.segment
    nodes = segment.captured.program.nodes
    between = trial.between()
    others = [line for line in sorted(trial.known) if line in trial.forward_lines]
    for line in sorted(between):
        node = nodes[line]
        if node.operation.name in MOVING or not node.operands:
            continue
        for name in ("operand", "result"):
            stands = [line] if name == "result" else list(dict.fromkeys(node.operands))
            for used in stands:
                for other in (*[k for k in others if nodes[k].shape == nodes[used].shape and k != used], None):
                    what, belongs = named_apart(trial, other, used)
                    yield Edit(
                        f"on the way back through {node.origin}, {what} stands where {belongs} belongs",
                        partial(_with_other, line=line, used=used, other=other),
                        node.origin,
                    )


MOVING = {"rearrange", "scatter", "reshape", "join", "sum", "input", "constant", "add", "subtract", "negate"}


def _with_other(segment: Segment, line: int, used: int, other: int | None) -> list[Value | None]:
    """The gradient where the pullback of one line is given another value for one that it uses."""
    program = segment.captured.program

    def seen_as(at: int, value: Value) -> Value:
        if at != line or value.index != used:
            return value
        return program.constant(1.0, value.shape) if other is None else program.value(other)

    there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    return pullback([o for o, _ in there], [c for _, c in there], segment.inputs, seen_as=seen_as)


# ---------------------------------------------------------------------------------------- a value of the forward


def of_a_value(trial: Trial) -> Iterator[Edit]:
    """The gradient is a multiple of the right one, by a value of the forward or by one in place of another."""
    nodes = trial.segment.captured.program.nodes
    for k in trial.wrong:
        right, seen = trial.right[k], trial.seen[k]
        if not right.size or not np.all(right) or not np.all(np.isfinite(seen)):
            continue
        ratio = seen / right
        values = {
            line: np.broadcast_to(trial.known[line], right.shape)
            for line in sorted(trial.forward_lines)
            if line in trial.known and _broadcasts(nodes[line].shape, right.shape)
            if np.all(trial.known[line]) and np.all(np.isfinite(trial.known[line]))
        }
        names = {line: named(trial, line) for line in values}
        for v, value in values.items():
            if alike(ratio, value):
                yield _by_values(f"the gradient of input {k} has a factor too many: {names[v]}", v, None)
            if alike(ratio, 1 / value):
                yield _by_values(f"the gradient of input {k} lacks a factor: {names[v]}", None, v)
        first = {line: float(value.reshape(-1)[0]) for line, value in values.items()}
        for v, value in values.items():
            for w, other in values.items():
                near = abs(ratio.reshape(-1)[0] * first[w] - first[v]) <= 1e-9 * abs(first[v])
                if v != w and near and alike(ratio * other, value):
                    yield _by_values(f"in the gradient of input {k}, {names[v]} stands where {names[w]} belongs", v, w)


def _broadcasts(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, into) == into
    except ValueError:
        return False


def _by_values(text: str, times: int | None, over: int | None) -> Edit:
    def gradients(s: Segment) -> list[Value | None]:
        program = s.captured.program
        result = []
        for g in s.right():
            if g is None or any(
                k is not None and not _broadcasts(program.value(k).shape, g.shape) for k in (times, over)
            ):
                result.append(g)
                continue
            changed = g if times is None else g * program.value(times)
            result.append(changed if over is None else changed / program.value(over))
        return result

    return Edit(text, gradients)


# ------------------------------------------------------------------------------------------------ constants


def constant_ratio(x: Array, y: Array) -> float | None:
    """c with x = c · y for all elements, up to rounding; None where there is none, or y is zero."""
    size = np.abs(y).max(initial=0.0)
    if not size or not np.all(np.isfinite(x)) or not np.all(np.isfinite(y)):
        return None
    largest = np.unravel_index(np.abs(y).argmax(), y.shape)
    factor = float(x[largest] / y[largest])
    return factor if alike(x, factor * y) or np.abs(x - factor * y).max() <= 1e-9 * size else None


def in_words(factor: float, sizes: Sequence[int] = ()) -> tuple[float, str]:
    """The number that is meant, and how to say it: missing, negated, doubled, divided by n, multiplied by …"""
    for known, word in KNOWN_FACTORS.items():
        if abs(factor - known) < (1e-7 if known else 1e-12):  # a small factor is no zero
            return known, word
    for n in sizes:
        for value, word in ((1 / n, f"divided by {n}"), (float(n), f"multiplied by {n}")):
            if n > 2 and abs(factor - value) < 1e-7 * value:
                return value, word
    if abs(factor - 1) < 1e-4:
        return factor, f"multiplied by 1 {'−' if factor < 1 else '+'} {abs(factor - 1):.3g}"
    short = float(f"{factor:.6g}")
    return (short if abs(factor - short) < 1e-9 * abs(factor) else factor), f"multiplied by {factor:.7g}"


def _sizes(trial: Trial) -> list[int]:
    """The lengths of axes, and of whole arrays, that a sum may have been divided by."""
    values = (*trial.segment.inputs, *trial.segment.outputs)
    return sorted({n for v in values for n in (*v.shape, v.size)})


FAMILIES = (
    of_one_gradient,
    of_the_cotangent,
    of_an_edge,
    of_repeats,
    of_a_gradient_passed_through,
    of_a_choice,
    of_the_diagonal,
    of_a_reversed_input,
    of_a_value,
    repairs.of_a_scale,
    repairs.of_axes,
    of_the_transpose,
    repairs.of_an_operand,
    of_a_factor,
    repairs.of_a_missing_factor,
    repairs.of_a_matrix,
    repairs.of_a_flow,
    repairs.of_several_uses,
    of_two_edges,
)
