"""Wrong rules of the backward pass: each stands in for one rule of `backprop.py` in the catalogue of `faults.py`.

They have the signatures of the rules that they replace, so most of them leave some argument alone. Those that need to
remember something from one call to the next are made anew for every run: they take the case and return `Rules`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .activations import ACTIVATIONS, SOFTMAX, softmax_delta
from .arithmetic import Arithmetic, Functions, Matrix, Number
from .backprop import RULES, Layer, Objective, Rules
from .case import Case
from .losses import LOSSES

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
        if layer.activation.name != "leaky_relu":
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


# --------------------------------------------------------------------------------------------- ∂E/∂output


def by_difference(formula: Callable[[Number, Number, Functions], Number]) -> Callable[..., Matrix]:
    """∂E/∂o from outputs and targets by a formula of one's own, reduced as the objective says."""

    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        wrong = ar.elementwise(formula, outputs, targets)
        return divided(wrong, samples(outputs, ar), ar) if objective.reduction == "mean" else wrong

    return rule


def output_error_scaled(factor: float) -> Callable[..., Matrix]:
    return lambda objective, o, t, ar: scaled(RULES.output_error(objective, o, t, ar), factor, ar)


def without_reduction(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return RULES.output_error(replace(objective, reduction="sum"), outputs, targets, ar)


def one_over_n_once_more(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return divided(RULES.output_error(objective, outputs, targets, ar), samples(outputs, ar), ar)


def mean_over_outputs(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return divided(RULES.output_error(objective, outputs, targets, ar), ar.shape(outputs)[1], ar)


def everything_broadcast(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """Every output minus every target, added up: Σⱼ (oᵢ − tⱼ), for a single output unit."""
    batch, units = ar.shape(outputs)
    if units != 1:
        return RULES.output_error(objective, outputs, targets, ar)
    every = ar.ones(batch, batch)
    sums = ar.matmul(every, targets)
    wrong = ar.elementwise(lambda o, s, fn: o * batch - s, outputs, sums)
    factor = 2.0 if objective.loss is LOSSES["squared_error"] else 1.0
    return divided(scaled(wrong, factor, ar), batch * batch if objective.reduction == "mean" else 1, ar)


def only_sample(row: int) -> Callable[..., Matrix]:
    """∂E/∂o of one sample; the others are left out of the sum."""

    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.output_error(objective, outputs, targets, ar)
        batch, units = ar.shape(right)
        kept = ar.lift([[1.0 if i == row % batch else 0.0] * units for i in range(batch)])
        return ar.elementwise(lambda e, k, fn: e * k, right, kept)

    return rule


def without_last_sample(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_error(objective, outputs, targets, ar)
    batch, units = ar.shape(right)
    kept = ar.lift([[0.0 if i == batch - 1 else 1.0] * units for i in range(batch)])
    return ar.elementwise(lambda e, k, fn: e * k, right, kept)


def targets_shifted(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    batch = samples(targets, ar)
    return RULES.output_error(objective, outputs, picked([(i + 1) % batch for i in range(batch)], targets, ar), ar)


def only_output(column: int) -> Callable[..., Matrix]:
    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.output_error(objective, outputs, targets, ar)
        batch, units = ar.shape(right)
        kept = ar.lift([[1.0 if j == column % units else 0.0 for j in range(units)]] * batch)
        return ar.elementwise(lambda e, k, fn: e * k, right, kept)

    return rule


def clipped(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """Probabilities clipped to [0.1, 0.9] before the derivative of the loss."""
    inside = ar.elementwise(lambda o, fn: fn.minimum(fn.maximum(o, fn.constant(0.1)), fn.constant(0.9)), outputs)
    return RULES.output_error(objective, inside, targets, ar)


def shifted_log(shift: float) -> Callable[..., Matrix]:
    """log(o + ε) as people guard a logarithm; of two classes, log(1 − o + ε) beside it."""

    def softmax(o: Number, t: Number, fn: Functions) -> Number:
        return -(t / (o + fn.constant(shift)))

    def binary(o: Number, t: Number, fn: Functions) -> Number:
        return (1 - t) / (1 - o + fn.constant(shift)) - t / (o + fn.constant(shift))

    return by_loss({"softmax_cross_entropy": softmax, "binary_cross_entropy": binary})


def by_loss(derivatives: dict[str, Callable[[Number, Number, Functions], Number]]) -> Callable[..., Matrix]:
    """∂E/∂o by a formula of outputs and targets, for the losses that it is given for; the others stay right."""

    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        derivative = derivatives.get(objective.loss.name)
        if derivative is None:
            return RULES.output_error(objective, outputs, targets, ar)
        loss = replace(objective.loss, derivative=lambda o, t, ar: ar.elementwise(derivative, o, t))
        return RULES.output_error(replace(objective, loss=loss), outputs, targets, ar)

    return rule


def activation_before_logits(case: Case) -> Rules:
    """The outputs go through softmax, or the sigmoid, before a loss from logits applies it to them again."""
    inside = {
        "softmax_cross_entropy_from_logits": SOFTMAX,
        "binary_cross_entropy_from_logits": ACTIVATIONS["sigmoid"],
    }.get(case.loss)
    if inside is None:
        return RULES
    calls = iter(layers_called(case, "activation"))

    def activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        last = next(calls) == len(case.layers) - 1
        return RULES.activation(replace(layer, activation=inside) if last else layer, z, ar)

    def output_delta(layer: Layer, z: Matrix, outputs: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        return RULES.output_delta(replace(layer, activation=inside), z, outputs, error, ar)

    return replace(RULES, activation=activation, output_delta=output_delta)


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


# --------------------------------------------------------------------------------------------- gradients


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
