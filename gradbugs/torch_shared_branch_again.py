"""A tensor that is used twice goes back once for each use, the second time with both gradients together.

https://github.com/sebgao/cTensor/issues/5
Reported of cTensor, 2021-08 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/sebgao/cTensor/issues/5",
    reported="cTensor, 2021-08 (NumPy)",
    kind="double counted",
    operation=("2 * y", "mul", "sin", "tanh"),
    mistake=("doubled", "twice"),
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
        first = 2 * g
        both = first + g * torch.cos(y)
        dz = (first + both) * (1 - y**2)
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
