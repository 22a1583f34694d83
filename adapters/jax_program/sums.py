"""JAX's primitives that add up, multiply up, or take the largest: reductions, products, convolution, windows, scans.

A reduction over n elements that is no sum is a tree of log₂ n operations, each on half of what is left; so ties are the
elementwise operation's affair, whose pullback there is any element of the subdifferential.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import (
    WHAT_TO_DO,
    Unsupported,
    Value,
    chosen,
    concatenated,
    contracted,
    numbered,
    permuted,
    products,
    rearranged,
    reshaped,
    scattered,
    total,
    zeros,
)
from ...reference.programs import elementwise as e
from .by_numpy import pad
from .seen import Call, Table

TABLE = Table()
Combine = Callable[[Value, Value], Value]
_COMBINE: dict[str, tuple[Combine, float]] = {
    "add": (e.add, 0.0),
    "sum": (e.add, 0.0),
    "mul": (e.multiply, 1.0),
    "prod": (e.multiply, 1.0),
    "max": (e.maximum, -np.inf),
    "min": (e.minimum, np.inf),
}


def _folded(x: Value, combine: Combine, neutral: float) -> Value:
    """All elements along the last axis, in one."""
    while (n := x.shape[-1]) > 1:
        places = numbered(x.shape)
        half = n // 2
        pairs = combine(rearranged(x, places[..., :half]), rearranged(x, places[..., half : 2 * half]))
        x = concatenated([pairs, rearranged(x, places[..., 2 * half :])], -1) if n % 2 else pairs
    return reshaped(x, x.shape[:-1]) if x.shape[-1] else x.program.constant(neutral, x.shape[:-1])


def _reduced(x: Value, axes: Sequence[int], combine: Combine, neutral: float) -> Value:
    kept = [k for k in range(len(x.shape)) if k not in axes]
    last = permuted(x, (*kept, *axes))
    shape = tuple(x.shape[k] for k in kept)
    return _folded(reshaped(last, (*shape, x.size // max(prod(shape), 1) if prod(shape) else 0)), combine, neutral)


@TABLE("reduce_sum")
def _reduce_sum(call: Call) -> Value:
    return total(call.values[0], call.params["axes"]) if call.params["axes"] else call.values[0]


@TABLE("psum")
def _psum(call: Call) -> list[Value]:
    """Over axes that a vmap has made: a sum like any other. Over devices' axes it is refused."""
    axes = call.params["axes"]
    if any(not isinstance(axis, int) for axis in axes):
        raise Unsupported(f"{call.program.origin}: psum over the axis {axes} of several devices: {WHAT_TO_DO}")
    return [total(x, axes) if axes else x for x in call.values]


@TABLE("reduce_max", "reduce_min", "reduce_prod")
def _reduce(call: Call) -> Value:
    return _reduced(call.values[0], call.params["axes"], *_COMBINE[call.name[-4:].lstrip("_")])


def _computation(call: Call) -> tuple[Combine, float]:
    """What a reduction combines with, where a function was given that is one operation."""
    jaxpr = call.params["jaxpr"]
    names = [eqn.primitive.name for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns]
    if len(names) != 1 or names[0] not in _COMBINE or len(call.operands) != 2:
        raise Unsupported(f"{call.program.origin}: {call.name} by a function of one's own")
    return _COMBINE[names[0]]


@TABLE("reduce")
def _reduce_by(call: Call) -> list[Value]:
    x, start = call.values
    combine, neutral = _computation(call)
    return [combine(_reduced(x, call.params["dimensions"], combine, neutral), start)]


# ------------------------------------------------------------------------------------------------ products


@TABLE("dot_general")
def _dot_general(call: Call) -> Value:
    over, batch = call.params["dimension_numbers"]
    left, right = call.values
    return contracted(left, right, tuple(over), tuple(batch))


def _cut(x: Value, axis: int, start: int, end: int) -> Value:
    return rearranged(x, np.take(numbered(x.shape), np.arange(start, end), axis))


@TABLE("ragged_dot_general")
def _ragged_dot_general(call: Call) -> Value:
    """One product for each group of neighbours along an axis of the left operand: that axis is summed over, or the
    right operand has a matrix for each group. Source: `jax.lax.ragged_dot_general`, modes 1 and 2."""
    dims, (left, right) = call.params["ragged_dot_dimension_numbers"], call.values[:2]
    (over, batch), (axis,) = dims.dot_dimension_numbers, dims.lhs_ragged_dimensions
    sizes = call.operands[2].array
    if sizes.ndim != 1 or axis in batch[0] or call.params["group_offset"] is not None:
        raise Unsupported(f"{call.program.origin}: groups along a batch, or of another size in each of a batch")
    ends = np.minimum(np.cumsum(sizes), left.shape[axis]).tolist()
    groups = list(zip([0, *ends[:-1]], ends, strict=True))
    if axis in over[0]:
        other = over[1][over[0].index(axis)]
        sums = [contracted(_cut(left, axis, a, b), _cut(right, other, a, b), over, batch) for a, b in groups]
        return concatenated([reshaped(x, (1, *x.shape)) for x in sums], 0)
    (which,) = dims.rhs_group_dimensions
    inner, outer = (tuple(k - (k > which) for k in axes) for axes in (over[1], batch[1]))
    shape = [n for k, n in enumerate(right.shape) if k != which]
    rows = [
        contracted(
            _cut(left, axis, a, b), reshaped(_cut(right, which, k, k + 1), shape), (over[0], inner), (batch[0], outer)
        )
        for k, (a, b) in enumerate(groups)
    ]
    place = len(batch[0]) + sum(k not in (*batch[0], *over[0]) for k in range(axis))
    left_over = [*rows[0].shape[:place], left.shape[axis] - ends[-1], *rows[0].shape[place + 1 :]]
    return concatenated([*rows, zeros(left.program, tuple(left_over))], place)


def _windows(
    numbers: NDArray[Any],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> NDArray[np.int64]:
    """The numbers that lie in each window: of the shape of the windows, then that of one. 0 where an axis was padded
    or dilated. Source: XLA's operation semantics, ReduceWindow and ConvWithGeneralPadding."""
    numbers = pad(numbers, 0, [(low, high, apart - 1) for (low, high), apart in zip(padding, dilation, strict=True)])
    for axis, (n, step, apart) in enumerate(zip(window, strides, window_dilation, strict=True)):
        count = max((numbers.shape[axis] - (n - 1) * apart - 1) // step + 1, 0)
        places = np.arange(count)[:, None] * step + np.arange(n)[None, :] * apart
        taken = np.take(numbers, places, axis)  # the axis becomes two: of the windows, and within one
        numbers = np.moveaxis(taken, axis + 1, -1)
    return np.asarray(numbers, dtype=np.int64)


@TABLE("conv_general_dilated")
def _convolution(call: Call) -> Value:
    """Every window of the left operand as a row, times the kernels: a product of matrices, one for each group."""
    p, (left, right) = call.params, call.values
    spec = p["dimension_numbers"]
    left, right = permuted(left, spec.lhs_spec), permuted(right, spec.rhs_spec)
    (batch, features, *_), (outputs, inner, *window) = left.shape, right.shape
    none = [(0, 0), (0, 0), *p["padding"]]
    ones = (1, 1)
    positions = _windows(
        numbered(left.shape, 1),
        (1, 1, *window),
        (*ones, *p["window_strides"]),
        none,
        (*ones, *p["lhs_dilation"]),
        (*ones, *p["rhs_dilation"]),
    )
    space, size = positions.shape[2 : 2 + len(window)], prod(window)
    positions = positions.reshape(batch, features, prod(space), size) - 1
    groups, batches = p["feature_group_count"], p["batch_group_count"]
    count = groups * batches
    # batches of the group × places × (features of the group × window)
    split = positions.reshape(batches, batch // batches, groups, features // groups, prod(space), size)
    rows = split.transpose(0, 2, 1, 4, 3, 5).reshape(count, batch // batches * prod(space), inner * size)
    columns = permuted(reshaped(right, (count, outputs // count, inner * size)), (0, 2, 1))
    result = reshaped(products(rearranged(left, rows), columns), (count, batch // batches, *space, outputs // count))
    axes = range(2, 2 + len(space))
    ordered = reshaped(permuted(result, (1, 0, len(space) + 2, *axes)), (batch // batches, outputs, *space))
    return permuted(ordered, np.argsort(spec.out_spec).tolist())


# ------------------------------------------------------------------------------------------------ windows


def _in_windows(call: Call, shape: Sequence[int]) -> NDArray[np.int64]:
    """The positions in each window, one window's in the last axis."""
    p, ones = call.params, (1,) * len(shape)
    found = _windows(
        numbered(tuple(shape), 1),
        p["window_dimensions"],
        p["window_strides"],
        p["padding"],
        p.get("base_dilation") or ones,
        p.get("window_dilation") or ones,
    )
    return found.reshape(*found.shape[: len(shape)], prod(p["window_dimensions"])) - 1


def _filled(x: Value, positions: NDArray[np.int64], neutral: float) -> Value:
    taken = rearranged(x, positions)
    nowhere = positions < 0
    if not neutral or not nowhere.any():
        return taken
    return chosen(nowhere, x.program.constant(neutral, positions.shape), taken)


@TABLE("reduce_window_sum", "reduce_window_max", "reduce_window_min")
def _reduce_window(call: Call) -> Value:
    x = call.values[0]
    positions = _in_windows(call, x.shape)
    if call.name.endswith("sum"):
        return total(rearranged(x, positions), (-1,))
    combine, neutral = _COMBINE[call.name[-3:]]
    return _folded(_filled(x, positions, neutral), combine, neutral)


@TABLE("select_and_scatter_add")
def _select_and_scatter_add(call: Call) -> Value:
    """Each element of the source goes where its window's largest (smallest) is: the first such one, in the run."""
    source, operand = call.operands
    sign = {"ge": 1.0, "le": -1.0}.get(call.params["select_prim"].name)
    if sign is None:
        raise Unsupported(f"{call.program.origin}: {call.name} by {call.params['select_prim'].name}")
    positions = _in_windows(call, operand.aval.shape)
    flat = np.append(sign * operand.array.astype(np.float64).reshape(-1), -np.inf)  # the last one is nowhere
    best = np.argmax(flat[positions], -1)
    return scattered(source.value, np.take_along_axis(positions, best[..., None], -1)[..., 0], operand.aval.shape)


# ------------------------------------------------------------------------------------------------ scans along an axis


def _running(x: Value, axis: int, reverse: bool, combine: Combine, neutral: float) -> Value:
    """Each element combined with all before it, in log₂ n rounds. Source: Hillis & Steele, CACM 29 (1986)."""
    n, apart = x.shape[axis], 1
    places = numbered(x.shape)
    while apart < n:
        index = np.arange(n) + (apart if reverse else -apart)
        inside = (index >= 0) & (index < n)
        shape = [1] * len(x.shape)
        shape[axis] = n
        positions = np.where(inside.reshape(shape), np.take(places, np.clip(index, 0, n - 1), axis), -1)
        x, apart = combine(x, _filled(x, positions, neutral)), 2 * apart
    return x


@TABLE("cumsum", "cumprod", "cummax", "cummin")
def _cumulated(call: Call) -> Value:
    return _running(
        call.values[0], call.params["axis"], call.params["reverse"], *_COMBINE[call.name.removeprefix("cum")]
    )


@TABLE("cumlogsumexp")
def _cumlogsumexp(call: Call) -> Value:
    """Less the largest element of the run, so that it does not overflow in floats either."""
    x, largest = call.values[0], float(np.max(call.operands[0].array, initial=-np.inf))
    shift = largest if np.isfinite(largest) else 0.0
    added = _running(e.exp(x - shift), call.params["axis"], call.params["reverse"], e.add, 0.0)
    return e.log(added) + shift
