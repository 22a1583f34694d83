"""A weighted log-sum-exp replaces values of weight 0 by −∞: the gradient by that weight is 0, and has to be exp(a)
/ Σ.

https://github.com/jax-ml/jax/issues/22398
Reported of JAX 0.4.30, 2024-07, and live in 0.10.2. It matters in every format.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/22398",
    reported="JAX 0.4.30, 2024-07, and live in 0.10.2",
    kind="wrong branch",
    operation=("exp", "where", "select", "input 1"),
    mistake=("missing", "zero", "never"),
)


def wrong(a: jax.Array, b: jax.Array) -> jax.Array:
    kept = jnp.where(b != 0, a, -jnp.inf)
    top = jax.lax.stop_gradient(kept.max())
    return jnp.log((b * jnp.exp(kept - top)).sum()) + top


def right(a: jax.Array, b: jax.Array) -> jax.Array:
    top = jax.lax.stop_gradient(a.max())
    return jnp.log((b * jnp.exp(a - top)).sum()) + top


def reference(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.log((b * jnp.exp(a)).sum())


def inputs() -> tuple[Array, ...]:
    return drawn(3), np.array([2.0, 0.0, 5.0])
