"""`gradcheck` and `gradgradcheck` as torch.autograd has them, answered by the rule check: no step, no tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...reference.case import InvalidInput
from .rule import RuleReport, check_rule


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **ignored: Any,
) -> bool:
    """Whether the backward of `func` is the pullback of its forward, exactly. As `torch.autograd.gradcheck`.

    inputs: a tensor or a sequence of tensors and other arguments; those that require a gradient are checked, in any
        floating format: a rule has no format, so float32 and 16 bits need no other settings
    eps, atol, rtol, and the other arguments of the original: accepted and unused, since nothing is approximated
    Raises WrongRule (a RuntimeError, as the original's) with the report, unless raise_exception is False; NotDecided
    where nothing can be said; Unsupported where an operation is not covered.
    """
    return _answered(rule_of(func, inputs), raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    raise_exception: bool = True,
    **ignored: Any,
) -> bool:
    """Whether the backward of `func`'s backward is right. As `torch.autograd.gradgradcheck`.

    grad_outputs: what arrives at the first backward; random numbers where it is None.
    """
    import torch

    given = _sequence(inputs)
    outputs = func(*given)
    outputs = [
        x for x in (outputs if isinstance(outputs, tuple | list) else (outputs,)) if getattr(x, "requires_grad", False)
    ]
    if grad_outputs is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            grad_outputs = [torch.randn_like(x).requires_grad_() for x in outputs]
    arriving = _sequence(grad_outputs)

    def first_gradient(*arguments: Any) -> Any:
        own, arrived = arguments[: len(given)], arguments[len(given) :]
        result = func(*own)
        results = [
            x for x in (result if isinstance(result, tuple | list) else (result,)) if getattr(x, "requires_grad", False)
        ]
        leaves = [x for x in own if getattr(x, "requires_grad", False)]
        found = torch.autograd.grad(results, leaves, arrived, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    first_gradient.__name__ = f"the backward of {getattr(func, '__name__', type(func).__name__)}"
    return _answered(rule_of(first_gradient, (*given, *arriving)), raise_exception)


def rule_of(func: Callable[..., Any], inputs: Any) -> RuleReport:
    """The report on one function or module at these inputs."""
    from ...adapters.torch_program.subject import TorchSubject

    given = _sequence(inputs)
    subject = TorchSubject(func, given)
    if not subject.names:
        raise InvalidInput(
            "gradcheck: expected at least one floating-point input with requires_grad=True; none of the inputs has it."
        )
    return check_rule(subject)


def _answered(report: RuleReport, raise_exception: bool) -> bool:
    if raise_exception:
        report.raise_for_wrong()
    return report.ok


def _sequence(inputs: Any) -> Sequence[Any]:
    return tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
