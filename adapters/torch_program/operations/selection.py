"""PyTorch's operations that pick elements by indices, or add and write them there. Indices are the run's."""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ....reference.programs import (
    Unsupported,
    Value,
    broadcast,
    chosen,
    joined,
    numbered,
    rearranged,
    reshaped,
    scattered,
    total,
)
from ....reference.programs import elementwise as e
from .shapes import Positions, along, folded
from .table import entry

# ------------------------------------------------------------------------------------------------ numbers written in


def _masked(call: Any, self: Any, value: Any, mark: Any) -> Value:
    """`value` wherever the same call, made with ones on zeros, shows a one."""
    shape = tuple(call.outputs[0].shape)
    marked = call.numbers(call.unseen(lambda: mark(torch.zeros(shape, dtype=torch.float64, device=call.device)))) != 0
    return chosen(marked, call.spread(value, shape), call.spread(self, shape))


@entry("constant_pad_nd")
def _pad(call: Any, self: Value, pad: Any, value: float = 0) -> Value:
    places = call.traced(self.shape, lambda x: torch.ops.aten.constant_pad_nd(x, pad, 0))
    moved = rearranged(self, places)
    return moved if value == 0 else chosen(places < 0, call.filled(value, moved.shape), moved)


@entry("scatter.value")
def _scatter_value(call: Any, self: Value, dim: int, index: Any, value: float) -> Value:
    return _masked(call, self, value, lambda x: x.scatter(dim, index, 1.0))


@entry("index_fill.int_Scalar", "index_fill.int_Tensor")
def _index_fill(call: Any, self: Value, dim: int, index: Any, value: Any) -> Value:
    return _masked(call, self, value, lambda x: x.index_fill(dim, index, 1.0))


# -------------------------------------------------------------------------------------------- added where indices say


@entry("scatter_add")
def _scatter_add(call: Any, self: Value, dim: int, index: Any, src: Value) -> Value:
    places = along(self.shape, dim, call.positions(index))
    source = rearranged(src, numbered(src.shape)[tuple(slice(n) for n in places.shape)]) if src.shape else src
    return self + scattered(reshaped(source, places.shape), places, self.shape)


@entry("scatter.reduce", "scatter.value_reduce")
def _scatter_reduce_old(
    call: Any, self: Value, dim: int, index: Any, reduce: str, src: Any = None, value: Any = None
) -> Value:
    places = along(self.shape, dim, call.positions(index))
    source = call.spread(src if value is None else value, places.shape if value is not None else src.shape)
    source = rearranged(source, numbered(source.shape)[tuple(slice(n) for n in places.shape)])
    if reduce not in {"add", "multiply"}:
        raise Unsupported(f"{call.program.origin}: scatter's reduce={reduce!r} is not covered")
    return combined(call, self, source, places, {"add": "sum", "multiply": "prod"}[reduce], include_self=True)


@entry("index_add")
def _index_add(call: Any, self: Value, dim: int, index: Any, source: Value, alpha: float = 1) -> Value:
    if not self.shape:
        return self + total(source) * alpha
    places = call.traced(self.shape, lambda x: x.index_select(dim, index))
    added = scattered(reshaped(source, places.shape), places, self.shape)
    return self + (added if alpha == 1 else added * alpha)


@entry("index_put", "_unsafe_index_put", "_index_put_impl")
def _index_put(
    call: Any, self: Value, indices: Any, values: Any, accumulate: bool = False, unsafe: bool = False
) -> Value:
    places = call.traced(self.shape, lambda x: torch.ops.aten.index(x, indices))
    added = call.spread(values, places.shape)
    if accumulate:
        return self + scattered(added, places, self.shape)
    return _written(call, self, added, places)


@entry("scatter.src")
def _scatter(call: Any, self: Value, dim: int, index: Any, src: Value) -> Any:
    _told_of_repeated(call, along(self.shape, dim, call.positions(index)))
    return call.moved({"self": self, "dim": dim, "index": index, "src": src})


@entry("put")
def _put(call: Any, self: Value, index: Any, source: Value, accumulate: bool = False) -> Value:
    places = call.positions(index) % max(1, self.size)
    added = reshaped(source, places.shape)
    return self + scattered(added, places, self.shape) if accumulate else _written(call, self, added, places)


def _told_of_repeated(call: Any, places: Positions) -> None:
    """Source: PyTorch's documentation of Tensor.scatter_: "the gradient will be incorrect" where indices repeat."""
    if call.recorder.differentiated and np.unique(places).size < places.size:
        call.note("two elements are written to one place, and PyTorch gives both a gradient, as it documents")


def _written(call: Any, self: Value, values: Value, places: Positions) -> Value:
    """self, with values at these places; where one is named twice, the last."""
    _told_of_repeated(call, places)
    sources = numbered(self.shape).reshape(-1)
    sources[places.reshape(-1)] = np.arange(values.size) + self.size
    return rearranged(joined([self, values]), sources.reshape(self.shape))


@entry("_unsafe_index")
def _unsafe_index(call: Any, self: Value, indices: Any) -> Value:
    return rearranged(self, call.traced(self.shape, lambda x: torch.ops.aten.index(x, indices)))


def added_rows(rows: Value, places: Any, shape: Sequence[int]) -> Value:
    """Each row of the first axis, added to the row that `places` names."""
    size = int(np.prod(shape[1:], dtype=np.int64))
    index = np.asarray(places)[:, None] * size + np.arange(size)[None, :]
    return scattered(rows, np.where(np.asarray(places)[:, None] < 0, -1, index).reshape(rows.shape), tuple(shape))


# -------------------------------------------------------------------------------------------- combined there


def combined(call: Any, self: Value, source: Value, places: Positions, reduce: str, include_self: bool) -> Value:
    """Each element of self with all those of source that are sent to it: their sum, product, mean, largest or smallest.

    Without itself an element that nothing is sent to stays as it is.
    """
    flat = places.reshape(-1)
    order = np.argsort(flat, kind="stable")
    counts = np.bincount(flat, minlength=self.size)
    table = np.full((int(counts.max(initial=0)) + 1, self.size), -1, dtype=np.int64)
    alone = counts == 0
    table[0] = np.where(alone | include_self, np.arange(self.size), -1)
    rank = np.arange(flat.size) - np.repeat(np.cumsum(counts) - counts, counts)
    table[rank + 1, flat[order]] = order + self.size
    whole = joined([self, source])
    taken = rearranged(whole, table)
    if reduce in {"sum", "mean"}:
        result = total(taken, (0,))
        if reduce == "mean":
            result = result / call.constant((table >= 0).sum(axis=0).astype(np.float64))
        return reshaped(result, self.shape)
    if reduce == "prod":
        padded = chosen(table < 0, call.filled(1, table.shape), taken)
        return reshaped(folded(padded, lambda x, y: x * y, [0]), self.shape)
    function = e.maximum if reduce == "amax" else e.minimum
    if not (table < 0).any():
        return reshaped(folded(taken, function, [0]), self.shape)
    far = call.filled(-1e308 if reduce == "amax" else 1e308, table.shape)
    return reshaped(folded(chosen(table < 0, far, taken), function, [0]), self.shape)


@entry("scatter_reduce.two")
def _scatter_reduce(
    call: Any, self: Value, dim: int, index: Any, src: Value, reduce: str, include_self: bool = True
) -> Value:
    places = along(self.shape, dim, call.positions(index))
    source = rearranged(src, numbered(src.shape)[tuple(slice(n) for n in places.shape)]) if src.shape else src
    return combined(call, self, source, places, reduce, include_self)


@entry("index_reduce")
def _index_reduce(
    call: Any, self: Value, dim: int, index: Any, source: Value, reduce: str, include_self: bool = True
) -> Value:
    if not self.shape:
        return combined(call, self, source, np.zeros(source.size, dtype=np.int64), reduce, include_self)
    places = call.traced(self.shape, lambda x: x.index_select(dim, index))
    return combined(call, self, source, places, reduce, include_self)


# ------------------------------------------------------------------------------------------------ movements, backwards


@entry("unfold_backward")
def _unfold_backward(call: Any, grad_in: Value, input_sizes: Any, dim: int, size: int, step: int) -> Value:
    return call.moved_back(grad_in, input_sizes, lambda x: x.unfold(dim, size, step))


@entry("col2im")
def _col2im(
    call: Any, self: Value, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> Value:
    return call.moved_back(
        self,
        tuple(call.outputs[0].shape),
        lambda x: torch.ops.aten.im2col(x, kernel_size, dilation, padding, stride),
    )


@entry("as_strided_copy")
def _as_strided_copy(call: Any, self: Value, size: Any, stride: Any, storage_offset: int | None = None) -> Value:
    view = call.unseen(lambda: call.arguments["self"].as_strided(size, stride, storage_offset))
    return call.recorder.read(view)


@entry("as_strided_scatter")
def _as_strided_scatter(
    call: Any, self: Value, src: Value, size: Any, stride: Any, storage_offset: int | None = None
) -> Value:
    if not call.arguments["self"].is_contiguous():
        raise Unsupported(f"{call.program.origin}: as_strided_scatter is covered for contiguous tensors only")
    places = call.traced(self.shape, lambda x: x.as_strided(size, stride, storage_offset or 0))
    return _written(call, self, broadcast(src, places.shape), places)


# ------------------------------------------------------------------------------------------------ segments


def _segments(call: Any, data: Value, lengths: Any, offsets: Any, axis: int) -> tuple[Positions, int]:
    """Which segment each index along the axis belongs to, one row for all; and how many there are."""
    if data.shape and axis != len((lengths if lengths is not None else offsets).shape) - 1:
        raise Unsupported(f"{call.program.origin}: segments are covered along the last axis of their lengths")
    counts = call.positions(lengths) if lengths is not None else np.diff(call.positions(offsets), axis=-1)
    rows = [np.repeat(np.arange(row.size), row) for row in counts.reshape(-1, counts.shape[-1])]
    longest = data.shape[axis]
    return np.array([np.concatenate([row, np.full(longest - row.size, -1)]) for row in rows]), counts.shape[-1]


def _segment(
    call: Any, data: Value, reduce: str, lengths: Any, offsets: Any, axis: int, initial: float | None
) -> Value:
    """The sum, mean, product, largest or smallest of each segment along an axis, from `initial` on."""
    which, count = _segments(call, data, lengths, offsets, axis)
    outer = which.shape[0]
    inner = data.size // max(1, which.size)
    places = np.where(which < 0, -1, np.arange(outer)[:, None] * count + which)
    places = np.where(places[..., None] < 0, outer * count * inner, places[..., None] * inner + np.arange(inner))
    start = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -np.inf, "min": np.inf}[reduce]
    start = start if initial is None else float(initial)
    own = call.filled(start, (outer * count * inner + 1,))
    name = {"max": "amax", "min": "amin"}.get(reduce, reduce)
    result = combined(call, own, reshaped(data, places.shape), places, "sum" if name == "mean" else name, True)
    if name == "mean":
        sizes = np.bincount(places.reshape(-1), minlength=own.size)
        result = result / call.constant(np.maximum(sizes, 1))
        if initial is None:
            result = chosen(sizes == 0, call.filled(np.nan, result.shape), result)
    shape = (*data.shape[:axis], count, *data.shape[axis + 1 :])
    return rearranged(result, numbered(shape))


@entry("segment_reduce")
def _segment_reduce(
    call: Any, data: Value, reduce: str, lengths: Any = None, indices: Any = None, offsets: Any = None, axis: int = 0,
    unsafe: bool = False, initial: float | None = None,
) -> Value:  # fmt: skip
    return _segment(call, data, reduce, lengths, offsets, axis, initial)


@entry("_segment_reduce_backward")
def _segment_reduce_backward(
    call: Any, grad: Value, output: Value, data: Value, reduce: str, lengths: Any = None, offsets: Any = None,
    axis: int = 0, initial: float | None = None,
) -> Value:  # fmt: skip
    """From its operands: a product's share is output/data; of equal largest elements each gets a part."""
    which, count = _segments(call, data, lengths, offsets, axis)
    outer, inner = which.shape[0], data.size // max(1, which.size)
    places = np.where(which < 0, -1, np.arange(outer)[:, None] * count + which)[..., None]
    places = np.where(places < 0, -1, places * inner + np.arange(inner)).reshape(data.shape)
    g = rearranged(grad, places)
    if reduce == "sum":
        return g
    sizes = np.bincount(np.where(places < 0, grad.size, places).reshape(-1), minlength=grad.size + 1)
    if reduce == "mean":
        return g / call.constant(np.maximum(sizes, 1)[places])
    ends = rearranged(output, places)
    if reduce == "prod":
        return g * ends / data
    same = (call.numbers(call.arguments["data"]) == call.numbers(call.arguments["output"]).reshape(-1)[places]) & (
        places >= 0
    )
    equal = np.bincount(places[same].reshape(-1), minlength=grad.size + 1)
    return chosen(same, g / call.constant(np.maximum(equal, 1)[places]), call.filled(0, data.shape))
