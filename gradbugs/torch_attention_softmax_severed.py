"""Attention's fused softmax has no backward: nothing reaches the queries and the keys, and nobody says so.

https://github.com/huggingface/candle/pull/3724
Reported of candle, 2026-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/huggingface/candle/pull/3724",
    reported="candle, 2026-07",
    kind="detached path",
    operation=("softmax", "input 0", "input 1"),
    mistake=("never computed", "missing"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = torch.softmax(x, -1)
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (s,) = ctx.saved_tensors
        return s * (g - (g * s).sum(-1, keepdim=True))


def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return Wrong.apply(q @ k.T / 3**0.5) @ v


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return Right.apply(q @ k.T / 3**0.5) @ v


def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.T / 3**0.5, -1) @ v


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), drawn(7, 3), drawn(7, 2)
