"""Batch norm's input gradient uses the incoming gradient before it was multiplied by the gain.

https://github.com/denizyuret/Knet.jl/issues/288
Reported of Knet.jl, 2018-03. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/denizyuret/Knet.jl/issues/288",
    reported="Knet.jl, 2018-03",
    kind="missing factor",
    operation=("input 0", "input 1", "gain"),
    mistake=("lacks a factor", "missing", "belongs", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        mean = x.mean(0)
        centred = x - mean
        variance = (centred * centred).mean(0)
        scale = torch.rsqrt(variance + 1e-5)
        normed = centred * scale
        ctx.save_for_backward(normed, scale, gain)
        return normed * gain + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, _ = ctx.saved_tensors
        dx = scale * (g - g.mean(0) - normed * (g * normed).mean(0))
        return dx, (g * normed).sum(0), g.sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.mean(0) - normed * (d * normed).mean(0))
        return dx, (g * normed).sum(0), g.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5, 3), drawn(3), drawn(3, seed=1)
