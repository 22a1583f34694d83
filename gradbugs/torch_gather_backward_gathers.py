"""Gathering's backward gathers once more, where it has to add up what each element was used for.

https://github.com/ooples/AiDotNet.Tensors/pull/894
Reported of AiDotNet.Tensors, 2026-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/ooples/AiDotNet.Tensors/pull/894",
    reported="AiDotNet.Tensors, 2026-07",
    kind="wrong movement",
    operation=("x[places]", "input 0", "places"),
    mistake=("another", "stands where", "belongs", "positions", "movement"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(x)
        return x[places]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        wrapped = torch.arange(ctx.size) % len(places)
        return g[places[wrapped] % len(g)], None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (places,) = ctx.saved_tensors
        return g.new_zeros(ctx.size).index_add(0, places, g), None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5), whole(2, 0, 2)
