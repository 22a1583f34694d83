"""`gradcheck` and `gradgradcheck` as torch.autograd has them, answered by the rule check: no step, no tolerance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ...reference.case import InvalidInput
from .forward import ForwardMode, check_forward_rule
from .guarded import by_itself, kinds, refuse_what_has_no_numbers
from .modules import arguments
from .networks import names_of
from .numbers import NumbersReport
from .numbers import check_numbers as judged_numbers
from .points import NEARER, generic
from .rule import RuleReport, check_rule, warn_of_paths


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    stopped: bool = False,
    surrogate: Any = (),
    reference: Callable[..., Any] | None = None,
    numbers: bool = False,
    **unused: Any,
) -> bool:
    """Whether the backward of `func` is the pullback of its forward, exactly. As `torch.autograd.gradcheck`.

    eps, atol, rtol, and the other arguments of the original: accepted and unused, since nothing is approximated;
    check_batched_grad, which asks something else, with a warning

    Args:
        inputs: a tensor or a sequence of tensors and other arguments; those that require a gradient are checked, in
            any floating format: a rule has no format, so float32 and 16 bits need no other settings
        check_forward_ad: whether forward mode is looked at
        check_backward_ad: whether reverse mode is
        stopped: gradients that the code itself stops (detach) are meant to be
        surrogate: custom functions whose backward is meant as it is, or their names
        reference: the same in plain operations, where `func` has no graph: see `backproof.verify_network`
        numbers: also judge each operation of a run, as `check_numbers` does

    Raises:
        WrongRule: (a RuntimeError, as the original's) with the report, unless raise_exception is False.
        WrongNumbers: (a RuntimeError) likewise, of numbers.
        NotDecided: where nothing can be said.
        Unsupported: where an operation is not covered.
        InvalidInput: for unusable inputs.
    """
    __tracebackhide__ = True
    _refuse_unknown("gradcheck", unused, OF_GRADCHECK)
    answers = []
    if check_backward_ad:
        answers.append(_answered(rule_of(func, inputs, stopped, surrogate, reference), raise_exception))
    if check_forward_ad:
        answers.append(_answered(forward_rule_of(func, inputs), raise_exception))
    if numbers:
        answers.append(_answered(check_numbers(func, inputs), raise_exception))
    return all(answers)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    check_rev_over_rev: bool = True,
    check_fwd_over_rev: bool = False,
    stopped: bool = False,
    numbers: bool = False,
    **unused: Any,
) -> bool:
    """Whether the backward of `func`'s backward is right. As `torch.autograd.gradgradcheck`.

    The other arguments and what it raises: as `gradcheck`.

    Args:
        grad_outputs: what arrives at the first backward; random numbers where it is None
        numbers: also judge each operation of a run of the first backward and of its own
    """
    __tracebackhide__ = True
    _refuse_unknown("gradgradcheck", unused, OF_GRADGRADCHECK)
    first, given = backward_of(func, inputs, grad_outputs)
    answers = []
    if check_rev_over_rev:
        answers.append(_answered(rule_of(first, given, stopped), raise_exception))
    if check_fwd_over_rev:
        answers.append(_answered(forward_rule_of(first, given), raise_exception))
    if numbers:
        answers.append(_answered(check_numbers(first, given), raise_exception))
    return all(answers)


OF_GRADCHECK = {
    "nondet_tol", "check_undefined_grad", "check_grad_dtypes", "check_batched_grad", "check_batched_forward_grad",
    "fast_mode", "masked",
}  # fmt: skip
OF_BATCHES = ("check_batched_grad", "check_batched_forward_grad")
OF_GRADGRADCHECK = (OF_GRADCHECK - {"check_batched_forward_grad"}) | {"gen_non_contig_grad_outputs"}


def _refuse_unknown(door: str, given: Mapping[str, Any], unused: set[str]) -> None:
    for name in given:
        if name not in unused:
            raise InvalidInput(f"{door}: {name}: expected an argument that torch.autograd.{door} has; it has none so.")
        if name in OF_BATCHES and given[name]:
            warnings.warn(f"{name}: a backward under vmap is not looked at; torch.autograd.{door} does", stacklevel=3)


def backward_of(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The backward of a function, as a function of its inputs and of what arrives, and inputs to call it with.

    Of a module: of its parameters first, then of its inputs.
    """
    import torch

    from ...adapters.torch_program.subject import TorchSubject

    name = _called(func)
    _checkable(TorchSubject(func, arguments(func, inputs)))
    func, given = _of_parameters(func, arguments(func, inputs))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        outputs = by_itself(name, lambda: _differentiable(func(*given)))
        if grad_outputs is None:
            grad_outputs = [torch.randn_like(x).requires_grad_() for x in outputs]
    arriving = tuple(grad_outputs) if isinstance(grad_outputs, tuple | list) else (grad_outputs,)

    def first(*arguments: Any) -> Any:
        own, arrived = arguments[: len(given)], arguments[len(given) :]
        outputs, leaves = _differentiable(func(*own)), _differentiable(own)
        if not leaves or not outputs:
            return ()
        found = torch.autograd.grad(outputs, leaves, arrived, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    first.__name__ = f"the backward of {name}"
    return first, (*given, *arriving)


def _of_parameters(func: Callable[..., Any], inputs: Sequence[Any]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A module as a function of its parameters and inputs, which leaves it as it was; a function as it is."""
    import torch

    if not isinstance(func, torch.nn.Module):
        return func, tuple(inputs)
    module = func

    def called(parameters: Mapping[str, Any], *own: Any) -> Any:
        buffers = {name: b.detach().clone() for name, b in module.named_buffers()}
        return torch.func.functional_call(module, {**buffers, **parameters}, own)

    called.__name__ = type(module).__name__
    return called, ({name: p for name, p in module.named_parameters() if p.requires_grad}, *inputs)


def _called(func: Any) -> str:
    owner = getattr(func, "__self__", None)  # of Function.apply, the function's class
    return getattr(owner, "__name__", None) or getattr(func, "__name__", None) or type(func).__name__


def _differentiable(tree: Any) -> list[Any]:
    from torch.utils import _pytree

    return [x for x in _pytree.tree_leaves(tree) if getattr(x, "requires_grad", False)]


def forward_rule_of(func: Callable[..., Any], inputs: Any) -> RuleReport:
    """The report on forward mode."""
    import numpy as np
    import torch
    from torch.autograd import forward_ad
    from torch.utils import _pytree

    from ...adapters.torch_program.capture import array, capture, differentiable, numbers_shape, tensor_of
    from ...adapters.torch_program.subject import TorchSubject

    name = _called(func)
    _checkable(TorchSubject(func, arguments(func, inputs)))
    func, given = _of_parameters(func, arguments(func, inputs))
    subject = _checkable(TorchSubject(func, given))

    def both(*arguments: Any) -> Any:
        own, tangents = arguments[: len(given)], arguments[len(given) :]
        with forward_ad.dual_level():
            dual = [forward_ad.make_dual(x, t) for x, t in zip(subject.differentiated(own), tangents, strict=True)]
            result = func(*subject.filled(own, dual))
            results = [x for x in _pytree.tree_leaves(result) if differentiable(x)]
            pairs = [forward_ad.unpack_dual(x) for x in results]
            there = [(p.primal, p.tangent) for p in pairs if p.tangent is not None]
            return [p for p, _ in there], [t for _, t in there]

    def captured(seed: int) -> Any:
        generator = np.random.default_rng([seed, 3])
        point = subject.start if not seed else generic(subject.start, seed, NEARER[0]).values
        with subject.at(point) as arguments, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, where it loads its decompositions
            tangents = [
                tensor_of(generator.standard_normal(numbers_shape(x)), x.detach()).requires_grad_()
                for x in subject.differentiated(arguments)
            ]
            return capture(both, (*arguments, *tangents), seed, backward=False)

    def along(values: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        with subject.at(values) as arguments:
            leaves = subject.differentiated(arguments)
            moving = [torch.tensor(t, dtype=x.dtype) for t, x in zip(tangents, leaves, strict=True)]
            found, moved = both(*arguments, *moving)
            return [array(x) for x in found], [array(x) for x in moved]

    return check_forward_rule(ForwardMode(name, subject.names, subject.start, subject.roundoff, captured, along))


def rule_of(
    func: Callable[..., Any],
    inputs: Any,
    stopped: bool = False,
    surrogate: Any = (),
    reference: Callable[..., Any] | None = None,
) -> RuleReport:
    """The report on one function or module at these inputs."""
    from ...adapters.torch_program.subject import TorchSubject

    names = names_of(surrogate)
    subject = TorchSubject(func, arguments(func, inputs), surrogates=names, reference=reference)
    return check_rule(_checkable(subject), stopped)


def check_numbers(func: Callable[..., Any], inputs: Any, loss: Callable[[Any], Any] | None = None) -> NumbersReport:
    """Whether every operation of one run, forward and backward, gave what it may of its own operands in its format.

    Args:
        func: a function or module
        inputs: as `gradcheck`'s
        loss: of what it returns

    Raises:
        Unsupported: where an operation is not covered.
        InvalidInput: for unusable inputs.
    """
    from ...adapters.torch_program.subject import TorchSubject

    if loss is not None and not callable(loss):
        raise InvalidInput(
            f"check_numbers: loss: expected a function of what func returns, got {type(loss).__name__}; several inputs "
            "go into one tuple: check_numbers(func, (x, w))."
        )
    return judged_numbers(_checkable(TorchSubject(func, arguments(func, inputs), loss=loss)))


@contextmanager
def judged(name: str = "the block") -> Iterator[Callable[[], NumbersReport]]:
    """What runs within it is judged call by call: a training step, with its optimizer's, or any piece of code.

        with backproof.torch.judged() as report:
            loss(model(x), y).backward()
            optimizer.step()
        report().raise_for_wrong()

    Yields a function that gives the report. Raises Unsupported, within the block, where an operation is not covered.
    """
    import torch

    from ...adapters.torch_program.capture import JudgingRecorder

    recorder = JudgingRecorder()
    with torch.compiler.set_stance("force_eager"), recorder:
        yield lambda: NumbersReport(name, recorder.run)


def _checkable(subject: Any) -> Any:
    if not subject.names:
        raise InvalidInput(
            "gradcheck: expected at least one floating-point input with requires_grad=True; none of the inputs has it: "
            f"got {kinds(subject.leaves)}."
        )
    if not subject.finite():
        refuse_what_has_no_numbers(subject.names, subject.start)
    return subject


def _answered(report: RuleReport | NumbersReport, raise_exception: bool) -> bool:
    __tracebackhide__ = True
    if raise_exception:
        report.raise_for_wrong()
    warn_of_paths(report)
    return report.ok
