"""Networks as people write them: activations, gradients and updates in a few lines; and what a case of them is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = Any
Function = Callable[..., Any]
Error = Callable[[Array, Array, Array], Array]  # (z, a, t) of the outputs -> δ, ∂E/∂z
Move = Callable[[dict[str, Any], Array, Array, float], Array]  # (state, parameters, gradient, rate) -> parameters


# what activations people write ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """An activation, and its derivative from z or a, as its author has them."""

    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def gradients_of_sigmoids(
    weights: Array, biases: Array, inputs: Array, targets: Array
) -> tuple[list[Array], list[Array]]:
    """Of ½ Σ (a − t)², sigmoid in all layers: by weights, and by biases."""
    a = [inputs]
    for w, b in zip(weights, biases, strict=True):
        a.append(sigmoid(np.clip(a[-1] @ w.T + b, -80, 80)))
    delta = (a[-1] - targets) * a[-1] * (1 - a[-1])
    dw: list[Array] = []
    db: list[Array] = []
    for k in reversed(range(len(weights))):
        dw.insert(0, delta.T @ a[k])
        db.insert(0, delta.sum(axis=0))
        delta = delta @ weights[k] * a[k] * (1 - a[k])
    return dw, db


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softplus(z: Array) -> Array:
    return np.logaddexp(0, z)


def ones(z: Array, a: Array) -> Array:
    return np.ones_like(z)


def leaky(alpha: float) -> Curve:
    return Curve(lambda z: np.where(z > 0, z, alpha * z), lambda z, a: np.where(z > 0, 1.0, alpha))


def elu(alpha: float) -> Curve:
    return Curve(
        lambda z: np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0))), lambda z, a: np.where(z > 0, 1.0, a + alpha)
    )


def scaled_tanh(scale: float, steepness: float) -> Curve:
    return Curve(lambda z: scale * np.tanh(steepness * z), lambda z, a: steepness / scale * (scale - a) * (scale + a))


def swish(beta: float) -> Curve:
    def slope(z: Array, a: Array) -> Array:
        s = sigmoid(beta * z)
        return s + beta * z * s * (1 - s)

    return Curve(lambda z: z * sigmoid(beta * z), slope)


def mish_slope(z: Array, a: Array) -> Array:
    t = np.tanh(softplus(z))
    return t + z * (1 - t * t) * sigmoid(z)


ROOT = math.sqrt(2 / math.pi)
erf = np.vectorize(math.erf, otypes=[float])


def gelu_tanh_slope(z: Array, a: Array) -> Array:
    t = np.tanh(ROOT * (z + 0.044715 * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * z * z)


def selu(z: Array) -> Array:
    return 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))


def selu_slope(z: Array, a: Array) -> Array:
    return 1.0507009873554805 * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0)))


SIGMOID = Curve(sigmoid, lambda z, a: a * (1 - a))
TANH = Curve(np.tanh, lambda z, a: 1 - a * a)
RELU = Curve(lambda z: np.maximum(z, 0), lambda z, a: (z > 0) * 1.0)
IDENTITY = Curve(lambda z: z, ones)
SOFTMAX = Curve(softmax, ones)  # its derivative is in the error: a − t
MISH = Curve(lambda z: z * np.tanh(softplus(z)), mish_slope)
SOFTSIGN = Curve(lambda z: z / (1 + abs(z)), lambda z, a: 1 / (1 + abs(z)) ** 2)
HARDTANH = Curve(lambda z: np.clip(z, -1, 1), lambda z, a: (abs(z) < 1) * 1.0)
RELU6 = Curve(lambda z: np.clip(z, 0, 6), lambda z, a: ((z > 0) & (z < 6)) * 1.0)
SELU = Curve(selu, selu_slope)
GELU_TANH = Curve(lambda z: 0.5 * z * (1 + np.tanh(ROOT * (z + 0.044715 * z**3))), gelu_tanh_slope)
GELU = Curve(
    lambda z: z * (1 + erf(z / math.sqrt(2))) / 2,
    lambda z, a: (1 + erf(z / math.sqrt(2))) / 2 + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
)


def difference(z: Array, a: Array, t: Array) -> Array:
    """δ of a cross-entropy with its own activation, and of half the squared error of an identity."""
    return a - t


def twice_the_difference(z: Array, a: Array, t: Array) -> Array:
    return 2 * (a - t)


def squared(curve: Curve, factor: float = 1.0) -> Error:
    """δ of the squared error: half of it, if the factor is 1."""
    return lambda z, a, t: factor * (a - t) * curve.slope(z, a)


HALF_SQUARED = squared(SIGMOID)


def mean(error: Error) -> Error:
    return lambda z, a, t: error(z, a, t) / len(t)


# networks, optimizers, and what else people write ---------------------------------------------------------------------


def outer(layer: int, delta: Array, below: Array) -> Array:
    return delta.T @ below


def summed(layer: int, delta: Array, below: Array) -> Array:
    return delta.sum(axis=0)


@dataclass(frozen=True)
class Network:
    """Gradients by hand, right unless a part is put in that is not.

    weights, biases: (layer from 0, δ, activations that the layer received) -> a gradient
    through: (weights of the layer above, its δ, z, a) -> δ of the layer below
    """

    hidden: Curve = SIGMOID
    output: Curve = SIGMOID
    error: Error = HALF_SQUARED
    weights: Callable[[int, Array, Array], Array] = outer
    biases: Callable[[int, Array, Array], Array] = summed
    through: Callable[[Array, Array, Array, Array], Array] | None = None

    def forward(self, W: list[Array], B: list[Array], x: Array) -> tuple[list[Array], list[Array]]:
        zs, acts = [], [x]
        for k, (w, b) in enumerate(zip(W, B, strict=True)):
            zs.append(acts[-1] @ w.T + (0 if b is None else b))
            acts.append((self.output if k + 1 == len(W) else self.hidden).value(zs[-1]))
        return zs, acts

    def __call__(self, W: list[Array], B: list[Array], x: Array, t: Array) -> tuple[list[Array], list[Array]]:
        zs, acts = self.forward(W, B, x)
        delta = self.error(zs[-1], acts[-1], t)
        dW: list[Array] = []
        dB: list[Array] = []
        for k in reversed(range(len(W))):
            dW.insert(0, self.weights(k, delta, acts[k]))
            dB.insert(0, None if B[k] is None else self.biases(k, delta, acts[k]))
            if k and self.through:
                delta = self.through(W[k], delta, zs[k - 1], acts[k])
            elif k:
                delta = delta @ W[k] * self.hidden.slope(zs[k - 1], acts[k])
        return dW, dB


def penalised(network: Network, weights: float, biases: float = 0.0) -> Function:
    """With weight decay, added to the gradient."""

    def gradients(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
        dW, dB = network(W, B, x, t)
        return (
            [g + weights * w for g, w in zip(dW, W, strict=True)],
            [g + biases * b for g, b in zip(dB, B, strict=True)],
        )

    return gradients


def changed(network: Function, change: Callable[[list[Array], list[Array]], object]) -> Function:
    """Right gradients, and then a change in place."""

    def gradients(W: list[Array], B: list[Array], x: Array, t: Array) -> Any:
        dW, dB = network(W, B, x, t)
        change(dW, dB)
        return dW, dB

    return gradients


def stepped(network: Function, move: Callable[[Array, Array, float], Array]) -> Function:
    """One step, without a state."""

    def step(W: list[Array], B: list[Array], x: Array, t: Array, rate: float) -> Any:
        dW, dB = network(W, B, x, t)
        return (
            [move(w, g, rate) for w, g in zip(W, dW, strict=True)],
            [move(b, g, rate) for b, g in zip(B, dB, strict=True)],
        )

    return step


@dataclass
class Optimizer:
    """A step with a state, one for each array of parameters."""

    move: Move
    network: Function
    states: dict[int, dict[str, Any]] = field(default_factory=dict)

    def __call__(self, W: list[Array], B: list[Array], x: Array, t: Array, rate: float) -> Any:
        dW, dB = self.network(W, B, x, t)
        moved = [
            self.move(self.states.setdefault(k, {}), p, g, rate)
            for k, (p, g) in enumerate(zip([*W, *B], [*dW, *dB], strict=True))
        ]
        return moved[: len(W)], moved[len(W) :]


# the cases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reported:
    """A function that people took for right or wrong.

    wrong: what it is, under the options that its user would give;  words: of a right diagnosis, at least one
    source: of the report, where it is known;  needs: a package
    """

    name: str
    function: Function
    wrong: bool
    words: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    held_out: bool = False
    needs: str = ""

    def fresh(self) -> Function:
        """The function, with a state of its own if it has one."""
        return copy.deepcopy(self.function)

    @property
    def bare(self) -> dict[str, Any]:
        """The options that say how to call it, and nothing of what it computes."""
        kept = {key: self.options[key] for key in ("returns", "sizes", "dtype", "batch") if key in self.options}
        return {**kept, "optimizer": "find"} if "optimizer" in self.options else kept


def wrong(name: str, function: Function, *words: str, source: str = "", needs: str = "", **options: Any) -> Reported:
    return Reported(name, function, True, words, options, source, needs=needs)


def right(name: str, function: Function, *words: str, source: str = "", needs: str = "", **options: Any) -> Reported:
    return Reported(name, function, False, words, options, source, needs=needs)
