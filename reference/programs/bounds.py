"""Numbers with bounds: how far an honest implementation of a program may be from its exact result.

The model is that of `numbers/bounded.py`, to be read first: beside a value, computed in float64, stand the errors of
its four channels (truth, worst, systematic, random). Here the arrays have any shape, and the program is any.

What is judged is one call at a time, from the operands that it really had, so that errors start at zero and pass few
lines. A call of several lines (a layer norm, a GELU) may be computed by another honest formula than ours: `expanded`
says that products may have been multiplied out, so that a difference x − y may carry the roundings of both its terms;
the bounds of two-pass variances, of Welford's and of closed-form backward passes are then all of this size.
Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), §1.9 (variances), §2.2, §3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import (
    CHANNELS,
    LAMBDA,
    RANDOM,
    SYSTEMATIC,
    TRUTH,
    U64,
    WORST,
    Model,
    Precision,
    Profile,
    alike,
    lost_alike,
)  # fmt: skip
from .program import Positions, Shape

Array = NDArray[Any]
Function = Callable[..., Any]

BOUNDED = np.dtype([("value", np.float64), ("errors", np.float64, (len(CHANNELS),))])

# Functions that rise or fall over their whole domain: what an error of the operand does to them, two evaluations show.
# After each the name of its accuracy in the atlas.
MONOTONE = {
    "sqrt": "", "cbrt": "cbrt", "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "logistic": "sigmoid",
    "tanh": "tanh", "sinh": "sinh", "asin": "asin", "acos": "acos", "atan": "atan", "asinh": "asinh", "acosh": "acosh",
    "atanh": "atanh", "erfinv": "erfinv",
}  # fmt: skip
CIRCULAR = {"sin": "sin", "cos": "cos"}  # their slope is at most 1
BELLS = {"erf": "erf", "erfc": "erfc"}  # whose slope is a bell, and which take long to evaluate
EVEN = {"cosh": "cosh"}  # as steep as the function itself is large


class NoBounds(Exception):
    """An operation whose errors we have no bound for. The message names it."""


@dataclass(frozen=True)
class Bounds:
    """A kind of numbers, as `Floats` and `Balls` are. Elements are of the type `BOUNDED`.

    profile: the formats inside of an operation, before its result is stored
    expanded: whether the implementation may have multiplied products out
    factors: a format that an implementation is taken to round the factors of its products to, or to cut them to, before
        it multiplies them; beside it whether it cuts
    """

    profile: Profile
    expanded: bool = False
    factors: tuple[Precision, bool] | None = None
    summed: list[int] = field(default_factory=lambda: [1])  # lengths of the sums of products; one instance, one call

    @cached_property
    def model(self) -> Model:
        return Model(self.profile, len(CHANNELS))

    @cached_property
    def added_up(self) -> Model:
        """Of sums before they are stored: where they are added up in a wider format, the last rounding is its result's,
        and as small as that."""
        inside = self.profile
        if inside.accumulate.digits > inside.storage.digits:  # factors are exact in the wider format
            inside = replace(inside, storage=inside.accumulate, multiply=inside.accumulate)
        return Model(inside, len(CHANNELS))

    @cached_property
    def in_memory(self) -> Model:
        """Of sums that are added up one by one where they are stored (scatter, index_add, an embedding's gradient)."""
        return Model(replace(self.profile, reduce=self.profile.storage), len(CHANNELS))

    # ---------------------------------------------------------------- numbers

    def array(self, values: Array) -> Array:
        """Numbers that everyone has; a subnormal one may be read as zero."""
        if values.dtype == BOUNDED:
            return values
        size = np.abs(values)
        below = (size < float(self.model.flushed_below[WORST, 0, 0])) & (size > 0)
        errors = np.zeros((*values.shape, len(CHANNELS)))
        if below.any():
            errors[below] = size[below][:, None] * (_each(self.model.flushed_below) > 0)
        return bounded(values, errors)

    def literal(self, values: Array) -> Array:
        """A constant of the program; one that the format does not hold is rounded, the same way in every element."""
        result = self.array(values)
        there = held(values, self.profile.storage)
        if not there.all():
            storage, size = self.profile.storage, np.abs(values)
            lost = np.where(size < 2 * storage.smallest_normal, storage.underflow, 0.0)
            moved = np.where(there, 0.0, size * storage.unit_roundoff + lost)
            result["errors"][..., WORST] += moved
            result["errors"][..., SYSTEMATIC] += moved
        return result

    def missing(self, shape: Shape) -> Array:
        raise ValueError(f"an input of shape {shape} was not given")

    def stored(self, x: Array, precision: Precision) -> Array:
        """The numbers as a tensor of this format holds them."""
        size, errors = np.abs(x["value"]), x["errors"].copy()
        exact = errors[..., WORST] == 0
        rounded = ~held(x["value"], precision)  # what is exact is rounded only where the format does not hold it
        if precision.digits < self.profile.storage.digits:
            rounded |= ~exact
        else:
            rounded &= exact  # what was computed is of this format already
        overflowing = size + errors[..., WORST] > precision.largest
        if not rounded.any() and not overflowing.any():
            return x
        unit = np.where(rounded, precision.unit_roundoff * (size + errors[..., WORST]), 0.0)
        below = np.where(rounded & (size < 2 * precision.smallest_normal), precision.underflow, 0.0)
        errors[..., WORST] += unit + below
        errors[..., SYSTEMATIC] += below
        errors[..., RANDOM] += unit
        errors[overflowing | (size + errors[..., WORST] > precision.largest), 1:] = math.inf
        return bounded(x["value"], errors)

    # ---------------------------------------------------------------- elementwise

    def apply(self, name: str, floats: Function, balls: Function, *arrays: Array) -> Array:
        del balls
        with np.errstate(all="ignore"):
            rule = _RULES.get(name)
            if rule is not None:
                return rule(self, floats, *arrays)
            if name in MONOTONE:
                return self._function(MONOTONE[name], floats, _moved_monotone, *arrays)
            if name in CIRCULAR:
                return self._function(CIRCULAR[name], floats, lambda f, x, e: np.minimum(np.abs(e), 2.0), *arrays)
            if name in BELLS:
                return self._function(BELLS[name], floats, _moved_along_a_bell, *arrays)
            if name == "tan":
                return self._function("tan", floats, _moved_tan, *arrays)
            if name in EVEN:
                return self._function(EVEN[name], floats, _moved_even, *arrays)
        raise NoBounds(f"{name} has no error bound yet")

    def own(self, value: Array, relative: Array) -> Array:
        """Errors of a result by itself: relative ones, and what underflow may take."""
        size = np.abs(value)[..., None]
        model = self.model
        lost = np.where(size < 2 * model.profile.storage.smallest_normal, _each(model.lost), _each(model.underflow))
        return np.asarray(size * _each(relative) * (1 + 2**-20) + np.where(size == 0, 0.0, lost))

    def accuracy(self, function: str) -> Array:
        """The relative error of an elementary function. NoBounds: it was never measured in this format."""
        try:
            return self.model.ulps(function)
        except KeyError as unknown:
            raise NoBounds(f"{function} in {self.profile.storage.name} has no measured accuracy") from unknown

    def _function(self, known_as: str, floats: Function, moved: Function, x: Array) -> Array:
        value = np.asarray(floats(x["value"]), np.float64)
        errors = np.zeros((*value.shape, len(CHANNELS)))
        if x["errors"].any():
            for channel in range(len(CHANNELS)):
                scale = LAMBDA if channel == RANDOM else 1.0
                e = x["errors"][..., channel] * scale
                if e.any():
                    errors[..., channel] = np.where(e == 0, 0.0, moved(floats, x["value"], e)) / scale
        relative = self.accuracy(known_as) if known_as else 2 * self.model.rounding
        errors += self.own(value, relative)
        if known_as == "erf" and self.expanded:  # in a GELU: the error is relative to the gate, (1 + erf)/2
            errors += (1 + np.abs(value))[..., None] * _each(self.model.ulps("gelu_gate"))
        return settled(value, errors)

    # ---------------------------------------------------------------- sums

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        terms = max(1, math.prod(array.shape[axis] for axis in axes))
        return self.totalled(*self.sums_of(array, axes), terms)

    def sums_of(self, array: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Of terms: their values, errors and sizes, added up."""
        size = np.abs(array["value"]) + array["errors"][..., WORST]
        with np.errstate(all="ignore"):
            value, errors = np.asarray(array["value"].sum(axis=axes)), array["errors"].sum(axis=axes)
            errors[..., RANDOM] = self._together(
                array["errors"][..., RANDOM], array["value"], lambda each: np.asarray(each.sum(axis=axes))
            )
            return value, errors, np.asarray(size.sum(axis=axes))

    def totalled(self, value: Array, errors: Array, size: Array, terms: int) -> Array:
        """A sum of so many terms, of what `sums_of` gives for all of them."""
        with np.errstate(all="ignore"):
            errors = errors * (1 + terms * 2 * U64)
            model = self.added_up if self.profile.reduce == self.profile.accumulate else self.model
            between = min(self.profile.stored_between, terms - 1) * self.model.rounding
            errors = errors + size[..., None] * _each(model.reductions(terms) + between)
            errors += self._storing(value, errors)
        return settled(value, errors)

    def _together(self, random: Array, values: Array, added: Callable[[Array], Array]) -> Array:
        """The random part of sums of numbers with these random parts, whose errors are independent of each other.

        added: the sums of such an array's elements. Of k numbers that are rounded alike, at most, it is known that
        (r₁ + … + rₖ)² ≤ k (r₁² + … + rₖ²).
        """
        there = random > 0
        if not there.any():
            return added(random)
        together = int(np.bincount(alike(values[there], self.profile.storage.unit_roundoff)).max())
        return np.asarray(np.minimum(added(random), np.sqrt(together * added(random**2))))

    def _storing(self, value: Array, errors: Array) -> Array:
        """Two roundings of a sum that was added up in a wider format: its own, and that of what is added to it."""
        if self.added_up.profile is self.profile:
            return np.zeros_like(errors)
        storing = 2 * self.model.rounding
        storing[TRUTH] = 0.0
        return np.asarray((np.abs(value) + errors[..., WORST])[..., None] * _each(storing))

    def products(self, left: Array, right: Array) -> Array:
        if self.factors is not None:
            left, right = (_narrowed(z, *self.factors) for z in (left, right))
        left, right = shared(left), shared(right)
        x, y, terms = left["value"], right["value"], max(1, left.shape[2])
        self.summed.append(terms)
        with np.errstate(all="ignore"):
            value = np.matmul(x, y)
            sizes_x = np.abs(x) + left["errors"][..., WORST]
            sizes_y = np.abs(y) + right["errors"][..., WORST]
            between = min(self.profile.stored_between, terms - 1) * self.model.rounding
            errors = np.matmul(sizes_x, sizes_y)[..., None] * _each(self.added_up.sums(terms) + between)
            errors += self._storing(value, errors)
            errors += np.where(errors[..., WORST:SYSTEMATIC] > 0, _each(self.model.lost_in_sum(terms)), 0.0)
            unit = self.added_up.profile.accumulate.unit_roundoff
            errors[..., SYSTEMATIC] += lost_alike(sizes_x, sizes_y, unit, partial(np.sum, keepdims=True))
            for channel in range(len(CHANNELS)):
                of_x, of_y = left["errors"][..., channel], right["errors"][..., channel]
                if of_x.any():
                    errors[..., channel] += np.matmul(of_x, sizes_y) * (1 + terms * 2 * U64)
                if of_y.any():
                    errors[..., channel] += np.matmul(np.abs(x), of_y) * (1 + terms * 2 * U64)
        return settled(value, errors)

    # ---------------------------------------------------------------- movements

    def taken(self, array: Array, positions: Positions) -> Array:
        if not _each_once(positions, array.size):
            array = shared(array)
        flat = array.reshape(-1)
        if positions.size and positions.min() < 0:
            flat = np.concatenate([flat, np.zeros(1, BOUNDED)])  # the last one is read for nowhere
        return np.asarray(flat.take(positions))  # of records, eight times as fast as by brackets

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        array, places = array.reshape(-1), positions.reshape(-1)
        result = np.zeros(size + 1, BOUNDED)
        np.add.at(result["value"], places, array["value"])
        np.add.at(result["errors"], places, array["errors"])
        result["errors"][:, RANDOM] = self._together(
            array["errors"][:, RANDOM], array["value"], lambda each: _added_at(each, places, size + 1)
        )
        terms = np.bincount(places + 1, minlength=size + 1)[1:]
        if terms.size and terms.max() > 1:
            sizes = _added_at(np.abs(array["value"]) + array["errors"][:, WORST], places, size + 1)
            for n in np.unique(terms[terms > 1]).tolist():
                at = np.flatnonzero(terms == n)
                with np.errstate(invalid="ignore"):  # no element of a sum too long for the format
                    result["errors"][at] += sizes[at][:, None] * _each(self.in_memory.reductions(n))
        return settled(result["value"][:size], result["errors"][:size])

    def joined(self, parts: Sequence[Array]) -> Array:
        several = [shared(part) for part in parts] if len(parts) > 1 else parts  # of one array, each may be a part
        return np.concatenate(several)


def _added_at(numbers: Array, places: Positions, size: int) -> Array:
    result = np.zeros(size)
    np.add.at(result, places, numbers)
    return result


def _each_once(positions: Positions, size: int) -> bool:
    """Whether a movement takes no element twice: then errors that were independent of each other still are."""
    taken = positions[positions >= 0]
    return taken.size <= size and int(np.bincount(taken, minlength=1).max()) <= 1


def bounded(value: Array, errors: Array) -> Array:
    """The array of these values and errors (one more axis, of the channels)."""
    result = np.empty(np.shape(value), BOUNDED)
    result["value"], result["errors"] = value, errors
    return result


def settled(value: Array, errors: Array) -> Array:
    """As `bounded`; where a value or an error is not finite, nothing is known: the errors are infinite."""
    result = bounded(value, errors)
    together = result["value"] + sum(errors[..., channel] for channel in range(len(CHANNELS)))  # along no short axis
    unknown = ~np.isfinite(together)
    if unknown.any():
        result["errors"][unknown] = math.inf
    return result


def shared(x: Array) -> Array:
    """An array whose elements are going to meet others: their random errors are no longer independent of each other."""
    if not x["errors"][..., RANDOM].any():
        return x
    errors = x["errors"].copy()
    errors[..., SYSTEMATIC] = np.minimum(errors[..., WORST], errors[..., SYSTEMATIC] + LAMBDA * errors[..., RANDOM])
    errors[..., RANDOM] = 0.0
    return bounded(x["value"], errors)


def _narrowed(x: Array, precision: Precision, cut: bool) -> Array:
    """The numbers in another format, rounded or cut; what is not exact may have been moved to either side."""
    mantissa, exponent = np.frexp(x["value"])
    scaled = mantissa * 2.0**precision.digits
    exact = np.ldexp(np.trunc(scaled) if cut else np.rint(scaled), exponent - precision.digits)
    halfway = np.abs(np.fmod(np.where(np.isfinite(scaled), scaled, 0.0), 1.0))
    unsure = (x["errors"][..., WORST] > 0) | (halfway == 0.5) & (not cut)  # ties go either way
    errors = x["errors"].copy()
    moved = np.where(unsure, 2 * precision.unit_roundoff * (np.abs(x["value"]) + errors[..., WORST]), 0.0)
    errors[..., WORST] += moved
    errors[..., SYSTEMATIC] += moved
    return bounded(np.where(unsure, x["value"], exact), errors)


def _each(constants: Array) -> Array:
    """A constant of `Model`, channels × 1 × 1, along the last axis."""
    return constants.reshape(len(CHANNELS))


def held(values: Array, precision: Precision) -> Array:
    """Which numbers the format holds exactly."""
    mantissa, exponent = np.frexp(values)
    scaled = mantissa * 2.0**precision.digits
    return np.asarray((scaled == np.rint(scaled)) & (exponent > precision.smallest_exponent) | (values == 0))


# ------------------------------------------------------------------------------------------------ rules by operation


def _moved_monotone(f: Function, x: Array, e: Array) -> Array:
    """How far the function's value may move if its operand moves by e; infinite beyond its domain."""
    middle = f(x)
    up, down = np.abs(f(x + e) - middle), np.abs(f(x - e) - middle)
    return np.nan_to_num(np.maximum(up, down), nan=math.inf, posinf=math.inf)


def _moved_tan(f: Function, x: Array, e: Array) -> Array:
    """As a monotone function, unless a pole may be passed."""
    apart = np.floor((x + e) / math.pi + 0.5) == np.floor((x - e) / math.pi + 0.5)
    return np.where(apart, _moved_monotone(f, x, e), math.inf)


def _moved_along_a_bell(f: Function, x: Array, e: Array) -> Array:
    """At most by the largest slope between, 2/√π exp(−t²) where |t| is least."""
    del f
    nearest = np.maximum(np.abs(x) - np.abs(e), 0.0)
    return np.asarray(np.abs(e) * (2 / math.sqrt(math.pi) * np.exp(-(nearest**2))) * (1 + 2**-20))


def _moved_even(f: Function, x: Array, e: Array) -> Array:
    return np.asarray(f(np.abs(x) + e) - f(x))


def _added(numbers: Bounds, x: Array, y: Array, sign: int) -> Array:
    value = x["value"] + sign * y["value"]
    rounded = np.abs(x["value"]) + np.abs(y["value"]) if numbers.expanded else value
    own = _rounded(numbers, value, rounded)
    if _repeated(x["value"]) or _repeated(y["value"]):  # a constant's last bits are cut the same way in many elements
        own[..., SYSTEMATIC] = own[..., WORST]  # and those of several additions too
        own[..., RANDOM] = 0.0
    return settled(value, x["errors"] + y["errors"] + own)


def _regrouped(numbers: Bounds, x: Array, *terms: Array) -> Array:
    """A sum of which these terms may have been added up first: a rounding more, of that size."""
    if not terms or not numbers.expanded:
        return x
    size = np.asarray(sum(np.abs(term["value"]) for term in terms))
    own = size[..., None] * _each(numbers.model.rounding) * (1 + 2**-20)
    own[..., TRUTH] = 0.0
    return settled(x["value"], x["errors"] + own)


def _repeated(values: Array) -> bool:
    """Whether the numbers are few, each in many elements: a constant, or a row that was broadcast."""
    return values.size > 1 and np.unique(values).size <= values.size // 2


def _rounded(numbers: Bounds, value: Array, size: Array) -> Array:
    """The roundings of a sum: of a number of this size in what is judged, of the value itself in ours."""
    relative = numbers.model.rounding
    if numbers.expanded and max(numbers.summed) > 1:  # a bias may be a term of the sum before
        relative = np.maximum(relative, numbers.model.sums(max(numbers.summed) + 1))
    errors = np.abs(size)[..., None] * _each(relative)
    errors[..., TRUTH] = np.abs(value) * U64
    return np.asarray(errors * (1 + 2**-20))


def _multiplied(numbers: Bounds, x: Array, y: Array) -> Array:
    value = x["value"] * y["value"]
    errors = np.abs(x["value"])[..., None] * y["errors"]
    errors += (np.abs(y["value"]) + y["errors"][..., WORST])[..., None] * x["errors"]
    return settled(value, errors + numbers.own(value, numbers.model.rounding))


def _divided(numbers: Bounds, x: Array, y: Array) -> Array:
    """A quotient."""
    value = x["value"] / y["value"]
    nearest = np.abs(y["value"]) - y["errors"][..., WORST]
    errors = (x["errors"] + np.abs(value)[..., None] * y["errors"]) / np.where(nearest > 0, nearest, 0.0)[..., None]
    errors = np.where((x["errors"] == 0) & (y["errors"] == 0), 0.0, errors)
    relative = numbers.profile.division * numbers.model.rounding
    relative[TRUTH] = 2 * U64
    return settled(value, errors + numbers.own(value, relative))


def _extreme(floats: Function, x: Array, y: Array) -> Array:
    return settled(floats(x["value"], y["value"]), np.maximum(x["errors"], y["errors"]))


def _stepped(floats: Function, x: Array) -> Array:
    """Nothing is known of it where the operand may be on either side of zero; at zero itself any number from 0 to 1."""
    either = np.abs(x["value"]) <= x["errors"][..., WORST]
    errors = np.zeros_like(x["errors"])
    errors[either] = 1.0
    errors[either, RANDOM] = 0.0
    return bounded(np.asarray(floats(x["value"]), np.float64), errors)


def _whole_power(numbers: Bounds, floats: Function, x: Array) -> Array:
    """By repeated multiplication, or by the function pow."""
    size = np.abs(x["value"])
    value = np.asarray(floats(x["value"]), np.float64)
    errors = np.zeros_like(x["errors"])
    for channel in range(len(CHANNELS)):
        e = x["errors"][..., channel]
        if e.any():
            errors[..., channel] = np.where(e == 0, 0.0, _moved_monotone(lambda z: floats(np.abs(z)), size, e))
    exponent = _exponent(floats)
    if exponent in (0, 1):
        return settled(value, errors)
    multiplied = (abs(exponent) + 1) * numbers.model.rounding
    return settled(value, errors + numbers.own(value, np.maximum(multiplied, numbers.accuracy("pow"))))


def _exponent(floats: Function) -> int:
    """Of x ↦ xⁿ: 2ⁿ says it."""
    return round(math.log2(float(floats(np.array(2.0)))))


def _power(numbers: Bounds, floats: Function, x: Array, y: Array) -> Array:
    """xʸ = exp(y log x): the relative error of the exponential, and the absolute one of its argument."""
    base, exponent = x["value"], y["value"]
    value = np.asarray(floats(base, exponent), np.float64)
    relative = np.zeros_like(x["errors"])
    nearest = base - x["errors"][..., WORST]
    relative += np.where(x["errors"] == 0, 0.0, np.abs(exponent)[..., None] * x["errors"] / nearest[..., None])
    relative += np.where(y["errors"] == 0, 0.0, np.abs(np.log(base))[..., None] * y["errors"])
    moved = np.abs(value)[..., None] * np.expm1(relative)
    moved[nearest <= 0] = np.where(x["errors"][nearest <= 0].any(axis=-1, keepdims=True), math.inf, 0.0)
    return settled(value, moved + numbers.own(value, numbers.accuracy("pow")))


def _atan2(numbers: Bounds, floats: Function, y: Array, x: Array) -> Array:
    """Its slopes are x/r² and y/r²; a quotient, the function, and π may be rounded."""
    value = np.asarray(floats(y["value"], x["value"]), np.float64)
    nearest = np.hypot(y["value"], x["value"]) - np.hypot(y["errors"][..., WORST], x["errors"][..., WORST])
    moved = (y["errors"] + x["errors"]) / np.where(nearest > 0, nearest, 0.0)[..., None]
    moved = np.where((x["errors"] == 0) & (y["errors"] == 0), 0.0, moved)
    return settled(value, moved + numbers.own(value, numbers.accuracy("atan") + 4 * numbers.model.rounding))


def _pi(numbers: Bounds, shape: Shape) -> Array:
    """A number that no format holds, ours neither."""
    result = numbers.literal(np.full(shape, math.pi))
    result["errors"][..., TRUTH] += math.pi * U64
    return result


# entry(bounds, the function in float64, *operands)
_RULES: dict[str, Callable[..., Array]] = {
    "add": lambda numbers, f, x, y: _added(numbers, x, y, 1),
    "subtract": lambda numbers, f, x, y: _added(numbers, x, y, -1),
    "multiply": lambda numbers, f, x, y: _multiplied(numbers, x, y),
    "divide": lambda numbers, f, x, y: _divided(numbers, x, y),
    "negate": lambda numbers, f, x: bounded(-x["value"], x["errors"]),
    "absolute": lambda numbers, f, x: bounded(np.abs(x["value"]), x["errors"]),
    "maximum": lambda numbers, f, x, y: _extreme(f, x, y),
    "minimum": lambda numbers, f, x, y: _extreme(f, x, y),
    "step": lambda numbers, f, x: _stepped(f, x),
    "whole_power": _whole_power,
    "power": _power,
    "atan2": _atan2,
    "pi": lambda numbers, f, x: _pi(numbers, x.shape),
    "identity": lambda numbers, f, x, *y: _regrouped(numbers, x, *y),
}
