"""An inverse's backward multiplies by the inverse on both sides, where its transpose belongs.

For a symmetric matrix, as in the article's own example, it is right.

https://github.com/pytorch/pytorch.github.io/issues/2135
Reported of an article on PyTorch's site, 2026-09 (NumPy). It matters in float64 and float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch.github.io/issues/2135",
    reported="an article on PyTorch's site, 2026-09 (NumPy)",
    kind="transposed operand",
    operation=("inv", "result", "matmul", "mm", "bmm"),
    mistake=("transposed", "stands where", "belongs"),
    formats=("float64", "float32"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        result = torch.linalg.inv(a)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return -(result @ (g @ result))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (result,) = ctx.saved_tensors
        return -(result.T @ (g @ result.T))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 3),)
