"""Wrong rules of the forward pass and of the update: see `wrong_rules.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...backprop import RULES, Layer, Rules
from ...case import Case
from ...numbers import Arithmetic, Functions, Matrix, Number
from .wrong_rules import scaled, square

# --------------------------------------------------------------------------------------------- forward


def no_bias(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    return ar.weighted_sums(inputs, layer.weights, None)


def bias_twice(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if layer.biases is None:
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, biases=scaled(layer.biases, 2, ar)), inputs, ar)


def bias_subtracted(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if layer.biases is None:
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, biases=scaled(layer.biases, -1, ar)), inputs, ar)


def forward_transposed(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if not square(layer.weights, ar):
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, weights=ar.transpose(layer.weights)), inputs, ar)


def limited(limit: float) -> Callable[..., Matrix]:
    """z clamped to ±limit before the activation; the backward pass knows nothing of it."""

    def rule(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        inside = ar.elementwise(lambda x, fn: fn.minimum(fn.maximum(x, -limit), limit), z)
        return RULES.activation(layer, inside, ar)

    return rule


def activated_by(value: Callable[[Number, Functions], Number], name: str) -> Callable[..., Matrix]:
    """An approximation in place of one activation function."""

    def rule(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name != name:
            return RULES.activation(layer, z, ar)
        return ar.elementwise(value, z)

    return rule


def no_activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    return z


def activation_twice(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    return RULES.activation(layer, RULES.activation(layer, z, ar), ar)


def dropout(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    """Every second unit dropped, the others doubled."""
    a = RULES.activation(layer, z, ar)
    batch, units = ar.shape(a)
    if units < 2:
        return a
    return ar.elementwise(lambda a, m, fn: a * m, a, ar.lift([[2.0 if j % 2 else 0.0 for j in range(units)]] * batch))


# --------------------------------------------------------------------------------------------- the update


def update_scaled(factor: float) -> Callable[..., Matrix]:
    return lambda old, gradient, rate, ar: RULES.update(old, gradient, rate * factor, ar)


def update_without_rate(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda w, g, fn: w - g, old, gradient)


def update_by_squared_rate(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return RULES.update(old, gradient, learning_rate * learning_rate, ar)


def update_plus(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda w, g, fn: w + g * learning_rate, old, gradient)


def no_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return old


def gradient_becomes_weight(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda g, fn: g * (-learning_rate), gradient)


def sign_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """Only the sign of the gradient: old − rate · sign."""
    return ar.elementwise(lambda w, g, fn: w - (fn.step(g) - fn.step(-g)) * learning_rate, old, gradient)


def update_step(case: Case) -> Rules:
    """Biases are never updated: the loop covers the weights."""
    kinds = iter([kind for layer in case.layers for kind in ("w", "b") if kind == "w" or layer.biases is not None])

    def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        return old if next(kinds) == "b" else RULES.update(old, gradient, learning_rate, ar)

    return replace(RULES, update=update)


def decayed_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """Weight decay of 0.01 left on in the optimizer."""
    return ar.elementwise(lambda w, g, fn: w - (g + fn.constant(0.01) * w) * learning_rate, old, gradient)


def momentum_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """The second step of momentum 0.9 with the same gradient: a velocity of 1.9 gradients."""
    return ar.elementwise(lambda w, g, fn: w - g * fn.constant(1.9) * learning_rate, old, gradient)


def hard_sigmoid(z: Number, fn: Functions) -> Number:
    return fn.minimum(fn.maximum(z / 4 + 0.5, 0), 1)


def rational_sigmoid(z: Number, fn: Functions) -> Number:
    return (z / (1 + fn.absolute(z)) + 1) / 2


def rational_tanh(z: Number, fn: Functions) -> Number:
    return z * (27 + z * z) / (27 + 9 * (z * z))
