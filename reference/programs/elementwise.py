"""Operations that treat every element by itself. An entry: its value in floats, its value in balls, its pullback.

Where a function has a kink, the pullback is any element of the subdifferential: `step` of zero is the ball [0, 1].
Derivatives without a source of their own are in every table: NIST Digital Library of Mathematical Functions, §4 and §7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from flint import arb
from numpy.typing import NDArray

from .program import Number, Operation, Program, Shape, Value

Apply = Callable[..., Value]


def _same(*shapes: Shape, **_: Any) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"operands of one shape expected, got {', '.join(map(str, shapes))}")
    return shapes[0]


def entry(
    name: str,
    floats: Callable[..., Any],
    balls: Callable[..., Any],
    pullback: Callable[..., Sequence[Value | None]],
    source: str = "",
) -> Apply:
    """An elementwise operation, as a function of values. Operands are broadcast to one shape first.

    floats(*arrays, **parameters), balls(*balls, **parameters): its value, of whole arrays and of single balls.
    pullback(cotangent, result, *operands, **parameters): see `Operation`.
    """

    def value(numbers: Any, *operands: NDArray[Any], **parameters: Any) -> NDArray[Any]:
        if not parameters:
            return cast("NDArray[Any]", numbers.apply(name, floats, balls, *operands))
        return cast(
            "NDArray[Any]",
            numbers.apply(
                name,
                lambda *x: floats(*x, **parameters),
                lambda *x: balls(*x, **parameters),
                *operands,
            ),
        )

    operation = Operation(name, value, _same, pullback, source)
    OPERATIONS[name] = operation

    def apply(*operands: Value | Number, **parameters: Any) -> Value:
        values = together(*operands)
        return values[0].program.add(operation, *values, **parameters)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"{name}, element by element."
    return apply


OPERATIONS: dict[str, Operation] = {}


def together(*operands: Value | Number) -> tuple[Value, ...]:
    """The operands, broadcast to one shape; plain numbers become constants. ValueError if their shapes do not fit."""
    from .movement import broadcast

    program: Program = next(x.program for x in operands if isinstance(x, Value))
    shape = np.broadcast_shapes(*(x.shape if isinstance(x, Value) else () for x in operands))
    return tuple(broadcast(x, shape) if isinstance(x, Value) else program.constant(x, shape) for x in operands)


def _each(function: Callable[..., float]) -> Callable[..., Any]:
    """A function of floats, of arrays; not a number where it has no value."""

    def single(*numbers: float) -> float:
        try:
            return function(*numbers)
        except (ValueError, OverflowError):
            return math.nan

    return np.vectorize(single, otypes=[np.float64])


def _by_ball(function: Callable[..., arb]) -> Callable[..., Any]:
    """A function that NumPy lacks: the ball's middle."""
    return _each(lambda *numbers: float(function(*(arb(x) for x in numbers))))


# ----------------------------------------------------------------------------------------------- arithmetic

add = entry("add", np.add, lambda x, y: x + y, lambda g, out, x, y: (g, g))
subtract = entry("subtract", np.subtract, lambda x, y: x - y, lambda g, out, x, y: (g, -g))
multiply = entry("multiply", np.multiply, lambda x, y: x * y, lambda g, out, x, y: (g * y, g * x))
divide = entry("divide", np.divide, lambda x, y: x / y, lambda g, out, x, y: (g / y, -(g * out / y)))
negate = entry("negate", np.negative, lambda x: -x, lambda g, out, x: (-g,))


# ----------------------------------------------------------------------------------------------- kinks


def _ball_step(x: arb) -> arb:
    if x > 0:
        return arb(1)
    return arb(0) if x < 0 else arb(0.5, 0.5)


step = entry("step", lambda x: np.heaviside(x, 0.0), _ball_step, lambda g, out, x: (None,))


def _shared(g: Value, share: Value) -> Sequence[Value]:
    return g * share, g * (1 - share)


absolute = entry("absolute", np.abs, abs, lambda g, out, x: (g * (2 * step(x) - 1),))
maximum = entry("maximum", np.maximum, lambda x, y: x.max(y), lambda g, out, x, y: _shared(g, step(x - y)))
minimum = entry("minimum", np.minimum, lambda x, y: x.min(y), lambda g, out, x, y: _shared(g, step(y - x)))


# ----------------------------------------------------------------------------------------------- powers


def _ball_whole_power(x: arb, exponent: int) -> arb:
    """By squaring: FLINT's own, by logarithms, is no number where a ball has 0 in it, as that of x − x has."""
    if exponent < 0:
        return 1 / _ball_whole_power(x, -exponent)
    half = _ball_whole_power(x * x, exponent // 2) if exponent > 1 else arb(1)
    return half * x if exponent % 2 else half


def _whole_power_pullback(g: Value, out: Value, x: Value, exponent: int) -> Sequence[Value | None]:
    if exponent == 0:
        return (None,)
    return (g * exponent if exponent == 1 else g * (exponent * whole_power(x, exponent=exponent - 1)),)


def _float_whole_power(x: NDArray[Any], exponent: int) -> Any:
    return np.power(x, float(exponent))


whole_power = entry("whole_power", _float_whole_power, _ball_whole_power, _whole_power_pullback)
power: Apply = entry(
    "power",
    np.power,
    lambda x, y: arb(1) if y == 0 else x**y,
    lambda g, out, x, y: (g * y * power(x, y - 1), g * out * log(x)),
)
sqrt = entry("sqrt", np.sqrt, lambda x: x.sqrt(), lambda g, out, x: (g / (2 * out),))
cbrt = entry(
    "cbrt",
    np.cbrt,
    lambda x: x.root(3) if x > 0 else -((-x).root(3)),
    lambda g, out, x: (g / (3 * out * out),),
)


def raised(x: Value, exponent: float) -> Value:
    """xᶜ for a number c: whole powers by multiplying, so that x may be negative."""
    if exponent == int(exponent):
        return whole_power(x, exponent=int(exponent))
    return power(x, exponent)


# ----------------------------------------------------------------------------------------------- exponentials

exp = entry("exp", np.exp, lambda x: x.exp(), lambda g, out, x: (g * out,))
expm1 = entry("expm1", np.expm1, lambda x: x.expm1(), lambda g, out, x: (g * (out + 1),))
log: Apply = entry("log", np.log, lambda x: arb.neg_inf() if x == 0 else x.log(), lambda g, out, x: (g / x,))
log1p = entry("log1p", np.log1p, lambda x: x.log1p(), lambda g, out, x: (g / (1 + x),))


def _float_logistic(x: NDArray[Any]) -> Any:
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


logistic = entry(
    "logistic", _float_logistic, lambda x: 1 / (1 + (-x).exp()), lambda g, out, x: (g * (out * (1 - out)),)
)


# ----------------------------------------------------------------------------------------------- circles, hyperbolas

sin = entry("sin", np.sin, lambda x: x.sin(), lambda g, out, x: (g * cos(x),))
cos: Apply = entry("cos", np.cos, lambda x: x.cos(), lambda g, out, x: (-(g * sin(x)),))
tan = entry("tan", np.tan, lambda x: x.tan(), lambda g, out, x: (g * (1 + out * out),))
asin = entry("asin", np.arcsin, lambda x: x.asin(), lambda g, out, x: (g / sqrt(1 - x * x),))
acos = entry("acos", np.arccos, lambda x: x.acos(), lambda g, out, x: (-(g / sqrt(1 - x * x)),))
atan = entry("atan", np.arctan, lambda x: x.atan(), lambda g, out, x: (g / (1 + x * x),))
atan2 = entry(
    "atan2",
    np.arctan2,
    lambda y, x: arb.atan2(y, x),
    lambda g, out, y, x: (g * x / (x * x + y * y), -(g * y / (x * x + y * y))),
)
sinh = entry("sinh", np.sinh, lambda x: x.sinh(), lambda g, out, x: (g * cosh(x),))
cosh: Apply = entry("cosh", np.cosh, lambda x: x.cosh(), lambda g, out, x: (g * sinh(x),))
tanh = entry("tanh", np.tanh, lambda x: x.tanh(), lambda g, out, x: (g * (1 - out * out),))
asinh = entry("asinh", np.arcsinh, lambda x: x.asinh(), lambda g, out, x: (g / sqrt(x * x + 1),))
acosh = entry("acosh", np.arccosh, lambda x: x.acosh(), lambda g, out, x: (g / sqrt(x * x - 1),))
atanh = entry("atanh", np.arctanh, lambda x: x.atanh(), lambda g, out, x: (g / (1 - x * x),))


# ----------------------------------------------------------------------------------------------- special functions


def _gauss(x: Value) -> Value:
    """2/√π · exp(−x²), the derivative of erf. DLMF 7.2.1."""
    return exp(-(x * x)) * (2 / sqrt(x.program.add(PI, shape=x.shape)))


PI = Operation(
    "pi",
    value=lambda numbers, shape: numbers.apply(
        "pi", lambda x: x + math.pi, lambda x: arb.pi(), numbers.array(np.zeros(shape))
    ),
    shape=lambda shape: shape,
    pullback=lambda g, out, shape: (),
)
OPERATIONS["pi"] = PI


def pi(program: Program, shape: Shape = ()) -> Value:
    """π, in every element."""
    return program.add(PI, shape=shape)


erf = entry("erf", _each(math.erf), lambda x: x.erf(), lambda g, out, x: (g * _gauss(x),))
erfc = entry("erfc", _each(math.erfc), lambda x: x.erfc(), lambda g, out, x: (-(g * _gauss(x)),))
erfinv = entry("erfinv", _by_ball(lambda x: x.erfinv()), lambda x: x.erfinv(), lambda g, out, x: (g / _gauss(out),))
lgamma = entry(
    "lgamma",
    _each(math.lgamma),
    lambda x: x.lgamma() if x > 0 else abs(x.gamma()).log(),
    lambda g, out, x: (g * polygamma(x, order=0),),
    "DLMF 5.2.2",
)


def _ball_polygamma(x: arb, order: int) -> arb:
    """ψ⁽ᵏ⁾(x) = (−1)ᵏ⁺¹ k! ζ(k+1, x). DLMF 25.11.12; up from x < 0 by 5.15.5."""
    if order == 0:
        return x.digamma()
    total = arb(0)
    while not x > 0 and x.is_finite() and x > -1000:
        total, x = total + x ** -(order + 1), x + 1
    return (-1) ** (order + 1) * math.factorial(order) * (total + arb(order + 1).zeta(x))


polygamma: Apply = entry(
    "polygamma",
    lambda x, order: _by_ball(lambda ball: _ball_polygamma(ball, order))(x),
    _ball_polygamma,
    lambda g, out, x, order: (g * polygamma(x, order=order + 1),),
    "DLMF 5.15",
)
bessel_i: Apply = entry(
    "bessel_i",
    lambda x, order: _by_ball(lambda ball: ball.bessel_i(order))(x),
    lambda x, order: x.bessel_i(order),
    lambda g, out, x, order: (g * (bessel_i(x, order=abs(order - 1)) + bessel_i(x, order=order + 1)) / 2,),
    "DLMF 10.29.1; I₋ₙ = Iₙ, 10.27.1",
)
