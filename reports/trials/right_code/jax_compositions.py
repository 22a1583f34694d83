"""Free compositions of JAX's functions, drawn for `jax_networks.py`: each step uses results of those before."""

# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ....adapters.jax_grad import enable_x64
from .drawn import Dice
from .jax_activations import Array, Made

STEPS: dict[str, Callable[[Array], Array]] = {
    "exp": lambda x: jnp.exp(jnp.tanh(x)),
    "expm1": lambda x: jnp.expm1(jnp.tanh(x)),
    "log": lambda x: jnp.log(x * x + 0.5),
    "log1p": lambda x: jnp.log1p(x * x),
    "sqrt": lambda x: jnp.sqrt(x * x + 1),
    "rsqrt": lambda x: lax.rsqrt(x * x + 0.3),
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
    "cummax": lambda x: lax.cummax(x, 0),
    "diff": lambda x: jnp.diff(x, axis=-1),
    "sort": lambda x: jnp.sort(x, -1),
    "top_k": lambda x: lax.top_k(x, 1)[0],
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
    "cond": lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda _, y: jnp.sin(y) + 0.5 * x, x),
    "switch": lambda x: lax.switch(jnp.argmax(x), [jnp.sin, jnp.cos, jnp.tanh], x),
    "scan": lambda x: lax.scan(lambda h, r: (jnp.tanh(h + r), h * r), x[0] * 0, x)[1],
    "map": lambda x: lax.map(lambda r: r * r.sum(), x),
    "associative_scan": lambda x: lax.associative_scan(jnp.multiply, jnp.tanh(x) + 1.2),
    "vmap": jax.vmap(lambda row: row * row.sum()),
    "vmap of sorted": jax.vmap(lambda row: jnp.sort(row) * jnp.arange(row.shape[0])),
    "checkpoint": jax.checkpoint(lambda x: jnp.sin(x) * jnp.exp(jnp.tanh(x))),
    "jit": jax.jit(lambda x: jnp.tanh(x) * x),
    "gradient": jax.grad(lambda y: (jnp.tanh(y) ** 2).sum()),
    "tangent": lambda x: jax.jvp(jnp.sin, (x,), (x * x,))[1],
    "stopped and used": lambda x: x - lax.stop_gradient(x * 0),
    "relu": jax.nn.relu,
    "tan": lambda x: jnp.tan(0.5 * jnp.tanh(x)),
    "arccos": lambda x: jnp.arccos(0.7 * jnp.sin(x)),
    "arctanh": lambda x: jnp.arctanh(0.7 * jnp.sin(x)),
    "arccosh": lambda x: jnp.arccosh(1.3 + x * x),
    "cosh": lambda x: jnp.cosh(jnp.tanh(x)),
    "log2": lambda x: jnp.log2(x * x + 0.4),
    "exp2": lambda x: jnp.exp2(jnp.sin(x)),
    "erfc": jax.scipy.special.erfc,
    "erfinv": lambda x: jax.scipy.special.erfinv(0.8 * jnp.tanh(x)),
    "gammaln": lambda x: jax.scipy.special.gammaln(x * x + 0.6),
    "digamma": lambda x: jax.scipy.special.digamma(x * x + 0.8),
    "logit": lambda x: jax.scipy.special.logit(jax.nn.sigmoid(x)),
    "xlogy": lambda x: jax.scipy.special.xlogy(x, x * x + 0.5),
    "ndtr": jax.scipy.special.ndtr,
    "log_ndtr": jax.scipy.special.log_ndtr,
    "i0e": jax.scipy.special.i0e,
    "reciprocal": lambda x: jnp.reciprocal(x * x + 0.7),
    "absolute": jnp.abs,
    "negative power": lambda x: (x * x + 0.5) ** -2,
    "nan_to_num": jnp.nan_to_num,
    "select": lambda x: jnp.select([x > 1, x > 0], [x * x, jnp.sin(x)], jnp.tanh(x)),
    "piecewise": lambda x: jnp.piecewise(x, [x < 0, x >= 0], [jnp.sin, jnp.square]),
    "ptp": lambda x: jnp.ptp(x, axis=-1),
    "median": lambda x: jnp.median(x, axis=-1),
    "quantile": lambda x: jnp.quantile(x, 0.3, axis=0),
    "average": lambda x: jnp.average(x, axis=0, weights=jnp.arange(1, x.shape[0] + 1)),
    "nansum": lambda x: jnp.nansum(x, 0),
    "cov": jnp.cov,
    "corrcoef": lambda x: jnp.corrcoef(x + 0.1 * jnp.arange(x.shape[-1])),
    "trace": jnp.trace,
    "diagonal": jnp.diagonal,
    "diag": jnp.diag,
    "vander": lambda x: jnp.vander(jnp.tanh(x), 3),
    "convolve": lambda x: jnp.convolve(x, jnp.sin(x)),
    "correlate": lambda x: jnp.correlate(x, jnp.cos(x), "same"),
    "interp": lambda x: jnp.interp(jnp.tanh(x), jnp.linspace(-1.5, 1.5, x.size), jnp.sin(x.ravel())),
    "trapezoid": lambda x: jnp.trapezoid(x, axis=-1),
    "gradient of samples": lambda x: jnp.gradient(x, axis=0),
    "cross": lambda x: jnp.cross(x, jnp.roll(jnp.sin(x), 1, -1)),
    "kron": lambda x: jnp.kron(x, x[:1]),
    "det": lambda x: jnp.linalg.det(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype)),
    "inv": lambda x: jnp.linalg.inv(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype)),
    "qr": lambda x: jnp.linalg.qr(x @ x.T + 2 * jnp.eye(x.shape[0], dtype=x.dtype))[1],
    "expm": lambda x: jax.scipy.linalg.expm(0.1 * jnp.tanh(x @ x.T)),
    "matrix_power": lambda x: jnp.linalg.matrix_power(jnp.tanh(x @ x.T), 3),
    "triangular": lambda x: jax.scipy.linalg.solve_triangular(
        jnp.tril(x @ x.T) + jnp.eye(x.shape[0], dtype=x.dtype), x, lower=True
    ),
    "cho_solve": lambda x: jax.scipy.linalg.cho_solve(
        (jnp.linalg.cholesky(x @ x.T + jnp.eye(x.shape[0], dtype=x.dtype)), True), x
    ),
    "lstsq by normal equations": lambda x: jnp.linalg.solve(x.T @ x + jnp.eye(x.shape[1], dtype=x.dtype), x.T),
    "one norm": lambda x: jnp.linalg.norm(x, 1),
    "row norms": lambda x: jnp.linalg.norm(x, axis=-1, keepdims=True),
    "logcumsumexp": lambda x: lax.cumlogsumexp(x, 0),
    "cummin": lambda x: lax.cummin(x, x.ndim - 1, reverse=True),
    "logmeanexp": lambda x: jax.nn.logmeanexp(x, axis=-1),
    "argsorted": lambda x: jnp.take_along_axis(x, jnp.argsort(x, -1), -1),
    "extract": lambda x: jnp.where(jnp.arange(x.shape[-1]) % 2 == 0, x, 0).sum(-1),
    "rot90": jnp.rot90,
    "moveaxis": lambda x: jnp.moveaxis(x, 0, -1),
    "swapaxes": lambda x: jnp.swapaxes(x, 0, -1),
    "squeezed": lambda x: jnp.squeeze(x[None], 0),
    "broadcast": lambda x: jnp.broadcast_to(x, (2, *x.shape)),
    "block": lambda x: jnp.block([[x, x * 2], [x * x, x]]),
    "split": lambda x: jnp.array_split(x, 2, -1)[0],
    "unstack": lambda x: jnp.unstack(x)[-1],
    "hstack": lambda x: jnp.hstack([x, x * x]),
    "insert": lambda x: jnp.insert(x, 0, x[..., -1] * 2, axis=-1),
    "delete": lambda x: jnp.delete(x, 0, axis=0),
    "windows": lambda x: jnp.stack([x[..., k : k + 2] for k in range(x.shape[-1] - 1)]),
    "wrapped": lambda x: jnp.pad(x, 1, mode="wrap"),
    "reflected": lambda x: jnp.pad(x, ((1, 0),) * x.ndim, mode="reflect"),
    "linear ramp": lambda x: jnp.pad(x, 1, mode="linear_ramp", end_values=0.5),
    "padded by the mean": lambda x: jnp.pad(x, 1, mode="mean"),
    "divided at": lambda x: x.at[0].divide(x[-1] ** 2 + 1),
    "powered at": lambda x: (x * x + 0.5).at[0].power(1.5),
    "least at": lambda x: x.at[np.array([0, -1])].min(0.3 * x[:1]),
    "applied at": lambda x: x.at[0].apply(jnp.sin),
    "segment max": lambda x: jax.ops.segment_max(x, np.zeros(x.shape[0], int), 1),
    "map_coordinates": lambda x: jax.scipy.ndimage.map_coordinates(
        x, [jnp.linspace(0.2, n - 1.3, 3) for n in x.shape], 1
    ),
    "resized": lambda x: jax.image.resize(x, tuple(n + 1 for n in x.shape), "linear"),
    "pooled": lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2,) * x.ndim, (1,) * x.ndim, "SAME"),
    "reduced": lambda x: lax.reduce(x, np.zeros((), x.dtype), lax.add, (0,)),
    "reduce_precision": lambda x: lax.reduce_precision(x, 11, 52),
    "dropped": lambda x: jnp.where(jax.random.bernoulli(jax.random.key(3), 0.7, x.shape), x / 0.7, 0),
    "gumbel": lambda x: jax.nn.softmax(x + jax.random.gumbel(jax.random.key(5), x.shape, x.dtype)),
    "noise": lambda x: x + x * jax.random.normal(jax.random.key(7), x.shape, x.dtype),
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
    "minimum": jnp.minimum,
    "subtract": lambda x, y: x - y,
    "remainder": lambda x, y: jnp.remainder(x, lax.stop_gradient(y) * 0 + 0.7),
    "fmod": lambda x, y: jnp.fmod(x, y * y + 0.6),
    "copysign": lambda x, y: jnp.copysign(x, lax.stop_gradient(y)),
    "xlog1py": lambda x, y: jax.scipy.special.xlog1py(x, y * y),
    "logaddexp2": jnp.logaddexp2,
    "gammainc": lambda x, y: jax.scipy.special.gammainc(x * x + 0.6, y * y + 0.4),
    "concatenate": lambda x, y: jnp.concatenate([x, jnp.sin(y)], -1),
    "stack": lambda x, y: jnp.stack([y, jnp.cos(x)], 0),
    "inner": jnp.inner,
    "outer": lambda x, y: jnp.einsum("...i,...j->...ij", x, y),
    "vdot": jnp.vdot,
    "vecdot": jnp.vecdot,
    "matmul": lambda x, y: x @ y.mT,
    "tensordot": lambda x, y: jnp.tensordot(x, y, 1),
    "set": lambda x, y: x.at[..., 0].set(y[..., -1]),
    "dynamic_update_slice": lambda x, y: lax.dynamic_update_slice(x, y[:1] * 2, (1,) * x.ndim),
    "polyval": lambda x, y: jnp.polyval(y[..., 0].ravel(), x),
    "conditional": lambda x, y: lax.cond(jnp.sum(x) > jnp.sum(y), lambda: x * y, lambda: jnp.sin(y)),
    "cosine": lambda x, y: (x * y).sum(-1) / (jnp.linalg.norm(x, axis=-1) * jnp.linalg.norm(y, axis=-1)),
    "distances": lambda x, y: jnp.sqrt(((x[:, None] - y[None]) ** 2).sum(-1) + 0.01),
    "batched": jax.vmap(lambda a, b: a * b.sum() + b),
}


# ------------------------------------------------------------------------------------ with constants that are drawn


def _axis(thrown: Dice, shape: tuple[int, ...]) -> int:
    return thrown.whole(-len(shape), len(shape) - 1) if shape else 0


def _reduction(thrown: Dice, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    axis, keep = _axis(thrown, shape), thrown.flag()
    name = thrown.one_of(("sum", "mean", "max", "min", "var", "std", "prod", "nanmean"))
    return lambda x: getattr(jnp, name)(x, axis=axis, keepdims=keep)


def _moved(thrown: Dice, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    axis, order = _axis(thrown, shape), thrown.several(range(len(shape)), len(shape))
    return thrown.one_of(
        (
            lambda x: jnp.flip(x, axis),
            lambda x: jnp.roll(x, -1, axis),
            lambda x: jnp.transpose(x, order),
            lambda x: jnp.expand_dims(x, axis),
            lambda x: jnp.repeat(x, np.arange(1, x.shape[axis] + 1), axis),
            lambda x: jnp.take(x, np.array([0, -1, 0]), axis),
            lambda x: lax.rev(x, (axis % x.ndim,)),
            lambda x: lax.slice_in_dim(x, 0, 2, 2, axis),
            lambda x: lax.dynamic_slice_in_dim(x, 1, 1, axis),
            lambda x: lax.dynamic_index_in_dim(x, jnp.argmax(x) % x.shape[axis], axis),
            lambda x: jnp.sort(x, axis, descending=True),
            lambda x: lax.pad(x, x[(0,) * x.ndim] * 2, [(1, -1, 1)] * x.ndim),
        )
    )


def _indexed(thrown: Dice, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    axis = _axis(thrown, shape)
    size = shape[axis] if shape else 1
    rows, where = thrown.rng.integers(0, size, 3), thrown.rng.integers(0, size, shape)
    mask, weights = thrown.rng.random(shape) < 0.6, thrown.numbers(shape)
    mode = thrown.one_of(("clip", "wrap", "fill"))
    return thrown.one_of(
        (
            lambda x: jnp.take_along_axis(x, where, axis),
            lambda x: jnp.take(x, rows * 2, axis, mode=mode),
            lambda x: x[rows % x.shape[0]],
            lambda x: x.at[rows % x.shape[0]].add(x[:1] * 3),
            lambda x: x.at[rows % x.shape[0]].max(x[:1] * 0.5),
            lambda x: x.at[rows[:1] % x.shape[0]].multiply(x[-1:], unique_indices=True),
            lambda x: x[mask],
            lambda x: jnp.where(mask, x, weights.astype(x.dtype)),
            lambda x: x * weights.astype(x.dtype),
            lambda x: x.at[mask].set(0.5),
            lambda x: jnp.sum(x, axis, where=mask),
            lambda x: jnp.max(x, axis, where=mask, initial=-0.5),
            lambda x: jnp.compress(mask.reshape(x.shape[0], -1)[:, 0], x, axis=0),
            lambda x: jnp.put_along_axis(x, where, 2.0, axis, inplace=False),
            lambda x: jax.ops.segment_sum(x, rows[: x.shape[0]] if len(rows) >= x.shape[0] else rows, size),
        )
    )


def _softened(thrown: Dice, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    axis = _axis(thrown, shape)
    mask = thrown.rng.random(shape) < 0.7
    return thrown.one_of(
        (
            lambda x: jax.nn.softmax(x, axis),
            lambda x: jax.nn.log_softmax(x, axis),
            lambda x: jax.nn.logsumexp(x, axis, b=np.abs(np.sin(np.arange(x.shape[axis])))[:, None] + 0.2),
            lambda x: jax.nn.standardize(x, axis),
            lambda x: jax.nn.softmax(x, axis, where=jnp.asarray(mask).at[(0,) * x.ndim].set(True)),
            lambda x: x / jnp.linalg.norm(x, axis=axis, keepdims=True),
            lambda x: jnp.cumsum(x, axis),
            lambda x: jnp.cumprod(jnp.tanh(x) + 1.3, axis),
            lambda x: jnp.cumulative_sum(x, axis=axis, include_initial=True),
            lambda x: jnp.diff(x, axis=axis),
            lambda x: lax.top_k(x, 2)[0],
        )
    )


def _weighted(thrown: Dice, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    weights = thrown.numbers((shape[-1] if shape else 1, thrown.one_of((2, 3))))
    return thrown.one_of(
        (
            lambda x: x @ weights.astype(x.dtype),
            lambda x: jnp.einsum("...i,ij->j...", x, weights.astype(x.dtype)),
            lambda x: lax.dot_general(x, weights.astype(x.dtype), (((x.ndim - 1,), (0,)), ((), ()))),
            lambda x: jnp.tensordot(x, weights.astype(x.dtype), 1),
            lambda x: jax.vmap(jnp.outer, (0, None))(x.reshape(-1, x.shape[-1]), weights[:, 0].astype(x.dtype)),
        )
    )


MAKERS: dict[str, Callable[[Dice, tuple[int, ...]], Callable[..., Array]]] = {
    "a reduction": _reduction,
    "a movement": _moved,
    "by index": _indexed,
    "along an axis": _softened,
    "by weights": _weighted,
}
LARGEST = 64  # elements of a result


def composition(thrown: Dice) -> Made:
    """Some steps on one to three arrays of the same shape; the last result, and now and then another with it."""
    shape = tuple(thrown.one_of((2, 3)) for _ in range(thrown.whole(1, 3)))
    inputs = tuple(thrown.numbers(shape) for _ in range(thrown.whole(1, 3)))
    steps: list[tuple[Callable[..., Array], tuple[int, ...]]] = []
    words: list[str] = []
    shapes: list[tuple[int, ...]] = [shape for _ in inputs]
    for _ in range(thrown.whole(3, 6)):
        last = len(shapes) - 1
        one = last if thrown.flag(0.6) else thrown.whole(0, last)
        alike = [k for k, other in enumerate(shapes) if other == shapes[one]]
        kind = thrown.one_of(("one", "one", "two", "drawn"))
        operands = (one, thrown.one_of(alike)) if kind == "two" else (one,)
        tables: dict[str, dict[str, Any]] = {"one": STEPS, "two": PAIRS, "drawn": MAKERS}
        name = thrown.one_of(list(tables[kind]))
        step = MAKERS[name](thrown, shapes[one]) if kind == "drawn" else (STEPS if kind == "one" else PAIRS)[name]
        given = [jax.ShapeDtypeStruct(shapes[k], np.float32) for k in operands]
        try:
            # in the same context as it runs: JAX 0.10 keeps the format of indices that it saw in the other one
            with enable_x64(True):
                found = jax.eval_shape(step, *given).shape
        except (TypeError, ValueError, IndexError, AssertionError, ZeroDivisionError):
            continue  # it does not fit this shape
        if 0 < np.prod(found) <= LARGEST:
            steps.append((step, operands))
            shapes.append(found)
            words.append(f"{name} of {', '.join(map(str, operands))}")
    both = thrown.flag(0.3)

    def function(*given: Array) -> Any:
        values = list(given)
        for step, operands in steps:
            values.append(step(*(values[k] for k in operands)))
        return (values[-1], values[-2]) if both and len(steps) > 1 else values[-1]

    return f"{'×'.join(map(str, shape))}, {len(inputs)} inputs: {'; '.join(words)}", function, inputs
