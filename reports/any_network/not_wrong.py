"""Where the gradient that was seen is not that of the chain rule, and the implementation is not to be accused."""

from __future__ import annotations

import math
from dataclasses import replace

from ...reference.programs import Outcome, largest_difference
from .rule import GIVEN, RuleReport, Seen, Subject
from .what_ran import missed_along_a_path

# The parts of a function's change that a gradient misses. No tolerances of a verdict: an accusation is withdrawn, and
# becomes undecided, only where one gradient is near the change and the other is nowhere near it.
ADDS_UP, DOES_NOT = 0.02, 0.3
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


def but_for_a_rounding(subject: Subject, report: RuleReport) -> tuple[Seen, ...] | None:
    """What was seen, as equal to so many digits, where what is stopped makes no difference at any point that the format
    of the run could hold: a softmax's detached maximum, with 1e-16 added to what it is divided by. None where it does.
    """
    found = []
    for s in report.seen:
        gap = largest_difference(s.captured) if s.wrong() else 0.0
        if gap > 2 * max(subject.roundoff, s.captured.roundoff):
            return None
        equal = [
            replace(a, outcome=Outcome.EQUAL, digits=-math.log10(max(gap, TINY)), wrong=0, witness=None)
            if a.outcome is Outcome.DIFFERENT
            else a
            for a in s.agreements
        ]
        found.append(replace(s, agreements=tuple(equal)))
    return tuple(found)
