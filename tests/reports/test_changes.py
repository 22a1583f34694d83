"""What changed between two runs."""

from __future__ import annotations

import msgspec
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reports.changes import changes
from backproof.reports.matrix import compare
from backproof.reports.results import Results
from planted import CASES, NUMPY, doubled, planted

OLD = compare(CASES, [NUMPY])


def upgraded(factor: float) -> Results:
    """The same with every error so many times as large, in another version."""
    runs = [
        msgspec.structs.replace(
            run,
            version="9.9",
            comparisons=[
                msgspec.structs.replace(c, largest_error=None if c.largest_error is None else factor * c.largest_error)
                for c in run.comparisons
            ],
        )
        for run in OLD.runs
    ]
    return msgspec.structs.replace(OLD, runs=runs)


def test_nothing_changed() -> None:
    assert changes(OLD, OLD).endswith(f"nothing changed in {len(OLD.runs)} runs.\n")


def test_digits_lost_and_won_are_said_with_the_versions() -> None:
    worse = changes(OLD, upgraded(1000))
    assert "→ 9.9" in worse
    assert "3.0 digits lost" in worse
    assert "won" not in worse.replace("digits won", "")
    assert "3.0 digits won" in changes(upgraded(1000), OLD)


def test_a_new_finding_and_cases_that_came_or_went_come_first() -> None:
    now = compare(CASES[:1], [planted("numpy", doubled)])
    text = changes(OLD, now)
    assert f"numpy {CASES[0].dtype} · {CASES[0].name}: agrees → wrong" in text
    gone = len(OLD.runs) - 1
    assert sum(int(line.split("│")[-2]) for line in text.splitlines() if "│ numpy" in line) == gone
