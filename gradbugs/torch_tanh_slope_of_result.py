"""The derivative of tanh is called with tanh's result, and applies tanh once more.

https://github.com/davidrmiller/neural2d/issues/40
Reported of neural2d, 2018-03 (C++). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/davidrmiller/neural2d/issues/40",
    reported="neural2d, 2018-03 (C++)",
    kind="wrong operand",
    operation=("tanh",),
    mistake=("stands where", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return torch.tanh(z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        y = torch.tanh(ctx.saved_tensors[0])
        return g * (1 - torch.tanh(y) ** 2)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        return g * (1 - torch.tanh(z) ** 2)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
