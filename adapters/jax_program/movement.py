"""JAX's primitives that move elements and compute nothing: where each goes is tried on numbers 1, 2, 3, … of elements.

The plain ones are NumPy's of the same name; the others are JAX itself, bound on these numbers. Number 0 is nowhere:
there the result's own element is a constant of the run, zero or what an index out of bounds is filled with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import (
    Unsupported,
    Value,
    broadcast,
    chosen,
    concatenated,
    joined,
    numbered,
    permuted,
    rearranged,
    reshaped,
    scattered,
)
from ...reference.programs import elementwise as e
from .by_numpy import pad
from .seen import Call, Table

Array = NDArray[Any]
TABLE = Table()


def moved(call: Call, movement: Callable[..., Any], *elements: int) -> Any:
    """The values of the results. movement(*operands): done on the numbers of the elements of these operands (all real
    ones, if none are named) and on the others as they are; it returns the numbers of each result's elements."""
    places = elements or tuple(k for k, x in enumerate(call.operands) if x.real)
    parts = [call.operands[k].value for k in places]
    firsts = np.cumsum([1, *(part.size for part in parts)])
    numbers = {
        k: np.arange(first, first + part.size, dtype=np.float64).reshape(part.shape)
        for k, first, part in zip(places, firsts, parts, strict=False)
    }
    results = movement(*(numbers[k] if k in places else x.array for k, x in enumerate(call.operands)))
    whole = joined(parts) if len(parts) > 1 else parts[0]
    if isinstance(results, list | tuple):
        return [_taken(call, k, whole, np.asarray(x)) if y.real else None for k, (x, y) in _both(results, call)]
    return _taken(call, 0, whole, np.asarray(results))


def _both(results: Sequence[Any], call: Call) -> Any:
    return enumerate(zip(results, call.results, strict=True))


def _taken(call: Call, k: int, whole: Value, numbers: Array) -> Value:
    positions = numbers.astype(np.int64) - 1
    nowhere = positions < 0
    if nowhere.any():
        filled = np.where(nowhere, call.results[k].array.astype(np.float64), 0.0)
        if filled.any():
            return chosen(nowhere, whole.program.constant(filled), rearranged(whole, positions))
    return rearranged(whole, positions)


@TABLE("reshape", "squeeze", "expand_dims")
def _reshape(call: Call) -> Value:
    x, order = call.values[0], call.params.get("dimensions")
    if call.name == "reshape" and order is not None:
        x = permuted(x, order)  # read in another order of its axes
    return reshaped(x, call.shape)


@TABLE("broadcast_in_dim")
def _broadcast_in_dim(call: Call) -> Value:
    x, kept = call.values[0], [int(k) for k in call.params["broadcast_dimensions"]]
    shape = [1] * len(call.shape)
    for k, n in zip(kept, x.shape, strict=True):
        shape[k] = n
    constant = x.node.parameters.get("array") if x.node.operation.name == "constant" else None
    if constant is not None and constant.size == 1:
        return x.program.constant(constant.reshape(-1)[0], call.shape)
    return broadcast(reshaped(x, shape), call.shape)


@TABLE("transpose")
def _transpose(call: Call) -> Value:
    return permuted(call.values[0], call.params["permutation"])


@TABLE("concatenate")
def _concatenate(call: Call) -> Value:
    return concatenated(call.values, call.params["dimension"])


@TABLE("stack")
def _stack(call: Call) -> Any:
    return moved(call, lambda *parts: np.stack(parts, call.params["axis"]))


@TABLE("unstack")
def _unstack(call: Call) -> Any:
    return moved(call, lambda x: list(np.moveaxis(x, call.params["axis"], 0)))


@TABLE("split")
def _split(call: Call) -> Any:
    ends = np.cumsum(call.params["sizes"])[:-1]
    return moved(call, lambda x: np.split(x, ends, call.params["axis"]))


@TABLE("tile")
def _tile(call: Call) -> Any:
    return moved(call, lambda x: np.tile(x, call.params["reps"]))


@TABLE("rev")
def _rev(call: Call) -> Any:
    return moved(call, lambda x: np.flip(x, call.params["dimensions"]))


@TABLE("slice")
def _slice(call: Call) -> Any:
    starts, ends = call.params["start_indices"], call.params["limit_indices"]
    steps = call.params["strides"] or (1,) * len(starts)
    return moved(call, lambda x: x[tuple(map(slice, starts, ends, steps))])


def _within(starts: Sequence[Any], sizes: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """As XLA does, what would reach over the end begins earlier."""
    firsts = [int(np.clip(int(s), 0, n - size)) for s, size, n in zip(starts, sizes, shape, strict=True)]
    return tuple(slice(first, first + size) for first, size in zip(firsts, sizes, strict=True))


@TABLE("dynamic_slice")
def _dynamic_slice(call: Call) -> Any:
    return moved(call, lambda x, *starts: x[_within(starts, call.params["slice_sizes"], x.shape)], 0)


@TABLE("dynamic_update_slice")
def _dynamic_update_slice(call: Call) -> Any:
    def updated(x: Array, update: Array, *starts: Any) -> Array:
        result = x.copy()
        result[_within(starts, update.shape, x.shape)] = update
        return result

    return moved(call, updated, 0, 1)


@TABLE("select_n")
def _select_n(call: Call) -> Any:
    def selected(which: Array, *cases: Array) -> Array:
        return np.where(which, cases[1], cases[0])

    if call.operands[0].aval.dtype == bool and len(call.operands) == 3:
        return moved(call, selected)
    return _by_itself(call)  # what a whole number out of range selects is XLA's affair


@TABLE("pad")
def _pad(call: Call) -> Any:
    return moved(call, lambda x, value: pad(x, value, call.params["padding_config"]))


def _changes_what_is_there(update: Any) -> bool:
    """Whether a scatter's function is another than the one that takes the new element."""
    function = getattr(update, "jaxpr", update)
    return function is not None and (bool(function.eqns) or function.outvars[0] is not function.invars[1])


@TABLE("gather", "scatter", "select_and_gather_add")
def _by_itself(call: Call) -> Any:
    """By JAX itself, on the numbers. What indexes, and what is compared, stays what it is."""
    params = {"fill_value": 0} if call.name == "gather" else {}
    if call.name == "scatter" and _changes_what_is_there(call.params["update_jaxpr"]):
        raise Unsupported(f"{call.program.origin}: scatter with a function, as x.at[…].apply, is not covered")
    places = (0,) if call.name in {"gather", "select_and_gather_add"} else ()

    def movement(*operands: Any) -> Any:
        if call.name == "select_and_gather_add":
            operands = (operands[0], operands[1].astype(np.float64))
        return call.bind(*operands, **params)[0]

    return moved(call, movement, *places)


@TABLE("sort")
def _sort(call: Call) -> Any:
    """The order of the run, from an operand more that is not a key: the places themselves."""
    axis = call.params["dimension"]
    arrays = [x.array for x in call.operands]
    shape = [1] * arrays[0].ndim
    shape[axis] = -1
    places = np.broadcast_to(np.arange(arrays[0].shape[axis], dtype=np.int32).reshape(shape), arrays[0].shape)
    order = np.asarray(call.bind(*arrays, places.copy(), is_stable=True)[-1])
    return moved(call, lambda *xs: [np.take_along_axis(x, order, axis) for x in xs])


@TABLE("top_k", "approx_top_k")
def _top_k(call: Call) -> Any:
    axis = call.params.get("axis", call.params.get("reduction_dimension", -1))
    order = call.results[1].array
    return moved(call, lambda x: [np.take_along_axis(x, order, axis), order])


# ------------------------------------------------------------------------------------------------ scatter


def _targets(call: Call) -> NDArray[np.int64]:
    """For each element of the updates, its place in the operand; −1: out of bounds. By a gather with the same indices,
    which takes from where a scatter puts to. Source: XLA's operation semantics, Scatter."""
    from jax import lax

    operand, _, updates = (x.aval.shape for x in call.operands)
    dims = call.params["dimension_numbers"]
    batching = tuple(dims.operand_batching_dims)
    taken = lax.GatherDimensionNumbers(
        offset_dims=dims.update_window_dims,
        collapsed_slice_dims=dims.inserted_window_dims,
        start_index_map=dims.scatter_dims_to_operand_dims,
        operand_batching_dims=batching,
        start_indices_batching_dims=dims.scatter_indices_batching_dims,
    )
    window = iter(dims.update_window_dims)
    alone = {*dims.inserted_window_dims, *batching}
    sizes = [1 if k in alone else updates[next(window)] for k in range(len(operand))]
    numbers = numbered(operand, 1).astype(np.float64)
    found = lax.gather(numbers, call.operands[1].run, taken, sizes, mode=call.params["mode"], fill_value=0)
    return np.asarray(found).astype(np.int64) - 1


@TABLE("scatter-add", "scatter_add", "scatter-sub", "scatter_sub")
def _scatter_add(call: Call) -> Value:
    x, update = call.operands[0].value, call.operands[2].value
    added = scattered(update, _targets(call), x.shape)
    return x - added if call.name.endswith("sub") else x + added


@TABLE("scatter-mul", "scatter_mul", "scatter-min", "scatter_min", "scatter-max", "scatter_max")
def _scatter_by(call: Call) -> Value:
    """Each element of the operand by its updates, one after the other."""
    combine = {"mul": e.multiply, "min": e.minimum, "max": e.maximum}[call.name[-3:]]
    x, update = call.operands[0].value, call.operands[2].value
    targets = _targets(call).reshape(-1)
    left = np.flatnonzero(targets >= 0)
    while left.size:
        _, now = np.unique(targets[left], return_index=True)
        positions = np.full(x.size, -1)
        positions[targets[left[now]]] = left[now]
        met = (positions >= 0).reshape(x.shape)
        by = combine(x, rearranged(update, positions.reshape(x.shape)))
        x = chosen(met, by, x)
        left = np.delete(left, now)
    return x
