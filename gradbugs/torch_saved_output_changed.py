"""A function saves a view of its result; one is added to the result in place, and nobody notices.

https://github.com/pytorch/pytorch/issues/24413
Reported of PyTorch, 2019-08. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/24413",
    reported="PyTorch, 2019-08",
    kind="changed in place",
    operation=("sigmoid", "saved"),
    mistake=("stands where", "belongs", "graph", "another"),
)


class Sigmoid(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.sigmoid(x)
        ctx.saved = y.detach().t()
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        y = ctx.saved.t()
        return g * y * (1 - y)


def wrong(x: Tensor) -> Tensor:
    y = Sigmoid.apply(x)
    y += 1
    return y


def right(x: Tensor) -> Tensor:
    return Sigmoid.apply(x) + 1


def reference(x: Tensor) -> Tensor:
    return torch.sigmoid(x) + 1


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
