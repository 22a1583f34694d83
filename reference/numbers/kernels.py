"""The kernels that bounds are computed with: matrix products, sums and elementary functions on float64 arrays.

IEEE 754 says what +, −, ×, ÷ and √ give, to the last bit. It does not say in which order a sum is added up, nor how far
an exponential may be off: there NumPy and BLAS give other last bits on another processor, or with another number of
threads. Bounds cover that, so that verdicts may come from the fastest kernels, `NUMPY`. What is published or compared
byte for byte is computed with those of `reproducible.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import erf
from .upper_bounds import products_above

Array = NDArray[np.float64]
Function = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Kernels:
    """Functions of arrays, under the names that NumPy has for them where it has any.

    matmul: rows × inner times inner × columns
    sum: (array, axes) to the sums along them; an axis is kept, with the length 1
    products_above: an upper bound of Σ leftᵢ · rightᵢ + lost, as `upper_bounds.products_above` has it
    sqrt: correctly rounded wherever it comes from (IEEE 754); abs, maximum, minimum: exact
    """

    exp: Function
    expm1: Function
    log: Function
    log1p: Function
    tanh: Function
    erf: Function
    cosh: Function
    matmul: Callable[[Array, Array], Array]
    sum: Callable[[Array, tuple[int, ...]], Array]
    products_above: Callable[..., Array]
    sqrt: Function = np.sqrt
    abs: Function = np.abs
    maximum: Callable[[Any, Any], Array] = np.maximum
    minimum: Callable[[Any, Any], Array] = np.minimum


def _sum(array: Array, axes: tuple[int, ...]) -> Array:
    summed: Array = array.sum(axis=axes, keepdims=True)
    return summed


NUMPY = Kernels(
    exp=np.exp,
    expm1=np.expm1,
    log=np.log,
    log1p=np.log1p,
    tanh=np.tanh,
    erf=erf,
    cosh=np.cosh,
    matmul=np.matmul,
    sum=_sum,
    products_above=products_above,
)
