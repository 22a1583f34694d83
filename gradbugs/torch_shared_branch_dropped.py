"""A tensor that is used twice passes on the gradient of its first use, and forgets the second.

https://github.com/TrenTorch/TrenTorch/pull/182
Reported of TrenTorch, 2026-09. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/TrenTorch/TrenTorch/pull/182",
    reported="TrenTorch, 2026-09",
    kind="dropped terms",
    operation=("sin",),
    mistake=("missing",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        y = torch.tanh(x @ w)
        ctx.save_for_backward(x, w, y)
        return 2 * y + torch.sin(y)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w, y = ctx.saved_tensors
        dz = 2 * g * (1 - y**2)
        return dz @ w.T, x.T @ dz


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w, y = ctx.saved_tensors
        dy = 2 * g + g * torch.cos(y)
        dz = dy * (1 - y**2)
        return dz @ w.T, x.T @ dz


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5, 2)
