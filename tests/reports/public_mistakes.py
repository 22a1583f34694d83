"""The 28 public reports: gradient mistakes, and right code that was accused of one; each in our own few lines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from written_networks import (
    GELU_TANH,
    IDENTITY,
    RELU,
    SIGMOID,
    SOFTMAX,
    TANH,
    Array,
    Curve,
    Function,
    Network,
    difference,
    elu,
    leaky,
    mean,
    ones,
    penalised,
    right,
    sigmoid,
    squared,
    stepped,
    twice_the_difference,
    wrong,
)

# the 28 public reports ------------------------------------------------------------------------------------------------

BCE = Network(SIGMOID, SIGMOID, difference)
RELU_SOFTMAX = Network(RELU, SOFTMAX, mean(difference))
RELU_SOFTMAX_SAID: dict[str, Any] = {
    "activations": ["relu", "softmax"],
    "loss": "softmax_cross_entropy",
    "reduction": "mean",
}
RELU_LINEAR = Network(RELU, IDENTITY, difference)
TANH_LINEAR = Network(TANH, IDENTITY, difference)
TANH_LINEAR_SAID: dict[str, Any] = {"activations": ["tanh", "identity"], "loss": "half_squared_error"}
TANH_MEAN = Network(TANH, IDENTITY, mean(twice_the_difference))
TANH_MEAN_SAID: dict[str, Any] = {"activations": ["tanh", "identity"], "loss": "squared_error", "reduction": "mean"}
UPDATED: dict[str, Any] = {"returns": "updated", **TANH_MEAN_SAID}
SIGMOID_PRIME_OF_A = Curve(sigmoid, lambda z, a: sigmoid(a) * (1 - sigmoid(a)))


def descent(parameters: Array, gradient: Array, rate: float) -> Array:
    return parameters - rate * gradient


def linear_in_float32(W: Any, B: Any, x: Any, t: Any) -> Any:
    import torch

    layer = torch.nn.Linear(2, 1, dtype=W[0].dtype)
    with torch.no_grad():
        layer.weight.copy_(W[0]), layer.bias.copy_(B[0])
    torch.nn.functional.mse_loss(layer(x), t).backward()
    return [layer.weight.grad], [layer.bias.grad]


def softmax_over_samples(z: Array) -> Array:
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def softmax_below_the_highest_of_all(z: Array) -> Array:
    e = np.exp(z - z.max())
    return e / e.sum(axis=1, keepdims=True)


def dropped_out(masked: bool, seed: int | None) -> Function:
    """Inverted dropout at one half; `masked`: on the way back, too."""

    def gradients(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
        z = x @ W[0].T + B[0]
        kept = (np.random.default_rng(seed).random(z.shape) >= 0.5) / 0.5
        h = np.maximum(z, 0) * kept
        above = h @ W[1].T + B[1] - t
        delta = above @ W[1] * (kept if masked else 2) * (z > 0)
        return [delta.T @ x, above.T @ h], [delta.sum(axis=0), above.sum(axis=0)]

    return gradients


SLOPE_0 = ("slope 0 below", "leaky-slope-0`")
WITHOUT_LOSS: dict[str, Any] = {"loss": "softmax_cross_entropy", "reduction": "mean"}

PUBLIC = (
    wrong(
        "sigmoid-prime-of-activations",
        stepped(Network(SIGMOID_PRIME_OF_A, SIGMOID, squared(SIGMOID_PRIME_OF_A)), descent),
        "at a instead of z", "derivatives-at-a",
        returns="updated", sizes=(4, 3, 3), activations="sigmoid",
    ),
    right("sigmoid-network", stepped(Network(), descent), returns="updated", sizes=(4, 3, 3)),
    wrong(
        "incoming-gradient-overwritten",
        replace(RELU_LINEAR, through=lambda w, delta, z, a: (a > 0) * 1.0),
        "from above", "overwrit", "incoming", "error is left out", "without the error", "f′(z) alone",
        activations=["relu", "identity"], loss="half_squared_error",
    ),
    wrong(
        "tanh-prime-is-the-square-of-the-difference",
        replace(TANH_LINEAR, hidden=Curve(np.tanh, lambda z, a: (1 - a) ** 2)),
        "(1 − a)²", "(1 - a)^2", "tanh's derivative",
        **TANH_LINEAR_SAID,
    ),
    wrong(
        "relu-prime-for-leaky-0.3", replace(RELU_LINEAR, hidden=Curve(leaky(0.3).value, RELU.slope)),
        *SLOPE_0, activations=["leaky_relu", "identity"],
    ),
    wrong(
        "relu-prime-for-leaky-0.01", replace(RELU_LINEAR, hidden=Curve(leaky(0.01).value, RELU.slope)),
        *SLOPE_0, activations=["leaky_relu", "identity"],
    ),
    wrong(
        "leaky-0.2-forward-0.01-back", replace(RELU_LINEAR, hidden=Curve(leaky(0.2).value, leaky(0.01).slope)),
        "slope",
        activations=["leaky_relu", "identity"],
    ),
    right("leaky-0.2", replace(RELU_LINEAR, hidden=leaky(0.2)), "slope 0.2", "slope of 0.2"),
    wrong(
        "decay-subtracted", penalised(Network(TANH, SOFTMAX, mean(difference)), -0.001),
        "weight decay", "· w", "0.001",
        activations=["tanh", "softmax"], loss="softmax_cross_entropy", reduction="mean",
    ),
    wrong(
        "penalty-without-its-2", penalised(RELU_SOFTMAX, 0.05),
        "weight decay", "0.05 · w", "0.05·w", **RELU_SOFTMAX_SAID,
    ),
    right("accused-of-no-derivative-with-cross-entropy", BCE),
    right("accused-of-a-derivative-with-squared-error", Network()),
    wrong(
        "derivative-removed-though-squared-error", BCE,
        "out of the output delta", "difference-for-any-loss", "it computes binary cross entropy",
        loss="half_squared_error", activations="sigmoid",
    ),
    right("accused-of-sums", RELU_SOFTMAX),
    right("accused-of-a-bias-sum", Network(SIGMOID, IDENTITY, mean(twice_the_difference))),
    right("accused-by-its-own-check", Network(IDENTITY, IDENTITY, difference), sizes=(2, 1)),
    right(
        "gradcheck-of-a-linear-in-float32", linear_in_float32,
        source="false alarms of PyTorch's gradcheck, such as pytorch #8659 (shared/field.md)",
        needs="torch", sizes=(2, 1), dtype="float32",
    ),
    wrong(
        "mean-loss-with-a-summed-gradient", Network(RELU, SOFTMAX, difference),
        "number of samples", "summed over samples", **RELU_SOFTMAX_SAID,
    ),
    wrong(
        "softmax-over-samples", Network(TANH, Curve(softmax_over_samples, ones), difference),
        "axis", "over samples instead", "wrong dimension", "over the batch",
        activations=["tanh", "softmax"], loss="softmax_cross_entropy",
    ),
    wrong(
        "softmax-below-the-highest-of-all",
        Network(RELU, Curve(softmax_below_the_highest_of_all, ones), difference),
        "NaN", "not finite", activations=["relu", "softmax"], loss="softmax_cross_entropy",
    ),
    wrong(
        "bias-gradient-from-the-weights'",
        replace(RELU_SOFTMAX, biases=lambda k, delta, below: (delta.T @ below).sum(axis=1)),
        "bias gradient", **RELU_SOFTMAX_SAID,
    ),
    wrong(
        "step-without-the-learning-rate", stepped(TANH_MEAN, lambda p, g, rate: p - g),
        "without the learning rate", "ignores the learning rate", "learning rate is left out", **UPDATED,
    ),
    wrong(
        "nesterov-with-the-wrong-sign", stepped(TANH_MEAN, lambda p, g, rate: p - (rate * g - 0.9 * rate * g)),
        "1/10", **UPDATED,
    ),
    right(
        "adam's-first-step", stepped(TANH_MEAN, lambda p, g, rate: p - rate * g / (np.sqrt(g * g) + 1e-8)),
        "Adam", **UPDATED,
    ),
    wrong(
        "dropout-without-mask-or-seed", dropped_out(masked=False, seed=None),
        "deterministic", "random", "dropout",
        source="as in numpy-ml #94 (shared/field.md)",
        activations=["relu", "identity"], loss="half_squared_error",
    ),
    right(
        "dropout-with-mask-and-seed", dropped_out(masked=True, seed=0),
        "dropout", activations=["relu", "identity"], loss="half_squared_error",
    ),
    right("accused-elu", replace(RELU_SOFTMAX, hidden=elu(0.1)), "with ELU", "an ELU", "(ELU", **WITHOUT_LOSS),
    right("gelu-by-tanh", replace(RELU_SOFTMAX, hidden=GELU_TANH), "GELU", **WITHOUT_LOSS),
)  # fmt: skip
