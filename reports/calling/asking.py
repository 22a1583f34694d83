"""Asking a function all probes, some of them twice: what it answers, what it does not, and what it remembers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.case import Case
from ...reference.diagnosis import FAR, FAR_ONLINE
from ...reference.judging import Observation, observed
from ...reference.numbers import PROFILES
from .call import Call, ModifiedInputs
from .time_limit import TimeUp

FAILURES_IN_A_ROW = 3  # after which the rest is not asked
ASKED_AGAIN = 2  # probes, when all others have been asked
ROUNDINGS = 2.0**12  # two answers that differ by more roundings than this are not the same numbers rounded otherwise


@dataclass(frozen=True)
class Question:
    """A probe, and the scope that it belongs to: a kind of network or batch that a function need not take, in words.

    A function that does not answer the first probe of a scope has not got that scope, which is said and is no failure;
    one that answers it has to answer the others. None: it has to be answered.
    """

    case: Case
    scope: str | None = None


@dataclass(frozen=True)
class Repeat:
    """A probe that was asked again after the others. steady: whether a third answer was the second one."""

    case: Case
    first: Observation
    again: Observation
    steady: bool

    @property
    def same(self) -> bool:
        """Whether both answers are the same, bit for bit."""
        return _identical(self.first, self.again)

    @property
    def of_other_numbers(self) -> bool:
        """Whether they differ by more than a change in the order of summation may do; it words a finding, no more."""
        unit = PROFILES[self.first.precision].storage.unit_roundoff
        for (_, one), (_, other) in zip(observed(self.first), observed(self.again), strict=True):
            before, after = one.astype(np.float64), other.astype(np.float64)
            with np.errstate(all="ignore"):
                if not np.abs(after - before).max() <= ROUNDINGS * unit * np.abs(before).max():
                    return True
        return False

    @property
    def finding(self) -> str:
        """What numbers are told that are not the same when they are asked for again."""
        if self.steady:
            return "it keeps state between calls: the same probe gives other numbers after the others."
        return "it is not deterministic: the same probe gives other numbers each time (dropout, random numbers)."


@dataclass(frozen=True)
class Answers:
    """What came of all questions.

    failures: a message for each probe that has no answer;  not_taken: by scope, why a function has not got it
    findings: how the function behaves besides
    """

    observed: list[tuple[Case, Observation]]
    repeats: list[Repeat]
    failures: list[str]
    not_taken: dict[str, str]
    findings: list[str]


def ask(call: Call, questions: Sequence[Question]) -> Answers:
    """Every question, and the first ones again. After a time-out, or three failures in a row, the rest is not asked."""
    found = Answers([], [], [], {}, [])
    taken: set[str] = set()
    in_a_row, late = 0, False
    for question in questions:
        scope = question.scope
        if scope in found.not_taken:
            continue
        if late or in_a_row >= FAILURES_IN_A_ROW:
            after = "a call that took too long" if late else f"{in_a_row} failures in a row"
            found.failures.append(f"not asked, after {after}")
            continue
        try:
            observation = _observed(call, question.case, found)
        except Unanswered as error:
            late = isinstance(error.__cause__, TimeUp)
            if overflows_far_out(question.case, error):
                found.not_taken[f"some {question.case.note}"] = str(error)
                continue
            if scope is not None and scope not in taken and not late:
                found.not_taken[scope] = str(error)
                continue
            in_a_row += 1
            found.failures.append(str(error))
            continue
        in_a_row = 0
        taken.add(scope or "")
        found.observed.append((question.case, observation))
    if not late:
        found.repeats.extend(_repeats(call, found))
    return found


def overflows_far_out(case: Case, error: Unanswered) -> bool:
    """Whether it stops where Python's `math.exp` raises and others go on with ∞: not silently, and so not wrongly."""
    return case.note in (FAR_ONLINE if case.online else FAR) and "OverflowError" in str(error)


def _observed(call: Call, case: Case, found: Answers) -> Observation:
    try:
        return call.observe(case)
    except ModifiedInputs as modified:
        said = f"it changes its arguments in place: {modified}. Its caller's arrays are not what they were."
        if said not in found.findings:
            found.findings.append(said)
        return modified.observation


def _repeats(call: Call, found: Answers) -> Iterator[Repeat]:
    for case, first in found.observed[:ASKED_AGAIN]:
        try:
            again = _observed(call, case, found)
            steady = _identical(first, again) or _identical(again, _observed(call, case, found))
        except Unanswered as error:
            found.failures.append(f"asked again after the others, {error}")
            return
        yield Repeat(case, first, again, steady)


def _identical(one: Observation, other: Observation) -> bool:
    pairs = zip(observed(one), observed(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for (_, a), (_, b) in pairs)
