"""Linear upsampling's backward looks at a window of results, sized for corners that are not aligned: the rest is
dropped.

https://github.com/flagos-ai/FlagGems/issues/5218
Reported of FlagGems, 2026-08 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/flagos-ai/FlagGems/issues/5218",
    reported="FlagGems, 2026-08 (PyTorch, Triton)",
    kind="dropped terms",
    operation=("weights(", "matmul", "mv", "input 0"),
    mistake=("missing", "left out", "last element", "stands where"),
)


def weights(size: int, out: int, dtype: Any) -> Tensor:
    # a row for each element of the result: how much of each input it has, with the corners aligned
    at = torch.arange(out, dtype=dtype) * (size - 1) / (out - 1)
    return (1 - (at[:, None] - torch.arange(size, dtype=dtype)).abs()).clamp(min=0)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.size = len(x)
        return weights(len(x), 10, x.dtype) @ x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        reach = len(g) / ctx.size  # and not (len(g) - 1) / (ctx.size - 1)
        centre = torch.arange(ctx.size) * (len(g) - 1) / (ctx.size - 1)
        seen = (torch.arange(len(g))[:, None] - centre).abs() <= reach
        return (weights(ctx.size, len(g), g.dtype) * seen).T @ g


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return weights(ctx.size, len(g), g.dtype).T @ g


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return (drawn(2),)
