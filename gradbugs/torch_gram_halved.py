"""Of a matrix times its own transpose, the gradient by way of the transpose is not added.

https://github.com/NervanaSystems/neon/issues/169
Reported of neon 1.1.3, 2015-12. It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/NervanaSystems/neon/issues/169",
    reported="neon 1.1.3, 2015-12",
    kind="dropped terms",
    operation=("x @ x.T", "matmul", "mm"),
    mistake=("missing",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.T

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g @ x


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g @ x + g.T @ x


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
