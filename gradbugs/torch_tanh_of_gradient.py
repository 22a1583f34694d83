"""tanh's backward takes the derivative at the incoming gradient, and forgets its input and the product.

https://github.com/yizt/numpy_neural_network/issues/6
Reported of numpy_neural_network, 2020-11 (NumPy). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/yizt/numpy_neural_network/issues/6",
    reported="numpy_neural_network, 2020-11 (NumPy)",
    kind="wrong operand",
    operation=("tanh",),
    mistake=("stands where", "belongs", "missing", "lacks"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return torch.tanh(z)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return 1 - torch.tanh(g) ** 2


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (z,) = ctx.saved_tensors
        return g * (1 - torch.tanh(z) ** 2)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(3, 5),)
