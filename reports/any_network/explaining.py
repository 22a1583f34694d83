"""Why a gradient is wrong, proved at another point and at all the generic ones that were seen. Asked by `rule.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...reference.programs import Explanation, Unexplained, explained, unexplained
from .guarded import captured_at
from .points import NEARER, generic, special
from .same_program import same_lines

if TYPE_CHECKING:
    from .rule import Seen, Subject


def explained_at(subject: Subject, wrong: Seen, others: Sequence[Seen]) -> tuple[list[Explanation], list[Unexplained]]:
    """What explains the point that is wrong, and holds at the others; and what is wrong and has no explanation."""
    near = generic(subject.start, 9, NEARER[1])
    if wrong.point.special:  # the same kind of point, on other numbers
        near = next(p for p in special(near.values, subject.moved) if p.name == wrong.point.name)
    elsewhere = captured_at(subject, near.values, 9)
    if isinstance(elsewhere, str) or not same_lines(wrong.captured, elsewhere):
        return [], []
    more = [s.captured for s in others if s is not wrong and not s.point.special]
    alike = [captured for captured in more if same_lines(wrong.captured, captured)]
    found = explained(wrong.captured, elsewhere, *alike, roundoff=subject.roundoff)
    return found, unexplained(wrong.captured, elsewhere, found, subject.roundoff)
