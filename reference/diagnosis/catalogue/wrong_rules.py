"""Wrong rules of the backward pass: each stands in for one rule of `backprop.py` in the catalogue of `faults.py`.

They have the signatures of the rules that they replace, so most of them leave some argument alone. Those that need to
remember something from one call to the next are made anew for every run: they take the case and return `Rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...activations import ACTIVATIONS, SOFTMAX, softmax_delta
from ...backprop import RULES, Layer, Rules
from ...case import Case
from ...numbers import Arithmetic, Functions, Matrix, Number

Delta = Callable[[Layer, Matrix, Matrix, Matrix, Arithmetic], Matrix]


def layers_called(case: Case, rule: str) -> list[int]:
    """The layer of each call of a rule in one learning step, in the order of calls."""
    last = len(case.layers) - 1
    ascending = list(range(last + 1))
    match rule:
        case "preactivation" | "activation" | "weight_gradient":
            return ascending
        case "hidden_error" | "hidden_delta":
            return ascending[-2::-1] if last else []
        case "bias_gradient":
            return [k for k in ascending if case.layers[k].biases is not None]
        case "update":
            return [k for k in ascending for _ in range(1 if case.layers[k].biases is None else 2)]
    return [last]


# --------------------------------------------------------------------------------------------- building blocks


def replacing(**rules: Callable[..., Matrix]) -> Callable[[Case], Rules]:
    changes: dict[str, Any] = dict(rules)
    return lambda case: replace(RULES, **changes)


def scaled(matrix: Matrix, factor: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda x, fn: x * factor, matrix)


def divided(matrix: Matrix, by: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda x, fn: x / by, matrix)


def zeros(matrix: Matrix, ar: Arithmetic) -> Matrix:
    rows, columns = ar.shape(matrix)
    return ar.lift([[0.0] * columns for _ in range(rows)])


def square(matrix: Matrix, ar: Arithmetic) -> bool:
    rows, columns = ar.shape(matrix)
    return rows == columns


def picked(rows: list[int], matrix: Matrix, ar: Arithmetic) -> Matrix:
    """Some of a matrix's rows, in this order."""
    count, _ = ar.shape(matrix)
    return ar.matmul(ar.lift([[1.0 if i == row else 0.0 for i in range(count)] for row in rows]), matrix)


def samples(matrix: Matrix, ar: Arithmetic) -> int:
    return ar.shape(matrix)[0]


def times_slope(error: Matrix, slope: Callable[..., Number], z: Matrix, a: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda e, z, a, fn: e * slope(z, a, fn), error, z, a)


def sigmoid_slope(z: Number, a: Number, fn: Functions) -> Number:
    return ACTIVATIONS["sigmoid"].derivative(z, a, fn)


def tanh_slope(z: Number, a: Number, fn: Functions) -> Number:
    return ACTIVATIONS["tanh"].derivative(z, a, fn)


# --------------------------------------------------------------------------------------------- deltas


def no_derivative(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error


def derivative_twice(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_delta(layer, z, a, error, ar)
    return RULES.output_delta(layer, z, a, right, ar)


def derivative_of(slope: Callable[..., Number]) -> Delta:
    """The delta with a derivative of one's own in place of the layer's; softmax keeps its Jacobian."""

    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation is SOFTMAX:
            return RULES.output_delta(layer, z, a, error, ar)
        return times_slope(error, slope, z, a, ar)

    return delta


def formula_of_z(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """z(1 − z) for a(1 − a), 1 − z² for 1 − a²."""
    if layer.activation is SOFTMAX:
        return softmax_delta(error, z, ar)
    if layer.activation.name == "softplus":
        return RULES.output_delta(layer, z, a, error, ar)  # its derivative is a formula of z
    return times_slope(error, lambda z, a, fn: layer.activation.derivative(z, z, fn), z, a, ar)


def derivative_at_a(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """f′(a) for f′(z): the activation is applied once more."""
    if layer.activation is SOFTMAX:
        return softmax_delta(error, ar.softmax(a), ar)
    again = ar.activate(layer.activation, a)
    return times_slope(error, layer.activation.derivative, a, again, ar)


def negative_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return scaled(RULES.output_delta(layer, z, a, error, ar), -1, ar)


def activation_for_derivative(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda e, a, fn: e * a, error, a)


def halved_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return RULES.hidden_delta(layer, z, a, scaled(error, 0.5, ar), ar)


def diagonal_softmax(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    if layer.activation is not SOFTMAX:
        return RULES.output_delta(layer, z, a, error, ar)
    return times_slope(error, sigmoid_slope, z, a, ar)


def no_softmax_jacobian(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error if layer.activation is SOFTMAX else RULES.output_delta(layer, z, a, error, ar)


def softmax_jacobian_twice(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_delta(layer, z, a, error, ar)
    return softmax_delta(right, a, ar) if layer.activation is SOFTMAX else right


def another_leak(slope: float) -> Callable[..., Number]:
    return lambda z, a, fn: fn.step(z) + fn.constant(slope) * (1 - fn.step(z))


def leaky(delta_slope: float) -> Delta:
    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name.partition("(")[0] != "leaky_relu":
            return RULES.hidden_delta(layer, z, a, error, ar)
        return times_slope(error, another_leak(delta_slope), z, a, ar)

    return delta


def always_one_for_relu(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error if layer.activation.name == "relu" else RULES.hidden_delta(layer, z, a, error, ar)


def only_for(names: tuple[str, ...], slope: Callable[..., Number]) -> Delta:
    """A wrong derivative for layers with some activations only."""

    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name not in names:
            return RULES.output_delta(layer, z, a, error, ar)
        return times_slope(error, slope, z, a, ar)

    return delta


def one_minus_a(z: Number, a: Number, fn: Functions) -> Number:
    return 1 - a


def one_plus_a_squared(z: Number, a: Number, fn: Functions) -> Number:
    return 1 + a * a


# --------------------------------------------------------------------------------------------- ∂E/∂a of hidden layers


def transposed_weights(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    if not square(layer_above.weights, ar):
        return RULES.hidden_error(layer_above, delta_above, ar)
    return ar.matmul(delta_above, ar.transpose(layer_above.weights))


def mean_over_units_above(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.hidden_error(layer_above, delta_above, ar)
    return divided(right, ar.shape(layer_above.weights)[0], ar)


def sum_of_deltas(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    """Σ δ above, without the weights."""
    units, inputs = ar.shape(layer_above.weights)
    return ar.matmul(delta_above, ar.ones(units, inputs))


def first_unit_above(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    batch, units = ar.shape(delta_above)
    kept = ar.lift([[1.0] + [0.0] * (units - 1)] * batch)
    first = ar.elementwise(lambda d, k, fn: d * k, delta_above, kept)
    return RULES.hidden_error(layer_above, first, ar)


def absolute_weights(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    sizes = ar.elementwise(lambda w, fn: fn.absolute(w), layer_above.weights)
    return ar.matmul(delta_above, sizes)


def updated_weights_below(case: Case) -> Rules:
    """δ below from weights that were updated already: in place, layer after layer, as the loop goes down."""
    received: list[Matrix] = []
    rate = case.learning_rate or 0.5
    position = [len(case.layers)]

    def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
        received.append(inputs)
        return RULES.preactivation(layer, inputs, ar)

    def hidden_error(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
        position[0] -= 1
        gradient = RULES.weight_gradient(delta_above, received[position[0]], ar)
        weights = RULES.update(layer_above.weights, gradient, rate, ar)
        return RULES.hidden_error(replace(layer_above, weights=weights), delta_above, ar)

    return replace(RULES, preactivation=preactivation, hidden_error=hidden_error)


def derivative_of_layer_above(case: Case) -> Rules:
    """f′ of the wrong layer: an index that is off by one, where the layers have as many units."""
    seen: list[tuple[Layer, Matrix, Matrix]] = []

    def output_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        seen.append((layer, z, a))
        return RULES.output_delta(layer, z, a, error, ar)

    def hidden_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        above, z_above, a_above = seen[-1]
        seen.append((layer, z, a))
        if ar.shape(z_above) != ar.shape(z) or above.activation is SOFTMAX:
            return RULES.hidden_delta(layer, z, a, error, ar)
        return RULES.hidden_delta(above, z_above, a_above, error, ar)

    return replace(RULES, output_delta=output_delta, hidden_delta=hidden_delta)
