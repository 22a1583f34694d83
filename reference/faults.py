"""The catalogue of wrong backpropagations: each is the right algorithm with one rule (or one pair) replaced.

An entry says what the code does instead, and the mistake that leads to it. `planted` runs it, on any kind of number, in
the whole network or in one layer alone.

The list was gathered from what textbooks warn of and from what people ask about; where a mistake is documented, the
entry names the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from .activations import ACTIVATIONS, SOFTMAX, softmax_delta
from .arithmetic import Arithmetic, Functions, Matrix, Number
from .backprop import RULES, Layer, Objective, Rules
from .case import Case, Step, run
from .losses import LOSSES


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    name: what reports call it;  description: what the code does, completing "the implementation …"
    mistake: how one comes to write that;  rules: the wrong algorithm for a case, made anew for every run
    seen: where it is documented, if anywhere
    """

    name: str
    description: str
    mistake: str
    rules: Callable[[Case], Rules]
    seen: str | None = None


def planted(fault: Fault, case: Case, ar: Arithmetic, layer: int | None = None) -> Step:
    """The case run with the fault, in every layer or in one alone. With layer given, all other layers are right."""
    wrong = fault.rules(case)
    return run(case, ar, wrong if layer is None else _in_one_layer(case, wrong, layer))


def touched_layers(fault: Fault, case: Case) -> tuple[int, ...]:
    """The layers in which the fault's rules are called at all; one entry means that "in one layer" says nothing new."""
    wrong = fault.rules(case)
    changed = [field.name for field in fields(Rules) if getattr(wrong, field.name) is not getattr(RULES, field.name)]
    return tuple(sorted({k for name in changed for k in _layers_called(case, name)}))


def _layers_called(case: Case, rule: str) -> list[int]:
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


def _in_one_layer(case: Case, wrong: Rules, layer: int) -> Rules:
    changes: dict[str, Any] = {}
    for field in fields(Rules):
        faulty, right = getattr(wrong, field.name), getattr(RULES, field.name)
        if faulty is not right:
            changes[field.name] = _chosen(faulty, right, iter(_layers_called(case, field.name)), layer)
    return replace(RULES, **changes)


def _chosen(
    faulty: Callable[..., Matrix], right: Callable[..., Matrix], layers: Iterator[int], layer: int
) -> Callable[..., Matrix]:
    def rule(*arguments: Any) -> Matrix:
        result = faulty(*arguments)  # always called: it may keep what it saw for a later layer
        return result if next(layers) == layer else right(*arguments)

    return rule


# --------------------------------------------------------------------------------------------- building blocks


def _with(**rules: Callable[..., Matrix]) -> Callable[[Case], Rules]:
    changes: dict[str, Any] = dict(rules)
    return lambda case: replace(RULES, **changes)


def _scaled(matrix: Matrix, factor: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda x, fn: x * factor, matrix)


def _divided(matrix: Matrix, by: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda x, fn: x / by, matrix)


def _zeros(matrix: Matrix, ar: Arithmetic) -> Matrix:
    rows, columns = ar.shape(matrix)
    return ar.lift([[0.0] * columns for _ in range(rows)])


def _square(matrix: Matrix, ar: Arithmetic) -> bool:
    rows, columns = ar.shape(matrix)
    return rows == columns


def _picked(rows: list[int], matrix: Matrix, ar: Arithmetic) -> Matrix:
    """Some of a matrix's rows, in this order."""
    count, _ = ar.shape(matrix)
    return ar.matmul(ar.lift([[1.0 if i == row else 0.0 for i in range(count)] for row in rows]), matrix)


def _batch(matrix: Matrix, ar: Arithmetic) -> int:
    return ar.shape(matrix)[0]


def _times_slope(error: Matrix, slope: Callable[..., Number], z: Matrix, a: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda e, z, a, fn: e * slope(z, a, fn), error, z, a)


def _sigmoid_slope(z: Number, a: Number, fn: Functions) -> Number:
    return ACTIVATIONS["sigmoid"].derivative(z, a, fn)


def _tanh_slope(z: Number, a: Number, fn: Functions) -> Number:
    return ACTIVATIONS["tanh"].derivative(z, a, fn)


# --------------------------------------------------------------------------------------------- deltas

Delta = Callable[[Layer, Matrix, Matrix, Matrix, Arithmetic], Matrix]


def _no_derivative(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error


def _derivative_twice(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_delta(layer, z, a, error, ar)
    return RULES.output_delta(layer, z, a, right, ar)


def _derivative_of(slope: Callable[..., Number]) -> Delta:
    """The delta with a derivative of one's own in place of the layer's; softmax keeps its Jacobian."""

    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation is SOFTMAX:
            return RULES.output_delta(layer, z, a, error, ar)
        return _times_slope(error, slope, z, a, ar)

    return delta


def _formula_of_z(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """z(1 − z) for a(1 − a), 1 − z² for 1 − a²."""
    if layer.activation is SOFTMAX:
        return softmax_delta(error, z, ar)
    return _times_slope(error, lambda z, a, fn: layer.activation.derivative(z, z, fn), z, a, ar)


def _derivative_at_a(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """f′(a) for f′(z): the activation is applied once more."""
    if layer.activation is SOFTMAX:
        return softmax_delta(error, ar.softmax(a), ar)
    again = ar.activate(layer.activation, a)
    return _times_slope(error, layer.activation.derivative, a, again, ar)


def _negative_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return _scaled(RULES.output_delta(layer, z, a, error, ar), -1, ar)


def _activation_for_derivative(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda e, a, fn: e * a, error, a)


def _kink_counted_as_above(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """Slope ½ at 0: the mean of both sides, added where only one was meant."""
    return RULES.hidden_delta(layer, z, a, _scaled(error, 0.5, ar), ar)


def _diagonal_softmax(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    if layer.activation is not SOFTMAX:
        return RULES.output_delta(layer, z, a, error, ar)
    return _times_slope(error, _sigmoid_slope, z, a, ar)


def _no_softmax_jacobian(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error if layer.activation is SOFTMAX else RULES.output_delta(layer, z, a, error, ar)


def _softmax_jacobian_twice(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_delta(layer, z, a, error, ar)
    return softmax_delta(right, a, ar) if layer.activation is SOFTMAX else right


# --------------------------------------------------------------------------------------------- ∂E/∂output


def _by_difference(formula: Callable[[Number, Number, Functions], Number]) -> Callable[..., Matrix]:
    """∂E/∂o from outputs and targets by a formula of one's own, reduced as the objective says."""

    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        wrong = ar.elementwise(formula, outputs, targets)
        return _divided(wrong, _batch(outputs, ar), ar) if objective.reduction == "mean" else wrong

    return rule


def _output_error_scaled(factor: float) -> Callable[..., Matrix]:
    return lambda objective, o, t, ar: _scaled(RULES.output_error(objective, o, t, ar), factor, ar)


def _without_reduction(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return RULES.output_error(replace(objective, reduction="sum"), outputs, targets, ar)


def _one_over_n_once_more(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return _divided(RULES.output_error(objective, outputs, targets, ar), _batch(outputs, ar), ar)


def _mean_over_outputs(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    return _divided(RULES.output_error(objective, outputs, targets, ar), ar.shape(outputs)[1], ar)


def _everything_broadcast(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """Every output minus every target, added up: Σⱼ (oᵢ − tⱼ), for a single output unit."""
    batch, units = ar.shape(outputs)
    if units != 1:
        return RULES.output_error(objective, outputs, targets, ar)
    every = ar.ones(batch, batch)
    sums = ar.matmul(every, targets)
    wrong = ar.elementwise(lambda o, s, fn: o * batch - s, outputs, sums)
    factor = 2.0 if objective.loss is LOSSES["squared_error"] else 1.0
    return _divided(_scaled(wrong, factor, ar), batch * batch if objective.reduction == "mean" else 1, ar)


def _only_sample(row: int) -> Callable[..., Matrix]:
    """∂E/∂o of one sample; the others are left out of the sum."""

    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.output_error(objective, outputs, targets, ar)
        batch, units = ar.shape(right)
        kept = ar.lift([[1.0 if i == row % batch else 0.0] * units for i in range(batch)])
        return ar.elementwise(lambda e, k, fn: e * k, right, kept)

    return rule


def _without_last_sample(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.output_error(objective, outputs, targets, ar)
    batch, units = ar.shape(right)
    kept = ar.lift([[0.0 if i == batch - 1 else 1.0] * units for i in range(batch)])
    return ar.elementwise(lambda e, k, fn: e * k, right, kept)


def _targets_shifted(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    batch = _batch(targets, ar)
    return RULES.output_error(objective, outputs, _picked([(i + 1) % batch for i in range(batch)], targets, ar), ar)


def _only_output(column: int) -> Callable[..., Matrix]:
    def rule(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.output_error(objective, outputs, targets, ar)
        batch, units = ar.shape(right)
        kept = ar.lift([[1.0 if j == column % units else 0.0 for j in range(units)]] * batch)
        return ar.elementwise(lambda e, k, fn: e * k, right, kept)

    return rule


def _clipped(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """Probabilities clipped to [0.1, 0.9] before the derivative of the loss."""
    inside = ar.elementwise(lambda o, fn: fn.minimum(fn.maximum(o, fn.constant(0.1)), fn.constant(0.9)), outputs)
    return RULES.output_error(objective, inside, targets, ar)


def _shifted_log(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """log(o + 1e-7), whose derivative is 1/(o + 1e-7)."""
    moved = ar.elementwise(lambda o, fn: o + fn.constant(1e-7), outputs)
    return RULES.output_error(objective, moved, targets, ar)


# --------------------------------------------------------------------------------------------- ∂E/∂a of hidden layers


def _transposed_weights(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    if not _square(layer_above.weights, ar):
        return RULES.hidden_error(layer_above, delta_above, ar)
    return ar.matmul(delta_above, ar.transpose(layer_above.weights))


def _mean_over_units_above(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.hidden_error(layer_above, delta_above, ar)
    return _divided(right, ar.shape(layer_above.weights)[0], ar)


def _sum_of_deltas(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    """Σ δ above, without the weights."""
    units, inputs = ar.shape(layer_above.weights)
    return ar.matmul(delta_above, ar.ones(units, inputs))


def _first_unit_above(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    batch, units = ar.shape(delta_above)
    kept = ar.lift([[1.0] + [0.0] * (units - 1)] * batch)
    first = ar.elementwise(lambda d, k, fn: d * k, delta_above, kept)
    return RULES.hidden_error(layer_above, first, ar)


def _absolute_weights(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    sizes = ar.elementwise(lambda w, fn: fn.absolute(w), layer_above.weights)
    return ar.matmul(delta_above, sizes)


def _updated_weights_below(case: Case) -> Rules:
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


def _derivative_of_layer_above(case: Case) -> Rules:
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


def _weight_gradient_transposed(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    right = RULES.weight_gradient(delta, inputs, ar)
    return ar.transpose(right) if _square(right, ar) else right


def _weight_gradient_scaled(factor: Callable[[Matrix, Matrix, Arithmetic], float]) -> Callable[..., Matrix]:
    return lambda d, a, ar: _divided(RULES.weight_gradient(d, a, ar), factor(d, a, ar), ar)


def _last_sample_weights(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    last = _batch(delta, ar) - 1
    return RULES.weight_gradient(_picked([last], delta, ar), _picked([last], inputs, ar), ar)


def _shifted_samples(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    """The deltas of one sample with the activations of the next."""
    batch = _batch(delta, ar)
    return RULES.weight_gradient(delta, _picked([(i + 1) % batch for i in range(batch)], inputs, ar), ar)


def _one_element(factor: float) -> Callable[..., Matrix]:
    def rule(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.weight_gradient(delta, inputs, ar)
        rows, columns = ar.shape(right)
        factors = [[factor if (i, j) == (0, 0) else 1.0 for j in range(columns)] for i in range(rows)]
        return ar.elementwise(lambda g, f, fn: g * f, right, ar.lift(factors))

    return rule


def _layer_left_out(which: Callable[[Case], set[int]]) -> Callable[[Case], Rules]:
    """Some layers' gradients are zero: detached, frozen, or never reached by the loop."""

    def rules(case: Case) -> Rules:
        weights, biases = iter(_layers_called(case, "weight_gradient")), iter(_layers_called(case, "bias_gradient"))
        left_out = which(case)

        def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
            right = RULES.weight_gradient(delta, inputs, ar)
            return _zeros(right, ar) if next(weights) in left_out else right

        def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
            right = RULES.bias_gradient(delta, ar)
            return _zeros(right, ar) if next(biases) in left_out else right

        return replace(RULES, weight_gradient=weight_gradient, bias_gradient=bias_gradient)

    return rules


def _own_activations(case: Case) -> Rules:
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


def _pre_activations_for_activations(case: Case) -> Rules:
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


def _scaled_bias(factor: float) -> Callable[..., Matrix]:
    return lambda delta, ar: _scaled(RULES.bias_gradient(delta, ar), factor, ar)


def _mean_bias(delta: Matrix, ar: Arithmetic) -> Matrix:
    return _divided(RULES.bias_gradient(delta, ar), _batch(delta, ar), ar)


def _sample_bias(row: int) -> Callable[..., Matrix]:
    return lambda delta, ar: _picked([row % _batch(delta, ar)], delta, ar)


def _bias_over_units(delta: Matrix, ar: Arithmetic) -> Matrix:
    """Summed over both axes, every bias gets the same number."""
    _, units = ar.shape(delta)
    return ar.matmul(RULES.bias_gradient(delta, ar), ar.ones(units, units))


def _bias_gradient_reversed(delta: Matrix, ar: Arithmetic) -> Matrix:
    _, units = ar.shape(delta)
    reverse = [[1.0 if i + j == units - 1 else 0.0 for j in range(units)] for i in range(units)]
    return ar.matmul(RULES.bias_gradient(delta, ar), ar.lift(reverse))


def _with_weight_decay(decay: float) -> Callable[[Case], Rules]:
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


def _clipped_gradient(limit: float) -> Callable[..., Matrix]:
    def rule(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.weight_gradient(delta, inputs, ar)
        return ar.elementwise(lambda g, fn: fn.minimum(fn.maximum(g, -limit), limit), right)

    return rule


# --------------------------------------------------------------------------------------------- forward


def _no_bias(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    return ar.weighted_sums(inputs, layer.weights, None)


def _bias_twice(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if layer.biases is None:
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, biases=_scaled(layer.biases, 2, ar)), inputs, ar)


def _bias_subtracted(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if layer.biases is None:
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, biases=_scaled(layer.biases, -1, ar)), inputs, ar)


def _forward_transposed(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    if not _square(layer.weights, ar):
        return RULES.preactivation(layer, inputs, ar)
    return RULES.preactivation(replace(layer, weights=ar.transpose(layer.weights)), inputs, ar)


def _limited(limit: float) -> Callable[..., Matrix]:
    """z clamped to ±limit before the activation; the backward pass knows nothing of it."""

    def rule(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        inside = ar.elementwise(lambda x, fn: fn.minimum(fn.maximum(x, -limit), limit), z)
        return RULES.activation(layer, inside, ar)

    return rule


def _activated_by(value: Callable[[Number, Functions], Number], name: str) -> Callable[..., Matrix]:
    """An approximation in place of one activation function."""

    def rule(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name != name:
            return RULES.activation(layer, z, ar)
        return ar.elementwise(value, z)

    return rule


def _no_activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    return z


def _activation_twice(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    return RULES.activation(layer, RULES.activation(layer, z, ar), ar)


def _dropout(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    """Every second unit dropped, the others doubled."""
    a = RULES.activation(layer, z, ar)
    batch, units = ar.shape(a)
    if units < 2:
        return a
    return ar.elementwise(lambda a, m, fn: a * m, a, ar.lift([[2.0 if j % 2 else 0.0 for j in range(units)]] * batch))


# --------------------------------------------------------------------------------------------- the update


def _update_scaled(factor: float) -> Callable[..., Matrix]:
    return lambda old, gradient, rate, ar: RULES.update(old, gradient, rate * factor, ar)


def _update_plus(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda w, g, fn: w + g * learning_rate, old, gradient)


def _no_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return old


def _gradient_becomes_weight(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda g, fn: g * (-learning_rate), gradient)


def _sign_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """Only the sign of the gradient: old − rate · sign."""
    return ar.elementwise(lambda w, g, fn: w - (fn.step(g) - fn.step(-g)) * learning_rate, old, gradient)


def _update_step(case: Case) -> Rules:
    """Biases are never updated: the loop covers the weights."""
    kinds = iter([kind for layer in case.layers for kind in ("w", "b") if kind == "w" or layer.biases is not None])

    def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        return old if next(kinds) == "b" else RULES.update(old, gradient, learning_rate, ar)

    return replace(RULES, update=update)


def _decayed_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """Weight decay of 0.01 left on in the optimizer."""
    return ar.elementwise(lambda w, g, fn: w - (g + fn.constant(0.01) * w) * learning_rate, old, gradient)


def _momentum_update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """The second step of momentum 0.9 with the same gradient: a velocity of 1.9 gradients."""
    return ar.elementwise(lambda w, g, fn: w - g * fn.constant(1.9) * learning_rate, old, gradient)


def _hard_sigmoid(z: Number, fn: Functions) -> Number:
    return fn.minimum(fn.maximum(z / 4 + 0.5, 0), 1)


def _rational_sigmoid(z: Number, fn: Functions) -> Number:
    return (z / (1 + fn.absolute(z)) + 1) / 2


def _rational_tanh(z: Number, fn: Functions) -> Number:
    return z * (27 + z * z) / (27 + 9 * (z * z))


def _another_leak(slope: float) -> Callable[..., Number]:
    return lambda z, a, fn: fn.step(z) + fn.constant(slope) * (1 - fn.step(z))


def _leaky(delta_slope: float) -> Delta:
    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name != "leaky_relu":
            return RULES.hidden_delta(layer, z, a, error, ar)
        return _times_slope(error, _another_leak(delta_slope), z, a, ar)

    return delta


def _always_one_for_relu(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    return error if layer.activation.name == "relu" else RULES.hidden_delta(layer, z, a, error, ar)


def _for(names: tuple[str, ...], slope: Callable[..., Number]) -> Delta:
    """A wrong derivative for layers with some activations only."""

    def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        if layer.activation.name not in names:
            return RULES.output_delta(layer, z, a, error, ar)
        return _times_slope(error, slope, z, a, ar)

    return delta


def _one_minus_a(z: Number, a: Number, fn: Functions) -> Number:
    return 1 - a


def _one_minus_a_squared_wrong(z: Number, a: Number, fn: Functions) -> Number:
    return 1 - a


def _a_alone(z: Number, a: Number, fn: Functions) -> Number:
    return a


def _one_plus_a_squared(z: Number, a: Number, fn: Functions) -> Number:
    return 1 + a * a


NIELSEN = "Nielsen, Neural Networks and Deep Learning (2015), ch. 2"
CS231N = "CS231n notes, Neural networks part 3, gradient checks"

_ENTRIES: tuple[tuple[str, str, str, Callable[[Case], Rules], str | None], ...] = (
    # deltas
    ("hidden-delta-without-derivative", "leaves the activation's derivative out of the hidden delta", "δ = Wᵀδ, without ⊙ f′(z)", _with(hidden_delta=_no_derivative), NIELSEN + ", BP2"),
    ("output-delta-without-derivative", "leaves the activation's derivative out of the output delta", "δ = o − t, as for cross-entropy, with squared error", _with(output_delta=_no_derivative), NIELSEN + ", BP1 and ch. 3"),
    ("no-derivatives", "leaves every activation's derivative out", "the chain rule without ∂o/∂net", _with(hidden_delta=_no_derivative, output_delta=_no_derivative), None),
    ("hidden-derivative-twice", "multiplies by the hidden activation's derivative twice", "f′ in the delta and once more in the gradient", _with(hidden_delta=_derivative_twice), None),
    ("output-derivative-twice", "multiplies by the output activation's derivative twice", "the loss's derivative has f′ in it already", _with(output_delta=_derivative_twice), None),
    ("hidden-derivative-formula-of-z", "puts z where the hidden derivative's formula wants a: z(1 − z) for a(1 − a)", "a function that expects the activation gets the net input", _with(hidden_delta=_formula_of_z), None),
    ("output-derivative-formula-of-z", "puts z where the output derivative's formula wants a", "a function that expects the activation gets the net input", _with(output_delta=_formula_of_z), None),
    ("hidden-derivative-at-a", "takes the hidden derivative at a instead of z: f′(f(z))", "sigmoid_prime(a), where sigmoid_prime applies the sigmoid itself", _with(hidden_delta=_derivative_at_a), None),
    ("output-derivative-at-a", "takes the output derivative at a instead of z", "sigmoid_prime(a), where sigmoid_prime applies the sigmoid itself", _with(output_delta=_derivative_at_a), None),
    ("derivatives-at-a", "takes every derivative at a instead of z", "sigmoid_prime(a), where sigmoid_prime applies the sigmoid itself", _with(hidden_delta=_derivative_at_a, output_delta=_derivative_at_a), None),
    ("hidden-sigmoid-derivative", "uses the sigmoid's derivative a(1 − a) in hidden layers, whatever their activation", "the activation was changed, its derivative was not", _with(hidden_delta=_derivative_of(_sigmoid_slope)), None),
    ("hidden-tanh-derivative", "uses tanh's derivative 1 − a² in hidden layers, whatever their activation", "the activation was changed, its derivative was not", _with(hidden_delta=_derivative_of(_tanh_slope)), None),
    ("output-sigmoid-derivative", "uses the sigmoid's derivative a(1 − a) at the output, whatever its activation", "the output was made linear, its derivative was not", _with(output_delta=_derivative_of(_sigmoid_slope)), None),
    ("output-tanh-derivative", "uses tanh's derivative 1 − a² at the output, whatever its activation", "the output's activation was changed, its derivative was not", _with(output_delta=_derivative_of(_tanh_slope)), None),
    ("derivative-is-one-minus-a", "uses 1 − a for the hidden derivative", "half of a(1 − a), or a missing square in 1 − a²", _with(hidden_delta=_for(("sigmoid", "tanh"), _one_minus_a)), None),
    ("derivative-is-a", "uses a itself for the hidden derivative", "the other half of a(1 − a)", _with(hidden_delta=_activation_for_derivative), None),
    ("tanh-derivative-plus", "uses 1 + a² for tanh's derivative", "a sign in 1 − a²", _with(hidden_delta=_for(("tanh",), _one_plus_a_squared)), None),
    ("relu-derivative-always-one", "uses slope 1 for ReLU on both sides of 0", "the mask is forgotten", _with(hidden_delta=_always_one_for_relu), None),
    ("leaky-slope-0.1", "uses slope 0.1 below zero in the backward pass", "another default for the leak", _with(hidden_delta=_leaky(0.1)), None),
    ("leaky-slope-0.2", "uses slope 0.2 below zero in the backward pass", "another default for the leak", _with(hidden_delta=_leaky(0.2)), None),
    ("leaky-slope-0", "uses slope 0 below zero in the backward pass", "ReLU's derivative for leaky ReLU", _with(hidden_delta=_leaky(0.0)), None),
    ("hidden-delta-halved", "halves the hidden delta", "a ½ of the loss applied once more", _with(hidden_delta=_kink_counted_as_above), None),
    ("hidden-delta-negative", "has the wrong sign in the hidden delta", "a minus of t − o carried along once too often", _with(hidden_delta=_negative_delta), None),
    ("output-delta-negative", "has the wrong sign in the output delta", "t − o with a descending update", _with(output_delta=_negative_delta), CS231N),
    ("softmax-diagonal-only", "keeps only the diagonal s(1 − s) of softmax's Jacobian", "softmax is treated like a sigmoid", _with(output_delta=_diagonal_softmax), None),
    ("softmax-without-jacobian", "leaves softmax's Jacobian out", "the delta of cross-entropy's inside is taken for that of softmax", _with(output_delta=_no_softmax_jacobian), None),
    ("softmax-jacobian-twice", "applies softmax's Jacobian twice", "o − t is the delta already, and goes through the Jacobian again", _with(output_delta=_softmax_jacobian_twice), None),
    ("derivative-of-layer-above", "takes the derivative of the layer above", "an index that is off by one", _derivative_of_layer_above, None),
    # ∂E/∂output
    ("output-error-doubled", "has twice the loss's derivative", "the ½ of half the squared error is left out", _with(output_error=_output_error_scaled(2.0)), None),
    ("output-error-halved", "has half the loss's derivative", "a ½ that the loss does not have", _with(output_error=_output_error_scaled(0.5)), None),
    ("squared-difference-as-error", "uses (o − t)² where its derivative belongs", "the loss itself is propagated back", _with(output_error=_by_difference(lambda o, t, fn: (o - t) * (o - t))), None),
    ("absolute-difference-as-error", "uses |o − t|: the sign is lost", "the error as people report it is propagated back", _with(output_error=_by_difference(lambda o, t, fn: fn.absolute(o - t))), None),
    ("output-alone-as-error", "propagates the output itself back", "the target is forgotten", _with(output_error=_by_difference(lambda o, t, fn: o)), None),
    ("sum-of-output-and-target", "propagates o + t back", "a sign in o − t", _with(output_error=_by_difference(lambda o, t, fn: o + t)), None),
    ("difference-for-any-loss", "uses o − t for ∂E/∂o, whatever the loss", "the loss was changed, its derivative was not", _with(output_error=_by_difference(lambda o, t, fn: o - t)), None),
    ("mean-without-1/n", "does not divide by the number of samples", "a loss is averaged, its gradient is not", _with(output_error=_without_reduction), None),
    ("1/n-once-more", "divides by the number of samples once too often", "both the loss and the update average", _with(output_error=_one_over_n_once_more), None),
    ("mean-over-outputs", "divides by the number of output units as well", "a mean over the whole array of errors", _with(output_error=_mean_over_outputs), None),
    ("targets-broadcast", "subtracts every target from every output: (n,) against (n, 1)", "NumPy broadcasts a column against a row to n × n", _with(output_error=_everything_broadcast), "PyTorch's warning: Using a target size that is different to the input size"),
    ("first-sample-only", "uses the first sample alone", "x[0] where x was meant", _with(output_error=_only_sample(0)), None),
    ("last-sample-only", "uses the last sample alone", "the loop overwrites instead of adding up", _with(output_error=_only_sample(-1)), None),
    ("last-sample-dropped", "leaves the last sample out", "range(n − 1), or an incomplete last batch", _with(output_error=_without_last_sample), None),
    ("targets-of-the-next-sample", "compares each output with the next sample's target", "inputs were shuffled, targets were not", _with(output_error=_targets_shifted), None),
    ("first-output-only", "propagates the first output unit's error alone", "a scalar where a vector was meant", _with(output_error=_only_output(0)), None),
    ("probabilities-clipped", "clips probabilities to [0.1, 0.9] in the loss's derivative", "a guard against log(0) that is too wide", _with(output_error=_clipped), None),
    ("log-shifted", "adds 1e-7 to the outputs inside the loss's derivative", "log(o + ε) as a guard against log(0)", _with(output_error=_shifted_log), "Keras's epsilon of 1e-7"),
    # ∂E/∂a
    ("weights-not-transposed", "uses the weights the wrong way round on the way back, where they are square", "W for Wᵀ", _with(hidden_error=_transposed_weights), NIELSEN + ", BP2"),
    ("mean-over-units-above", "averages over the units above instead of adding up", "mean() for sum()", _with(hidden_error=_mean_over_units_above), None),
    ("weights-left-out", "adds the deltas above up without their weights", "Σ δ for Σ wδ", _with(hidden_error=_sum_of_deltas), None),
    ("first-unit-above-only", "takes its error from the first unit above alone", "a scalar where a vector was meant", _with(hidden_error=_first_unit_above), None),
    ("absolute-weights", "uses |w| on the way back", "a share of the error, in proportion to the size of the weight", _with(hidden_error=_absolute_weights), "Rashid, Make Your Own Neural Network (2016), splitting errors by weights"),
    ("updated-weights-below", "uses weights that are updated already for the deltas below", "update and delta in one loop", _updated_weights_below, None),
    # gradients
    ("weight-gradient-transposed", "transposes the weight gradient, where it is square", "aᵀδ for δᵀa", _with(weight_gradient=_weight_gradient_transposed), None),
    ("weight-gradient-over-units", "divides the weight gradient by the number of units", "mean() over the wrong axis", _with(weight_gradient=_weight_gradient_scaled(lambda d, a, ar: ar.shape(d)[1])), None),
    ("weight-gradient-over-samples", "divides the weight gradient by the number of samples, but not the bias gradient", "1/n in one line of two", _with(weight_gradient=_weight_gradient_scaled(lambda d, a, ar: ar.shape(d)[0])), None),
    ("weight-gradient-last-sample", "keeps the last sample's weight gradient", "= for +=", _with(weight_gradient=_last_sample_weights), None),
    ("samples-shifted", "pairs each delta with the next sample's activations", "stale activations: the forward pass has moved on", _with(weight_gradient=_shifted_samples), None),
    ("one-element-zero", "leaves one element of each weight gradient at zero", "a loop that starts at 1", _with(weight_gradient=_one_element(0.0)), None),
    ("one-element-negative", "has the wrong sign in one element of each weight gradient", "an index used twice", _with(weight_gradient=_one_element(-1.0)), None),
    ("first-layer-left-out", "leaves the first layer's gradient at zero", "the loop over layers stops at 1", _layer_left_out(lambda case: {0}), None),
    ("last-layer-left-out", "leaves the last layer's gradient at zero", "the loop over layers starts one too low", _layer_left_out(lambda case: {len(case.layers) - 1}), None),
    ("only-last-layer", "has a gradient in the last layer alone", "a detach(), or an error that is not propagated", _layer_left_out(lambda case: set(range(len(case.layers) - 1))), None),
    ("own-activations", "uses a layer's own activations for its weight gradient, where shapes allow it", "an index that is off by one", _own_activations, None),
    ("pre-activations-for-activations", "uses z of the layer below for the weight gradient", "the list of z for the list of a", _pre_activations_for_activations, None),
    ("bias-gradient-zero", "has no bias gradient", "biases are forgotten in the backward pass", _with(bias_gradient=_scaled_bias(0.0)), None),
    ("bias-gradient-negative", "has the wrong sign in the bias gradient", "a bias taken for a threshold", _with(bias_gradient=_scaled_bias(-1.0)), None),
    ("bias-gradient-mean", "averages the bias gradient over the samples", "mean() for sum()", _with(bias_gradient=_mean_bias), None),
    ("bias-gradient-last-sample", "keeps the last sample's bias gradient", "= for +=", _with(bias_gradient=_sample_bias(-1)), None),
    ("bias-gradient-first-sample", "keeps the first sample's bias gradient", "δ[0] for the sum over samples", _with(bias_gradient=_sample_bias(0)), None),
    ("bias-gradient-over-units", "adds the bias gradient up over units too, so that all are equal", "sum() without an axis", _with(bias_gradient=_bias_over_units), None),
    ("bias-gradient-reversed", "has the bias gradient in reverse order", "layers or units enumerated backwards", _with(bias_gradient=_bias_gradient_reversed), None),
    ("weight-decay-0.01", "adds 0.01 · w to the gradient", "weight decay left on", _with_weight_decay(0.01), CS231N),
    ("weight-decay-0.0001", "adds 0.0001 · w to the gradient", "weight decay left on", _with_weight_decay(1e-4), CS231N),
    ("gradient-clipped-0.1", "clips weight gradients to ±0.1", "gradient clipping left on", _with(weight_gradient=_clipped_gradient(0.125)), None),
    # forward
    ("bias-not-added", "does not add the bias in the forward pass", "biases are forgotten in the forward pass", _with(preactivation=_no_bias), None),
    ("bias-added-twice", "adds the bias twice", "a bias column and a bias", _with(preactivation=_bias_twice), None),
    ("bias-subtracted", "subtracts the bias", "a bias taken for a threshold", _with(preactivation=_bias_subtracted), None),
    ("forward-transposed", "multiplies by the transposed weights, where they are square", "inputs × units for units × inputs", _with(preactivation=_forward_transposed), None),
    ("pre-activations-clamped", "clamps z to ±0.5 before the activation", "a guard against overflow that is too narrow", _with(activation=_limited(0.5)), None),
    ("activation-left-out", "leaves the activation function out of the forward pass", "z is handed on for a", _with(activation=_no_activation), None),
    ("activation-twice", "applies the activation function twice", "in the layer, and once more in the loop", _with(activation=_activation_twice), None),
    ("hard-sigmoid", "approximates the sigmoid by a clipped line", "a fast sigmoid", _with(activation=_activated_by(_hard_sigmoid, "sigmoid")), None),
    ("rational-sigmoid", "approximates the sigmoid by (1 + z/(1 + |z|))/2", "a fast sigmoid", _with(activation=_activated_by(_rational_sigmoid, "sigmoid")), None),
    ("rational-tanh", "approximates tanh by z(27 + z²)/(27 + 9z²)", "a fast tanh", _with(activation=_activated_by(_rational_tanh, "tanh")), None),
    ("dropout-left-on", "drops every second unit and doubles the others", "training mode while checking", _with(activation=_dropout), CS231N),
    # the update
    ("update-uphill", "adds the gradient instead of subtracting it", "a sign", _with(update=_update_plus), None),
    ("no-update", "does not move the weights", "a copy is updated", _with(update=_no_update), None),
    ("biases-not-updated", "does not move the biases", "the loop covers the weights", _update_step, None),
    ("rate-doubled", "moves by twice the learning rate", "a 2 of the loss in the rate", _with(update=_update_scaled(2.0)), None),
    ("rate-halved", "moves by half the learning rate", "a ½ of the loss in the rate", _with(update=_update_scaled(0.5)), None),
    ("step-replaces-weight", "replaces the weight by the step", "= for −=", _with(update=_gradient_becomes_weight), None),
    ("sign-of-gradient", "moves by the sign of the gradient", "Rprop's rule", _with(update=_sign_update), None),
    ("momentum-left-on", "moves by 1.9 gradients: momentum 0.9 in its second step", "momentum left on, or state kept between calls", _with(update=_momentum_update), None),
    ("decay-in-optimizer", "adds 0.01 · w to the gradient in the update", "weight decay left on in the optimizer", _with(update=_decayed_update), None),
)  # fmt: skip

FAULTS = tuple(Fault(*entry) for entry in _ENTRIES)
