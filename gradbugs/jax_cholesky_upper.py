"""With lower=False a Cholesky factor reads the upper triangle only, and the lower one is given a gradient.

https://github.com/jax-ml/jax/issues/40421
Reported of JAX 0.11.2, 2026-09, and live in 0.10.2. It matters in float64 and float32.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .bug import Array, Bug

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/40421",
    reported="JAX 0.11.2, 2026-09, and live in 0.10.2",
    kind="missing mask",
    operation=("cholesky", "input 0", "triu", "transpose"),
    mistake=("missing", "wrong", "factor", "stands where", "belongs", "transposed"),
    formats=("float64", "float32"),
)


def wrong(a: jax.Array) -> jax.Array:
    return jax.scipy.linalg.cholesky(a, lower=False)


def right(a: jax.Array) -> jax.Array:
    upper = jnp.triu(a)
    return jnp.linalg.cholesky(upper + jnp.triu(a, 1).T, upper=True)


reference = right


def inputs() -> tuple[Array, ...]:
    return (np.array([[4.0, 1.0, 0.5], [0.3, 3.0, 0.2], [-0.4, 0.1, 5.0]]),)
