"""Cross-entropy's mean leaves ignored labels out of its count, and its backward divides by all of them.

https://github.com/flagos-ai/FlagGems/pull/73
Reported of FlagGems, 2024-06 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/flagos-ai/FlagGems/pull/73",
    reported="FlagGems, 2024-06 (PyTorch, Triton)",
    kind="wrong normalisation",
    operation=("input 0", "sum", "div"),
    mistake=("multiplied by", "divided", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, labels: Tensor) -> Tensor:
        kept = labels != -100
        rows = torch.arange(len(labels))
        logs = torch.log_softmax(z, -1)
        ctx.save_for_backward(logs, labels, kept)
        return -(logs[rows, labels.clamp(min=0)] * kept).sum() / kept.sum()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, labels, kept = ctx.saved_tensors
        d = (logs.exp() - F.one_hot(labels.clamp(min=0), logs.shape[-1])) * kept[:, None]
        return g * d / len(labels), None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, labels, kept = ctx.saved_tensors
        d = (logs.exp() - F.one_hot(labels.clamp(min=0), logs.shape[-1])) * kept[:, None]
        return g * d / kept.sum(), None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(7, 5), whole(4, -100, 2, 0, -100, 1, 3)
