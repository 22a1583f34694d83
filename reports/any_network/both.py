"""The rule and the numbers of one function in one report: is the backward the right formula, and did each operation
that ran give what it may? Made by the doors where `numbers=True` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..documents import Shown
from .graph import Result
from .numbers import NumbersReport
from .rule import RuleReport

GRAVEST = ("wrong", "suspect", "undecided", "agrees")


@dataclass(frozen=True)
class RuleAndNumbers(Shown):
    """Two answers about one function. rule: of the formula;  numbers: of the run at the inputs given"""

    rows_are: ClassVar[str] = "result"
    rule: RuleReport
    numbers: NumbersReport

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def verdict(self) -> str:
        """The graver one of both: wrong, suspect, undecided or agrees."""
        return min((self.rule.verdict, self.numbers.verdict.value), key=GRAVEST.index)

    @property
    def ok(self) -> bool:
        return self.verdict == "agrees"

    def raise_for_wrong(self) -> None:
        """Raises WrongRule, WrongNumbers or NotDecided unless both agree."""
        __tracebackhide__ = True  # pytest shows the user's line, not ours
        if self.rule.verdict == "wrong":
            self.rule.raise_for_wrong()
        self.numbers.raise_for_wrong()
        self.rule.raise_for_wrong()

    @property
    def text(self) -> str:
        """Both, the graver verdict first."""
        texts = [self.rule.text, self.numbers.text]
        if self.rule.verdict != self.verdict:
            texts.reverse()
        return "\n\n".join(texts)

    @property
    def graph(self) -> tuple[Result, ...]:
        """The run's results, as plain data."""
        return self.numbers.graph

    def picture(self) -> str:
        """The graph of the run."""
        return self.numbers.picture()

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The run's results in words."""
        return self.numbers.rows()
