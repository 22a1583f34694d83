"""A run's results as a graph, ready to be drawn: what each came of, and which stand together. `picture.py` draws it.

Results stand under the user's line that they come from, each call forward beside its way back. Of a run that is too
large to be looked at, what agrees is folded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from ...reference.judging import JudgedCall, Verdict
from .wording import counted, source_line

ROWS = 500  # of a table of results
BLOCKS, LINES, ABREAST = 60, 150, 16  # of the user's lines, calls, and results of one call beside each other, at most


@dataclass(frozen=True)
class Result:
    """One result, as plain data, to cross from one process to another.

    name: of its operation;  file, line, code: the user's;  call: the number of the call, on the way back of the one
    that it goes back through;  digits: to which it is what it should be, None where exact;  says: all of it, in words
    operands: the results that it was computed from, by number
    """

    name: str
    file: str
    line: int
    code: str
    call: int
    backward: bool
    verdict: str
    digits: float | None
    says: str
    operands: tuple[int, ...]


def graph(results: Sequence[JudgedCall]) -> tuple[Result, ...]:
    """The results that stand in the run's program, all but those of compiled code as a whole."""
    there = [r for r in results if r.line >= 0]
    number = {r.line: k for k, r in enumerate(there)}
    return tuple(
        Result(
            r.origin.name,
            r.origin.file,
            r.origin.line,
            source_line(r.origin),
            r.origin.forward if r.origin.forward >= 0 else r.origin.call,
            r.backward,
            r.verdict.value,
            None if math.isinf(r.digits) else 0.0 if math.isnan(r.digits) else round(r.digits, 2),
            said(r),
            tuple(number[line] for line in r.operands if line in number),
        )
        for r in there
    )


def said(r: JudgedCall) -> str:
    """A result in a sentence: operation, line, digits and bound."""
    size = " × ".join(map(str, r.shape)) or "a number"
    head = f"{r.origin}, {size} {r.precision}: {r.verdict.value}"
    if r.verdict is Verdict.UNDECIDED:
        return f"{head}: {r.reason}"
    if math.isinf(r.digits):
        return f"{head}, exact"
    digits = f"{head}, {r.digits:.1f} digits"
    return digits if not r.ratio else f"{digits}, largest error {r.ratio:.2g} of its bound ± {r.allowed:.2g}"


@dataclass
class Line:
    """Results beside each other: of one call, or of all of one name that nothing goes back through."""

    name: str
    forward: list[int] = field(default_factory=list)
    backward: list[int] = field(default_factory=list)

    def all(self) -> list[int]:
        return [*self.forward, *self.backward]


@dataclass
class Block:
    """A line of the user's code. title: file and number"""

    title: str
    code: str
    lines: list[Line]

    def all(self) -> list[int]:
        return [k for line in self.lines for k in line.all()]


def blocks(results: Sequence[Result]) -> list[Block]:
    """The results in their order, folded to what can be looked at."""
    found: dict[tuple[str, int], list[int]] = {}
    for k, r in enumerate(results):
        found.setdefault((r.file, r.line), []).append(k)
    made = [
        Block(_title(file, line), results[among[0]].code, _lines(results, among))
        for (file, line), among in found.items()
    ]
    made = _fewer_blocks(made, results)
    if sum(len(block.lines) for block in made) > LINES:
        for block in made:
            block.lines = _fewer_lines(block.lines, max(1, LINES // len(made)), results)
    return made


def _title(file: str, line: int) -> str:
    return f"{PurePath(file).name}:{line}" if file else "no line of yours"


def _lines(results: Sequence[Result], among: Iterable[int]) -> list[Line]:
    calls: dict[int, Line] = {}
    for k in among:
        line = calls.setdefault(results[k].call, Line(""))
        (line.backward if results[k].backward else line.forward).append(k)
    named: dict[str, Line] = {}
    for call, line in calls.items():
        line.name = results[line.all()[0]].name
        both = line.forward and line.backward
        other = named.setdefault(f"{call}" if both else f"{line.name} {bool(line.forward)}", line)
        if other is not line:  # one of many alike, as an optimizer's are
            other.forward += line.forward
            other.backward += line.backward
    return list(named.values())


def _fewer_blocks(made: list[Block], results: Sequence[Result]) -> list[Block]:
    if len(made) <= BLOCKS:
        return made
    shown = {id(block) for block in sorted(made, key=lambda b: severity(results, b.all()))[: BLOCKS - 1]}
    rest = [line for block in made if id(block) not in shown for line in block.lines]
    title = counted(len(made) - len(shown), "more line")
    return [*(b for b in made if id(b) in shown), Block(title, "", [_together(rest)])]


def _fewer_lines(lines: list[Line], most: int, results: Sequence[Result]) -> list[Line]:
    if len(lines) <= most:
        return lines
    shown = {id(line) for line in sorted(lines, key=lambda line: severity(results, line.all()))[: most - 1]}
    rest = [line for line in lines if id(line) not in shown]
    return [*(line for line in lines if id(line) in shown), _together(rest)]


def _together(lines: Sequence[Line]) -> Line:
    forward, backward = ([k for line in lines for k in part(line)] for part in (_forward, _backward))
    return Line(counted(len(lines), "operation"), forward, backward)


def _forward(line: Line) -> list[int]:
    return line.forward


def _backward(line: Line) -> list[int]:
    return line.backward


def severity(results: Sequence[Result], among: Iterable[int]) -> int:
    """Of the most serious of these: 0 is wrong."""
    return min((_ORDER[results[k].verdict] for k in among), default=len(_ORDER))


_ORDER = {"wrong": 0, "suspect": 1, "undecided": 2, "agrees": 3}  # what a reader wants to see first


def abreast(results: Sequence[Result], among: Sequence[int]) -> Iterator[tuple[Result, tuple[int, ...]]]:
    """The results to draw beside each other, and the numbers that each stands for: the last for all that is left."""
    if len(among) <= ABREAST:
        yield from ((results[k], (k,)) for k in among)
        return
    worst = set(sorted(among, key=lambda k: (severity(results, [k]), _digits(results[k])))[: ABREAST - 1])
    yield from ((results[k], (k,)) for k in among if k in worst)
    rest = [k for k in among if k not in worst]
    digits = min(_digits(results[k]) for k in rest)
    verdict = min((results[k].verdict for k in rest), key=_ORDER.__getitem__)
    fewest = "all exact" if math.isinf(digits) else f"{digits:.1f} digits or more"
    says = f"{counted(len(rest), 'more result')}, none worse than {verdict}, {fewest}"
    first = results[rest[0]]
    yield (
        Result(
            f"+{len(rest)}", first.file, first.line, first.code, first.call, first.backward, verdict,
            None if math.isinf(digits) else digits, says, (),
        ),
        tuple(rest),
    )  # fmt: skip


def worst_first(results: Sequence[Result]) -> tuple[tuple[str, str], ...]:
    """The results in words beside their verdicts, what does not agree first, then those of the fewest digits."""
    order = sorted(results, key=lambda r: (_ORDER[r.verdict], _digits(r)))
    rows = tuple((r.says, r.verdict) for r in order[:ROWS])
    return rows if len(order) <= ROWS else (*rows, (f"and {len(order) - ROWS} more", order[ROWS].verdict))


def _digits(r: Result) -> float:
    return math.inf if r.digits is None else r.digits
