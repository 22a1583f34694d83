"""Attention's backward reads as many channels of the values as the keys have, and the values have more.

https://github.com/XunhaoLai/native-sparse-attention-triton/issues/27
Reported of native-sparse-attention-triton, 2026-08 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/XunhaoLai/native-sparse-attention-triton/issues/27",
    reported="native-sparse-attention-triton, 2026-08 (PyTorch, Triton)",
    kind="dropped terms",
    operation=("p @ v", "g[:", "v[:", "incoming gradient"),
    mistake=("left out", "last element", "missing", "cut"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        p = torch.softmax(q @ k.T, -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, p = ctx.saved_tensors
        width = k.shape[1]
        dp = g[:, :width] @ v[:, :width].T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        return ds @ k, ds.T @ q, p.T @ g


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k, v, p = ctx.saved_tensors
        dp = g @ v.T
        ds = p * (dp - (dp * p).sum(-1, keepdim=True))
        return ds @ k, ds.T @ q, p.T @ g


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 2), drawn(7, 2), drawn(7, 3)
