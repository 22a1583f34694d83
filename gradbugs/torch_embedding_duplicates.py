"""An embedding's backward writes rows over one another: of a token that is there twice, one gradient is left.

https://github.com/tenstorrent/tt-metal/issues/6232
Reported of tt-metal, 2024-03. It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/tenstorrent/tt-metal/issues/6232",
    reported="tt-metal, 2024-03",
    kind="overwritten, not added",
    operation=("table[tokens]", "input 0", "tokens"),
    mistake=("overwrit", "not summed", "missing", "left out", "only the last"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, tokens: Tensor) -> Tensor:
        ctx.save_for_backward(tokens)
        ctx.rows = len(table)
        return table[tokens]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (tokens,) = ctx.saved_tensors
        d = g.new_zeros(ctx.rows, g.shape[1])
        for token, row in zip(tokens, g, strict=True):
            d[token] = row
        return d, None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (tokens,) = ctx.saved_tensors
        return g.new_zeros(ctx.rows, g.shape[1]).index_add(0, tokens, g), None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), whole(4, 1, 0, 4, 1, 2, 4)
