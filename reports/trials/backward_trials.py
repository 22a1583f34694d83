"""Planted mistakes in hand-written backward code: is every one refused, and named where it is?

A mistake counts if the code still runs and its gradient is another at random points. Named: the explanations of the
rule check cover every input whose gradient is wrong, and none puts the blame on a custom function that is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from time import process_time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .right_code.drawn import Dice, dice

if TYPE_CHECKING:
    from ..any_network import RuleReport
    from .right_code.torch_networks import Subject

STREAM, JAX_STREAM = 22, 32
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
    framework: str = "torch"

    @property
    def visible(self) -> bool:
        return self.outcome not in UNSEEN

    @property
    def refused(self) -> bool:
        return self.outcome in ("named", "not named", "misplaced")


@dataclass(frozen=True)
class Planted:
    """A right function in a context, ready for a mistake.

    rule: the class whose `backward` is edited;  placed(rule): how a function with this rule is looked at
    """

    rule: type
    family: str
    words: str
    placed: Callable[[type], Looked]


class Looked(Protocol):
    """One function in its context."""

    def gradients(self, number: int) -> list[NDArray[Any]]:
        """At a few random points, one after the other; zeros where none came back."""
        ...

    def report(self) -> RuleReport:
        """The rule check of it."""
        ...


def _torch(thrown: Dice, which: int | None = None) -> Planted:
    import torch

    from .right_code.torch_custom import WRITTEN, in_context

    written = thrown.one_of(WRITTEN) if which is None else WRITTEN[which]
    words, subject = in_context(thrown, written, torch.float64)
    return Planted(written.function, written.family, words, lambda rule: _LookedTorch(subject(rule)))


def _jax(thrown: Dice, which: int | None = None) -> Planted:
    from .right_code.jax_custom import WRITTEN, in_context

    written = thrown.one_of(WRITTEN) if which is None else WRITTEN[which]
    words, called, arguments = in_context(thrown, written)
    return Planted(written.rule, written.family, words, lambda rule: _LookedJax(called(rule), arguments))


FRAMEWORKS: dict[str, Callable[..., Planted]] = {"torch": _torch, "jax": _jax}


def try_one(number: int, framework: str = "torch") -> BackwardTrial:
    """Draw mistake `number`, plant it, and ask the rule check."""
    from .backward_edits import edited, instrumented

    thrown = dice(number, STREAM if framework == "torch" else JAX_STREAM)
    planted = FRAMEWORKS[framework](thrown)
    shapes: dict[str, tuple[int, ...]] = {}

    def seen(names: dict[str, Any]) -> None:
        shapes.update({name: tuple(x.shape) for name, x in names.items() if hasattr(x, "shape")})

    right = planted.placed(planted.rule).gradients(number)
    planted.placed(instrumented(planted.rule, seen)).gradients(number)
    wrong, edit = edited(planted.rule, shapes, thrown)
    trial = BackwardTrial(number, planted.family, edit.kind, f"{planted.words}: {edit}", "raised", framework=framework)
    try:
        looked = planted.placed(wrong)
        found = looked.gradients(number)
    except Exception as error:  # a mistake that nobody makes twice
        return replace(trial, said=(f"{type(error).__name__}: {error}",))
    if not all(np.isfinite(x).all() for x in found):
        return replace(trial, outcome="no value")
    if all(_same(a, b) for a, b in zip(right, found, strict=True)):
        return replace(trial, outcome="equivalent")
    return judged(trial, planted.rule.__name__, looked.report)


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


def unmutated(framework: str = "torch") -> Iterator[tuple[str, str]]:
    """Each function as it is written, and what the rule check says of it: `agrees`, or the report."""
    for which in count():
        try:
            planted = FRAMEWORKS[framework](dice(which, STREAM + 1), which)
        except IndexError:  # that was the last one
            return
        report = planted.placed(planted.rule).report()
        yield planted.rule.__name__, report.verdict if report.ok else str(report)


@dataclass(frozen=True)
class _LookedTorch:
    subject: Subject

    def gradients(self, number: int) -> list[NDArray[Any]]:
        from ...adapters.torch_program.subject import TorchSubject

        return _at_points(TorchSubject(self.subject.function, self.subject.inputs), number)

    def report(self) -> RuleReport:
        from .right_code.torch_networks import report

        return report(self.subject)


@dataclass(frozen=True)
class _LookedJax:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def gradients(self, number: int) -> list[NDArray[Any]]:
        from ...adapters.jax_program.subject import JaxSubject

        return _at_points(JaxSubject(self.function, self.arguments), number)

    def report(self) -> RuleReport:
        from .right_code.jax_networks import report

        return report(self.function, self.arguments)


def _at_points(tried: Any, number: int) -> list[NDArray[Any]]:
    rng = np.random.default_rng([number, STREAM + 2])
    found: list[NDArray[Any]] = []
    for _ in range(POINTS):
        values = [x + 0.3 * rng.standard_normal(x.shape) for x in tried.start]
        found += tried.value_and_gradient(values)[1]
    return found


def _same(right: NDArray[Any], found: NDArray[Any]) -> bool:
    size = float(np.abs(right).max(initial=0.0))
    return float(np.abs(right - found).max(initial=0.0)) <= SAME * size
