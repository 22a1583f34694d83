"""Activations beyond the chapter's, families with parameters, and `activation_named`, which finds any of them.

A new one is one entry in `MORE_ACTIVATIONS`, or in `FAMILIES` if it has parameters: value and derivative side by side.
They are neither monotone nor convex, most of them, and no library's ulps were measured: what bounds know of them is the
formula (`Activation.steepest` is None). Where libraries differentiate in other forms, `fn.either` covers both; where
they may overflow on the way, `fn.by_way_of` says so. At a kink the formula is a set, of all slopes between the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from .activations import ACTIVATIONS, LEAKY_SLOPE, SOFTMAX, Activation, softplus_slope
from .aliases import activation_meant
from .numbers import PLAIN, PRECISIONS, Curve, Functions, Number

SIGMOID, SOFTPLUS = ACTIVATIONS["sigmoid"], ACTIVATIONS["softplus"]

# Klambauer et al., Self-normalizing neural networks (2017), eq. 14, as PyTorch and JAX have them.
SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
CUBIC = 0.044715  # Hendrycks & Gimpel, Gaussian error linear units (2016), §2
FLAT, FLAT_CUBIC = 40, 22  # beyond these, φ(z) and what tanh lacks of 1 there are below the smallest double


def parameter(value: float, fn: Functions) -> Number:
    """As it is where every format holds it, else as the format rounds it."""
    return value if _held_everywhere(value) else fn.constant(value)


@lru_cache(1024)
def _held_everywhere(value: float) -> bool:
    return all(precision.holds(value) for precision in PRECISIONS.values())


def _clip(z: Number, low: Number, high: Number, fn: Functions) -> Number:
    return fn.minimum(fn.maximum(z, low), high)


def _between(z: Number, low: float, high: float, fn: Functions) -> Number:
    """1 between low and high, 0 outside, all of [0, 1] at both: the slope of `_clip`."""
    return fn.step(z - low) * fn.step(high - z)


# ------------------------------------------------------------------------------------ exponential below zero


def _elu(alpha: float, scale: float = 1.0) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """scale · (z, or α(eᶻ − 1) below zero), by either way to have eᶻ − 1.

    The slope is α·exp(min(z, 0)) + (1 − α) above zero: at zero from α to 1, and for α = 1 no kink.
    Source: Clevert, Unterthiner & Hochreiter, Fast and accurate deep network learning by ELUs (2016), eq. 1.
    """

    def value(z: Number, fn: Functions) -> Number:
        below = fn.minimum(z, 0)
        curve = fn.either(fn.expm1(below), fn.exp(below) - 1) * fn.step(-z)  # nothing above zero, not even a rounding
        return _times(scale, fn.maximum(z, 0) + _times(alpha, curve, fn), fn)

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        below = fn.minimum(z, 0)
        slope = _times(alpha, fn.either(fn.exp(below), fn.expm1(below) + 1), fn)
        kink = 0 if alpha == 1 else (1 - parameter(alpha, fn)) * fn.step(z)
        return _times(scale, slope + kink, fn)

    return value, derivative


def _times(factor: float, x: Number, fn: Functions) -> Number:
    return x if factor == 1 else parameter(factor, fn) * x


# ------------------------------------------------------------------------------------ z, gated by a sigmoid or another


def _silu(steepness: float) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """z·σ(βz). Source: Ramachandran, Zoph & Le, Searching for activation functions (2017), §4, "Swish"."""

    def value(z: Number, fn: Functions) -> Number:
        return z * fn.activated(SIGMOID, _times(steepness, z, fn))

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        y = _times(steepness, z, fn)
        s = fn.activated(SIGMOID, y)
        return fn.either(s + y * (s * (1 - s)), s * (1 + y * (1 - s)))

    return value, derivative


def _gelu(z: Number, fn: Functions) -> Number:
    """z·Φ(z), Φ the distribution function of the normal distribution. Source: Hendrycks & Gimpel (2016), §2."""
    return z * _normal_distribution(z, fn)


def _gate(z: Number, fn: Functions) -> Number:
    return 1 + fn.erf(z / fn.sqrt(fn.constant(2.0)))


def _gate_derivative(z: Number, a: Number, fn: Functions) -> Number:
    return fn.exp(-(z * z) / 2) * _root_of_two_over_pi(fn)


# 2Φ(z) as a GELU has it inside, for z ≥ 0: PyTorch takes another erf there than torch.erf, and the atlas measures both.
GELU_GATE = Activation("gelu_gate", _gate, _gate_derivative, steepest=0)


def _gelu_derivative(z: Number, a: Number, fn: Functions) -> Number:
    """Φ(z) + z·φ(z), φ(z) = exp(−z²/2)/√(2π); also exp(−(z/√2)²), as it comes from erf."""
    w = fn.minimum(fn.absolute(z), FLAT)
    v = w / fn.sqrt(fn.constant(2.0))
    density = fn.either(fn.exp(-(w * w) / 2), fn.exp(-(v * v))) / fn.sqrt(2 * fn.pi())
    return fn.by_way_of(_normal_distribution(z, fn) + z * density, z * z)


def _normal_distribution(z: Number, fn: Functions) -> Number:
    """(1 + erf(z/√2))/2, with an erf as good as the own or that of libraries' GELUs, which is odd like any."""
    of_size = fn.activated(GELU_GATE, fn.absolute(z)) - 1
    return fn.either(_gate(z, fn), 1 + (fn.step(z) - fn.step(-z)) * of_size) / 2


def _gelu_tanh(z: Number, fn: Functions) -> Number:
    """z/2 · (1 + tanh(√(2/π)(z + 0.044715z³))), π as a double. Source: Hendrycks & Gimpel (2016), §2."""
    return fn.by_way_of(z * (1 + _cubic_tanh(z, fn)) / 2, z * z * z)


def _gelu_tanh_derivative(z: Number, a: Number, fn: Functions) -> Number:
    t, w = _cubic_tanh(z, fn), _clip(z, -FLAT_CUBIC, FLAT_CUBIC, fn)
    inner = _root_of_two_over_pi(fn) * (1 + 3 * fn.constant(CUBIC) * (w * w))
    return fn.by_way_of((1 + t) / 2 + w / 2 * _tanh_slope(t, fn) * inner, z * z * z)


def _cubic_tanh(z: Number, fn: Functions) -> Number:
    w = _clip(z, -FLAT_CUBIC, FLAT_CUBIC, fn)
    return fn.tanh(_root_of_two_over_pi(fn) * (w + fn.constant(CUBIC) * (w * w * w)))


def _root_of_two_over_pi(fn: Functions) -> Number:
    return fn.sqrt(2 / fn.pi())


def _tanh_slope(t: Number, fn: Functions) -> Number:
    """1 − t², also in factors."""
    return fn.either(1 - t * t, (1 + t) * (1 - t))


def _mish(z: Number, fn: Functions) -> Number:
    """z·tanh(log(1 + eᶻ)). Source: Misra, Mish: a self regularized non-monotonic activation function (2020), eq. 1."""
    return z * fn.tanh(fn.activated(SOFTPLUS, z))


def _mish_derivative(z: Number, a: Number, fn: Functions) -> Number:
    t = fn.tanh(fn.activated(SOFTPLUS, z))
    return t + z * (softplus_slope(z, fn) * _tanh_slope(t, fn))


# ------------------------------------------------------------------------------------ straight pieces


def _hard_sigmoid(z: Number, fn: Functions) -> Number:
    """z/6 + ½ between 0 and 1. Source: PyTorch, torch.nn.Hardsigmoid; Courbariaux et al. (2015) have z/2 + ½."""
    return fn.either(_clip(z + 3, 0, 6, fn) / 6, _clip(z / 6 + 0.5, 0, 1, fn))


def _hard_sigmoid_derivative(z: Number, a: Number, fn: Functions) -> Number:
    """1/6 in between. Who adds before comparing may have rounded across an end."""
    return fn.either(_between(z + 3, 0, 6, fn), _between(z / 6 + 0.5, 0, 1, fn)) / 6


def _hard_swish_derivative(z: Number, a: Number, fn: Functions) -> Number:
    """The hard sigmoid h and z·h′; also as z/3 + ½ in between."""
    return _hard_sigmoid(z, fn) + z * _hard_sigmoid_derivative(z, a, fn)


def _leaky_relu(slope: float) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """z, or slope · z below zero. Source: Maas, Hannun & Ng (2013), eq. 2."""

    def value(z: Number, fn: Functions) -> Number:
        return fn.maximum(z, 0) + parameter(slope, fn) * fn.minimum(z, 0)

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        return fn.step(z) + parameter(slope, fn) * (1 - fn.step(z))

    return value, derivative


# ------------------------------------------------------------------------------------ the chapter's, scaled


def _soft_sign_derivative(z: Number, a: Number, fn: Functions) -> Number:
    """1/(1 + |z|)², also as the quotient rule has it."""
    d = 1 + fn.absolute(z)
    return fn.either(1 / (d * d), 1 / d - fn.absolute(z) / (d * d))


def _scaled_tanh(scale: float, steepness: float) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """A·tanh(bz); its slope from the tangent, or from a. Source: LeCun et al., Efficient backprop (1998), §4.4."""

    def value(z: Number, fn: Functions) -> Number:
        return _times(scale, fn.tanh(_times(steepness, z, fn)), fn)

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        t, b, c = fn.tanh(_times(steepness, z, fn)), parameter(steepness, fn), parameter(scale, fn)
        return fn.either(c * (b * _tanh_slope(t, fn)), b / c * ((c - a) * (c + a)))

    return value, derivative


def _steep_sigmoid(steepness: float) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """σ(βz)."""

    def value(z: Number, fn: Functions) -> Number:
        return fn.activated(SIGMOID, _times(steepness, z, fn))

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        return _times(steepness, a * (1 - a), fn)

    return value, derivative


def _steep_softplus(steepness: float) -> tuple[Callable[..., Number], Callable[..., Number]]:
    """log(1 + exp(βz))/β."""

    def value(z: Number, fn: Functions) -> Number:
        return fn.activated(SOFTPLUS, _times(steepness, z, fn)) / parameter(steepness, fn)

    def derivative(z: Number, a: Number, fn: Functions) -> Number:
        return softplus_slope(_times(steepness, z, fn), fn)

    return value, derivative


# ------------------------------------------------------------------------------------ computed so that digits cancel


def cancelling(activation: Activation) -> Activation:
    """The same function, computed in any way, also in those that lose its digits where it is near zero.

    (1 + tanh(z/2))/2 and 1 − 1/(1 + eᶻ) for a sigmoid, log(1 + eᶻ) for a softplus: their error is a rounding of 1, of
    whatever size the result is. (1 + α)/2 · z + (1 − α)/2 · |z| for a leaky ReLU: that of z. Of an activation that
    contains none of these, the same.
    Source: the cancellation in 1 + x, Higham, Accuracy and Stability of Numerical Algorithms (2002), §1.7.
    """
    own = activation in (SIGMOID, SOFTPLUS)

    def value(z: Number, fn: Functions) -> Number:
        return fn.activated(activation, z) if own else activation.value(z, fn)

    if (slope := _slope_below_zero(activation)) is not None:
        by_parts = ((1 + slope) / 2, (1 - slope) / 2)

        def either(z: Number, fn: Functions) -> Number:
            of_z, of_size = (fn.constant(part) for part in by_parts)
            return fn.either(activation.value(z, fn), of_z * z + of_size * fn.absolute(z))

        return Activation(activation.name, either, activation.derivative)
    tried = _Cancelling(PLAIN.functions)
    if activation is not SOFTMAX:
        value(0.5, tried)
    if not tried.met:
        return activation
    return Activation(
        activation.name,
        lambda z, fn: value(z, _Cancelling(fn)),
        lambda z, a, fn: activation.derivative(z, a, _Cancelling(fn)),
    )


def _slope_below_zero(activation: Activation) -> float | None:
    """A leaky ReLU's; None for any other activation."""
    found = parsed(activation.name)
    if found is None or found[0] != "leaky_relu" or activation != activation_named(activation.name):
        return None
    return found[1][0] if found[1] else LEAKY_SLOPE


class _Cancelling:
    """Functions, with sigmoids and softplus by either way."""

    def __init__(self, functions: Functions) -> None:
        self.functions, self.met = functions, False

    def activated(self, activation: Curve, z: Number) -> Number:
        fn, usual = self.functions, self.functions.activated(activation, z)
        self.met |= activation in (SIGMOID, SOFTPLUS)
        if activation is SIGMOID:
            return fn.either(usual, fn.either((1 + fn.tanh(z / 2)) / 2, 1 - fn.activated(SIGMOID, -z)))
        if activation is SOFTPLUS:
            return fn.either(usual, fn.maximum(z, 0) + fn.log(1 + fn.exp(-fn.absolute(z))))
        return usual

    def __getattr__(self, name: str) -> Any:
        return getattr(self.functions, name)


# ------------------------------------------------------------------------------------ what there is


MORE_ACTIVATIONS = {
    entry.name: entry
    for entry in (
        Activation("elu", *_elu(1.0)),
        Activation("selu", *_elu(SELU_ALPHA, SELU_SCALE)),
        Activation("gelu", _gelu, _gelu_derivative),
        Activation("gelu_tanh", _gelu_tanh, _gelu_tanh_derivative),
        Activation("silu", *_silu(1.0)),
        Activation("mish", _mish, _mish_derivative),
        Activation(
            "hardtanh",
            lambda z, fn: _clip(z, -1, 1, fn),
            lambda z, a, fn: _between(z, -1, 1, fn),
        ),
        Activation("hardsigmoid", _hard_sigmoid, _hard_sigmoid_derivative),
        Activation("hardswish", lambda z, fn: z * _hard_sigmoid(z, fn), _hard_swish_derivative),
        Activation("softsign", lambda z, fn: z / (1 + fn.absolute(z)), _soft_sign_derivative),
        Activation("relu6", lambda z, fn: _clip(z, 0, 6, fn), lambda z, a, fn: _between(z, 0, 6, fn)),
    )
}


@dataclass(frozen=True)
class Family:
    """Activations with parameters.

    form: how their names are written;  example: such a name
    formulas(parameters, …): value and derivative
    usual: the parameters with which it is what `usual_name` says, or None where it has no name without them
    positive: whether the parameters must be above zero; they must be finite in any case
    """

    form: str
    example: str
    formulas: Callable[..., tuple[Callable[..., Number], Callable[..., Number]]]
    usual: tuple[float, ...]
    usual_name: str
    positive: bool = True


FAMILIES = {
    family.form.partition("(")[0]: family
    for family in (
        Family("leaky_relu(slope)", "leaky_relu(0.2)", _leaky_relu, (0.01,), "leaky_relu", positive=False),
        Family("elu(alpha)", "elu(0.1)", _elu, (1.0,), "elu"),
        Family("scaled_tanh(scale, steepness)", "scaled_tanh(1.7159, 0.6667)", _scaled_tanh, (1.0, 1.0), "tanh"),
        Family("sigmoid(steepness)", "sigmoid(2)", _steep_sigmoid, (1.0,), "sigmoid"),
        Family("silu(steepness)", "silu(1.702)", _silu, (1.0,), "silu"),
        Family("softplus(steepness)", "softplus(2)", _steep_softplus, (1.0,), "softplus"),
    )
}

MEASURED = {**ACTIVATIONS, GELU_GATE.name: GELU_GATE}  # as libraries have them: see `atlas.py`
ACTIVATION_NAMES = (*ACTIVATIONS, *MORE_ACTIVATIONS, SOFTMAX.name)  # without parameters
ACTIVATION_FORMS = {family.form: family.example for family in FAMILIES.values()}  # names with them, and examples


def activation_named(given: str | Activation) -> Activation | None:
    """The activation of a name, such as "gelu", "leaky_relu(0.2)" or, of `aliases`, "nn.ReLU".

    An `Activation` is itself. None for anything else.
    Of one's own, no library's ulps were measured: whatever it says of `steepest`, its formula bounds it.
    Each has one name: "leaky_relu( .2 )" is called "leaky_relu(0.2)", and "leaky_relu(0.01)" is "leaky_relu".
    """
    if isinstance(given, Activation):
        ours = given.steepest is None or given in (MEASURED.get(given.name), SOFTMAX)
        return given if ours else replace(given, steepest=None)
    return _named(given) if isinstance(given, str) else None


def parsed(name: str) -> tuple[str, tuple[float, ...]] | None:
    """A name's family and its numbers, none for a bare name; None where the name is not of that form."""
    found = re.fullmatch(r"\s*([a-z_][a-z_0-9]*)\s*(?:\(([^()]*)\))?\s*", name)
    if found is None:
        return None
    family, inside = found.groups()
    try:
        numbers = () if inside is None else tuple(float(number) for number in inside.split(","))
    except ValueError:
        return None
    return (family, numbers) if all(map(math.isfinite, numbers)) else None


def parts(activation: str | Activation) -> tuple[str, tuple[float, ...]]:
    """Family and parameters of an activation with a name that everybody knows, for a `match`; of one's own, of none."""
    return (parsed(activation) if isinstance(activation, str) else None) or ("", ())


def spelled(family: str, numbers: tuple[float, ...]) -> str:
    """The name that `parsed` gives these for."""
    return f"{family}({', '.join(repr(number).removesuffix('.0') for number in numbers)})"


@lru_cache(1024)
def _named(name: str) -> Activation | None:
    found = parsed(name)
    activation = None if found is None else _called(*found)
    meant = activation_meant(name, ACTIVATION_NAMES) if activation is None else None
    return activation if meant in (None, name) else _named(meant)


@lru_cache(1024)
def _called(bare: str, numbers: tuple[float, ...]) -> Activation | None:
    if not numbers:
        return ACTIVATIONS.get(bare) or MORE_ACTIVATIONS.get(bare) or (SOFTMAX if bare == SOFTMAX.name else None)
    family = FAMILIES.get(bare)
    if family is None or len(numbers) != len(family.usual) or (family.positive and min(numbers) <= 0):
        return None
    if numbers == family.usual:
        return _called(family.usual_name, ())
    return Activation(spelled(bare, numbers), *family.formulas(*numbers))
