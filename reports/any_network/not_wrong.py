"""Where the gradient that was seen is not that of the chain rule, and the implementation is not to be accused."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace

from ...reference.judging import PathCheck
from ...reference.programs import SYMMETRIC, Outcome, largest_difference
from .rule import GIVEN, RuleReport, Seen, Subject, decided
from .what_ran import along_a_path, missed_along_a_path

# The parts of a function's change that a gradient misses. No tolerances of a verdict: an accusation is withdrawn, and
# becomes undecided, only where one gradient is near the change and the other is nowhere near it.
ADDS_UP, DOES_NOT = 0.02, 0.3
U64 = 2.0**-53  # the unit roundoff of float64
NEARLY = 1e-10  # of a gradient; it decides between wrong and undecided. Constants held in float32 are off by more
TINY = 1e-300  # a gap of nothing has more digits than anybody counts


def unless_it_adds_up(subject: Subject, report: RuleReport) -> RuleReport:
    """Not wrong, where the numbers say that of the chain rule: along a path the gradient that runs adds up to the
    function that runs, and the chain rule of its operations misses much of it. So it is with a solver that halves an
    interval: each of its steps is a choice, and the derivative of what they come to is that of no step.
    """
    wrong = [s for s in report.seen if s.wrong() and not s.point.special]
    if not wrong or wrong[0].point.name != GIVEN:
        return report
    missed = missed_along_a_path(subject, ADDS_UP)
    if missed is None or missed[1] < DOES_NOT:
        return report
    names = list(dict.fromkeys(b.name for b in wrong[0].captured.borders))
    how = f" (surrogate={names[0]!r} says that its backward is meant as it is)" if names else ""
    reason = (
        f"along a path the gradient that ran adds up to the function to {missed[0]:.1g} of its change, while the chain "
        f"rule of its operations misses {missed[1]:.0%} of it: what it comes to is not differentiated by its steps, as "
        f"with a solver that halves an interval{how}"
    )
    return replace(report, verdict="undecided", reason=reason, explanations=(), unexplained=(), witness=None)


def as_the_framework_declares(subject: Subject, report: RuleReport, stopped: bool) -> RuleReport:
    """Not wrong, where all that is wrong is in the framework's own functions: of its approximations (a series that is
    cut, a loop that stops) it declares the derivative of what they approximate. Everything else has to be right with
    that derivative in its place, and what runs has to add up along a path.
    """
    located = [
        *(e.border for e in report.explanations if e.border is not None),
        *(u.border for u in report.unexplained),
    ]
    if located and not any(border.own for border in located):
        return report
    borders = [b for s in report.seen for b in s.captured.borders if s.wrong()]
    users = {b.name for b in borders if not b.own}
    own = {b.name for b in borders if b.own and b.seen} - users - subject.surrogates
    if not own:
        return report
    declared = copy(subject)
    declared.surrogates = subject.surrogates | own
    again = decided(declared, stopped)
    path = along_a_path(subject, again.seen[0].captured) if again.ok and again.seen else None
    if not isinstance(path, PathCheck) or not path.agrees:
        return report
    names = ", ".join(sorted(own))
    but = f"but for the framework's own {names}, whose derivative is taken as it declares it"
    note = f"with {names} the gradient that ran adds up to the function that ran; {path.power:.1g} of it would be seen"
    return replace(again, but=but, notes=(*again.notes, note))


def for_symmetric_changes(subject: Subject, report: RuleReport, stopped: bool) -> RuleReport:
    """Not wrong, where an input is a symmetric matrix, an operation's derivative is declared to be for changes that
    leave it so, and for such changes everything is right."""
    if not any(SYMMETRIC in note for s in report.seen for note in s.captured.notes):
        return report
    symmetric = subject.symmetric()
    again = decided(symmetric, stopped) if symmetric is not None else report
    return replace(again, but=f"{SYMMETRIC}, as it is") if again.ok else report


def but_for_a_rounding(report: RuleReport, roundoff: float) -> tuple[Seen, ...] | None:
    """What was seen, as equal to so many digits, where no difference at any point is more than a rounding: what is
    stopped in a softmax's detached maximum, with 1e-16 added to what it is divided by. None where one is.

    roundoff: of the format
    """
    found = []
    for s in report.seen:
        gap = largest_difference(s.captured) if s.wrong() else 0.0
        without_value = any(a.witness is not None and not math.isfinite(a.witness.seen) for a in s.agreements)
        if without_value or not gap <= 2 * roundoff:
            return None
        equal = [
            replace(a, outcome=Outcome.EQUAL, digits=-math.log10(max(gap, TINY)), wrong=0, witness=None)
            if a.outcome is Outcome.DIFFERENT
            else a
            for a in s.agreements
        ]
        found.append(replace(s, agreements=tuple(equal)))
    return tuple(found)


def less_than_a_rounding(report: RuleReport) -> tuple[Seen, ...] | None:
    """The same for what no format holds: a loop that runs until it has converged (a root, a fixed point) has the
    derivative of what it comes to, and that of its steps, and both are right."""
    return but_for_a_rounding(report, U64)


def nearly_right(report: RuleReport) -> str:
    """Why it is undecided, where at generic points less is off than the numbers of a run can show; empty where more is.

    At special ones such a loop may stop at once, where it starts.
    """
    generic = [s for s in report.seen if s.wrong() and not s.point.special]
    gap = max((largest_difference(s.captured) for s in generic), default=math.inf)
    if not 0 < gap < NEARLY:
        return ""
    names = list(dict.fromkeys(b.name for s in report.seen for b in s.captured.borders))
    how = f" (say surrogate={names[0]!r})" if names else ""
    return (
        f"its gradient and that of its steps differ by {gap:.1g} of it, which no number that runs can show, and no "
        f"single mistake explains that; so it is with a loop that stops when it has nearly converged, and a backward "
        f"that is meant for what it comes to{how}"
    )
