"""Wrong rules for ∂E/∂W and ∂E/∂b: see `wrong_rules.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...backprop import RULES, Layer, Rules
from ...case import Case
from ...numbers import Arithmetic, Matrix
from .wrong_rules import divided, layers_called, picked, samples, scaled, square, zeros


def weight_gradient_transposed(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.weight_gradient(delta, inputs, ar)
    return ar.transpose(right) if square(right, ar) else right


def weight_gradient_scaled(factor: Callable[[Matrix, Matrix, Arithmetic], float]) -> Callable[..., Matrix]:
    return lambda d, a, ar: divided(RULES.weight_gradient(d, a, ar), factor(d, a, ar), ar)


def last_sample_weights(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    last = samples(delta, ar) - 1
    return RULES.weight_gradient(picked([last], delta, ar), picked([last], inputs, ar), ar)


def shifted_samples(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    """The deltas of one sample with the activations of the next."""
    batch = samples(delta, ar)
    return RULES.weight_gradient(delta, picked([(i + 1) % batch for i in range(batch)], inputs, ar), ar)


def one_element(factor: float) -> Callable[..., Matrix]:
    def rule(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.weight_gradient(delta, inputs, ar)
        rows, columns = ar.shape(right)
        factors = [[factor if (i, j) == (0, 0) else 1.0 for j in range(columns)] for i in range(rows)]
        return ar.elementwise(lambda g, f, fn: g * f, right, ar.lift(factors))

    return rule


def layer_left_out(which: Callable[[Case], set[int]]) -> Callable[[Case], Rules]:
    """Some layers' gradients are zero: detached, frozen, or never reached by the loop."""

    def rules(case: Case) -> Rules:
        weights, biases = iter(layers_called(case, "weight_gradient")), iter(layers_called(case, "bias_gradient"))
        left_out = which(case)

        def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
            right = RULES.weight_gradient(delta, inputs, ar)
            return zeros(right, ar) if next(weights) in left_out else right

        def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
            right = RULES.bias_gradient(delta, ar)
            return zeros(right, ar) if next(biases) in left_out else right

        return replace(RULES, weight_gradient=weight_gradient, bias_gradient=bias_gradient)

    return rules


def own_activations(case: Case) -> Rules:
    """∂E/∂W from the layer's own activations instead of those below: an index off by one, where shapes allow it."""
    activations: list[Matrix] = []
    layers = iter(range(len(case.layers)))

    def activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        activations.append(RULES.activation(layer, z, ar))
        return activations[-1]

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        own = activations[next(layers)]
        return RULES.weight_gradient(delta, own if ar.shape(own) == ar.shape(inputs) else inputs, ar)

    return replace(RULES, activation=activation, weight_gradient=weight_gradient)


def pre_activations_for_activations(case: Case) -> Rules:
    """∂E/∂W from z of the layer below, before its activation function."""
    zs: list[Matrix] = []
    layers = iter(range(len(case.layers)))

    def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
        zs.append(RULES.preactivation(layer, inputs, ar))
        return zs[-1]

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        k = next(layers)
        return RULES.weight_gradient(delta, zs[k - 1] if k else inputs, ar)

    return replace(RULES, preactivation=preactivation, weight_gradient=weight_gradient)


def scaled_bias(factor: float) -> Callable[..., Matrix]:
    return lambda delta, ar: scaled(RULES.bias_gradient(delta, ar), factor, ar)


def mean_bias(delta: Matrix, ar: Arithmetic) -> Matrix:
    return divided(RULES.bias_gradient(delta, ar), samples(delta, ar), ar)


def sample_bias(row: int) -> Callable[..., Matrix]:
    return lambda delta, ar: picked([row % samples(delta, ar)], delta, ar)


def bias_over_units(delta: Matrix, ar: Arithmetic) -> Matrix:
    """Summed over both axes, every bias gets the same number."""
    _, units = ar.shape(delta)
    return ar.matmul(RULES.bias_gradient(delta, ar), ar.ones(units, units))


def bias_gradient_reversed(delta: Matrix, ar: Arithmetic) -> Matrix:
    _, units = ar.shape(delta)
    reverse = [[1.0 if i + j == units - 1 else 0.0 for j in range(units)] for i in range(units)]
    return ar.matmul(RULES.bias_gradient(delta, ar), ar.lift(reverse))


def with_weight_decay(decay: float) -> Callable[[Case], Rules]:
    """The gradient of a penalty ½·decay·Σw² is added to that of every weight."""

    def rules(case: Case) -> Rules:
        weights: list[Matrix] = []
        layers = iter(range(len(case.layers)))

        def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
            weights.append(layer.weights)
            return RULES.preactivation(layer, inputs, ar)

        def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
            right = RULES.weight_gradient(delta, inputs, ar)
            return ar.elementwise(lambda g, w, fn: g + fn.constant(decay) * w, right, weights[next(layers)])

        return replace(RULES, preactivation=preactivation, weight_gradient=weight_gradient)

    return rules


def clipped_gradient(limit: float) -> Callable[..., Matrix]:
    def rule(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.weight_gradient(delta, inputs, ar)
        return ar.elementwise(lambda g, fn: fn.minimum(fn.maximum(g, -limit), limit), right)

    return rule
