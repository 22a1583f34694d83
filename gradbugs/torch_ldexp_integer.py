"""The gradient of x · 2**e by x is computed with whole numbers, where 2**−1 is 0.

https://github.com/pytorch/pytorch/issues/187460
Reported of PyTorch, 2026-06, and live in 2.13.0. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/187460",
    reported="PyTorch, 2026-06, and live in 2.13.0",
    kind="missing factor",
    operation=("ldexp", "**", "pow", "mul", "input 0"),
    mistake=("missing", "stands where", "belongs", "factor", "zero"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, e: Tensor) -> Tensor:
        ctx.save_for_backward(e)
        return x * 2.0**e

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (e,) = ctx.saved_tensors
        return g * torch.full_like(e, 2) ** e, None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (e,) = ctx.saved_tensors
        return g * 2.0**e, None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5), whole(1, -1, 2, -3, 0)
