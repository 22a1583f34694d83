"""Adaptive average pooling's windows differ in size, and its backward divides all by one of them.

https://github.com/PaddlePaddle/Paddle/pull/74077
Reported of PaddlePaddle, 2025-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/PaddlePaddle/Paddle/pull/74077",
    reported="PaddlePaddle, 2025-07",
    kind="wrong divisor",
    operation=("mean", "input 0", "div"),
    mistake=("divided", "multiplied", "factor", "stands where"),
)


def borders(size: int, number: int) -> list[tuple[int, int]]:
    return [(k * size // number, -(-(k + 1) * size // number)) for k in range(number)]


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = len(x)
        return torch.stack([x[a:b].mean() for a, b in borders(len(x), 3)])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        dx = g.new_zeros(ctx.size)
        for d, (a, b) in zip(g, borders(ctx.size, 3), strict=True):
            dx[a:b] += d / -(-ctx.size // 3)
        return dx


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        dx = g.new_zeros(ctx.size)
        for d, (a, b) in zip(g, borders(ctx.size, 3), strict=True):
            dx[a:b] += d / (b - a)
        return dx


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(8),)
