"""The chain rule on NumPy arrays of one format, without bounds: what an implementation in that format computes.

Used to plant faults in real arithmetic, and to see quickly whether numbers are worth a closer look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import Activation
from .arithmetic import Formula, Rows
from .observation import numpy_dtype
from .precision import PRECISIONS, Precision

Array = NDArray[Any]


class ArrayFunctions:
    """Elementary functions on float64 arrays, without bounds: the values that the bounds are put around."""

    def constant(self, value: float) -> float:
        return value

    def exp(self, x: Array) -> Array:
        return np.exp(x)

    def log(self, x: Array) -> Array:
        return np.log(x)

    def log1p(self, x: Array) -> Array:
        return np.log1p(x)

    def tanh(self, x: Array) -> Array:
        return np.tanh(x)

    def absolute(self, x: Array) -> Array:
        return np.abs(x)

    def maximum(self, x: Array, y: Array) -> Array:
        return np.maximum(x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return np.minimum(x, y)

    def step(self, x: Array) -> Array:
        return (x > 0).astype(np.float64)

    def either(self, first: Array, second: Array) -> Array:
        return first


class FormatFunctions(ArrayFunctions):
    """NumPy's functions, with constants in the format."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def constant(self, value: float) -> Any:
        return self.dtype.type(value)

    def step(self, x: Array) -> Array:
        return (x > 0).astype(self.dtype)


def narrowed(numbers: NDArray[np.float64], precision: Precision) -> NDArray[np.float64]:
    """The nearest numbers of a format, ties to even."""
    if precision.name in PRECISIONS:
        return numbers.astype(numpy_dtype(precision.name)).astype(np.float64)
    mantissas, exponents = np.frexp(numbers)  # tf32 is no format that NumPy stores
    return np.ldexp(np.rint(np.ldexp(mantissas, precision.digits)), exponents - precision.digits)


class ArrayArithmetic:
    """Matrices are NumPy arrays of one format. Products and sums of 16-bit numbers are added up in float32."""

    def __init__(self, dtype: str) -> None:
        self.dtype = numpy_dtype(dtype)
        self.wide = np.dtype(np.float32) if self.dtype.itemsize == 2 else self.dtype
        self.functions = FormatFunctions(self.dtype)

    def lift(self, rows: Rows) -> Array:
        return np.array(rows, np.float64, ndmin=2).astype(self.dtype)

    def around(self, value: Rows, error: Rows) -> Array:
        return self.lift(value)

    def ones(self, rows: int, columns: int) -> Array:
        return np.ones((rows, columns), self.dtype)

    def shape(self, matrix: Array) -> tuple[int, int]:
        rows, columns = matrix.shape
        return rows, columns

    def transpose(self, matrix: Array) -> Array:
        return matrix.T

    def matmul(self, left: Array, right: Array) -> Array:
        return self._product(left, right)

    def weighted_sums(self, inputs: Array, weights: Array, biases: Array | None) -> Array:
        sums = self._product(inputs, weights.T)
        return sums if biases is None else np.asarray(sums + biases)

    def column_sums(self, matrix: Array) -> Array:
        return matrix.sum(axis=0, keepdims=True, dtype=self.wide).astype(self.dtype)

    def elementwise(self, formula: Formula, *matrices: Array) -> Array:
        with np.errstate(all="ignore"):
            shape = np.broadcast_shapes(*(m.shape for m in matrices))
            return np.broadcast_to(np.asarray(formula(*matrices, self.functions)), shape).astype(self.dtype)

    def activate(self, activation: Activation, z: Array) -> Array:
        return self.elementwise(activation.value, z)

    def softmax(self, z: Array) -> Array:
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        total = powers.sum(axis=1, keepdims=True, dtype=self.wide).astype(self.dtype)
        return np.asarray(powers / total)

    def log_softmax(self, z: Array) -> Array:
        shifted = z - z.max(axis=1, keepdims=True)
        total = np.exp(shifted).sum(axis=1, keepdims=True, dtype=self.wide).astype(self.dtype)
        return np.asarray(shifted - np.log(total))

    def total(self, matrix: Array) -> Array:
        return np.array([[matrix.sum(dtype=self.wide)]]).astype(self.dtype)

    def rearranged(self, matrix: Array, positions: Sequence[Sequence[int]]) -> Array:
        return np.asarray(matrix.reshape(-1)[np.array(positions)])

    def narrow(self, matrix: Array, precision: Precision, roundings: int = 1) -> Array:
        with np.errstate(all="ignore"):
            return narrowed(matrix.astype(np.float64), precision).astype(self.dtype)

    def _product(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            wide = left.astype(self.wide, copy=False) @ right.astype(self.wide, copy=False)
            return np.asarray(wide).astype(self.dtype, copy=False)
