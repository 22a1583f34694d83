"""The square of a norm is smooth, and its gradient at 0 is NaN, by way of the square root.

https://github.com/jax-ml/jax/issues/4177
Reported of JAX, 2020-08, and so in 0.10.2. It matters in every format.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from .bug import Array, Bug

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/4177",
    reported="JAX, 2020-08, and so in 0.10.2",
    kind="root at zero",
    operation=("sqrt", "norm", "input 0"),
    mistake=("not finite", "nan", "NaN", "no finite"),
)


def wrong(x: jax.Array) -> jax.Array:
    return jnp.linalg.norm(x) ** 2


def right(x: jax.Array) -> jax.Array:
    return (x * x).sum()


reference = right


def inputs() -> tuple[Array, ...]:
    return (np.zeros(3),)
