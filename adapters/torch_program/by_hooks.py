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
    return gradients_and_added(outputs, inputs, cotangents)[0]


def gradients_and_added(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor]
) -> tuple[Sequence[Tensor | None], frozenset[int]]:
    """The same, and which of them a backward adds to a leaf's `.grad` by itself, as those of reversible blocks and
    reentrant checkpoints do.
    """
    if not outputs:
        return [None] * len(inputs), frozenset()
    leaves = [(x, x.grad) for x in inputs if x.is_leaf]
    try:
        for x, _ in leaves:
            x.grad = None
        if _checkpointed(outputs):
            torch.autograd.backward(outputs, cotangents)
            return [x.grad for x in inputs], frozenset(range(len(inputs)))
        found = list(torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True))
        added = {k: x.grad for k, x in enumerate(inputs) if x.is_leaf and x.grad is not None}
        for k, more in added.items():
            found[k] = more if found[k] is None else found[k] + more
        return found, frozenset(added)
    finally:
        for x, gradient in leaves:
            x.grad = gradient


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


def hooked_as(own: Tensor, original: Tensor) -> str:
    """Gives a leaf's copy the hooks that change its gradient; says which other ones there are.

    A hook that runs when a gradient has been added up into `.grad` may take a step, with an optimizer that knows the
    original alone: it is not run.
    """
    if own is not original and own.requires_grad and not own._backward_hooks:
        for hook in (original._backward_hooks or {}).values():
            own.register_hook(hook)
    return "a hook after accumulation is not run" if original._post_accumulate_grad_hooks else ""
