"""With interleaved heads, the backward of grouped queries gives a head's gradient to another head of keys than it
read.

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
    kind="wrong index",
    operation=("keys[owner]", "k[owner]", "input 1", "owner", "index"),
    mistake=("another", "stands where", "belongs", "positions", "wrong axes"),
)


HEADS, SHARED = 2, 3  # heads of keys, and how many heads of queries share one


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor) -> Tensor:
        owner = torch.arange(HEADS * SHARED) % HEADS
        ctx.save_for_backward(q, k)
        return q @ k[owner].transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k = ctx.saved_tensors
        owner = torch.arange(HEADS * SHARED) % HEADS
        dk = g.transpose(1, 2) @ q
        blocks = torch.arange(HEADS * SHARED) // SHARED
        return g @ k[owner], torch.zeros_like(k).index_add(0, blocks, dk)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        q, k = ctx.saved_tensors
        owner = torch.arange(HEADS * SHARED) % HEADS
        dk = g.transpose(1, 2) @ q
        return g @ k[owner], torch.zeros_like(k).index_add(0, owner, dk)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(6, 3, 5), drawn(2, 7, 5)
