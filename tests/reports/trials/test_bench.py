"""What `bench` measures is what it says: the right ones agree, and the wrong ones are wrong, with a name or without."""

from __future__ import annotations

import shlex
import sys
from functools import partial

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.trials.bench_verify import SLOPES, gradients
from backproof.reports.validation.front_door import verify
from backproof.reports.validation.verify_process import verify_command


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", SLOPES)
def test_the_functions_are_what_they_are_called(words: str) -> None:
    report = verify(partial(gradients, SLOPES[words]), sizes=(2, 3, 1))
    named = report.diagnosis is not None and bool(report.diagnosis.names)
    assert (report.verdict, named) == (
        ("agrees", False) if words == "right" else ("wrong", words == "wrong, with a name")
    )


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_so_is_the_process() -> None:
    child = f"{shlex.quote(sys.executable)} -P -m backproof.reports.trials.bench_child"
    assert verify_command(child, cases="few").verdict == "agrees"
    assert verify_command(f"{child} --bug", cases="few").verdict == "wrong"
