"""Right `jax.custom_vjp`s, written by hand as people write them: `backward_edits.py` plants mistakes in their backward.

Each is a rule, `ahead` (the value, and what is saved) and `backward`; LAYERS and FUNCTIONS say of which family it is
and what it is called with. The sequence models stand in `backward_code_jax_sequences.py`, PyTorch's in
`backward_code.py`.
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
        mask = (windows == largest[..., None]) * 1.0
        spread = mask * (grad / mask.sum(2))[..., None]
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


def inputs_of(shapes: Shapes) -> Callable[[Dice, bool], tuple[Any, ...]]:
    """Arrays of these shapes, which depend on rows, columns and units."""
    return lambda thrown, square: tuple(thrown.numbers(shape) for shape in shapes(*sizes(thrown, square)))


def _labelled(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return thrown.numbers((n, m)), thrown.rng.integers(0, m, n)


LAYERS = (
    HandWritten(Affine, "MLP", inputs_of(lambda n, m, k: ((n, m), (k, m), (k,)))),
    HandWritten(SigmoidLayer, "MLP", inputs_of(lambda n, m, k: ((n, m), (m, k), (k,)))),
    HandWritten(TanhResidual, "MLP", inputs_of(lambda n, m, k: ((n, m), (m, m)))),
    HandWritten(PointwiseConvolution, "CNN", inputs_of(lambda n, m, k: ((n, m, 3), (k, m), (k,)))),
    HandWritten(DepthwiseConvolution, "CNN", inputs_of(lambda n, m, k: ((n, m), (3,)))),
    HandWritten(AveragePool, "CNN", inputs_of(lambda n, m, k: ((n, 2 * m),))),
    HandWritten(MaxPool, "CNN", inputs_of(lambda n, m, k: ((n, 2 * m),))),
    HandWritten(BatchNorm, "CNN", inputs_of(lambda n, m, k: ((max(n, 3), m), (m,), (m,)))),
)
FUNCTIONS = (
    HandWritten(SoftmaxCrossEntropy, "loss", _labelled),
    HandWritten(Huber, "loss", inputs_of(lambda n, m, k: ((n, m), (n, m)))),
    HandWritten(Gaussian, "loss", inputs_of(lambda n, m, k: ((n, m), (n, m), (m,)))),
    HandWritten(Softmax, "custom function", inputs_of(lambda n, m, k: ((n, m),))),
    HandWritten(UnitLength, "custom function", inputs_of(lambda n, m, k: ((n, m),))),
    HandWritten(Swish, "custom function", inputs_of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(WeightedCumulativeSum, "composition", inputs_of(lambda n, m, k: ((n, m), (m,)))),
    HandWritten(Bilinear, "composition", inputs_of(lambda n, m, k: ((n, m), (m, k), (n, k)))),
    HandWritten(GatedMean, "composition", inputs_of(lambda n, m, k: ((n, m), (n, m)))),
)
