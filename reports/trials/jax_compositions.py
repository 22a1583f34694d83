"""Custom rules that are right, and free compositions of JAX's functions: drawn for `jax_networks.py`."""

# mypy: allow-untyped-calls, allow-untyped-decorators
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .drawn import Dice

Array = Any
Made = tuple[str, Callable[..., Any], tuple[Any, ...]]


# ------------------------------------------------------------------------------------ custom rules


@jax.custom_vjp
def layer_norm(x: Array, w: Array, b: Array) -> Array:
    """Over the last axis."""
    return _normalised(x)[0] * w + b


def _normalised(x: Array) -> tuple[Array, Array]:
    centred = x - x.mean(-1, keepdims=True)
    r = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)
    return centred * r, r


def _layer_norm_back(saved: Any, grad: Array) -> tuple[Array, ...]:
    normal, r, w = saved
    g = grad * w
    back = r * (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True))
    return back, (grad * normal).sum(0), grad.sum(0)


layer_norm.defvjp(lambda x, w, b: (layer_norm(x, w, b), (*_normalised(x), w)), _layer_norm_back)


@jax.custom_vjp
def affine(x: Array, w: Array, b: Array) -> Array:
    """x Wᵀ + b."""
    return x @ w.T + b


affine.defvjp(lambda x, w, b: (affine(x, w, b), (x, w)), lambda saved, g: (g @ saved[1], g.T @ saved[0], g.sum(0)))


@jax.custom_vjp
def soft(z: Array) -> Array:
    """Softmax over the last axis."""
    e = jnp.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


soft.defvjp(lambda z: (soft(z), soft(z)), lambda y, g: (y * (g - (g * y).sum(-1, keepdims=True)),))


@jax.custom_jvp
def swish(x: Array, beta: Array) -> Array:
    """x σ(β x)."""
    return x * jax.nn.sigmoid(beta * x)


@swish.defjvp
def _swish_forward(points: Any, tangents: Any) -> tuple[Array, Array]:
    (x, beta), (dx, dbeta) = points, tangents
    s = jax.nn.sigmoid(beta * x)
    slope = s * (1 - s)
    return x * s, (s + beta * x * slope) * dx + x * x * slope * dbeta


@jax.custom_jvp
def log1pexp(x: Array) -> Array:
    """log(1 + eˣ), whose rule JAX's own documentation writes so."""
    return jnp.log(1 + jnp.exp(x))


log1pexp.defjvps(lambda dx, y, x: (1 - 1 / (1 + jnp.exp(x))) * dx)


def custom(thrown: Dice) -> Made:
    """One of them, after and before something else."""
    n, m, k = thrown.several((2, 3, 4), 3)
    x, row = thrown.numbers((n, m)), thrown.numbers((m,))
    calls: dict[str, tuple[Callable[..., Array], tuple[Any, ...]]] = {
        "layer_norm": (layer_norm, (x, 1 + 0.3 * row, thrown.numbers((m,)))),
        "affine": (affine, (x, thrown.numbers((k, m)), thrown.numbers((k,)))),
        "softmax": (soft, (x,)),
        "swish": (swish, (x, row)),
        "log1pexp": (log1pexp, (x,)),
        "checkpointed": (jax.checkpoint(lambda x, w: jnp.sin(soft(x) * w)), (x, row)),
        "mapped": (jax.vmap(swish, in_axes=(0, None)), (x, row)),
    }
    name = thrown.one_of(list(calls))
    before, behind = (thrown.one_of(list(AROUND)) for _ in range(2))
    function, arguments = calls[name]

    def called(x: Array, *others: Array) -> Array:
        return AROUND[behind](function(AROUND[before](x), *others))

    return f"{name} of {n}×{m}, after {before}, then {behind}", called, arguments


AROUND: dict[str, Callable[[Array], Array]] = {
    "nothing": lambda x: x,
    "sin": jnp.sin,
    "a custom function": log1pexp,
    "a square": lambda x: x * x + x,
}

# ------------------------------------------------------------------------------------ compositions

STEPS: dict[str, Callable[[Array], Array]] = {
    "exp": lambda x: jnp.exp(jnp.tanh(x)),
    "expm1": lambda x: jnp.expm1(jnp.tanh(x)),
    "log": lambda x: jnp.log(x * x + 0.5),
    "log1p": lambda x: jnp.log1p(x * x),
    "sqrt": lambda x: jnp.sqrt(x * x + 1),
    "rsqrt": lambda x: jax.lax.rsqrt(x * x + 0.3),
    "cbrt": lambda x: jnp.cbrt(x * x + 0.5),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "arctan": jnp.arctan,
    "arcsin": lambda x: jnp.arcsin(0.7 * jnp.tanh(x)),
    "sinh": lambda x: jnp.sinh(jnp.tanh(x)),
    "arcsinh": jnp.arcsinh,
    "erf": jax.scipy.special.erf,
    "logistic": jax.nn.sigmoid,
    "square": jnp.square,
    "cube": lambda x: x**3 / 4,
    "power": lambda x: (x * x + 0.2) ** 1.5,
    "divided": lambda x: x / (1 + jnp.abs(x)),
    "clip": lambda x: jnp.clip(x, -0.8, 0.9),
    "where": lambda x: jnp.where(x > 0.2, x * x, jnp.sin(x)),
    "maximum": lambda x: jnp.maximum(x, 0.1),
    "sinc": jnp.sinc,
    "sum": lambda x: x.sum(-1),
    "mean": lambda x: x.mean(0, keepdims=True),
    "max": lambda x: x.max(-1),
    "min": lambda x: x.min(0),
    "prod": lambda x: (x + 1.5).prod(-1),
    "var": lambda x: x.var(-1),
    "std": lambda x: x.std(0),
    "logsumexp": lambda x: jax.nn.logsumexp(x, axis=-1),
    "softmax": jax.nn.softmax,
    "norm": jnp.linalg.norm,
    "cumsum": lambda x: jnp.cumsum(x, 0),
    "cumprod": lambda x: jnp.cumprod(jnp.tanh(x) + 1.3, -1),
    "cummax": lambda x: jax.lax.cummax(x, 0),
    "diff": lambda x: jnp.diff(x, axis=-1),
    "sort": lambda x: jnp.sort(x, -1),
    "top_k": lambda x: jax.lax.top_k(x, 1)[0],
    "flip": lambda x: jnp.flip(x, 0),
    "roll": lambda x: jnp.roll(x, 1, -1),
    "transpose": lambda x: x.T,
    "reshape": lambda x: x.reshape(-1),
    "slice": lambda x: x[..., ::2],
    "first": lambda x: x[0],
    "pad": lambda x: jnp.pad(x, 1),
    "padded by reflection": lambda x: jnp.pad(x, ((0, 1),) * x.ndim, mode="edge"),
    "tile": lambda x: jnp.tile(x, 2),
    "repeat": lambda x: jnp.repeat(x, 2, 0),
    "set": lambda x: x.at[..., 0].set(x[..., -1] * 2),
    "added at": lambda x: x.at[np.array([0, 0])].add(1.5 * x[:1]),
    "multiplied at": lambda x: x.at[0].multiply(x[-1]),
    "take": lambda x: jnp.take(x, np.array([1, 0, 1]), axis=0),
    "segment sum": lambda x: jax.ops.segment_sum(x, np.zeros(x.shape[0], int), 2),
    "concatenate": lambda x: jnp.concatenate([x, jnp.sin(x)], -1),
    "stack": lambda x: jnp.stack([x, jnp.cos(x)]),
    "outer": lambda x: jnp.einsum("...i,...j->...ij", x, x),
    "gram": lambda x: x @ x.T,
    "einsum": lambda x: jnp.einsum("i...,i...->...", x, jnp.sin(x)),
    "tril": jnp.tril,
    "solve": lambda x: jnp.linalg.solve(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype), x),
    "cholesky": lambda x: jnp.linalg.cholesky(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype)),
    "slogdet": lambda x: jnp.linalg.slogdet(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype))[1],
    "cond": lambda x: jax.lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
    "fori_loop": lambda x: jax.lax.fori_loop(0, 3, lambda _, y: jnp.sin(y) + 0.5 * x, x),
    "vmap": jax.vmap(lambda row: row * row.sum()),
    "float32 and back": lambda x: jnp.sin(x.astype(jnp.float32)).astype(x.dtype),
}
PAIRS: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda x, y: x + 0.7 * y,
    "multiply": lambda x, y: x * jnp.tanh(y),
    "divide": lambda x, y: x / (y * y + 0.6),
    "power": lambda x, y: (x * x + 0.4) ** jnp.tanh(y),
    "arctan2": lambda x, y: jnp.arctan2(x, y * y + 0.4),
    "hypot": lambda x, y: jnp.hypot(x, y + 1.5),
    "maximum": jnp.maximum,
    "logaddexp": jnp.logaddexp,
    "where": lambda x, y: jnp.where(x > y, jnp.sin(x), y),
}
LARGEST = 64  # elements of a result


def composition(thrown: Dice) -> Made:
    """Some steps, each on the result before, or on that and one of the inputs."""
    shape = tuple(thrown.one_of((2, 3)) for _ in range(thrown.whole(1, 3)))
    inputs = tuple(thrown.numbers(shape) for _ in range(2))
    steps: list[str] = []
    current = shape
    for _ in range(thrown.whole(2, 5)):
        pair = current == shape and thrown.flag(0.3)
        name = thrown.one_of(list(PAIRS if pair else STEPS))
        operands = [jax.ShapeDtypeStruct(current, np.float32)] * (2 if pair else 1)
        try:
            found = jax.eval_shape((PAIRS if pair else STEPS)[name], *operands).shape
        except (TypeError, ValueError, IndexError):
            continue  # it does not fit this shape
        if 0 < np.prod(found) <= LARGEST:
            steps.append(f"{name} with an input" if pair else name)
            current = found

    def function(x: Array, y: Array) -> Array:
        result = x
        for step in steps:
            name, _, pair = step.partition(" with ")
            result = PAIRS[name](result, y) if pair else STEPS[name](result)
        return result

    return f"{'×'.join(map(str, shape))}: {'; '.join(steps)}", function, inputs
