"""Cross-entropy without a reduction multiplies every token's gradient by the first token's incoming one.

https://github.com/linkedin/Liger-Kernel/pull/1298
Reported of Liger-Kernel, 2026-07 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from .bug import Array, Bug, drawn, whole

BUG = Bug(
    framework="torch",
    source="https://github.com/linkedin/Liger-Kernel/pull/1298",
    reported="Liger-Kernel, 2026-07 (PyTorch, Triton)",
    kind="broadcast cotangent",
    operation=("incoming gradient",),
    mistake=("only the first", "first element"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, labels: Tensor) -> Tensor:
        logs = torch.log_softmax(z, -1)
        ctx.save_for_backward(logs, labels)
        return -logs[torch.arange(len(labels)), labels]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, labels = ctx.saved_tensors
        d = logs.exp() - F.one_hot(labels, logs.shape[-1])
        return d * g[0], None


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        logs, labels = ctx.saved_tensors
        d = logs.exp() - F.one_hot(labels, logs.shape[-1])
        return d * g[:, None], None


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), whole(4, 0, 2)
