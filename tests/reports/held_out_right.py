"""Right functions of the kinds that people take for wrong, by somebody who had not seen what the diagnosis can say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
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
    GELU,
    HARDTANH,
    IDENTITY,
    MISH,
    RELU,
    RELU6,
    SELU,
    SIGMOID,
    SOFTMAX,
    SOFTSIGN,
    TANH,
    Array,
    Curve,
    Error,
    Function,
    Network,
    Optimizer,
    difference,
    leaky,
    mean,
    penalised,
    right,
    scaled_tanh,
    sigmoid,
    softmax,
    squared,
    swish,
    twice_the_difference,
)

# held out: right ------------------------------------------------------------------------------------------------------


def linear(hidden: Curve, error: Error = difference) -> Network:
    """A hidden activation, and identity at the outputs."""
    return Network(hidden, IDENTITY, error)


def said(hidden: str, loss: str = "half_squared_error", **more: str) -> dict[str, Any]:
    return {"activations": [hidden, "identity"], "loss": loss, **more}


def momentum(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    state["v"] = 0.9 * state.get("v", 0) - rate * g
    return p + state["v"]


def adamw(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    state["t"] = t = state.get("t", 0) + 1
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["s"] = 0.999 * state.get("s", 0) + 0.001 * g * g
    p = p - rate * 0.01 * p
    return p - rate * state["m"] / (1 - 0.9**t) / (np.sqrt(state["s"] / (1 - 0.999**t)) + 1e-8)


def rmsprop(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    state["s"] = 0.99 * state.get("s", 0) + 0.01 * g * g
    return p - rate * g / (np.sqrt(state["s"]) + 1e-8)


def adagrad(state: dict[str, Any], p: Array, g: Array, rate: float) -> Array:
    state["s"] = state.get("s", 0) + g * g
    return p - rate * g / (np.sqrt(state["s"]) + 1e-10)


def class_indices(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    """Softmax regression's usual lines, for targets that are the numbers of classes."""
    classes, rows = t.argmax(axis=1), range(len(t))
    h = np.tanh(x @ W[0].T + B[0])
    p = softmax(h @ W[1].T + B[1])
    p[rows, classes] -= 1
    p /= len(t)
    below = p @ W[1] * (1 - h * h)
    return [below.T @ x, p.T @ h], [below.sum(axis=0), p.sum(axis=0)]


def per_unit_mask(units: int) -> Array:
    """The same units for every sample and every call, kept with a chance of 0.8; inverted dropout."""
    return (np.random.default_rng(units).random(units) < 0.8) / 0.8


def masked(back: bool) -> Function:
    def gradients(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
        z = x @ W[0].T + B[0]
        mask = per_unit_mask(z.shape[1])
        h = np.tanh(z)
        above = (h * mask) @ W[1].T + B[1] - t
        delta = above @ W[1] * (1 - h * h) * (mask if back else 1)
        return [delta.T @ x, above.T @ (h * mask)], [delta.sum(axis=0), above.sum(axis=0)]

    return gradients


def torch_classifier(softmax_first: bool) -> Function:
    """nn.CrossEntropyLoss of logits; or, as is often asked about, of what a softmax made of them."""

    def gradients(W: Any, B: Any, x: Any, t: Any) -> Any:
        import torch

        modules: list[Any] = []
        for k, (w, b) in enumerate(zip(W, B, strict=True)):
            layer = torch.nn.Linear(w.shape[1], w.shape[0], dtype=w.dtype)
            with torch.no_grad():
                layer.weight.copy_(w), layer.bias.copy_(b)
            modules += [layer, torch.nn.ReLU()] if k + 1 < len(W) else [layer]
        layers = [module for module in modules if isinstance(module, torch.nn.Linear)]
        model = torch.nn.Sequential(*modules, *([torch.nn.Softmax(dim=1)] if softmax_first else []))
        torch.nn.CrossEntropyLoss()(model(x), t).backward()
        return [layer.weight.grad for layer in layers], [layer.bias.grad for layer in layers]

    return gradients


def without_biases(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    h = sigmoid(x @ W[0].T)
    o = sigmoid(h @ W[1].T)
    above = (o - t) * o * (1 - o)
    return [(above @ W[1] * h * (1 - h)).T @ x, above.T @ h], B


def in_loops(W: Any, B: Any, x: Any, t: Any) -> Any:
    """No arrays: a tutorial in plain Python, a sample, a unit, a weight at a time."""
    dW = [[[0.0 for _ in row] for row in w] for w in W]
    dB = [[0.0 for _ in b] for b in B]
    for sample, target in zip(x, t, strict=True):
        acts = [[float(v) for v in sample]]
        for w, b in zip(W, B, strict=True):
            nets = [sum(u * v for u, v in zip(row, acts[-1], strict=True)) + c for row, c in zip(w, b, strict=True)]
            acts.append([1 / (1 + math.exp(-net)) if net > -700 else 0.0 for net in nets])
        delta = [(o - y) * o * (1 - o) for o, y in zip(acts[-1], target, strict=True)]
        for k in reversed(range(len(W))):
            for i, d in enumerate(delta):
                dB[k][i] += d
                for j, a in enumerate(acts[k]):
                    dW[k][i][j] += d * a
            above = [sum(d * W[k][i][j] for i, d in enumerate(delta)) for j in range(len(acts[k]))]
            delta = [e * a * (1 - a) for e, a in zip(above, acts[k], strict=True)]
    return dW, dB


def rows_of_inputs(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    """Weights are inputs × units."""
    h = np.tanh(x @ W[0] + B[0])
    above = h @ W[1] + B[1] - t
    below = above @ W[1].T * (1 - h**2)
    return [x.T @ below, h.T @ above], [below.sum(axis=0), above.sum(axis=0)]


def whole_jacobian(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
    """Half the squared error of a softmax, through all of its Jacobian."""

    def error(z: Array, a: Array, t: Array) -> Array:
        jacobians = np.einsum("bi,ij->bij", a, np.eye(a.shape[1])) - np.einsum("bi,bj->bij", a, a)
        return np.einsum("bij,bj->bi", jacobians, a - t)

    return Network(TANH, SOFTMAX, error)(W, B, x, t)


def online(W: list[Array], B: list[Array], x: Array, t: Array, rate: float) -> Any:
    for sample, target in zip(x, t, strict=True):
        dW, dB = Network()(W, B, sample[None], target[None])
        W = [descent(w, g, rate) for w, g in zip(W, dW, strict=True)]
        B = [descent(b, g, rate) for b, g in zip(B, dB, strict=True)]
    return W, B


class Scalar:
    """A number that knows what it was made of."""

    def __init__(self, value: float, made_of: tuple[tuple[Scalar, float], ...] = ()) -> None:
        self.value, self.made_of, self.gradient = value, made_of, 0.0

    def __add__(self, other: Scalar) -> Scalar:
        return Scalar(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other: Scalar) -> Scalar:
        return Scalar(self.value * other.value, ((self, other.value), (other, self.value)))

    def tanh(self) -> Scalar:
        t = math.tanh(self.value)
        return Scalar(t, ((self, 1 - t * t),))

    def half_square(self) -> Scalar:
        return Scalar(0.5 * self.value**2, ((self, self.value),))

    def backward(self, only_the_last: bool) -> None:
        order: list[Scalar] = []
        seen: set[Scalar] = set()

        def visit(node: Scalar) -> None:
            if node not in seen:
                seen.add(node)
                for parent, _ in node.made_of:
                    visit(parent)
                order.append(node)

        visit(self)
        self.gradient = 1.0
        for node in reversed(order):
            for parent, local in node.made_of:
                parent.gradient = local * node.gradient + (0 if only_the_last else parent.gradient)


def scalar_autograd(only_the_last: bool) -> Function:
    """Half the squared error, a graph a sample. only_the_last: a node that is used twice has its gradient set, not added to."""

    def gradients(W: Any, B: Any, x: Any, t: Any) -> Any:
        dW, dB = [np.zeros(np.shape(w)) for w in W], [np.zeros(np.shape(b)) for b in B]
        for sample, target in zip(x, t, strict=True):
            weights = [[[Scalar(float(v)) for v in row] for row in w] for w in W]
            biases = [[Scalar(float(v)) for v in b] for b in B]
            a = [Scalar(float(v)) for v in sample]
            for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
                nets = []
                for row, net in zip(w, b, strict=True):
                    for weight, value in zip(row, a, strict=True):
                        net = net + weight * value  # noqa: PLW2901
                    nets.append(net)
                a = [net.tanh() for net in nets] if k + 1 < len(W) else nets
            loss = Scalar(0.0)
            for o, y in zip(a, target, strict=True):
                loss = loss + (o + Scalar(-float(y))).half_square()
            loss.backward(only_the_last)
            for g, w in zip(dW, weights, strict=True):
                g += [[v.gradient for v in row] for row in w]
            for g, b in zip(dB, biases, strict=True):
                g += [v.gradient for v in b]
        return dW, dB

    return gradients


UP: dict[str, Any] = {"returns": "updated"}
SMALL: dict[str, Any] = {"sizes": (3, 4, 2), "batch": 4}
SIGMOID_SAID: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error"}
STEEP = Curve(lambda z: sigmoid(0.5 * z), lambda z, a: 0.5 * a * (1 - a))
LECUN = scaled_tanh(1.7159, 2 / 3)
LECUN_NAME = f"scaled_tanh(1.7159, {2 / 3})"

HELD_OUT_RIGHT = (
    right("swish", linear(swish(1.5)), **said("silu(1.5)")),
    right("mish", linear(MISH, mean(twice_the_difference)), **said("mish", "squared_error", reduction="mean")),
    right("softsign", Network(SOFTSIGN, SIGMOID, difference), activations=["softsign", "sigmoid"], loss="binary_cross_entropy"),
    right("hardtanh", linear(HARDTANH), **said("hardtanh")),
    right("relu6", Network(RELU6, SOFTMAX, mean(difference)), activations=["relu6", "softmax"], **WITHOUT_LOSS),
    right("lecun's-tanh", Network(LECUN, LECUN, squared(LECUN)), activations=LECUN_NAME, loss="half_squared_error"),
    right("steepness-0.5", Network(STEEP, STEEP, squared(STEEP)), activations="sigmoid(0.5)", loss="half_squared_error"),
    right("gelu-by-erf", linear(GELU), **said("gelu")),
    right("selu", linear(SELU, mean(difference)), **said("selu", reduction="mean")),
    right("prelu-at-0.25", linear(leaky(0.25)), **said("leaky_relu(0.25)")),
    right("absolute-error", linear(TANH, lambda z, a, t: np.sign(a - t)), **said("tanh", "absolute_error")),
    right("huber", linear(TANH, mean(lambda z, a, t: np.clip(a - t, -1, 1))), **said("tanh", "huber", reduction="mean")),
    right("log-cosh", linear(RELU, lambda z, a, t: np.tanh(a - t)), **said("relu", "log_cosh")),
    right("hinge", linear(TANH, lambda z, a, t: -t * (t * a < 1)), **said("tanh", "hinge")),
    right("l2-with-a-half", penalised(TANH_LINEAR, 0.1), decay=0.1, **TANH_LINEAR_SAID),
    right("l2-without-a-half", penalised(TANH_LINEAR, 2 * 0.1), decay=0.2, **TANH_LINEAR_SAID),
    right("biases-decayed-too", penalised(RELU_SOFTMAX, 0.1, 0.1), decay=0.1, **RELU_SOFTMAX_SAID),
    right(
        "l2-over-n",
        lambda W, B, x, t: penalised(Network(SIGMOID, SIGMOID, mean(difference)), 0.1 / len(x))(W, B, x, t),
        activations="sigmoid",
    ),
    right(
        "mean-over-outputs-sum-over-samples",
        linear(TANH, lambda z, a, t: 2 * (a - t) / t.shape[1]),
        source="tiny-dnn's MSE (shared/field.md)", activations=["tanh", "identity"], loss="squared_error",
    ),
    right("class-indices", class_indices, activations=["tanh", "softmax"], **WITHOUT_LOSS),
    right("minus-the-gradient", Network(error=lambda z, a, t: (t - a) * a * (1 - a)), sign="negative", **SIGMOID_SAID),
    right("momentum", Optimizer(momentum, TANH_MEAN), optimizer="momentum(0.9)", **UPDATED),
    right("adamw", Optimizer(adamw, TANH_MEAN), optimizer="adamw", **UPDATED),
    right("rmsprop", Optimizer(rmsprop, TANH_MEAN), optimizer="rmsprop", **UPDATED),
    right("adagrad", Optimizer(adagrad, TANH_MEAN), optimizer="adagrad", **UPDATED),
    right("mask-in-both-passes", masked(back=True), "dropout", "mask", **TANH_LINEAR_SAID),
    right("float32-lines", Network(), dtype="float32", **SIGMOID_SAID),
    right("torch-classifier", torch_classifier(softmax_first=False), needs="torch", dtype="float32",
          **said("relu", "softmax_cross_entropy_from_logits", reduction="mean")),
    right("no-biases", without_biases, bias="none", **SIGMOID_SAID),
    right("deep", RELU_SOFTMAX, sizes=(3, 5, 4, 2), activations=["relu", "relu", "softmax"], **WITHOUT_LOSS),
    right("online", online, updates="online", **UP, **SIGMOID_SAID),
    right("in-loops", in_loops, **SIGMOID_SAID),
    right("rows-of-inputs", rows_of_inputs, orientation="inputs_by_units", **TANH_LINEAR_SAID),
    right("whole-softmax-jacobian", whole_jacobian, activations=["tanh", "softmax"], loss="half_squared_error"),
    right("scalar-autograd", scalar_autograd(only_the_last=False), source="micrograd (shared/field.md)", **SMALL, **TANH_LINEAR_SAID),
)  # fmt: skip
