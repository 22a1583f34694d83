"""Right backward code, written by hand as people write it: `backward_edits.py` plants mistakes in its source.

Each is a torch.autograd.Function with the forward and the backward spelled out; HAND_WRITTEN says of which family it is
and what it is called with. The sequence models stand in `backward_code_sequences.py`.
"""

# mypy: allow-subclassing-any, allow-untyped-calls
# of PyTorch, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from .drawn import Dice

# ruff: noqa: D101, ARG004 - what each is, its name says; PyTorch hands them ctx


@dataclass(frozen=True)
class HandWritten:
    """inputs(dice, square): tensors, those of real numbers to be differentiated;  square: with all sizes equal"""

    function: type[Function]
    family: str
    inputs: Callable[[Dice, bool], tuple[Any, ...]]


def real(thrown: Dice, *shape: int) -> Tensor:
    """Random numbers, to be differentiated."""
    return torch.tensor(thrown.numbers(shape)).requires_grad_()


def sizes(thrown: Dice, square: bool) -> tuple[int, int, int]:
    """Rows, columns, units: three different ones, or the same."""
    if square:
        return (thrown.one_of((2, 3)),) * 3
    one, other, third = thrown.several((2, 3, 4), 3)
    return one, other, third


# ------------------------------------------------------------------------------------ perceptrons


class Affine(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w.T + b

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w = ctx.saved_tensors
        grad_x = grad @ w
        grad_w = grad.T @ x
        grad_b = grad.sum(0)
        return grad_x, grad_w, grad_b


class SigmoidLayer(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        a = torch.sigmoid(x @ w.T + b)
        ctx.save_for_backward(x, w, a)
        return a

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, a = ctx.saved_tensors
        delta = grad * a * (1 - a)
        return delta @ w, delta.T @ x, delta.sum(0)


class TanhResidual(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        a = torch.tanh(x @ w)
        ctx.save_for_backward(x, w, a)
        return x + 0.5 * a

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, a = ctx.saved_tensors
        delta = 0.5 * grad * (1 - a * a)
        grad_x = grad + delta @ w.T
        grad_w = x.T @ delta
        return grad_x, grad_w


# ------------------------------------------------------------------------------------ convolutions


class ConvolutionByUnfold(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        columns = F.unfold(x, w.shape[2:], padding=1)
        ctx.save_for_backward(columns, w)
        ctx.size = x.shape[2:]
        y = w.flatten(1) @ columns + b[:, None]
        return y.reshape(x.shape[0], w.shape[0], x.shape[2] + 3 - w.shape[2], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        columns, w = ctx.saved_tensors
        g = grad.flatten(2)
        grad_w = (g @ columns.transpose(1, 2)).sum(0).reshape(w.shape)
        grad_columns = w.flatten(1).T @ g
        grad_x = F.fold(grad_columns, ctx.size, w.shape[2:], padding=1)
        grad_b = grad.sum((0, 2, 3))
        return grad_x, grad_w, grad_b


class AveragePool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        spread = grad.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return spread / 4


class MaxPool(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 4, 3, 5).flatten(4)
        y, place = windows.max(-1)
        ctx.save_for_backward(place)
        ctx.shape = x.shape
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (place,) = ctx.saved_tensors
        n, c, h, w = ctx.shape
        spread = grad.new_zeros(*grad.shape, 4).scatter(-1, place[..., None], grad[..., None])
        spread = spread.reshape(n, c, h // 2, w // 2, 2, 2).permute(0, 1, 2, 4, 3, 5)
        return spread.reshape(n, c, h, w)


class BatchNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        centred = x - x.mean(0)
        deviation = torch.sqrt((centred * centred).mean(0) + 1e-5)
        normal = centred / deviation
        ctx.save_for_backward(normal, deviation, w)
        return normal * w + b

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        normal, deviation, w = ctx.saved_tensors
        g = grad * w
        mean = g.mean(0)
        slope = (g * normal).mean(0)
        grad_x = (g - mean - normal * slope) / deviation
        grad_w = (grad * normal).sum(0)
        grad_b = grad.sum(0)
        return grad_x, grad_w, grad_b


# ------------------------------------------------------------------------------------ losses


class BinaryCrossEntropyWithLogits(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(z, y)
        return (F.softplus(z) - y * z).mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        z, y = ctx.saved_tensors
        p = torch.sigmoid(z)
        grad_z = grad * (p - y) / z.numel()
        grad_y = -grad * z / z.numel()
        return grad_z, grad_y


class Huber(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        r = x - y
        ctx.save_for_backward(r)
        return torch.where(r.abs() < 0.8, 0.5 * r * r, 0.8 * (r.abs() - 0.4)).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (r,) = ctx.saved_tensors
        slope = torch.where(r.abs() < 0.8, r, 0.8 * torch.sign(r))
        grad_x = grad * slope
        return grad_x, -grad_x


class NegativeLogLikelihood(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, labels: Tensor) -> Tensor:
        logs = z - torch.logsumexp(z, 1, keepdim=True)
        ctx.save_for_backward(logs, labels)
        return -logs.gather(1, labels[:, None]).mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        logs, labels = ctx.saved_tensors
        p = torch.exp(logs)
        target = torch.zeros_like(p).scatter(1, labels[:, None], 1.0)
        grad_z = (p - target) / p.shape[0]
        return grad * grad_z, None


class WeightedSquaredError(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, y, w)
        return (w * (x - y) ** 2).mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, y, w = ctx.saved_tensors
        error = x - y
        common = 2.0 * grad * error / x.numel()
        grad_w = (grad * error * error / x.numel()).sum(0)
        return common * w, -common * w, grad_w


# ------------------------------------------------------------------------------------ custom functions


class Softmax(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        e = torch.exp(z - z.amax(-1, keepdim=True))
        y = e / e.sum(-1, keepdim=True)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        inner = (grad * y).sum(-1, keepdim=True)
        return y * (grad - inner)


class LogSumExp(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, t: Tensor) -> Tensor:
        y = torch.logsumexp(t * z, 1)
        ctx.save_for_backward(z, t, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        z, t, y = ctx.saved_tensors
        p = torch.exp(t * z - y[:, None])
        g = grad[:, None] * p
        return g * t, (g * z).sum(0)


class UnitLength(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        length = torch.sqrt((x * x).sum(-1, keepdim=True))
        y = x / length
        ctx.save_for_backward(y, length)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        y, length = ctx.saved_tensors
        along = (grad * y).sum(-1, keepdim=True)
        return (grad - along * y) / length


class Swish(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(x, beta)
        return x * torch.sigmoid(beta * x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * x)
        slope = s * (1 - s)
        grad_x = grad * (s + beta * x * slope)
        grad_beta = (grad * x * x * slope).sum(0)
        return grad_x, grad_beta


# ------------------------------------------------------------------------------------ compositions


class WeightedCumulativeSum(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return torch.cumsum(x * w, 0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w = ctx.saved_tensors
        g = grad.flip(0).cumsum(0).flip(0)
        return g * w, (g * x).sum(0)


class Bilinear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, w, y)
        return torch.einsum("ni,ij,nj->n", x, w, y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, y = ctx.saved_tensors
        g = grad[:, None]
        grad_x = g * (y @ w.T)
        grad_y = g * (x @ w)
        grad_w = x.T @ (g * y)
        return grad_x, grad_w, grad_y


class GatedMean(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        total = w.sum(0)
        y = (x * w).sum(0) / total
        ctx.save_for_backward(x, w, y, total)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, y, total = ctx.saved_tensors
        g = grad / total
        return g * w, g * (x - y)


def _affine(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return real(thrown, n, m), real(thrown, k, m), real(thrown, k)


def _residual(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return real(thrown, n, m), real(thrown, m, m)


def _image(thrown: Dice, square: bool) -> tuple[Any, ...]:
    return (real(thrown, 2 if square else 1, 2, *((2, 2) if square else (2, 4))),)


def _convolution(thrown: Dice, square: bool) -> tuple[Any, ...]:
    image, kernel = ((3, 3), (3, 3)) if square else ((2, 3), (2, 3))
    out = 2 if square else 3
    return real(thrown, 2, 2, *image), real(thrown, out, 2, *kernel), real(thrown, out)


def _normalised(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n = 3 if square else 4
    return real(thrown, n, 3), real(thrown, 3), real(thrown, 3)


def _alike(count: int) -> Callable[[Dice, bool], tuple[Any, ...]]:
    def inputs(thrown: Dice, square: bool) -> tuple[Any, ...]:
        n, m, _ = sizes(thrown, square)
        return tuple(real(thrown, n, m) for _ in range(count))

    return inputs


def _labelled(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return real(thrown, n, m), torch.tensor(thrown.rng.integers(0, m, n))


def _by_column(count: int) -> Callable[[Dice, bool], tuple[Any, ...]]:
    """So many of rows and columns, and one number for each column."""

    def inputs(thrown: Dice, square: bool) -> tuple[Any, ...]:
        n, m, _ = sizes(thrown, square)
        return *(real(thrown, n, m) for _ in range(count)), real(thrown, m)

    return inputs


def _bilinear(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, k = sizes(thrown, square)
    return real(thrown, n, m), real(thrown, m, k), real(thrown, n, k)


def _weighted(thrown: Dice, square: bool) -> tuple[Any, ...]:
    n, m, _ = sizes(thrown, square)
    return real(thrown, n, m), torch.tensor(1 + thrown.rng.random((n, m))).requires_grad_()


HAND_WRITTEN = (
    HandWritten(Affine, "MLP", _affine),
    HandWritten(SigmoidLayer, "MLP", _affine),
    HandWritten(TanhResidual, "MLP", _residual),
    HandWritten(ConvolutionByUnfold, "CNN", _convolution),
    HandWritten(AveragePool, "CNN", _image),
    HandWritten(MaxPool, "CNN", _image),
    HandWritten(BatchNorm, "CNN", _normalised),
    HandWritten(BinaryCrossEntropyWithLogits, "loss", _alike(2)),
    HandWritten(Huber, "loss", _alike(2)),
    HandWritten(NegativeLogLikelihood, "loss", _labelled),
    HandWritten(WeightedSquaredError, "loss", _by_column(2)),
    HandWritten(Softmax, "custom function", _alike(1)),
    HandWritten(LogSumExp, "custom function", _by_column(1)),
    HandWritten(UnitLength, "custom function", _alike(1)),
    HandWritten(Swish, "custom function", _by_column(1)),
    HandWritten(WeightedCumulativeSum, "composition", _by_column(1)),
    HandWritten(Bilinear, "composition", _bilinear),
    HandWritten(GatedMean, "composition", _weighted),
)
