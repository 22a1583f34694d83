"""The rule check as a report: an implementation at several points, what was found, and why.

A verdict comes from `reference/programs/rule_check.py` alone. `agrees` is said only if the chain rule's gradient and the
one seen are equal to 30 digits at every generic point; what runs outside of the graph would be missed by that, so the
numbers that really ran are asked as well whether they add up to the function (`reference/judging/path.py`).
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

from ...reference.programs import Agreement, Captured, Explanation, Origin, Outcome, check, explained, ran_as_captured
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
    names: Sequence[str]
    start: Sequence[Array]
    moved: int
    roundoff: float

    def capture(self, values: Sequence[Array], seed: int) -> Captured: ...

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """Of Σ c · output with fixed random c, as it really runs: without being captured."""
        ...


@dataclass(frozen=True)
class Seen:
    """One point. agreements: for each input; digits: to how many the numbers that ran agree with the program."""

    point: Point
    agreements: tuple[Agreement, ...]
    captured: Captured
    digits: float

    def wrong(self) -> list[int]:
        return [k for k, a in enumerate(self.agreements) if a.outcome is Outcome.DIFFERENT]


@dataclass(frozen=True)
class RuleReport:
    """What the rule check found.

    verdict: agrees, wrong or undecided;  name: of the function;  names: of its inputs
    seen: the points, in order;  kinks: conventions that differ at special points;  explanations: of what is wrong
    notes: what a reader has to know;  reason: why nothing was decided
    """

    verdict: str
    name: str
    names: tuple[str, ...]
    seen: tuple[Seen, ...]
    kinks: tuple[str, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    def raise_for_wrong(self) -> None:
        """Raises WrongRule or NotDecided unless the verdict is agrees."""
        if self.verdict == "wrong":
            raise WrongRule(str(self))
        if not self.ok:
            raise NotDecided(str(self))

    def __str__(self) -> str:
        from .wording import told

        return told(self)


def check_rule(subject: Subject) -> RuleReport:
    """The verdict on one function.

    Raises Unsupported if it does what we have no rule for.
    """
    seen: list[Seen] = []
    skipped: list[str] = []
    kinks: list[str] = []
    for point in _points(subject):
        found = _seen(subject, point, seed=len(seen))
        if found is None:
            skipped.append(point.name)
            continue
        if point.special and found.wrong():
            convention = _convention(subject, found)
            if convention:
                kinks.append(convention)
                continue
        seen.append(found)
    notes = _notes(seen, skipped)
    report = RuleReport("undecided", subject.name, tuple(subject.names), tuple(seen), tuple(kinks), (), notes)
    if not any(not s.point.special for s in seen):
        return replace(report, reason="it has no finite value at any of the points")
    wrong = next((s for s in seen if s.wrong()), None)
    if wrong is not None:
        return replace(report, verdict="wrong", explanations=tuple(_explained(subject, wrong, seen)))
    undecided = [a.reason for s in seen for a in s.agreements if a.outcome is Outcome.UNDECIDED and not s.point.special]
    if undecided:
        return replace(report, reason=undecided[0])
    off = [s for s in seen if s.digits < -math.log10(subject.roundoff) / 2 and not s.point.special]
    if off:
        return replace(
            report, reason=f"what ran agrees with the operations captured to {off[0].digits:.0f} digits only: {BEYOND}"
        )
    path = _path(subject)
    if path is False:
        return replace(report, reason=f"the gradient that ran does not add up to the function that ran: {BEYOND}")
    return replace(report, verdict="agrees")


BEYOND = "something outside of the graph takes part (NumPy, a number read out of a tensor, an extension, a kernel)"


def _points(subject: Subject) -> list[Point]:
    start = tuple(subject.start)
    own = Point("the point given", start)
    near = [generic(start, k + 1, NEARER[0]) for k in range(GENERIC)]
    return [own, *near, *special(start, subject.moved)]


def _seen(subject: Subject, point: Point, seed: int) -> Seen | None:
    """What is found at a point; for a generic one without a value, nearer to the user's; None where there is none."""
    captured = subject.capture(point.values, seed)
    if not _finite(captured):
        if point.special or point.name == "the point given":
            return None
        for number, distance in enumerate(NEARER[1:]):
            captured = subject.capture(generic(subject.start, 10 + seed + number, distance).values, seed)
            if _finite(captured):
                break
        else:
            return None
    lines = len(captured.program.nodes)
    digits = ran_as_captured(captured)
    agreements = tuple(check(captured))
    del lines
    return Seen(point, agreements, captured, digits)


def _finite(captured: Captured) -> bool:
    return all(x is None or bool(np.isfinite(x).all()) for x in captured.ran)


def _convention(subject: Subject, found: Seen) -> str:
    """At a special point: whether the gradients differ only as a kink admits. Empty: they are wrong there.

    Beside the point, to two sides, the rule must hold; and a gradient that the chain rule takes at the point itself must
    be another than beside it, or there is no kink.
    """
    beside_it = [_seen(subject, beside(found.point, k), seed=0) for k in range(2)]
    there = [s for s in beside_it if s is not None]
    if len(there) < 2 or any(s.wrong() for s in there):
        return ""
    jumps = []
    for k in found.wrong():
        values = [s.captured.ran[len(s.captured.outputs) + k] for s in (*there, found)]
        if any(v is None for v in values):
            return ""
        size = max(float(np.abs(v).max(initial=0.0)) for v in values if v is not None)
        jumps.append(any(float(np.abs(v - values[-1]).max(initial=0.0)) > JUMP * size for v in values[:-1]))
        if not jumps[-1]:
            return ""
    witness = found.agreements[found.wrong()[0]].witness
    assert witness is not None
    return (
        f"{found.point.name}: a kink, where this implementation takes {witness.seen:.6g} and its own forward would give "
        f"{witness.right:.6g}; beside it they are the same"
    )


JUMP = 1e-3  # of the gradient's size, over a distance of 1e-7: no slope that a smooth function has


def _explained(subject: Subject, wrong: Seen, seen: Sequence[Seen]) -> list[Explanation]:
    others = [s for s in seen if s is not wrong and not s.point.special]
    elsewhere = others[0].captured if others else subject.capture(generic(subject.start, 9, 0.1).values, 9)
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


def _path(subject: Subject) -> bool | None:
    """Whether the gradient that runs adds up to the function that runs; None: rounding or kinks hide it."""
    from ...reference.judging import check_path

    start = [np.asarray(x, dtype=np.float64) for x in subject.start]
    if not any(x.size for x in start):
        return None
    try:
        found = check_path(subject.value_and_gradient, start)
    except Exception:
        return None
    return found.agrees


def _notes(seen: Sequence[Seen], skipped: Sequence[str]) -> tuple[str, ...]:
    notes = list(dict.fromkeys(note for s in seen for note in s.captured.notes))
    if skipped:
        notes.append(f"no finite value, not looked at: {', '.join(skipped)}")
    return tuple(notes)


def source_line(origin: Origin) -> str:
    """The user's line, or nothing."""
    return linecache.getline(origin.file, origin.line).strip() if origin.file else ""


def place(origin: Origin) -> str:
    return f"{Path(origin.file).name}:{origin.line}" if origin.file else ""
