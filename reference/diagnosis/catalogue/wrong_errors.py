"""Wrong rules for ∂E/∂output, and outputs that a loss does not expect: see `wrong_rules.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ...activations import ACTIVATIONS, SOFTMAX
from ...backprop import RULES, Layer, Objective, Rules
from ...case import Case
from ...losses import LOSSES
from ...numbers import Arithmetic, Functions, Matrix, Number
from .wrong_rules import divided, layers_called, picked, samples, scaled


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
