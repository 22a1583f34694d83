"""SwiGLU's backward writes each row's gradient into the first row, one over the other.

https://github.com/ByteDance-Seed/Triton-distributed/pull/185
Reported of Triton-distributed, 2026-08. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/ByteDance-Seed/Triton-distributed/pull/185",
    reported="Triton-distributed, 2026-08",
    kind="overwritten, not added",
    operation=("input 0", "input 1", "axis 0"),
    mistake=("only the last", "overwrit", "missing", "another"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, e: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(e, up)
        return e * torch.sigmoid(e) * up

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, up = ctx.saved_tensors
        s = torch.sigmoid(e)
        de, dup = g * up * s * (1 + e * (1 - s)), g * e * s
        first_e, first_up = torch.zeros_like(e), torch.zeros_like(up)
        for row in range(len(e)):
            first_e[0], first_up[0] = de[row], dup[row]
        return first_e, first_up


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, up = ctx.saved_tensors
        s = torch.sigmoid(e)
        return g * up * s * (1 + e * (1 - s)), g * e * s


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(3, 5, seed=1)
