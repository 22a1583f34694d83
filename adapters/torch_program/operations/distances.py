"""PyTorch's norms of vectors and distances between them."""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ....reference.programs import Value, broadcast, chosen, reshaped, total
from ....reference.programs import elementwise as e
from .selection import added_rows
from .shapes import folded, sliced
from .sums import rooted
from .table import entry


def vector_norm(call: Any, x: Value, p: float, dim: Any = None, keepdim: bool = False) -> Value:
    """(Σ|x|ᵖ)^(1/p), and its limits: the largest, the smallest, and how many are not zero."""
    axes = list(dim) if dim else list(range(len(x.shape)))
    if not x.shape:  # by the same formula: √(x²) is rounded, |x| is not
        return reshaped(vector_norm(call, reshaped(x, (1,)), p), ())
    if math.isinf(p):
        result = folded(e.absolute(x), e.maximum if p > 0 else e.minimum, axes)
        kept = tuple(1 if k in {a % len(x.shape) for a in axes} else n for k, n in enumerate(x.shape))
        return reshaped(result, kept) if keepdim else result
    if p == 0:
        return call.recorded(call.outputs[0])
    if p == 2:
        return rooted(call, total(x * x, axes, keepdim), e.sqrt)
    if p == 1:
        return total(e.absolute(x), axes, keepdim)
    powers = e.whole_power(x, exponent=int(p)) if p % 2 == 0 else e.raised(e.absolute(x), p)
    exponent = call.program.constant(1.0) / p
    return rooted(call, total(powers, axes, keepdim), lambda sums: e.power(sums, exponent))


@entry("linalg_vector_norm")
def _vector_norm(
    call: Any, self: Value, ord: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Value:
    return vector_norm(call, self, float(ord), dim, keepdim)


@entry("norm.ScalarOpt_dim", "norm.Scalar", "norm.ScalarOpt_dtype", "norm.ScalarOpt_dim_dtype")
def _norm(call: Any, self: Value, p: Any = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return vector_norm(call, self, 2.0 if p is None else float(p), dim, keepdim)


@entry("dist")
def _dist(call: Any, self: Any, other: Any, p: Any = 2) -> Value:
    return vector_norm(call, call.value(self) - call.value(other), float(p))


@entry("renorm")
def _renorm(call: Any, self: Value, p: Any, dim: int, maxnorm: Any) -> Value:
    """Slices longer than maxnorm are scaled by maxnorm/(norm + 1e-7). Source: Normalization.cpp."""
    others = [k for k in range(len(self.shape)) if k != dim % len(self.shape)]
    norms = vector_norm(call, self, float(p), others, keepdim=True)
    given = call.arguments["self"].detach()
    inside = torch.promote_types(given.dtype, torch.float32)  # lengths are not rounded to 16 bits
    lengths = call.numbers(
        call.unseen(lambda: torch.linalg.vector_norm(given, float(p), others, keepdim=True, dtype=inside))
    )
    scale = chosen(lengths > float(maxnorm), float(maxnorm) / (norms + 1e-7), call.filled(1, norms.shape))
    return self * scale


def distances(call: Any, x1: Value, x2: Value, p: float) -> Value:
    """‖x1ᵢ − x2ⱼ‖ₚ for all pairs of rows."""
    rows, columns = (*x1.shape[:-1], 1, x1.shape[-1]), (*x2.shape[:-2], 1, *x2.shape[-2:])
    return vector_norm(call, reshaped(x1, rows) - reshaped(x2, columns), p, [-1])


@entry("_cdist_forward")
def _cdist(call: Any, x1: Value, x2: Value, p: float, compute_mode: Any = None) -> Value:
    return distances(call, x1, x2, p)


@entry("_euclidean_dist")
def _euclidean(call: Any, x1: Value, x2: Value) -> Value:
    return distances(call, x1, x2, 2)


@entry("_cdist_backward")
def _cdist_backward(call: Any, grad: Value, x1: Value, x2: Value, p: float, cdist: Value) -> Value:
    """By x1. Σⱼ gᵢⱼ sgn(d)|d|ᵖ⁻¹/distᵖ⁻¹, d = x1ᵢ − x2ⱼ; for p = ∞ only the largest. Source: DistanceOpsKernel.cpp."""
    shape = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    away = reshaped(x1, (*x1.shape[:-1], 1, x1.shape[-1])) - reshaped(x2, (*x2.shape[:-2], 1, *x2.shape[-2:]))
    share = _slope(call, away, reshaped(cdist, (*cdist.shape, 1)), call.arguments["cdist"], p)
    return broadcast(total(reshaped(grad, (*grad.shape, 1)) * share, (-2,)), (*shape, *x1.shape[-2:]))


def _slope(call: Any, away: Value, length: Value, given: Any, p: float) -> Value:
    """∂‖d‖ₚ/∂d, with the length that is at hand; zero at zero. given: the tensor of the lengths"""
    sign = 2 * e.step(away) - 1
    if p == 0:
        return away * 0
    if p == 1:
        return sign
    if math.isinf(p):
        size = e.absolute(away)
        return sign * e.step(size - length + 2.0**-40)
    length = chosen(call.numbers(given).reshape(length.shape) == 0, call.filled(1, length.shape), length)
    if p == 2:
        return away / length
    return (
        sign * e.power(e.absolute(away), call.program.constant(p - 1)) / e.power(length, call.program.constant(p - 1))
    )


def _pairs(rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.triu_indices(rows, 1)


@entry("_pdist_forward")
def _pdist(call: Any, self: Value, p: float = 2) -> Value:
    first, second = _pairs(self.shape[0])
    return vector_norm(call, sliced(self, first) - sliced(self, second), p, [-1])


@entry("_pdist_backward")
def _pdist_backward(call: Any, grad: Value, self: Value, p: float, pdist: Value) -> Value:
    first, second = _pairs(self.shape[0])
    away = sliced(self, first) - sliced(self, second)
    share = reshaped(grad, (*grad.shape, 1)) * _slope(
        call, away, reshaped(pdist, (*pdist.shape, 1)), call.arguments["pdist"], p
    )
    return added_rows(share, first, self.shape) - added_rows(share, second, self.shape)
