"""Backpropagation: the forward pass, the backward pass and the delta rule. Nothing here but the chain rule.

A network turns inputs into outputs layer by layer. Every unit is a function of the units before it,

    output = act(w₃ · act(w₂ · act(w₁ · input))),

so the error E at the end is a function of every weight, and the chain rule gives its derivative as a product of local
factors, one for each step between that weight and the error:

    ∂E/∂wᵢⱼ  =  ∂E/∂oⱼ · ∂oⱼ/∂netⱼ · ∂netⱼ/∂wᵢⱼ

Forward computes the steps, backward the factors from the error down; the delta rule then moves each weight against its
derivative. Each step is a small function with the field's name, a *rule*; `RULES` is the right set of them, and a wrong
backpropagation is that set with one rule replaced.

The rules never look at a number. An `Arithmetic` does the sums: on floats, on values with error bounds, on balls.

Shapes: rows are samples. inputs: batch × inputs; weights: units × inputs, a row per unit; z (the chapter's net), a
(activation) and δ = ∂E/∂z (delta): batch × units; biases: 1 × units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .activations import SOFTMAX, Activation, activate, softmax_delta
from .losses import Loss
from .numbers import Arithmetic, Matrix


@dataclass(frozen=True)
class Layer:
    """weights: units × inputs;  biases: 1 × units, or None: this layer has none."""

    weights: Matrix
    biases: Matrix | None
    activation: Activation


@dataclass(frozen=True)
class Objective:
    """What is minimised: a loss, summed or averaged ("mean": divided by the number of samples) over the batch."""

    loss: Loss
    reduction: str = "sum"


# ------------------------------------------------------------------------------------- phase 1: the rules of forward


def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
    """z = inputs · Wᵀ + b: each unit's weighted sum of what it receives. batch × units."""
    return ar.weighted_sums(inputs, layer.weights, layer.biases)


def activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
    """a = f(z). batch × units."""
    return activate(layer.activation, z, ar)


def error(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """E, the number that learning makes small. 1 × 1."""
    total = ar.total(objective.loss.terms(outputs, targets, ar))
    return _reduced(objective, total, outputs, ar)


# ------------------------------------------------------------------------------------ phase 2: the rules of backward


def output_error(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂o, how the error changes with each output: the first factor of the chain. batch × outputs."""
    return _reduced(objective, objective.loss.derivative(outputs, targets, ar), outputs, ar)


def output_delta(layer: Layer, z: Matrix, outputs: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """δ = ∂E/∂o · ∂o/∂z at the output layer. batch × outputs.

    Source: Rumelhart, Hinton & Williams, Nature 323 (1986), eqs. 4 and 5; Nielsen, Neural Networks and Deep
    Learning (2015), ch. 2, BP1.
    """
    if layer.activation is SOFTMAX:
        return softmax_delta(error, outputs, ar)
    slope = layer.activation.derivative
    return ar.elementwise(lambda e, z, a, fn: e * slope(z, a, fn), error, z, outputs)


def hidden_error(layer_above: Layer, delta_above: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂a of a hidden layer: each unit answers for its share in every delta above it. batch × units.

    Source: Rumelhart, Hinton & Williams (1986), eq. 7.
    """
    return ar.matmul(delta_above, layer_above.weights)


def hidden_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
    """δ = ∂E/∂a ⊙ f′(z) at a hidden layer. batch × units.

    Source: Nielsen, ch. 2, BP2.
    """
    slope = layer.activation.derivative
    return ar.elementwise(lambda e, z, a, fn: e * slope(z, a, fn), error, z, a)


def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂W of one layer: the outer product of deltas and inputs, summed over the batch. units × inputs.

    Source: the chapter's ∂net_j/∂w_ij = o_i; Nielsen, ch. 2, BP4.

    Args:
        delta: batch × units
        inputs: batch × inputs, the activations that the layer received.
    """
    return ar.matmul(ar.transpose(delta), inputs)


def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂b of one layer: a bias is the weight of a constant input 1. 1 × units.

    Source: Nielsen, ch. 2, BP3.
    """
    return ar.column_sums(delta)


# --------------------------------------------------------------------------------------- the delta rule


def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
    """new weight = old weight − derivative × learning rate. The shape of `old`.

    A positive derivative lowers the weight, a negative one raises it, a zero one leaves it.
    """
    return ar.elementwise(lambda w, g, fn: w - g * learning_rate, old, gradient)


# --------------------------------------------------------------------------------------- the algorithm


@dataclass(frozen=True)
class Rules:
    """The algorithm's parts. A fault is `dataclasses.replace(RULES, hidden_delta=…)`."""

    preactivation: Callable[[Layer, Matrix, Arithmetic], Matrix] = preactivation
    activation: Callable[[Layer, Matrix, Arithmetic], Matrix] = activation
    error: Callable[[Objective, Matrix, Matrix, Arithmetic], Matrix] = error
    output_error: Callable[[Objective, Matrix, Matrix, Arithmetic], Matrix] = output_error
    output_delta: Callable[[Layer, Matrix, Matrix, Matrix, Arithmetic], Matrix] = output_delta
    hidden_error: Callable[[Layer, Matrix, Arithmetic], Matrix] = hidden_error
    hidden_delta: Callable[[Layer, Matrix, Matrix, Matrix, Arithmetic], Matrix] = hidden_delta
    weight_gradient: Callable[[Matrix, Matrix, Arithmetic], Matrix] = weight_gradient
    bias_gradient: Callable[[Matrix, Arithmetic], Matrix] = bias_gradient
    update: Callable[[Matrix, Matrix, float, Arithmetic], Matrix] = update


RULES = Rules()


@dataclass(frozen=True)
class Forward:
    """Phase 1: z and a of every layer, first layer first. The last `activations` are the outputs."""

    pre_activations: tuple[Matrix, ...]
    activations: tuple[Matrix, ...]

    @property
    def outputs(self) -> Matrix:
        return self.activations[-1]


@dataclass(frozen=True)
class Backward:
    """Phase 2: E, and for every layer δ, ∂E/∂W and ∂E/∂b (None where the layer has no biases), first layer first."""

    loss: Matrix
    deltas: tuple[Matrix, ...]
    weight_gradients: tuple[Matrix, ...]
    bias_gradients: tuple[Matrix | None, ...]


def forward(layers: Sequence[Layer], inputs: Matrix, ar: Arithmetic, rules: Rules = RULES) -> Forward:
    """Phase 1. Dot products, then activations, layer after layer.

    Args:
        layers: first to last
        inputs: batch × inputs.
    """
    pre_activations, activations = [], []
    received = inputs
    for layer in layers:
        z = rules.preactivation(layer, received, ar)
        received = rules.activation(layer, z, ar)
        pre_activations.append(z)
        activations.append(received)
    return Forward(tuple(pre_activations), tuple(activations))


def backward(
    layers: Sequence[Layer],
    inputs: Matrix,
    targets: Matrix,
    passed: Forward,
    objective: Objective,
    ar: Arithmetic,
    rules: Rules = RULES,
) -> Backward:
    """Phase 2. From the error down to the first layer, one more factor of the chain at each step.

    Args:
        inputs: batch × inputs
        targets: batch × outputs
        passed: what `forward` returned for these inputs.
    """
    last = len(layers) - 1
    deltas: list[Matrix] = [None] * len(layers)

    output_error = rules.output_error(objective, passed.outputs, targets, ar)
    deltas[last] = rules.output_delta(layers[last], passed.pre_activations[last], passed.outputs, output_error, ar)
    for k in reversed(range(last)):
        error = rules.hidden_error(layers[k + 1], deltas[k + 1], ar)
        deltas[k] = rules.hidden_delta(layers[k], passed.pre_activations[k], passed.activations[k], error, ar)

    received = (inputs, *passed.activations[:-1])
    return Backward(
        loss=rules.error(objective, passed.outputs, targets, ar),
        deltas=tuple(deltas),
        weight_gradients=tuple(rules.weight_gradient(d, a, ar) for d, a in zip(deltas, received, strict=True)),
        bias_gradients=tuple(
            None if layer.biases is None else rules.bias_gradient(d, ar)
            for layer, d in zip(layers, deltas, strict=True)
        ),
    )


def delta_rule(
    layers: Sequence[Layer], gradients: Backward, learning_rate: float, ar: Arithmetic, rules: Rules = RULES
) -> tuple[Layer, ...]:
    """One step downhill: the layers with every weight and bias moved against its derivative."""
    return tuple(
        replace(
            layer,
            weights=rules.update(layer.weights, weight_gradient, learning_rate, ar),
            biases=None if layer.biases is None else rules.update(layer.biases, bias_gradient, learning_rate, ar),
        )
        for layer, weight_gradient, bias_gradient in zip(
            layers, gradients.weight_gradients, gradients.bias_gradients, strict=True
        )
    )


def _reduced(objective: Objective, matrix: Matrix, outputs: Matrix, ar: Arithmetic) -> Matrix:
    """`matrix` as it is for "sum", divided by the number of samples for "mean"."""
    if objective.reduction == "sum":
        return matrix
    batch, _ = ar.shape(outputs)
    return ar.elementwise(lambda x, fn: x / batch, matrix)
