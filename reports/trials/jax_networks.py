"""Right JAX functions, drawn from a number: the same families as in `torch_networks.py`, for `rule_trials.py`."""

# mypy: allow-untyped-calls, allow-untyped-decorators
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..any_network import RuleReport
from .drawn import FAMILIES, Dice, Drawn, dice
from .jax_compositions import Array, Made, composition, custom

STREAM = 31


def draw(number: int) -> Drawn:
    """Configuration `number`: of each family in turn."""
    families: dict[str, Callable[[Dice], Made]] = dict(
        zip(FAMILIES, (mlp, cnn, recurrent, transformer, loss, custom, composition), strict=True)
    )
    family, thrown = FAMILIES[number % len(FAMILIES)], dice(number, STREAM)
    dtype = thrown.dtype()
    words, function, arguments = families[family](thrown)
    if thrown.flag(0.8):  # else every call takes as long as a compilation
        words, function = f"{words}, compiled", jax.jit(function)
    formatted = jax.tree.map(lambda x: x.astype(jnp.dtype(dtype)) if x.dtype == np.float64 else x, arguments)
    return Drawn(family, dtype, words, lambda: report(function, formatted))


def report(function: Callable[..., Any], arguments: tuple[Any, ...]) -> RuleReport:
    """The rule check of it."""
    from ..any_network.jax_doors import rules_of

    return rules_of(function, arguments)[0]


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu6": jax.nn.relu6,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
    "log_sigmoid": jax.nn.log_sigmoid,
    "soft_sign": jax.nn.soft_sign,
    "mish": jax.nn.mish,
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "standardize": jax.nn.standardize,
}


def mlp(thrown: Dice) -> Made:
    """Layers with activations, now and then residual or with dropout."""
    batch, width = thrown.batch(), thrown.size()
    x = thrown.numbers((batch, width))
    weights, names = [], []
    for _ in range(thrown.whole(1, 2)):
        units = thrown.size()
        weights.append((thrown.numbers((units, width)), thrown.numbers((units,))))
        names.append(thrown.one_of(list(ACTIVATIONS)))
        width = units
    mask = thrown.rng.random((batch, width)) < 0.8
    dropout, residual = thrown.flag(0.3), thrown.flag(0.3)

    def function(weights: Any, x: Array) -> Array:
        for (w, b), name in zip(weights, names, strict=True):
            y = ACTIVATIONS[name](x @ w.T + b)
            x = x + y if residual and x.shape == y.shape else y
        return jnp.where(mask, x / 0.8, 0) if dropout else x

    words = f"batch {batch}, {' '.join(names)}{', dropout' * dropout}{', residual' * residual}"
    return words, function, (weights, x)


PADDINGS: tuple[Any, ...] = ("SAME", "VALID", ((1, 1), (0, 1)))


def cnn(thrown: Dice) -> Made:
    """A convolution, a norm, an activation and a pooling."""
    groups = thrown.one_of((1, 1, 2))
    x = thrown.numbers((thrown.one_of((1, 2)), 2, 4, 5))
    w = thrown.numbers((2 * groups, 2 // groups, thrown.one_of((1, 2, 3)), thrown.one_of((1, 2))))
    scale = 1 + 0.3 * thrown.numbers((2 * groups, 1, 1))
    strides, padding, dilation = (
        thrown.one_of((1, 2)),
        thrown.one_of(PADDINGS),
        thrown.one_of((1, 1, 2)),
    )
    transposed = not isinstance(padding, str) and thrown.flag()
    norm = thrown.one_of(("", "batch", "instance"))
    name = thrown.one_of(("relu", "tanh", "silu"))
    pooling = thrown.one_of(("", "max", "average", "global"))

    def function(x: Array, w: Array, scale: Array) -> Array:
        y = lax.conv_general_dilated(
            x, w, (strides,) * 2, padding, lhs_dilation=(2, 2) if transposed else None, rhs_dilation=(dilation,) * 2,
            feature_group_count=groups,
        )  # fmt: skip
        if norm:
            axes = (0, 2, 3) if norm == "batch" else (2, 3)
            centred = y - y.mean(axes, keepdims=True)
            y = centred * lax.rsqrt(jnp.square(centred).mean(axes, keepdims=True) + 1e-5) * scale
        y = ACTIVATIONS[name](y)
        window = ((1, 1, 2, 2), (1, 1, 1, 1), "SAME")
        if pooling == "max":
            return lax.reduce_window(y, -jnp.inf, lax.max, *window)
        if pooling == "average":
            return lax.reduce_window(y, 0.0, lax.add, *window) / 4
        return y.mean((2, 3)) if pooling else y

    words = f"{x.shape} with {w.shape}, {strides=}, {padding}, {groups=}, {dilation=}, {transposed=}, {norm} norm"
    return f"{words}, {name}, {pooling} pooling", function, (x, w, scale)


def recurrent(thrown: Dice) -> Made:
    """A cell, in a scan or step by step."""
    steps, batch, width, hidden = thrown.one_of((1, 2, 3)), thrown.one_of((1, 2)), thrown.one_of((2, 3)), 2
    kind, scanned = thrown.one_of(("Elman", "GRU", "LSTM")), thrown.flag()
    gates = {"Elman": 1, "GRU": 3, "LSTM": 4}[kind]
    w, u = thrown.numbers((gates * hidden, width)), thrown.numbers((gates * hidden, hidden))
    b, h = thrown.numbers((gates * hidden,)), thrown.numbers((batch, hidden))

    def function(w: Array, u: Array, b: Array, h: Array, x: Array) -> Any:
        def step(state: Any, now: Array) -> Any:
            h, c = state
            if kind == "Elman":
                h = jnp.tanh(now @ w.T + h @ u.T + b)
            elif kind == "GRU":
                r, z, n = jnp.split(now @ w.T + b, 3, -1)
                a, d, e = jnp.split(h @ u.T, 3, -1)
                z = jax.nn.sigmoid(z + d)
                h = (1 - z) * jnp.tanh(n + jax.nn.sigmoid(r + a) * e) + z * h
            else:
                i, f, g, o = jnp.split(now @ w.T + h @ u.T + b, 4, -1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        state = h, jnp.zeros_like(h)
        if scanned:
            return lax.scan(step, state, x)
        seen = []
        for now in x:
            state, y = step(state, now)
            seen.append(y)
        return state, jnp.stack(seen)

    words = f"{kind}, {steps} steps, batch {batch}, {width} wide, {'scanned' if scanned else 'step by step'}"
    return words, function, (w, u, b, h, thrown.numbers((steps, batch, width)))


def transformer(thrown: Dice) -> Made:
    """Attention with a norm and a gated layer, of embedded tokens or of numbers."""
    steps, width = thrown.one_of((2, 3)), thrown.one_of((2, 4))
    fused, causal, rms, embedded = (thrown.flag() for _ in range(4))
    name = thrown.one_of(("gelu", "silu", "exact gelu", "relu"))
    tokens = thrown.rng.integers(0, 4, steps)
    x = thrown.numbers((4, width) if embedded else (steps, width))
    weights = {k: 0.7 * thrown.numbers((width, width)) for k in ("q", "k", "v", "gate", "up")}
    weights["scale"] = 1 + 0.3 * thrown.numbers((width,))

    def norm(x: Array, scale: Array) -> Array:
        centred = x if rms else x - x.mean(-1, keepdims=True)
        return centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * scale

    def function(weights: Any, x: Array) -> Array:
        table = x
        x = jnp.take(x, tokens, axis=0) if embedded else x
        y = norm(x, weights["scale"])
        q, k, v = (y @ weights[name] for name in ("q", "k", "v"))
        if fused:
            x = x + jax.nn.dot_product_attention(q[:, None], k[:, None], v[:, None], is_causal=causal)[:, 0]
        else:
            scores = jnp.einsum("ij,kj->ik", q, k) / width**0.5
            scores = jnp.where(jnp.tril(jnp.ones((steps, steps), bool)), scores, -jnp.inf) if causal else scores
            x = x + jax.nn.softmax(scores) @ v
        y = norm(x, weights["scale"])
        x = x + ACTIVATIONS[name](y @ weights["gate"]) * (y @ weights["up"])
        return x @ table.T if embedded else x

    words = f"{steps} steps, {width} wide, {fused=}, {causal=}, {'RMS' if rms else 'layer'} norm, {name}, {embedded=}"
    return words, function, (weights, x)


def loss(thrown: Dice) -> Made:
    """A loss as people write it, of a batch or of one sample."""
    n, m = thrown.batch(), thrown.size()
    name, mean = thrown.one_of(list(LOSSES)), thrown.flag()
    labels = thrown.rng.integers(0, m, n)
    y = thrown.numbers((n, m))

    def function(x: Array, y: Array) -> Array:
        values = LOSSES[name](x, y, labels)
        return values.mean() if mean else values.sum()

    return f"{name}, {n}×{m}, {'mean' if mean else 'sum'}", function, (thrown.numbers((n, m)), y)


LOSSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "squared error": lambda x, y, labels: jnp.square(x - y),
    "absolute error": lambda x, y, labels: jnp.abs(x - y),
    "huber": lambda x, y, labels: jnp.where(jnp.abs(x - y) < 0.7, 0.5 * (x - y) ** 2, 0.7 * (jnp.abs(x - y) - 0.35)),
    "cross-entropy": lambda x, y, labels: -jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], 1),
    "smoothed": lambda x, y, labels: (
        -jnp.sum(
            (0.9 * jax.nn.one_hot(labels, x.shape[1], dtype=x.dtype) + 0.1 / x.shape[1]) * jax.nn.log_softmax(x), 1
        )
    ),
    "of probabilities": lambda x, y, labels: -jnp.sum(jax.nn.softmax(y) * jax.nn.log_softmax(x), 1),
    "binary": lambda x, y, labels: jax.nn.softplus(x) - jax.nn.sigmoid(y) * x,
    "hinge": lambda x, y, labels: jnp.maximum(0, 1 - x * jnp.sign(y)),
    "divergence": lambda x, y, labels: jax.scipy.special.rel_entr(jax.nn.softmax(y), jax.nn.softmax(x)),
    "poisson": lambda x, y, labels: jnp.exp(jnp.tanh(x)) - y * y * x,
    "gaussian": lambda x, y, labels: 0.5 * (jnp.log(y * y + 0.3) + (x - 1) ** 2 / (y * y + 0.3)),
    "log cosh": lambda x, y, labels: jnp.logaddexp(x - y, y - x),
    "cosine": lambda x, y, labels: 1 - jnp.sum(x * y, 1) / (jnp.linalg.norm(x, axis=1) * jnp.linalg.norm(y, axis=1)),
    "logsumexp": lambda x, y, labels: jax.nn.logsumexp(x, 1) - x[jnp.arange(x.shape[0]), labels],
}
