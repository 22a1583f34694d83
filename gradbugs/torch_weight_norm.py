"""A layer normalizes its weights on the way forward, and its backward knows nothing of it.

https://github.com/wy1iu/sphereface/issues/2
Reported of SphereFace, 2017-07 (Caffe). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/wy1iu/sphereface/issues/2",
    reported="SphereFace, 2017-07 (Caffe)",
    kind="dropped terms",
    operation=("norm", "/", "div"),
    mistake=("missing", "lacks", "factor", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        length = torch.sqrt((w * w).sum(1, keepdim=True))
        unit = w / length
        ctx.save_for_backward(x, unit, length)
        return x @ unit.T

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, unit, _ = ctx.saved_tensors
        return g @ unit, g.T @ x


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, unit, length = ctx.saved_tensors
        d = g.T @ x
        return g @ unit, (d - unit * (d * unit).sum(1, keepdim=True)) / length


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(2, 5)
