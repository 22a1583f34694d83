"""Attention with capped scores, cap · tanh(s / cap), has the backward of attention without a cap.

https://github.com/Dao-AILab/flash-attention/pull/1033
Reported of flash-attention, 2024-07 (CUDA). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/Dao-AILab/flash-attention/pull/1033",
    reported="flash-attention, 2024-07 (CUDA)",
    kind="missing factor",
    operation=("tanh", "capped"),
    mistake=("missing", "lacks a factor", "1 stands where", "belongs"),
)


CAP = 2.0


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        capped = CAP * torch.tanh(q @ k.T / CAP)
        p = torch.softmax(capped, -1)
        ctx.save_for_backward(q, k, v, capped, p)
        return p @ v

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, _, p = ctx.saved_tensors
        dp = g @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        return ds @ k, ds.T @ q, p.T @ g


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, capped, p = ctx.saved_tensors
        dp = g @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * (1 - (capped / CAP) ** 2)
        return ds @ k, ds.T @ q, p.T @ g


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), drawn(7, 3), drawn(7, 2)
