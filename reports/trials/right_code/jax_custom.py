"""Right custom rules of JAX's, and what they stand in: drawn for `jax_networks.py`."""

# mypy: allow-untyped-calls, allow-untyped-decorators
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .backward_code_jax import FUNCTIONS, LAYERS, HandWritten
from .backward_code_jax_sequences import SEQUENCES
from .drawn import Dice
from .jax_activations import Array, Made

WRITTEN: tuple[HandWritten, ...] = (*LAYERS, *SEQUENCES, *FUNCTIONS)


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


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def applied(function: Callable[[Array], Array], x: Array) -> Array:
    """function(x), whose tangent is that of the function."""
    return function(x)


@applied.defjvp
def _applied_forward(function: Callable[[Array], Array], points: Any, tangents: Any) -> Any:
    return jax.jvp(function, points, tangents)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def power(x: Array, exponent: int) -> Array:
    """x to a whole number, which is no argument of the gradient."""
    return x**exponent


power.defvjp(lambda x, n: (x**n, x), lambda n, x, g: (n * g * x ** (n - 1),))


@jax.custom_vjp
def picked(x: Array, rows: Any) -> Array:
    """Rows of x, which may come twice."""
    return x[rows]


def _picked_back(saved: Any, grad: Array) -> Any:
    rows, like = saved
    return jnp.zeros_like(like).at[rows].add(grad), None


picked.defvjp(lambda x, rows: (x[rows], (rows, x)), _picked_back)


@jax.custom_vjp
def gated(held: dict[str, Array]) -> tuple[Array, Array]:
    """Of a tree, two results."""
    s = jax.nn.sigmoid(held["gate"])
    return held["x"] * s, s


def _gated_ahead(held: dict[str, Array]) -> Any:
    s = jax.nn.sigmoid(held["gate"])
    return (held["x"] * s, s), (held["x"], s)


def _gated_back(saved: Any, grads: Any) -> Any:
    (x, s), (g, k) = saved, grads
    return ({"x": g * s, "gate": (g * x + k) * s * (1 - s)},)


gated.defvjp(_gated_ahead, _gated_back)


@jax.custom_gradient
def cubed(x: Array) -> Any:
    """x³, and its gradient with it."""
    return x * x * x, lambda g: 3 * x * x * g


@jax.custom_vjp
def checkpointed_tanh(x: Array) -> Array:
    """Computed again on the way back."""
    return jnp.tanh(x)


checkpointed_tanh.defvjp(lambda x: (jnp.tanh(x), x), lambda x, g: jax.vjp(jnp.tanh, x)[1](g))


def _solved(x: Array, row: Array) -> Array:
    """(I + x xᵀ) y = x row, by a solver that is not differentiated."""
    matrix = x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype)

    def solve(_: Any, b: Array) -> Array:
        return jnp.linalg.solve(lax.stop_gradient(matrix), b)

    return lax.custom_linear_solve(lambda y: matrix @ y, x @ row, solve, symmetric=True)


def custom(thrown: Dice) -> Made:
    """One of them, or one of those that mistakes are planted in, after and before something else."""
    if thrown.flag():
        written = thrown.one_of(WRITTEN)
        words, placed, arguments = in_context(thrown, written)
        return words, placed(written.rule), arguments
    name = thrown.one_of(list(CALLS))
    function, arguments = CALLS[name](thrown)
    words, called = _within(thrown, arguments, ("", "", "jit", "checkpoint", "vmap", "scan"))
    return f"{name} {words}", called(function), arguments


def in_context(thrown: Dice, written: HandWritten) -> tuple[str, Callable[[type], Callable[..., Any]], tuple[Any, ...]]:
    """What a function of this kind stands in, drawn; how to put it there, by its rule; what it is called with."""
    arguments = written.inputs(thrown, thrown.flag(0.3))
    words, called = _within(thrown, arguments, ("", "", "jit", "checkpoint"))
    return f"{written.name} {words}", lambda rule: called(written.function(rule)), arguments


Called = Callable[[Callable[..., Any]], Callable[..., Any]]


def _within(thrown: Dice, arguments: tuple[Any, ...], wrapped: Sequence[str]) -> tuple[str, Called]:
    """What stands before, behind and around a function of these arguments."""
    before, behind = (thrown.one_of(list(AROUND)) for _ in range(2))
    around = thrown.one_of(wrapped)
    sizes = " ".join("×".join(map(str, np.shape(x))) for x in arguments)

    def placed(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(x: Array, *others: Array) -> Any:
            found = WRAPPED[around](function)(AROUND[before](x), *others)
            return jax.tree.map(AROUND[behind], found)

        return called

    return f"of {sizes}, after {before}, then {behind}{f', {around}' if around else ''}", placed


def _stepped(function: Callable[..., Any]) -> Callable[..., Any]:
    """In a scan of two rounds, of which the second takes other numbers."""

    def called(x: Array, *others: Array) -> Any:
        return lax.scan(lambda held, k: (held, function(held * k, *others)), x, jnp.array([1, 0.5]).astype(x.dtype))[1]

    return called


def _mapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Of two numbers times x at once."""

    def called(x: Array, *others: Array) -> Any:
        stacked = jnp.stack([x, 0.7 * x])
        return jax.vmap(function, (0, *(None for _ in others)))(stacked, *others)

    return called


WRAPPED: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "": lambda f: f,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "vmap": _mapped,
    "scan": _stepped,
}
AROUND: dict[str, Callable[[Array], Array]] = {
    "nothing": lambda x: x,
    "sin": jnp.sin,
    "a custom function": log1pexp,
    "a square": lambda x: x * x + x,
}
Call = tuple[Callable[..., Any], tuple[Any, ...]]


def _rows(thrown: Dice) -> tuple[Array, Array]:
    n, m = thrown.several((2, 3, 4), 2)
    return thrown.numbers((n, m)), thrown.numbers((m,))


def _alone(function: Callable[..., Any]) -> Callable[[Dice], Call]:
    return lambda thrown: (function, _rows(thrown)[:1])


def _with_row(function: Callable[..., Any]) -> Callable[[Dice], Call]:
    return lambda thrown: (function, _rows(thrown))


def _picking(thrown: Dice) -> Call:
    x, _ = _rows(thrown)
    rows = thrown.rng.integers(0, x.shape[0], 3)
    return lambda x: picked(x, rows), (x,)


def _squared(x: Array) -> Array:
    return jax.grad(lambda y: (log1pexp(y) ** 2).sum())(x)


CALLS: dict[str, Callable[[Dice], Call]] = {
    "swish": _with_row(swish),
    "log1pexp": _alone(log1pexp),
    "applied": _alone(lambda x: applied(jnp.sin, x) * applied(log1pexp, x)),
    "power": lambda thrown: (partial(_powered, thrown.whole(2, 4)), _rows(thrown)[:1]),
    "picked": _picking,
    "gated": _with_row(lambda x, row: gated({"x": x, "gate": x * row})),
    "custom_gradient": _alone(lambda x: cubed(jnp.tanh(x))),
    "its own vjp inside": _alone(checkpointed_tanh),
    "checkpointed": _with_row(jax.checkpoint(lambda x, w: jnp.sin(swish(x, w) * w))),
    "checkpointed, dots kept": _with_row(
        jax.checkpoint(lambda x, w: jnp.sin(x @ w) * (x @ w), policy=jax.checkpoint_policies.dots_saveable)
    ),
    "mapped": _with_row(jax.vmap(swish, in_axes=(0, None))),
    "mapped twice": _alone(jax.vmap(jax.vmap(log1pexp))),
    "grad inside": _alone(_squared),
    "jvp inside": _with_row(lambda x, row: jax.jvp(jnp.tanh, (x,), (x * row,))[1]),
    "vjp inside": _with_row(lambda x, row: jax.vjp(lambda y: jnp.sin(y) @ row, x)[1](x @ row)[0]),
    "linearized": _with_row(lambda x, row: jax.linearize(jnp.sin, x)[1](x * row)),
    "jacobian inside": _alone(lambda x: jax.jacfwd(lambda y: y * jnp.sum(y))(x[0])),
    "solved": _with_row(_solved),
    "switch": _alone(lambda x: lax.switch(1, [jnp.sin, log1pexp, jnp.cos], x)),
    "cond": _with_row(lambda x, row: lax.cond(x.sum() > 0, swish, lambda x, row: x * row, x, row)),
    "map": _with_row(lambda x, row: lax.map(lambda r: swish(r, row), x)),
}


def _powered(n: int, x: Array) -> Array:
    return power(x, n)
