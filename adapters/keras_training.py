"""Keras 3: its own training step, on the backend that it is set to: TensorFlow, JAX or PyTorch.

Gradients are what `train_on_batch` hands its optimizer. Pre-activations, activations and the loss are those of a second
call of the same layers, with the same numbers, before it. Deltas are nowhere to be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.case import Case
from ..reference.judging import QUANTITIES, Observation, Received
from ..reference.more_activations import parts
from ..reference.numbers import PRECISIONS, array_of, numpy_dtype
from .adapter import Adapter
from .jax_grad import enable_x64

BACKENDS = ("tensorflow", "jax", "torch")  # those that differentiate
# Activations that keras.activations has, by our names.
NAMES = {
    "identity": "linear", "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softplus": "softplus", "elu": "elu",
    "selu": "selu", "gelu": "gelu", "silu": "silu", "mish": "mish", "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid", "hardswish": "hard_silu", "softsign": "softsign", "relu6": "relu6",
    "softmax": "softmax",
}  # fmt: skip


def cannot(case: Case) -> str | None:
    """What the backend that Keras is set to lacks."""
    try:
        import keras
    except ImportError:  # of the backend; told when the case is run
        return None
    backend = keras.config.backend()
    if backend not in BACKENDS:
        return f"gradients on its backend {backend}"
    if case.dtype == "float64" and backend != "tensorflow":
        return f"float64 on its backend {backend}: it makes float32 of results there"
    return None


def observe(case: Case) -> Observation:
    """One `train_on_batch` by SGD, not compiled, on the CPU. Raises RuntimeError for a backend without gradients."""
    import keras

    backend = keras.config.backend()
    if backend not in BACKENDS:
        raise RuntimeError(f"Keras's backend {backend} computes no gradients; set KERAS_BACKEND to another")
    with _computing_in(case.dtype, backend), keras.device("cpu"):
        return _observe(case, f"cpu ({backend})")


def _observe(case: Case, device: str) -> Observation:
    import keras

    inputs, targets = array_of(case.inputs, case.dtype), array_of(case.targets, case.dtype)
    a = given = keras.Input((inputs.shape[1],), dtype=case.dtype)
    layers, zs, activations = [], [], []
    for layer in case.layers:
        layers.append(keras.layers.Dense(len(layer.weights), use_bias=layer.biases is not None))
        zs.append(layers[-1](a))
        a = keras.layers.Activation(_activation(layer.activation))(zs[-1])
        activations.append(a)
    for layer, dense in zip(case.layers, layers, strict=True):
        weights = np.ascontiguousarray(array_of(layer.weights, case.dtype).T)
        dense.set_weights([weights] if layer.biases is None else [weights, array_of(layer.biases, case.dtype)])
    x, t = keras.ops.convert_to_tensor(inputs), keras.ops.convert_to_tensor(targets)
    held = _array(x, case.dtype), _array(t, case.dtype)
    received = Received(_kernels(layers, case.dtype), _biases(layers, case.dtype), *held)

    seen = [_array(tensor, case.dtype) for tensor in keras.Model(given, zs + activations)(x)]
    model = keras.Model(given, a)
    loss, optimizer = _loss(case), _optimizer(case.learning_rate or 1.0)
    model.compile(optimizer=optimizer, loss=loss, run_eagerly=True)
    error = _array(loss(t, model(x)), case.dtype)
    model.train_on_batch(inputs, targets)

    gradients = {id(variable): _array(g, case.dtype) for variable, g in optimizer.seen}
    observation = Observation(
        adapter=ADAPTER.name,
        version=keras.__version__,
        device=device,
        precision=case.dtype,
        received=received,
        pre_activations=tuple(seen[: len(layers)]),
        activations=tuple(seen[len(layers) :]),
        loss=error,
        weight_gradients=tuple(gradients[id(dense.kernel)].T for dense in layers),
        bias_gradients=tuple(gradients[id(dense.bias)] if dense.use_bias else None for dense in layers),
    )
    if case.learning_rate is None:
        return observation
    return replace(
        observation, updated_weights=_kernels(layers, case.dtype), updated_biases=_biases(layers, case.dtype)
    )


@contextmanager
def _computing_in(dtype: str, backend: str) -> Iterator[None]:
    """Layers, losses and optimizers made for this dtype: two settings of Keras, of which layers heed the second."""
    import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    wide: Any = nullcontext()
    if backend == "jax":
        wide = enable_x64(True)
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        with wide:
            yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _optimizer(rate: float) -> Any:
    """SGD that keeps what it is handed; made here, because keras may be absent."""
    import keras

    class Seeing(keras.optimizers.SGD):
        def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
            self.seen = list(zip(trainable_variables or self._trainable_variables, grads, strict=True))
            return super().apply(grads, trainable_variables)

    return Seeing(learning_rate=rate)


def _loss(case: Case) -> Any:
    """The loss of each sample, reduced by Keras. Where Keras has the sum over outputs, it is Keras's."""
    import keras
    from keras import ops

    class Error(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            match case.loss:
                case "half_squared_error":
                    return ops.sum(ops.square(y_pred - y_true), axis=-1) / 2
                case "squared_error":
                    return ops.sum(ops.square(y_pred - y_true), axis=-1)
                case "absolute_error":
                    return ops.sum(ops.absolute(y_pred - y_true), axis=-1)
                case "hinge":
                    return ops.sum(ops.relu(1 - y_true * y_pred), axis=-1)
                case "binary_cross_entropy":
                    return ops.sum(ops.binary_crossentropy(y_true, y_pred), axis=-1)
                case "binary_cross_entropy_from_logits":
                    return ops.sum(ops.binary_crossentropy(y_true, y_pred, from_logits=True), axis=-1)
                case "softmax_cross_entropy":
                    return ops.categorical_crossentropy(y_true, y_pred)
                case "softmax_cross_entropy_from_logits":
                    return ops.categorical_crossentropy(y_true, y_pred, from_logits=True)
            raise NotImplementedError(f"loss {case.loss}")

    return Error(reduction="sum" if case.reduction == "sum" else "sum_over_batch_size")


def _activation(activation: str | Activation) -> Any:
    import keras

    match parts(activation):
        case "leaky_relu", slope:
            return lambda z: keras.ops.leaky_relu(z, negative_slope=slope[0] if slope else LEAKY_SLOPE)
        case "gelu_tanh", ():
            return lambda z: keras.ops.gelu(z, approximate=True)
        case "elu", (alpha,):
            return lambda z: keras.ops.elu(z, alpha)
        case name, () if name in NAMES:
            return keras.activations.get(NAMES[name])
    raise NotImplementedError(f"activation {activation}")


def _array(tensor: Any, dtype: str) -> np.ndarray:
    import keras

    if len(tensor.shape) == 0:  # NumPy takes no single bfloat16 of TensorFlow's
        tensor = keras.ops.reshape(tensor, (1,))
    found = np.array(keras.ops.convert_to_numpy(tensor))
    return found.astype(numpy_dtype(dtype)) if dtype == "bfloat16" else found  # PyTorch's comes as float32


def _kernels(layers: list[Any], dtype: str) -> tuple[np.ndarray, ...]:
    """Units × inputs, of Keras's inputs × units."""
    return tuple(_array(dense.kernel, dtype).T for dense in layers)


def _biases(layers: list[Any], dtype: str) -> tuple[np.ndarray | None, ...]:
    return tuple(_array(dense.bias, dtype) if dense.use_bias else None for dense in layers)


ADAPTER = Adapter(
    "keras",
    "Keras 3: train_on_batch, on the backend it is set to",
    package="keras",
    run=observe,
    rank=4,
    dtypes=tuple(PRECISIONS),
    shows=tuple(quantity for quantity in QUANTITIES if quantity != "deltas"),
    limits="shows no δ; float64 on its TensorFlow backend only",
    cannot=cannot,
)
