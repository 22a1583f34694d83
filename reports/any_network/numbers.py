"""The numbers of one run: did each operation, forward and backward, give what its operands allow in its format?

`check_numbers` asks a framework's subject for its calls, judged (`reference/judging/calls.py`), and says what was seen,
what was not, and how much a check element by element could see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.judging import SEVERITY, JudgedCall, JudgedRun, Verdict
from ...reference.programs import Unsupported
from ..documents import Shown
from .graph import Result, graph, worst_first
from .guarded import by_itself, only_watched
from .picture import picture
from .rule import NotDecided
from .wording import counted, sentence

Array = NDArray[Any]
SHOWN = 5


class WrongNumbers(RuntimeError):
    """Numbers that no honest implementation gives. The message is the report."""


class Run(Protocol):
    """A function that a framework's adapter can run and judge call by call."""

    name: str

    def judged(self) -> JudgedRun:
        """One run at the inputs given, forward and backward, with random cotangents."""
        ...

    @property
    def start(self) -> Sequence[Array]: ...

    def value_and_gradient(self, values: Sequence[Array]) -> tuple[float, list[Array]]:
        """As the function runs when nobody watches."""
        ...


@dataclass(frozen=True)
class NumbersReport(Shown):
    """What a run's numbers say. name: of the function."""

    rows_are: ClassVar[str] = "result"
    name: str
    run: JudgedRun

    @cached_property
    def verdict(self) -> Verdict:
        """The most serious of all results; undecided only where nothing was decided, or nothing was there."""
        found = {result.verdict for result in self.run.results}
        if not any(result.elements for result in self.run.results):
            found.discard(Verdict.AGREES)
        return next((verdict for verdict in SEVERITY if verdict in found), Verdict.UNDECIDED)

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.AGREES

    @property
    def zeroable(self) -> float:
        """The share of elements, of the results decided, that might be zero instead, unseen element by element; so
        might those that nothing is known of."""
        decided = [result for result in self.run.results if result.verdict is not Verdict.UNDECIDED]
        elements = sum(result.elements for result in decided)
        return sum(map(_zeroable, decided)) / elements if elements else 0.0

    def raise_for_wrong(self) -> None:
        """Raises WrongNumbers or NotDecided unless the verdict is agrees."""
        __tracebackhide__ = True  # pytest shows the user's line, not ours
        if self.verdict in (Verdict.WRONG, Verdict.SUSPECT):
            raise WrongNumbers(str(self))
        if not self.ok:
            raise NotDecided(str(self))

    @property
    def text(self) -> str:
        """The whole of it, each sentence a line."""
        return "\n".join([sentence(self._headline()), *self._alarms(), *self._power(), *self._remarks()])

    @cached_property
    def graph(self) -> tuple[Result, ...]:
        """The run's results with what each was computed from, as plain data."""
        return graph(self.run.results)

    def picture(self) -> str:
        """The graph, drawn."""
        return picture(self.graph)

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The results in words, what does not agree first, then those of the fewest digits."""
        return worst_first(self.graph)

    # ---------------------------------------------------------------- in words

    def _headline(self) -> str:
        results = self.run.results
        if self.verdict is Verdict.UNDECIDED:
            why = "no operation on real numbers was seen"
            if results:
                why = results[0].reason or "nothing to compare, in what has no elements"
            return f"undecided: {self.name}'s numbers: {why}"
        seen = [r for r in results if r.verdict is not Verdict.UNDECIDED]
        formats = " and ".join(dict.fromkeys(r.precision for r in seen))
        if self.verdict is Verdict.AGREES:
            passes = "forward and backward" if any(r.backward for r in seen) else "forward (no backward was seen)"
            return (
                f"agrees: each of {counted(len(seen), 'result')} of {self.name}, {passes}, is what its operation may "
                f"give of its own operands in {formats}"
            )
        alarms = [r for r in results if r.verdict is self.verdict]
        what = (
            "no honest implementation gives" if self.verdict is Verdict.WRONG else "independent roundings do not give"
        )
        return f"{self.verdict.value}: {self.name}: {counted(len(alarms), 'result')} of {len(seen)} {what}"

    def _alarms(self) -> Iterator[str]:
        alarms = [r for verdict in (Verdict.WRONG, Verdict.SUSPECT) for r in self.run.results if r.verdict is verdict]
        for r in alarms[:SHOWN]:
            yield ""
            number = "" if not r.number else f", its result {r.number + 1}"
            yield sentence(f"{r.verdict.value}: {r.origin}{number}: {_size(r.shape)} {r.precision}", "  ")
            yield sentence(_evidence(r), "    ")
            if r.like:
                yield sentence(f"they are those of {r.like}", "    ")
        if len(alarms) > SHOWN:
            yield ""
            yield f"  and {len(alarms) - SHOWN} more"

    def _power(self) -> Iterator[str]:
        seen = [r for r in self.run.results if r.verdict is not Verdict.UNDECIDED and r.elements]
        if not seen:
            return
        weakest = max(seen, key=lambda r: _zeroable(r) / r.elements)
        most = _zeroable(weakest) / weakest.elements
        where = f"; most of {weakest.origin}: {_share(most)}" if most else ""
        elements = sum(r.elements for r in seen)
        yield sentence(
            f"of {elements:,} elements {_share(self.zeroable)} could be zero unseen, one by one{where}", "  "
        )

    def _remarks(self) -> Iterator[str]:
        undecided = [r for r in self.run.results if r.verdict is Verdict.UNDECIDED]
        for reason in dict.fromkeys(r.reason for r in undecided if self.verdict is not Verdict.UNDECIDED):
            names = [r.origin.name for r in undecided if r.reason == reason]
            which = _listed(list(dict.fromkeys(names)))
            yield sentence(f"not judged, {counted(len(names), 'result')} ({which}): {reason}", "  ")
        partly = [r for r in self.run.results if r.verdict is not Verdict.UNDECIDED and r.undecided]
        if partly:
            parts = _listed(list(dict.fromkeys(f"{r.undecided:,} of {r.elements:,} of {r.origin}" for r in partly)))
            count = counted(sum(r.undecided for r in partly), "element")
            yield sentence(f"not judged, {count} ({parts}), where numbers may overflow, or are none", "  ")
        formats = Counter(r.like for r in self.run.results if r.like and r.verdict is Verdict.AGREES)
        for like, times in formats.items():
            yield sentence(f"as the framework's settings allow, {counted(times, 'result')} of {like}", "  ")
        if self.run.taken:
            yield sentence(f"taken as they came: {_listed(list(dict.fromkeys(self.run.taken)))}", "  ")
        for note in self.run.notes:
            yield sentence(note, "  ")


def check_numbers(run: Run) -> NumbersReport:
    """The report on one run.

    Raises Unsupported, with the user's line, for an operation that is not known; InvalidInput with what the function
    itself raises.
    """
    try:
        return NumbersReport(run.name, run.judged())
    except (InvalidInput, Unsupported, MemoryError):
        raise
    except (Exception, SystemExit) as watched:
        by_itself(run.name, lambda: run.value_and_gradient(run.start))
        if (nowhere := only_watched(run.name, watched)) is not None:
            raise nowhere from watched
        raise


def _evidence(r: JudgedCall) -> str:
    at = f"at {list(r.place)}: " if r.place else ""
    expected = f"{at}{r.observed!r}, expected {r.expected!r}"
    if r.ratio > 1:
        return f"{expected} ± {r.allowed:.3g}: {r.ratio:.3g} times as far off as any order of operations allows"
    if r.likely > 1:
        return f"{expected}: {r.likely:.3g} times as far off as independent roundings come to"
    worst = max(r.aggregates, key=lambda a: a.ratio)
    how = "as a whole, by a factor" if worst.direction == "itself" else "under random signs"
    return f"no element by itself; {how}, errors are {worst.ratio:.3g} times what independent roundings add up to"


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape)) if shape else "a number in"


def _zeroable(result: JudgedCall) -> int:
    return result.zeroable + result.undecided


def _share(part: float) -> str:
    return f"{100 * part:.2g} %" if part < 0.1 else f"{100 * part:.0f} %"


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return "; ".join(words[:SHOWN]) + more
