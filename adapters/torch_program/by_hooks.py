"""Gradients as PyTorch's engine gives them, with what a leaf's own hooks make of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch


def gradients_of(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """Of Σ cotangent · output; None for an input that none depends on."""
    if not outputs:
        return [None] * len(inputs)
    if _checkpointed(outputs):
        return _accumulated(outputs, inputs, cotangents)
    return torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True)


def _checkpointed(outputs: Sequence[Tensor]) -> bool:
    """Whether a reentrant checkpoint takes part, which refuses `autograd.grad`."""
    left = [x.grad_fn for x in outputs if x.grad_fn is not None]
    met = set(left)
    while left:
        node = left.pop()
        if node.name() == "CheckpointFunctionBackward":
            return True
        new = {before for before, _ in node.next_functions if before is not None} - met
        met |= new
        left += new
    return False


def _accumulated(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """By what is added to `.grad`, which is put back."""
    before = [x.grad for x in inputs]
    try:
        for x in inputs:
            x.grad = None
        torch.autograd.backward(outputs, cotangents)
        return [x.grad for x in inputs]
    finally:
        for x, gradient in zip(inputs, before, strict=True):
            x.grad = gradient


def hooked_as(own: Tensor, original: Tensor) -> str:
    """Gives a leaf's copy the hooks that change its gradient; says which other ones there are.

    A hook that runs when a gradient has been added up into `.grad` may take a step, with an optimizer that knows the
    original alone: it is not run.
    """
    if own is not original and own.requires_grad and not own._backward_hooks:
        for hook in (original._backward_hooks or {}).values():
            own.register_hook(hook)
    return "a hook after accumulation is not run" if original._post_accumulate_grad_hooks else ""
