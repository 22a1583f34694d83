"""A product's backward multiplies by the right operand as it is, and not by its transpose.

Only where the operand is square do the shapes let it pass.

https://github.com/tile-ai/TileOPs/pull/54
Reported of TileOPs, 2025-11 (TileLang). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/tile-ai/TileOPs/pull/54",
    reported="TileOPs, 2025-11 (TileLang)",
    kind="transposed operand",
    operation=("g @ b", "matmul", "mm", "input 0"),
    mistake=("transposed",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a @ b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        return g @ b, a.T @ g


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        return g @ b.T, a.T @ g


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5, 5)
