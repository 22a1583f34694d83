"""JAX's activations, for the networks that `jax_networks.py` and `jax_sequences.py` draw."""

# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = Any
Made = tuple[str, Callable[..., Any], tuple[Any, ...]]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": jax.nn.identity,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "elu 0.5": lambda x: jax.nn.elu(x, 0.5),
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "celu 0.7": lambda x: jax.nn.celu(x, 0.7),
    "leaky_relu": jax.nn.leaky_relu,
    "leaky_relu 0.2": lambda x: jax.nn.leaky_relu(x, 0.2),
    "relu6": jax.nn.relu6,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "log_sigmoid": jax.nn.log_sigmoid,
    "soft_sign": jax.nn.soft_sign,
    "mish": jax.nn.mish,
    "squareplus": jax.nn.squareplus,
    "squareplus 2": lambda x: jax.nn.squareplus(x, 2.0),
    "sparse_plus": jax.nn.sparse_plus,
    "sparse_sigmoid": jax.nn.sparse_sigmoid,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "standardize": jax.nn.standardize,
    "log1mexp": lambda x: jax.nn.log1mexp(x * x + 0.3),
    "sine": lambda x: jnp.sin(3 * x),
    "snake": lambda x: x + jnp.sin(x) ** 2,
    "cubed relu": lambda x: jax.nn.relu(x) ** 3 / 3,
}
