"""An aggregation repeats the border on its way forward, and its backward keeps the first weight only there.

https://github.com/feihuzhang/GANet/issues/59
Reported of GANet, 2019-10 (CUDA). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/feihuzhang/GANet/issues/59",
    reported="GANet, 2019-10 (CUDA)",
    kind="dropped terms",
    operation=("x[:1]", "cat", "w1", "mul"),
    mistake=("missing",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w0: Tensor, w1: Tensor) -> Tensor:
        before = torch.cat([x[:1], x[:-1]])
        ctx.save_for_backward(x, w0, w1, before)
        return w0 * x + w1 * before

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w0, w1, before = ctx.saved_tensors
        dx = g * w0
        dx[:-1] += (g * w1)[1:]
        return dx, g * x, g * before


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w0, w1, before = ctx.saved_tensors
        dx = g * w0
        dx[:-1] += (g * w1)[1:]
        dx[0] += (g * w1)[0]
        return dx, g * x, g * before


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(7), drawn(7, seed=1), drawn(7, seed=2)
