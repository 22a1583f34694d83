"""Activation functions: value and derivative side by side, with what a bound needs to know.

`ACTIVATIONS` are the chapter's; others, and names with parameters, are in `more_activations.py`. Formulas are
branch-free, so that they mean the same on floats, arrays and balls, and never compute the exponential of a positive
number, so that none of them overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from .numbers import Arithmetic, Functions, Matrix, Number


@dataclass(frozen=True, repr=False)
class Activation:
    """a = value(z), and the local factor that the chain rule multiplies by.

    value(z, functions):         the activation
    derivative(z, a, functions): ∂a/∂z, from z or a, whichever textbooks use

    Both are formulas: operators, and for what Python has no operator for, `functions`, as in
    `lambda z, fn: z / (1 + fn.absolute(z))`. The judge runs them on floats, arrays, values with bounds and balls.

    Attributes:
        steepest: the z where the derivative is largest; on either side it must only fall (or stay), and the value
            must never fall as z rises. With it, the largest slope over an interval is the slope at the interval's
            point nearest to `steepest`, and how many ulps a good implementation may be off is measured, not declared:
            see `atlas.py`. None: bounds come from the formulas alone, operation by operation. Right for an activation
            of your own.
    """

    name: str
    value: Callable[[Number, Functions], Number]
    derivative: Callable[[Number, Number, Functions], Number]
    steepest: float | None = None

    def __repr__(self) -> str:
        return self.name


def _sigmoid(z: Number, fn: Functions) -> Number:
    """1 / (1 + e⁻ᶻ), with numerator and denominator multiplied by eᶻ where z is negative."""
    return fn.exp(fn.minimum(z, 0)) / (1 + fn.exp(-fn.absolute(z)))


def _softplus(z: Number, fn: Functions) -> Number:
    """log(1 + eᶻ) = max(z, 0) + log(1 + e^−|z|)."""
    return fn.maximum(z, 0) + fn.log1p(fn.exp(-fn.absolute(z)))


def _softplus_derivative(z: Number, a: Number, fn: Functions) -> Number:
    """The sigmoid, also as exp(z − a): automatic differentiation of log(eᶻ + e⁰) arrives at that form."""
    return fn.either(_sigmoid(z, fn), fn.exp(z - a))


def _tanh_derivative(_: Number, a: Number, fn: Functions) -> Number:
    """1 − a², also in factors, as JAX has it."""
    return fn.either(1 - a * a, (1 + a) * (1 - a))


LEAKY_SLOPE = 0.01  # the customary slope below zero (Maas, Hannun & Ng, 2013); PyTorch's and JAX's default

ACTIVATIONS = {
    entry.name: entry
    for entry in (
        Activation("identity", lambda z, fn: z, lambda z, a, fn: 1, steepest=0),
        Activation("sigmoid", _sigmoid, lambda z, a, fn: a * (1 - a), steepest=0),
        Activation("tanh", lambda z, fn: fn.tanh(z), _tanh_derivative, steepest=0),
        Activation("relu", lambda z, fn: fn.maximum(z, 0), lambda z, a, fn: fn.step(z), steepest=inf),
        Activation(
            "leaky_relu",
            lambda z, fn: fn.maximum(z, fn.constant(LEAKY_SLOPE) * z),
            lambda z, a, fn: fn.step(z) + fn.constant(LEAKY_SLOPE) * (1 - fn.step(z)),
            steepest=inf,
        ),
        Activation("softplus", _softplus, _softplus_derivative, steepest=inf),
    )
}


def softplus_slope(z: Number, fn: Functions) -> Number:
    """Softplus′(z) from z alone, for losses that contain a softplus."""
    return _softplus_derivative(z, _softplus(z, fn), fn)


def _not_elementwise(*_: object) -> Number:
    raise TypeError("softmax couples the units of a row: use activate() and softmax_delta()")


# Softmax couples the units of a layer, so it has a Jacobian in place of a derivative. Output layer only.
SOFTMAX = Activation("softmax", _not_elementwise, _not_elementwise, steepest=0)


def activate(activation: Activation, z: Matrix, ar: Arithmetic) -> Matrix:
    """a = f(z); both batch × units."""
    return ar.softmax(z) if activation is SOFTMAX else ar.activate(activation, z)


def softmax_delta(error: Matrix, a: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂z from ∂E/∂a through softmax: δ = a ⊙ (∂E/∂a − Σ ∂E/∂a · a).

    error, a: batch × units. Returns batch × units.
    Source: the softmax Jacobian ∂aⱼ/∂zₖ = aⱼ(1[j = k] − aₖ), e.g. Bridle, NeurIPS 2 (1989), §3.
    """
    _, units = ar.shape(a)
    # a = exp(z − max z) / Σ exp(z − max z): that sum, up to the number of units, may be divided by after adding up.
    products = ar.elementwise(lambda e, s, fn: fn.undivided(e * s, units), error, a)
    sums = ar.matmul(products, ar.ones(units, units))  # each row's sum, in every column
    return ar.elementwise(lambda e, s, t, fn: s * (e - t), error, a, sums)
