"""What is on trial, and what a verification found of it, as people and programs read it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ...reference.case import Case
from ...reference.diagnosis import Diagnosis
from ...reference.judging import Observation
from ..console import printable_lines
from .shown import Shown


class WrongGradients(AssertionError):
    """`Report.raise_for_wrong` and `assert_gradients` raise it; its text is the report."""


@dataclass(frozen=True)
class Subject:
    """The implementation, as far as a report speaks of it.

    returns: gradients, updated or outputs, or several of them by "any";  stored: how it stores its parameters, in words
    bias: a form that `probes` knows;  observe: to ask it once more, which may raise Unanswered; None if it cannot be
    learning_rate: that it is asked with
    """

    returns: str
    stored: str
    bias: str | Sequence[bool] = "separate"
    observe: Callable[[Case], Observation] | None = None
    learning_rate: float = 0.5


@dataclass(frozen=True)
class Report(Shown):
    """What `verify` found.

    Attributes:
        verdict: agrees, suspect, wrong, undecided, unrecognised or unanswered. Unrecognised are numbers of which
            nothing says that they are wrong, and nothing known that they are right: what to declare is among the
            findings
        conventions: what the function was found, or declared, to compute; None where that is not known
        findings: everything else that there is to say, the most important first
        digits: decimal digits that the weakest gradient was checked to
        probes: the name and the verdict of every probe that was answered
    """

    lines_at_most: ClassVar[int | None] = None  # in a pipe: a finding is a line

    verdict: str
    conventions: str | None
    findings: tuple[str, ...]
    digits: float | None
    diagnosis: Diagnosis | None = None
    strict: bool = False
    details: tuple[str, ...] = ()
    probes: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, nor, if strict, suspect."""
        return self.verdict == "agrees" or (self.verdict == "suspect" and not self.strict)

    @property
    def headline(self) -> str:
        """The verdict, and what is most important of it, in a line."""
        head = self.verdict
        if self.verdict == "agrees" and self.digits is not None:
            head += f", to {math.floor(self.digits)} digits"
        said = self.conventions or next(iter(self.findings), "")
        return f"{head}: {said}" if said else head

    @property
    def text(self) -> str:
        """The whole of it, each sentence a line."""
        findings = self.findings if self.conventions else self.findings[1:]
        lines = [self.headline, *(f"  {line}" for finding in findings for line in finding.splitlines())]
        lines += [f"    {line}" for detail in self.details for line in detail.splitlines()]
        return printable_lines("\n".join(lines))

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The probes."""
        return self.probes

    def raise_for_wrong(self) -> None:
        """Raise WrongGradients, with the report as its text, unless `ok`."""
        if not self.ok:
            raise WrongGradients(str(self))

    def to_json(self) -> str:
        """The report as a JSON object."""
        names = [] if self.diagnosis is None else self.diagnosis.names
        return json.dumps(
            {"verdict": self.verdict, "ok": self.ok, "conventions": self.conventions, "findings": list(self.findings),
             "digits": self.digits, "faults": names, "details": list(self.details), "probes": dict(self.probes)},
            ensure_ascii=False, indent=1,
        )  # fmt: skip
