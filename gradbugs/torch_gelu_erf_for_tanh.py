"""GELU by tanh has the derivative of GELU by erf on its way back.

https://github.com/kulinseth/pytorch/pull/284
Reported of PyTorch for MPS, 2023-02. It matters in every format.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/kulinseth/pytorch/pull/284",
    reported="PyTorch for MPS, 2023-02",
    kind="another function's derivative",
    operation=("gelu", "tanh", "erf"),
    mistake=("stands where", "belongs", "another", "derivative"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        ctx.save_for_backward(x, torch.tanh(inner))
        return 0.5 * x * (1 + torch.tanh(inner))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, _ = ctx.saved_tensors
        cdf = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
        return g * (cdf + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, tanh = ctx.saved_tensors
        slope = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
        return g * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * slope)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
