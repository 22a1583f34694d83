"""Kernels that give the same bits on every processor, for what is published or compared byte for byte.

Elementwise +, −, ×, ÷ and √ are correctly rounded (IEEE 754, 2019, §5.4.1), one at a time, whatever instructions NumPy
chooses for them. Sums are made of these in one fixed order, the first term first. Elementary functions are correctly
rounded: a ball (Arb) is made narrower until all of it rounds to one double (Ziv, Fast evaluation of elementary
mathematical functions with correctly rounded last bit, ACM Transactions on Mathematical Software 17, 1991).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from .error_model import U64, gamma
from .kernels import Kernels

Array = NDArray[np.float64]

FIRST_BITS, MOST_BITS = 96, 2**14  # of working precision. Doubles that need even 200 are rare
SATURATED = 2.0**13  # beyond it exp, expm1, cosh, tanh and erf round to their limits


def _matmul(left: Array, right: Array) -> Array:
    return _sum_of_products([left], [right])


def _sum(array: Array, axes: tuple[int, ...]) -> Array:
    for axis in axes:
        total, *others = np.split(array, array.shape[axis], axis=axis)
        for part in others:
            total = total + part  # not in place, which would change the argument
        array = total
    return array


def _products_above(left: list[Array], right: list[Array], lost: Array, _right_widest: float | None = None) -> Array:
    inner = sum(a.shape[-1] for a in left) + 1
    above: Array = (_sum_of_products(left, right) + lost) * (1 + gamma(inner + 8, U64))
    return above


def _sum_of_products(left: list[Array], right: list[Array]) -> Array:
    """Σ leftᵢ · rightᵢ; either may have channels before its rows."""
    terms = [
        side[..., :, k, None] * top[..., None, k, :]
        for side, top in zip(left, right, strict=True)
        for k in range(side.shape[-1])
    ]
    total: Array = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _elementwise(function: Callable[[float], float], x: Array) -> Array:
    numbers = [function(number) for number in np.asarray(x).ravel().tolist()]
    return np.array(numbers, np.float64).reshape(np.shape(x))


def _rounded(function: Callable[[arb], arb], x: float) -> float:
    """The double nearest to the exact result."""
    bits = FIRST_BITS
    while bits <= MOST_BITS:
        with ctx.workprec(bits):
            ball = function(arb(x))
            lowest, highest = float(ball.lower()), float(ball.upper())
        if lowest == highest:
            return lowest
        bits *= 2
    raise ArithmeticError(f"the result at {x!r} is too near the middle between two doubles for {MOST_BITS} bits.")


def _with_limits(function: Callable[[arb], arb], low: float, high: float) -> Callable[[Array], Array]:
    """A function that is at its limits, rounded, where |x| is large."""

    @lru_cache(2**16)
    def rounded(x: float) -> float:
        if math.isnan(x):
            return x
        if abs(x) > SATURATED:
            return high if x > 0 else low
        return _rounded(function, x)

    return partial(_elementwise, rounded)


def _logarithm(function: Callable[[arb], arb], pole: float) -> Callable[[Array], Array]:
    """−∞ at its pole, no number below it, and ∞ at ∞."""

    @lru_cache(2**16)
    def rounded(x: float) -> float:
        if not pole < x < math.inf:  # a NaN as well
            return x if x == math.inf else -math.inf if x == pole else math.nan
        return _rounded(function, x)

    return partial(_elementwise, rounded)


REPRODUCIBLE = Kernels(
    exp=_with_limits(arb.exp, 0.0, math.inf),
    expm1=_with_limits(arb.expm1, -1.0, math.inf),
    log=_logarithm(arb.log, 0.0),
    log1p=_logarithm(arb.log1p, -1.0),
    tanh=_with_limits(arb.tanh, -1.0, 1.0),
    erf=_with_limits(arb.erf, -1.0, 1.0),
    cosh=_with_limits(arb.cosh, math.inf, math.inf),
    matmul=_matmul,
    sum=_sum,
    products_above=_products_above,
)
