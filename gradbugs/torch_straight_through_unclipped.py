"""A straight-through estimator lets the gradient through where the quantizer's range is left, too.

The rounding, whose gradient is a convention, is left out here.

https://github.com/eladhoffer/quantized.pytorch/issues/5
Reported of quantized.pytorch, 2018-09 (PyTorch). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/eladhoffer/quantized.pytorch/issues/5",
    reported="quantized.pytorch, 2018-09 (PyTorch)",
    kind="missing mask",
    operation=("clamp", "input 0"),
    mistake=("missing", "itself is returned", "no gradient", "factor"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g.clone()


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * ((x >= -1) & (x <= 1))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (1.5 * drawn(7),)
