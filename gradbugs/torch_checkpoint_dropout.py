"""A checkpointed dropout is run again on the way back, and draws another mask there.

https://github.com/openai/guided-diffusion/issues/167
Reported of guided-diffusion, 2025-12 (PyTorch). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/openai/guided-diffusion/issues/167",
    reported="guided-diffusion, 2025-12 (PyTorch)",
    kind="recomputed mask",
    operation=("dropout", "kept", "mul", "input 0"),
    mistake=("stands where", "random", "from call to call", "another", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        ctx.state = torch.get_rng_state()
        kept = torch.rand(x.shape) < 0.75
        return torch.tanh(x) * kept / 0.75

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        kept = torch.rand(x.shape) < 0.75
        return g * kept / 0.75 * (1 - torch.tanh(x) ** 2)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(ctx.state)
            kept = torch.rand(x.shape) < 0.75
        return g * kept / 0.75 * (1 - torch.tanh(x) ** 2)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(5, 7),)
