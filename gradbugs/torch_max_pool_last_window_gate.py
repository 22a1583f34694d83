"""Overlapping windows share one gate, that of the last: an element gets gradients of windows that it did not win.

https://github.com/ahrefs/ocannl/issues/512
Reported of OCANNL, 2026-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/ahrefs/ocannl/issues/512",
    reported="OCANNL, 2026-07",
    kind="stale value",
    operation=("x.unfold", "amax", "windows", "input 0"),
    mistake=("stands where", "belongs", "another", "missing"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        windows = x.unfold(0, 2, 1)
        ctx.save_for_backward(windows)
        return windows.amax(1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (windows,) = ctx.saved_tensors
        won = windows[:, 1] > windows[:, 0]
        last = torch.cat([won[:1].logical_not(), won])  # by element: whether it won the last window that it is in
        last[:-1] = won.logical_not()
        dx = g.new_zeros(len(g) + 1)
        dx[:-1] += g * last[:-1]
        dx[1:] += g * last[1:]
        return dx


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (windows,) = ctx.saved_tensors
        won = windows[:, 1] > windows[:, 0]
        dx = g.new_zeros(len(g) + 1)
        dx[:-1] += g * won.logical_not()
        dx[1:] += g * won
        return dx


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(7),)
