"""A distance's backward has the formula of the Euclidean one for every norm.

https://github.com/flagos-ai/FlagGems/issues/5023
Reported of FlagGems, 2026-07 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/flagos-ai/FlagGems/issues/5023",
    reported="FlagGems, 2026-07 (PyTorch, Triton)",
    kind="another function's derivative",
    operation=("pow", "**", "sum", "abs", "diff"),
    mistake=("stands where", "belongs", "factor", "missing", "lacks"),
)


P = 3


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        diff = x[:, None] - y
        distance = (diff.abs() ** P).sum(-1) ** (1 / P)
        ctx.save_for_backward(diff, distance)
        return distance

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        diff, distance = ctx.saved_tensors
        d = (g / distance)[..., None] * diff
        return d.sum(1), -d.sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        diff, distance = ctx.saved_tensors
        d = (g / distance ** (P - 1))[..., None] * diff.sign() * diff.abs() ** (P - 1)
        return d.sum(1), -d.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(2, 5)
