"""A number is used by itself and broadcast; both gradients are added up before the sum over the broadcast axis.

https://github.com/pytorch/pytorch/issues/13669
Reported of PyTorch 1.0 nightly, 2018-10 (TorchScript). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/13669",
    reported="PyTorch 1.0 nightly, 2018-10 (TorchScript)",
    kind="summed too often",
    operation=("exp", "input 0", "sum"),
    mistake=("too many", "multiplied by", "factor", "7", "summed"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, x: Tensor) -> Tensor:
        e = z.exp()
        ctx.save_for_backward(e, x)
        return torch.stack([(e * e).sum(), (e * x).sum()])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, x = ctx.saved_tensors
        de = 2 * e * g[0] + g[1] * x
        return de.sum() * e, g[1] * e * torch.ones_like(x)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, x = ctx.saved_tensors
        de = 2 * e * g[0] + (g[1] * x).sum()
        return de * e, g[1] * e * torch.ones_like(x)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(), drawn(7)
