"""Wrong functions of the kinds that are reported, by somebody who had not seen what the diagnosis can say."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from held_out_right import SIGMOID_SAID, SMALL, UP, linear, masked, said, scalar_autograd, torch_classifier
from public_mistakes import (
    RELU_SOFTMAX,
    RELU_SOFTMAX_SAID,
    TANH_LINEAR,
    TANH_LINEAR_SAID,
    TANH_MEAN,
    UPDATED,
    WITHOUT_LOSS,
    descent,
)
from written_networks import (
    IDENTITY,
    RELU,
    SIGMOID,
    SOFTMAX,
    TANH,
    Array,
    Curve,
    Network,
    Optimizer,
    changed,
    difference,
    elu,
    mean,
    penalised,
    sigmoid,
    softmax,
    stepped,
    swish,
    wrong,
)

# held out: wrong ------------------------------------------------------------------------------------------------------


def weights_from_nets(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    """∂E/∂W of the last layer from what the hidden units summed up, not from what they answered."""
    zs, acts = Network().forward(W, B, x)
    dW, dB = Network()(W, B, x, t)
    if len(W) > 1:
        dW[-1] = ((acts[-1] - t) * acts[-1] * (1 - acts[-1])).T @ zs[-2]
    return dW, dB


def error_sent_back(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    """Each layer's error is of the error above, before that was multiplied by a derivative."""
    _, acts = Network().forward(W, B, x)
    error = acts[-1] - t
    dW: list[Array] = []
    dB: list[Array] = []
    for k in reversed(range(len(W))):
        delta = error * acts[k + 1] * (1 - acts[k + 1])
        dW.insert(0, delta.T @ acts[k])
        dB.insert(0, delta.sum(axis=0))
        error = error @ W[k]
    return dW, dB


def updated_below(W: list[Array], B: list[Array], x: Array, t: Array, rate: float) -> Any:
    """From the outputs down, each layer moves before its weights are used for the one below."""
    _, acts = Network().forward(W, B, x)
    W, B = list(W), list(B)
    delta = (acts[-1] - t) * acts[-1] * (1 - acts[-1])
    for k in reversed(range(len(W))):
        W[k] = W[k] - rate * delta.T @ acts[k]
        B[k] = B[k] - rate * delta.sum(axis=0)
        delta = delta @ W[k] * acts[k] * (1 - acts[k])
    return W, B


def averaged_but_for_the_first(layer: int, delta: Array, below: Array) -> Array:
    return delta.T @ below / (len(delta) if layer else 1)


def first_unit_skipped(dW: list[Array], dB: list[Array]) -> None:
    dW[0][0], dB[0][0] = 0, 0


def an_element_off(dW: list[Array], dB: list[Array]) -> None:
    dW[0][0, 0] *= 1.01


def clipped(dW: list[Array], dB: list[Array]) -> None:
    for g in (*dW, *dB):
        np.clip(g, -5, 5, out=g)


def first_sample_lost(layer: int, delta: Array, below: Array) -> Array:
    return delta.T @ below if layer else delta[1:].T @ below[1:]


TABLE = sigmoid(np.linspace(-15, 15, 4096))


def looked_up(z: Array) -> Array:
    return TABLE[np.clip((z + 15) * (4095 / 30) + 0.5, 0, 4095).astype(int)]


def rational_tanh(z: Array) -> Array:
    return np.clip(z * (27 + z * z) / (27 + 9 * z * z), -1, 1)


def nesterov_with_a_plus(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    """Right is −μ times the velocity before, plus (1 + μ) times the one after."""
    before = state.get("v", 0)
    state["v"] = 0.9 * before - rate * g
    return p + 0.9 * before + 1.9 * state["v"]


def forgetful_momentum(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    """Its velocity begins anew in every step."""
    velocity = 0.9 * np.zeros_like(p) - rate * g
    return p + velocity


def uncorrected_adam(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g * g
    return p - rate * state["m"] / (np.sqrt(state["s"]) + 1e-8)


@dataclass
class NeverZeroed:
    """Adds to its gradients and never sets them to zero."""

    sums: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def __call__(self, W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
        sums = self.sums.setdefault(tuple(w.shape for w in W), [[np.zeros_like(p) for p in group] for group in (W, B)])
        for total, group in zip(sums, Network()(W, B, x, t), strict=True):
            for g, new in zip(total, group, strict=True):
                g += new  # noqa: PLW2901
        return copy.deepcopy(sums)


def biases_stay(W: list[Array], B: list[Array], x: Array, t: Array, rate: float) -> Any:
    return stepped(Network(), descent)(W, B, x, t, rate)[0], B


def float32_weights(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    return Network()([w.astype(np.float32).astype(float) for w in W], B, x, t)


def half_precision_activations(layer: int, delta: Array, below: Array) -> Array:
    return delta.T @ (below.astype(np.float16).astype(float) if layer else below)


def guided(w: Array, delta: Array, z: Array, a: Array) -> Array:
    above = delta @ w
    return above * (above > 0) * (z > 0)


TWICE = ("twice", "once more", "1/n", "number of samples")
HUBER_SAID = said("tanh", "huber")

HELD_OUT_WRONG = (
    wrong("weights-from-nets", weights_from_nets, "z instead", "instead of a", "before the activation", "net input",
          "pre-activation", "weighted sum", "z in place", **SIGMOID_SAID),
    wrong("square-of-one-minus-a", Network(Curve(sigmoid, lambda z, a: (1 - a) ** 2)), "(1 − a)²", "(1 - a)", **SIGMOID_SAID),
    wrong("slope-of-the-error", Network(error=lambda z, a, t: (a - t) * ((a - t) * (1 - (a - t)))), "e (1 − e)", "e(1 − e)",
          "e · (1 − e)", "of the error", "at the error", **SIGMOID_SAID),
    wrong("tanh-prime-of-a", linear(Curve(np.tanh, lambda z, a: 1 - np.tanh(a) ** 2)), "at a instead", "at a, not", "tanh(a)",
          "derivatives-at-a", "tanh′(a)", "twice", "f′(a)", **TANH_LINEAR_SAID),
    wrong("error-sent-back", error_sent_back, "raw error", "the error itself", "without the output", "without the derivative",
          "error, not", "error instead", "instead of the delta", "instead of δ", "not the delta", "not δ", "sent back", **SIGMOID_SAID),
    wrong("updated-weights-below", updated_below, "updated weights", "already updated", "updated already", "new weights", "after the update",
          **UP, **SIGMOID_SAID),
    wrong("no-average-in-the-first-layer", replace(Network(RELU, SOFTMAX, difference), weights=averaged_but_for_the_first,
          biases=lambda k, delta, below: delta.sum(axis=0) / len(delta)), "number of samples", "1/n", "averag", "batch size",
          "not divided", "summed over samples", **RELU_SOFTMAX_SAID),
    wrong("one-bias-for-all-units", replace(Network(), biases=lambda k, delta, below: np.full(delta.shape[1], delta.sum())),
          "all units", "over units", "shared", "one bias", "same bias", "sum over the units", **SIGMOID_SAID),
    wrong("first-unit-skipped", changed(Network(), first_unit_skipped), "zero", "skip", "unit 0", "unit 1", "first unit",
          **SIGMOID_SAID),
    wrong("an-element-off", changed(Network(), an_element_off), "1.01", "[0][0]", "[0, 0]", "one element", "1 of 12", "1 %",
          **SIGMOID_SAID),
    wrong("first-sample-lost-in-a-layer", replace(TANH_LINEAR, weights=first_sample_lost), "sample", **TANH_LINEAR_SAID),
    wrong("mask-missing-on-the-way-back", masked(back=False), "mask", "dropout", "dropped", **TANH_LINEAR_SAID),
    wrong("rational-tanh", linear(Curve(rational_tanh, TANH.slope)), "approximat", "not tanh", "rational", "outputs",
          "another activation", "forward", **TANH_LINEAR_SAID),
    wrong("sigmoid-from-a-table", Network(Curve(looked_up, SIGMOID.slope), Curve(looked_up, SIGMOID.slope)), "table", "approximat",
          "lookup", "look-up", "looked up", "outputs", "not sigmoid", source="genann (shared/field.md)", **SIGMOID_SAID),
    wrong("clipped-at-5", changed(TANH_LINEAR, clipped), "clip", "capped", "limited to", "±5", "± 5", "at most 5", **TANH_LINEAR_SAID),
    wrong("decay-twice", penalised(TANH_LINEAR, 0.2), "decay", "penalty", "twice", "0.1 · w", "0.2 · w", decay=0.1, **TANH_LINEAR_SAID),
    wrong("decay-with-a-minus", penalised(TANH_LINEAR, -0.1), "decay", "penalty", "sign", decay=0.1, **TANH_LINEAR_SAID),
    wrong("decay-of-the-biases-only", penalised(RELU_SOFTMAX, 0, 0.1), "decay", "penalty", "· b", decay=0.1, **RELU_SOFTMAX_SAID),
    wrong("nesterov-with-a-plus", Optimizer(nesterov_with_a_plus, TANH_MEAN), "velocity", "sign", "look-ahead", "lookahead",
          optimizer="nesterov(0.9)", **UPDATED),
    wrong("momentum-begins-anew", Optimizer(forgetful_momentum, TANH_MEAN), "carried", "state", "velocity", "plain", "without momentum",
          "sgd", optimizer="momentum(0.9)", **UPDATED),
    wrong("adam-without-bias-correction", Optimizer(uncorrected_adam, TANH_MEAN), "correction", optimizer="adam", **UPDATED),
    wrong("learning-rate-squared", stepped(TANH_MEAN, lambda p, g, rate: p - rate * rate * g), "rate squared", "squared rate", "rate²", "rate twice",
          "twice", "square of the", **UPDATED),
    wrong("ascent", stepped(TANH_MEAN, lambda p, g, rate: p + rate * g), "ascent", "sign", "adds", "added", "uphill", "minus the gradient", **UPDATED),
    wrong("biases-stay", biases_stay, "unchanged", "not updated", "never updated", "stay", "zero", "not moved", "as they were",
          **UP, **SIGMOID_SAID),
    wrong("last-use-of-a-node-only", scalar_autograd(only_the_last=True), "last", "overwr", "only one", "first", "one output",
          source="as in micrograd's early tutorials", **SMALL, **TANH_LINEAR_SAID),
    wrong("never-zeroed", NeverZeroed(), "accumul", "zeroed", "added up", "adds up", "state", "call before", **SIGMOID_SAID),
    wrong("softmax-diagonal-only", Network(TANH, SOFTMAX, lambda z, a, t: -t * (1 - a)), "diagonal",
          activations=["tanh", "softmax"], loss="softmax_cross_entropy"),
    wrong("softmax-twice-in-the-error", Network(TANH, SOFTMAX, mean(lambda z, a, t: softmax(a) - t)), "twice", "two softmax",
          "second softmax", "softmax of", "softmax again", activations=["tanh", "softmax"], **WITHOUT_LOSS),
    wrong("torch-softmax-before-cross-entropy", torch_classifier(softmax_first=True), "twice", "two softmax", "second softmax",
          "softmax of", "softmax before", "before a loss", "softmax again", needs="torch", dtype="float32",
          **said("relu", "softmax_cross_entropy_from_logits", reduction="mean")),
    wrong("transposed-on-square-layers", Network(through=lambda w, delta, z, a: delta @ w.T * a * (1 - a)), "transpos",
          sizes=(3, 3, 3), **SIGMOID_SAID),
    wrong("half-precision-operand", replace(Network(), weights=half_precision_activations), "float16", "half precision", **SIGMOID_SAID),
    wrong("float32-weights", float32_weights, "float32", "single precision", **SIGMOID_SAID),
    wrong("relu-prime-is-relu", linear(Curve(RELU.value, lambda z, a: a)), "instead of its derivative", "in place of its derivative",
          "the activation itself", "a itself", "z itself", "f(z)", "relu's derivative", "itself", **said("relu")),
    wrong("biases-averaged-weights-summed", replace(TANH_LINEAR, biases=lambda k, delta, below: delta.mean(axis=0)), "bias",
          **TANH_LINEAR_SAID, reduction="sum"),
    wrong("bias-gradient-of-the-first-sample", replace(TANH_LINEAR, biases=lambda k, delta, below: delta[0].copy()), "sample",
          **TANH_LINEAR_SAID),
    wrong("minus-below", replace(TANH_LINEAR, through=lambda w, delta, z, a: -delta @ w * (1 - a * a)), "sign", "minus", "negative",
          "−1", "opposite", **TANH_LINEAR_SAID),
    wrong("sigmoid-prime-for-tanh", linear(Curve(np.tanh, lambda z, a: a * (1 - a))), "sigmoid", "a (1 − a)", "a(1 − a)", "a · (1 − a)",
          **TANH_LINEAR_SAID),
    wrong("guided-backpropagation", Network(RELU, IDENTITY, difference, through=guided), "negative", "positive", "guided", "above zero",
          "below zero", **said("relu")),
    wrong("mean-twice", Network(RELU, SOFTMAX, mean(mean(difference))), *TWICE, **RELU_SOFTMAX_SAID),
    wrong("averaged-by-one-less", Network(RELU, SOFTMAX, lambda z, a, t: (a - t) / max(len(t) - 1, 1)), "n − 1", "one less", "n-1",
          "number of samples", "samples − 1", "minus one", **RELU_SOFTMAX_SAID),
    wrong("elu-prime-without-alpha", linear(Curve(elu(0.5).value, lambda z, a: np.where(z > 0, 1, a + 1))), "elu", "α", "alpha",
          "below zero", "derivative", **said("elu(0.5)")),
    wrong("swish-prime-without-product-rule", linear(Curve(swish(1).value, lambda z, a: sigmoid(z))), "derivative", "silu", "swish",
          **said("silu")),
    wrong("huber-not-clipped", linear(TANH), "huber", "half", "squared error", "clip", "beyond", "δ is", **HUBER_SAID),
    wrong("huber-clipped-to-nothing", linear(TANH, lambda z, a, t: (a - t) * (abs(a - t) <= 1)), "beyond", "clip", "large error",
          "above δ", "greater than δ", **HUBER_SAID),
)  # fmt: skip
