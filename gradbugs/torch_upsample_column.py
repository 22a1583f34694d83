"""Upsampling's backward counts columns with the height of the image, which only a square one forgives.

https://github.com/intel/torch-xpu-ops/pull/4380
Reported of torch-xpu-ops, 2026-07 (SYCL). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/intel/torch-xpu-ops/pull/4380",
    reported="torch-xpu-ops, 2026-07 (SYCL)",
    kind="wrong index",
    operation=("repeat_interleave", "columns", "input 0", "reshape"),
    mistake=("another", "stands where", "belongs", "wrong axes", "positions"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = x.shape
        return x.repeat_interleave(2, 0).repeat_interleave(2, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        height, width = ctx.size
        columns = (torch.arange(2 * width) - height).clamp(min=0) // 2
        return g.new_zeros(width, 2 * height).index_add(0, columns, g.T).T.reshape(height, 2, width).sum(1)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        height, width = ctx.size
        columns = torch.arange(2 * width) // 2
        return g.new_zeros(width, 2 * height).index_add(0, columns, g.T).T.reshape(height, 2, width).sum(1)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(5, 3),)
