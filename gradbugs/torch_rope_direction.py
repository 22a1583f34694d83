"""A rotary embedding's backward turns the same way as its forward, as a flag for the direction is inverted.

https://github.com/ngxson/llama.cpp/pull/59
Reported of a fork of llama.cpp, 2025-12 (C++). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/ngxson/llama.cpp/pull/59",
    reported="a fork of llama.cpp, 2025-12 (C++)",
    kind="wrong sign",
    operation=("sin", "rotated", "y1", "y2"),
    mistake=("negated", "transposed", "sign"),
)


def angles(x: Tensor) -> Tensor:
    steps = torch.arange(x.shape[0], dtype=x.dtype)[:, None]
    return steps * 0.5 ** torch.arange(x.shape[1] // 2, dtype=x.dtype)


def rotated(x: Tensor, sign: float) -> Tensor:
    a, b = x.chunk(2, -1)
    cos, sin = torch.cos(angles(x)), sign * torch.sin(angles(x))
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return rotated(x, 1.0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return rotated(g, 1.0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return rotated(g, -1.0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(5, 6),)
