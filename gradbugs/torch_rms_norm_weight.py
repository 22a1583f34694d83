"""RMSNorm's weight is never given a gradient: the fused backward returns None in its place.

https://github.com/unslothai/unsloth/issues/4533
Reported of unsloth, 2026-03, with transformers 4.51.3 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/unslothai/unsloth/issues/4533",
    reported="unsloth, 2026-03, with transformers 4.51.3 (PyTorch, Triton)",
    kind="dropped backward",
    operation=("input 1",),
    mistake=("never computed", "missing"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, weight = ctx.saved_tensors
        d = g * weight
        return scale * (d - normed * (d * normed).mean(-1, keepdim=True)), None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        normed, scale, weight = ctx.saved_tensors
        d = g * weight
        return scale * (d - normed * (d * normed).mean(-1, keepdim=True)), (g * normed).sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5)
