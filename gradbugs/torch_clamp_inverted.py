"""A clamp's backward compares with both bounds the wrong way round: no element is within, and all gradients are 0.

https://github.com/tenstorrent/tt-metal/issues/48201
Reported of tt-metal, 2026-06. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/tenstorrent/tt-metal/issues/48201",
    reported="tt-metal, 2026-06",
    kind="wrong mask",
    operation=("clamp", "input 0"),
    mistake=("never computed", "missing", "zero"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        ctx.save_for_backward(x, low, high)
        return torch.minimum(torch.maximum(x, low), high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, low, high = ctx.saved_tensors
        within = (x <= low) & (x >= high)
        return g * within, g * (x < low), g * (x > high)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, low, high = ctx.saved_tensors
        within = (x >= low) & (x <= high)
        return g * within, g * (x < low), g * (x > high)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(7), np.full(7, -0.5), np.full(7, 0.7)
