"""Is the gradient the same where less of it is asked for? A backward may look at what it is asked for, and often does:
`ctx.needs_input_grad`, the cotangent of an output that nobody used, which is None. Training asks for the parameters'
alone, where the other checks ask for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .guarded import in_a_line

if TYPE_CHECKING:
    from .rule import RuleReport, Subject

Array = NDArray[Any]
FEW = 6  # inputs, or outputs, each of which is asked for by itself


def asked_in_part(subject: Subject, report: RuleReport) -> RuleReport:
    """The report; wrong where less is asked for and that is another gradient, or none.

    A gradient that a backward adds to `.grad` by itself does not come where that backward does not run: PyTorch runs
    it for what it was given as an argument. That is a note.
    """
    part = subject.part
    if part is None:
        return report
    whole = part(None, None)
    if all(gradient is None for gradient in whole.gradients):
        return report
    reason, missing = _in_part(subject, part, whole)
    if missing:
        names = _listed([subject.names[k] for k in missing])
        note = (
            f"{names}: no gradient where no argument requires one; a backward adds it to .grad, and does not run then"
        )
        report = replace(report, notes=(*report.notes, note))
    return replace(report, verdict="wrong", reason=reason) if reason else report


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + ", …" * (len(names) > FEW)


def _in_part(subject: Subject, part: Any, whole: Any) -> tuple[str, list[int]]:
    """What is another gradient, or none, in words; and those that are missing because no backward runs."""
    missing: list[int] = []
    for asked in _parts(len(subject.names), subject.moved):
        found = None
        with suppress(Exception):  # a function may itself differentiate by what then has no gradient
            found = part(asked, None)
        if found is None:
            continue
        unrun = [k for k in asked if found.gradients[k] is None and k in whole.added]
        missing += [k for k in unrun if k not in missing]
        left = [k for k in asked if k not in unrun]
        if said := _another(subject, left, whole.gradients, found.gradients):
            names = ", ".join(subject.names[k] for k in asked)
            return f"where only {names} requires a gradient, {said}", missing
    every = tuple(range(len(subject.names)))
    for output in range(whole.outputs if 1 < whole.outputs <= FEW else 0):
        zeros = part(None, output, cotangents_of_others=True)
        try:
            found = part(None, output)
        except Exception as error:
            return f"where only output {output} is used, its backward raises {in_a_line(error)}", missing
        if said := _another(subject, every, zeros.gradients, found.gradients):
            return f"where only output {output} is used, {said}", missing
    return "", missing


def _parts(inputs: int, moved: int) -> Iterator[tuple[int, ...]]:
    """The arguments alone, the parameters alone, and where they are few each by itself."""
    every = tuple(range(inputs))
    each = [(k,) for k in every] if inputs <= FEW else []
    yield from (part for part in dict.fromkeys([every[:moved], every[moved:], *each]) if part not in ((), every))


def _another(
    subject: Subject, asked: Sequence[int], of_all: Sequence[Array | None], found: Sequence[Array | None]
) -> str:
    """What differs by more than half of the format's digits, by the element that differs most."""
    whole = [np.zeros(x.shape) if g is None else g for g, x in zip(of_all, subject.start, strict=True)]
    size = max((float(np.abs(x).max(initial=0.0)) for x in whole), default=0.0)
    if not math.isfinite(size):
        return ""
    for k in asked:
        gradient = found[k]
        if gradient is None:
            if np.abs(whole[k]).max(initial=0.0) > math.sqrt(subject.roundoff) * size:
                return f"there is no gradient of {subject.names[k]}"
            continue
        off = np.abs(gradient - whole[k])
        if off.size and not float(off.max()) <= math.sqrt(subject.roundoff) * size:
            worst = np.unravel_index(int(np.nan_to_num(off, nan=math.inf).argmax()), off.shape)
            index = [int(i) for i in worst]
            return (
                f"the gradient of {subject.names[k]} at {index} is {float(gradient[worst]):.6g}, and "
                f"{float(whole[k][worst]):.6g} where all is asked for"
            )
    return ""
