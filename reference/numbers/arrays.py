"""The chain rule on arrays of one format, without bounds: what an implementation in that format computes.

Used to plant faults in real arithmetic, and to see quickly whether numbers are worth a closer look. The arrays are
NumPy's, or another library's with NumPy's functions: adapters of frameworks pass their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Curve, Formula, Rows
from .precision import PRECISIONS, Precision

Array = Any  # of the library whose functions are used


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's type of one of `PRECISIONS`; bfloat16 is not its own, but that of the package ml_dtypes."""
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        return np.dtype(bfloat16)
    return np.dtype(name)


@cache
def format_name(dtype: np.dtype[Any]) -> str:
    """What NumPy calls a format: it puts the name together anew whenever it is asked."""
    return dtype.name


def array_of(rows: Any, dtype: str) -> Array:
    """A case's numbers as an array of its dtype: they are exact in it, so nothing is rounded on the way."""
    return np.array(rows, np.float64).astype(numpy_dtype(dtype))


def erf(x: Any) -> NDArray[Any]:
    """The error function, which NumPy has not, by Python's, in the format of x."""
    given = np.asarray(x)
    values = [math.erf(number) for number in given.astype(np.float64).ravel().tolist()]
    return np.array(values, np.float64).reshape(given.shape).astype(given.dtype)


class ArrayFunctions:
    """Elementary functions on float64 arrays, without bounds: the values that the bounds are put around.

    library: what has them under NumPy's names, `erf` among them: `Kernels`, or a framework's module
    """

    def __init__(self, library: Any) -> None:
        self.library = library

    def constant(self, value: float) -> Any:
        return value

    def pi(self) -> Any:
        return self.constant(math.pi)

    def exp(self, x: Array) -> Array:
        return self.library.exp(x)

    def expm1(self, x: Array) -> Array:
        return self.library.expm1(x)

    def log(self, x: Array) -> Array:
        return self.library.log(x)

    def log1p(self, x: Array) -> Array:
        return self.library.log1p(x)

    def tanh(self, x: Array) -> Array:
        return self.library.tanh(x)

    def erf(self, x: Array) -> Array:
        return self.library.erf(x)

    def sqrt(self, x: Array) -> Array:
        return self.library.sqrt(x)

    def absolute(self, x: Array) -> Array:
        return self.library.abs(x)

    def maximum(self, x: Array, y: Array) -> Array:
        return self.library.maximum(x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return self.library.minimum(x, y)

    def step(self, x: Array) -> Array:
        return (x > 0).astype(np.float64)

    def activated(self, activation: Curve, z: Array) -> Array:
        return activation.value(z, self)

    def either(self, first: Array, second: Array) -> Array:
        return first

    def by_way_of(self, result: Array, step: Array) -> Array:
        return result

    def undivided(self, quotient: Array, divisor: float) -> Array:
        return quotient


class FormatFunctions(ArrayFunctions):
    """The functions of an `ArrayArithmetic`, with constants in its format."""

    def __init__(self, arithmetic: ArrayArithmetic) -> None:
        super().__init__(arithmetic.library)
        self.arithmetic = arithmetic

    def constant(self, value: float) -> Any:
        return self.arithmetic.lift([[value]])

    def maximum(self, x: Array, y: Array) -> Array:
        return self.library.maximum(*(self._array(v) for v in (x, y)))

    def minimum(self, x: Array, y: Array) -> Array:
        return self.library.minimum(*(self._array(v) for v in (x, y)))

    def erf(self, x: Array) -> Array:
        return self.arithmetic.erf(x)

    def step(self, x: Array) -> Array:
        return self.arithmetic.cast(x > 0, self.arithmetic.dtype)

    def _array(self, value: Any) -> Array:
        return self.constant(float(value)) if isinstance(value, (int, float)) else value


def narrowed(numbers: NDArray[np.float64], precision: Precision) -> NDArray[np.float64]:
    """The nearest numbers of a format, ties to even."""
    if precision.name in PRECISIONS:
        with np.errstate(over="ignore"):  # infinite in the narrower format
            return numbers.astype(numpy_dtype(precision.name)).astype(np.float64)
    mantissas, exponents = np.frexp(numbers)  # tf32 is no format that NumPy stores
    return np.ldexp(np.rint(np.ldexp(mantissas, precision.digits)), exponents - precision.digits)


class ArrayArithmetic:
    """Matrices are arrays of one format. Products and sums of 16-bit numbers are added up in float32.

    library: NumPy, or another module with its functions; subclasses say where a framework's arrays differ
    """

    library: Any = np

    def __init__(self, dtype: str) -> None:
        self.dtype: Any = self.type_of(dtype)
        self.wide: Any = self.type_of("float32") if dtype in ("float16", "bfloat16") else self.dtype
        self.functions = FormatFunctions(self)

    def type_of(self, dtype: str) -> Any:
        """The library's type of one of `PRECISIONS`."""
        return numpy_dtype(dtype)

    def cast(self, array: Array, dtype: Any) -> Array:
        return array.astype(dtype, copy=False)

    def erf(self, array: Array) -> Array:
        """The library's own, where it has one."""
        return erf(array)

    def from_numpy(self, array: NDArray[Any]) -> Array:
        return array

    def to_numpy(self, array: Array) -> NDArray[Any]:
        return np.asarray(array)

    def lift(self, rows: Rows) -> Array:
        exact = np.array(rows, np.float64, ndmin=2)
        return self.cast(self.from_numpy(exact), self.dtype)

    def around(self, value: Rows, error: Rows) -> Array:
        return self.lift(value)

    def ones(self, rows: int, columns: int) -> Array:
        return self.lift(np.ones((rows, columns)))

    def shape(self, matrix: Array) -> tuple[int, int]:
        rows, columns = matrix.shape
        return rows, columns

    def transpose(self, matrix: Array) -> Array:
        return matrix.T

    def matmul(self, left: Array, right: Array) -> Array:
        return self._product(left, right)

    def weighted_sums(self, inputs: Array, weights: Array, biases: Array | None) -> Array:
        sums = self._product(inputs, weights.T)
        return sums if biases is None else sums + biases

    def column_sums(self, matrix: Array) -> Array:
        return self.cast(self.cast(matrix, self.wide).sum(axis=0, keepdims=True), self.dtype)

    def elementwise(self, formula: Formula, *matrices: Array) -> Array:
        with np.errstate(all="ignore"):
            result = formula(*matrices, self.functions)
            if not hasattr(result, "shape"):
                result = self.functions.constant(float(result))
            return self.cast(self.library.broadcast_to(result, self.shape(matrices[0])), self.dtype)

    def activate(self, activation: Curve, z: Array) -> Array:
        return self.elementwise(activation.value, z)

    def softmax(self, z: Array) -> Array:
        powers = self.library.exp(z - self._largest(z))
        return powers / self._row_sums(powers)

    def log_softmax(self, z: Array) -> Array:
        shifted = z - self._largest(z)
        return shifted - self.library.log(self._row_sums(self.library.exp(shifted)))

    def total(self, matrix: Array) -> Array:
        return self.cast(self.cast(matrix, self.wide).sum().reshape(1, 1), self.dtype)

    def rearranged(self, matrix: Array, positions: Sequence[Sequence[int]]) -> Array:
        return matrix.reshape(-1)[self.from_numpy(np.array(positions))]

    def narrow(self, matrix: Array, precision: Precision, roundings: int = 1) -> Array:
        with np.errstate(all="ignore"):
            return self.lift(narrowed(self.to_numpy(matrix).astype(np.float64), precision))

    def _largest(self, z: Array) -> Array:
        return self.library.max(z, axis=1, keepdims=True)

    def _row_sums(self, matrix: Array) -> Array:
        return self.cast(self.cast(matrix, self.wide).sum(axis=1, keepdims=True), self.dtype)

    def _product(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            return self.cast(self.cast(left, self.wide) @ self.cast(right, self.wide), self.dtype)
