"""Softplus is linear beyond a threshold of its input; its backward compares the result with it, which gets there
earlier.

https://github.com/pytorch/pytorch/issues/61568
Reported of PyTorch 1.8.1, 2021-07. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug

BUG = Bug(
    framework="torch",
    source="https://github.com/pytorch/pytorch/issues/61568",
    reported="PyTorch 1.8.1, 2021-07",
    kind="wrong branch",
    operation=("softplus", "exp", "log", "input 0", "1 + "),
    mistake=("missing", "factor", "stands where", "belongs", "branch"),
)


BETA, THRESHOLD = 3.0, 1.0


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.where(BETA * x > THRESHOLD, x, torch.log1p(torch.exp(BETA * x)) / BETA)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        _, y = ctx.saved_tensors
        e = torch.exp(BETA * y)
        return torch.where(BETA * y > THRESHOLD, g, g * (e - 1) / e)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y = ctx.saved_tensors
        e = torch.exp(BETA * y)
        return torch.where(BETA * x > THRESHOLD, g, g * (e - 1) / e)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (np.array([-0.5, 0.2736, 0.1, 0.9, 0.3]),)
