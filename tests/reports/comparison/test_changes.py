"""What changed between two runs."""

from __future__ import annotations

import msgspec
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reports.comparison.difference import changes
from backproof.reports.comparison.matrix import compare
from backproof.reports.documents.results import ComparisonResult, Results
from planted import CASES, NUMPY, doubled, planted

OLD = compare(CASES, [NUMPY])


def upgraded(error: float, step: str = "") -> Results:
    """The same in another version, with this largest error in every step, or in one kind of step."""

    def step_of(c: ComparisonResult) -> ComparisonResult:
        moved = c.largest_error is not None and step in ("", c.quantity)
        return msgspec.structs.replace(c, largest_error=error) if moved else c

    runs = [
        msgspec.structs.replace(run, version="9.9", comparisons=[step_of(c) for c in run.comparisons])
        for run in OLD.runs
    ]
    return msgspec.structs.replace(OLD, runs=runs)


def test_nothing_changed() -> None:
    assert changes(OLD, OLD).endswith(f"nothing changed in {len(OLD.runs)} runs.\n")


def test_digits_lost_and_won_are_said_with_the_versions() -> None:
    best, worse = upgraded(0.0), upgraded(2.0**-53 * 1000)
    text = changes(best, worse)
    assert "→ 9.9" in changes(OLD, worse)
    assert "3.0 digits lost" in text
    assert "won" not in text.replace("digits won", "")
    assert "3.0 digits won" in changes(worse, best)


def test_one_step_that_lost_digits_is_named_behind_a_step_with_a_larger_error() -> None:
    """All steps err by 10⁻⁸; then one that erred by less does, and the largest error of the case stays what it was."""
    before = upgraded(1e-8)
    fine = msgspec.structs.replace(before, runs=[
        msgspec.structs.replace(run, comparisons=[
            msgspec.structs.replace(c, largest_error=1e-12) if c.quantity == "bias_gradients" else c
            for c in run.comparisons
        ])
        for run in before.runs
    ])  # fmt: skip
    lost = [line for line in changes(fine, before).splitlines() if "digits lost in" in line]
    assert lost
    assert all("4.0 digits lost in bias_gradients[" in line for line in lost)


def test_roundings_that_fall_otherwise_are_no_change() -> None:
    assert "nothing changed" in changes(upgraded(0.0), upgraded(2.0**-53 * 8))


def test_a_new_finding_and_cases_that_came_or_went_come_first() -> None:
    now = compare(CASES[:1], [planted("numpy", doubled)])
    text = changes(OLD, now)
    assert f"numpy {CASES[0].dtype} · {CASES[0].name}: agrees → wrong" in text
    gone = len(OLD.runs) - 1
    assert sum(int(line.split("│")[-2]) for line in text.splitlines() if "│ numpy" in line) == gone
