"""SwiGLU's fused backward stores the gradients of its two halves in each other's places.

https://github.com/unslothai/unsloth/issues/3314
Reported of unsloth, 2025-09 (PyTorch, Triton), as the thread has it. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/unslothai/unsloth/issues/3314",
    reported="unsloth, 2025-09 (PyTorch, Triton), as the thread has it",
    kind="swapped gradients",
    operation=("input 0", "input 1"),
    mistake=("that of input", "stands where", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, e: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(e, up)
        return e * torch.sigmoid(e) * up

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, up = ctx.saved_tensors
        s = torch.sigmoid(e)
        return g * e * s, g * up * s * (1 + e * (1 - s))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        e, up = ctx.saved_tensors
        s = torch.sigmoid(e)
        return g * up * s * (1 + e * (1 - s)), g * e * s


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(3, 5, seed=1)
