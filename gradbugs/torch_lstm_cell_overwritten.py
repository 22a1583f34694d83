"""An LSTM's cell state gets the gradient of its own step only: that of the later steps is overwritten.

https://github.com/apache/mxnet/issues/4057
Reported of MXNet, 2016-12. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/apache/mxnet/issues/4057",
    reported="MXNet, 2016-12",
    kind="overwritten, not added",
    operation=("f * c", "c + step", "mul", "add"),
    mistake=("missing",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forget: Tensor, out: Tensor) -> Tensor:
        c, cells, shown = torch.zeros_like(x[0]), [], []
        f, o = torch.sigmoid(forget), torch.sigmoid(out)
        for step in x:
            c = f * c + step
            cells.append(c)
            shown.append(o * torch.tanh(c))
        ctx.save_for_backward(f, o, *cells)
        return torch.stack(shown)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        f, o, *cells = ctx.saved_tensors
        dx, df, do, dc = torch.zeros_like(g), torch.zeros_like(f), torch.zeros_like(o), torch.zeros_like(f)
        for t in reversed(range(len(cells))):
            tanh = torch.tanh(cells[t])
            do += g[t] * tanh
            dc = g[t] * o * (1 - tanh**2)
            dx[t] = dc
            if t:
                df += dc * cells[t - 1]
            dc = dc * f
        return dx, df * f * (1 - f), do * o * (1 - o)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        f, o, *cells = ctx.saved_tensors
        dx, df, do, dc = torch.zeros_like(g), torch.zeros_like(f), torch.zeros_like(o), torch.zeros_like(f)
        for t in reversed(range(len(cells))):
            tanh = torch.tanh(cells[t])
            do += g[t] * tanh
            dc = dc + g[t] * o * (1 - tanh**2)
            dx[t] = dc
            if t:
                df += dc * cells[t - 1]
            dc = dc * f
        return dx, df * f * (1 - f), do * o * (1 - o)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(2, 5), drawn(5), drawn(5, seed=1)
