"""HIPS autograd: gradients by `value_and_grad` over autograd.numpy; the delta rule in NumPy.

A zero "tap" is added to every pre-activation: ∂E/∂tap is δ.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import array_of
from .adapter import Adapter

Arrays = list[Any]  # one for each layer


def observe(case: Case) -> Observation:
    """One learning step on NumPy arrays."""
    from importlib.metadata import version

    with np.errstate(all="ignore"):  # overflow and 0/0 are for the judge to see
        return _observe(case, version("autograd"))


def _observe(case: Case, version: str) -> Observation:
    from autograd import value_and_grad
    from autograd.tracer import getval

    weights = [array_of(layer.weights, case.dtype) for layer in case.layers]
    biases = {k: array_of(x.biases, case.dtype) for k, x in enumerate(case.layers) if x.biases is not None}
    taps = [array_of(np.zeros((case.batch, units)), case.dtype) for units in case.sizes[1:]]
    inputs, targets = array_of(case.inputs, case.dtype), array_of(case.targets, case.dtype)
    zs: Arrays = []
    activations: Arrays = [inputs]

    def objective(parameters: tuple[Arrays, dict[int, Any], Arrays]) -> Any:
        weights, biases, taps = parameters
        for k, layer in enumerate(case.layers):
            z = activations[-1] @ weights[k].T
            zs.append((z + biases[k] if k in biases else z) + taps[k])
            activations.append(_activation(layer.activation, zs[-1]))
        error = _loss(case.loss, activations[-1], targets)
        return error / case.batch if case.reduction == "mean" else error

    loss, (of_weights, of_biases, deltas) = value_and_grad(objective)((weights, biases, taps))
    every = range(len(weights))
    observation = Observation(
        adapter=ADAPTER.name,
        version=version,
        device="cpu",
        precision=case.dtype,
        received=Received(tuple(weights), tuple(map(biases.get, every)), inputs, targets),
        pre_activations=tuple(map(getval, zs)),
        activations=tuple(map(getval, activations[1:])),
        loss=np.asarray(loss),
        deltas=tuple(deltas),
        weight_gradients=tuple(of_weights),
        bias_gradients=tuple(map(of_biases.get, every)),
    )
    if case.learning_rate is None:
        return observation
    rate = inputs.dtype.type(case.learning_rate)
    return replace(
        observation,
        updated_weights=tuple(w - rate * g for w, g in zip(weights, of_weights, strict=True)),
        updated_biases=tuple(biases[k] - rate * of_biases[k] if k in biases else None for k in every),
    )


def _activation(activation: str | Activation, z: Any) -> Any:
    import autograd.numpy as anp
    from autograd.scipy.special import erf, expit, logsumexp

    match parts(activation):
        case "identity", ():
            return z
        case "sigmoid", ():
            return expit(z)
        case "tanh", ():
            return anp.tanh(z)
        case "relu", ():
            return anp.maximum(z, 0)
        case "leaky_relu", slope:
            return anp.where(z > 0, z, (slope[0] if slope else LEAKY_SLOPE) * z)
        case "softplus", ():
            return anp.logaddexp(z, 0)
        case "softmax", ():
            return anp.exp(z - logsumexp(z, axis=1, keepdims=True))
        case "gelu", ():
            return z * (1 + erf(z / math.sqrt(2))) / 2
        case "silu", ():
            return z * expit(z)
        case "hardtanh", ():
            return anp.clip(z, -1, 1)
        case "softsign", ():
            return z / (1 + anp.abs(z))
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Any, t: Any) -> Any:
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    match name:
        case "half_squared_error":
            return anp.sum((o - t) ** 2) / 2
        case "squared_error":
            return anp.sum((o - t) ** 2)
        case "binary_cross_entropy":
            return -anp.sum(t * anp.log(o) + (1 - t) * anp.log1p(-o))
        case "binary_cross_entropy_from_logits":
            return anp.sum(anp.logaddexp(o, 0) - t * o)
        case "softmax_cross_entropy":
            return -anp.sum(t * anp.log(o))
        case "softmax_cross_entropy_from_logits":
            return -anp.sum(t * (o - logsumexp(o, axis=1, keepdims=True)))
        case "absolute_error":
            return anp.sum(anp.abs(o - t))
        case "log_cosh":
            return anp.sum(anp.logaddexp(o - t, t - o) - math.log(2))
        case "hinge":
            return anp.sum(anp.maximum(1 - t * o, 0))
    if (found := parsed(name)) and found[0] == "huber":
        delta, size = found[1][0] if found[1] else 1.0, anp.abs(o - t)
        return anp.sum(anp.where(size <= delta, 0.5 * (o - t) ** 2, delta * (size - 0.5 * delta)))
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "autograd",
    "HIPS autograd: value_and_grad over NumPy",
    package="autograd",
    distributions=("autograd[scipy]", "autograd"),
    run=observe,
    rank=4,
)
