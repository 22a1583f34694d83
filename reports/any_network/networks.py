"""`backproof.verify` for anything that is not a dense net's function: a module, or a function of tensors or arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ...reference.case import InvalidInput
from ...reference.programs import Unsupported
from .both import RuleAndNumbers
from .guarded import kinds
from .modules import arguments, build, of_parameters
from .numbers import NumbersReport, check_numbers
from .rule import RuleReport, Subject, check_rule
from .without_graph import without_graph


def verify_network(
    function: Callable[..., Any],
    inputs: Any,
    *,
    loss: Callable[[Any], Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
    stopped: bool = False,
    surrogate: Any = (),
    reference: Callable[..., Any] | None = None,
    numbers: bool = False,
) -> RuleReport | RuleAndNumbers:
    """Whether a network's gradient is the chain rule's.

    Args:
        function: a torch.nn.Module, one of Keras (on PyTorch or JAX), Flax's nnx or Equinox, or a function of PyTorch
            tensors or JAX arrays. A module's parameters, and every input that requires a gradient (where no input does,
            and in JAX: every real number in them), are differentiated
        inputs: a tensor or array, or a sequence of arguments, of small sizes: a rule does not depend on size, so
            choose sizes that tell axes apart
        loss: from the function's result to what is differentiated; the result itself if None
        keywords: arguments by name, which are not differentiated
        stopped: gradients that the code itself stops (detach) are meant to be
        surrogate: custom functions (autograd.Function, custom_vjp), or their names, one or several, whose backward is
            meant as it is though it is not the chain rule's: a straight-through estimator. The report says so
        reference: where the function has no graph to be had (an extension, NumPy in a forward): the same in plain
            operations, whose gradient by the chain rule is then what the function's own backward is compared with
        numbers: also judge each operation of a run at the inputs given, forward and backward, in the format that it ran
            in (docs/numbers.md). The report then has both: `rule` and `numbers`

    Raises:
        InvalidInput: for inputs that nothing can be differentiated by.
        Unsupported: for what is not covered.
    """

    def made(by_inputs: bool = True) -> Any:
        return subject_of(function, inputs, loss, keywords, surrogate, reference, by_inputs)

    report, subject = _checked(made, stopped, _asks_for_no_gradient(function, inputs))
    return RuleAndNumbers(report, _numbers(subject)) if numbers else report


ALL_INPUTS = "no input requires a gradient, so all were differentiated; what is not meant to be goes into keywords={…}"


def _asks_for_no_gradient(function: Any, inputs: Any) -> bool:
    """Whether a module with parameters was given inputs that require no gradient."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(function, torch.nn.Module):
        return False
    asked = any(getattr(x, "requires_grad", True) for x in _flat(inputs) if hasattr(x, "dtype"))
    return not asked and any(p.requires_grad for p in function.parameters())


def _checked(made: Callable[..., Any], stopped: bool, unasked: bool) -> tuple[RuleReport, Callable[[], Any]]:
    """The report, and what makes the subject that it is of.

    unasked: the inputs ask for no gradient. By them, too, it is checked; where they cannot have one, or the code itself
    stops it, by the parameters alone, and that is said.
    """
    if not unasked:
        return check_rule(made(), stopped), made
    report: RuleReport | None = None
    try:
        report = check_rule(made(), stopped)
        wrong = {report.names[k] for seen in report.seen for k in seen.wrong()}
        if report.ok or not wrong or not all(name.startswith("input") for name in wrong):
            return report, made
        if report.verdict == "wrong":
            return replace(report, notes=(*report.notes, ALL_INPUTS)), made
        why = report.reason
    except (InvalidInput, Unsupported) as error:
        why = str(error)
    of_parameters_alone = partial(made, by_inputs=False)
    again = check_rule(of_parameters_alone(), stopped)
    if report is not None and not again.ok:
        return report, made
    note = f"not differentiated by its inputs, which require no gradient: {why}"
    return replace(again, notes=(*again.notes, note)), of_parameters_alone


def _numbers(made: Callable[[], Any]) -> NumbersReport:
    """Of a subject of its own: the rule check leaves a module's copy at other points."""
    wide = getattr(made(), "wide", None)  # JAX's: whether float64 is meant
    if wide is None:
        return check_numbers(made())
    from ...adapters.jax_grad import enable_x64

    with enable_x64(wide):
        return check_numbers(made())


def verify_by_paths(
    function: Callable[..., Any], inputs: Any, *, loss: Callable[[Any], Any] | None = None
) -> RuleReport:
    """The same, without a graph: whether the gradient that runs adds up to the function that runs."""
    return without_graph(subject_of(function, inputs, loss))


def subject_of(
    function: Callable[..., Any],
    inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    keywords: Mapping[str, Any] | None = None,
    surrogate: Any = (),
    reference: Callable[..., Any] | None = None,
    by_inputs: bool = True,
) -> Subject:
    """The function in its framework's adapter: PyTorch's if it is a module or a tensor is among the inputs.

    by_inputs: where no input requires a gradient, all of them are taken to
    """
    if not callable(function):
        raise InvalidInput(f"expected a torch.nn.Module or a function, got {type(function).__name__}.")
    if loss is not None and not callable(loss):
        raise InvalidInput(
            f"loss: expected a function of what {_name(function)} returns, such as lambda y: (y**2).mean(); got "
            f"{loss!r}. Names of losses are for functions of weights, biases, inputs and targets."
        )
    given = arguments(function, inputs)
    build(function, given)
    of_module = of_parameters(function)
    if of_module is not None:
        function, given = of_module[0], (of_module[1], *given)
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and (
        isinstance(function, torch.nn.Module) or any(isinstance(x, torch.Tensor) for x in _flat(given))
    ):
        from ...adapters.torch_program.subject import TorchSubject

        if by_inputs and not any(getattr(x, "requires_grad", False) for x in torch.utils._pytree.tree_leaves(given)):
            given = torch.utils._pytree.tree_map_only(torch.Tensor, _differentiated, given)
        subject: Subject = TorchSubject(function, given, keywords, loss, names_of(surrogate), reference)
        wanted = "a floating-point tensor, or a module with parameters that require a gradient"
    elif jax is not None and (
        of_module is not None or any(isinstance(x, float) or hasattr(x, "dtype") for x in _flat(given))
    ):
        from ...adapters.jax_program.subject import JaxSubject

        subject = JaxSubject(function, given, keywords, loss, names_of(surrogate), reference)
        wanted = "a real number or an array of real numbers among the inputs"
    else:
        found = _flat(given)
        of_numpy = any(type(x).__module__ == "numpy" for x in found)
        instead = " A function of NumPy arrays that returns its loss and gradient: backproof.check_path." * of_numpy
        raise InvalidInput(
            f"{_name(function)}: expected a torch.nn.Module, or inputs that are PyTorch tensors or JAX arrays "
            f"(or tuples, lists or dicts of them), got {kinds(found) if found else 'no inputs'}.{instead}"
        )
    if not subject.names:
        raise InvalidInput(
            f"{_name(function)}: nothing to differentiate by: expected {wanted}; got {kinds(_flat(given))}."
        )
    return subject


def _differentiated(x: Any) -> Any:
    """A tensor of numbers, real or complex, as one that requires a gradient."""
    return x.detach().clone().requires_grad_() if x.is_floating_point() or x.is_complex() else x


def names_of(surrogate: Any) -> frozenset[str]:
    """The names of custom functions: of classes, of their `apply`, of functions; a name is its own."""
    several = surrogate if isinstance(surrogate, tuple | list | set | frozenset) else (surrogate,)
    names = []
    for x in several:
        owner = getattr(x, "__self__", None)  # of Function.apply, the function's class
        name = x if isinstance(x, str) else getattr(owner, "__name__", None) or getattr(x, "__name__", None)
        if not isinstance(name, str):
            raise InvalidInput(f"surrogate: expected custom functions, or their names, got {type(x).__name__}.")
        names.append(name)
    return frozenset(names)


def _flat(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [x for y in tree.values() for x in _flat(y)]
    return [x for y in tree for x in _flat(y)] if isinstance(tree, tuple | list) else [tree]


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", None) or type(function).__name__
