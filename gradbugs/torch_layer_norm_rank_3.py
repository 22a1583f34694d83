"""Layer norm's backward takes everything behind the first axis for the normalised part, of three axes too.

https://github.com/flagos-ai/FlagGems/issues/5392
Reported of FlagGems 5.0.2, 2026-08 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/flagos-ai/FlagGems/issues/5392",
    reported="FlagGems 5.0.2, 2026-08 (PyTorch, Triton)",
    kind="wrong axes",
    operation=("mean", "sum"),
    mistake=("over the wrong axes", "axis", "axes"),
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
        mean = d.mean((1, 2), keepdim=True)
        dx = scale * (d - mean - normed * (d * normed).mean((1, 2), keepdim=True))
        return dx, (g * normed).sum((0, 1)), g.sum((0, 1))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = g * gain
        dx = scale * (d - d.mean(-1, keepdim=True) - normed * (d * normed).mean(-1, keepdim=True))
        return dx, (g * normed).sum((0, 1)), g.sum((0, 1))


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(2, 3, 5), drawn(5), drawn(5, seed=1)
