"""Max pooling's backward writes each window's gradient where it belongs, over that of the window before it.

Its test had the stride equal to the size, where no two windows overlap.

https://github.com/0809zheng/CS231n-assignment2019/issues/19
Reported of a CS231n assignment, 2020-05 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/0809zheng/CS231n-assignment2019/issues/19",
    reported="a CS231n assignment, 2020-05 (NumPy)",
    kind="overwritten, not added",
    operation=("x.unfold", "windows[", "places", "input 0"),
    mistake=("overwrit", "only the last", "missing", "left out", "not summed"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        windows = x.unfold(0, 3, 1)
        best = windows.argmax(1)
        ctx.save_for_backward(best + 1 * torch.arange(len(best)))
        ctx.size = len(x)
        return windows[torch.arange(len(best)), best]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        dx = g.new_zeros(ctx.size)
        for place, d in zip(places, g, strict=True):
            dx[place] = d
        return dx


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        return g.new_zeros(ctx.size).index_add(0, places, g)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(11),)
