"""The backward of e ** x differentiates x ** e.

https://github.com/tenstorrent/tt-metal/pull/52144
Reported of tt-metal, 2026-08. It matters in every format.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/tenstorrent/tt-metal/pull/52144",
    reported="tt-metal, 2026-08",
    kind="another function's derivative",
    operation=("**", "pow"),
    mistake=("stands where", "belongs", "missing", "lacks"),
)


BASE = 3.0


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = BASE**x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, _ = ctx.saved_tensors
        return g * BASE * x ** (BASE - 1)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        _, y = ctx.saved_tensors
        return g * y * math.log(BASE)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (np.abs(drawn(7)),)
