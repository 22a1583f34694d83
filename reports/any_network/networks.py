"""`backproof.verify` for anything that is not a dense net's function: a module, or a function of tensors or arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ...reference.case import InvalidInput
from .guarded import kinds
from .rule import RuleReport, Subject, by_path, check_rule


def verify_network(
    function: Callable[..., Any],
    inputs: Any,
    *,
    loss: Callable[[Any], Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
    stopped: bool = False,
) -> RuleReport:
    """Whether a network's gradient is the chain rule's.

    function: a torch.nn.Module, or a function of PyTorch tensors or JAX arrays. A module's parameters, and every input
        that requires a gradient (in JAX: every real number in them), are differentiated
    inputs: a tensor or array, or a sequence of arguments, of small sizes: a rule does not depend on size, so choose
        sizes that tell axes apart
    loss: from the function's result to what is differentiated; the result itself if None
    keywords: arguments by name;  stopped: gradients that the code itself stops (detach) are meant to be
    Raises InvalidInput for inputs that nothing can be differentiated by; Unsupported for what is not covered.
    """
    return check_rule(subject_of(function, inputs, loss, keywords), stopped)


def verify_by_paths(
    function: Callable[..., Any], inputs: Any, *, loss: Callable[[Any], Any] | None = None
) -> RuleReport:
    """The same, without a graph: whether the gradient that runs adds up to the function that runs."""
    return by_path(subject_of(function, inputs, loss))


def subject_of(
    function: Callable[..., Any],
    inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Subject:
    """The function in its framework's adapter: PyTorch's if it is a module or a tensor is among the inputs."""
    if not callable(function):
        raise InvalidInput(f"expected a torch.nn.Module or a function, got {type(function).__name__}.")
    given = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and (
        isinstance(function, torch.nn.Module) or any(isinstance(x, torch.Tensor) for x in _flat(given))
    ):
        from ...adapters.torch_program.subject import TorchSubject

        subject: Subject = TorchSubject(function, given, keywords, loss)
        wanted = "a floating-point tensor with requires_grad=True, or a module with parameters that have it"
    elif jax is not None and any(isinstance(x, float) or hasattr(x, "dtype") for x in _flat(given)):
        from ...adapters.jax_program.subject import JaxSubject

        subject = JaxSubject(function, given, keywords, loss)
        wanted = "a real number or an array of real numbers among the inputs"
    else:
        raise InvalidInput(
            f"{_name(function)}: expected a torch.nn.Module, or inputs that are PyTorch tensors or JAX arrays "
            f"(or tuples, lists or dicts of them), got {', '.join(type(x).__name__ for x in given) or 'no inputs'}."
        )
    if not subject.names:
        raise InvalidInput(
            f"{_name(function)}: nothing to differentiate by: expected {wanted}; got {kinds(_flat(given))}."
        )
    return subject


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [x for y in tree.values() for x in _flat(y)]
    return [x for y in tree for x in _flat(y)] if isinstance(tree, tuple | list) else [tree]


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__
