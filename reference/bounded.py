"""Value with bound: how far an honest implementation may be from the truth. No tolerance is picked, all are derived.

An element is an interval [value − error, value + error]. It holds the exact result, and it holds what *every* honest
implementation in the given precision may get: each sum of products added up in any order, with or without FMA; each
elementary function within its stated ulps; subnormal numbers kept or flushed to zero. An observed number outside it
was not computed that way.

How the bounds arise, with u the unit roundoff, x̂ the computed and x the exact value:

- one operation:      fl(x ∘ y) = (x ∘ y)(1 + θ), |θ| ≤ u
- a sum of n products, any order:  |fl(Σ xᵢyᵢ) − Σ xᵢyᵢ| ≤ γₙ Σ |xᵢ||yᵢ|, γₙ = nu / (1 − nu)
  (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 2002, §2.2 and §3.1)
- errors of the operands travel by the interval rules for +, −, ×, ÷ and by the largest slope in reach for functions
- underflow: every operation may lose up to the smallest normal number, and a number that may be subnormal may be
  read as zero (XLA and GPUs flush)
- overflow: where an honest implementation may overflow, the bound is infinite, and the judge says "undecided"

The value is computed in float64, and its own rounding is part of the error: each operation adds 2⁻⁵³ to u. The error is
computed in float64 too; `OUTWARD` and a growing factor in matmul keep it on the large side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Formula, Rows
from .precision import FLOAT64, Precision

if TYPE_CHECKING:
    from .activations import Activation

Array = NDArray[np.float64]

U64 = FLOAT64.unit_roundoff
OUTWARD = 1 + 32 * U64  # covers the few roundings with which one operation's error is itself computed
LIBRARY_ULPS = (
    4  # of exp, log and log1p, ours and theirs: at least twice the largest error measured (see Activation.ulps)
)
TANH_ULPS = 7


@dataclass(frozen=True, eq=False)
class Bounded:
    """Arrays of values and of error bounds of one shape, and the precision that the errors are for."""

    value: Array
    error: Array
    precision: Precision

    def __add__(self, other: Operand) -> Bounded:
        y = self._operand(other)
        return self.rounded(self.value + y.value, self.error + y.error)

    def __sub__(self, other: Operand) -> Bounded:
        y = self._operand(other)
        return self.rounded(self.value - y.value, self.error + y.error)

    def __mul__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            return self._scaled(other)
        error = np.abs(self.value) * other.error + self.error * (np.abs(other.value) + other.error)
        return self.rounded(self.value * other.value, error)

    def __truediv__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            # by a constant: either one division, or a rounded reciprocal and a product
            return self.rounded(self.value / other, self.error / abs(other), roundings=0 if _power_of_two(other) else 2)
        smallest = np.abs(other.value) - other.error  # of the denominators in reach
        quotient = self.value / other.value
        error = (self.error + np.abs(quotient) * other.error) / smallest
        return self.rounded(quotient, np.where(smallest > 0, error, np.inf))

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.error, self.precision)

    def __radd__(self, other: float) -> Bounded:
        return self + other

    def __rsub__(self, other: float) -> Bounded:
        return (-self) + other

    def __rmul__(self, other: float) -> Bounded:
        return self._scaled(other)

    def rounded(self, value: Array, error: Array, roundings: float = 1) -> Bounded:
        """A result whose operands' errors have travelled into `error`, after so many roundings of its own.

        The value was computed with as many roundings in float64.
        """
        unit = roundings * (self.precision.unit_roundoff + U64)
        error = error + (np.abs(value) + error) * unit
        return settled(value, error * (OUTWARD + 2 * unit) + self.precision.smallest_normal, self.precision)

    def _scaled(self, factor: float) -> Bounded:
        """Times an exact constant; exact for a power of two."""
        return self.rounded(self.value * factor, self.error * abs(factor), roundings=0 if _power_of_two(factor) else 1)

    def _operand(self, other: Operand) -> Bounded:
        return other if isinstance(other, Bounded) else constant(float(other), self.precision)


Operand = Bounded | float


def constant(value: float, precision: Precision) -> Bounded:
    """A number that every implementation holds exactly."""
    return Bounded(np.asarray(value, dtype=np.float64), np.zeros(()), precision)


def settled(value: Array, error: Array, precision: Precision) -> Bounded:
    """The final say on a result: flushing, overflow, and no NaN in a bound (a NaN would pass every comparison)."""
    size = np.abs(value)
    may_be_subnormal = size - error < precision.smallest_normal
    error = np.where(may_be_subnormal, np.maximum(error, size), error)  # so that zero is within reach
    lost = ~(size + error < precision.largest)  # not `>=`: a NaN must count as lost
    return Bounded(value, np.where(lost, np.inf, error), precision)


def _power_of_two(x: float) -> bool:
    return bool(abs(np.frexp(x)[0]) == 0.5)


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


class BoundedFunctions:
    """Elementary functions on `Bounded`: an operand's error travels by the largest slope in reach; ulps are added."""

    def __init__(self, precision: Precision) -> None:
        self.precision = precision

    def constant(self, value: float) -> Bounded:
        """A constant that the format may have to round."""
        return constant(value, self.precision).rounded(np.asarray(value), np.zeros(()))

    def exp(self, x: Bounded) -> Bounded:
        value = np.exp(x.value)
        return x.rounded(value, value * np.expm1(x.error), roundings=2 * LIBRARY_ULPS)

    def log(self, x: Bounded) -> Bounded:
        smallest = x.value - x.error
        error = np.where(smallest > 0, x.error / smallest, np.inf)
        return x.rounded(np.log(x.value), error, roundings=2 * LIBRARY_ULPS)

    def log1p(self, x: Bounded) -> Bounded:
        smallest = 1 + x.value - x.error
        error = np.where(smallest > 0, x.error / smallest, np.inf)
        return x.rounded(np.log1p(x.value), error, roundings=2 * LIBRARY_ULPS)

    def tanh(self, x: Bounded) -> Bounded:
        nearest_zero = np.maximum(np.abs(x.value) - x.error, 0)
        return x.rounded(np.tanh(x.value), x.error / np.cosh(nearest_zero) ** 2, roundings=2 * TANH_ULPS)

    def absolute(self, x: Bounded) -> Bounded:
        return Bounded(np.abs(x.value), x.error, x.precision)

    def maximum(self, x: Operand, y: Operand) -> Bounded:
        first, second = self._bounded(x), self._bounded(y)
        error = np.maximum(first.error, second.error)
        error = np.where(first.value - first.error > second.value + second.error, first.error, error)
        error = np.where(second.value - second.error > first.value + first.error, second.error, error)
        return Bounded(np.maximum(first.value, second.value), error, self.precision)

    def minimum(self, x: Operand, y: Operand) -> Bounded:
        first, second = self._bounded(x), self._bounded(y)
        return -self.maximum(-first, -second)

    def step(self, x: Bounded) -> Bounded:
        """At a kink, and wherever an honest pre-activation may lie on either side, all of [0, 1] is admissible."""
        sure = np.abs(x.value) > x.error
        value = np.where(sure, (x.value > 0).astype(np.float64), 0.5)
        return Bounded(value, np.where(sure, 0.0, 0.5), x.precision)

    def either(self, first: Bounded, second: Bounded) -> Bounded:
        """The first's value with a bound that covers both computations."""
        reach = (np.abs(first.value - second.value) + second.error) * OUTWARD
        return settled(first.value, np.fmax(first.error, np.where(np.isnan(reach), np.inf, reach)), self.precision)

    def _bounded(self, x: Operand) -> Bounded:
        return x if isinstance(x, Bounded) else constant(float(x), self.precision)


ARRAY_FUNCTIONS = ArrayFunctions()


class BoundedArithmetic:
    """Matrices of `Bounded`. Values by BLAS in float64; the bounds cost about three more products of the same size.

    precision: of the implementation to be judged. With FLOAT64 the intervals enclose the truth for narrower targets.
    """

    def __init__(self, precision: Precision) -> None:
        self.precision = precision
        self.functions = BoundedFunctions(precision)

    def lift(self, rows: Rows) -> Bounded:
        value = np.array(rows, dtype=np.float64, ndmin=2)
        return settled(value, np.zeros_like(value), self.precision)

    def ones(self, rows: int, columns: int) -> Bounded:
        return self.lift(np.ones((rows, columns)))

    def shape(self, matrix: Bounded) -> tuple[int, int]:
        rows, columns = matrix.value.shape
        return rows, columns

    def transpose(self, matrix: Bounded) -> Bounded:
        return Bounded(matrix.value.T, matrix.error.T, matrix.precision)

    def matmul(self, left: Bounded, right: Bounded) -> Bounded:
        with np.errstate(all="ignore"):
            return self._sum(
                left.value @ right.value,
                _propagated(left, right),
                _reach(left) @ _reach(right),
                terms=left.value.shape[1],
            )

    def weighted_sums(self, inputs: Bounded, weights: Bounded, biases: Bounded | None) -> Bounded:
        if biases is None:
            return self.matmul(inputs, self.transpose(weights))
        columns = self.transpose(weights)
        with np.errstate(all="ignore"):
            return self._sum(
                inputs.value @ columns.value + biases.value,
                _propagated(inputs, columns) + biases.error,
                _reach(inputs) @ _reach(columns) + _reach(biases),
                terms=inputs.value.shape[1] + 1,
            )

    def elementwise(self, formula: Formula, *matrices: Bounded) -> Bounded:
        with np.errstate(all="ignore"):
            result: Bounded = formula(*matrices, self.functions)
            return result

    def activate(self, activation: Activation, z: Bounded) -> Bounded:
        """f(z): how far f moves while z moves within its bound, and the activation's own ulps.

        Two bounds on the first, each valid, the smaller taken: the largest slope in reach times the error of z, and, f
        being increasing, the values at the two ends (which say more where f saturates).
        """

        def f(x: Array) -> Array:
            value: Array = activation.value(x, ARRAY_FUNCTIONS)
            return value

        with np.errstate(all="ignore"):
            value, low, high = f(z.value), z.value - z.error, z.value + z.error
            steepest = np.clip(activation.steepest, low, high)
            slope = np.abs(activation.derivative(steepest, f(steepest), ARRAY_FUNCTIONS))
            by_slope = (
                slope + 16 * U64
            ) * z.error  # the slope, computed in float64, may have cancelled to less than it is
            at_low, at_high = f(low), f(high)
            own = 4 * (activation.ulps + 1) * U64 * np.maximum(np.abs(at_low), np.abs(at_high))
            by_ends = np.maximum(at_high - value, value - at_low) + own
            return z.rounded(value, np.fmin(by_slope, by_ends), roundings=2 * activation.ulps)

    def softmax(self, z: Bounded) -> Bounded:
        """exp(zᵢ) / Σ exp(zⱼ): errors in z act on the exponents, ∂ log sᵢ = ∂zᵢ − Σ sⱼ ∂zⱼ, and so does the shift's."""
        with np.errstate(all="ignore"):
            shifted = z.value - z.value.max(axis=1, keepdims=True)
            exponentials = np.exp(shifted)
            value = exponentials / exponentials.sum(axis=1, keepdims=True)
            unit = self.precision.unit_roundoff + U64
            shift = z.error + unit * (np.abs(shifted) + 2 * z.error.max(axis=1, keepdims=True))
            exponent_error = shift + shift.max(axis=1, keepdims=True)
            computing = 4 * LIBRARY_ULPS + z.value.shape[1] + 1  # two exponentials, a sum, a division
            return z.rounded(value, value * np.expm1(exponent_error), roundings=computing)

    def log_softmax(self, z: Bounded) -> Bounded:
        """z − log Σ exp(z): as a difference of numbers up to max |z| + log Σ, whichever way it is arranged."""
        with np.errstate(all="ignore"):
            largest = z.value.max(axis=1, keepdims=True)
            log_sum = np.log(np.exp(z.value - largest).sum(axis=1, keepdims=True))
            value = z.value - largest - log_sum
            unit = self.precision.unit_roundoff + U64
            size = np.abs(_reach(z)).max(axis=1, keepdims=True)
            library = 2 * LIBRARY_ULPS * (1 + log_sum) + z.value.shape[1]  # exp, the sum, log, in units of 2u
            computing = unit * (4 * size + np.abs(log_sum) + 2 * library) * OUTWARD
            return z.rounded(value, z.error + z.error.max(axis=1, keepdims=True) + computing, roundings=2)

    def total(self, matrix: Bounded) -> Bounded:
        """Two summands per element: a loss's terms may be sums of two, which an implementation may add separately."""
        with np.errstate(all="ignore"):
            value = np.array([[matrix.value.sum()]])
            error = np.array([[matrix.error.sum()]])
            reach = np.array([[_reach(matrix).sum()]])
            return self._sum(value, error, reach, terms=2 * matrix.value.size)

    def _sum(self, value: Array, error: Array, reach: Array, terms: int) -> Bounded:
        """A sum of `terms` products: the operands' errors have become `error`, `reach` bounds the sum of sizes."""
        ours = gamma(terms + 8, U64)  # the value's own rounding, and that of the sums which make up the error
        theirs = gamma(terms, self.precision.unit_roundoff)
        underflow = 2 * terms * self.precision.smallest_normal
        error = (error + reach * (theirs + ours)) * (OUTWARD + ours) + underflow
        overflows = ~(reach * (1 + theirs) < self.precision.largest)  # on the way, even if not in the end
        return settled(value, np.where(overflows, np.inf, error), self.precision)


def gamma(terms: int, unit_roundoff: float) -> float:
    """γₙ = nu / (1 − nu), rounded up; infinite where nu ≥ 1 (Higham 2002, §3.1)."""
    nu = terms * unit_roundoff
    return nu / (1 - nu) * (1 + 4 * U64) if nu < 1 else float("inf")


def _reach(matrix: Bounded) -> Array:
    """The largest size that each element may have."""
    return np.abs(matrix.value) + matrix.error


def _propagated(left: Bounded, right: Bounded) -> Array:
    """How far errors in the operands move a product of matrices: |L|·eR + eL·(|R| + eR)."""
    product = np.zeros((left.value.shape[0], right.value.shape[1]))
    if right.error.any():
        product = product + np.abs(left.value) @ right.error
    if left.error.any():
        product = product + left.error @ _reach(right)
    return product
