"""Backpropagation written by hand, in steps with names, so that an edit can change what a step gives.

It is NumPy of its own, and knows neither the reference's rules nor the diagnosis' vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import Convention, probes
from ...reference.numbers import array_of

Array = NDArray[Any]

# What `run` computes, in this order. Forward, per layer: the operands of the product, the bias, z, a. Backward, at the
# output: the targets, ∂E/∂o, what it is divided by; per layer, the last first: the operands of ∂E/∂a, ∂E/∂a, f′(z), δ,
# the operands of ∂E/∂W and ∂E/∂b, and these.
STEPS = (
    "received", "weights", "bias", "z", "a",
    "targets", "output_error", "divisor",
    "delta above", "weights above", "error", "slope", "delta",
    "delta for weights", "received for weights", "delta for bias", "weight_gradient", "bias_gradient",
)  # fmt: skip


@dataclass(frozen=True)
class Network:
    """What the edits are planted in.

    sizes: units per layer, the inputs first;  biased: whether each layer has biases
    fused: whether δ of a cross entropy is written o − t, where no edit is of what that leaves out
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    reduction: str
    biased: tuple[bool, ...]
    dtype: str
    fused: bool

    @property
    def convention(self) -> Convention:
        """How its gradients are meant."""
        return Convention(self.activations, self.loss, self.reduction)

    @property
    def last(self) -> int:
        return len(self.activations) - 1

    def cases(self, batches: Sequence[int], seed: int) -> tuple[Case, ...]:
        """Probes under its convention."""
        drawn = probes(self.sizes, batches, self.biased, self.dtype, seed)
        return tuple(self.convention.applied(case) for case in drawn)

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        biases = "".join("+" if b else "0" for b in self.biased)
        return f"{self.dtype} {sizes} (biases {biases}) {', '.join(self.activations)}, {self.loss}, {self.reduction}"


@dataclass
class Quantities:
    """What one run has computed so far, by layer; `weights`, `biases`, `inputs` and `targets` are the case's.

    errors: ∂E/∂a of each layer, at the output ∂E/∂o;  slopes: f′(z);  scale: what ∂E/∂o was divided by
    """

    network: Network
    weights: list[Array]
    biases: list[Array | None]
    inputs: Array
    targets: Array
    z: dict[int, Array] = field(default_factory=dict)
    a: dict[int, Array] = field(default_factory=dict)
    errors: dict[int, Array] = field(default_factory=dict)
    slopes: dict[int, Array] = field(default_factory=dict)
    deltas: dict[int, Array] = field(default_factory=dict)
    weight_gradients: dict[int, Array] = field(default_factory=dict)
    bias_gradients: dict[int, Array] = field(default_factory=dict)

    def received(self, k: int) -> Array:
        """What layer k receives."""
        return self.a[k - 1] if k else self.inputs

    def number(self, x: float) -> Any:
        """A constant in the network's format."""
        return self.inputs.dtype.type(x)


# From what a step gives rightly, in layer k, to what it gives instead.
Change = Callable[[Array, Quantities, int], Array]


@dataclass(frozen=True)
class Edit:
    """One mistake.

    kind: a key of `MAKERS`;  words: what was planted;  changes: by step
    layer: the only one in which it happens, or None for all
    format: that an operand is rounded to, where that is the edit
    """

    kind: str
    words: str
    changes: Mapping[str, Change]
    layer: int | None
    format: str | None = None

    def __str__(self) -> str:
        return f"{'everywhere' if self.layer is None else f'layer {self.layer}'}: {self.words}"


def run(network: Network, case: Case, edits: Sequence[Edit] = ()) -> Quantities:
    """Forward and backward, with edits."""
    q = Quantities(
        network,
        [array_of(layer.weights, network.dtype) for layer in case.layers],
        [None if layer.biases is None else array_of(layer.biases, network.dtype).reshape(-1) for layer in case.layers],
        array_of(case.inputs, network.dtype),
        array_of(case.targets, network.dtype),
    )

    def step(name: str, k: int, right: Array) -> Array:
        for edit in edits:
            if name in edit.changes and edit.layer in (None, k):
                right = edit.changes[name](right, q, k).astype(right.dtype)
        return right

    with np.errstate(all="ignore"):  # overflow and 0/0 are for the judge to see
        for k, name in enumerate(network.activations):
            z = product(step("received", k, q.received(k)), step("weights", k, q.weights[k]).T)
            bias = q.biases[k]
            q.z[k] = step("z", k, z if bias is None else z + step("bias", k, bias))
            q.a[k] = step("a", k, value(name, q.z[k]))
        _output_delta(network, q, step, {name for e in edits if e.layer in (None, network.last) for name in e.changes})
        for k in range(network.last, -1, -1):
            if k < network.last:
                above = step("delta above", k, q.deltas[k + 1])
                q.errors[k] = step("error", k, product(above, step("weights above", k, q.weights[k + 1])))
                q.slopes[k] = step("slope", k, derivative(network.activations[k], q.z[k], q.a[k]))
                q.deltas[k] = step("delta", k, q.errors[k] * q.slopes[k])
            delta = step("delta for weights", k, q.deltas[k])
            gradient = product(delta.T, step("received for weights", k, q.received(k)))
            q.weight_gradients[k] = step("weight_gradient", k, gradient)
            if q.biases[k] is not None:
                q.bias_gradients[k] = step("bias_gradient", k, total(step("delta for bias", k, q.deltas[k]), 0))
    return q


def _output_delta(network: Network, q: Quantities, step: Callable[[str, int, Array], Array], changed: set[str]) -> None:
    """δ of the last layer; with softmax by its Jacobian, unless its slopes were changed or it is fused."""
    k = network.last
    o, t = q.a[k], step("targets", k, q.targets)
    q.errors[k] = step("output_error", k, loss_derivative(network.loss, o, t))
    divisor = step("divisor", k, np.asarray(q.number(len(o) if network.reduction == "mean" else 1)))
    q.errors[k] = q.errors[k] / divisor
    softmax = network.activations[k] == "softmax"
    q.slopes[k] = o * (1 - o) if softmax else derivative(network.activations[k], q.z[k], o)
    if network.fused and "cross_entropy" in network.loss and not changed & {"output_error", "slope"}:
        delta = (o - t) / divisor
    elif softmax and "slope" not in changed:
        delta = o * (q.errors[k] - total(q.errors[k] * o, 1)[:, None])
    else:
        q.slopes[k] = step("slope", k, q.slopes[k])
        delta = q.errors[k] * q.slopes[k]
    q.deltas[k] = step("delta", k, delta)


def product(left: Array, right: Array) -> Array:
    """The matrix product; 16-bit numbers are added up in float32."""
    wide = np.float32 if left.dtype.itemsize == 2 else left.dtype
    return (left.astype(wide) @ right.astype(wide)).astype(left.dtype)


def total(x: Array, axis: int | None) -> Array:
    """A sum; 16-bit numbers are added up in float32."""
    return np.asarray(x.sum(axis=axis, dtype=np.float32 if x.dtype.itemsize == 2 else x.dtype)).astype(x.dtype)


def value(name: str, z: Array) -> Array:
    """a = f(z)."""
    match name:
        case "sigmoid":
            small = np.exp(-np.abs(z))
            return np.where(z < 0, small, z.dtype.type(1)) / (1 + small)
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(z, z.dtype.type(0))
        case "leaky_relu":
            return np.where(z > 0, z, z.dtype.type(0.01) * z)
        case "softplus":
            return np.maximum(z, z.dtype.type(0)) + np.log1p(np.exp(-np.abs(z)))
        case "softmax":
            return softmax(z, 1)
    return z


def softmax(z: Array, axis: int) -> Array:
    """Over samples (0) or units (1)."""
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return powers / np.expand_dims(total(powers, axis), axis)


def derivative(name: str, z: Array, a: Array) -> Array:
    """f′(z), from z or a, whichever is customary."""
    match name:
        case "sigmoid" | "softmax":  # of softmax, the Jacobian's diagonal
            return a * (1 - a)
        case "tanh":
            return 1 - a * a
        case "relu":
            return (z > 0).astype(z.dtype)
        case "leaky_relu":
            return np.where(z > 0, z.dtype.type(1), z.dtype.type(0.01))
        case "softplus":
            return value("sigmoid", z)
    return np.ones_like(z)


def loss_derivative(name: str, o: Array, t: Array) -> Array:
    """∂E/∂o, of one sample."""
    match name:
        case "squared_error":
            return o.dtype.type(2) * (o - t)
        case "binary_cross_entropy":
            return (o - t) / (o * (1 - o))
        case "softmax_cross_entropy":
            return -t / o
    return o - t
