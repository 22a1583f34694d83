"""Average pooling divides a last window that overhangs by what it covers, and its backward by the whole kernel.

https://github.com/pytorch/pytorch/issues/198119
Reported of PyTorch 2.14.0, 2026-09 (Inductor). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/198119",
    reported="PyTorch 2.14.0, 2026-09 (Inductor)",
    kind="wrong divisor",
    operation=("avg_pool", "incoming gradient", "g[-1]", "input 0", "div"),
    mistake=("divided", "multiplied", "factor", "halved", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = len(x)
        covered = [x[i : i + 3] for i in range(0, len(x), 3)]
        return torch.stack([part.sum() / len(part) for part in covered])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return (g / 3).repeat_interleave(3)[: ctx.size]


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        covered = torch.full_like(g, 3)
        covered[-1] = ctx.size - 3 * (len(g) - 1)
        return (g / covered).repeat_interleave(3)[: ctx.size]


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(11),)
