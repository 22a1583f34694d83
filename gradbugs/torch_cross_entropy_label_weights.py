"""Cross-entropy with weights for labels has the gradient p − t, which is right if each row of t adds up to 1 only.

https://github.com/kvark/meganeura/pull/102
Reported of meganeura, 2026. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/kvark/meganeura/pull/102",
    reported="meganeura, 2026",
    kind="missing factor",
    operation=("softmax", "sum", "exp", "log"),
    mistake=("lacks a factor", "missing", "belongs", "stands where"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, t: Tensor) -> Tensor:
        logs = torch.log_softmax(z, -1)
        ctx.save_for_backward(logs, t)
        return -(t * logs).sum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, t = ctx.saved_tensors
        d = logs.exp() - t
        return g[:, None] * d, -g[:, None] * logs


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, t = ctx.saved_tensors
        d = logs.exp() * t.sum(-1, keepdim=True) - t
        return g[:, None] * d, -g[:, None] * logs


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(3, 5, seed=1)
