"""PyTorch's embeddings: rows that are looked up, one by one or in bags."""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from typing import Any

import numpy as np

from ....reference.programs import Unsupported, Value, chosen, numbered, rearranged, reshaped, total
from .selection import added_rows
from .shapes import Positions
from .table import entry


@entry("embedding")
def _embedding(
    call: Any,
    weight: Value,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Value:
    """Rows. The row for padding is declared to get no gradient."""
    places = call.positions(indices)
    if scale_grad_by_freq:
        raise Unsupported(f"{call.program.origin}: scale_grad_by_freq makes a gradient that is no function's")
    rows = rearranged(weight, numbered(weight.shape)[places])
    if padding_idx < 0 or not (places == padding_idx).any():
        return rows
    call.recorder.conventions.append(
        f"{call.program.origin}: the row for padding, {padding_idx}, gets no gradient, as PyTorch declares"
    )
    return chosen(np.broadcast_to((places == padding_idx)[..., None], rows.shape), call.recorded(call.outputs[0]), rows)


@entry("embedding_dense_backward")
def _embedding_backward(
    call: Any, grad_output: Value, indices: Any, num_weights: int, padding_idx: int, scale_grad_by_freq: bool
) -> Value:
    places = call.positions(indices).reshape(-1)
    rows = reshaped(grad_output, (places.size, grad_output.shape[-1]))
    if scale_grad_by_freq:
        rows = rows / call.constant(np.bincount(places, minlength=num_weights)[places][:, None])
    return added_rows(rows, np.where(places == padding_idx, -1, places), (num_weights, grad_output.shape[-1]))


@entry("embedding_renorm")
def _embedding_renorm(call: Any, self: Value, indices: Any, max_norm: float, norm_type: float) -> Value:
    """Rows that are used and too long are scaled, under no_grad: their new numbers are taken as the factor says."""
    raise Unsupported(f"{call.program.origin}: max_norm changes the weights in the forward pass; leave it out")


# ------------------------------------------------------------------------------------------------ bags


def _bags(call: Any, indices: Any, offsets: Any, include_last_offset: bool) -> tuple[Positions, Positions, int]:
    rows, starts = call.positions(indices), call.positions(offsets)
    count = starts.size - (1 if include_last_offset else 0)
    return rows, _bag_of(starts[:count], rows.size), count


def _bag_of(starts: Positions, rows: int) -> Positions:
    return np.searchsorted(starts, np.arange(rows), side="right") - 1


def _bag(
    call: Any,
    weight: Value,
    scales: Value | None,
    rows: Positions,
    bags: Positions,
    count: int,
    mode: int,
    padding: int,
) -> Value:
    """The sum or the mean of each bag's rows; what is padding does not count."""
    there = rows != padding if padding >= 0 else np.ones(rows.shape, dtype=bool)
    taken = rearranged(weight, numbered(weight.shape)[rows])
    if scales is not None:
        taken = taken * reshaped(scales, (rows.size, 1))
    sums = added_rows(taken, np.where(there, bags, -1), (count, weight.shape[1]))
    if mode == 0:
        return sums
    counts = np.maximum(np.bincount(bags[there], minlength=count), 1)
    return sums / call.constant(counts[:, None])


def _largest(weight: Value, places: Positions) -> Value:
    """Row places[b, k] of column k, for each bag b and column k; nothing where it is −1."""
    columns = np.arange(weight.shape[1])
    return rearranged(weight, np.where(places < 0, -1, places * weight.shape[1] + columns))


def _largest_places(call: Any, places: Any, bags: Positions, rows: Positions, padding: int) -> Positions:
    there = rows != padding if padding >= 0 else np.ones(rows.shape, dtype=bool)
    empty = ~np.isin(np.arange(places.shape[0]), bags[there])
    return np.where(empty[:, None], -1, call.positions(places))


@entry("_embedding_bag", "_embedding_bag_forward_only")
def _embedding_bag(
    call: Any, weight: Value, indices: Any, offsets: Any, scale_grad_by_freq: bool = False, mode: int = 0,
    sparse: bool = False, per_sample_weights: Value | None = None, include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Any:  # fmt: skip
    rows, bags, count = _bags(call, indices, offsets, include_last_offset)
    if mode == 2:
        places = _largest_places(call, call.outputs[3], bags, rows, padding_idx)
        return _largest(weight, places), None, None, None
    return _bag(call, weight, per_sample_weights, rows, bags, count, mode, padding_idx), None, None, None


@entry("_embedding_bag_backward", "_embedding_bag_dense_backward")
def _embedding_bag_backward(
    call: Any, grad: Value, indices: Any, offset2bag: Any, bag_size: Any, maximum_indices: Any, num_weights: int,
    scale_grad_by_freq: bool, mode: int, per_sample_weights: Value | None, padding_idx: int = -1, offsets: Any = None,
    sparse: bool = False,
) -> Value:  # fmt: skip
    """Linear in the weights, so its pullback is the same at weights of zero."""
    rows = call.positions(indices)
    starts = None if offsets is None else call.positions(offsets)
    bags = call.positions(offset2bag) if starts is None else _bag_of(starts, rows.size)
    bags = np.minimum(bags, grad.shape[0] - 1)
    weight = call.filled(0, (num_weights, grad.shape[1]))
    if mode == 2:
        places = _largest_places(call, maximum_indices, bags, rows, padding_idx)
        return call.pulled(lambda w: _largest(w, places), [weight], grad)[0]
    if scale_grad_by_freq:
        frequent = 1 / call.constant(np.bincount(rows, minlength=num_weights)[rows])
        per_sample_weights = frequent if per_sample_weights is None else per_sample_weights * frequent
    return call.pulled(
        lambda w: _bag(call, w, per_sample_weights, rows, bags, grad.shape[0], mode, padding_idx), [weight], grad
    )[0]


@entry("_embedding_bag_per_sample_weights_backward")
def _per_sample_weights_backward(
    call: Any, grad: Value, weight: Value, indices: Any, offsets: Any, offset2bag: Any, mode: int, padding_idx: int = -1
) -> Value:
    rows = call.positions(indices)
    bags = _bag_of(call.positions(offsets), rows.size)
    bags = np.minimum(bags, grad.shape[0] - 1)
    there = rows != padding_idx if padding_idx >= 0 else np.ones(rows.shape, dtype=bool)
    products = rearranged(grad, numbered(grad.shape)[bags]) * rearranged(weight, numbered(weight.shape)[rows])
    return chosen(there, total(products, (1,)), call.filled(0, rows.shape))
