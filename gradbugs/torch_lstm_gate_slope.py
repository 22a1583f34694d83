"""An LSTM's forget gate is multiplied by the sigmoid on the way back, and not by the sigmoid's derivative.

https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1
Reported of RNN-LSTM-in-numpy, 2023-10 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1",
    reported="RNN-LSTM-in-numpy, 2023-10 (NumPy)",
    kind="another function's derivative",
    operation=("sigmoid", "input 1", "forget"),
    mistake=("lacks a factor", "missing", "stands where", "belongs"),
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
            dc = dc + g[t] * o * (1 - tanh**2)
            dx[t] = dc
            if t:
                df += dc * cells[t - 1]
            dc = dc * f
        return dx, df * f, do * o * (1 - o)


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
