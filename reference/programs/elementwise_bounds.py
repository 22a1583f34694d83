"""Operations that treat every element by itself: what an honest implementation may be off by, an entry an operation.

A rule gives the result's errors from its operands' errors and its own roundings. What is said in `bounds.py` of
`expanded` holds here. Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), §2.2, §3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..numbers import (
    CHANNELS,
    LAMBDA,
    RANDOM,
    SYSTEMATIC,
    TRUTH,
    U64,
    WORST,
    Model,
    Profile,
)  # fmt: skip
from .bounded_arrays import BOUNDED, Array, bounded, each, held, infinite, settled
from .program import Shape

Function = Callable[..., Any]

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
class Elementwise:
    """What the rules of this file ask: the arithmetic of an implementation.

    profile: the formats inside of an operation, before its result is stored
    expanded: whether the implementation may have multiplied products out
    one_sum: whether what is added up are the terms of one sum, however it is computed (`running.one_sum`)
    """

    profile: Profile
    expanded: bool = False
    one_sum: bool = False
    summed: list[int] = field(default_factory=lambda: [1])  # lengths of the sums of products; one instance, one call

    @cached_property
    def model(self) -> Model:
        return Model(self.profile, len(CHANNELS))

    def array(self, values: Array) -> Array:
        """Numbers that everyone has; a subnormal one may be read as zero."""
        if values.dtype == BOUNDED:
            return values
        size = np.abs(values)
        below = (size < float(self.model.flushed_below[WORST, 0, 0])) & (size > 0)
        errors = np.zeros((*values.shape, len(CHANNELS)))
        if below.any():
            errors[below] = size[below][:, None] * (each(self.model.flushed_below) > 0)
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

    def apply(self, name: str, floats: Function, balls: Function, *arrays: Array) -> Array:
        del balls
        with np.errstate(all="ignore"):
            return self.within_range(self._bounded(name, floats, *arrays))

    def within_range(self, x: Array) -> Array:
        """Nothing is known of what may overflow on the way, in the widest format that an implementation may hold it in:
        of a norm by its squares."""
        largest = max(self.profile.storage.largest, self.profile.accumulate.largest)
        size = np.abs(x["value"])
        if size.size and not size.max() <= largest / 2:
            over = ~infinite(x) & ~(size + x["errors"][..., WORST] <= largest)
            if over.any():
                x = x.copy()
                x["errors"][over] = math.inf
        return x

    def _bounded(self, name: str, floats: Function, *arrays: Array) -> Array:
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
        lost = np.where(size < 2 * model.profile.storage.smallest_normal, each(model.lost), each(model.underflow))
        return np.asarray(size * each(relative) * (1 + 2**-20) + np.where(size == 0, 0.0, lost))

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
            errors += (1 + np.abs(value))[..., None] * each(self.model.ulps("gelu_gate"))
        return settled(value, errors)


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


def _added(numbers: Elementwise, x: Array, y: Array, sign: int) -> Array:
    value = x["value"] + sign * y["value"]
    own = _rounded(numbers, value, x, y)
    if _repeated(x["value"]) or _repeated(y["value"]):  # a constant's last bits are cut the same way in many elements
        own[..., SYSTEMATIC] = own[..., WORST]  # and those of several additions too
        own[..., RANDOM] = 0.0
    errors = x["errors"] + y["errors"] + own
    return settled(value, _but_for_infinities(errors, np.isinf(value), x, y))


def _but_for_infinities(errors: Array, still: Array, x: Array, y: Array) -> Array:
    """The errors; none where one operand is an infinity for everyone, the other a number, the result `still` one."""
    if still.any():
        for one, other in ((x, y), (y, x)):
            errors[still & infinite(one) & np.isfinite(other["value"] + other["errors"][..., WORST])] = 0.0
    return errors


def _regrouped(numbers: Elementwise, x: Array, *terms: Array) -> Array:
    """A sum of which these terms may have been added up first: a rounding more, of that size."""
    if not terms or not numbers.expanded:
        return x
    size = np.asarray(sum(np.abs(term["value"]) for term in terms))
    own = size[..., None] * each(numbers.model.rounding) * (1 + 2**-20)
    own[..., TRUTH] = 0.0
    return settled(x["value"], x["errors"] + own)


def _repeated(values: Array) -> bool:
    """Whether the numbers are few, each in many elements: a constant, or a row that was broadcast."""
    return values.size > 1 and np.unique(values).size <= values.size // 2


def _rounded(numbers: Elementwise, value: Array, x: Array, y: Array) -> Array:
    """The roundings of x + y: multiplied out, of a number of their sizes in what is judged; of the value in ours.

    What is added to a sum may be a term of it. In each addition it then makes a partial sum larger, by its size at
    most; what the others are rounded is in the sum's errors already.
    """
    rounding, sizes = numbers.model.rounding, (np.abs(x["value"]), np.abs(y["value"]))
    size = sizes[0] + sizes[1] if numbers.expanded else np.abs(value)
    errors = size[..., None] * each(rounding)
    if numbers.expanded and max(numbers.summed) > 1:
        sums = each(numbers.model.sums(max(numbers.summed) + 1))
        computed = x["errors"][..., WORST] > 0, y["errors"][..., WORST] > 0
        if numbers.one_sum:  # where one was computed, it is the sum, and the other is as it was given
            given = np.select([computed[0] & ~computed[1], computed[1] & ~computed[0]], sizes[::-1], size)
            errors += given[..., None] * sums
        else:
            errors = np.maximum(errors, size[..., None] * sums)
    errors[..., TRUTH] = np.abs(value) * U64
    return np.asarray(errors * (1 + 2**-20))


def _multiplied(numbers: Elementwise, x: Array, y: Array) -> Array:
    value = x["value"] * y["value"]
    errors = np.abs(x["value"])[..., None] * y["errors"]
    errors += (np.abs(y["value"]) + y["errors"][..., WORST])[..., None] * x["errors"]
    errors += numbers.own(value, numbers.model.rounding)
    signed = np.minimum(np.abs(x["value"]) - x["errors"][..., WORST], np.abs(y["value"]) - y["errors"][..., WORST]) > 0
    return settled(value, _but_for_infinities(errors, np.isinf(value) & signed, x, y))


def _divided(numbers: Elementwise, x: Array, y: Array) -> Array:
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


def _whole_power(numbers: Elementwise, floats: Function, x: Array) -> Array:
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


def _power(numbers: Elementwise, floats: Function, x: Array, y: Array) -> Array:
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


def _atan2(numbers: Elementwise, floats: Function, y: Array, x: Array) -> Array:
    """Its slopes are x/r² and y/r²; a quotient, the function, and π may be rounded."""
    value = np.asarray(floats(y["value"], x["value"]), np.float64)
    nearest = np.hypot(y["value"], x["value"]) - np.hypot(y["errors"][..., WORST], x["errors"][..., WORST])
    moved = (y["errors"] + x["errors"]) / np.where(nearest > 0, nearest, 0.0)[..., None]
    moved = np.where((x["errors"] == 0) & (y["errors"] == 0), 0.0, moved)
    return settled(value, moved + numbers.own(value, numbers.accuracy("atan") + 4 * numbers.model.rounding))


def _pi(numbers: Elementwise, shape: Shape) -> Array:
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
