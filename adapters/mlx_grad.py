"""MLX: gradients by `value_and_grad`, the delta rule by `mlx.optimizers.SGD`, on the CPU, which alone has float64.

Deltas are not visible in a functional framework. A zero "tap" is added to every pre-activation: ∂E/∂tap is δ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parsed, parts
from ..reference.numbers import PRECISIONS, array_of, numpy_dtype
from .adapter import OF_PROGRAMS, Adapter

Arrays = list[Any]  # one for each layer

# Activations that mlx.nn has, by our names.
NN_NAMES = {
    "sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softplus": "softplus", "elu": "elu", "selu": "selu",
    "gelu": "gelu", "gelu_tanh": "gelu_approx", "silu": "silu", "mish": "mish", "hardtanh": "hard_tanh",
    "hardswish": "hardswish", "softsign": "softsign", "relu6": "relu6",
}  # fmt: skip
# MLX's names of the inverse functions.
ARC = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}


def observe(case: Case) -> Observation:
    """One learning step, not compiled."""
    import mlx.core as mx

    with mx.stream(mx.cpu):
        return _observe(case)


def _observe(case: Case) -> Observation:
    import mlx.core as mx
    from mlx.optimizers import SGD

    def array(rows: Any) -> Any:
        return _array(array_of(rows, case.dtype))

    weights = [array(layer.weights) for layer in case.layers]
    biases = {str(k): array(layer.biases) for k, layer in enumerate(case.layers) if layer.biases is not None}
    taps = [array(np.zeros((case.batch, units))) for units in case.sizes[1:]]
    inputs, targets = array(case.inputs), array(case.targets)
    received = Received(_shown(weights), _of_layers(biases, case), _numpy(inputs), _numpy(targets))

    def objective(weights: Arrays, biases: dict[str, Any], taps: Arrays) -> tuple[Any, Arrays, Arrays]:
        zs, activations = [], [inputs]
        for k, layer in enumerate(case.layers):
            z = activations[-1] @ weights[k].T
            zs.append((z + biases[str(k)] if str(k) in biases else z) + taps[k])
            activations.append(_activation(layer.activation, zs[-1]))
        error = _loss(case.loss, activations[-1], targets)
        return (error / case.batch if case.reduction == "mean" else error), zs, activations[1:]

    differentiate = mx.value_and_grad(objective, argnums=(0, 1, 2))
    (loss, zs, activations), (of_weights, of_biases, deltas) = differentiate(weights, biases, taps)
    observation = Observation(
        adapter=ADAPTER.name,
        version=mx.__version__,
        device="cpu",
        precision=case.dtype,
        received=received,
        pre_activations=_shown(zs),
        activations=_shown(activations),
        loss=_numpy(loss),
        deltas=_shown(deltas),
        weight_gradients=_shown(of_weights),
        bias_gradients=_of_layers(of_biases, case),
    )
    if case.learning_rate is None:
        return observation
    gradients, parameters = {"w": of_weights, "b": of_biases}, {"w": weights, "b": biases}
    updated = SGD(case.learning_rate).apply_gradients(gradients, parameters)
    return replace(observation, updated_weights=_shown(updated["w"]), updated_biases=_of_layers(updated["b"], case))


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """One elementary function of MLX, on the CPU, on an array of any dtype."""
    import mlx.core as mx

    with mx.stream(mx.cpu):
        array = _array(x)
        match function:
            case "gelu_gate":
                gelu = _numpy(_activation("gelu", array))
                return np.asarray(2 * gelu.astype(np.float64) / x.astype(np.float64))
            case "pow":
                return _numpy(mx.power(array, array))
            case "exp" | "expm1" | "log" | "log1p" | "erf" | "erfinv":
                return _numpy(getattr(mx, function)(array))
        if function in OF_PROGRAMS:
            return _numpy(getattr(mx, ARC.get(function, function))(array))
        return _numpy(_activation(function, array))


def _array(array: np.ndarray) -> Any:
    """The array's numbers. Without its dtype, MLX would make float32 of float64; it reads no bfloat16 of NumPy's."""
    import mlx.core as mx

    name = array.dtype.name
    return mx.array(array.astype(np.float32) if name == "bfloat16" else array, dtype=getattr(mx, name))


def _numpy(array: Any) -> np.ndarray:
    import mlx.core as mx

    if array.dtype == mx.bfloat16:
        return np.array(array.astype(mx.float32)).astype(numpy_dtype("bfloat16"))
    return np.array(array)


def _shown(arrays: Arrays) -> tuple[np.ndarray, ...]:
    return tuple(_numpy(array) for array in arrays)


def _of_layers(arrays: dict[str, Any], case: Case) -> tuple[np.ndarray | None, ...]:
    return tuple(_numpy(arrays[str(k)]) if str(k) in arrays else None for k in range(len(case.layers)))


def _activation(activation: str | Activation, z: Any) -> Any:
    import mlx.core as mx
    from mlx import nn

    match parts(activation):
        case "identity", ():
            return z
        case "softmax", ():
            return mx.softmax(z, axis=1)
        case "leaky_relu", slope:
            return nn.leaky_relu(z, slope[0] if slope else LEAKY_SLOPE)
        case "elu", (alpha,):
            return nn.elu(z, alpha)
        case "scaled_tanh", (scale, steepness):
            return scale * mx.tanh(steepness * z)
        case "sigmoid", (steepness,):
            return mx.sigmoid(steepness * z)
        case "silu", (steepness,):
            return z * mx.sigmoid(steepness * z)
        case "softplus", (steepness,):
            return nn.softplus(steepness * z) / steepness
        case name, () if name in NN_NAMES:
            return getattr(nn, NN_NAMES[name])(z)
    raise NotImplementedError(f"activation {activation}")


def _loss(name: str, o: Any, t: Any) -> Any:
    import mlx.core as mx
    from mlx.nn import losses

    match name:
        case "half_squared_error":
            return losses.mse_loss(o, t, reduction="sum") / 2
        case "squared_error":
            return losses.mse_loss(o, t, reduction="sum")
        case "binary_cross_entropy":
            return losses.binary_cross_entropy(o, t, with_logits=False, reduction="sum")
        case "binary_cross_entropy_from_logits":
            return losses.binary_cross_entropy(o, t, with_logits=True, reduction="sum")
        case "softmax_cross_entropy":
            return -mx.sum(t * mx.log(o))
        case "softmax_cross_entropy_from_logits":
            return losses.cross_entropy(o, t, reduction="sum")
        case "absolute_error":
            return losses.l1_loss(o, t, reduction="sum")
        case "log_cosh":
            return losses.log_cosh_loss(o, t, reduction="sum")
        case "hinge":
            return losses.hinge_loss(o, t, reduction="sum")
    if (found := parsed(name)) and found[0] == "huber":
        return losses.huber_loss(o, t, delta=found[1][0] if found[1] else 1.0, reduction="sum")
    raise NotImplementedError(f"loss {name}")


ADAPTER = Adapter(
    "mlx",
    "MLX: value_and_grad on the CPU, mlx.optimizers.SGD",
    package="mlx",
    distributions=("mlx[cpu]", "mlx"),
    run=observe,
    rank=4,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
)
