"""The rule check as a report: an implementation at several points, what was found, and why.

A verdict comes from `reference/programs/rule_check.py` alone. `agrees` is said only if the chain rule's gradient and
the one seen are equal to 30 digits at every generic point; what runs outside of the graph would be missed by that, so
the numbers that really ran are asked as well whether they add up to the function (`reference/judging/path.py`).
"""

from __future__ import annotations

import linecache
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...reference.judging import PathCheck, check_path
from ...reference.programs import (
    FLOATS,
    Agreement,
    Captured,
    Explanation,
    Origin,
    Outcome,
    Unsupported,
    Witness,
    agreements,
    check,
    explained,
    pullback,
    pushforward,
    ran_as_captured,
    right_as_stopped,
    run,
)
from .points import GENERIC, NEARER, Point, beside, generic, special

Array = NDArray[Any]
RIGHT = (Outcome.EQUAL, Outcome.LITERALS, Outcome.KINK)


class WrongRule(RuntimeError):
    """A gradient is not the chain rule's; the text is the report."""


class NotDecided(RuntimeError):
    """Nothing can be said of a gradient; the text says why, and what to do."""


class Subject(Protocol):
    """Somebody's function, as an adapter can run it.

    name: what it is called;  names: of its differentiated inputs;  start: their numbers at the user's own point
    moved: so many of them are arguments, the rest are parameters;  roundoff: of the format it computes in
    """

    name: str
    moved: int
    roundoff: float

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def start(self) -> Sequence[Array]: ...

    def capture(self, values: Sequence[Array], seed: int) -> Captured: ...

    def widened(self) -> Subject | None:
        """The same in float64; None where it computes in that already."""
        ...

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Of Σ c · output with fixed random c, as it really runs: without being captured."""
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
class RuleReport:
    """What the rule check found.

    verdict: agrees, wrong or undecided;  name: of the function;  names: of its inputs
    seen: the points, in order;  kinks: conventions that differ at special points;  explanations: of what is wrong
    notes: what a reader has to know;  reason: why nothing was decided
    path: where no graph could be had, what the numbers that ran say by themselves
    what: was looked at: the gradient, or the tangent of forward mode
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

    def __str__(self) -> str:
        from .wording import told

        return told(self)


def check_rule(subject: Subject, stopped: bool = False) -> RuleReport:
    """The verdict on one function.

    A rule has no format, but a run has: in a coarse one, rounding can take another branch than the exact numbers, and
    cancellation leaves no digits to compare. What does not agree in one is looked at in float64 as well.
    stopped: gradients that the code itself stops (detach, stop_gradient) are meant to be
    Raises Unsupported if it does what we have no rule for.
    """
    report = _checked(subject, stopped)
    if report.ok:
        return report
    wide = subject.widened()
    if wide is None:
        return report
    try:
        again = _checked(wide, stopped)
    except Exception:  # it may be made for its own format alone
        return report
    if report.verdict == "undecided" and again.verdict == "wrong":
        return again
    if not again.ok or (report.verdict == "wrong" and _certain(report)):
        return report
    seen = f"in its own format it was {report.verdict}" + (f": {report.reason}" if report.reason else "")
    return replace(again, notes=(*again.notes, f"decided in float64, since rounding takes part; {seen}"))


def _certain(report: RuleReport) -> bool:
    """Whether it is wrong at every generic point, and for a reason: no rounding does that."""
    generic_ones = [s for s in report.seen if not s.point.special]
    return bool(report.explanations) and all(s.wrong() for s in generic_ones)


def _checked(subject: Subject, stopped: bool) -> RuleReport:
    seen: list[Seen] = []
    skipped: list[str] = []
    kinks: list[str] = []
    by_itself = subject.value_and_gradient(subject.start)  # first: what is compiled is compiled now, unwatched
    for point in _points(subject):
        found = _seen(subject, point, seed=len(seen))
        if found is None:
            skipped.append(point.name)
            continue
        if found.captured.left:
            return by_path(subject, found.captured)
        if point.special and found.wrong():
            convention = _convention(subject, found)
            if convention:
                kinks.append(convention)
                continue
        seen.append(found)
    notes = _notes(seen, skipped)
    report = RuleReport("undecided", subject.name, tuple(subject.names), tuple(seen), tuple(kinks), (), notes)
    if seen and not seen[0].captured.outputs:
        return replace(report, reason="none of its outputs is made of real numbers that depend on an input")
    if not any(not s.point.special for s in seen):
        return replace(report, reason="it has no finite value at any of the points")
    alike = math.inf if seen[0].point.name != GIVEN else _alike(subject, seen[0].captured, *by_itself)
    if alike < -math.log10(subject.roundoff) / 2:
        reason = f"what runs by itself agrees with what was captured to {alike:.0f} digits only: {UNCAPTURED}"
        return replace(report, reason=reason)
    wrong = next((s for s in seen if s.wrong()), None)
    if wrong is not None:
        return _of_wrong(subject, replace(report, verdict="wrong"), wrong, stopped)
    undecided = [a.reason for s in seen for a in s.agreements if a.outcome is Outcome.UNDECIDED and not s.point.special]
    if undecided:
        return replace(report, reason=undecided[0])
    off = [s.digits for s in seen if s.digits < -math.log10(subject.roundoff) / 2 and not s.point.special]
    if off:
        reason = f"what ran agrees with the operations captured to {min(off):.0f} digits only: {BEYOND}"
        return replace(report, reason=reason)
    path = _path(subject)
    declared = any(s.captured.stops for s in seen)  # what is stopped is missing along a path, and has been looked at
    if path is not None and path.agrees is False and not declared:
        return replace(report, reason=f"the gradient that ran does not add up to the function that ran: {BEYOND}")
    return replace(report, verdict="agrees")


def check_forward_rule(capture: Callable[[int], Captured], name: str, names: Sequence[str]) -> RuleReport:
    """The verdict on forward mode: the tangents of the outputs against the chain rule's, at three points.

    capture(seed): a program whose inputs are the points and then their tangents, whose outputs are the outputs and then
        their tangents; seed 0 is the point given
    """
    verdict, reason, wrong_at = "agrees", "", ""
    found: list[Agreement] = []
    for seed in range(3):
        captured = capture(seed)
        if not _finite(captured):
            continue
        points, outputs = len(captured.inputs) // 2, len(captured.outputs) // 2
        ours = pushforward(captured.outputs[:outputs], captured.inputs[:points], captured.inputs[points:])
        found = agreements(captured, ours, captured.outputs[outputs:], captured.outputs[:outputs])
        wrong = [a for a in found if a.outcome is Outcome.DIFFERENT]
        if wrong:
            witness = wrong[0].witness
            assert witness is not None
            verdict = "wrong"
            place_ = f"output {found.index(wrong[0])} {list(witness.index)}"
            wrong_at = f"{place_}: its tangent by the chain rule is {witness.right!r}, seen {witness.seen!r}"
            break
        if any(a.outcome is Outcome.UNDECIDED for a in found):
            verdict, reason = "undecided", next(a.reason for a in found if a.outcome is Outcome.UNDECIDED)
    if not found:
        verdict, reason = "undecided", "it has no finite value at any of the points"
    notes = (wrong_at,) if wrong_at else ()
    return RuleReport(verdict, name, tuple(names), (), (), (), notes, reason, what="tangent in forward mode")


def _of_wrong(subject: Subject, report: RuleReport, wrong: Seen, stopped: bool) -> RuleReport:
    """Why; and whether only a gradient that the code itself stops is missing, which may be meant."""
    if wrong.captured.stops and all(right_as_stopped(s.captured) for s in report.seen):
        where = ", ".join(map(str, wrong.captured.stops))
        if stopped:
            return replace(
                report, verdict="agrees", notes=(*report.notes, f"the code itself stops a gradient: {where}")
            )
        reason = f"the code itself stops a gradient: {where}; it is right if that is meant (say stopped=True)"
        return replace(report, verdict="undecided", reason=reason)
    return replace(report, explanations=tuple(_explained(subject, wrong)))


def by_path(subject: Subject, captured: Captured | None = None) -> RuleReport:
    """Where there is no graph: whether the gradient that runs adds up to the function that runs, along paths."""
    path = _path(subject)
    left = captured.left if captured is not None else ()
    where = f": numbers leave the graph at {', '.join(map(str, left))}" if left else ""
    report = RuleReport("undecided", subject.name, tuple(subject.names), (), path=path)
    if path is None or path.agrees is None:
        return replace(report, reason=f"no graph to be had{where}, and rounding or kinks hide it from the path test")
    note = f"no graph to be had{where}; the path test answers, which sees an error of {path.power:.1g} of the change"
    return replace(report, verdict="agrees" if path.agrees else "wrong", notes=(note,))


UNCAPTURED = "compiled code that is not run while it is watched, or something that changes from call to call"
BEYOND = "something outside of the graph takes part (NumPy, a number read out of a tensor, an extension, a kernel)"


def _points(subject: Subject) -> list[Point]:
    start = tuple(subject.start)
    own = Point(GIVEN, start)
    near = [generic(start, k + 1, NEARER[0]) for k in range(GENERIC)]
    return [own, *near, *special(start, subject.moved)]


def _seen(subject: Subject, point: Point, seed: int) -> Seen | None:
    """What is found at a point; for a generic one without a value, nearer to the user's; None where there is none."""
    try:
        captured = subject.capture(point.values, seed)
    except Unsupported:
        raise
    except Exception:
        if point.special:  # somebody's function may refuse numbers that are not their own, as an inverse does of zeros
            return None
        raise
    if not _finite(captured):
        if point.special:
            return None
        if point.name == GIVEN:
            return _seen_without_a_number(captured, point, seed)
        for number, distance in enumerate(NEARER[1:]):
            captured = subject.capture(generic(subject.start, 10 + seed + number, distance).values, seed)
            if _finite(captured):
                break
        else:
            return None
    lines = len(captured.program.nodes)
    digits = ran_as_captured(captured)
    agreements = tuple(check(captured))
    return Seen(point, agreements, captured, digits, lines, seed)


def _seen_without_a_number(captured: Captured, point: Point, seed: int) -> Seen | None:
    """Where the function has a value, and the chain rule a gradient, a gradient that is NaN or infinite is wrong."""
    ends = len(captured.outputs)
    right = _right(captured)
    finite = [x is None or bool(np.isfinite(x).all()) for x in (*captured.ran[:ends], *right)]
    if not ends or not all(finite):
        return None
    agreements = list(check(captured))
    for k, (ours, seen) in enumerate(zip(right, captured.ran[ends:], strict=True)):
        bad = np.zeros(0) if seen is None else ~np.isfinite(seen)
        if bad.any():
            index = tuple(int(i) for i in np.argwhere(bad)[0])
            witness = Witness(index, float(ours[index]), float(np.asarray(seen)[index]))
            agreements[k] = Agreement(Outcome.DIFFERENT, 0.0, int(bad.sum()), bad.size, witness)
    return Seen(point, tuple(agreements), captured, math.inf, len(captured.program.nodes), seed)


def _finite(captured: Captured) -> bool:
    return all(x is None or bool(np.isfinite(x).all()) for x in captured.ran)


def _convention(subject: Subject, found: Seen) -> str:
    """At a special point: whether the gradients differ only as a kink admits. Empty: they are wrong there.

    Beside the point, to both sides, the rule must hold; and the chain rule's own gradient must be another there than at
    the point, or there is no kink.
    """
    there = [_seen(subject, beside(found.point, k, side), found.seed) for k in range(2) for side in (1, -1)]
    if any(s is None or s.wrong() for s in there):
        return ""
    at_it = _right(found.captured)
    around = [_right(s.captured) for s in there if s is not None]
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


def _right(captured: Captured) -> list[Array]:
    """The chain rule's gradients in floats."""
    ours = pullback(captured.outputs, captured.cotangents, captured.inputs)
    numbers = iter(run([g for g in ours if g is not None], captured.given, FLOATS))
    return [np.zeros(x.shape) if g is None else next(numbers) for g, x in zip(ours, captured.inputs, strict=True)]


JUMP = 1e-3  # of the gradient's size, over a distance of 1e-7: no slope that a smooth function has


def _explained(subject: Subject, wrong: Seen) -> list[Explanation]:
    if not _finite(wrong.captured):
        return []
    near = generic(subject.start, 9, NEARER[1])
    if wrong.point.special:  # the same kind of point, on other numbers
        near = next(p for p in special(near.values, subject.moved) if p.name == wrong.point.name)
    elsewhere = subject.capture(near.values, 9)
    if not same_lines(wrong.captured, elsewhere):
        return []
    return explained(wrong.captured, elsewhere)


def same_lines(one: Captured, other: Captured) -> bool:
    """Whether both took the same branches: an edit of one is then an edit of the other."""
    first, second = (max((v.index for v in c.outputs), default=0) for c in (one, other))
    return first == second and all(
        a.operation is b.operation and a.operands == b.operands
        for a, b in zip(one.program.nodes[: first + 1], other.program.nodes[: first + 1], strict=True)
    )


def _path(subject: Subject) -> PathCheck | None:
    """Whether the gradient that runs adds up to the function that runs; None where it cannot be asked."""
    start = [np.asarray(x, dtype=np.float64) for x in subject.start]
    if not any(x.size for x in start):
        return None
    end = [np.asarray(x, dtype=np.float64) for x in generic(start, 5, NEARER[1]).values]
    return check_path(subject.value_and_gradient, start, end, dtype=FORMATS.get(subject.roundoff))


FORMATS = {2.0**-53: "float64", 2.0**-24: "float32", 2.0**-11: "float16", 2.0**-8: "bfloat16"}


def _alike(subject: Subject, captured: Captured, total: float, gradients: Sequence[Array]) -> float:
    """To how many digits a run that nobody watched gives the numbers of what was captured. Where it does not, what is
    captured with that run's own cotangents is asked: a backward may branch by them, as that of logcumsumexp does."""
    alike = _digits_uncaptured(captured, total, gradients)
    if alike >= -math.log10(subject.roundoff) / 2:
        return alike
    return _digits_uncaptured(subject.capture(subject.start, WEIGHTS), total, gradients)


def _digits_uncaptured(captured: Captured, total: float, gradients: Sequence[Array]) -> float:
    """To how many digits a run that nobody watched gives the numbers of the program that was captured."""
    generator = np.random.default_rng(WEIGHTS)
    weights = {c.index: generator.standard_normal(c.shape) for c in captured.cotangents}
    values = [*captured.outputs, *(g for g in captured.gradients if g is not None)]
    results = run(values, {**captured.given, **weights}, FLOATS)
    ends = len(captured.outputs)
    terms = [r * weights[c.index] for r, c in zip(results[:ends], captured.cotangents, strict=True)]
    size = sum(float(np.abs(t).sum()) for t in terms)
    pairs: list[tuple[Any, Any, float]] = [(sum(float(t.sum()) for t in terms), total, size)]
    there = [x for x, g in zip(gradients, captured.gradients, strict=True) if g is not None]
    largest = max((float(np.abs(x).max(initial=0.0)) for x in there), default=0.0)
    pairs += [(r, x, largest) for r, x in zip(results[ends:], there, strict=True)]
    gaps = [float(np.abs(a - b).max(initial=0.0)) / scale for a, b, scale in pairs if scale]
    worst = max(gaps, default=0.0)
    return -math.log10(worst) if worst else math.inf


GIVEN = "the point given"
WEIGHTS = 7  # the seed of the fixed random c of Σ c · output


def _notes(seen: Sequence[Seen], skipped: Sequence[str]) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for s in seen for note in s.captured.notes))
    if skipped:
        notes.append(f"no finite value, not looked at: {', '.join(skipped)}")
    return tuple(notes)


def source_line(origin: Origin) -> str:
    """The user's line, or nothing."""
    return linecache.getline(origin.file, origin.line).strip() if origin.file else ""


def place(origin: Origin) -> str:
    """File and line, short."""
    return f"{Path(origin.file).name}:{origin.line}" if origin.file else ""
