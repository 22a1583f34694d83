"""Dropout's backward guesses its mask by result over input, and a dropped input of exactly 0 counts as kept.

https://github.com/kaldi-asr/kaldi/issues/3890
Reported of Kaldi, 2020-01. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/kaldi-asr/kaldi/issues/3890",
    reported="Kaldi, 2020-01",
    kind="recomputed mask",
    operation=("x * kept", "mul", "input 0"),
    mistake=("stands where", "belongs", "another", "missing"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:
        y = x * kept / 0.75
        ctx.save_for_backward(x, y, kept)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y, _ = ctx.saved_tensors
        there = torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x == 0, g, g * y / there), None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        kept = ctx.saved_tensors[-1]
        return g * kept / 0.75, None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    x = drawn(3, 5)
    x[0, 1] = x[2, 2] = 0.0
    return x, whole([1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 1, 1])
