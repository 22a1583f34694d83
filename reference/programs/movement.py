"""Operations that move elements and change none: every reshape, slice, transpose, gather, pad, flip and copy is one.

Two operations do it all, and each is the other's pullback: `rearrange` says for every element of the result where it
comes from (nowhere: it is zero), `scatter` for every element of the operand where it is added. Which positions those
are, a framework's own movement shows, done on whole numbers 0, 1, 2, … in place of the elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .program import Operation, Positions, Program, Shape, Value

REARRANGE = Operation(
    "rearrange",
    value=lambda numbers, x, positions, repeated=(): numbers.taken(x, positions),
    shape=lambda shape, positions, repeated=(): positions.shape,
    pullback=lambda g, out, x, positions, repeated=(): (_gathered(g, positions, repeated, x.shape),),
)
SCATTER = Operation(
    "scatter",
    value=lambda numbers, x, positions, into: numbers.added_at(
        x, positions, int(np.prod(into, dtype=np.int64))
    ).reshape(into),
    shape=lambda shape, positions, into: into,
    pullback=lambda g, out, x, positions, into: (rearranged(g, positions),),
)
RESHAPE = Operation(
    "reshape",
    value=lambda numbers, x, into: x.reshape(into),
    shape=lambda shape, into: _fitting(shape, into),
    pullback=lambda g, out, x, into: (reshaped(g, x.shape),),
)
JOIN = Operation(
    "join",
    value=lambda numbers, *parts: numbers.joined([part.reshape(-1) for part in parts]),
    shape=lambda *shapes: (sum(int(np.prod(shape, dtype=np.int64)) for shape in shapes),),
    pullback=lambda g, out, *parts: _split(g, parts),
)

STOP = Operation(
    "stop",
    value=lambda numbers, x: x,
    shape=lambda shape: shape,
    pullback=lambda g, out, x: (g,),  # what the chain rule says; `rule_check.py` also asks without it
)

MIRROR = Operation(
    "mirror",
    value=lambda numbers, x: numbers.taken(x, _lower(x.shape)),
    shape=lambda shape: shape,
    pullback=lambda g, out, x: ((g + _flipped(g)) / 2,),
)


def _lower(shape: Shape) -> Positions:
    """For each element of square matrices, the one of it and its mirror image that is below the diagonal."""
    places = numbered(shape)
    return np.maximum(places, np.swapaxes(places, -1, -2))  # one further down comes later


def _flipped(x: Value) -> Value:
    return rearranged(x, np.swapaxes(numbered(x.shape), -1, -2))


def _gathered(g: Value, positions: Positions, repeated: Sequence[int], shape: Shape) -> Value:
    """What comes back from all places that an element was moved to.

    Of a number for a whole row, a mean, it is a sum, and computed as one. Of a parameter, which has no axis for the
    samples, it may be added up in memory, one by one: so PyTorch's layer norm does on a CPU, in bfloat16 too.
    """
    from .sums import total

    return reshaped(total(g, repeated), shape) if repeated else scattered(g, positions, shape)


def _fitting(shape: Shape, into: Shape) -> Shape:
    if np.prod(shape, dtype=np.int64) != np.prod(into, dtype=np.int64):
        raise ValueError(f"{shape} does not reshape into {into}")
    return into


def _split(g: Value, parts: Sequence[Value]) -> Sequence[Value]:
    """The pieces of a joined list, each in its part's shape."""
    ends = np.cumsum([part.size for part in parts])
    places = [np.arange(end - part.size, end).reshape(part.shape) for part, end in zip(parts, ends, strict=True)]
    return [rearranged(g, positions) for positions in places]


def rearranged(x: Value, positions: NDArray[Any]) -> Value:
    """result[k] = x.flat[positions[k]], zero where that is −1. The shape of `positions`."""
    return x.program.add(REARRANGE, x, positions=np.asarray(positions, dtype=np.int64))


def scattered(x: Value, positions: NDArray[Any], shape: Shape) -> Value:
    """result.flat[positions[k]] += x[k], from zero; nothing where that is −1. positions: of x's shape."""
    return x.program.add(SCATTER, x, positions=np.asarray(positions, dtype=np.int64), into=tuple(shape))


def reshaped(x: Value, shape: Sequence[int]) -> Value:
    """The same elements in the same order, in another shape."""
    return x if x.shape == tuple(shape) else x.program.add(RESHAPE, x, into=tuple(shape))


def joined(parts: Sequence[Value]) -> Value:
    """All elements of all parts, one after the other: 1-dimensional."""
    return parts[0].program.add(JOIN, *parts)


def stopped(x: Value) -> Value:
    """The same value, where the code that was captured lets no gradient through (detach, stop_gradient)."""
    return x.program.add(STOP, x)


def mirrored(x: Value) -> Value:
    """The symmetric matrices of these lower triangles; its gradient is that for changes that leave a matrix symmetric,
    of which each of two mirror images has half. So frameworks differentiate what reads one triangle of a symmetric one.
    """
    return x.program.add(MIRROR, x)


def numbered(shape: Shape, first: int = 0) -> Positions:
    """The positions of an array's own elements: what a movement is to be tried on."""
    return np.arange(first, first + int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(shape)


def broadcast(x: Value, shape: Sequence[int]) -> Value:
    """As NumPy broadcasts."""
    if x.shape == tuple(shape):
        return x
    node = x.node
    if node.operation.name == "constant" and not any(node.parameters["array"].strides):
        array = node.parameters["array"]
        if array.size:
            return x.program.constant(array.reshape(-1)[0], tuple(shape))
    places = np.broadcast_to(numbered(x.shape), tuple(shape))
    if len(shape) > len(x.shape):
        return rearranged(x, places)
    repeated = tuple(k for k, n in enumerate(x.shape) if n != shape[k])
    return x.program.add(REARRANGE, x, positions=places, repeated=repeated)


def permuted(x: Value, axes: Sequence[int]) -> Value:
    """As NumPy's transpose."""
    return x if tuple(axes) == tuple(range(len(x.shape))) else rearranged(x, numbered(x.shape).transpose(axes))


def concatenated(parts: Sequence[Value], axis: int) -> Value:
    """As NumPy's concatenate."""
    firsts = np.cumsum([0, *(part.size for part in parts[:-1])]).tolist()
    positions = [numbered(part.shape, first) for part, first in zip(parts, firsts, strict=True)]
    return rearranged(joined(parts), np.concatenate(positions, axis))


def chosen(mask: NDArray[np.bool_], x: Value, y: Value) -> Value:
    """x where the mask holds, y elsewhere; all of one shape."""
    return rearranged(joined([x, y]), np.where(mask, numbered(x.shape), numbered(y.shape, x.size)))


def zeros(program: Program, shape: Shape) -> Value:
    """Nothing but zeros."""
    return program.constant(0.0, shape)
