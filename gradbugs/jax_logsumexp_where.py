"""A masked log-sum-exp computes exp of what is masked as well: it overflows there, and 0 · ∞ is the gradient.

https://github.com/jax-ml/jax/issues/23842
Reported of JAX 0.4.33, 2024-09. It matters in every format.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .bug import Array, Bug, whole

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/23842",
    reported="JAX 0.4.33, 2024-09",
    kind="where trap",
    operation=("exp", "where", "select", "input 0"),
    mistake=("not finite", "nan", "NaN", "no finite"),
)


def wrong(a: jax.Array, mask: jax.Array) -> jax.Array:
    top = jax.lax.stop_gradient(jnp.where(mask, a, -jnp.inf).max())
    return jnp.log(jnp.where(mask, jnp.exp(a - top), 0.0).sum()) + top


def right(a: jax.Array, mask: jax.Array) -> jax.Array:
    top = jax.lax.stop_gradient(jnp.where(mask, a, -jnp.inf).max())
    kept = jnp.where(mask, a, top)
    return jnp.log(jnp.where(mask, jnp.exp(kept - top), 0.0).sum()) + top


reference = right


def inputs() -> tuple[Array, ...]:
    return np.array([0.0, 1e5, 0.5]), whole(True, False, True)
