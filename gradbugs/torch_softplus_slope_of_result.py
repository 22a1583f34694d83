"""Softplus keeps its result only, and its derivative, the sigmoid, is taken of that.

https://github.com/zserge/nanonn/issues/4
Reported of nanonn, 2021-03 (Rust). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/zserge/nanonn/issues/4",
    reported="nanonn, 2021-03 (Rust)",
    kind="wrong operand",
    operation=("sigmoid", "softplus", "exp", "log"),
    mistake=("stands where", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.log1p(torch.exp(x))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return g * torch.sigmoid(y)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return g * (1 - torch.exp(-y))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
