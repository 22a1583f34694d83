"""Slices, and elements picked along an axis, of values: what entries of several families move by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....reference.programs import Value, concatenated, numbered, permuted, rearranged, reshaped

Positions = NDArray[np.int64]


def sliced(x: Value, *index: Any) -> Value:
    """As NumPy's basic indexing."""
    return rearranged(x, numbered(x.shape)[index])


def halves(x: Value, dim: int) -> tuple[Value, Value]:
    """The first and the second half along an axis."""
    first, second = np.split(numbered(x.shape), 2, axis=dim)
    return rearranged(x, first), rearranged(x, second)


def along(shape: Sequence[int], dim: int, indices: NDArray[np.int64]) -> Positions:
    """The positions that `take_along_axis` would pick in an array of this shape."""
    if not shape:
        return np.zeros(indices.shape, dtype=np.int64)
    own = numbered(tuple(shape))
    grid = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[dim % len(shape)] = indices
    return own[tuple(grid)]


def folded(x: Value, function: Callable[[Value, Value], Value], axes: Sequence[int]) -> Value:
    """All elements over these axes, combined two by two; the axes are left out. They must not be empty."""
    rank = len(x.shape)
    axes = sorted(axis % rank for axis in axes)
    kept = [axis for axis in range(rank) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    result = reshaped(
        permuted(x, (*axes, *kept)), (int(np.prod([x.shape[axis] for axis in axes], dtype=np.int64)), *shape)
    )
    while result.shape[0] > 1:
        half, odd = divmod(result.shape[0], 2)
        pairs = function(sliced(result, slice(half)), sliced(result, slice(half, 2 * half)))
        if odd:
            last = sliced(result, slice(2 * half, None))
            first = function(sliced(pairs, slice(1)), last)
            pairs = first if half == 1 else stacked_on(first, sliced(pairs, slice(1, None)))
        result = pairs
    return reshaped(result, shape)


def stacked_on(first: Value, second: Value) -> Value:
    """One above the other, along the first axis."""
    return concatenated([first, second], 0)


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> Positions:
    """count × kernel: which of `size` elements each place of each window lies on; −1: in the padding."""
    places = np.arange(count)[:, None] * stride - padding + np.arange(kernel)[None, :] * dilation
    return np.where((places >= 0) & (places < size), places, -1)


def grid(axes: Sequence[Positions], sizes: Sequence[int]) -> Positions:
    """Positions in an array of these sizes from those along each of its axes, outer product of all; −1 if any is.

    Axes of shape counts × places give counts… × places….
    """
    rank = len(axes)
    parts = []
    for k, places in enumerate(axes):
        shape = [1] * (2 * rank)
        shape[k], shape[rank + k] = places.shape
        parts.append(places.reshape(shape))
    outside = reduce(np.logical_or, [part < 0 for part in parts])
    strides = [int(np.prod(sizes[k + 1 :], dtype=np.int64)) for k in range(rank)]
    flat = sum(np.maximum(part, 0) * stride for part, stride in zip(parts, strides, strict=True))
    return np.where(outside, -1, flat)


def batched(positions: Positions, leading: int, size: int) -> Positions:
    """The same positions in each of `leading` arrays of `size` elements, one after the other."""
    first = (np.arange(leading) * size).reshape((-1, *[1] * positions.ndim))
    return np.where(positions[None] < 0, -1, positions[None] + first)
