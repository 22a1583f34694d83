"""A product's backward divides the product by each factor: 0 / 0 where a factor is 0.

https://github.com/tracel-ai/burn/issues/5533
Reported of burn, 2026-08. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/tracel-ai/burn/issues/5533",
    reported="burn, 2026-08",
    kind="division by zero",
    operation=("prod", "input 0", "div"),
    mistake=("not finite", "nan", "NaN", "no finite"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.prod()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * x.prod() / x


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return g * torch.stack([torch.cat([x[:k], x[k + 1 :]]).prod() for k in range(len(x))])


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    x = drawn(5)
    x[2] = 0.0
    return (x,)
