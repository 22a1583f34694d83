"""PyTorch's operations that treat every element by itself: arithmetic, powers, kinks, special functions.

At a kink the formulas are those of `elementwise.py`, whose pullback there is every admissible slope at once.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ....reference.programs import Value, chosen
from ....reference.programs import elementwise as e
from ....reference.programs.elementwise import pi
from .table import each, entry

# ------------------------------------------------------------------------------------------------ one operand

each(
    ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
     "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma"),
    lambda name: lambda call, self: getattr(e, name)(self),
)  # fmt: skip
each(("special_erf", "special_erfc", "special_expm1"), lambda name: lambda call, self: getattr(e, name[8:])(self))
each(("special_erfinv",), lambda name: lambda call, self: e.erfinv(self))
each(("neg", "_neg_view"), lambda name: lambda call, self: -self)
each(("positive", "conj_physical", "real"), lambda name: lambda call, self: self)
each(("sigmoid", "special_expit"), lambda name: lambda call, self: e.logistic(self))
each(("rsqrt",), lambda name: lambda call, self: 1 / e.sqrt(self))
each(("reciprocal",), lambda name: lambda call, self: 1 / self)
each(("abs", "absolute"), lambda name: lambda call, self: e.absolute(self))
each(("square",), lambda name: lambda call, self: self * self)
each(("frac",), lambda name: lambda call, self: self - call.computed(torch.trunc, "self"))
each(("deg2rad",), lambda name: lambda call, self: self * (pi(self.program) / 180))
each(("rad2deg",), lambda name: lambda call, self: self * (180 / pi(self.program)))
each(("digamma", "special_digamma"), lambda name: lambda call, self: e.polygamma(self, order=0))
each(("polygamma", "special_polygamma"), lambda name: lambda call, n, self: e.polygamma(self, order=n))


def ln(call: Any, number: float) -> Value:
    """The logarithm of a number, to as many digits as the program is run with."""
    return e.log(call.program.constant(number))


def root(call: Any, number: float) -> Value:
    """The square root of a number, likewise."""
    return e.sqrt(call.program.constant(number))


each(("exp2", "special_exp2"), lambda name: lambda call, self: e.exp(self * ln(call, 2)))
each(("log2",), lambda name: lambda call, self: e.log(self) / ln(call, 2))
each(("log10",), lambda name: lambda call, self: e.log(self) / ln(call, 10))


@entry("sinc", "special_sinc")
def _sinc(call: Any, self: Value) -> Value:
    """sin(πx)/(πx); at zero the first terms of its series."""
    zero = call.holds("self", lambda x: x == 0)
    x = self * pi(self.program)
    inside = chosen(zero, call.filled(1, self.shape), x)
    return chosen(zero, 1 - x * x / 6, e.sin(inside) / inside)


@entry("special_ndtr")
def _ndtr(call: Any, self: Value) -> Value:
    return e.erfc(-self / root(call, 2)) / 2


@entry("special_log_ndtr")
def _log_ndtr(call: Any, self: Value) -> Value:
    return e.log(e.erfc(-self / root(call, 2)) / 2)


@entry("special_ndtri")
def _ndtri(call: Any, self: Value) -> Value:
    return root(call, 2) * e.erfinv(2 * self - 1)


@entry("special_erfcx")
def _erfcx(call: Any, self: Value) -> Value:
    return e.exp(self * self) * e.erfc(self)


@entry("special_entr")
def _entr(call: Any, self: Value) -> Value:
    """−x ln x, zero at zero."""
    zero = call.holds("self", lambda x: x == 0)
    return chosen(zero, call.filled(0, self.shape), -(self * e.log(self)))


each(("i0", "special_i0"), lambda name: lambda call, self: e.bessel_i(self, order=0))
each(("special_i1",), lambda name: lambda call, self: e.bessel_i(self, order=1))
each(("special_i0e",), lambda name: lambda call, self: e.bessel_i(self, order=0) * e.exp(-e.absolute(self)))
each(("special_i1e",), lambda name: lambda call, self: e.bessel_i(self, order=1) * e.exp(-e.absolute(self)))


@entry("mvlgamma")
def _mvlgamma(call: Any, self: Value, p: int) -> Value:
    """ln Γₚ(x) = p(p−1)/4 ln π + Σ ln Γ(x − j/2). DLMF 35.3.4."""
    result = e.log(pi(self.program)) * (p * (p - 1) / 4)
    for j in range(p):
        result = result + e.lgamma(self - j / 2)
    return result


@entry("logit", "special_logit")
def _logit(call: Any, self: Value, eps: float | None = None) -> Value:
    x = self if eps is None else e.minimum(e.maximum(self, eps), 1 - eps)
    return e.log(x / (1 - x))


@entry("logit_backward")
def _logit_backward(call: Any, grad_output: Value, self: Value, eps: float | None = None) -> Value:
    gradient = grad_output / (self * (1 - self))
    if eps is None:
        return gradient
    return call.where("self", lambda x: (x >= eps) & (x <= 1 - eps), gradient, 0)


@entry("nan_to_num")
def _nan_to_num(
    call: Any, self: Value, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Value:
    return call.where("self", np.isfinite, self, call.recorded(call.outputs[0]))


@entry("frexp.Tensor")
def _frexp(call: Any, self: Value) -> tuple[Value, None]:
    """The mantissa: x by the power of two that was found."""
    return self / call.constant(np.exp2(call.numbers(call.outputs[1]))), None


# ------------------------------------------------------------------------------------------------ two operands


@entry("add.Tensor", "add.Scalar")
def _add(call: Any, self: Any, other: Any, alpha: float = 1) -> Value:
    return call.value(self) + (call.value(other) if alpha == 1 else call.value(other) * alpha)


@entry("sub.Tensor", "sub.Scalar")
def _sub(call: Any, self: Any, other: Any, alpha: float = 1) -> Value:
    return call.value(self) - (call.value(other) if alpha == 1 else call.value(other) * alpha)


@entry("rsub.Tensor", "rsub.Scalar")
def _rsub(call: Any, self: Any, other: Any, alpha: float = 1) -> Value:
    return call.value(other) - (call.value(self) if alpha == 1 else call.value(self) * alpha)


@entry("mul.Tensor", "mul.Scalar")
def _mul(call: Any, self: Any, other: Any) -> Value:
    return call.value(self) * call.value(other)


@entry("div.Tensor", "div.Scalar", "true_divide.Tensor", "div.Tensor_mode", "div.Scalar_mode")
def _div(call: Any, self: Any, other: Any, rounding_mode: str | None = None) -> Value:
    if rounding_mode is not None:
        return call.recorded(call.outputs[0])
    return call.value(self) / call.value(other)


@entry("fmod.Tensor", "fmod.Scalar")
def _fmod(call: Any, self: Any, other: Any) -> Value:
    """x − y·trunc(x/y): the quotient is a whole number, and constant around here."""
    return _remaining(call, self, other, np.fmod)


@entry("remainder.Tensor", "remainder.Scalar")
def _remainder(call: Any, self: Any, other: Any) -> Value:
    return _remaining(call, self, other, np.mod)


def _remaining(call: Any, self: Any, other: Any, remainder: Callable[[Any, Any], Any]) -> Value:
    """The quotient is made of the exact remainder: rounded itself, it may be the next whole number."""
    x, y = (call.numbers(call.arguments[name]) for name in ("self", "other"))
    if not isinstance(call.arguments["other"], torch.Tensor) or not call.arguments["other"].dim():
        y = call.unseen(lambda: np.float64(torch.tensor(float(y), dtype=call.outputs[0].dtype).item()))  # as kernels do
    with np.errstate(all="ignore"):
        quotient = np.rint((x - remainder(x, y)) / y)
    return call.value(self) - call.value(other) * call.constant(quotient)


@entry("pow.Tensor_Scalar")
def _pow(call: Any, self: Value, exponent: float) -> Value:
    return e.raised(self, exponent)


@entry("pow.Tensor_Tensor")
def _pow_tensor(call: Any, self: Any, exponent: Any) -> Value:
    return e.power(call.value(self), call.value(exponent))


@entry("pow.Scalar")
def _pow_scalar(call: Any, self: float, exponent: Value) -> Value:
    return e.power(self, exponent)


@entry("ldexp.Tensor")
def _ldexp(call: Any, self: Any, other: Any) -> Value:
    return call.value(self) * e.power(2, call.program.constant(0) + call.value(other))


each(("atan2", "arctan2"), lambda name: lambda call, self, other: e.atan2(call.value(self), call.value(other)))
each(("maximum", "fmax"), lambda name: lambda call, self, other: e.maximum(call.value(self), call.value(other)))
each(("minimum", "fmin"), lambda name: lambda call, self, other: e.minimum(call.value(self), call.value(other)))


@entry("hypot")
def _hypot(call: Any, self: Any, other: Any) -> Value:
    x, y = call.value(self), call.value(other)
    return e.sqrt(x * x + y * y)


@entry("copysign.Tensor", "copysign.Scalar")
def _copysign(call: Any, self: Any, other: Any) -> Value:
    sign = call.unseen(lambda: torch.copysign(torch.ones_like(call.outputs[0]), call.outputs[0]))
    return e.absolute(call.value(self)) * call.recorded(sign)


@entry("logaddexp")
def _logaddexp(call: Any, self: Any, other: Any) -> Value:
    """The larger one is drawn out; what is drawn out makes no difference, so it may be a constant."""
    numbers = np.maximum(call.numbers(call.arguments["self"]), call.numbers(call.arguments["other"]))
    most = call.constant(np.where(np.isfinite(numbers), numbers, 0.0))
    sums = most + e.log(e.exp(call.value(self) - most) + e.exp(call.value(other) - most))
    return chosen(np.isinf(numbers), call.constant(numbers), sums) if np.isinf(numbers).any() else sums


@entry("logaddexp2")
def _logaddexp2(call: Any, self: Any, other: Any) -> Value:
    x, y, two = call.value(self), call.value(other), ln(call, 2)
    return e.log(e.exp(x * two) + e.exp(y * two)) / two


@entry("xlogy.Tensor", "xlogy.Scalar_Self", "xlogy.Scalar_Other", "special_xlogy")
def _xlogy(call: Any, self: Any, other: Any) -> Value:
    """x·ln y, zero where x is."""
    return _xlog(call, self, other, lambda y: y, 0)


@entry("special_xlog1py", "special_xlog1py.self_scalar", "special_xlog1py.other_scalar")
def _xlog1py(call: Any, self: Any, other: Any) -> Value:
    return _xlog(call, self, other, lambda y: 1 + y, -1)


def _xlog(call: Any, self: Any, other: Any, shifted: Any, least: float) -> Value:
    x, y = e.together(call.program.constant(0) + call.value(self), call.value(other))
    first, second = (call.numbers(call.arguments[name]) for name in ("self", "other"))
    empty = np.broadcast_to((first == 0) & (second <= least), x.shape)
    inside = chosen(empty, call.filled(1, x.shape), shifted(y))
    # at zero itself there is no derivative by y: x/y is 0/0, as that of x·√y is
    ends = np.broadcast_to((first == 0) & (second == least), x.shape)
    zero = x * e.sqrt(chosen(ends, shifted(y), call.filled(1, x.shape)))
    return chosen(empty, chosen(ends, zero, call.filled(0, x.shape)), x * e.log(inside))


@entry("nextafter")
def _nextafter(call: Any, self: Any, other: Any) -> Value:
    """One unit of the last place away, whatever the number: a constant away, around here."""
    first, second = (call.numbers(call.arguments[name]) for name in ("self", "other"))
    moved = call.constant(call.numbers(call.outputs[0]) - first)
    shape = tuple(call.outputs[0].shape)
    equal = np.broadcast_to(first == second, shape)
    return chosen(equal, call.spread(other, shape), call.spread(call.value(self) + moved, shape))


# ------------------------------------------------------------------------------------------------ more operands


@entry("clamp", "clamp.Tensor", "clip", "hardtanh")
def _clamp(call: Any, self: Any, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None) -> Value:
    low, high = (min if min_val is None else min_val), (max if max_val is None else max_val)
    result = call.value(self)
    result = result if low is None else e.maximum(result, call.value(low))
    return result if high is None else e.minimum(result, call.value(high))


@entry("clamp_min", "clamp_min.Tensor")
def _clamp_min(call: Any, self: Any, min: Any) -> Value:
    return e.maximum(call.value(self), call.value(min))


@entry("clamp_max", "clamp_max.Tensor")
def _clamp_max(call: Any, self: Any, max: Any) -> Value:
    return e.minimum(call.value(self), call.value(max))


@entry("lerp.Scalar", "lerp.Tensor")
def _lerp(call: Any, self: Any, end: Any, weight: Any) -> Value:
    start = call.value(self)
    return start + call.value(weight) * (call.value(end) - start)


@entry("addcmul")
def _addcmul(call: Any, self: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Value:
    return call.value(self) + call.value(tensor1) * call.value(tensor2) * value


@entry("addcdiv")
def _addcdiv(call: Any, self: Any, tensor1: Any, tensor2: Any, value: float = 1) -> Value:
    return call.value(self) + call.value(tensor1) / call.value(tensor2) * value


@entry("where.self")
def _where(call: Any, condition: Any, self: Any, other: Any) -> Value:
    shape = tuple(call.outputs[0].shape)
    mask = np.broadcast_to(call.numbers(condition) != 0, shape)
    return chosen(mask, call.spread(self, shape), call.spread(other, shape))


@entry("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(call: Any, self: Any, mask: Any, value: Any) -> Value:
    shape = tuple(call.outputs[0].shape)
    return chosen(np.broadcast_to(call.numbers(mask) != 0, shape), call.spread(value, shape), call.spread(self, shape))


@entry("fill.Tensor")
def _fill(call: Any, self: Any, value: Value) -> Value:
    return call.spread(value, tuple(call.outputs[0].shape))
