"""A matrix of values with error bounds, and the functions on it: how errors travel. What they are: see `bounded.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Curve, Uncertain
from .arrays import ArrayFunctions
from .atlas import ulps
from .error_model import OUTWARD, RANDOM, SYSTEMATIC, TRUTH, U64, WORST, Model, OwnError
from .kernels import NUMPY, Kernels
from .precision import FLOAT64
from .repeated import allowed, lost, offset, shared

Array = NDArray[np.float64]

FLAT = 30.0  # beyond it erf has a slope below the smallest double
ALMOST_STRAIGHT = 2.0**-8  # of sigmoid and tanh |f″| ≤ 2|f′|: twice as far away, the slope differs by 2 % at most


@dataclass(frozen=True, eq=False)
class Bounded:
    """A matrix of values and, channels × rows × columns (or × 1 × 1), their errors. See this module's docstring."""

    value: Array
    errors: Array
    model: Model

    @property
    def error(self) -> Array:
        """How far a number of an honest implementation may be from `value`."""
        error: Array = np.broadcast_to(self.errors[WORST] + self.errors[TRUTH], self.value.shape)
        return error

    def holds(self, got: NDArray[Any]) -> NDArray[np.bool_]:
        """For each element of an array of this shape, whether an honest implementation may have got it."""
        with np.errstate(all="ignore"):
            held: NDArray[np.bool_] = np.abs(got.astype(np.float64) - self.value) <= self.error
            return held

    @cached_property
    def reach(self) -> Array:
        """The largest size that each element may have, exactly or in an implementation."""
        size = np.abs(self.value)
        if not self.exact:
            size += self.errors[TRUTH]
            size += self.errors[WORST]
        return size

    @cached_property
    def widest(self) -> float:
        """The largest `reach` of all; NaN if one is."""
        return float(self.reach.max())

    @property
    def exact(self) -> bool:
        """Whether everyone holds the very same numbers."""
        return self.errors.shape[1:] == (1, 1) and not self.errors.any()

    def rows(self, part: slice) -> Bounded:
        """Some of the rows."""
        shared = self.errors.shape[1] == 1 != len(self.value)
        return Bounded(self.value[part], self.errors if shared else self.errors[:, part], self.model)

    def __add__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            return self._alike(self.rounded(self.value + other, self.errors), np.full((1, 1), float(other)))
        return self._summed(self.value + other.value, other)

    def __sub__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            return self._alike(self.rounded(self.value - other, self.errors), np.full((1, 1), float(other)))
        return self._summed(self.value - other.value, other)

    def __mul__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            return self._scaled(other)
        model = undivided_model(self, other)
        value = self.value * other.value
        errors = self.reach * other._errors_in(value) + self._errors_in(value) * other.reach
        # Split into steps, a product may pass through twice an operand: (g + g·a)(1 − a).
        for operand in (self, other):
            if not 2 * operand.widest < operand.model.largest:
                errors = unless_lost(2 * operand.reach, errors, operand.model.largest)
        return self.rounded(value, errors, model=model)

    def __truediv__(self, other: Operand) -> Bounded:
        if not isinstance(other, Bounded):
            # by a constant: either one division, or a product with a reciprocal that was rounded once for all elements
            exact = _power_of_two(other)
            own = self.model.roundings(0) if exact else self.model.roundings(1, self._of_reciprocal(other))
            result = self.rounded(self.value / other, self._held(other, self.errors / abs(other)), own)
            return result if abs(other) <= 1 else result.undivided(abs(other))
        smallest = np.abs(other.value) - other.error  # of the denominators in reach
        quotient = self.value / other.value
        errors = (self._errors_in(quotient) + self.reach / smallest * other._errors_in(quotient)) / smallest
        return self.rounded(quotient, np.where(smallest > 0, errors, np.inf))

    def __rtruediv__(self, other: float) -> Bounded:
        return exactly(float(other), self.model) / self

    def __pow__(self, exponent: int) -> Bounded:
        """A product of so many factors."""
        if not isinstance(exponent, int) or exponent < 1:
            return NotImplemented
        return self if exponent == 1 else self ** (exponent - 1) * self

    def __abs__(self) -> Bounded:
        return Bounded(np.abs(self.value), self.errors, self.model)

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.errors, self.model)

    def __radd__(self, other: float) -> Bounded:
        return self + other

    def __rsub__(self, other: float) -> Bounded:
        return self._alike(self.rounded(other - self.value, self.errors), np.full((1, 1), float(other)))

    def __rmul__(self, other: float) -> Bounded:
        return self._scaled(other)

    def undivided(self, divisor: float) -> Bounded:
        """These numbers, by whose divisor an implementation may divide later than here."""
        return Bounded(self.value, self.errors, self.model.putting_off(divisor))

    def rounded(self, value: Array, errors: Array, own: OwnError | None = None, model: Model | None = None) -> Bounded:
        """A result whose operands' errors have travelled into `errors`, with the error that the operation adds.

        own: one rounding if not given;  model: this matrix's if not given
        """
        model = model or self.model
        relative, growth, most = own or model.roundings(1)
        size = np.abs(value) + errors[TRUTH] + errors[WORST]
        grown = relative * size
        grown += errors
        grown *= growth
        grown += model.lost  # zero is within reach of what may be subnormal
        if not size.max() * most < model.largest / 2:  # rarely: then look at each
            grown = unless_lost(np.abs(value) + grown[TRUTH] + grown[WORST], grown, model.largest)
        return Bounded(value, grown, model)

    def _scaled(self, factor: float) -> Bounded:
        """Times an exact constant; exact for a power of two."""
        own = self.model.roundings(0 if _power_of_two(factor) else 1)
        return self.rounded(self.value * factor, self._held(factor, self.errors * abs(factor)), own)

    def _summed(self, value: Array, other: Bounded) -> Bounded:
        """A sum or difference: who divides later has done so here, if the other summand has nothing to be divided."""
        model = min(self.model, other.model, key=_put_off)
        result = self.rounded(value, self._errors_in(value) + other._errors_in(value), model=model)
        return self._alike(result, other.value, other.reach)

    def _alike(self, result: Bounded, other: Array, other_reach: Array | None = None) -> Bounded:
        """A sum or difference with what its rounding has in common in many elements: see `repeated.py`."""
        if result.model.channels <= RANDOM:
            return result
        unit, largest = result.model.profile.storage.unit_roundoff, result.reach
        reach, others = self.reach, np.abs(other) if other_reach is None else other_reach
        systematic, spread = lost(reach, others, largest, unit), np.zeros((1, 1))
        for value, its_other in ((self.value, others), (other, reach)):
            everywhere, somewhere = allowed(*offset(np.abs(value), its_other, largest, unit))
            systematic, spread = np.maximum(systematic, everywhere), np.maximum(spread, somewhere)
        if not systematic.any() and not spread.any():
            return result
        errors = np.broadcast_to(result.errors, (result.model.channels, *result.value.shape)).copy()
        errors[SYSTEMATIC] += systematic * OUTWARD
        own = unit * largest  # is in the random part already: the two are independent
        errors[RANDOM] += (np.hypot(own, spread) - own) * OUTWARD
        return Bounded(result.value, errors, result.model)

    def _errors_in(self, result: Array) -> Array:
        """The errors of this operand, as they go into results of which fewer are alike."""
        if self.model.channels <= RANDOM or not self.errors[RANDOM].any():
            return self.errors
        return shared(self.errors, self.value, result)

    def _held(self, constant: float, errors: Array) -> Array:
        """The errors, infinite if the format does not hold the constant: 70,000 samples in float16."""
        return errors if abs(constant) <= self.model.profile.storage.largest else np.full_like(errors, np.inf)

    def _of_reciprocal(self, divisor: float) -> float:
        """The rounding of 1/divisor, in units of u: more than one where it is subnormal."""
        storage = self.model.profile.storage
        return max(1.0, storage.underflow * abs(divisor) / storage.unit_roundoff)


Operand = Bounded | float


def undivided_model(left: Bounded, right: Bounded) -> Model:
    """Of a product: that of the factor which may still have to be divided."""
    return left.model if left.model is right.model else max(left.model, right.model, key=_put_off)


def _put_off(model: Model) -> float:
    return model.put_off


def exactly(value: Any, model: Model) -> Bounded:
    """Numbers that every implementation holds exactly."""
    return Bounded(np.array(value, dtype=np.float64, ndmin=2, copy=None), np.zeros((model.channels, 1, 1)), model)


def settled(value: Array, errors: Array, model: Model) -> Bounded:
    """The final say on a result: flushing, overflow, and no NaN in a bound (a NaN would pass every comparison)."""
    errors = errors + model.lost  # zero is within reach of what may be subnormal
    return Bounded(value, unless_lost(np.abs(value) + errors[TRUTH] + errors[WORST], errors, model.largest), model)


def unless_lost(size: Array, errors: Array, largest: float) -> Array:
    """The errors, infinite where numbers of this size may have overflowed."""
    if size.max() < largest:
        return errors
    return np.where(size < largest, errors, np.inf)  # not `>=`: a NaN must count as lost


def _power_of_two(x: float) -> bool:
    return bool(abs(np.frexp(x)[0]) == 0.5)


class BoundedFunctions:
    """Elementary functions on `Bounded`: an operand's error travels by the largest slope in reach; ulps are added."""

    def __init__(self, model: Model, kernels: Kernels = NUMPY) -> None:
        self.model = model
        self.kernels = kernels
        self.array_functions = ArrayFunctions(kernels)

    def constant(self, value: float) -> Bounded:
        """A constant that the format may have to round."""
        exact = exactly(value, self.model)
        errors = exact.errors
        if isinstance(value, Uncertain):
            errors = errors.copy()
            errors[TRUTH] += value.unsure
        return exact.rounded(exact.value, errors, self.model.roundings(0, 1))

    def pi(self) -> Bounded:
        return self.constant(math.pi)

    def exp(self, x: Bounded) -> Bounded:
        value = self.kernels.exp(x.value)
        errors = value * self.kernels.exp(x.errors[TRUTH]) * self.kernels.expm1(x.errors)
        return x.rounded(value, errors, self.model.function("exp"))

    def expm1(self, x: Bounded) -> Bounded:
        """eˣ − 1: while x moves by e, it moves by at most eˣ(eᵉ − 1)."""
        errors = self.kernels.exp(x.value) * self.kernels.exp(x.errors[TRUTH]) * self.kernels.expm1(x.errors)
        return x.rounded(self.kernels.expm1(x.value), errors, self.model.function("expm1"))

    def log(self, x: Bounded) -> Bounded:
        return x.rounded(self.kernels.log(x.value), self._over(x.errors, x.value - x.error), self.model.function("log"))

    def log1p(self, x: Bounded) -> Bounded:
        errors = self._over(x.errors, 1 + x.value - x.error)
        return x.rounded(self.kernels.log1p(x.value), errors, self.model.function("log1p"))

    def tanh(self, x: Bounded) -> Bounded:
        nearest_zero = np.maximum(np.abs(x.value) - x.error, 0)
        steepness = self.kernels.cosh(nearest_zero)
        return x.rounded(self.kernels.tanh(x.value), x.errors / (steepness * steepness), self.model.function("tanh"))

    def erf(self, x: Bounded) -> Bounded:
        """erf′(x) = 2/√π · exp(−x²), largest where x is nearest to zero."""
        square = np.minimum(np.maximum(np.abs(x.value) - x.error, 0), FLAT) ** 2
        slope = 2 / math.sqrt(math.pi) * self.kernels.exp(-square) * (1 + 4 * U64 * square)  # the square was rounded
        return x.rounded(self.kernels.erf(x.value), x.errors * slope, self.model.function("erf"))

    def sqrt(self, x: Bounded) -> Bounded:
        """|√a − √b| = |a − b| / (√a + √b), which is at most √|a − b| too. IEEE 754 rounds it correctly."""
        value = self.kernels.sqrt(x.value)
        return x.rounded(value, np.fmin(x.errors / value, self.kernels.sqrt(x.errors)))

    def absolute(self, x: Bounded) -> Bounded:
        return abs(x)

    def maximum(self, x: Operand, y: Operand) -> Bounded:
        first, second = self._bounded(x), self._bounded(y)
        errors = np.maximum(first.errors, second.errors)
        errors = np.where(first.value - first.error > second.value + second.error, first.errors, errors)
        errors = np.where(second.value - second.error > first.value + first.error, second.errors, errors)
        return Bounded(np.maximum(first.value, second.value), errors, self.model)

    def minimum(self, x: Operand, y: Operand) -> Bounded:
        first, second = self._bounded(x), self._bounded(y)
        return -self.maximum(-first, -second)

    def step(self, x: Bounded) -> Bounded:
        """At a kink, and wherever an honest pre-activation may lie on either side, all of [0, 1] is admissible.

        The exact result is then a set: `truth` encloses it, and an implementation's number is one of it.
        """
        sure = np.abs(x.value) > x.error
        value = np.where(sure, (x.value > 0).astype(np.float64), 0.5)
        errors = np.zeros((self.model.channels, *value.shape))
        errors[TRUTH] = np.where(sure, 0.0, 0.5)
        return Bounded(value, errors, x.model)

    def activated(self, activation: Curve, z: Bounded) -> Bounded:
        """f(z): how far f moves while z moves within its bound, and the activation's own ulps.

        Two bounds on the first, each valid, the smaller taken: the largest slope in reach times the error of z, and, f
        being increasing, the values at the two ends (which say more where f saturates and z is far from certain).
        Where nothing is known of f but its formula, that is run on z: what each of its operations adds, is added.
        """
        if activation.steepest is None:
            return self._spread(activation.value(z, self), z)

        def f(x: Array) -> Array:
            value: Array = activation.value(x, self.array_functions)
            return value

        own = self.model.function(activation.name)
        value = f(z.value)
        if z.exact:
            return z.rounded(value, np.zeros_like(z.errors), own)
        most = float(z.errors.max())
        straight = math.isfinite(activation.steepest) and most < ALMOST_STRAIGHT
        off = 2 * most if straight else z.errors + z.errors[TRUTH]  # so far from our z may an implementation's be
        lowest, highest = z.value - off, z.value + off
        steepest = np.maximum(lowest, np.minimum(activation.steepest, highest))
        slope = np.abs(activation.derivative(steepest, f(steepest), self.array_functions))
        by_slope = (slope + 16 * U64) * z.errors  # the slope, in float64, may have cancelled to less than it is
        if straight:
            return z.rounded(value, by_slope, own)
        low, high = z.value - z.errors[TRUTH], z.value + z.errors[TRUTH]  # the exact z lies between
        at_lowest, at_highest = f(lowest), f(highest)
        ours = 4 * (ulps(activation.name, FLOAT64) + 1) * U64 * np.maximum(np.abs(at_lowest), np.abs(at_highest))
        by_ends = np.maximum(at_highest - f(low), f(high) - at_lowest) + ours
        return z.rounded(value, np.fmin(by_slope, by_ends), own)

    def either(self, first: Bounded, second: Bounded) -> Bounded:
        """The first's value with bounds that cover both computations."""
        reach = (np.abs(first.value - second.value) + second.errors) * OUTWARD
        errors = np.maximum(first.errors, reach)  # NaN where both values are infinite, say: `settled` sees to it
        errors[TRUTH] = first.errors[TRUTH]
        if len(errors) > RANDOM:  # a difference between the two is no rounding error
            errors[RANDOM] = np.fmax(first.errors[RANDOM], second.errors[RANDOM])
        return settled(first.value, errors, first.model)

    def by_way_of(self, result: Bounded, step: Bounded) -> Bounded:
        """The result, and nothing is known of it where the step may overflow."""
        if np.isfinite(step.errors).all():
            return result
        lost = ~np.isfinite(step.errors).all(axis=0)
        return Bounded(result.value, np.where(lost, np.inf, result.errors), result.model)

    def undivided(self, quotient: Bounded, divisor: float) -> Bounded:
        """See `Bounded.undivided`."""
        return quotient.undivided(divisor)

    def _spread(self, result: Operand, z: Bounded) -> Bounded:
        """The result of a formula, also of one that does not look at z, in the shape of z."""
        found = self._bounded(result)
        return settled(np.broadcast_to(found.value, z.value.shape), found.errors, found.model)

    def _over(self, errors: Array, smallest: Array) -> Array:
        return np.where(smallest > 0, errors / smallest, np.inf)

    def _bounded(self, x: Operand) -> Bounded:
        return x if isinstance(x, Bounded) else exactly(float(x), self.model)
