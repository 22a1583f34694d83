"""A function saves a value between input and result; its gradient is right, and the gradient's gradient is not.

https://github.com/pytorch/pytorch/issues/104040
Reported of PyTorch, 2023-06. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/104040",
    reported="PyTorch, 2023-06",
    kind="wrong second order",
    operation=("exp", "saved", "input 0"),
    mistake=("missing", "never computed", "no gradient", "belongs"),
    order=2,
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        e = torch.exp(x)
        ctx.save_for_backward(e)
        return (e - 1 / e) / 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (e,) = ctx.saved_tensors
        return g * (e + 1 / e) / 2


class Right(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        e = torch.exp(x)
        ctx.save_for_backward(x)
        return (e - 1 / e) / 2

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e = torch.exp(ctx.saved_tensors[0])
        return g * (e + 1 / e) / 2


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
