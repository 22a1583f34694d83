"""Batch norm's backward adds up what goes back through the mean, and does not divide it by the batch size.

Its tests had no layer before the batch norm, and so never looked at the gradient of its input.

https://github.com/mlpack/mlpack/issues/1923
Reported of mlpack, 2019-06. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/mlpack/mlpack/issues/1923",
    reported="mlpack, 2019-06",
    kind="mean for sum",
    operation=("mean",),
    mistake=("multiplied by 5", "not averaged", "divided", "multipl"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        mean = x.mean(0)
        centred = x - mean
        variance = (centred * centred).mean(0)
        scale = torch.rsqrt(variance + 1e-5)
        normed = centred * scale
        ctx.save_for_backward(normed, scale, gain)
        return normed * gain + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.sum(0) - normed * (d * normed).mean(0))
        return dx, (g * normed).sum(0), g.sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.mean(0) - normed * (d * normed).mean(0))
        return dx, (g * normed).sum(0), g.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), drawn(3), drawn(3, seed=1)
