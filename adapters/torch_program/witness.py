"""What shows a wrong gradient, as a program of PyTorch: a few lines that print one number of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from ..literals import arguments, element, literal, name_of, numbers, printed_by
from .capture import differentiable

if TYPE_CHECKING:
    from .subject import TorchSubject

Array = NDArray[Any]


def witness(
    subject: TorchSubject,
    values: Sequence[Array],
    gradient: int,
    index: Sequence[int],
    output: int,
    at: Sequence[int],
) -> tuple[list[str], str] | None:
    """Lines that print an element of a gradient of an element of an output, and what they print.

    None where its inputs are not tensors and plain values side by side. A module's parameters stay in it.

    Args:
        values: of the inputs that a gradient is taken by, and the parameters
        gradient: of which of them;  index: the element of it
        output: which of its results that have a gradient;  at: the element of it
    """
    if len({*subject.owners}) < len(subject.owners) or len(subject.owners) < len(subject.inputs):
        return None
    with subject.at(values) as inputs:
        written = [_written(x) for x in inputs]
        result = subject._called(*inputs)
    which = _which(result, output)
    if which is None or None in written:
        return None
    names = [f"x{k}" if isinstance(x, torch.Tensor) else str(written[k]) for k, x in enumerate(inputs)]
    given = arguments(names, subject.keywords)
    if given is None:
        return None
    name, known = name_of(subject.function)
    if gradient < subject.moved:
        of = names[subject.owners[subject.places[gradient]]]
    else:
        of = f"{name}.get_parameter({subject.names[gradient]!r})"
    called = f"{name}({given})" if subject.loss is None else f"loss({name}({given}))"
    lines = ["import torch"]
    lines += [f"{names[k]} = {written[k]}" for k, x in enumerate(inputs) if isinstance(x, torch.Tensor)]
    lines.append(f"y = {called}{which}")
    taken, number = f"(g,) = torch.autograd.grad({element('y', at)}, {of}", f"{element('g', index)}.item()"
    for program in (
        [*lines, f"{taken})", f"print({number})"],
        [*lines, f"{taken}, allow_unused=True)", f"print(None if g is None else {number})"],
    ):
        with subject.at(values):  # which sets the parameters
            printed = printed_by(program, {**known, "loss": subject.loss})
        if printed is not None:
            return program, printed
    return None


def _written(x: Any) -> str | None:
    if not isinstance(x, torch.Tensor):
        return literal(x)
    if x.is_complex():
        return None
    needs = ", requires_grad=True" if x.requires_grad else ""
    plain = x.detach().cpu()
    plain = plain.float() if plain.is_floating_point() and plain.element_size() < 4 else plain  # NumPy lacks bfloat16
    return f"torch.tensor({numbers(plain.numpy())}, dtype={x.dtype}{needs})"


def _which(result: Any, output: int) -> str | None:
    """How the output is taken from what the function returns; None where that is more than tensors side by side."""
    if isinstance(result, torch.Tensor):
        return "" if output == 0 else None
    if type(result) not in (tuple, list):
        return None
    places = [k for k, x in enumerate(result) if differentiable(x) and x.requires_grad]
    return f"[{places[output]}]" if output < len(places) else None
