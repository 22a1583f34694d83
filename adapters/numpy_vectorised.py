"""Backpropagation in NumPy, vectorised over the batch and written without the reference: a second opinion by hand.

Everything is computed in the case's dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.activations import LEAKY_SLOPE
from ..reference.case import Case
from ..reference.observation import Observation, Received
from .adapter import Adapter

Array = NDArray[Any]


def observe(case: Case) -> Observation:
    """One learning step, every array of the batch at once."""
    with np.errstate(all="ignore"):  # overflow and 0/0 are for the judge to see
        return _observe(case, np.dtype(case.dtype))


def _observe(case: Case, dtype: np.dtype[Any]) -> Observation:
    weights = [np.array(layer.weights, dtype) for layer in case.layers]
    biases = [None if layer.biases is None else np.array(layer.biases, dtype) for layer in case.layers]
    names = [layer.activation for layer in case.layers]
    x, t = np.array(case.inputs, dtype), np.array(case.targets, dtype)
    scale = dtype.type(1 / len(x) if case.reduction == "mean" else 1)

    zs: list[Array] = []
    activations = [x]
    for w, b, name in zip(weights, biases, names, strict=True):
        zs.append(activations[-1] @ w.T if b is None else activations[-1] @ w.T + b)
        activations.append(_value(name, zs[-1]))

    outputs = activations[-1]
    delta = _output_delta(case.loss, names[-1], zs[-1], outputs, t) * scale
    deltas = [delta]
    for k in range(len(weights) - 2, -1, -1):
        delta = (delta @ weights[k + 1]) * _derivative(names[k], zs[k], activations[k + 1])
        deltas.insert(0, delta)

    weight_gradients = [delta.T @ received for delta, received in zip(deltas, activations[:-1], strict=True)]
    bias_gradients = [None if b is None else delta.sum(axis=0) for delta, b in zip(deltas, biases, strict=True)]
    rate = None if case.learning_rate is None else dtype.type(case.learning_rate)
    return Observation(
        adapter=ADAPTER.name,
        version=np.__version__,
        device="cpu",
        precision=case.dtype,
        received=Received(tuple(weights), tuple(biases), x, t),
        pre_activations=tuple(zs),
        activations=tuple(activations[1:]),
        loss=np.asarray(_loss(case.loss, outputs, t) * scale),
        deltas=tuple(deltas),
        weight_gradients=tuple(weight_gradients),
        bias_gradients=tuple(bias_gradients),
        updated_weights=None if rate is None else tuple(_stepped(weights, weight_gradients, rate)),
        updated_biases=None if rate is None else tuple(_stepped(biases, bias_gradients, rate)),
    )


def _stepped(old: list[Any], gradients: list[Any], rate: Any) -> list[Array | None]:
    return [None if value is None else value - rate * gradient for value, gradient in zip(old, gradients, strict=True)]


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small)).astype(z.dtype)


def _softplus(z: Array) -> Array:
    return np.logaddexp(z, z.dtype.type(0))


def _log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _value(name: str, z: Array) -> Array:
    match name:
        case "identity":
            return z
        case "sigmoid":
            return _sigmoid(z)
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(z, 0)
        case "leaky_relu":
            return np.where(z > 0, z, z.dtype.type(LEAKY_SLOPE) * z)
        case "softplus":
            return _softplus(z)
        case "softmax":
            return _softmax(z)
    raise NotImplementedError(f"activation {name}")


def _derivative(name: str, z: Array, a: Array) -> Array:
    one = z.dtype.type(1)
    match name:
        case "identity":
            return np.ones_like(z)
        case "sigmoid":
            return a * (one - a)
        case "tanh":
            return one - a**2
        case "relu":
            return np.heaviside(z, 0).astype(z.dtype)
        case "leaky_relu":
            return np.where(z > 0, one, z.dtype.type(LEAKY_SLOPE))
        case "softplus":
            return _sigmoid(z)
    raise NotImplementedError(f"derivative of {name}")


def _output_delta(loss: str, activation: str, z: Array, o: Array, t: Array) -> Array:
    match loss:
        case "softmax_cross_entropy_from_logits":
            return _softmax(z) - t
        case "binary_cross_entropy_from_logits":
            return _sigmoid(z) - t
        case "softmax_cross_entropy":
            error = -t / o
        case "binary_cross_entropy":
            error = (1 - t) / (1 - o) - t / o
        case "squared_error":
            error = 2 * (o - t)
        case "half_squared_error":
            error = o - t
        case _:
            raise NotImplementedError(f"loss {loss}")
    if activation == "softmax":
        return o * (error - (error * o).sum(axis=1, keepdims=True))
    return error * _derivative(activation, z, o)


def _loss(loss: str, o: Array, t: Array) -> Any:
    match loss:
        case "half_squared_error":
            return ((o - t) ** 2).sum() / 2
        case "squared_error":
            return ((o - t) ** 2).sum()
        case "binary_cross_entropy":
            return -(t * np.log(o) + (1 - t) * np.log1p(-o)).sum()
        case "binary_cross_entropy_from_logits":
            return (_softplus(o) - t * o).sum()
        case "softmax_cross_entropy":
            return -(t * np.log(o)).sum()
        case "softmax_cross_entropy_from_logits":
            return -(t * _log_softmax(o)).sum()
    raise NotImplementedError(f"loss {loss}")


ADAPTER = Adapter("numpy", "NumPy: vectorised backpropagation by hand", package="numpy", run=observe, rank=1)
