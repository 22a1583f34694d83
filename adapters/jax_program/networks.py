"""The networks that adapters are compared on, in JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ...reference.programs.networks import EPSILON, TOKENS

Parameters = Mapping[str, Any]


def _linear(x: Any, weights: Any, biases: Any) -> Any:
    return x @ weights.T + biases


def _normed(x: Any, axes: tuple[int, ...]) -> Any:
    return (x - x.mean(axes, keepdims=True)) * lax.rsqrt(x.var(axes, keepdims=True) + EPSILON)


def _cross_entropy(z: Any, targets: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(z), targets[:, None], 1).mean()


def _convolved(x: Any, kernel: Any, bias: Any, stride: int) -> Any:
    z = lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)))
    return z + bias[:, None, None]


def cnn(p: Parameters, inputs: Sequence[Any], targets: Any) -> Any:
    """See `reference/programs/networks.py`."""
    z = _convolved(inputs[0], p["convolution"], p["convolution_bias"], 1)
    z = _normed(z, (0, 2, 3)) * p["scale"][:, None, None] + p["shift"][:, None, None]
    z = lax.reduce_window(jax.nn.relu(z), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    z = _convolved(z, p["strided"], p["strided_bias"], 2)
    return _cross_entropy(_linear(z.reshape(z.shape[0], -1), p["linear"], p["linear_bias"]), targets)


def lstm(p: Parameters, inputs: Sequence[Any], targets: Any) -> Any:
    """See `reference/programs/networks.py`. The steps are a scan."""
    x = inputs[0]

    def step(state: Any, received: Any) -> Any:
        h, c = state
        gates = _linear(received, p["input_weights"], p["input_bias"]) + _linear(
            h, p["hidden_weights"], p["hidden_bias"]
        )
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    start = jnp.zeros((x.shape[1], 5), x.dtype)
    (h, _), _ = lax.scan(step, (start, start), x)
    return _cross_entropy(_linear(h, p["linear"], p["linear_bias"]), targets)


def gpt_block(p: Parameters, _: Sequence[Any], targets: Any) -> Any:
    """See `reference/programs/networks.py`."""
    x = p["embedding"][TOKENS] + p["positions"]
    z = _normed(x, (-1,)) * p["norm_scale"] + p["norm_shift"]
    q, k, v = _linear(z, p["attention"], p["attention_bias"]).reshape(5, 3, 2, 3).transpose(1, 2, 0, 3)
    scores = jnp.where(jnp.tri(5, dtype=bool), q @ k.swapaxes(-1, -2) / jnp.sqrt(3.0).astype(x.dtype), -jnp.inf)
    heads = (jax.nn.softmax(scores) @ v).transpose(1, 0, 2).reshape(5, 6)
    x = x + _linear(heads, p["projection"], p["projection_bias"])
    z = _normed(x, (-1,)) * p["second_scale"] + p["second_shift"]
    z = jax.nn.gelu(_linear(z, p["wide"], p["wide_bias"]), approximate=True)
    x = x + _linear(z, p["narrow"], p["narrow_bias"])
    return _cross_entropy(x @ p["embedding"].T, targets)


FORWARD: dict[str, Callable[..., Any]] = {"cnn": cnn, "lstm": lstm, "gpt_block": gpt_block}


def function(name: str, names: Sequence[str], targets: Any) -> Callable[..., Any]:
    """f(*parameters in this order, *inputs) → loss."""
    targets = targets.astype("int32")  # an int64 that JAX met in 64 bits, it takes for one in 32 bits too, and fails

    def forward(*arrays: Any) -> Any:
        parameters = dict(zip(names, arrays, strict=False))
        return FORWARD[name](parameters, arrays[len(names) :], targets)

    forward.__name__ = name
    return forward
