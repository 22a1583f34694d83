"""Whether a results document can be true, and what it says by its numbers: its words are not taken for granted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ...adapters.protocol import printable, shortened
from ...reference.case import InvalidInput
from .results import ORDER, SCHEMA, CaseResult, ComparisonResult, Results, RunResult, overall, worst

OF_COMPARISONS = ("agrees", "undecided", "suspect", "wrong")
MOST = 2**53  # of anything that is counted: more than any machine holds
MOST_DIGITS = 650  # between the largest and the smallest of float64's numbers


def decoded(path: Path) -> Results:
    """The document in a file, its verdicts derived from its runs and their numbers.

    Raises InvalidInput, with the place and what is wrong there, where there is none, or one that cannot be true.
    """
    where = printable(str(path))
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{where}: cannot be read: {reason}.") from error
    try:
        document = msgspec.json.decode(text, type=Results)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = printable(str(error))
        raise InvalidInput(
            f"{where}: expected a results document ({SCHEMA}), as `backproof compare --out` writes; {said}"
        ) from error
    try:
        return derived(document)
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def derived(document: Results) -> Results:
    """The document with every verdict made the worst of its word and of what it is a verdict on.

    Raises InvalidInput, with the place, where the document cannot be one of ours. The results of honest runs come back
    as they are.
    """
    problem = next(_problems(document), None)
    if problem is not None:
        raise InvalidInput(problem)
    runs = [_derived_run(run) for run in document.runs]
    return msgspec.structs.replace(document, runs=runs, verdict=overall(runs, document.planned))


def _derived_run(run: RunResult) -> RunResult:
    """A run on which nothing was compared has no usable answer, whatever it says."""
    comparisons = [msgspec.structs.replace(c, verdict=_worse(c.verdict, _by_counts(c))) for c in run.comparisons]
    verdict = _worse(run.verdict, worst([c.verdict for c in comparisons]))
    return msgspec.structs.replace(run, verdict=verdict, comparisons=comparisons)


def _worse(*verdicts: str) -> str:
    return max(verdicts, key=ORDER.index)


def _by_counts(c: ComparisonResult) -> str:
    if c.wrong:
        return "wrong"
    if c.suspect or c.aggregates:
        return "suspect"
    return "undecided" if c.undecided == c.elements else "agrees"


def _problems(document: Results) -> Iterator[str]:
    """What is wrong with a document, each with its place; nothing where all is well."""
    yield from _one_of("verdict", document.verdict, ORDER)
    if document.planned is not None:
        yield from _whole("planned", document.planned, len(document.cases))
    cases: dict[tuple[str, str], CaseResult] = {}
    for k, case in enumerate(document.cases):
        at = f"cases[{k}]"
        yield from _of_case(at, case)
        if (case.name, case.dtype) in cases:
            yield f"{at}: {shortened(case.name)} in {shortened(case.dtype)} is there twice."
        cases[case.name, case.dtype] = case
    seen: set[tuple[str, str, str]] = set()
    for k, run in enumerate(document.runs):
        at, key = f"runs[{k}]", (run.case, run.dtype, run.adapter)
        known = cases.get(key[:2])
        if known is None:
            yield f"{at}: no case {shortened(run.case)} in {shortened(run.dtype)} is among `cases`."
            return
        if key in seen:
            who = f"{shortened(run.adapter)} on {shortened(run.case)} in {shortened(run.dtype)}"
            yield f"{at}: {who} is there twice."
        seen.add(key)
        yield from _of_run(at, run, layers=len(known.sizes) - 1)


def _of_case(at: str, case: CaseResult) -> Iterator[str]:
    if len(case.sizes) < 2:
        yield f"{at}.sizes: expected units of two layers or more, the inputs first; got {shortened(case.sizes)}."
    for k, units in enumerate(case.sizes):
        yield from _whole(f"{at}.sizes[{k}]", units, 1)
    yield from _whole(f"{at}.batch", case.batch, 1)


def _of_run(at: str, run: RunResult, layers: int) -> Iterator[str]:
    yield from _one_of(f"{at}.verdict", run.verdict, ORDER)
    places = set()
    for k, comparison in enumerate(run.comparisons):
        of = f"{at}.comparisons[{k}]"
        yield from _of_comparison(of, comparison, layers)
        place = comparison.quantity, comparison.layer
        if place in places:
            yield f"{of}: {shortened(comparison.quantity)} of this layer is there twice."
        places.add(place)


def _of_comparison(at: str, c: ComparisonResult, layers: int) -> Iterator[str]:
    yield from _one_of(f"{at}.verdict", c.verdict, OF_COMPARISONS)
    if c.layer is not None:
        yield from _whole(f"{at}.layer", c.layer, 0, layers - 1)
    yield from _whole(f"{at}.elements", c.elements, 1)
    for name in ("undecided", "wrong", "suspect"):
        yield from _whole(f"{at}.{name}", getattr(c, name), 0)
    if (sum_ := c.undecided + c.wrong + c.suspect) > c.elements:
        yield f"{at}: undecided, wrong and suspect are {sum_} elements of {c.elements}."
    if len(c.worst) > (outside := c.wrong or c.suspect):
        yield f"{at}.worst: expected at most the {outside} elements that are outside; got {len(c.worst)}."
    for name in ("largest_ulps", "largest_ratio", "largest_error", "scale_error"):
        yield from _number(f"{at}.{name}", getattr(c, name))
    yield from _number(f"{at}.digits", c.digits, MOST_DIGITS)
    for k, element in enumerate(c.worst):
        yield from _number(f"{at}.worst[{k}].ratio", element.ratio)
        for axis, i in enumerate(element.index):
            yield from _whole(f"{at}.worst[{k}].index[{axis}]", i, 0)
    for k, aggregate in enumerate(c.aggregates):
        yield from _number(f"{at}.aggregates[{k}].ratio", aggregate.ratio)


def _one_of(at: str, word: str, known: Sequence[str]) -> Iterator[str]:
    if word not in known:
        yield f"{at}: expected {', '.join(known[:-1])} or {known[-1]}; got {shortened(word)}."


def _whole(at: str, count: int, least: int, most: int = MOST) -> Iterator[str]:
    if not least <= count <= most:
        yield f"{at}: expected a whole number from {least} to {most}; got {_short(count)}."


def _number(at: str, value: float | None, most: float | None = None) -> Iterator[str]:
    if value is not None and not (value >= 0 and (most is None or value <= most)):
        yield f"{at}: expected {'no negative number' if most is None else f'a number from 0 to {most}'}; got {value:g}."


def _short(count: Any) -> str:
    return printable(str(count), 40)
