"""Planted mistakes in hand-written backward code: is every one refused, and named where it is?

A mistake counts if the code still runs and its gradient is another at random points. Named: the explanations of the
rule check cover every input whose gradient is wrong, and none puts the blame on a custom function that is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .drawn import dice

if TYPE_CHECKING:
    from ..any_network import RuleReport
    from .torch_networks import Subject

STREAM = 22
POINTS = 3  # random ones, at which a mistake must change the gradient
SAME = 1e-12  # relative to the largest element of each gradient: no change
# raised: the edited code does not run;  no value: its gradient is not finite;  equivalent: it changes nothing
UNSEEN = ("raised", "no value", "equivalent")
OUTCOMES = ("named", "not named", "misplaced", "undecided", "agrees", "failed", *UNSEEN)


@dataclass(frozen=True)
class BackwardTrial:
    """What became of one number.

    kind: of mistake;  planted: it, in words, with where it stands;  outcome: one of `OUTCOMES`
    misplaced: an explanation blames another custom function;  said: the explanations, or what was raised
    without: so many explanations name no custom function at all
    """

    number: int
    family: str
    kind: str
    planted: str
    outcome: str
    said: tuple[str, ...] = ()
    without: int = 0
    seconds: float = 0.0

    @property
    def visible(self) -> bool:
        return self.outcome not in UNSEEN

    @property
    def refused(self) -> bool:
        return self.outcome in ("named", "not named", "misplaced")


def try_one(number: int) -> BackwardTrial:
    """Draw mistake `number`, plant it, and ask the rule check."""
    import torch

    from .backward_edits import edited, instrumented
    from .torch_custom import WRITTEN, in_context

    thrown = dice(number, STREAM)
    written = thrown.one_of(WRITTEN)
    words, subject = in_context(thrown, written, torch.float64)
    shapes: dict[str, tuple[int, ...]] = {}

    def seen(names: dict[str, Any]) -> None:
        shapes.update({name: tuple(x.shape) for name, x in names.items() if isinstance(x, torch.Tensor)})

    right = _gradients(subject(written.function), number)
    _gradients(subject(instrumented(written.function, seen)), number)
    wrong, edit = edited(written.function, shapes, thrown)
    trial = BackwardTrial(number, written.family, edit.kind, f"{words}: {edit}", "raised")
    try:
        found = _gradients(subject(wrong), number)
    except Exception as error:  # a mistake that nobody makes twice
        return replace(trial, said=(f"{type(error).__name__}: {error}",))
    if not all(np.isfinite(x).all() for x in found):
        return replace(trial, outcome="no value")
    if all(_same(a, b) for a, b in zip(right, found, strict=True)):
        return replace(trial, outcome="equivalent")
    return judged(trial, written.function.__name__, lambda: _report(subject(wrong)))


def judged(trial: BackwardTrial, name: str, report: Callable[[], RuleReport]) -> BackwardTrial:
    """What the rule check made of a visible mistake in the custom function of this name."""
    started = process_time()
    try:
        found = report()
    except Exception as error:  # counted, and said
        return replace(trial, outcome="failed", said=(f"{type(error).__name__}: {error}",))
    seconds = process_time() - started
    if found.verdict != "wrong":
        return replace(trial, outcome=found.verdict, said=(found.reason,), seconds=seconds)
    wrong = {k for s in found.seen if not s.point.special for k in s.wrong()}
    covered = {k for explanation in found.explanations for k in explanation.inputs}
    borders = [explanation.border.name for explanation in found.explanations if explanation.border is not None]
    outcome = "named" if wrong and wrong <= covered else "not named"
    if any(border != name for border in borders):
        outcome = "misplaced"
    said = tuple(f"{e.border.name if e.border else 'the whole'}: {e.text}" for e in found.explanations)
    return replace(trial, outcome=outcome, said=said, without=len(found.explanations) - len(borders), seconds=seconds)


def unmutated() -> Iterator[tuple[str, str]]:
    """Each function as it is written, and what the rule check says of it: `agrees`, or the report."""
    import torch

    from .torch_custom import WRITTEN, in_context

    for number, written in enumerate(WRITTEN):
        _, subject = in_context(dice(number, STREAM + 1), written, torch.float64)
        report = _report(subject(written.function))
        yield written.function.__name__, report.verdict if report.ok else str(report)


def _report(subject: Subject) -> RuleReport:
    from .torch_networks import report

    return report(subject)


def _gradients(subject: Subject, number: int) -> list[NDArray[Any]]:
    """At a few random points, one after the other; zeros where none came back."""
    from ...adapters.torch_program.subject import TorchSubject

    tried = TorchSubject(subject.function, subject.inputs)
    rng = np.random.default_rng([number, STREAM + 2])
    found: list[NDArray[Any]] = []
    for _ in range(POINTS):
        values = [x + 0.3 * rng.standard_normal(x.shape) for x in tried.start]
        found += tried.value_and_gradient(values)[1]
    return found


def _same(right: NDArray[Any], found: NDArray[Any]) -> bool:
    size = float(np.abs(right).max(initial=0.0))
    return float(np.abs(right - found).max(initial=0.0)) <= SAME * size
