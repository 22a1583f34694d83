"""Primitives that NumPy computes to the same bits as XLA: exact ones, and those that IEEE 754 rounds correctly.

The arrays of the run are computed one primitive at a time, and XLA would compile each of them; these need not be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_FORMATS = {np.dtype(x) for x in (bool, np.int32, np.int64, np.uint8, np.uint32, np.uint64, np.float32, np.float64)}


def _broadcast_in_dim(p: Mapping[str, Any], x: Array) -> Array:
    shape = [1] * len(p["shape"])
    for k, n in zip(p["broadcast_dimensions"], x.shape, strict=True):
        shape[k] = n
    return np.broadcast_to(x.reshape(shape), p["shape"])


def _slice(p: Mapping[str, Any], x: Array) -> Array:
    steps = p["strides"] or (1,) * x.ndim
    return x[tuple(map(slice, p["start_indices"], p["limit_indices"], steps))]


def _reshape(p: Mapping[str, Any], x: Array) -> Array:
    return (x if p["dimensions"] is None else x.transpose(p["dimensions"])).reshape(p["new_sizes"])


def pad(x: Array, value: Any, padding: Sequence[tuple[int, int, int]]) -> Array:
    """As XLA pads: before, behind (fewer elements where negative), and so many between two elements."""
    for axis, (low, high, between) in enumerate(padding):
        n = x.shape[axis]
        size = max((n - 1) * (between + 1) + 1, 0)
        spread = np.full([*x.shape[:axis], size, *x.shape[axis + 1 :]], value, x.dtype)
        spread[(slice(None),) * axis + (slice(None, None, between + 1),)] = x
        sides = [(max(low, 0), max(high, 0)) if k == axis else (0, 0) for k in range(x.ndim)]
        padded = np.pad(spread, sides, constant_values=value)
        x = np.take(padded, np.arange(max(-low, 0), padded.shape[axis] - max(-high, 0)), axis)
    return x


NUMPY: dict[str, Callable[..., Any]] = {
    "eq": lambda p, x, y: x == y,
    "ne": lambda p, x, y: x != y,
    "lt": lambda p, x, y: x < y,
    "le": lambda p, x, y: x <= y,
    "gt": lambda p, x, y: x > y,
    "ge": lambda p, x, y: x >= y,
    "not": lambda p, x: np.invert(x),
    "and": lambda p, x, y: x & y,
    "or": lambda p, x, y: x | y,
    "xor": lambda p, x, y: x ^ y,
    "add": lambda p, x, y: x + y,
    "add_any": lambda p, x, y: x + y,
    "sub": lambda p, x, y: x - y,
    "mul": lambda p, x, y: x * y,
    "neg": lambda p, x: np.negative(x),
    "abs": lambda p, x: np.abs(x),
    "max": lambda p, x, y: np.maximum(x, y),
    "min": lambda p, x, y: np.minimum(x, y),
    "square": lambda p, x: x * x,
    "floor": lambda p, x: np.floor(x),
    "ceil": lambda p, x: np.ceil(x),
    "is_finite": lambda p, x: np.isfinite(x),
    "stop_gradient": lambda p, x: x,
    "copy": lambda p, x: x,
    "copy_p": lambda p, x: x,
    "broadcast_in_dim": _broadcast_in_dim,
    "reshape": _reshape,
    "squeeze": lambda p, x: np.squeeze(x, tuple(p["dimensions"])),
    "transpose": lambda p, x: x.transpose(p["permutation"]),
    "concatenate": lambda p, *xs: np.concatenate(xs, p["dimension"]),
    "slice": _slice,
    "rev": lambda p, x: np.flip(x, p["dimensions"]),
    "pad": lambda p, x, value: pad(x, value, p["padding_config"]),
    "select_n": lambda p, which, no, yes: np.where(which, yes, no),
    "iota": lambda p: _broadcast_in_dim(
        {"shape": p["shape"], "broadcast_dimensions": (p["dimension"],)},
        np.arange(p["shape"][p["dimension"]], dtype=p["dtype"]),
    ),
    "reduce_max": lambda p, x: np.max(x, tuple(p["axes"])),
    "reduce_min": lambda p, x: np.min(x, tuple(p["axes"])),
}


def by_numpy(eqn: Any) -> Callable[..., Sequence[Any]] | None:
    """The equation as a function of arrays, if NumPy is to compute it."""
    name, params = eqn.primitive.name, eqn.params
    if not all(getattr(v.aval, "dtype", None) in _FORMATS for v in (*eqn.invars, *eqn.outvars)):
        return None
    if name == "convert_element_type":  # a real number out of range is no matter of NumPy's
        kinds = eqn.invars[0].aval.dtype.kind, eqn.outvars[0].aval.dtype.kind
        dtype = eqn.outvars[0].aval.dtype
        return None if kinds[0] == "f" != kinds[1] else lambda x: [np.asarray(x).astype(dtype)]
    function = NUMPY.get(name)
    if function is None or (name in {"reduce_max", "reduce_min"} and not eqn.invars[0].aval.size):
        return None
    if name == "select_n" and eqn.invars[0].aval.dtype != bool:
        return None

    def compute(*arrays: Any) -> Sequence[Any]:
        with np.errstate(all="ignore"):
            return [np.asarray(function(params, *(np.asarray(x) for x in arrays)))]

    return compute
