"""A cumulative product's backward divides by its inputs, and puts 0 where one of them is 0.

https://github.com/tensorflow/tensorflow/issues/119430
Reported of TensorFlow 2.13.1 to 2.16, 2026-05. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/tensorflow/tensorflow/issues/119430",
    reported="TensorFlow 2.13.1 to 2.16, 2026-05",
    kind="division by zero",
    operation=("cumprod", "input 0"),
    mistake=("zero", "missing", "never", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.cumprod(x, 0)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        later = (g * y).flip(0).cumsum(0).flip(0)
        return torch.where(x == 0, torch.zeros_like(x), later / torch.where(x == 0, torch.ones_like(x), x))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        before = torch.cat([torch.ones_like(x[:1]), y[:-1]])
        later, all_later = torch.zeros_like(x[0]), []
        for k in reversed(range(len(x))):
            later = g[k] + (x[k + 1] * later if k + 1 < len(x) else 0)
            all_later.append(later)
        return before * torch.stack(all_later[::-1])


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    x = drawn(5)
    x[2] = 0.0
    return (x,)
