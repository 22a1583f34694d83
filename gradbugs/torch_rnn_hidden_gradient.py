"""Backpropagation through time sets the gradient of the hidden state to zero between two steps.

https://github.com/ooples/AiDotNet/pull/722
Reported of AiDotNet, 2026-01 (HIP). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/ooples/AiDotNet/pull/722",
    reported="AiDotNet, 2026-01 (HIP)",
    kind="truncated in time",
    operation=("tanh", "h @ w.T", "hidden", "matmul", "mm"),
    mistake=("missing", "zero"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        h, states = torch.zeros_like(x[0]), []
        for step in x:
            h = torch.tanh(step + h @ w.T)
            states.append(h)
        ctx.save_for_backward(w, *states)
        return torch.stack(states)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        w, *states = ctx.saved_tensors
        dx, dw = torch.zeros_like(g), torch.zeros_like(w)
        for t in reversed(range(len(states))):
            dx[t] = g[t] * (1 - states[t] ** 2)
            if t:
                dw += torch.outer(dx[t], states[t - 1])
        return dx, dw


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        w, *states = ctx.saved_tensors
        dx, dw, dh = torch.zeros_like(g), torch.zeros_like(w), torch.zeros_like(g[0])
        for t in reversed(range(len(states))):
            dx[t] = (g[t] + dh) * (1 - states[t] ** 2)
            dh = dx[t] @ w
            if t:
                dw += torch.outer(dx[t], states[t - 1])
        return dx, dw


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(2, 5), drawn(5, 5)
