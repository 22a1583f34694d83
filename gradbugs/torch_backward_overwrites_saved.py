"""A fused backward writes gradients into the inputs it saved, which the function before it saved as its result.

https://github.com/linkedin/Liger-Kernel/issues/254
Reported of Liger-Kernel, 2024-09 (PyTorch, Triton). It matters in every format.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from .bug import Array, Bug, drawn

BUG = Bug(
    framework="torch",
    source="https://github.com/linkedin/Liger-Kernel/issues/254",
    reported="Liger-Kernel, 2024-09 (PyTorch, Triton)",
    kind="changed in place",
    operation=("exp", "Exponential"),
    mistake=("stands where", "belongs", "graph", "factor", "another"),
)


class Exponential(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return g * ctx.saved_tensors[0]


class Product(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        da, db = g * b, g * a
        a.data.copy_(da)  # as a kernel does that is given the address
        return a.clone(), db


class RightProduct(Product):
    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        return g * b, g * a


def wrong(x: Tensor, b: Tensor) -> Tensor:
    return Product.apply(Exponential.apply(x), b)


def right(x: Tensor, b: Tensor) -> Tensor:
    return RightProduct.apply(Exponential.apply(x), b)


def reference(x: Tensor, b: Tensor) -> Tensor:
    return x.exp() * b


def inputs() -> tuple[Array, ...]:
    return drawn(3, 5), drawn(3, 5, seed=1)
