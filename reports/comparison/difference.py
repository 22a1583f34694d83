"""What changed between two runs of the matrix, such as before and after a framework's upgrade."""

from __future__ import annotations

from collections.abc import Iterator
from math import log10

from tabulate import tabulate

from ...reference.numbers import FLOAT64, PRECISIONS
from ..console import markdown_text, table_of
from ..documents import ORDER, ComparisonResult, Results, RunResult, made_safe
from ..views import number

# Decimal digits by which the largest error of a step has grown or shrunk. Over the standard cases in float32 and
# float64, no step of NumPy 2.4, PyTorch 2.13 or JAX 0.10 differs from another's by as much.
WORTH_SAYING = 1.0
SHOWN = 20  # cases that are listed
HEADERS = ("adapter", "dtype", "version", "verdicts changed", "digits won", "digits lost", "cases new", "cases gone")

Key = tuple[str, str, str]  # adapter, dtype, case


def changes(old: Results, new: Results, table_format: str = "simple_outline", width: int | None = None) -> str:
    """A table by adapter and dtype, and the cases behind it, the worst first; one sentence where nothing changed.

    width: of a terminal
    """
    old, new = made_safe(old), made_safe(new)
    text = markdown_text if table_format == "github" else str
    created = text(old.environment.created)
    before, after = _by_key(old), _by_key(new)
    rows = []
    lines: list[tuple[int, float, str]] = []
    for adapter, dtype in dict.fromkeys((a, d) for a, d, _ in (*after, *before)):
        keys = [key for key in dict.fromkeys((*after, *before)) if key[:2] == (adapter, dtype)]
        both = [key for key in keys if key in before and key in after]
        verdicts = [key for key in both if before[key].verdict != after[key].verdict]
        steps = {key: _digits_won(before[key], after[key]) for key in both}
        won = [d for of_case in steps.values() for d, _ in of_case]
        versions = dict.fromkeys(run.version or "–" for key in keys for run in (before.get(key), after.get(key)) if run)
        rows.append([
            adapter, dtype, " → ".join(versions), str(len(verdicts)),
            number(max((d for d in won if d > 0), default=None)),
            number(max((-d for d in won if d < 0), default=None)),
            str(sum(key not in before for key in keys)), str(sum(key not in after for key in keys)),
        ])  # fmt: skip
        lines += [
            (*rank, f"{adapter} {dtype} · {key[2]}: {said}")
            for key in both
            for rank, said in _said(before[key], after[key], steps[key])
        ]
    if not lines and all(row[-2:] == ["0", "0"] for row in rows):
        return f"Against {created}: nothing changed in {len(after)} runs.\n"
    said = [text(line) for *_, line in sorted(lines, key=lambda line: line[:2])]
    more = [f"… and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
    cells = [[str(text(cell)) for cell in row] for row in rows]
    if table_format == "github":
        table = tabulate(cells, HEADERS, table_format, disable_numparse=True) + "\n"
    else:
        table = table_of(cells, HEADERS, width)
    return f"Against {created}:\n{table}" + "".join(f"{line}\n" for line in (*said[:SHOWN], *more))


def _said(
    before: RunResult, after: RunResult, steps: list[tuple[float, str]]
) -> Iterator[tuple[tuple[int, float], str]]:
    """What changed of a case in sentences, each with its rank: what got worse first, and the most of it."""
    if before.verdict != after.verdict:
        worse = ORDER.index(after.verdict) > ORDER.index(before.verdict)
        yield (0 if worse else 2, 0.0), f"{before.verdict} → {after.verdict}"
    for rank, word, of_kind in (
        (1, "lost", [s for s in steps if s[0] < 0]),
        (3, "won", [s for s in steps if s[0] > 0]),
    ):
        if of_kind:
            digits, step = max(of_kind, key=lambda pair: abs(pair[0]))
            more = f", the most of {len(of_kind)} steps" if len(of_kind) > 1 else ""
            yield (rank, -abs(digits)), f"{abs(digits):.1f} digits {word} in {step}{more}"


def _by_key(results: Results) -> dict[Key, RunResult]:
    return {(run.adapter, run.dtype, run.case): run for run in results.runs}


def _digits_won(before: RunResult, after: RunResult) -> list[tuple[float, str]]:
    """The steps that agree to other digits than they did, by how many; negative where digits were lost."""
    of_steps = _steps(before)
    pairs = [(step, of_steps[step], now) for step, now in _steps(after).items() if step in of_steps]
    won = [(_digits(after, now) - _digits(before, then), step) for step, then, now in pairs]
    return [pair for pair in won if abs(pair[0]) > WORTH_SAYING]


def _steps(run: RunResult) -> dict[str, ComparisonResult]:
    named = {c.quantity if c.layer is None else f"{c.quantity}[{c.layer}]": c for c in run.comparisons}
    return {name: c for name, c in named.items() if c.largest_error is not None}


def _digits(run: RunResult, step: ComparisonResult) -> float:
    """To how many digits the step agrees; less than one rounding of its format is as good as one."""
    rounding = PRECISIONS.get(run.precision or "", FLOAT64).unit_roundoff
    return -log10(max(step.largest_error or 0.0, rounding))
