"""What shows a wrong gradient, as a program of JAX: a few lines that print one number of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from numpy.typing import NDArray

from ..jax_grad import enable_x64
from ..literals import arguments, element, literal, name_of, numbers, printed_by
from .capture import differentiable

if TYPE_CHECKING:
    from .subject import JaxSubject

Array = NDArray[Any]


def witness(
    subject: JaxSubject,
    values: Sequence[Array],
    gradient: int,
    index: Sequence[int],
    output: int,
    at: Sequence[int],
) -> tuple[list[str], str] | None:
    """Lines that print an element of a gradient of an element of an output, and what they print.

    None where its inputs are not arrays and plain values side by side.

    Args:
        values: of the inputs that a gradient is taken by
        gradient: of which of them;  index: the element of it
        output: which of its results that are real numbers;  at: the element of it
    """
    if len({*subject.owners}) < len(subject.owners) or len(subject.owners) < len(subject.given):
        return None
    with enable_x64(subject.wide):
        inputs = subject._at(values)
        result = jax.eval_shape(subject.function, *inputs)
        written = [_written(x) for x in inputs]
        which = _which(result, output)
        names = [f"x{k}" if hasattr(x, "shape") else str(written[k]) for k, x in enumerate(inputs)]
        given = arguments(names, subject.keywords)
        if which is None or given is None or None in written:
            return None
        name, known = name_of(subject.called)
        called = f"{name}({given})" if subject.loss is None else f"loss({name}({given}))"
        own = subject.owners[subject.places[gradient]]
        if not hasattr(inputs[own], "shape"):
            return None
        lines = ["import jax, jax.numpy as jnp"]
        lines += [f"{names[k]} = {written[k]}" for k, x in enumerate(inputs) if hasattr(x, "shape")]
        lines.append(f"g = jax.grad(lambda {names[own]}: {element(called + which, at)})({names[own]})")
        lines.append(f"print({element('g', index)})")
        printed = printed_by(lines, {**known, "loss": subject.loss})
    if printed is None:
        return None
    return [lines[0], 'jax.config.update("jax_enable_x64", True)', *lines[1:]] if subject.wide else lines, printed


def _written(x: Any) -> str | None:
    if not hasattr(x, "shape"):
        return literal(x)
    plain = np.asarray(x)
    if plain.dtype.kind == "c":
        return None
    if plain.dtype.kind == "V" or plain.dtype.name not in ("float64", "float32", "int64", "int32", "bool"):
        plain = plain.astype(np.float32)
    return f"jnp.array({numbers(plain)}, dtype=jnp.{np.asarray(x).dtype.name.replace('bool', 'bool_')})"


def _which(result: Any, output: int) -> str | None:
    """How the output is taken from what the function returns; None where that is more than arrays side by side."""
    if hasattr(result, "shape"):
        return "" if output == 0 else None
    if type(result) not in (tuple, list):
        return None
    places = [k for k, x in enumerate(result) if differentiable(x)]
    return f"[{places[output]}]" if output < len(places) else None
