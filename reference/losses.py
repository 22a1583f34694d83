"""Loss functions: the terms whose sum is E, and ∂E/∂output beside them.

The chapter minimises a loss J(W) that it does not name; we take half the squared error unless a case says otherwise.
Losses "from logits" take the outputs of an identity layer and apply sigmoid or softmax inside, where it is stable.
Others, such as Huber's, are in `more_losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .activations import ACTIVATIONS, SOFTMAX, softplus_slope
from .numbers import Arithmetic, Functions, Matrix, Number


@dataclass(frozen=True)
class Loss:
    """E = Σ terms(outputs, targets), and its derivative; all matrices are batch × outputs.

    output_activation: the activation that the output layer must have for the loss to make sense, or None for any.
    targets: what the targets must be, as the error message words it, or None for any numbers.
    """

    name: str
    terms: Callable[[Matrix, Matrix, Arithmetic], Matrix]
    derivative: Callable[[Matrix, Matrix, Arithmetic], Matrix]
    output_activation: str | None = None
    targets: str | None = None


BETWEEN_0_AND_1 = "numbers from 0 to 1"
DISTRIBUTION = "rows of numbers from 0 to 1 that add up to exactly 1"


def elementwise(
    formula: Callable[[Number, Number, Functions], Number],
) -> Callable[[Matrix, Matrix, Arithmetic], Matrix]:
    """Terms, or a derivative, of a formula for one output and its target."""
    return lambda outputs, targets, ar: ar.elementwise(formula, outputs, targets)


def _half_squared_derivative(o: Number, t: Number, fn: Functions) -> Number:
    """o − t; automatic differentiation of (o − t)² / 2 passes through 2(o − t)."""
    return fn.by_way_of(o - t, 2 * (o - t))


def _binary_terms(o: Number, t: Number, fn: Functions) -> Number:
    return -(t * fn.log(o) + (1 - t) * fn.log(1 - o))


def _binary_derivative(o: Number, t: Number, fn: Functions) -> Number:
    return fn.either((o - t) / (o * (1 - o)), (1 - t) / (1 - o) - t / o)


def _binary_logit_terms(z: Number, t: Number, fn: Functions) -> Number:
    """softplus(z) − t·z, also as (1 − t)·z + softplus(−z): the second cancels for z ≪ 0 and is in use all the same."""
    tail = fn.log1p(fn.exp(-fn.absolute(z)))  # softplus without its linear part
    return fn.either(fn.maximum(z, 0) - t * z + tail, (1 - t) * z + (fn.maximum(-z, 0) + tail))


def _binary_logit_derivative(z: Number, t: Number, fn: Functions) -> Number:
    """σ(z) − t, also as (1 − t)·softplus′(z) − t·softplus′(−z): the derivative of the terms written with log σ(±z)."""
    sigmoid = ACTIVATIONS["sigmoid"].value
    return fn.either(sigmoid(z, fn) - t, (1 - t) * softplus_slope(z, fn) - t * softplus_slope(-z, fn))


def _softmax_logit_terms(z: Matrix, t: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda log_p, t, fn: -(t * log_p), ar.log_softmax(z), t)


def _softmax_logit_derivative(z: Matrix, t: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda p, t, fn: p - t, ar.softmax(z), t)


LOSSES = {
    entry.name: entry
    for entry in (
        Loss(
            "half_squared_error",
            elementwise(lambda o, t, fn: (o - t) * (o - t) / 2),
            elementwise(_half_squared_derivative),
        ),
        Loss(
            "squared_error",
            elementwise(lambda o, t, fn: (o - t) * (o - t)),
            elementwise(lambda o, t, fn: 2 * (o - t)),
        ),
        Loss(
            "binary_cross_entropy",
            elementwise(_binary_terms),
            elementwise(_binary_derivative),
            output_activation="sigmoid",
            targets=BETWEEN_0_AND_1,
        ),
        Loss(
            "binary_cross_entropy_from_logits",
            elementwise(_binary_logit_terms),
            elementwise(_binary_logit_derivative),
            output_activation="identity",
            targets=BETWEEN_0_AND_1,
        ),
        Loss(
            "softmax_cross_entropy",
            elementwise(lambda o, t, fn: -(t * fn.log(o))),
            elementwise(lambda o, t, fn: -(t / o)),
            output_activation=SOFTMAX.name,
            targets=DISTRIBUTION,
        ),
        Loss(
            "softmax_cross_entropy_from_logits",
            _softmax_logit_terms,
            _softmax_logit_derivative,
            output_activation="identity",
            targets=DISTRIBUTION,
        ),
    )
}
