"""Any entry of the corpus as numbers: its result and its gradients in a format, by its own code or by eager code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .bug import Array, Entry

Function = Callable[..., Any]
SEED = 0


@dataclass(frozen=True)
class Side:
    """One of an entry's twins, or eager code for what both compute, in one format."""

    entry: Entry
    function: Function
    format: str

    def arguments(self) -> tuple[Any, ...]:
        """Its inputs in this format, the real ones to be differentiated."""
        make = _torch_argument if self.entry.bug.framework == "torch" else _jax_argument
        return tuple(make(x, self.format) for x in self.entry.inputs())

    def real(self) -> list[int]:
        """The places of the inputs that are differentiated."""
        return [k for k, x in enumerate(self.entry.inputs()) if x.dtype.kind == "f"]

    def at(self, values: Sequence[Any]) -> tuple[Any, list[Any]]:
        """Σ c · result with fixed random c, and its gradients, of these real inputs."""
        result, gradients = self.run(self.filled(values))
        weights = cotangent(result.shape, self.format)
        return float((weights * result.astype(np.float64)).sum()), gradients

    def filled(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """All inputs, with these for the real ones."""
        numbers = list(self.entry.inputs())
        make = _torch_argument if self.entry.bug.framework == "torch" else _jax_argument
        for k, value in zip(self.real(), values, strict=True):
            numbers[k] = np.asarray(value, dtype=np.float64)
        return tuple(make(np.asarray(x), self.format) for x in numbers)

    def run(self, arguments: Sequence[Any]) -> tuple[Array, list[Array]]:
        """The result, and the gradients of Σ c · result, as float64 numbers; zeros where there is none."""
        if self.entry.bug.framework == "torch":
            return _run_torch(self.seeded(), arguments, self.format)
        return _run_jax(self.function, arguments, self.format, self.real())

    def seeded(self) -> Function:
        """The function, drawing the same random numbers every time."""
        if self.entry.bug.framework == "jax":
            return self.function
        import torch

        def same(*arguments: Any) -> Any:
            torch.manual_seed(SEED)
            return self.function(*arguments)

        return same


def reference(entry: Entry) -> Function:
    """Eager code, differentiated by the framework: the module's own, or the right twin's forward."""
    own: Function | None = getattr(entry.module, "reference", None)
    if own is not None:
        return own
    forward: Function = entry.module.Right.forward
    return lambda *arguments: forward(_Unsaved(), *arguments)


class _Unsaved:
    """What a forward saves into where nothing will be read."""

    def save_for_backward(self, *values: Any) -> None: ...


def cotangent(shape: tuple[int, ...], format: str) -> Array:
    """The fixed random c, as the format has them."""
    import ml_dtypes

    numbers = np.random.default_rng([1, *shape]).standard_normal(shape)
    dtype: Any = ml_dtypes.bfloat16 if format == "bfloat16" else format
    return np.asarray(numbers).astype(dtype).astype(np.float64)


def _torch_argument(x: Array, format: str) -> Any:
    import torch

    tensor = torch.tensor(x)
    return tensor.to(getattr(torch, format)).requires_grad_() if x.dtype.kind == "f" else tensor


def _run_torch(function: Function, arguments: Sequence[Any], format: str) -> tuple[Array, list[Array]]:
    import torch

    leaves = [x for x in arguments if x.requires_grad]
    y = function(*arguments)
    weights = torch.tensor(cotangent(tuple(y.shape), format)).to(y.dtype)
    found = torch.autograd.grad(y, leaves, weights, allow_unused=True) if y.requires_grad else [None] * len(leaves)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]
    return y.detach().double().numpy(), [g.detach().double().numpy() for g in gradients]


def _jax_argument(x: Array, format: str) -> Any:
    import jax.numpy as jnp
    from backproof.adapters.jax_grad import enable_x64

    with enable_x64(True):
        return jnp.asarray(x, dtype=getattr(jnp, format) if x.dtype.kind == "f" else None)


def _run_jax(function: Function, arguments: Sequence[Any], format: str, real: list[int]) -> tuple[Array, list[Array]]:
    import jax
    import jax.numpy as jnp
    from backproof.adapters.jax_grad import enable_x64

    with enable_x64(True):

        def of(*differentiated: Any) -> Any:
            filled = list(arguments)
            for k, x in zip(real, differentiated, strict=True):
                filled[k] = x
            return function(*filled)

        y, pullback = jax.vjp(of, *(arguments[k] for k in real))
        found = pullback(jnp.asarray(cotangent(y.shape, format), dtype=y.dtype))
        return np.asarray(y, dtype=np.float64), [np.asarray(g, dtype=np.float64) for g in found]
