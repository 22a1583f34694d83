"""A convolution's weight gradient is divided by the batch size and the number of places, which its loss does not
do.

https://github.com/sebgao/cTensor/issues/3
Reported of cTensor, 2019-05 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/sebgao/cTensor/issues/3",
    reported="cTensor, 2019-05 (NumPy)",
    kind="mean for sum",
    operation=("input 1", "conv"),
    mistake=("divided by 30", "averaged"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return F.conv1d(x, w, stride=2)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        columns = x.unfold(2, w.shape[2], 2)
        dw = torch.einsum("bol,bilk->oik", g, columns)
        return F.conv_transpose1d(g, w, stride=2), dw / (g.shape[0] * g.shape[2])


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, w = ctx.saved_tensors
        columns = x.unfold(2, w.shape[2], 2)
        return F.conv_transpose1d(g, w, stride=2), torch.einsum("bol,bilk->oik", g, columns)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(6, 2, 11), drawn(5, 2, 3)
