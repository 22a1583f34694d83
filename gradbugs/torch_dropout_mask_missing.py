"""Dropout's backward divides by the share that is kept, and forgets what was dropped.

https://github.com/ddbourgin/numpy-ml/issues/94
Reported of numpy-ml, 2024-05 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/ddbourgin/numpy-ml/issues/94",
    reported="numpy-ml, 2024-05 (NumPy)",
    kind="missing mask",
    operation=("x * kept", "mul", "input 0"),
    mistake=("missing", "lacks a factor", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: Tensor) -> Tensor:
        y = x * kept / 0.75
        ctx.save_for_backward(kept)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g / 0.75, None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        kept = ctx.saved_tensors[-1]
        return g * kept / 0.75, None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), whole([1, 0, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 0, 1, 1])
