"""A value that is overwritten, as a later one has the same index, is given a gradient all the same.

https://github.com/pytorch/pytorch/issues/146299
Reported of PyTorch, 2025-02, and live in 2.13.0 on the CPU. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/146299",
    reported="PyTorch, 2025-02, and live in 2.13.0 on the CPU",
    kind="double counted",
    operation=("input 1", "index_put", "scatter", "places"),
    mistake=("too many", "missing", "factor", "overwrit", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        y = x.clone()
        for place, value in zip(places, values, strict=True):
            y[place] = value
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        return g.index_fill(0, places, 0.0), g[places], None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        stays = torch.stack([(places[k + 1 :] != place).all() for k, place in enumerate(places)])
        return g.index_fill(0, places, 0.0), g[places] * stays, None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5), drawn(3), whole(3, 0, 3)
