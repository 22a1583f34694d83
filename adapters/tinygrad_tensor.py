"""tinygrad: gradients by `Tensor.gradient`, on its default device; on its PYTHON where it has no other here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from ..reference.activations import Activation
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import PRECISIONS, array_of, numpy_dtype
from .adapter import OF_PROGRAMS, Adapter

# Activations that a Tensor has under our name. Its gelu is our gelu_tanh.
METHODS = (
    "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "elu", "selu", "silu", "mish", "hardtanh", "hardsigmoid",
    "hardswish", "softsign", "relu6",
)  # fmt: skip
ON_THE_PROCESSOR = ("CPU", "PYTHON")


def observe(case: Case) -> Observation:
    """One learning step; all that is shown is computed at once, and the update from it."""
    with _device():
        return _observe(case)


def _observe(case: Case) -> Observation:
    from importlib.metadata import version

    from tinygrad import Tensor

    weights = [_tensor(array_of(layer.weights, case.dtype)) for layer in case.layers]
    biases = [None if x.biases is None else _tensor(array_of(x.biases, case.dtype)) for x in case.layers]
    inputs, targets = _tensor(array_of(case.inputs, case.dtype)), _tensor(array_of(case.targets, case.dtype))
    received = Received(_arrays(weights), _arrays(biases), _array(inputs), _array(targets))

    zs: list[Any] = []
    activations = [inputs]
    for layer, w, b in zip(case.layers, weights, biases, strict=True):
        zs.append(activations[-1].linear(w.T, b))
        activations.append(_activation(layer.activation, zs[-1]))
    loss = _loss(case.loss, activations[-1], targets)
    loss = loss / case.batch if case.reduction == "mean" else loss

    there = [b for b in biases if b is not None]
    gradients = loss.gradient(*zs, *weights, *there)
    Tensor.realize(loss, *zs, *activations, *gradients)
    count = len(weights)
    deltas, of_weights, left = gradients[:count], gradients[count : 2 * count], iter(gradients[2 * count :])
    of_biases = [None if b is None else next(left) for b in biases]
    device = str(loss.device)
    observation = Observation(
        adapter=ADAPTER.name,
        version=version("tinygrad"),
        device=f"cpu ({device})" if device.startswith(ON_THE_PROCESSOR) else device,
        precision=case.dtype,
        received=received,
        pre_activations=_arrays(zs),
        activations=_arrays(activations[1:]),
        loss=_array(loss),
        deltas=_arrays(deltas),
        weight_gradients=_arrays(of_weights),
        bias_gradients=_arrays(of_biases),
    )
    if case.learning_rate is None:
        return observation
    rate = case.learning_rate
    return replace(
        observation,
        updated_weights=_arrays(w - rate * g for w, g in zip(weights, of_weights, strict=True)),
        updated_biases=_arrays(
            None if b is None or g is None else b - rate * g for b, g in zip(biases, of_biases, strict=True)
        ),
    )


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of tinygrad, on an array of any dtype."""
    with _device():
        tensor = _tensor(x)
        if function in ("exp", "log", "erf") or function in OF_PROGRAMS:
            return _array(getattr(tensor, function)())
        return _array(_activation(function, tensor))


def _tensor(array: np.ndarray) -> Any:
    """The array's numbers; it reads no bfloat16 of NumPy's."""
    from tinygrad import Tensor, dtypes

    if array.dtype.name == "bfloat16":
        return Tensor(array.astype(np.float32)).cast(dtypes.bfloat16).realize()
    return Tensor(array).realize()


def _device() -> AbstractContextManager[object]:
    """Where there is no compiler, such as clang, for any device's code, its PYTHON takes the place of all."""
    from tinygrad import Device
    from tinygrad.helpers import Context

    try:
        return nullcontext(Device.DEFAULT)
    except RuntimeError:
        return Context(DEV="PYTHON")


def _array(tensor: Any) -> np.ndarray:
    from tinygrad import dtypes

    if tensor.dtype == dtypes.bfloat16:
        return np.asarray(tensor.cast(dtypes.float32).numpy()).astype(numpy_dtype("bfloat16"))
    return np.array(tensor.numpy())


def _arrays(tensors: Any) -> tuple[np.ndarray | None, ...]:
    return tuple(None if tensor is None else _array(tensor) for tensor in tensors)


def _activation(activation: str | Activation, z: Any) -> Any:
    match parts(activation):
        case "identity", ():
            return z.contiguous()  # a tensor of its own: what is shown as z is then not the activation's
        case "gelu_tanh", ():
            return z.gelu()
        case "softmax", ():
            return z.softmax(axis=1)
        case "leaky_relu", (slope,):
            return z.leaky_relu(slope)
        case "elu", (alpha,):
            return z.elu(alpha)
        case "scaled_tanh", (scale, steepness):
            return scale * (steepness * z).tanh()
        case "sigmoid", (steepness,):
            return (steepness * z).sigmoid()
        case "silu", (steepness,):
            return z * (steepness * z).sigmoid()
        case "softplus", (steepness,):
            return z.softplus(steepness)
        case name, () if name in METHODS:
            return getattr(z, name)()
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Any, t: Any) -> Any:
    match name:
        case "half_squared_error":
            return (o - t).square().sum() / 2
        case "squared_error":
            return (o - t).square().sum()
        case "binary_cross_entropy":
            return o.binary_crossentropy(t, reduction="sum")
        case "binary_cross_entropy_from_logits":
            return o.binary_crossentropy_logits(t, reduction="sum")
        case "softmax_cross_entropy":
            return -(t * o.log()).sum()
        case "softmax_cross_entropy_from_logits":
            return o.cross_entropy(t, reduction="sum")
        case "absolute_error":
            return (o - t).abs().sum()
        case "hinge":
            return (1 - t * o).relu().sum()
    if (found := parsed(name)) and found[0] == "huber":
        delta, size = found[1][0] if found[1] else 1.0, (o - t).abs()
        return (size <= delta).where(0.5 * (o - t).square(), delta * (size - 0.5 * delta)).sum()
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "tinygrad",
    "tinygrad: Tensor.gradient on its default device",
    package="tinygrad",
    run=observe,
    rank=4,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
)
