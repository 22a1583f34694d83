"""Right recurrent networks and transformers in JAX, drawn for `jax_networks.py`."""

# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .drawn import Dice
from .jax_activations import ACTIVATIONS, Array, Made

# ------------------------------------------------------------------------------------ recurrent networks

Cell = Callable[[Any, Any, Array], Any]  # (weights, state, x) → state;  its first part is what comes out
GATES = {"Elman": 1, "Elman relu": 1, "GRU": 3, "GRU, reset before": 3, "LSTM": 4, "LSTM with peepholes": 4,
         "LSTM, coupled": 3, "minimal": 2, "linear": 1}  # fmt: skip
WAYS = ("scan", "scan", "step by step", "scan backwards", "unrolled scan", "checkpointed", "fori_loop", "masked")


def _cell(kind: str) -> Cell:
    def step(weights: Any, state: Any, x: Array) -> Any:
        h, c = state
        a, d = x @ weights["w"].T + weights["b"], h @ weights["u"].T
        match kind:
            case "Elman" | "Elman relu":
                h = (jax.nn.relu if "relu" in kind else jnp.tanh)(a + d)
            case "linear":
                h = jax.nn.sigmoid(weights["decay"]) * h + a + 0 * d
            case "minimal":
                f, n = jnp.split(a + d, 2, -1)
                f = jax.nn.sigmoid(f)
                h = (1 - f) * h + f * jnp.tanh(n)
            case "GRU" | "GRU, reset before":
                (r, z, n), (e, f, g) = jnp.split(a, 3, -1), jnp.split(d, 3, -1)
                r, z = jax.nn.sigmoid(r + e), jax.nn.sigmoid(z + f)
                inner = r * g if kind == "GRU" else (r * h) @ weights["u"][-h.shape[-1] :].T
                h = (1 - z) * jnp.tanh(n + inner) + z * h
            case "LSTM, coupled":
                f, g, o = jnp.split(a + d, 3, -1)
                f = jax.nn.sigmoid(f)
                c = f * c + (1 - f) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
            case _:
                i, f, g, o = jnp.split(a + d, 4, -1)
                seen = weights["decay"] * c if "peepholes" in kind else 0
                c = jax.nn.sigmoid(f + seen) * c + jax.nn.sigmoid(i + seen) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return h, c

    return step


def recurrent(thrown: Dice) -> Made:
    """A cell, in a scan or step by step; two layers or both ways, some of them; or a recurrence by associative_scan."""
    steps, batch, width, hidden = thrown.one_of((1, 2, 3)), thrown.one_of((1, 2)), thrown.one_of((2, 3)), 2
    if thrown.flag(0.1):
        return _associative(thrown, (steps + 1, batch, width))
    kind, way = thrown.one_of(list(GATES)), thrown.one_of(WAYS)
    both, second, mapped = thrown.flag(0.25), thrown.flag(0.25), thrown.flag(0.2)
    weights = [_weights(thrown, GATES[kind] * hidden, width, hidden) for _ in range(2 if both else 1)]
    if second:
        weights.append(_weights(thrown, GATES[kind] * hidden, hidden * len(weights), hidden))
    lengths = thrown.rng.integers(1, steps + 1, batch)
    h = thrown.numbers((batch, hidden))
    cell = _cell(kind)

    def layer(weights: Any, h: Array, x: Array, backwards: bool) -> Any:
        def step(state: Any, now: Any) -> Any:
            number, x = now
            new = cell(weights, state, x)
            if way == "masked":
                alive = (number < lengths)[:, None]
                new = tuple(jnp.where(alive, y, z) for y, z in zip(new, state, strict=True))
            return new, new[0]

        state = h, jnp.zeros_like(h)
        numbers = jnp.arange(steps)
        backwards = backwards != (way == "scan backwards")
        if way == "step by step":
            seen = []
            for k in reversed(range(steps)) if backwards else range(steps):
                state, y = step(state, (k, x[k]))
                seen.append(y)
            return jnp.stack(seen[::-1] if backwards else seen)
        if way == "fori_loop":

            def body(k: Any, held: Any) -> Any:
                state, seen = held
                at = steps - 1 - k if backwards else k
                state, y = step(state, (at, x[at]))
                return state, seen.at[at].set(y)

            return lax.fori_loop(0, steps, body, (state, jnp.zeros((steps, *h.shape), h.dtype)))[1]
        called = jax.checkpoint(step) if way == "checkpointed" else step
        return lax.scan(called, state, (numbers, x), reverse=backwards, unroll=2 if way == "unrolled scan" else 1)[1]

    def function(weights: Any, h: Array, x: Array) -> Any:
        y = jnp.concatenate([layer(w, h, x, k == 1) for k, w in enumerate(weights[: 2 if both else 1])], -1)
        return layer(weights[-1], h, y, False) if second else y

    words = f"{kind}, {steps} steps, batch {batch}, {width} wide, {way}{', both ways' * both}{', two layers' * second}"
    mapped = mapped and way != "masked"
    called = jax.vmap(function, (None, 0, 1), 1) if mapped else function
    return f"{words}{', mapped' * mapped}", called, (weights, h, thrown.numbers((steps, batch, width)))


def _weights(thrown: Dice, rows: int, width: int, hidden: int) -> dict[str, Array]:
    shapes = {"w": (rows, width), "u": (rows, hidden), "b": (rows,), "decay": (hidden,)}
    return {name: thrown.numbers(shape) for name, shape in shapes.items()}


def _associative(thrown: Dice, shape: tuple[int, ...]) -> Made:
    """h ← a h + x, all steps at once, as in state-space models."""
    reverse = thrown.flag()

    def function(a: Array, x: Array) -> Array:
        def combined(one: Any, other: Any) -> Any:
            return one[0] * other[0], other[0] * one[1] + other[1]

        return lax.associative_scan(combined, (jax.nn.sigmoid(a), x), reverse=reverse)[1]

    return f"associative_scan, {shape}, {reverse=}", function, (thrown.numbers(shape), thrown.numbers(shape))


# ------------------------------------------------------------------------------------ transformers

PARTS = ("block", "block", "attention", "attention", "cross-attention", "feed-forward", "experts", "layers in a scan")
MASKS = ("", "causal", "boolean", "added", "lengths", "window", "ALiBi")


def rotated(x: Array) -> Array:
    """Rotary positions, of steps × heads × features: pairs turned by an angle that grows with the position."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-3])[:, None, None] * 0.7 ** np.arange(half)
    c, s = (jnp.asarray(f(angles)).astype(x.dtype) for f in (np.cos, np.sin))
    one, other = x[..., :half], x[..., half : 2 * half]
    return jnp.concatenate([one * c - other * s, one * s + other * c, x[..., 2 * half :]], -1)


def attention(
    weights: Any, x: Array, other: Array, shape: tuple[int, int, int], fused: bool, mask: str, rope: bool
) -> Array:
    """shape: heads, groups of keys and values, features of a head;  x, other: batch × steps × width"""
    heads, groups, size = shape
    q = (x @ weights["q"]).reshape(*x.shape[:2], heads, size)
    k, v = ((other @ weights[name]).reshape(*other.shape[:2], groups, size) for name in ("k", "v"))
    if rope:
        q, k = rotated(q), rotated(k)
    rows, columns = x.shape[1], other.shape[1]
    allowed = np.tril(np.ones((rows, columns), bool))
    apart = np.abs(np.arange(rows)[:, None] - np.arange(columns)[None])
    if fused:
        bias = {"added": np.where(allowed, 0.0, -2.0), "ALiBi": -0.5 * apart}.get(mask)
        y = jax.nn.dot_product_attention(
            q, k, v,
            None if bias is None else jnp.asarray(bias[None, None]).astype(x.dtype),
            jnp.asarray(allowed)[None, None] if mask == "boolean" else None,
            is_causal=mask == "causal",
            key_value_seq_lengths=jnp.full(x.shape[0], columns - 1, jnp.int32) if mask == "lengths" else None,
            local_window_size=1 if mask == "window" else None,
        )  # fmt: skip
    else:
        k, v = (jnp.repeat(z, heads // groups, 2) for z in (k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / size**0.5
        if mask in ("added", "ALiBi"):
            less = np.where(allowed, 0.0, 2.0) if mask == "added" else 0.5 * apart
            scores = scores - jnp.asarray(less).astype(x.dtype)
        elif mask:
            kept = {"lengths": (np.arange(columns) < columns - 1)[None], "window": apart <= 1}.get(mask, allowed)
            scores = jnp.where(kept, scores, -jnp.inf)
        y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
    return y.reshape(*x.shape[:2], heads * size) @ weights["o"]


def _feeding(weights: Any, x: Array, name: str, gated: bool) -> Array:
    inner = ACTIVATIONS[name](x @ weights["up"])
    return (inner * (x @ weights["gate"]) if gated else inner) @ weights["down"]


def _experts(weights: Any, x: Array, name: str, gated: bool) -> Array:
    """Each token by the two experts of three that score it highest."""
    scores, chosen = lax.top_k(x @ weights["router"], 2)
    each = jnp.stack([_feeding(w, x, name, gated) for w in weights["experts"]], -2)
    return (jax.nn.softmax(scores)[..., None] * jnp.take_along_axis(each, chosen[..., None], -2)).sum(-2)


def transformer(thrown: Dice) -> Made:
    """A part of a transformer, or a block of one, of embedded tokens or of numbers."""
    part, (heads, size) = thrown.one_of(PARTS), thrown.one_of(((1, 2), (1, 3), (2, 1), (2, 2)))
    width, groups = heads * size, thrown.one_of((1, heads))
    batch, steps = thrown.one_of((1, 1, 2)), thrown.one_of((2, 3))
    fused, rms, embedded, rope, after, gated, tied = (thrown.flag() for _ in range(7))
    mask, name = thrown.one_of(MASKS), thrown.one_of(("gelu", "silu", "exact gelu", "relu", "cubed relu"))
    remembered, dropout = thrown.flag(0.2), thrown.flag(0.3)
    embedded = embedded and part == "block"
    crossed = part == "cross-attention"
    mask = "" if crossed else mask
    kept = thrown.rng.random((batch, steps, width)) < 0.8
    tokens = thrown.rng.integers(0, 4, (batch, steps))
    x = thrown.numbers((4, width) if embedded else (batch, steps, width))

    def drawn() -> dict[str, Any]:
        shapes = {"q": (width, width), "k": (width, groups * size), "v": (width, groups * size), "o": (width, width)}
        shapes |= {"up": (width, 3), "gate": (width, 3), "down": (3, width), "router": (width, 3)}
        made: dict[str, Any] = {k: 0.7 * thrown.numbers(shape) for k, shape in shapes.items()}
        return made | {"scale": 1 + 0.3 * thrown.numbers((2, width)), "shift": 0.3 * thrown.numbers((2, width))}

    weights = drawn()
    if part == "experts":
        weights["experts"] = [drawn() for _ in range(3)]
    if part == "layers in a scan":
        weights = jax.tree.map(lambda *each: np.stack(each), *(drawn() for _ in range(2)))
    weights["head"] = thrown.numbers((width, 4))

    def norm(weights: Any, x: Array, k: int) -> Array:
        centred = x if rms else x - x.mean(-1, keepdims=True)
        y = centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5) * weights["scale"][k]
        return y if rms else y + weights["shift"][k]

    def attending(weights: Any, x: Array, other: Array) -> Array:
        y = attention(weights, x, other, (heads, groups, size), fused, mask, rope)
        return jnp.where(kept, y / 0.8, 0) if dropout else y

    def block(weights: Any, x: Array) -> Array:
        if after:
            x = norm(weights, x + attending(weights, x, x), 0)
            return norm(weights, x + _feeding(weights, x, name, gated), 1)
        y = norm(weights, x, 0)
        x = x + attending(weights, y, y)
        return x + _feeding(weights, norm(weights, x, 1), name, gated)

    called = jax.checkpoint(block) if remembered else block

    def function(weights: Any, x: Array, *more: Array) -> Array:
        match part:
            case "attention" | "cross-attention":
                return attending(weights, x, *(more or (x,)))
            case "feed-forward":
                return _feeding(weights, norm(weights, x, 0), name, gated)
            case "experts":
                return x + _experts(weights, norm(weights, x, 0), name, gated)
            case "layers in a scan":
                head, stacked = weights["head"], {k: v for k, v in weights.items() if k != "head"}
                return lax.scan(lambda x, w: (called(w, x), None), x, stacked)[0] @ head
        table = x
        x = jnp.take(x, tokens, axis=0) if embedded else x
        x = called(weights, x)
        return x @ table.T if embedded and tied else x @ weights["head"]

    words = f"{part}, batch {batch}, {steps} steps, {heads} heads of {size}, {groups} of keys, mask {mask or 'none'}, "
    words += f"{'RMS' if rms else 'layer'} norm {'after' if after else 'before'}, {fused=}, {rope=}, {name}, {gated=}, "
    words += f"{embedded=}, {tied=}, {dropout=}{', checkpointed' * remembered}"
    other = (thrown.numbers((batch, 2, width)),) if crossed else ()
    return words, function, (weights, x, *other)
