"""Max pooling's backward returns from inside its loop: only the first window's gradient goes back.

https://github.com/riccardoandreoni0/CNN-from-scratch/issues/1
Reported of CNN-from-scratch, 2023-09 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/riccardoandreoni0/CNN-from-scratch/issues/1",
    reported="CNN-from-scratch, 2023-09 (NumPy)",
    kind="dropped terms",
    operation=("windows[", "x.unfold", "incoming gradient"),
    mistake=("only the first",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        windows = x.unfold(0, 3, 3)
        best = windows.argmax(1)
        ctx.save_for_backward(best + 3 * torch.arange(len(best)))
        ctx.size = len(x)
        return windows[torch.arange(len(best)), best]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        dx = g.new_zeros(ctx.size)
        for place, d in zip(places, g, strict=True):
            dx[place] = d
            return dx
        return dx


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        return g.new_zeros(ctx.size).index_add(0, places, g)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(15),)
