"""TensorFlow: gradients by `GradientTape`, eagerly; the delta rule by `assign_sub`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import PRECISIONS, array_of
from .adapter import OF_PROGRAMS, Adapter

if TYPE_CHECKING:
    from tensorflow import Tensor

# Activations that tf.nn has under our name.
NN_NAMES = ("sigmoid", "tanh", "relu", "softplus", "elu", "selu", "silu", "softsign", "relu6")


def observe(case: Case) -> Observation:
    """One learning step by a persistent tape; deltas are its gradients at the pre-activations."""
    import tensorflow as tf

    weights = [tf.Variable(array_of(layer.weights, case.dtype)) for layer in case.layers]
    biases = [
        None if layer.biases is None else tf.Variable(array_of(layer.biases, case.dtype)) for layer in case.layers
    ]
    inputs = tf.constant(array_of(case.inputs, case.dtype))
    targets = tf.constant(array_of(case.targets, case.dtype))
    received = Received(_arrays(weights), _arrays(biases), inputs.numpy(), targets.numpy())

    zs: list[Tensor] = []
    activations: list[Tensor] = [inputs]
    with tf.GradientTape(persistent=True) as tape:
        for layer, w, b in zip(case.layers, weights, biases, strict=True):
            z = tf.matmul(activations[-1], w, transpose_b=True)
            zs.append(z if b is None else z + b)
            activations.append(_activation(layer.activation, zs[-1]))
        loss = _loss(case.loss, activations[-1], targets)
        loss = loss / case.batch if case.reduction == "mean" else loss

    gradients = tape.gradient(loss, weights)
    of_biases = [None if b is None else tape.gradient(loss, b) for b in biases]
    observation = Observation(
        adapter=ADAPTER.name,
        version=tf.__version__,
        device=tf.DeviceSpec.from_string(loss.device).device_type.lower(),
        precision=case.dtype,
        received=received,
        pre_activations=_arrays(zs),
        activations=_arrays(activations[1:]),
        loss=np.asarray(loss.numpy()),
        deltas=_arrays(tape.gradient(loss, zs)),
        weight_gradients=_arrays(gradients),
        bias_gradients=_arrays(of_biases),
    )
    if case.learning_rate is None:
        return observation
    return replace(
        observation,
        updated_weights=_stepped(weights, gradients, case.learning_rate),
        updated_biases=_stepped(biases, of_biases, case.learning_rate),
    )


def _stepped(variables: list[Any], gradients: list[Any], rate: float) -> tuple[np.ndarray | None, ...]:
    for variable, gradient in zip(variables, gradients, strict=True):
        if variable is not None:
            variable.assign_sub(rate * gradient)
    return _arrays(variables)


def _arrays(tensors: Any) -> tuple[np.ndarray | None, ...]:
    return tuple(None if tensor is None else tensor.numpy().copy() for tensor in tensors)


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of TensorFlow, eagerly, on an array of any dtype."""
    import tensorflow as tf

    tensor = tf.constant(x)
    match function:
        case "gelu_gate":
            return np.asarray(2 * tf.nn.gelu(tensor).numpy().astype(np.float64) / x.astype(np.float64))
        case "pow":
            return np.asarray(tf.pow(tensor, tensor))
        case "erfc" | "erf" | "erfinv" | "exp" | "expm1" | "log" | "log1p":
            return np.asarray(getattr(tf.math, function)(tensor))
    if function in OF_PROGRAMS:
        return np.asarray(getattr(tf.math, function)(tensor))
    return np.asarray(_activation(function, tensor))


def _activation(activation: str | Activation, z: Tensor) -> Tensor:
    import tensorflow as tf

    match parts(activation):
        case "identity", ():
            return z
        case "leaky_relu", slope:
            return tf.nn.leaky_relu(z, alpha=slope[0] if slope else LEAKY_SLOPE)
        case "gelu", ():
            return tf.nn.gelu(z)
        case "gelu_tanh", ():
            return tf.nn.gelu(z, approximate=True)
        case "softmax", ():
            return tf.nn.softmax(z, axis=1)
        case "hardtanh", ():
            return tf.clip_by_value(z, -1, 1)
        case "scaled_tanh", (scale, steepness):
            return scale * tf.tanh(steepness * z)
        case "sigmoid", (steepness,):
            return tf.sigmoid(steepness * z)
        case "silu", (steepness,):
            return tf.nn.silu(z, beta=steepness)
        case "softplus", (steepness,):
            return tf.nn.softplus(steepness * z) / steepness
        case name, () if name in NN_NAMES:
            return getattr(tf.nn, name)(z)
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Tensor, t: Tensor) -> Tensor:
    import tensorflow as tf

    match name:
        case "half_squared_error":
            return tf.nn.l2_loss(o - t)
        case "squared_error":
            return tf.reduce_sum(tf.math.squared_difference(o, t))
        case "binary_cross_entropy":
            return -tf.reduce_sum(t * tf.math.log(o) + (1 - t) * tf.math.log1p(-o))
        case "binary_cross_entropy_from_logits":
            return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=o))
        case "softmax_cross_entropy":
            return -tf.reduce_sum(t * tf.math.log(o))
        case "softmax_cross_entropy_from_logits":
            return tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels=t, logits=o))
        case "absolute_error":
            return tf.reduce_sum(tf.abs(o - t))
        case "hinge":
            return tf.reduce_sum(tf.maximum(1 - t * o, 0))
    if (found := parsed(name)) and found[0] == "huber":
        delta, size = found[1][0] if found[1] else 1.0, tf.abs(o - t)
        return tf.reduce_sum(tf.where(size <= delta, 0.5 * (o - t) ** 2, delta * (size - 0.5 * delta)))
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "tensorflow",
    "TensorFlow: GradientTape, eagerly",
    package="tensorflow",
    distributions=("tensorflow-cpu", "tensorflow"),
    run=observe,
    rank=4,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
)
