"""Backpropagation in NumPy, vectorised over the batch and written without the reference: a second opinion by hand.

Everything is stored in the case's dtype. Products of 16-bit numbers, and sums of them, are added up in float32, as
hardware does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.backprop import Rules
from ..reference.case import Case, run
from ..reference.judging import Observation, Received
from ..reference.numbers import PRECISIONS, ArrayArithmetic, array_of, erf, numpy_dtype
from .adapter import OF_PROGRAMS, Adapter

Array = NDArray[Any]


Product = Callable[[Array, Array], Array]  # rows × inner times inner × columns


def product(left: Array, right: Array) -> Array:
    """The matrix product by NumPy's BLAS, stored in the operands' dtype."""
    wide = wide_dtype(left.dtype)
    return (left.astype(wide, copy=False) @ right.astype(wide, copy=False)).astype(left.dtype, copy=False)


def observe(case: Case, product: Product = product) -> Observation:
    """One learning step, every array of the batch at once.

    product: how matrices are multiplied; any order of summation is as good as another
    """
    with np.errstate(all="ignore"):  # overflow and 0/0 are for the judge to see
        return _observe(case, numpy_dtype(case.dtype), product)


def plant(case: Case, rules: Rules) -> Observation:
    """The reference with other rules, on arrays of the case's dtype."""
    step = run(case, ArrayArithmetic(case.dtype), rules)

    def row(matrix: Array | None) -> Array | None:
        return None if matrix is None else matrix.reshape(-1)

    return Observation(
        adapter=ADAPTER.name,
        version=np.__version__,
        device="cpu",
        precision=case.dtype,
        weight_gradients=step.backward.weight_gradients,
        bias_gradients=tuple(map(row, step.backward.bias_gradients)),
        updated_weights=None if step.updated is None else tuple(layer.weights for layer in step.updated),
        updated_biases=None if step.updated is None else tuple(row(layer.biases) for layer in step.updated),
    )


def _observe(case: Case, dtype: np.dtype[Any], product: Product) -> Observation:
    weights = [array_of(layer.weights, case.dtype) for layer in case.layers]
    biases = [None if layer.biases is None else array_of(layer.biases, case.dtype) for layer in case.layers]
    names = [layer.activation for layer in case.layers]
    x, t = array_of(case.inputs, case.dtype), array_of(case.targets, case.dtype)
    scale = dtype.type(1 / len(x) if case.reduction == "mean" else 1)

    zs: list[Array] = []
    activations = [x]
    for w, b, name in zip(weights, biases, names, strict=True):
        z = product(activations[-1], w.T)
        zs.append(z if b is None else z + b)
        activations.append(_value(name, zs[-1]))

    outputs = activations[-1]
    delta = _output_delta(case.loss, names[-1], zs[-1], outputs, t) * scale
    deltas = [delta]
    for k in range(len(weights) - 2, -1, -1):
        delta = product(delta, weights[k + 1]) * _derivative(names[k], zs[k], activations[k + 1])
        deltas.insert(0, delta)

    weight_gradients = [product(delta.T, received) for delta, received in zip(deltas, activations[:-1], strict=True)]
    bias_gradients = [None if b is None else _sum(delta, axis=0) for delta, b in zip(deltas, biases, strict=True)]
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


# NumPy's names of the inverse functions.
ARC = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh"}


def evaluate(function: str, x: Array) -> Array:
    """One elementary function, on an array of any dtype."""
    with np.errstate(all="ignore"):
        match function:
            case "exp":
                return np.exp(x)
            case "expm1":
                return np.expm1(x)
            case "log":
                return np.log(x)
            case "log1p":
                return np.log1p(x)
            case "erf":
                return erf(x)
            case "gelu_gate":
                return np.asarray(x.dtype.type(1) + erf(x / np.sqrt(x.dtype.type(2))))
            case "pow":
                return np.asarray(np.power(x, x))
        if function in OF_PROGRAMS:
            return np.asarray(getattr(np, ARC.get(function, function))(x))
        return _value(function, x)


def _stepped(old: list[Any], gradients: list[Any], rate: Any) -> list[Array | None]:
    return [None if value is None else value - rate * gradient for value, gradient in zip(old, gradients, strict=True)]


def wide_dtype(dtype: np.dtype[Any]) -> Any:
    """What numbers of this dtype are added up in."""
    return np.float32 if dtype.itemsize == 2 else dtype


def _sum(x: Array, axis: int | None = None, keepdims: bool = False) -> Array:
    return np.asarray(x.sum(axis=axis, dtype=wide_dtype(x.dtype), keepdims=keepdims)).astype(x.dtype, copy=False)


def _sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small)).astype(z.dtype)


def _softplus(z: Array) -> Array:
    return np.logaddexp(z, z.dtype.type(0))


def _log_softmax(z: Array) -> Array:
    shifted = z - z.max(axis=1, keepdims=True)
    return shifted - np.log(_sum(np.exp(shifted), axis=1, keepdims=True))


def _softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / _sum(powers, axis=1, keepdims=True)


def _value(activation: str | Activation, z: Array) -> Array:
    match activation:
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
    raise NotImplementedError(f"activation {activation}")


def _derivative(activation: str | Activation, z: Array, a: Array) -> Array:
    one = z.dtype.type(1)
    match activation:
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
    raise NotImplementedError(f"derivative of {activation}")


def _output_delta(loss: str, activation: str | Activation, z: Array, o: Array, t: Array) -> Array:
    one = o.dtype.type(1)
    match loss:
        case "softmax_cross_entropy_from_logits":
            return _softmax(z) - t
        case "binary_cross_entropy_from_logits":
            return _sigmoid(z) - t
        case "softmax_cross_entropy":
            error = -t / o
        case "binary_cross_entropy":
            error = (one - t) / (one - o) - t / o
        case "squared_error":
            error = o.dtype.type(2) * (o - t)
        case "half_squared_error":
            error = o - t
        case _:
            raise NotImplementedError(f"loss {loss}")
    if activation == "softmax":
        return o * (error - _sum(error * o, axis=1, keepdims=True))
    return error * _derivative(activation, z, o)


def _loss(loss: str, o: Array, t: Array) -> Any:
    one = o.dtype.type(1)
    match loss:
        case "half_squared_error":
            return _sum((o - t) ** 2) / o.dtype.type(2)
        case "squared_error":
            return _sum((o - t) ** 2)
        case "binary_cross_entropy":
            return -_sum(t * np.log(o) + (one - t) * np.log1p(-o))
        case "binary_cross_entropy_from_logits":
            return _sum(_softplus(o) - t * o)
        case "softmax_cross_entropy":
            return -_sum(t * np.log(o))
        case "softmax_cross_entropy_from_logits":
            return -_sum(t * _log_softmax(o))
    raise NotImplementedError(f"loss {loss}")


ADAPTER = Adapter(
    "numpy",
    "NumPy: vectorised backpropagation by hand",
    package="numpy",
    run=observe,
    rank=1,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
    plant=plant,
)
