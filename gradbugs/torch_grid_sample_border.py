"""Sampling that clamps coordinates to the border gives a gradient to those beyond it, as if it did not.

https://github.com/ooples/AiDotNet.Tensors/pull/22
Reported of AiDotNet.Tensors, 2026-02 (WebGPU). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/ooples/AiDotNet.Tensors/pull/22",
    reported="AiDotNet.Tensors, 2026-02 (WebGPU)",
    kind="missing mask",
    operation=("clamp",),
    mistake=("missing", "lacks a factor", "belongs"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, at: Tensor) -> Tensor:
        inside = at.clamp(0, len(image) - 1)
        left = inside.detach().floor().long().clamp(max=len(image) - 2)
        share = inside - left
        ctx.save_for_backward(image, at, left, share)
        return image[left] * (1 - share) + image[left + 1] * share

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        image, _, left, share = ctx.saved_tensors
        d = torch.zeros_like(image).index_add(0, left, g * (1 - share)).index_add(0, left + 1, g * share)
        return d, g * (image[left + 1] - image[left])


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        image, at, left, share = ctx.saved_tensors
        d = torch.zeros_like(image).index_add(0, left, g * (1 - share)).index_add(0, left + 1, g * share)
        within = (at >= 0) & (at <= len(image) - 1)
        return d, g * (image[left + 1] - image[left]) * within


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(5), np.array([0.4, -0.7, 2.3, 5.2, 3.6, 1.1, -0.2])
