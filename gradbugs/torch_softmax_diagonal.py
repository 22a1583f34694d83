"""Softmax's backward has the diagonal of its Jacobian only, s(1 − s), as if it were a sigmoid.

https://github.com/deeplearning4j/libnd4j/issues/440
Reported of libnd4j, 2017-08. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/deeplearning4j/libnd4j/issues/440",
    reported="libnd4j, 2017-08",
    kind="dropped term",
    operation=("softmax", "sum", "s * (1 - s)"),
    mistake=("missing", "stands where", "lacks", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = torch.softmax(x, -1)
        ctx.save_for_backward(s)
        return s

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (s,) = ctx.saved_tensors
        return g * s * (1 - s)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (s,) = ctx.saved_tensors
        return s * (g - (g * s).sum(-1, keepdim=True))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
