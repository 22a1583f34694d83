"""PyTorch's operations that add up, multiply up, or pick the largest: reductions, matrix products, running sums."""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ....reference.programs import (
    Unsupported,
    Value,
    broadcast,
    chosen,
    concatenated,
    matmul,
    mean,
    permuted,
    rearranged,
    reshaped,
    total,
)
from ....reference.programs import elementwise as e
from .shapes import along, folded, sliced
from .table import each, entry


@entry("sum", "sum.dim_IntList")
def _sum(call: Any, self: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return total(call.value(self), dim or None, keepdim)


@entry("nansum")
def _nansum(call: Any, self: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return total(call.where("self", np.isnan, 0, self), dim or None, keepdim)


@entry("mean", "mean.dim")
def _mean(call: Any, self: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return mean(self, dim or None, keepdim)


@entry("trace")
def _trace(call: Any, self: Value) -> Value:
    return total(rearranged(self, call.traced(self.shape, lambda x: x.diagonal())))


# ------------------------------------------------------------------------------------------------ variance


def _moments(self: Value, dim: Any, correction: float | None, keepdim: bool) -> tuple[Value, Value]:
    """Σ(x − mean)²/(n − correction), and the mean."""
    axes = list(dim) if dim else None
    middle = mean(self, axes, keep=True)
    away = self - middle
    squares = total(away * away, axes, keepdim)
    freedom = max(0.0, self.size // max(1, middle.size) - (1 if correction is None else float(correction)))
    return squares / freedom, mean(self, axes, keepdim)


def rooted(call: Any, sums: Value, root: Callable[[Value], Value]) -> Value:
    """A root of sums of powers, which has no gradient where it is zero: PyTorch takes zero, one of the norm's
    subgradients. Source: FunctionsManual.cpp, norm_backward, std_backward; DistanceOpsKernel.cpp."""
    numbers = call.numbers(call.outputs[0])
    zero = numbers == 0 if numbers.shape == sums.shape else np.zeros(sums.shape, dtype=bool)
    if not zero.any() or call.recorder.decides_by_numbers:
        return root(sums)
    call.note("it is zero, where it has no gradient, and PyTorch takes zero")
    return chosen(zero, call.filled(0, sums.shape), root(chosen(zero, call.filled(1, sums.shape), sums)))


@entry("var.correction")
def _var(call: Any, self: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Value:
    return _moments(self, dim, correction, keepdim)[0]


@entry("std.correction")
def _std(call: Any, self: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Value:
    return rooted(call, _moments(self, dim, correction, keepdim)[0], e.sqrt)


@entry("var_mean.correction")
def _var_mean(call: Any, self: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Any:
    return _moments(self, dim, correction, keepdim)


@entry("std_mean.correction")
def _std_mean(call: Any, self: Value, dim: Any = None, correction: Any = None, keepdim: bool = False) -> Any:
    variance, middle = _moments(self, dim, correction, keepdim)
    return rooted(call, variance, e.sqrt), middle


# ------------------------------------------------------------------------------------------------ the largest


def _kept(x: Value, shape: tuple[int, ...], axes: Sequence[int], keepdim: bool) -> Value:
    return reshaped(x, tuple(1 if k in axes else n for k, n in enumerate(shape))) if keepdim else x


def extreme(self: Value, function: Callable[[Value, Value], Value], dim: Any = (), keepdim: bool = False) -> Value:
    """The largest or smallest over these axes. Where several are, any share of the gradient may go to any of them."""
    if not self.shape:
        return self
    rank = len(self.shape)
    axes = sorted({k % rank for k in ([dim] if isinstance(dim, int) else dim or range(rank))})
    return _kept(folded(self, function, axes), self.shape, axes, keepdim)


each(("amax",), lambda name: lambda call, self, dim=(), keepdim=False: extreme(self, e.maximum, dim, keepdim))
each(("amin",), lambda name: lambda call, self, dim=(), keepdim=False: extreme(self, e.minimum, dim, keepdim))
each(("max",), lambda name: lambda call, self: extreme(self, e.maximum))
each(("min",), lambda name: lambda call, self: extreme(self, e.minimum))


@entry("aminmax")
def _aminmax(call: Any, self: Value, dim: int | None = None, keepdim: bool = False) -> tuple[Value, Value]:
    axes = None if dim is None else [dim]
    return extreme(self, e.minimum, axes, keepdim), extreme(self, e.maximum, axes, keepdim)


@entry("median", "nanmedian")
def _median(call: Any, self: Value) -> Value:
    """The element that the run found; where it stands several times, their mean."""
    found = float(call.numbers(call.outputs[0]))
    if math.isnan(found):
        return call.filled(found, ())
    places = np.flatnonzero(call.numbers(call.arguments["self"]).reshape(-1) == found)
    return mean(rearranged(self, places))


@entry("max.dim", "min.dim", "median.dim", "nanmedian.dim", "mode")
def _picked(call: Any, self: Value, dim: int = -1, keepdim: bool = False) -> tuple[Value, None]:
    """The elements whose indices the run found."""
    indices = call.positions(call.outputs[1])
    if self.shape and not keepdim:
        indices = np.expand_dims(indices, dim)
    values = rearranged(self, along(self.shape, dim, indices))
    return reshaped(values, tuple(call.outputs[0].shape)), None


@entry("kthvalue")
def _kthvalue(call: Any, self: Value, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Value, None]:
    return _picked(call, self, dim, keepdim)


@entry("sort", "topk", "cummax", "cummin", "sort.stable")
def _sorted(call: Any, self: Value, dim: int = -1, **_: Any) -> tuple[Value, None]:
    return rearranged(self, along(self.shape, dim, call.positions(call.outputs[1]))), None


# ------------------------------------------------------------------------------------------------ products


@entry("prod")
def _prod(call: Any, self: Value, dtype: Any = None) -> Value:
    return _product(call, self, tuple(range(len(self.shape))), keepdim=False)


@entry("prod.dim_int")
def _prod_dim(call: Any, self: Value, dim: int, keepdim: bool = False, dtype: Any = None) -> Value:
    return _product(call, self, (dim % len(self.shape),), keepdim) if self.shape else self


def _product(call: Any, x: Value, axes: tuple[int, ...], keepdim: bool) -> Value:
    if any(x.shape[axis] == 0 for axis in axes):
        return call.filled(1, tuple(call.outputs[0].shape))
    return _kept(folded(x, lambda a, b: a * b, axes) if axes else x, x.shape, axes, keepdim)


@entry("mm", "bmm", "mv", "dot", "vdot", "matmul")
def _mm(call: Any, **operands: Value) -> Value:
    first, second = [x for x in operands.values() if isinstance(x, Value)]
    return matmul(first, second)


def _plus(call: Any, self: Any, beta: float, product: Value, alpha: float) -> Value:
    """β·self + α·product; nothing of self where β is zero."""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (call.value(self) if beta == 1 else call.value(self) * beta) + product


@entry("addmm")
def _addmm(call: Any, self: Value, mat1: Value, mat2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return _plus(call, self, beta, matmul(mat1, mat2), alpha)


@entry("addmv")
def _addmv(call: Any, self: Value, mat: Value, vec: Value, beta: float = 1, alpha: float = 1) -> Value:
    return _plus(call, self, beta, matmul(mat, vec), alpha)


@entry("addr")
def _addr(call: Any, self: Value, vec1: Value, vec2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return _plus(call, self, beta, reshaped(vec1, (*vec1.shape, 1)) * vec2, alpha)


@entry("addbmm")
def _addbmm(call: Any, self: Value, batch1: Value, batch2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return _plus(call, self, beta, total(matmul(batch1, batch2), (0,)), alpha)


@entry("baddbmm")
def _baddbmm(call: Any, self: Value, batch1: Value, batch2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return _plus(call, self, beta, matmul(batch1, batch2), alpha)


@entry("_grouped_mm", "grouped_mm")
def _grouped_mm(
    call: Any, self: Value, mat2: Value, offs: Any = None, bias: Any = None, out_dtype: Any = None
) -> Value:
    """Products group by group, as a mixture of experts has them. offs: where each group ends, along the rows of `self`,
    the columns of `mat2`, or what is summed over, whichever the two are not stacked along."""
    if offs is None:
        return matmul(self, mat2)
    ends = call.positions(offs).tolist()
    groups, rows, columns = list(pairwise([0, *ends])), len(self.shape) == 2, len(mat2.shape) == 2
    if bias is not None or (rows != columns and ends[-1] != (self.shape[0] if rows else mat2.shape[1])):
        raise Unsupported(f"{call.program.origin}: of groups that are not all of the rows nothing is said")
    parts, whole = [], slice(None)
    for number, group in enumerate(slice(start, end) for start, end in groups):
        left = sliced(self, *[whole] * columns, group) if rows else sliced(self, number)
        right = sliced(mat2, *[whole] * (not rows), group) if columns else sliced(mat2, number)
        parts.append(matmul(left, right))
    if rows and columns:
        return concatenated([reshaped(part, (1, *part.shape)) for part in parts], 0)
    return concatenated(parts, 0 if rows else 1)


@entry("linear")
def _linear(call: Any, input: Value, weight: Value, bias: Value | None = None) -> Value:
    result = matmul(input, permuted(weight, (1, 0))) if len(weight.shape) == 2 else matmul(input, weight)
    return result if bias is None else result + bias


@entry("_trilinear")
def _trilinear(
    call: Any,
    i1: Value,
    i2: Value,
    i3: Value,
    expand1: Any,
    expand2: Any,
    expand3: Any,
    sumdim: Any,
    unroll_dim: int = 1,
) -> Value:
    """The sum of products of three, each with axes of length 1 put in."""
    rank = len(i1.shape) + len(expand1)
    parts = []
    for x, places in ((i1, expand1), (i2, expand2), (i3, expand3)):
        own = iter(x.shape)
        parts.append(reshaped(x, tuple(1 if k in places else next(own) for k in range(rank))))
    return total(parts[0] * parts[1] * parts[2], sumdim)


@entry("linalg_cross")
def _cross(call: Any, self: Value, other: Value, dim: int = -1) -> Value:
    shape = tuple(call.outputs[0].shape)
    x, y = broadcast(self, shape), broadcast(other, shape)
    axis = dim % len(shape)
    turned = [np.roll(np.arange(3), -1), np.roll(np.arange(3), -2)]
    index = [tuple([slice(None)] * axis + [places]) for places in turned]
    first, second = index
    return sliced(x, *first) * sliced(y, *second) - sliced(x, *second) * sliced(y, *first)


# ------------------------------------------------------------------------------------------------ running along an axis


def running(x: Value, dim: int, call: Any) -> Value:
    """The sums of the elements up to each: a product with a triangle of ones."""
    axis = dim % len(x.shape)
    last = [k for k in range(len(x.shape)) if k != axis]
    ones = call.constant(np.tril(np.ones((x.shape[axis], x.shape[axis]))).T)
    sums = matmul(permuted(x, (*last, axis)), ones)
    return permuted(sums, tuple(np.argsort((*last, axis)).tolist()))


@entry("cumsum")
def _cumsum(call: Any, self: Value, dim: int, dtype: Any = None) -> Value:
    return running(self, dim, call) if self.shape and self.size else self


@entry("cumprod")
def _cumprod(call: Any, self: Value, dim: int, dtype: Any = None) -> Value:
    if not self.shape or not self.size:
        return self
    axis = dim % len(self.shape)
    slices = [rearranged(self, part) for part in np.split(_own(self), self.shape[axis], axis=axis)]
    for k in range(1, len(slices)):
        slices[k] = slices[k - 1] * slices[k]
    return concatenated(slices, axis)


def _own(x: Value) -> np.ndarray[Any, Any]:
    return np.arange(x.size).reshape(x.shape)


@entry("logsumexp", "special_logsumexp")
def _logsumexp(call: Any, self: Value, dim: Any, keepdim: bool = False) -> Value:
    """The run's largest element is drawn out; which one makes no difference."""
    if not self.shape:
        return self
    numbers = call.numbers(call.arguments["self"])
    axes = tuple(dim) if dim else tuple(range(numbers.ndim))
    most = numbers.max(axis=axes, keepdims=True)
    most = call.constant(np.where(np.isfinite(most), most, 0.0))
    sums = e.log(total(e.exp(self - most), axes, keep=True)) + most
    return sums if keepdim else reshaped(sums, tuple(call.outputs[0].shape))


@entry("logcumsumexp")
def _logcumsumexp(call: Any, self: Value, dim: int) -> Value:
    """From each sum the largest of its own elements is drawn out: the run's, as a number."""
    if not self.shape or not self.size:
        return self
    axis, size = dim % len(self.shape), self.shape[dim]
    places = np.moveaxis(_own(self), axis, -1)
    table = np.broadcast_to(places[..., None, :], (*places.shape, size))
    most = np.maximum.accumulate(np.moveaxis(call.numbers(call.arguments["self"]), axis, -1), axis=-1)
    most = call.constant(np.where(np.isfinite(most), most, 0.0)[..., None])
    powers = e.exp(rearranged(self, table) - most)
    before = np.broadcast_to(np.tri(size, dtype=bool), powers.shape)
    sums = e.log(total(chosen(before, powers, call.filled(0, powers.shape)), (-1,), keep=True)) + most
    order = (*(k for k in range(len(self.shape)) if k != axis), axis)
    return permuted(reshaped(sums, places.shape), tuple(np.argsort(order).tolist()))
