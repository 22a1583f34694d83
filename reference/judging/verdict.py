"""What a judgement says: a verdict on each element, array and answer, with its power and the worst numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from .observation import Place
from .statistical import Aggregate


class Verdict(StrEnum):
    """AGREES: inside the bounds. SUSPECT: outside the statistical one. WRONG: outside the worst-case one.

    UNDECIDED: the bound is too wide here to refuse anything.
    """

    AGREES = "agrees"
    UNDECIDED = "undecided"
    SUSPECT = "suspect"
    WRONG = "wrong"


# The verdict on several together is the first of these that is among them: undecided only if nothing was decided.
SEVERITY = (Verdict.WRONG, Verdict.SUSPECT, Verdict.AGREES, Verdict.UNDECIDED)


@dataclass(frozen=True)
class Element:
    """One number that was judged: where in its array, what was expected and what came."""

    index: tuple[int, ...]
    expected: float
    got: float
    tolerance: float

    @property
    def ratio(self) -> float:
        """Error over tolerance; above 1 is wrong. Infinite for NaN."""
        error = abs(self.got - self.expected)
        if error == 0:
            return 0.0
        return error / self.tolerance if self.tolerance and not math.isnan(error) else math.inf


@dataclass(frozen=True)
class Comparison:
    """One array compared.

    Attributes:
        suspect: elements inside the worst-case bound and outside the statistical one
        largest_ulps: the largest error from the certified truth of the whole case, in ulps of the array's largest
            element (so that cancelled elements do not drown the rest); None where truth was not asked for or is a set
            (a kink)
        largest_ratio: the largest error / tolerance of this step among decided elements; None if there is none
        largest_error: the largest error of this step among them, in units of the array's largest element
        digits: how many decimal digits the check could see, of the array's largest element, at its weakest decided
            element
        scale_error: the smallest relative error of the array as a whole that the aggregate tests see; None without
            them
        worst: the wrong elements (or the suspect ones, if none is wrong), the furthest out first, at most `SHOWN` of
            them
        aggregates: projections of the errors that independent roundings do not give
        undecided_because: the reasons, each once: "overflow", "kink" or "bound" (it reaches the largest element)
    """

    place: Place
    elements: int
    undecided: int
    wrong: int
    suspect: int
    largest_ulps: float | None
    largest_ratio: float | None
    largest_error: float | None
    digits: float | None
    scale_error: float | None
    worst: tuple[Element, ...]
    aggregates: tuple[Aggregate, ...] = ()
    undecided_because: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.wrong:
            return Verdict.WRONG
        if self.suspect or self.aggregates:
            return Verdict.SUSPECT
        return Verdict.UNDECIDED if self.undecided == self.elements else Verdict.AGREES


@dataclass(frozen=True)
class Judgement:
    """All that was compared of one observation, in the order of computing: the first wrong one is where it begins.

    Attributes:
        profile: what the numbers were judged as
        explained_by: the finest profile, from the declared one on, under which nothing is wrong; None if there is
            none
    """

    comparisons: tuple[Comparison, ...]
    profile: str
    explained_by: str | None

    @property
    def verdict(self) -> Verdict:
        verdicts = {comparison.verdict for comparison in self.comparisons}
        return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.UNDECIDED)

    @property
    def wrong(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if comparison.wrong)

    @property
    def suspect(self) -> tuple[Comparison, ...]:
        return tuple(comparison for comparison in self.comparisons if comparison.verdict is Verdict.SUSPECT)
