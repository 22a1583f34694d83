"""Right custom_vjps of recurrent cells and of a transformer's parts; see `backward_code_jax.py`."""

# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .backward_code_jax import HandWritten, inputs_of, sizes
from .drawn import Dice
from .jax_activations import Array

# ruff: noqa: D101 - what each is, its name says; JAX hands them what was saved


# ------------------------------------------------------------------------------------ recurrent cells


class ElmanStep:
    @staticmethod
    def ahead(x: Array, h: Array, w: Array, u: Array) -> Any:
        a = jnp.tanh(x @ w.T + h @ u.T)
        return a, (x, h, w, u, a)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, h, w, u, a = saved
        delta = grad * (1 - a * a)
        return delta @ w, delta @ u, delta.T @ x, delta.T @ h


class LSTMGates:
    @staticmethod
    def ahead(i: Array, f: Array, g: Array, o: Array, c: Array) -> Any:
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        new = f * c + i * g
        t = jnp.tanh(new)
        return (o * t, new), (c, i, f, g, o, t)

    @staticmethod
    def backward(saved: Any, grad: Array, grad_new: Array) -> Any:
        c, i, f, g, o, t = saved
        grad_c = grad_new + grad * o * (1 - t * t)
        delta_i = grad_c * g * i * (1 - i)
        delta_f = grad_c * c * f * (1 - f)
        delta_g = grad_c * i * (1 - g * g)
        delta_o = grad * t * o * (1 - o)
        return delta_i, delta_f, delta_g, delta_o, grad_c * f


class GRUGates:
    @staticmethod
    def ahead(r: Array, z: Array, n: Array, m: Array, h: Array) -> Any:
        r, z = jax.nn.sigmoid(r), jax.nn.sigmoid(z)
        a = jnp.tanh(n + r * m)
        return (1 - z) * a + z * h, (r, z, m, h, a)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        r, z, m, h, a = saved
        grad_z = grad * (h - a) * z * (1 - z)
        grad_n = grad * (1 - z) * (1 - a * a)
        grad_r = grad_n * m * r * (1 - r)
        grad_m = grad_n * r
        return grad_r, grad_z, grad_n, grad_m, grad * z


# ------------------------------------------------------------------------------------ transformers


class LayerNorm:
    @staticmethod
    def ahead(x: Array, w: Array, b: Array) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        r = jax.lax.rsqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)
        normal = centred * r
        return normal * w + b, (normal, r, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        normal, r, w = saved
        g = grad * w
        mean = g.mean(-1, keepdims=True)
        slope = (g * normal).mean(-1, keepdims=True)
        grad_x = r * (g - mean - normal * slope)
        grad_w = (grad * normal).sum(0)
        grad_b = grad.sum(0)
        return grad_x, grad_w, grad_b


class RMSNorm:
    @staticmethod
    def ahead(x: Array, w: Array) -> Any:
        r = jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x * r * w, (x, r, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, r, w = saved
        g = grad * w
        inner = (g * x).mean(-1, keepdims=True)
        grad_x = r * g - r**3 * x * inner
        grad_w = (grad * x * r).sum(0)
        return grad_x, grad_w


class Attention:
    @staticmethod
    def ahead(q: Array, k: Array, v: Array) -> Any:
        p = jax.nn.softmax(q.shape[-1] ** -0.5 * (q @ k.T))
        return p @ v, (q, k, v, p)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        q, k, v, p = saved
        scale = q.shape[-1] ** -0.5
        grad_v = p.T @ grad
        grad_p = grad @ v.T
        delta = p * (grad_p - (grad_p * p).sum(-1, keepdims=True))
        grad_q = scale * delta @ k
        grad_k = scale * delta.T @ q
        return grad_q, grad_k, grad_v


class TanhGELU:
    @staticmethod
    def ahead(x: Array) -> Any:
        t = jnp.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
        return 0.5 * x * (1 + t), (x, t)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, t = saved
        inner = 0.7978845608028654 * (1 + 3 * 0.044715 * x**2)
        slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
        return grad * slope


class SwiGLU:
    @staticmethod
    def ahead(x: Array, gate: Array) -> Any:
        return x * gate * jax.nn.sigmoid(gate), (x, gate)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, gate = saved
        s = jax.nn.sigmoid(gate)
        grad_x = grad * gate * s
        grad_gate = grad * x * (s + gate * s * (1 - s))
        return grad_x, grad_gate


class Embedding:
    @staticmethod
    def ahead(table: Array, tokens: Any) -> Any:
        return 2.0 * table[tokens], (table, tokens)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        table, tokens = saved
        grad_table = jnp.zeros_like(table).at[tokens].add(2.0 * grad)
        return grad_table, None


class Rotation:
    @staticmethod
    def ahead(x: Array, angle: Array) -> Any:
        one, other = jnp.split(x, 2, -1)
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.concatenate([one * c - other * s, one * s + other * c], -1), (one, other, c, s)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        one, other, c, s = saved
        g, k = jnp.split(grad, 2, -1)
        grad_one = g * c + k * s
        grad_other = k * c - g * s
        grad_angle = g * (-one * s - other * c) + k * (one * c - other * s)
        return jnp.concatenate([grad_one, grad_other], -1), grad_angle.sum(0)


# ------------------------------------------------------------------------------------ what they are called with


def _tokens(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return thrown.numbers((n, m)), thrown.rng.integers(0, n, k + 1)


def _elman(n: int, m: int, k: int) -> tuple[tuple[int, ...], ...]:
    return (n, m), (n, k), (k, m), (k, k)


SEQUENCES = (
    HandWritten(ElmanStep, "RNN", inputs_of(_elman)),
    HandWritten(LSTMGates, "RNN", inputs_of(lambda n, m, k: ((n, m),) * 5)),
    HandWritten(GRUGates, "RNN", inputs_of(lambda n, m, k: ((n, m),) * 5)),
    HandWritten(LayerNorm, "transformer", inputs_of(lambda n, m, k: ((n, max(m, 3)), (max(m, 3),), (max(m, 3),)))),
    HandWritten(RMSNorm, "transformer", inputs_of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(Attention, "transformer", inputs_of(lambda n, m, k: ((n, m), (k, m), (k, m)))),
    HandWritten(TanhGELU, "transformer", inputs_of(lambda n, m, k: ((n, m),))),
    HandWritten(SwiGLU, "transformer", inputs_of(lambda n, m, k: ((n, m), (n, m)))),
    HandWritten(Embedding, "transformer", _tokens),
    HandWritten(Rotation, "transformer", inputs_of(lambda n, m, k: ((n, 2 * m), (m,)))),
)
