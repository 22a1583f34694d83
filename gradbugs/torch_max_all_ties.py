"""Where several elements are the largest, a maximum's backward gives each of them all of the gradient.

https://github.com/Theano/Theano/issues/4568
Reported of Theano, 2016 (cuDNN). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug

BUG = Bug(
    framework="torch",
    source="https://github.com/Theano/Theano/issues/4568",
    reported="Theano, 2016 (cuDNN)",
    kind="ties",
    operation=("amax", "max", "input 0"),
    mistake=("factor", "too many", "multipl", "kink", "missing"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.amax(1, keepdim=True)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        return g * (x == y)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        largest = (x == y).to(x.dtype)
        return g * largest / largest.sum(1, keepdim=True)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (np.ones((3, 4)),)
