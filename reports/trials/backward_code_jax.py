"""Right `jax.custom_vjp`s, written by hand as people write them: `backward_edits.py` plants mistakes in their backward.

Each is a rule, `ahead` (the value, and what is saved) and `backward`; WRITTEN says of which family it is and what it is
called with. PyTorch's stand in `backward_code.py`.
"""

# mypy: allow-untyped-calls
# of JAX, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from .drawn import Dice
from .jax_activations import Array

# ruff: noqa: D101, ARG004 - what each is, its name says; JAX hands them what was saved


@dataclass(frozen=True)
class HandWritten:
    """inputs(dice, square): arrays, of which real numbers are differentiated;  square: with all sizes equal"""

    rule: type
    family: str
    inputs: Callable[[Dice, bool], tuple[Any, ...]]

    @property
    def name(self) -> str:
        return self.rule.__name__

    def function(self, rule: type | None = None) -> Callable[..., Any]:
        """The custom_vjp, of this rule or of one that was edited."""
        followed: Any = rule or self.rule

        def value(*inputs: Array) -> Any:
            return followed.ahead(*inputs)[0]

        def backward(saved: Any, grads: Any) -> tuple[Any, ...]:
            found = followed.backward(saved, *(grads if isinstance(grads, tuple) else (grads,)))
            return found if isinstance(found, tuple) else (found,)

        value.__name__ = self.name
        called: Any = jax.custom_vjp(value)
        called.defvjp(followed.ahead, backward)
        return called


def sizes(thrown: Dice, square: bool) -> tuple[int, int, int]:
    """Rows, columns, units: three different ones, or the same."""
    if square:
        return (thrown.one_of((2, 3)),) * 3
    one, other, third = thrown.several((2, 3, 4), 3)
    return one, other, third


# ------------------------------------------------------------------------------------ perceptrons


class Affine:
    @staticmethod
    def ahead(x: Array, w: Array, b: Array) -> Any:
        return x @ w.T + b, (x, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w = saved
        grad_x = grad @ w
        grad_w = grad.T @ x
        grad_b = grad.sum(0)
        return grad_x, grad_w, grad_b


class SigmoidLayer:
    @staticmethod
    def ahead(x: Array, w: Array, b: Array) -> Any:
        a = jax.nn.sigmoid(x @ w + b)
        return a, (x, w, a)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w, a = saved
        delta = grad * a * (1 - a)
        return delta @ w.T, x.T @ delta, delta.sum(0)


class TanhResidual:
    @staticmethod
    def ahead(x: Array, w: Array) -> Any:
        a = jnp.tanh(x @ w)
        return x + 0.5 * a, (x, w, a)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w, a = saved
        delta = 0.5 * grad * (1 - a * a)
        grad_x = grad + delta @ w.T
        return grad_x, x.T @ delta


# ------------------------------------------------------------------------------------ convolutions


class PointwiseConvolution:
    """Channels mixed at each place: x is batch × channels × places."""

    @staticmethod
    def ahead(x: Array, w: Array, b: Array) -> Any:
        return jnp.einsum("ncl,oc->nol", x, w) + b[:, None], (x, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w = saved
        grad_x = jnp.einsum("nol,oc->ncl", grad, w)
        grad_w = jnp.einsum("nol,ncl->oc", grad, x)
        grad_b = grad.sum((0, 2))
        return grad_x, grad_w, grad_b


class DepthwiseConvolution:
    """Three taps along the last axis, with zeros outside."""

    @staticmethod
    def ahead(x: Array, w: Array) -> Any:
        before, behind = jnp.pad(x, ((0, 0), (1, 0)))[:, :-1], jnp.pad(x, ((0, 0), (0, 1)))[:, 1:]
        return w[0] * before + w[1] * x + w[2] * behind, (before, x, behind, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        before, x, behind, w = saved
        earlier, later = jnp.pad(grad, ((0, 0), (0, 1)))[:, 1:], jnp.pad(grad, ((0, 0), (1, 0)))[:, :-1]
        grad_x = w[0] * earlier + w[1] * grad + w[2] * later
        grad_w = jnp.stack([(grad * before).sum(), (grad * x).sum(), (grad * behind).sum()])
        return grad_x, grad_w


class AveragePool:
    @staticmethod
    def ahead(x: Array) -> Any:
        n, m = x.shape
        return x.reshape(n, m // 2, 2).mean(2), (x,)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        spread = jnp.repeat(grad, 2, 1)
        return spread / 2


class MaxPool:
    @staticmethod
    def ahead(x: Array) -> Any:
        n, m = x.shape
        windows = x.reshape(n, m // 2, 2)
        largest = windows.max(2)
        return largest, (windows, largest)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        windows, largest = saved
        spread = jnp.where(windows == largest[..., None], grad[..., None], 0.0)
        return spread.reshape(grad.shape[0], -1)


class BatchNorm:
    @staticmethod
    def ahead(x: Array, w: Array, b: Array) -> Any:
        centred = x - x.mean(0)
        deviation = jnp.sqrt((centred * centred).mean(0) + 1e-5)
        normal = centred / deviation
        return normal * w + b, (normal, deviation, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        normal, deviation, w = saved
        g = grad * w
        mean = g.mean(0)
        slope = (g * normal).mean(0)
        grad_x = (g - mean - normal * slope) / deviation
        return grad_x, (grad * normal).sum(0), grad.sum(0)


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


# ------------------------------------------------------------------------------------ losses


class SoftmaxCrossEntropy:
    @staticmethod
    def ahead(z: Array, labels: Any) -> Any:
        logs = jax.nn.log_softmax(z)
        return -jnp.take_along_axis(logs, labels[:, None], 1).mean(), (logs, labels)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        logs, labels = saved
        p = jnp.exp(logs)
        target = jax.nn.one_hot(labels, logs.shape[1], dtype=logs.dtype)
        grad_z = grad * (p - target) / logs.shape[0]
        return grad_z, None


class Huber:
    @staticmethod
    def ahead(x: Array, y: Array) -> Any:
        r = x - y
        return jnp.where(jnp.abs(r) < 0.8, 0.5 * r * r, 0.8 * (jnp.abs(r) - 0.4)).sum(), (r,)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        (r,) = saved
        slope = jnp.where(jnp.abs(r) < 0.8, r, 0.8 * jnp.sign(r))
        grad_x = grad * slope
        return grad_x, -grad_x


class Gaussian:
    @staticmethod
    def ahead(x: Array, y: Array, s: Array) -> Any:
        error = x - y
        return (0.5 * error * error * jnp.exp(-s) + 0.5 * s).mean(), (error, s)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        error, s = saved
        precision = jnp.exp(-s)
        common = grad * error * precision / error.size
        grad_s = (grad * (0.5 - 0.5 * error * error * precision) / error.size).sum(0)
        return common, -common, grad_s


# ------------------------------------------------------------------------------------ custom functions


class Softmax:
    @staticmethod
    def ahead(z: Array) -> Any:
        e = jnp.exp(z - z.max(-1, keepdims=True))
        y = e / e.sum(-1, keepdims=True)
        return y, (y,)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        (y,) = saved
        inner = (grad * y).sum(-1, keepdims=True)
        return y * (grad - inner)


class UnitLength:
    @staticmethod
    def ahead(x: Array) -> Any:
        length = jnp.sqrt((x * x).sum(-1, keepdims=True))
        return x / length, (x / length, length)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        y, length = saved
        along = (grad * y).sum(-1, keepdims=True)
        return (grad - along * y) / length


class Swish:
    @staticmethod
    def ahead(x: Array, beta: Array) -> Any:
        return x * jax.nn.sigmoid(beta * x), (x, beta)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, beta = saved
        s = jax.nn.sigmoid(beta * x)
        slope = s * (1 - s)
        grad_x = grad * (s + beta * x * slope)
        grad_beta = (grad * x * x * slope).sum(0)
        return grad_x, grad_beta


# ------------------------------------------------------------------------------------ compositions


class WeightedCumulativeSum:
    @staticmethod
    def ahead(x: Array, w: Array) -> Any:
        return jnp.cumsum(x * w, 0), (x, w)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w = saved
        g = grad.sum(0) - grad.cumsum(0) + grad
        return g * w, (g * x).sum(0)


class Bilinear:
    @staticmethod
    def ahead(x: Array, w: Array, y: Array) -> Any:
        return jnp.einsum("ni,ij,nj->n", x, w, y), (x, w, y)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w, y = saved
        g = grad[:, None]
        grad_x = g * (y @ w.T)
        grad_y = g * (x @ w)
        grad_w = x.T @ (g * y)
        return grad_x, grad_w, grad_y


class GatedMean:
    @staticmethod
    def ahead(x: Array, w: Array) -> Any:
        total = (1 + w * w).sum(0)
        y = (x * (1 + w * w)).sum(0) / total
        return y, (x, w, y, total)

    @staticmethod
    def backward(saved: Any, grad: Array) -> Any:
        x, w, y, total = saved
        g = grad / total
        return g * (1 + w * w), 2 * g * w * (x - y)


# ------------------------------------------------------------------------------------ what they are called with

Shapes = Callable[[int, int, int], tuple[tuple[int, ...], ...]]


def _of(shapes: Shapes) -> Callable[[Dice, bool], tuple[Any, ...]]:
    """Arrays of these shapes, which depend on rows, columns and units."""
    return lambda thrown, square: tuple(thrown.numbers(shape) for shape in shapes(*sizes(thrown, square)))


def _labelled(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return thrown.numbers((n, m)), thrown.rng.integers(0, m, n)


def _tokens(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return thrown.numbers((n, m)), thrown.rng.integers(0, n, k + 1)


def _elman(n: int, m: int, k: int) -> tuple[tuple[int, ...], ...]:
    return (n, m), (n, k), (k, m), (k, k)


WRITTEN = (
    HandWritten(Affine, "MLP", _of(lambda n, m, k: ((n, m), (k, m), (k,)))),
    HandWritten(SigmoidLayer, "MLP", _of(lambda n, m, k: ((n, m), (m, k), (k,)))),
    HandWritten(TanhResidual, "MLP", _of(lambda n, m, k: ((n, m), (m, m)))),
    HandWritten(PointwiseConvolution, "CNN", _of(lambda n, m, k: ((n, m, 3), (k, m), (k,)))),
    HandWritten(DepthwiseConvolution, "CNN", _of(lambda n, m, k: ((n, m), (3,)))),
    HandWritten(AveragePool, "CNN", _of(lambda n, m, k: ((n, 2 * m),))),
    HandWritten(MaxPool, "CNN", _of(lambda n, m, k: ((n, 2 * m),))),
    HandWritten(BatchNorm, "CNN", _of(lambda n, m, k: ((max(n, 3), m), (m,), (m,)))),
    HandWritten(ElmanStep, "RNN", _of(_elman)),
    HandWritten(LSTMGates, "RNN", _of(lambda n, m, k: ((n, m),) * 5)),
    HandWritten(GRUGates, "RNN", _of(lambda n, m, k: ((n, m),) * 5)),
    HandWritten(LayerNorm, "transformer", _of(lambda n, m, k: ((n, max(m, 3)), (max(m, 3),), (max(m, 3),)))),
    HandWritten(RMSNorm, "transformer", _of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(Attention, "transformer", _of(lambda n, m, k: ((n, m), (k, m), (k, m)))),
    HandWritten(TanhGELU, "transformer", _of(lambda n, m, k: ((n, m),))),
    HandWritten(SwiGLU, "transformer", _of(lambda n, m, k: ((n, m), (n, m)))),
    HandWritten(Embedding, "transformer", _tokens),
    HandWritten(Rotation, "transformer", _of(lambda n, m, k: ((n, 2 * m), (m,)))),
    HandWritten(SoftmaxCrossEntropy, "loss", _labelled),
    HandWritten(Huber, "loss", _of(lambda n, m, k: ((n, m), (n, m)))),
    HandWritten(Gaussian, "loss", _of(lambda n, m, k: ((n, m), (n, m), (m,)))),
    HandWritten(Softmax, "custom function", _of(lambda n, m, k: ((n, m),))),
    HandWritten(UnitLength, "custom function", _of(lambda n, m, k: ((n, m),))),
    HandWritten(Swish, "custom function", _of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(WeightedCumulativeSum, "composition", _of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(Bilinear, "composition", _of(lambda n, m, k: ((n, m), (m, k), (n, k)))),
    HandWritten(GatedMean, "composition", _of(lambda n, m, k: ((n, m), (n, m)))),
)
