"""A maximum's backward takes for the largest whatever lies within 0.01 of it, and each of them gets all of the
gradient.

https://github.com/mni-ml/framework/pull/22
Reported of mni-ml, 2026-04. It matters in float64 and float32: in bfloat16 the
numbers here are ties.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/mni-ml/framework/pull/22",
    reported="mni-ml, 2026-04",
    kind="wrong mask",
    formats=("float64", "float32"),
    operation=("amax", "max", "input 0"),
    mistake=("factor", "another", "stands where", "too many", "multipl"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.amax(1, keepdim=True)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        return g * ((x - y).abs() < 0.01)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        largest = (x == y).to(x.dtype)
        return g * largest / largest.sum(1, keepdim=True)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    x = drawn(3, 5)
    x[0, 1], x[0, 3] = 2.0, 2.0078125
    return (x,)
