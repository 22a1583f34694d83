"""What changed between two runs of the matrix, such as before and after a framework's upgrade."""

from __future__ import annotations

from math import log10

from tabulate import tabulate

from .results import Results, RunResult, made_safe
from .tables import number

WORTH_SAYING = 0.5  # decimal digits by which the largest error of some case has grown or shrunk
SHOWN = 20  # cases that are listed
HEADERS = ("adapter", "dtype", "version", "verdicts changed", "digits won", "digits lost", "cases new", "cases gone")

Key = tuple[str, str, str]  # adapter, dtype, case


def changes(old: Results, new: Results, table_format: str = "simple_outline") -> str:
    """A table by adapter and dtype, and the cases behind it, the worst first; one sentence where nothing changed."""
    old, new = made_safe(old), made_safe(new)
    before, after = _by_key(old), _by_key(new)
    rows, lines = [], []
    for adapter, dtype in dict.fromkeys((a, d) for a, d, _ in (*after, *before)):
        keys = [key for key in dict.fromkeys((*after, *before)) if key[:2] == (adapter, dtype)]
        both = [key for key in keys if key in before and key in after]
        verdicts = [key for key in both if before[key].verdict != after[key].verdict]
        digits = {key: _digits(after[key]) - _digits(before[key]) for key in both}
        versions = dict.fromkeys(run.version or "–" for key in keys for run in (before.get(key), after.get(key)) if run)
        rows.append([
            adapter, dtype, " → ".join(versions), str(len(verdicts)),
            number(max((d for d in digits.values() if d > WORTH_SAYING), default=None)),
            number(max((-d for d in digits.values() if -d > WORTH_SAYING), default=None)),
            str(sum(key not in before for key in keys)), str(sum(key not in after for key in keys)),
        ])  # fmt: skip
        lines += [
            (0, f"{adapter} {dtype} · {key[2]}: {before[key].verdict} → {after[key].verdict}") for key in verdicts
        ]
        lines += [
            (1 if d < 0 else 2, f"{adapter} {dtype} · {key[2]}: {abs(d):.1f} digits {'lost' if d < 0 else 'won'}")
            for key, d in sorted(digits.items(), key=lambda item: item[1])
            if abs(d) > WORTH_SAYING
        ]
    if not lines and all(row[-2:] == ["0", "0"] for row in rows):
        return f"Against {old.environment.created}: nothing changed in {len(after)} runs.\n"
    said = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
    more = [f"… and {len(said) - SHOWN} more"] if len(said) > SHOWN else []
    table = tabulate(rows, HEADERS, table_format, disable_numparse=True)
    return "\n".join([f"Against {old.environment.created}:", table, *said[:SHOWN], *more]) + "\n"


def _by_key(results: Results) -> dict[Key, RunResult]:
    return {(run.adapter, run.dtype, run.case): run for run in results.runs}


def _digits(run: RunResult) -> float:
    """To how many digits the worst step of the run agrees."""
    errors = [c.largest_error for c in run.comparisons if c.largest_error is not None]
    return -log10(max(*errors, 1e-17, 1e-17)) if errors else 17.0
