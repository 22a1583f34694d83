"""The custom derivative of sin(x) · y by y is written as −sin(x).

https://github.com/jax-ml/jax/issues/3213
Reported of JAX's documentation, 2020-05. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/3213",
    reported="JAX's documentation, 2020-05",
    kind="wrong sign",
    operation=("input 1", "sin", "y"),
    mistake=("negated", "sign"),
)


def value(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sin(x) * y


wrong, right = jax.custom_vjp(value), jax.custom_vjp(value)


def forward(x: jax.Array, y: jax.Array) -> Any:
    return value(x, y), (jnp.cos(x), jnp.sin(x), y)


def wrong_backward(saved: Any, g: jax.Array) -> Any:
    cos_x, sin_x, y = saved
    return cos_x * g * y, -sin_x * g


def right_backward(saved: Any, g: jax.Array) -> Any:
    cos_x, sin_x, y = saved
    return cos_x * g * y, sin_x * g


wrong.defvjp(forward, wrong_backward)
right.defvjp(forward, right_backward)
reference = value


def inputs() -> tuple[Array, ...]:
    return drawn(7), drawn(7, seed=1)
