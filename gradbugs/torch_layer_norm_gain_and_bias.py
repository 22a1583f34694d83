"""Layer norm's gain gets the bias's gradient, and the bias the gain's.

https://github.com/Oneflow-Inc/oneflow/pull/6149
Reported of OneFlow, 2021-09. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/Oneflow-Inc/oneflow/pull/6149",
    reported="OneFlow, 2021-09",
    kind="swapped gradients",
    operation=("input 1", "input 2"),
    mistake=("that of input", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        normed = centred * scale
        ctx.save_for_backward(normed, scale, gain)
        return normed * gain + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.mean(-1, keepdim=True) - normed * (d * normed).mean(-1, keepdim=True))
        return dx, g.sum(0), (g * normed).sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.mean(-1, keepdim=True) - normed * (d * normed).mean(-1, keepdim=True))
        return dx, (g * normed).sum(0), g.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5), drawn(5, seed=1)
