"""What a report shows, read from the results document alone: the matrix by rows, the failures by numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from ...reference.numbers import PROFILES
from ..documents import AggregateResult, CaseResult, ComparisonResult, ElementResult, Results, RunResult, worst

MATRIX_HEADERS = (
    "adapter",
    "version",
    "dtype",
    "computes in",
    "cases",
    "numbers\ncompared",
    "undecided",
    "largest\nerror (ulp)",
    "largest error\n/ tolerance",
    "digits seen:\nmedian, least",
    "verdict",
)


# In a terminal the verdict has to be seen at 80 columns: the rest is told below, in a table of its own.
FIRST_COLUMNS = ("adapter", "dtype", "numbers\ncompared", "undecided", "largest error\n/ tolerance", "verdict")
MORE_COLUMNS = (
    "adapter",
    "dtype",
    "version",
    "computes in",
    "cases",
    "largest\nerror (ulp)",
    "digits seen:\nmedian, least",
)
SHORTER = {
    "largest error\n/ tolerance": "error /\ntolerance",
    "computes in": "computes\nin",
    "largest\nerror (ulp)": "largest\nulps",
    "digits seen:\nmedian, least": "digits:\nmedian,\nleast",
}
ON_THE_LEFT = ("adapter", "version", "dtype", "computes in", "verdict")


def matrix_part(results: Results, columns: Sequence[str]) -> tuple[list[list[str]], list[str], list[str]]:
    """Some of the matrix's columns: rows, headers for a terminal, and their sides."""
    places = [MATRIX_HEADERS.index(column) for column in columns]
    rows = [[row[k] for k in places] for row in matrix_rows(results)]
    sides = ["left" if column in ON_THE_LEFT else "right" for column in columns]
    return rows, [SHORTER.get(column, column) for column in columns], sides


def matrix_rows(results: Results) -> list[list[str]]:
    """One row per adapter × dtype, in `MATRIX_HEADERS` order."""
    rows: dict[tuple[str, str], list[RunResult]] = {}
    for run in results.runs:
        rows.setdefault((run.adapter, run.dtype), []).append(run)
    return [_row(adapter, dtype, runs) for (adapter, dtype), runs in rows.items()]


def _row(adapter: str, dtype: str, runs: list[RunResult]) -> list[str]:
    compared = [comparison for run in runs for comparison in run.comparisons]
    return [
        adapter,
        _joined(run.version for run in runs),
        dtype,
        _joined(_computes_in(run) for run in runs),
        str(len(runs)),
        f"{sum(c.elements for c in compared):,}",
        f"{sum(c.undecided for c in compared):,}",
        number(max((c.largest_ulps for c in compared if c.largest_ulps is not None), default=None)),
        ratio(max((c.largest_ratio for c in compared if c.largest_ratio is not None), default=None)),
        _digits([c.digits for c in compared if c.digits is not None]),
        worst([run.verdict for run in runs]),
    ]


def _computes_in(run: RunResult) -> str | None:
    """The profile that was declared, and the coarser one that explains the numbers where that does not."""
    if run.precision is None or run.explained_by in (None, run.precision):
        return run.precision
    return f"{run.explained_by}, not {run.precision}"


def _digits(digits: list[float]) -> str:
    return f"{median(digits):.1f}, {min(digits):.1f}" if digits else "–"


POWER_HEADERS = ("computes in", "layers", "largest width", "scale error seen", "digits of one element")


def power_rows(results: Results) -> list[list[str]]:
    """How small an error the checks of weight gradients saw, in the median, by precision and size of the network."""
    cases = {(case.name, case.dtype): case for case in results.cases}
    groups: dict[tuple[str, int, int], list[ComparisonResult]] = {}
    for run in results.runs:
        sizes = cases[run.case, run.dtype].sizes
        gradients = [c for c in run.comparisons if c.quantity == "weight_gradients"]
        groups.setdefault((run.precision or "–", len(sizes) - 1, _width(max(sizes))), []).extend(gradients)
    order = list(PROFILES)
    rows = []
    for (precision, layers, width), compared in sorted(
        groups.items(), key=lambda g: (order.index(g[0][0]) if g[0][0] in order else len(order), *g[0][1:])
    ):
        scales = [c.scale_error for c in compared if c.scale_error is not None]
        digits = [c.digits for c in compared if c.digits is not None]
        if scales and digits:
            rows.append([precision, str(layers), f"≤ {width}", f"{median(scales):.1g}", f"{median(digits):.1f}"])
    return rows


def _width(units: int) -> int:
    """The next of 8, 32, 128, …: networks of about one size stand together."""
    width = 8
    while width < units:
        width *= 4
    return width


def _joined(values: Iterable[str | None]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value is not None)) or "–"


def number(value: float | None) -> str:
    """Three digits, for a table; – where there is none."""
    return "–" if value is None else f"{value:.3g}"


def ratio(value: float | None) -> str:
    """Error / tolerance for a table. A single rounding may come as near to its bound as it likes: not 1, but below."""
    return "< 1" if value is not None and 0.9995 <= value <= 1 else number(value)


def summary(results: Results) -> str:
    """The verdict in one sentence, or two where the run was ended early."""
    said = _of_runs(results, worst([run.verdict for run in results.runs]))
    if results.planned is None:
        return said
    cases = f"{len(results.cases)} of {results.planned} cases"
    return f"{results.verdict}: ended early, after {cases}. Of what was run: {said}"


def _of_runs(results: Results, verdict: str) -> str:
    compared = [comparison for run in results.runs for comparison in run.comparisons]
    elements = sum(comparison.elements for comparison in compared)
    decided = elements - sum(comparison.undecided for comparison in compared)
    of = (
        f"{decided:,} of {elements:,} numbers could be decided"
        if decided < elements
        else f"all {elements:,} numbers decided"
    )
    runs, wrong = len(results.runs), sum(run.verdict == "wrong" for run in results.runs)
    unanswered = sum(run.verdict == "unanswered" for run in results.runs)
    suspect = sum(run.verdict == "suspect" for run in results.runs)
    if not runs:
        return "unanswered: nothing was compared."
    match verdict:
        case "agrees":
            return f"agrees: no disagreement in {runs} runs; {of}."
        case "undecided":
            return f"undecided: the bounds are too wide to decide any of the {elements:,} numbers in {runs} runs."
        case "suspect":
            return f"suspect: {suspect} of {runs} runs give numbers that independent roundings would not give; {of}."
        case "unanswered":
            others = f"; of the others, {suspect} are suspect ({of})" if suspect else f"; the others agree ({of})"
            others = others if unanswered < runs else ""
            return f"unanswered: {unanswered} of {runs} runs gave no usable answer{others}."
    return f"wrong: {wrong} of {runs} runs give numbers that no honest implementation gives."


def provenance(results: Results, text: Callable[[str], str] = str, code: Callable[[str], str] = str) -> list[str]:
    """Where, with what and how it ran, in a line or two: what is not known is left out.

    text, code: what makes a text, and a command, part of the view
    """
    e, blas = results.environment, results.environment.blas
    machine = [e.processor, e.simd]
    if blas is not None:
        threads = None if blas.threads is None else f"{blas.threads} thread{'s' * (blas.threads != 1)}"
        machine.append(" ".join(filter(None, [blas.name, blas.version, blas.architecture])))
        machine.append(threads)
    commit = f" (commit {e.commit})" if e.commit else ""
    first = [f"backproof {e.backproof}{commit}", f"Python {e.python}", e.platform, e.created]
    second = text(", ".join(filter(None, machine)))
    second = f"{second}: {code(e.command)}" if e.command else second
    return [line for line in (text(", ".join(first)), second) if line]


INDENT = "    "  # of lines that are code


@dataclass(frozen=True)
class Failure:
    """One adapter's wrong or suspect numbers on one case, in words."""

    verdict: str
    title: str
    comparisons: tuple[tuple[str, tuple[str, ...]], ...]  # a headline, and a line per element
    key: tuple[str, str, str]  # case, dtype, adapter
    diagnosis: tuple[str, ...]

    @property
    def said(self) -> list[tuple[bool, str]]:
        """The diagnosis in paragraphs, each with whether it is code: lines that are indented."""
        grouped = groupby(self.diagnosis, key=lambda line: line.startswith(INDENT))
        return [
            (is_code, text)
            for is_code, lines in grouped
            for text in (["\n".join(line.removeprefix(INDENT) for line in lines)] if is_code else lines)
        ]

    @property
    def text(self) -> str:
        """All of it in lines."""
        lines = [f"{self.verdict}: {self.title}", *self.diagnosis]
        for headline, elements in self.comparisons:
            lines += [headline, *(f"  {element}" for element in elements)]
        return "\n".join(lines)


def failures(results: Results) -> list[Failure]:
    """Every wrong or suspect run, its comparisons in the order of computing: the first is where the trouble begins."""
    cases = {(case.name, case.dtype): case for case in results.cases}
    return [_failure(run, cases[run.case, run.dtype]) for run in results.runs if run.verdict in ("wrong", "suspect")]


def _failure(run: RunResult, case: CaseResult) -> Failure:
    wrong = [comparison for comparison in run.comparisons if comparison.verdict == run.verdict]
    sizes = "-".join(str(n) for n in case.sizes)
    title = f"{run.adapter} {run.dtype} · {case.name} ({sizes}, batch {case.batch}, {case.loss}, {case.reduction})"
    if run.explained_by not in (None, run.precision):
        title += f" · explained by computing in {run.explained_by}"
    comparisons = tuple(_comparison(comparison, case, first=k == 0) for k, comparison in enumerate(wrong))
    return Failure(run.verdict, title, comparisons, (run.case, run.dtype, run.adapter), tuple(run.diagnosis))


def _comparison(comparison: ComparisonResult, case: CaseResult, first: bool) -> tuple[str, tuple[str, ...]]:
    headline = f"{layer_name(comparison.layer, len(case.sizes) - 1)}{comparison.quantity.replace('_', ' ')}"
    outside = comparison.wrong or comparison.suspect
    if outside:
        headline += f" · {outside} of {comparison.elements} elements"
    headline += f" · first {comparison.verdict} step" if first else ""
    lines = tuple(_element(element, comparison.quantity) for element in comparison.worst)
    lines += tuple(_aggregate(aggregate) for aggregate in comparison.aggregates if not comparison.wrong)
    hidden = outside - len(comparison.worst)
    return headline, (*lines, f"… and {hidden} more") if hidden else lines


def layer_name(layer: int | None, count: int) -> str:
    """ "hidden layer 1 · ", counted from 1 as people do; nothing for the loss, which is no layer's."""
    if layer is None:
        return ""
    return "output layer · " if layer == count - 1 else f"hidden layer {layer + 1} · "


def unanswered(results: Results) -> list[tuple[str, str]]:
    """For each way in which an adapter gave no usable answer: who and on what, and why, in the first one's words."""
    groups: dict[tuple[str, str, str], list[RunResult]] = {}
    for run in results.runs:
        if run.verdict == "unanswered":
            groups.setdefault((run.adapter, run.dtype, alike(run.message or "")), []).append(run)
    return [
        (f"{adapter} {dtype} · {_few([run.case for run in runs])}", runs[0].message or "")
        for (adapter, dtype, _), runs in groups.items()
    ]


def alike(message: str) -> str:
    """An error's message without what differs each time though the failure is one: names made up by a compiler."""
    return re.sub(r"\{.*\}|<[^<>]*>|\b0x[0-9a-f]+", "…", message, flags=re.DOTALL)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more cases" if len(names) > 3 else "")


# What an element's index counts, by quantity.
_AXES = {
    "weight_gradients": ("unit", "input"),
    "updated_weights": ("unit", "input"),
    "bias_gradients": ("unit",),
    "updated_biases": ("unit",),
    "loss": (),
}


def _aggregate(aggregate: AggregateResult) -> str:
    of = "a scale error of the whole array" if aggregate.direction == "itself" else "errors projected on random signs"
    by = "not a finite number" if aggregate.ratio is None else f"{aggregate.ratio:.3g} × what roundings add up to"
    return f"{of}: {by}"


def _element(element: ElementResult, quantity: str) -> str:
    axes = _AXES.get(quantity, ("sample", "unit"))
    where = ", ".join(f"{axis} {i}" for axis, i in zip(axes, element.index, strict=False))
    by = "not a finite number" if element.ratio is None else f"{element.ratio:.3g} × the tolerance"
    prefix = f"{where}: " if where else ""
    return f"{prefix}expected {element.expected}, got {element.got}, tolerance {element.tolerance}: {by}"
