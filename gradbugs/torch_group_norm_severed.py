"""Group norm builds its result as a new tensor: no gradient reaches its gain, its bias or what is below.

https://github.com/paiml/aprender/pull/2200
Reported of aprender, 2026-06. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/paiml/aprender/pull/2200",
    reported="aprender, 2026-06",
    kind="detached path",
    operation=("input",),
    mistake=("never computed", "missing", "never"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        groups = x.reshape(x.shape[0], 2, -1)
        centred = groups - groups.mean(-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        normed = centred * scale
        ctx.save_for_backward(normed, scale, gain)
        return normed.reshape(x.shape) * gain + bias

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, None, None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, gain = ctx.saved_tensors
        d = (g * gain).reshape(normed.shape)
        dx = scale * (d - d.mean(-1, keepdim=True) - normed * (d * normed).mean(-1, keepdim=True))
        return dx.reshape(g.shape), (g * normed.reshape(g.shape)).sum(0), g.sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 10), drawn(10), drawn(10, seed=1)
