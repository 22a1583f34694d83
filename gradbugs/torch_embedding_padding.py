"""The padding row of an embedding, whose look-ups count as zeros, is given a gradient.

https://github.com/pytorch/pytorch/issues/26302
Reported of PyTorch 1.2, 2019-09 (CUDA). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/26302",
    reported="PyTorch 1.2, 2019-09 (CUDA)",
    kind="missing mask",
    operation=("tokens != PADDING", "input 0", "mul"),
    mistake=("missing", "factor", "mask", "lacks"),
)


PADDING = 1


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.rows = len(table)
        return table[tokens] * (tokens != PADDING)[:, None]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (tokens,) = ctx.saved_tensors
        return g.new_zeros(ctx.rows, g.shape[1]).index_add(0, tokens, g), None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (tokens,) = ctx.saved_tensors
        kept = g * (tokens != PADDING)[:, None]
        return g.new_zeros(ctx.rows, g.shape[1]).index_add(0, tokens, kept), None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), whole(4, 1, 0, 4, 1, 2, 3)
