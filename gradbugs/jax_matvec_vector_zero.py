"""A product's custom rule gives zeros for the vector, as nobody asked for it: a chain of two loses the first
matrix.

https://github.com/jax-ml/jax/issues/17496
Reported of JAX, 2023-09, of a user's own rule. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="jax",
    source="https://github.com/jax-ml/jax/issues/17496",
    reported="JAX, 2023-09, of a user's own rule",
    kind="dropped backward",
    operation=("input 0", "tanh", "dot", "@"),
    mistake=("never computed", "missing", "zero"),
)


def value(a: jax.Array, v: jax.Array) -> jax.Array:
    return a @ v


wrong_product, right_product = jax.custom_vjp(value), jax.custom_vjp(value)


def forward(a: jax.Array, v: jax.Array) -> Any:
    return a @ v, (a, v)


def wrong_backward(saved: Any, g: jax.Array) -> Any:
    _, v = saved
    return jnp.outer(g, v), jnp.zeros_like(v)


def right_backward(saved: Any, g: jax.Array) -> Any:
    a, v = saved
    return jnp.outer(g, v), a.T @ g


wrong_product.defvjp(forward, wrong_backward)
right_product.defvjp(forward, right_backward)


def wrong(a: jax.Array, b: jax.Array, v: jax.Array) -> jax.Array:
    return wrong_product(b, jnp.tanh(wrong_product(a, v)))


def right(a: jax.Array, b: jax.Array, v: jax.Array) -> jax.Array:
    return right_product(b, jnp.tanh(right_product(a, v)))


def reference(a: jax.Array, b: jax.Array, v: jax.Array) -> jax.Array:
    return b @ jnp.tanh(a @ v)


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(2, 3), drawn(5)
