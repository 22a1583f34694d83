"""Softplus as max(x, 0) + log(1 + exp(−|x|)) has the gradient 0 at 0, by two conventions at once, and not a half.

https://github.com/jax-ml/jax/issues/2107
Reported of JAX, 2020-01. It matters in every format.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .bug import Array, Bug

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/2107",
    reported="JAX, 2020-01",
    kind="convention at a kink",
    operation=("abs", "max", "relu", "input 0"),
    mistake=("missing", "halved", "kink", "zero", "never"),
)


def wrong(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def right(x: jax.Array) -> jax.Array:
    return jax.nn.softplus(x)


reference = right


def inputs() -> tuple[Array, ...]:
    return (np.array([0.0, 0.7, -1.3]),)
