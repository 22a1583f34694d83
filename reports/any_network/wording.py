"""What a rule check says, in words: the verdict first, then what differs, why, and where in the user's file."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...reference.programs import Agreement, Explanation, Origin, Outcome, Unexplained
from .rule import RuleReport

DIGITS = 30  # what is equal is equal to so many at least


def told(report: RuleReport) -> str:
    """The report as text, its verdict first, each sentence a line."""
    return "\n".join(
        [*_headline(report), *_differences(report), *_because(report), *_program(report), *_remarks(report)]
    )


def _headline(report: RuleReport) -> Iterator[str]:
    if report.verdict == "agrees":
        outcomes = {a.outcome for s in report.seen for a in s.agreements}
        least = min((a.digits for s in report.seen for a in s.agreements if a.outcome is Outcome.EQUAL), default=DIGITS)
        digits = f"to {int(min(DIGITS, least))} digits"
        if Outcome.LITERALS in outcomes:
            least = min(a.digits for s in report.seen for a in s.agreements if a.outcome is Outcome.LITERALS)
            digits = f"to {least:.0f} digits, and exactly but for the rounding of literals"
        first = f"agrees: {report.name}'s {report.what} is the chain rule's {digits}"
        if report.path is not None:
            first = (
                f"agrees: {report.name}'s {report.what} adds up to what it computes, to {report.path.power:.1g} of it"
            )
        if report.digits is not None:
            first = (
                f"agrees: {report.name}'s {report.what} is its reference's to {report.digits:.0f} digits, by numbers"
            )
        first += f", {report.but}" if report.but else ""
    elif report.verdict == "wrong":
        first = f"wrong: {report.name}'s {report.what} is not that of what it computes"
    else:
        first = f"undecided: {report.name}: {report.reason}"
    yield sentence(first)
    if report.seen:
        generic = sum(not s.point.special for s in report.seen)
        special = len(report.seen) - generic
        yield sentence(
            f"{counted(len(report.names), 'input')}; {counted(generic, 'generic point')}"
            + (f" and {special} special" if special else "")
            + f"; {counted(report.seen[0].lines, 'operation')} forward and backward",
            "  ",
        )


def _differences(report: RuleReport) -> Iterator[str]:
    wrong = next((s for s in report.seen if s.wrong()), None)
    if wrong is None or report.verdict == "agrees":  # but for what is declared
        return
    where = wrong.point.name
    for k in wrong.wrong():
        agreement = wrong.agreements[k]
        yield ""
        yield sentence(
            f"{report.names[k]}: {agreement.wrong} of {agreement.elements} elements differ, at {where}", "  "
        )
        yield from _witness(agreement)
        if agreement.reason:
            yield sentence(agreement.reason, "      ")
    right = [report.names[k] for k in range(len(report.names)) if k not in wrong.wrong()]
    if right:
        yield sentence(f"right there: {', '.join(right)}", "  ")


def _witness(agreement: Agreement) -> Iterator[str]:
    witness = agreement.witness
    if witness is not None:
        yield f"      {list(witness.index)}  by the chain rule {witness.right!r}"
        yield f"      {' ' * len(str(list(witness.index)))}  seen              {witness.seen!r}"


def _because(report: RuleReport) -> Iterator[str]:
    if report.verdict != "wrong":
        return
    if report.reason:
        yield ""
        yield sentence(f"because {report.reason}", "  ")
        return
    paragraphs = [list(_explanation(explanation, report.names)) for explanation in report.explanations]
    paragraphs += [[sentence(_located(located), "  ")] for located in report.unexplained]
    for number, lines in enumerate(paragraphs):
        if lines not in paragraphs[:number]:  # of a function that is called twice, once
            yield from ("", *lines)
    told_already = any(a.reason for s in report.seen for a in s.agreements if a.outcome is Outcome.DIFFERENT)
    if not report.explanations and not report.unexplained and report.seen and not told_already:
        yield ""
        yield sentence("no single edit of its flow explains it on new numbers", "  ")


def _program(report: RuleReport) -> Iterator[str]:
    """What shows it, to be run by whoever does not believe it."""
    witness = report.witness
    if witness is None:
        return
    yield ""
    called = ", with f what was handed over" if any(re.search(r"\bf\(", line) for line in witness.lines) else ""
    yield sentence(f"the smallest program found that shows it{called}:", "  ")
    yield from (f"      {line}" for line in witness.lines)
    yield f"      # prints {witness.printed}; by the chain rule {witness.right:.6g}"


def _explanation(explanation: Explanation, names: Sequence[str]) -> Iterator[str]:
    border, text = explanation.border, explanation.text
    if border is None:  # it is of the whole: its inputs have names
        text = re.sub(r"\binput (\d+)\b", lambda found: names[int(found[1])], text)
    called = f" ({place(border.origin)})" if border and place(border.origin) else ""
    within = f"in the backward of {border.name}{called}, " if border else ""
    yield sentence(f"because {within}{text}", "  ")
    if explanation.origin is not None and source_line(explanation.origin):
        yield f"      {place(explanation.origin)}    {source_line(explanation.origin)}"
    yield sentence("proved at another point, on numbers that it was not found with", "  ")


def _located(located: Unexplained) -> str:
    border = located.border
    called = f" ({place(border.origin)})" if place(border.origin) else ""
    inputs = [f"input {k}" for k in located.inputs]
    of = " and ".join([", ".join(inputs[:-1]), inputs[-1]] if len(inputs) > 1 else inputs)
    several, differ = ("gradients", "differ") if len(inputs) > 1 else ("gradient", "differs")
    return (
        f"it is in the backward of {border.name}{called}: there the {several} of {of} {differ} from the chain rule's, "
        "here and at another point, in a way that no single edit of its flow gives"
    )


def _remarks(report: RuleReport) -> Iterator[str]:
    for note in (*report.kinks, *report.notes):
        yield sentence(f"note: {note}", "  ")


def sentence(text: str, indent: str = "") -> str:
    """A line, however long: it is wrapped where it is shown."""
    return indent + " ".join(text.splitlines())


def counted(n: int, what: str) -> str:
    """`1 result`, `2 results`."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def source_line(origin: Origin) -> str:
    """The user's line, or nothing."""
    return linecache.getline(origin.file, origin.line).strip() if origin.file else ""


def place(origin: Origin) -> str:
    """File and line, short."""
    return f"{Path(origin.file).name}:{origin.line}" if origin.file else ""
