"""Right custom autograd.Functions, and what they stand in: for `torch_networks.py` and `backward_trials.py`."""

# mypy: allow-subclassing-any, allow-untyped-calls
# of PyTorch, which is typed in parts, and not where it is absent

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from .backward_code import HAND_WRITTEN, HandWritten
from .backward_code_sequences import SEQUENCES
from .drawn import Dice
from .torch_networks import Subject

WRITTEN: tuple[HandWritten, ...] = (*HAND_WRITTEN, *SEQUENCES)


class ScaledTanh(Function):
    """Another right custom function, to stand before or after the one that is looked at."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return 1.5 * y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return 1.5 * grad * (1 - y * y)


BEFORE: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda x: x,
    "after sin": torch.sin,
    "after a custom function": ScaledTanh.apply,
}
BEHIND: dict[str, Callable[[Tensor], Tensor]] = {
    "": lambda y: y,
    "then atan": torch.atan,
    "then a custom function": ScaledTanh.apply,
    "then squared": lambda y: y * y + y,
}


class Held(nn.Module):
    """The function with all but its first input as a module's parameters."""

    def __init__(self, function: Callable[..., Any], others: tuple[Any, ...]) -> None:
        super().__init__()
        self.function, self.others = function, others
        for k, x in enumerate(others):
            if x.requires_grad:
                self.register_parameter(f"input_{k + 1}", nn.Parameter(x.detach()))

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *(getattr(self, f"input_{k + 1}", other) for k, other in enumerate(self.others)))


Placed = Callable[[type[Function]], Subject]


def in_context(thrown: Dice, written: HandWritten, dtype: torch.dtype) -> tuple[str, Placed]:
    """What a function of this kind stands in, drawn; and how to make it stand there."""
    square = thrown.flag(0.4)
    inputs = written.inputs(thrown, square)
    inputs = tuple(x.detach().to(dtype).requires_grad_() if x.requires_grad else x for x in inputs)
    before, behind = thrown.one_of(list(BEFORE)), thrown.one_of(list(BEHIND))
    held = thrown.flag(0.6) and len(inputs) > 1
    shapes = ", ".join("×".join(map(str, x.shape)) for x in inputs)
    words = " ".join(filter(None, [f"{written.function.__name__} of {shapes}", before, behind, "in a module" * held]))

    def subject(function: type[Function]) -> Subject:
        def called(x: Tensor, *others: Tensor) -> Any:
            apply: Callable[..., Any] = function.apply
            result = apply(BEFORE[before](x), *others)
            if isinstance(result, tuple):
                return tuple(BEHIND[behind](y) for y in result)
            return BEHIND[behind](result)

        called.__name__ = words.split()[0]
        if held:
            return Subject(words, Held(called, inputs[1:]), inputs[:1])
        return Subject(words, called, inputs)

    return words, subject


def custom(thrown: Dice, dtype: torch.dtype) -> Subject:
    """One of the functions written by hand, unchanged."""
    written = thrown.one_of(WRITTEN)
    return in_context(thrown, written, dtype)[1](written.function)
