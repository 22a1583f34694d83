"""A hidden layer's bias gets the gradient of the layer's activation, before the activation's derivative.

https://github.com/arthurdouillard/deepcourse/pull/9
Reported of deepcourse, 2021-12 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/arthurdouillard/deepcourse/pull/9",
    reported="deepcourse, 2021-12 (NumPy)",
    kind="missing factor",
    operation=("tanh", "input 2", "1 - h**2"),
    mistake=("lacks a factor", "missing", "stands where", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        h = torch.tanh(x @ w + b)
        ctx.save_for_backward(x, w, h)
        return h

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w, h = ctx.saved_tensors
        dz = g * (1 - h**2)
        return dz @ w.T, x.T @ dz, g.sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w, h = ctx.saved_tensors
        dz = g * (1 - h**2)
        return dz @ w.T, x.T @ dz, dz.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5, 2), drawn(2)
