"""The rule check as a report: an implementation at several points, what was found, and why.

A verdict comes from `reference/programs/rule_check.py` alone. `agrees` is said only if the chain rule's gradient and
the one seen are equal to 30 digits at every generic point; what runs outside of the graph would be missed by that, so
the numbers that really ran are asked as well whether they add up to the function (`reference/judging/path.py`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.judging import PathCheck
from ...reference.programs import (
    FLOATS,
    Agreement,
    Captured,
    Explanation,
    NoGraph,
    Outcome,
    Unexplained,
    Unsupported,
    check,
    depending,
    right_as_stopped,
    rounded_gradients,
    run,
)
from ..console import lines_of_progress
from ..documents import Shown
from .explaining import explained_at
from .guarded import RAISED, by_itself, captured_at, refuse_what_has_no_numbers
from .jumps import JUMP, jump_at
from .not_finite import not_finite
from .points import GENERIC, NEARER, Point, beside, generic, special
from .same_program import same_rule
from .what_ran import BEYOND, alike_unwatched, as_captured, as_it_ran, half_of_digits, in_digits, right_in_floats
from .witness import Witness, witness

Array = NDArray[Any]
SHARP = 1e-6  # of the change along a path: what sees as much has nothing to learn from more digits
RIGHT = (Outcome.EQUAL, Outcome.LITERALS, Outcome.KINK)


class WrongRule(RuntimeError):
    """A gradient is not the chain rule's; the text is the report."""


class NotDecided(RuntimeError):
    """Nothing can be said of a gradient; the text says why, and what to do."""


class OnlyAlongPaths(UserWarning):
    """A gradient was checked by its numbers along paths, not by its rule; the text says why, and with what power."""


class Subject(Protocol):
    """Somebody's function, as an adapter can run it.

    name: what it is called;  names: of its differentiated inputs;  start: their numbers at the user's own point
    moved: so many of them are arguments, the rest are parameters;  roundoff: of the format it computes in
    surrogates: the names of custom functions whose backward is declared to be meant as it is
    reference: the same function in plain operations, if it has no graph of its own
    """

    name: str
    moved: int
    roundoff: float
    surrogates: frozenset[str]
    reference: Any

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def start(self) -> Sequence[Array]: ...

    def capture(self, values: Sequence[Array], seed: int) -> Captured: ...

    def widened(self) -> Subject | None:
        """The same in float64; None where it computes in that already."""
        ...

    def of_reference(self) -> Subject:
        """The reference in the function's place."""
        ...

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Of Σ c · output with fixed random c, as it really runs: without being captured."""
        ...

    @property
    def part(self) -> Any:
        """What runs with less of it asked for, see `asked_in_part`; None where a backward cannot know of it."""
        ...

    def resized(self, lengths: Mapping[int, int]) -> Subject | None:
        """The same with dimensions of these lengths cut to others; None where that cannot be."""
        ...

    def symmetric(self) -> Subject | None:
        """The same of (X + Xᵀ)/2 for each input X that is symmetric; None where no input is, or nothing asks for it."""
        ...

    def witness(
        self, values: Sequence[Array], gradient: int, index: Sequence[int], output: int, at: Sequence[int]
    ) -> tuple[list[str], str] | None:
        """A program that prints an element of a gradient of an element of an output, and what it prints, if any."""
        ...


@dataclass(frozen=True)
class Seen:
    """One point. agreements: for each input;  digits: to how many the numbers that ran agree with the program;  lines:
    of that program;  seed: of its cotangents."""

    point: Point
    agreements: tuple[Agreement, ...]
    captured: Captured
    digits: float
    lines: int
    seed: int

    def wrong(self) -> list[int]:
        return [k for k, a in enumerate(self.agreements) if a.outcome is Outcome.DIFFERENT]


@dataclass(frozen=True)
class RuleReport(Shown):
    """What the rule check found.

    Attributes:
        verdict: agrees, wrong or undecided
        reason: why nothing was decided
        path: where no graph could be had, what the numbers that ran say by themselves
        but: what was declared, and is not covered by the verdict
        digits: to how many the numbers are its reference's, where these are all that could be compared
        witness: of what is wrong, the smallest program of the framework that shows it
        unexplained: custom functions that are wrong in a way that is not known
    """

    verdict: str
    name: str
    names: tuple[str, ...]
    seen: tuple[Seen, ...]
    kinks: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""
    path: PathCheck | None = None
    what: str = "gradient"
    but: str = ""
    digits: float | None = None
    witness: Witness | None = None
    unexplained: tuple[Unexplained, ...] = ()

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    def raise_for_wrong(self) -> None:
        """Raises WrongRule or NotDecided unless the verdict is agrees."""
        __tracebackhide__ = True  # pytest shows the user's line, not ours
        if self.verdict == "wrong":
            raise WrongRule(str(self))
        if not self.ok:
            raise NotDecided(str(self))

    @property
    def text(self) -> str:
        """The whole of it, each sentence a line."""
        from .wording import told

        return told(self)


def warn_of_paths(report: object) -> None:
    """Warns where there was no graph, from a door that says nothing else of what agrees."""
    if isinstance(report, RuleReport) and report.ok and report.path is not None:
        warnings.warn(report.text, OnlyAlongPaths, stacklevel=4)


def check_rule(subject: Subject, stopped: bool = False) -> RuleReport:
    """The verdict on one function.

    A rule has no format, but a run has: in a coarse one, rounding can take another branch than the exact numbers, and
    cancellation leaves no digits to compare. What does not agree in one is looked at in float64 as well.
    stopped: gradients that the code itself stops (detach, stop_gradient) are meant to be
    Raises Unsupported if it does what we have no rule for.
    """
    from .not_wrong import as_the_framework_declares, for_symmetric_changes, unless_it_adds_up

    report = decided(subject, stopped)
    for withdrawn in (as_the_framework_declares, for_symmetric_changes):
        if report.verdict == "wrong":
            report = withdrawn(subject, report, stopped)
    return unless_it_adds_up(subject, report) if report.verdict == "wrong" else report


def decided(subject: Subject, stopped: bool) -> RuleReport:
    """In its own format, or, where that does not agree or paths in few digits see little, in float64."""
    report = _checked(subject, stopped)
    if (report.ok and (report.path is None or report.path.power < SHARP)) or report.reason.startswith(AGAIN):
        return report
    try:
        wide = subject.widened()
        if wide is None:
            return report
        again = _checked(wide, stopped)
    except Exception:  # it may be made for its own format alone
        return report
    if report.verdict != "wrong" and again.verdict == "wrong":
        return again
    if report.ok:
        return report
    if report.verdict == again.verdict == "wrong" and again.explanations and not report.explanations:
        return replace(report, explanations=again.explanations, unexplained=again.unexplained)  # literals are rounded
    if not again.ok or (report.verdict == "wrong" and _certain(report, again)):
        return report
    seen = f"in its own format it was {report.verdict}" + (f": {report.reason}" if report.reason else "")
    return replace(again, notes=(*again.notes, f"decided in float64, since rounding takes part; {seen}"))


def _certain(report: RuleReport, wide: RuleReport) -> bool:
    """Whether it is wrong at every generic point, for a reason, and is not what is right in float64: then no rounding
    onto a kink did it."""
    generic_ones = [s for s in report.seen if not s.point.special]
    if not report.explanations or not all(s.wrong() for s in generic_ones) or not wide.seen:
        return False
    here, there = (r.seen[0].captured.program.nodes[: r.seen[0].lines] for r in (report, wide))
    return not same_rule(here, there)


@dataclass
class _Looked:
    """What was found at all points. skipped: points by why nothing was found there

    nowhere: why there is no graph;  stops: where the code stops a gradient besides, in words
    jump: where a gradient is right by the rule, and another on all sides
    """

    seen: list[Seen] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    kinks: list[str] = field(default_factory=list)
    nowhere: str = ""
    stops: str = ""
    jump: str = ""


def _looked(subject: Subject) -> _Looked:
    looked, points = _Looked(), points_of(subject)
    done = lines_of_progress(len(points))
    for point in points:
        try:
            found = _seen(subject, point, seed=len(looked.seen))
        except Unsupported as nowhere:
            if subject.reference is None and not isinstance(nowhere, NoGraph):
                raise
            looked.nowhere = str(nowhere)
            return looked
        done(f"{subject.name} at {point.name}")
        if isinstance(found, str):
            looked.skipped.setdefault(found, []).append(point.name)
            continue
        if found.captured.left and found.captured.outputs:
            looked.nowhere = f"numbers leave the graph at {', '.join(map(str, found.captured.left))}"
            looked.stops = f" ({', '.join(map(str, found.captured.stops))})" if found.captured.stops else ""
            return looked
        convention = _convention(subject, found) if point.special and found.wrong() else ""
        if convention:
            looked.kinks.append(convention)
        else:
            looked.seen.append(found)
            looked.jump = looked.jump or _jump(subject, found)
    return looked


def _jump(subject: Subject, found: Seen) -> str:
    """At the user's own point, and where a kink was met by intention: what is right there by the rule alone."""
    at_a_kink = any(a.outcome is Outcome.KINK for a in found.agreements)
    return "" if found.wrong() or not (at_a_kink or found.point.name == GIVEN) else jump_at(subject, found)


def _checked(subject: Subject, stopped: bool) -> RuleReport:
    refuse_what_has_no_numbers(subject.names, subject.start)
    # first: what is compiled is compiled now, unwatched
    unwatched = by_itself(subject.name, lambda: subject.value_and_gradient(subject.start))
    looked = _looked(subject)
    if subject.reference is not None and (
        looked.nowhere or any(s.wrong() and rounded_gradients(s.captured) for s in looked.seen)
    ):
        from .by_reference import by_numbers

        return by_numbers(subject)
    if looked.nowhere:
        from .without_graph import without_graph

        return without_graph(subject, looked.nowhere, ", as is declared" if stopped else looked.stops)
    seen = looked.seen
    notes, kinks = _notes(subject, seen, looked.skipped), (*looked.kinks, *filter(None, [looked.jump]))
    report = RuleReport("undecided", subject.name, tuple(subject.names), tuple(seen), kinks, (), notes)
    for name in subject.surrogates:
        called = dict.fromkeys(b.name for s in seen for b in s.captured.borders)
        if seen and name not in called:
            raise InvalidInput(
                f"surrogate: {name}: no custom function of this name was called, but {', '.join(called) or 'none'}."
            )
    reason = _unusable(subject, looked, unwatched)
    if reason:
        return replace(report, reason=reason)
    wrong = next((s for s in seen if s.wrong()), None)
    if wrong is not None:
        return _of_wrong(subject, replace(report, verdict="wrong"), wrong, stopped)
    undecided = [a.reason for s in seen for a in s.agreements if a.outcome is Outcome.UNDECIDED and not s.point.special]
    if undecided:
        return replace(report, reason=undecided[0])
    off = [s.digits for s in seen if s.digits < half_of_digits(subject, s.captured) and not s.point.special]
    if off:
        reason = f"what ran agrees with the operations captured to {in_digits(min(off))} only: {BEYOND}"
        return replace(report, reason=reason)
    if subject.surrogates:
        report = replace(report, but=f"but for what is declared a surrogate: {', '.join(sorted(subject.surrogates))}")
    report = as_it_ran(subject, report)
    if report.reason:
        return report
    if seen[0].point.name != GIVEN:
        own = next((why for why, points in looked.skipped.items() if GIVEN in points), "nothing is known")
        return replace(report, reason=f"at {GIVEN} {own}; at the others that were looked at it is right")
    return replace(report, verdict="agrees")


def _unusable(subject: Subject, looked: _Looked, unwatched: tuple[float, list[Array]]) -> str:
    """Why nothing can be said of what was seen; empty if something can."""
    seen = looked.seen
    if seen and not any(_depends(s.captured) for s in seen):
        return NOTHING_DEPENDS
    if not any(not s.point.special for s in seen):
        raised = next((why for why, points in looked.skipped.items() if GIVEN in points and why.startswith(RAISED)), "")
        return f"{AGAIN} {raised}: something is kept from call to call" if raised else next(iter(looked.skipped))
    alike = math.inf if seen[0].point.name != GIVEN else alike_unwatched(subject, seen[0].captured, *unwatched)
    if alike >= half_of_digits(subject, seen[0].captured):
        return ""
    if subject.reference is not None:
        return f"what it gives is not what its reference gives: they agree to {in_digits(alike)} only"
    if _changes(subject, seen[0]):
        return CHANGES
    return f"what runs by itself agrees with what was captured to {in_digits(alike)} only: {UNCAPTURED}"


def _of_wrong(subject: Subject, report: RuleReport, wrong: Seen, stopped: bool) -> RuleReport:
    """Why; and whether only a gradient that the code itself stops is missing, which may be meant."""
    from .not_wrong import but_for_a_rounding, less_than_a_rounding, nearly_right

    if wrong.captured.stops and all(right_as_stopped(s.captured) for s in report.seen):
        where = ", ".join(dict.fromkeys(map(str, wrong.captured.stops)))
        if stopped:
            return replace(
                report,
                verdict="agrees",
                notes=(*report.notes, f"the code itself stops a gradient: {where}"),
                but="but for what is declared stopped",
            )
        roundoff = max(subject.roundoff, *(s.captured.roundoff for s in report.seen))
        if (seen := but_for_a_rounding(report, roundoff)) is not None:
            note = f"the code itself stops a gradient: {where}"
            but = "but for what a stopped gradient leaves out, less than a rounding"
            return replace(report, verdict="agrees", seen=seen, notes=(*report.notes, note), but=but)
        reason = f"the code itself stops a gradient: {where}; it is right if that is meant (say stopped=True)"
        return replace(report, verdict="undecided", reason=reason)
    if any(wrong.agreements[k].reason for k in wrong.wrong()):
        return report  # of what a kink admits no element by itself is wrong, and no flow
    if (seen := less_than_a_rounding(report)) is not None:
        return replace(report, verdict="agrees", seen=seen, but="but for less than a rounding of float64")
    finite = [s for s in report.seen if _finite(s.captured)]
    explanations, located = explained_at(subject, wrong, finite) if _finite(wrong.captured) else ([], [])
    without_hints = report.notes
    for name in dict.fromkeys(found.border.name for found in located):
        hint = (
            f"if {name}'s backward is meant as it is (the derivative of what a loop comes to, straight through), say "
            f"surrogate={name!r}"
        )
        report = replace(report, notes=(*report.notes, hint))
    if not explanations and (reason := nearly_right(report)):
        return replace(report, verdict="undecided", reason=reason, notes=without_hints)
    return replace(
        report, explanations=tuple(explanations), unexplained=tuple(located), witness=witness(subject, wrong)
    )


AGAIN = "called once it runs; called again at the same point"
NOTHING_DEPENDS = (
    "none of its outputs is made of real numbers that depend on an input; it has to return tensors or arrays, or "
    "tuples, lists or dicts of them; of anything else backproof.verify(…, loss=lambda y: y.logits) takes what is meant"
)
CHANGES = (
    "it gives other numbers each time it is called with the same inputs: draw random numbers from the framework's own "
    "generator, or from one that is seeded inside of it"
)
UNCAPTURED = (
    "compiled code that is not run while it is watched, something that changes from call to call, or a kernel whose "
    "numbers are wrong (numbers=True asks each by itself)"
)


def points_of(subject: Subject) -> list[Point]:
    """The point given, those near it, and the special ones."""
    start = tuple(subject.start)
    near = [generic(start, k + 1, NEARER[0]) for k in range(GENERIC)]
    return [Point(GIVEN, start), *near, *special(start, subject.moved)]


def _seen(subject: Subject, point: Point, seed: int) -> Seen | str:
    """What is found at a point; for a generic one without a value, nearer to the user's; or why there is nothing."""
    captured = captured_at(subject, point.values, seed)
    if not _finite(captured) and not point.special and point.name != GIVEN:
        for number, distance in enumerate(NEARER[1:]):
            captured = captured_at(subject, generic(subject.start, 10 + seed + number, distance).values, seed)
            if _finite(captured):
                break
    if isinstance(captured, str):
        return captured
    if captured.undefined and point.name != GIVEN:  # of the user's own point it is said that it holds
        return captured.undefined
    lines = len(captured.program.nodes)
    if not _finite(captured):
        agreements = tuple(check(captured, subject.roundoff)) if _finite(captured, ends_only=True) else ()
        if not any(a.outcome is Outcome.DIFFERENT for a in agreements):
            return not_finite(captured)
        return Seen(point, agreements, captured, math.inf, lines, seed)
    digits = as_captured(subject, captured)
    return Seen(point, tuple(check(captured, subject.roundoff)), captured, digits, lines, seed)


def _finite(captured: Captured | str, ends_only: bool = False) -> bool:
    """Whether all numbers that ran are finite. ends_only: of the outputs, whatever the gradients are."""
    if isinstance(captured, str):
        return False
    ran = captured.ran[: len(captured.outputs)] if ends_only else captured.ran
    return all(x is None or bool(np.isfinite(x).all()) for x in ran)


def _depends(captured: Captured) -> bool:
    """Whether any output depends on an input, or a gradient came for one."""
    inputs = {value.index for value in captured.inputs}
    between = depending(captured.outputs, captured.inputs) if captured.outputs else set()
    return bool(inputs & between) or any(x is not None and x.any() for x in captured.ran[len(captured.outputs) :])


def _changes(subject: Subject, seen: Seen) -> bool:
    """Whether, called again at the same point, it does not do the same."""
    again = captured_at(subject, seen.point.values, seen.seed)
    if isinstance(again, str) or [v.shape for v in again.outputs] != [v.shape for v in seen.captured.outputs]:
        return True
    values = [run(c.outputs, c.given, FLOATS) for c in (seen.captured, again)]
    return any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(*values, strict=True))


def _convention(subject: Subject, found: Seen) -> str:
    """At a special point: whether the gradients differ only as a kink admits. Empty: they are wrong there.

    Beside the point, to both sides, the rule must hold; and the chain rule's own gradient must be another there than at
    the point, or there is no kink.
    """
    if any(found.agreements[k].reason for k in found.wrong()):
        return ""  # no choice at a kink gives it
    there = [_seen(subject, beside(found.point, k, side), found.seed) for k in range(2) for side in (1, -1)]
    around = [right_in_floats(s.captured) for s in there if isinstance(s, Seen) and not s.wrong()]
    if len(around) < len(there):
        return ""
    at_it = right_in_floats(found.captured)
    for k in found.wrong():
        size = max(float(np.abs(g[k]).max(initial=0.0)) for g in (at_it, *around))
        if not any(float(np.abs(g[k] - at_it[k]).max(initial=0.0)) > JUMP * size for g in around):
            return ""
    witness = found.agreements[found.wrong()[0]].witness
    assert witness is not None
    return (
        f"{found.point.name}: a kink, where this implementation takes {witness.seen:.6g} and its own forward would "
        f"give {witness.right:.6g}; beside it they are the same"
    )


GIVEN = "the point given"


def _notes(subject: Subject, seen: Sequence[Seen], skipped: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for s in seen for note in s.captured.notes))
    empty = [name for name, x in zip(subject.names, subject.start, strict=True) if not x.size]
    if empty:
        notes.append(f"nothing to compare in what has no elements: {', '.join(empty)}")
    notes += [f"not looked at: {', '.join(points)}: {why}" for why, points in skipped.items()]
    notes += dict.fromkeys(text for s in seen for text in s.captured.conventions)
    return tuple(notes)
