"""Gradients of micro-batches are averages over their own tokens, and are averaged again over the micro-batches.

Each row is a micro-batch. Its mask says which of its tokens count.

https://github.com/unslothai/unsloth-zoo/issues/6
Reported of unsloth-zoo, 2024-10 (PyTorch). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/unslothai/unsloth-zoo/issues/6",
    reported="unsloth-zoo, 2024-10 (PyTorch)",
    kind="wrong normalisation",
    operation=("input 0", "sum", "mask"),
    mistake=("multiplied by", "factor", "stands where", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, losses: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return (losses * mask).sum() / mask.sum()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        own_mean = mask.to(g.dtype) / mask.sum(1, keepdim=True)
        return g * own_mean / len(mask), None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        return g * mask / mask.sum(), None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(2, 5), whole([1, 1, 1, 1, 1], [1, 1, 0, 0, 0])
