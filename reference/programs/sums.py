"""Operations that add up: sums over axes and products of matrices. Convolution and attention are these, moved."""

from __future__ import annotations

from collections.abc import Sequence

from .movement import broadcast, permuted, reshaped
from .program import Operation, Shape, Value


def _without(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(n for k, n in enumerate(shape) if k not in axes)


def _total_pullback(g: Value, out: Value, x: Value, axes: tuple[int, ...]) -> Sequence[Value]:
    kept = tuple(1 if k in axes else n for k, n in enumerate(x.shape))
    return (broadcast(reshaped(g, kept), x.shape),)


TOTAL = Operation(
    "sum",
    value=lambda numbers, x, axes: numbers.total(x, axes),
    shape=_without,
    pullback=_total_pullback,
)


def _products_shape(left: Shape, right: Shape) -> Shape:
    if len(left) != 3 or len(right) != 3 or left[0] != right[0] or left[2] != right[1]:
        raise ValueError(f"batch × rows × inner times batch × inner × columns expected, got {left} times {right}")
    return left[0], left[1], right[2]


PRODUCTS = Operation(
    "matrix products",
    value=lambda numbers, x, y: numbers.products(x, y),
    shape=_products_shape,
    pullback=lambda g, out, x, y: (
        products(g, permuted(y, (0, 2, 1))),
        products(permuted(x, (0, 2, 1)), g),
    ),
    source="Giles, Collected matrix derivative results for forward and reverse mode AD (2008), §2.2.1",
)


def total(x: Value, axes: Sequence[int] | None = None, keep: bool = False) -> Value:
    """The sum over these axes, all of them where none are named. keep: leave them, of length 1."""
    rank = len(x.shape)
    found = tuple(range(rank)) if axes is None else tuple(sorted({axis % rank for axis in axes} if rank else ()))
    result = x.program.add(TOTAL, x, axes=found) if found else x
    return reshaped(result, tuple(1 if k in found else n for k, n in enumerate(x.shape))) if keep else result


def mean(x: Value, axes: Sequence[int] | None = None, keep: bool = False) -> Value:
    """The sum over these axes by the number of elements summed."""
    result = total(x, axes, keep)
    return result / (x.size // result.size) if result.size else result


def products(x: Value, y: Value) -> Value:
    """Matrix products, a batch of them: batch × rows × inner times batch × inner × columns."""
    return x.program.add(PRODUCTS, x, y)


def matmul(x: Value, y: Value) -> Value:
    """As NumPy's: the last two axes are matrices, those before them are broadcast, vectors are promoted."""
    import numpy as np

    if len(x.shape) == len(y.shape) == 1:
        return total(x * y)
    if len(x.shape) == 1:
        return reshaped(row := matmul(reshaped(x, (1, *x.shape)), y), (*row.shape[:-2], *row.shape[-1:]))
    if len(y.shape) == 1:
        return reshaped(column := matmul(x, reshaped(y, (*y.shape, 1))), column.shape[:-1])
    batch = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    count = int(np.prod(batch, dtype=np.int64))
    left = reshaped(broadcast(x, (*batch, *x.shape[-2:])), (count, *x.shape[-2:]))
    right = reshaped(broadcast(y, (*batch, *y.shape[-2:])), (count, *y.shape[-2:]))
    return reshaped(products(left, right), (*batch, x.shape[-2], y.shape[-1]))


def contracted(
    x: Value, y: Value, over: tuple[Sequence[int], Sequence[int]], batch: tuple[Sequence[int], Sequence[int]] = ((), ())
) -> Value:
    """The sum of products over the axes `over` of x and y, for each index of the axes `batch`: batch, then x's other
    axes, then y's. XLA calls it a dot_general."""
    from math import prod

    free_x = [k for k in range(len(x.shape)) if k not in (*over[0], *batch[0])]
    free_y = [k for k in range(len(y.shape)) if k not in (*over[1], *batch[1])]
    batches, rows = [x.shape[k] for k in batch[0]], [x.shape[k] for k in free_x]
    inner, columns = [x.shape[k] for k in over[0]], [y.shape[k] for k in free_y]
    left = reshaped(permuted(x, (*batch[0], *free_x, *over[0])), (prod(batches), prod(rows), prod(inner)))
    right = reshaped(permuted(y, (*batch[1], *over[1], *free_y)), (prod(batches), prod(inner), prod(columns)))
    return reshaped(products(left, right), (*batches, *rows, *columns))
