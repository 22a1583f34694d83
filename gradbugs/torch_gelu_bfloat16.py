"""GELU's derivative, in bfloat16 at every step, has the wrong sign near −3.7, where it is the difference of two
roundings.

https://github.com/tenstorrent/tt-metal/issues/35971
Reported of tt-metal, 2026-01 (bfloat16). It matters in bfloat16.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .bug import Array, Bug

BUG = Bug(
    framework="torch",
    source="https://github.com/tenstorrent/tt-metal/issues/35971",
    reported="tt-metal, 2026-01 (bfloat16)",
    kind="16-bit cancellation",
    operation=("gelu", "erf", "cdf"),
    mistake=("round", "format", "precision"),
    formats=("bfloat16",),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.gelu(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        cdf = 0.5 * (1 + torch.erf(x * math.sqrt(0.5)))
        return g * (cdf + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x = ctx.saved_tensors[0].double()
        cdf = 0.5 * torch.erfc(-x * math.sqrt(0.5))
        return (g * (cdf + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))).to(g.dtype)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (np.linspace(-3.9, -3.5, 7),)
