"""Softmax's backward copies the incoming gradient, as its author's loss had the two fused.

https://github.com/pjreddie/darknet/pull/96
Reported of darknet, 2017-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pjreddie/darknet/pull/96",
    reported="darknet, 2017-07",
    kind="missing factor",
    operation=("softmax", "input 0", "incoming gradient"),
    mistake=("itself is returned", "missing", "no gradient"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = torch.softmax(x, -1)
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.clone()


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (s,) = ctx.saved_tensors
        return s * (g - (g * s).sum(-1, keepdim=True))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
