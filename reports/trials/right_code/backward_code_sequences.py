"""Right backward code of recurrent cells and of a transformer's parts; see `backward_code.py`."""

# mypy: allow-subclassing-any, allow-untyped-calls
# of PyTorch, which is typed in parts, and not where it is absent

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .backward_code import HandWritten, real, sizes
from .drawn import Dice

# ruff: noqa: D101 - what each is, its name says


class ElmanStep(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
        a = torch.tanh(x @ w.T + h @ u.T)
        ctx.save_for_backward(x, h, w, u, a)
        return a

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, h, w, u, a = ctx.saved_tensors
        delta = grad * (1 - a * a)
        return delta @ w, delta @ u, delta.T @ x, delta.T @ h


class LSTMCell(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, c: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (x @ w.T + h @ u.T + b).chunk(4, 1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        new = f * c + i * g
        t = torch.tanh(new)
        ctx.save_for_backward(x, h, c, w, u, i, f, g, o, t)
        return o * t, new

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_new: Tensor) -> Any:
        x, h, c, w, u, i, f, g, o, t = ctx.saved_tensors
        grad_c = grad_new + grad * o * (1 - t * t)
        delta_i = grad_c * g * i * (1 - i)
        delta_f = grad_c * c * f * (1 - f)
        delta_g = grad_c * i * (1 - g * g)
        delta_o = grad * t * o * (1 - o)
        delta = torch.cat([delta_i, delta_f, delta_g, delta_o], 1)
        return delta @ w, delta @ u, grad_c * f, delta.T @ x, delta.T @ h, delta.sum(0)


class GRUGates(Function):
    @staticmethod
    def forward(ctx: Any, r: Tensor, z: Tensor, n: Tensor, m: Tensor, h: Tensor) -> Tensor:
        r, z = torch.sigmoid(r), torch.sigmoid(z)
        a = torch.tanh(n + r * m)
        ctx.save_for_backward(r, z, m, h, a)
        return (1 - z) * a + z * h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        r, z, m, h, a = ctx.saved_tensors
        grad_z = grad * (h - a) * z * (1 - z)
        grad_n = grad * (1 - z) * (1 - a * a)
        grad_r = grad_n * m * r * (1 - r)
        grad_m = grad_n * r
        grad_h = grad * z
        return grad_r, grad_z, grad_n, grad_m, grad_h


class LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        r = 1 / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        normal = centred * r
        ctx.save_for_backward(normal, r, w)
        return normal * w + b

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        normal, r, w = ctx.saved_tensors
        g = grad * w
        mean = g.mean(-1, keepdim=True)
        slope = (g * normal).mean(-1, keepdim=True)
        grad_x = r * (g - mean - normal * slope)
        grad_w = (grad * normal).sum(0)
        grad_b = grad.sum(0)
        return grad_x, grad_w, grad_b


class RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        r = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, r, w)
        return x * r * w

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, r, w = ctx.saved_tensors
        g = grad * w
        inner = (g * x).mean(-1, keepdim=True)
        grad_x = r * g - r * r * r * x * inner
        grad_w = (grad * x * r).sum(0)
        return grad_x, grad_w


class Attention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scale = q.shape[-1] ** -0.5
        p = torch.softmax(scale * (q @ k.T), -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        q, k, v, p = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        grad_v = p.T @ grad
        grad_p = grad @ v.T
        delta = p * (grad_p - (grad_p * p).sum(-1, keepdim=True))
        grad_q = scale * delta @ k
        grad_k = scale * delta.T @ q
        return grad_q, grad_k, grad_v


class CausalAttention(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = q.new_ones(q.shape[0], k.shape[0], dtype=torch.bool).tril()
        p = torch.softmax((q @ k.T).masked_fill(~mask, float("-inf")), -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        q, k, v, p = ctx.saved_tensors
        grad_p = grad @ v.T
        row = (grad_p * p).sum(-1, keepdim=True)
        delta = p * (grad_p - row)
        return delta @ k, delta.T @ q, p.T @ grad


class TanhGELU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        t = torch.tanh(0.7978845608028654 * (x + 0.044715 * x**3))
        inner = 0.7978845608028654 * (1 + 3 * 0.044715 * x**2)
        slope = 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
        return grad * slope


class SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return x * gate * torch.sigmoid(gate)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, gate = ctx.saved_tensors
        s = torch.sigmoid(gate)
        grad_x = grad * gate * s
        grad_gate = grad * x * (s + gate * s * (1 - s))
        return grad_x, grad_gate


class Embedding(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.rows = table.shape[0]
        return table[tokens] * 2.0

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (tokens,) = ctx.saved_tensors
        table = grad.new_zeros(ctx.rows, grad.shape[1])
        return table.index_add(0, tokens, grad * 2.0), None


class Rotation(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, angle: Tensor) -> Tensor:
        one, other = x.chunk(2, -1)
        c, s = torch.cos(angle), torch.sin(angle)
        ctx.save_for_backward(one, other, c, s)
        return torch.cat([one * c - other * s, one * s + other * c], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        one, other, c, s = ctx.saved_tensors
        g, k = grad.chunk(2, -1)
        grad_one = g * c + k * s
        grad_other = k * c - g * s
        grad_angle = g * (-one * s - other * c) + k * (one * c - other * s)
        return torch.cat([grad_one, grad_other], -1), grad_angle.sum(0)


class Dropout(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(x, w, mask)
        return torch.tanh(x) * mask / 0.75 * w

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, mask = ctx.saved_tensors
        t = torch.tanh(x)
        kept = grad * mask / 0.75
        return kept * w * (1 - t * t), (kept * t).sum(0), None


def _elman(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return real(thrown, n, m), real(thrown, n, k), real(thrown, k, m), real(thrown, k, k)


def _lstm(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = (2, 2, 2) if square else (3, 1, 2)
    states = real(thrown, n, k), real(thrown, n, k)
    return real(thrown, n, m), *states, real(thrown, 4 * k, m), real(thrown, 4 * k, k), real(thrown, 4 * k)


def _gates(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return tuple(real(thrown, n, m) for _ in range(5))


def _norm(biased: bool) -> Any:
    def inputs(thrown: Dice, square: bool) -> tuple[Any, ...]:
        n, m = (3, 3) if square else (2, 4)
        return real(thrown, n, m), *(real(thrown, m) for _ in range(2 if biased else 1))

    return inputs


def _heads(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return real(thrown, n, m), real(thrown, k, m), real(thrown, k, n if square else m)


def _own_heads(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return tuple(real(thrown, n, m) for _ in range(3))


def _rows(count: int) -> Any:
    def inputs(thrown: Dice, square: bool) -> tuple[Any, ...]:
        n, m, _ = sizes(thrown, square)
        return tuple(real(thrown, n, m) for _ in range(count))

    return inputs


def _tokens(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return real(thrown, n, m), torch.tensor(thrown.rng.integers(0, n, k + 1))


def _pairs(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m = (2, 2) if square else (3, 2)
    return real(thrown, n, 2 * m), real(thrown, m)


def _masked(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    mask = torch.tensor((thrown.rng.random((n, m)) < 0.75) * 1.0)
    mask[0, 0] = 1.0
    return real(thrown, n, m), real(thrown, m), mask


SEQUENCES = (
    HandWritten(ElmanStep, "RNN", _elman),
    HandWritten(LSTMCell, "RNN", _lstm),
    HandWritten(GRUGates, "RNN", _gates),
    HandWritten(LayerNorm, "transformer", _norm(biased=True)),
    HandWritten(RMSNorm, "transformer", _norm(biased=False)),
    HandWritten(Attention, "transformer", _heads),
    HandWritten(CausalAttention, "transformer", _own_heads),
    HandWritten(TanhGELU, "transformer", _rows(1)),
    HandWritten(SwiGLU, "transformer", _rows(2)),
    HandWritten(Embedding, "transformer", _tokens),
    HandWritten(Rotation, "transformer", _pairs),
    HandWritten(Dropout, "transformer", _masked),
)
