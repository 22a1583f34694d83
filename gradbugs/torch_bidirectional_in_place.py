"""The backward of one direction writes its result over the incoming gradient, which the other direction reads
then.

https://github.com/apache/mxnet/pull/18203
Reported of MXNet, 2020-04. It matters in every format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/apache/mxnet/pull/18203",
    reported="MXNet, 2020-04",
    kind="changed in place",
    operation=("tanh(x @ b)", "backwards", "incoming gradient", "input 2", "b)"),
    mistake=("stands where", "belongs", "factor", "another", "too many"),
)


class Wrong(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, b: Tensor) -> Tensor:
        forwards, backwards = torch.tanh(x * a), torch.tanh(x.flip(0) * b).flip(0)
        ctx.save_for_backward(x, a, b, forwards, backwards)
        return forwards + backwards

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, a, b, forwards, backwards = ctx.saved_tensors
        one = g.mul_(1 - forwards**2)
        other = g * (1 - backwards**2)
        return one * a + other * b, (one * x).sum(0), (other * x).sum(0)


class Right(Wrong):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, a, b, forwards, backwards = ctx.saved_tensors
        one = g * (1 - forwards**2)
        other = g * (1 - backwards**2)
        return one * a + other * b, (one * x).sum(0), (other * x).sum(0)


wrong, right = Wrong.apply, Right.apply


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(5), drawn(5, seed=1)
