"""A convolution's backward walks over the input as if the stride were 1.

https://github.com/Kulbear/deep-learning-coursera/pull/34
Reported of deep-learning-coursera, 2018-01 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/Kulbear/deep-learning-coursera/pull/34",
    reported="deep-learning-coursera, 2018-01 (NumPy)",
    kind="stride off",
    operation=("i : i + len(w)", "unfold", "input"),
    mistake=("stride", "positions", "another", "stands where", "belongs"),
)


STRIDE = 2


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x.unfold(0, len(w), STRIDE) @ w

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        dx, dw = torch.zeros_like(x), torch.zeros_like(w)
        for i in range(len(g)):
            dx[i : i + len(w)] += g[i] * w
            dw += g[i] * x[i : i + len(w)]
        return dx, dw


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        dx, dw = torch.zeros_like(x), torch.zeros_like(w)
        for i in range(len(g)):
            start = STRIDE * i
            dx[start : start + len(w)] += g[i] * w
            dw += g[i] * x[start : start + len(w)]
        return dx, dw


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(11), drawn(3)
