"""What people have reported: every mistake is called wrong and by its name, and no right code is called wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
from reported_mistakes import REPORTED
from written_networks import Reported

RIGHT = [case for case in REPORTED if not case.wrong]


def verified(case: Reported, options: dict[str, Any]) -> bp.Report:
    """What it is told; how long that took is printed, and nobody's claim."""
    if case.needs:
        pytest.importorskip(case.needs)
    began = time.process_time()
    report = bp.verify(case.fresh(), **options)
    print(f"{case.name}: {time.process_time() - began:.1f} CPU seconds, {report.verdict}")
    return report


def test_the_catalogue_is_of_28_public_reports_and_at_least_forty_held_out() -> None:
    assert len({case.name for case in REPORTED}) == len(REPORTED)
    assert sum(not case.held_out for case in REPORTED) == 28
    assert sum(case.held_out for case in REPORTED) >= 40
    assert all(case.words for case in REPORTED if case.wrong)


@pytest.mark.sampled(72, 9)
@pytest.mark.parametrize("case", REPORTED, ids=lambda case: case.name)
def test_a_reported_mistake_is_named_and_right_code_is_not_accused(case: Reported) -> None:
    report = verified(case, dict(case.options))
    if not case.wrong:
        assert report.verdict in ("agrees", "unrecognised"), str(report)
        return
    assert report.verdict == "wrong", str(report)
    told = str(report).split("assumed:")[0].lower()
    assert any(word.lower() in told for word in case.words), str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("case", RIGHT, ids=lambda case: case.name)
def test_right_code_of_which_nothing_is_declared_is_not_accused(case: Reported) -> None:
    report = verified(case, case.bare)
    assert report.verdict != "wrong", str(report)
