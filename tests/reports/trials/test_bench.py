"""What `bench` measures is what it says: the right ones agree, and the wrong ones are wrong, with a name or without."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from xml.etree import ElementTree

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reference.judging import Verdict
from backproof.reference.judging.observation import computed
from backproof.reports.trials.bench import growth
from backproof.reports.trials.bench.judging import network
from backproof.reports.trials.bench.truth import works
from backproof.reports.trials.bench.verifying import SLOPES, gradients
from backproof.reports.validation.front_door import verify
from backproof.reports.validation.verify_process import verify_command


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", SLOPES)
def test_the_functions_are_what_they_are_called(words: str) -> None:
    report = verify(partial(gradients, SLOPES[words]), sizes=(2, 3, 1))
    named = report.diagnosis is not None and bool(report.diagnosis.names)
    assert (report.verdict, named) == (
        ("agrees", False) if words == "right" else ("wrong", words == "wrong, with a name")
    )


def test_truth_is_measured_of_the_same_numbers_in_balls_and_pairs() -> None:
    measured = works(*(network((6, 5, 2), 3, dtype) for dtype in ("float64", "float32")))
    balls, pairs = computed(measured["balls"]()), computed(measured["pairs"]())
    for place, pair in pairs.items():
        nearest = [float(ball.mid()) for ball in balls[place].entries()]
        assert pair.high.ravel().tolist() == pytest.approx(nearest, rel=1e-15, abs=1e-300)
    assert [measured[dtype]().verdict for dtype in ("float64", "float32")] == [Verdict.AGREES] * 2


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", growth.CHECKS)
def test_each_check_whose_time_is_taken_runs(name: str) -> None:
    check = growth.CHECKS[name]
    pytest.importorskip(check.needs)
    assert check.make(network((3, 3, 3), 4, "float64"))() is not False


@pytest.mark.usefixtures("slow")
def test_a_check_that_refuses_right_gradients_is_told_and_ends_nothing() -> None:
    """The finite differences of JAX's are too coarse for its tolerance once there are many parameters."""
    pytest.importorskip("jax")
    work = growth.CHECKS["jax check_grads, one direction"].make(network((707,) * 3, growth.BATCH, "float64"))
    assert work() is False


def test_times_are_a_table_and_a_plot() -> None:
    found = [
        growth.Measured("ours", 100, 2e-3, 1e-4),
        growth.Measured("ours", 1000, 3.0, 0.2),
        growth.Measured("theirs", 100, 5e-6, 1e-7, refused=True),
    ]
    assert growth.headers(found) == ["parameters", "100", "1,000"]
    assert growth.rows(found) == [["ours", "2 ms ± 100 µs", "3 s ± 200 ms"], ["theirs", "5 µs ± 0.1 µs, refused", ""]]
    plot = ElementTree.fromstring(growth.drawn(found))  # noqa: S314 — our own
    assert len(plot.findall("{http://www.w3.org/2000/svg}polyline")) == 2


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_so_is_the_process() -> None:
    child = f"{shlex.quote(sys.executable)} -P -m backproof.reports.trials.bench.child"
    assert verify_command(child, cases="few").verdict == "agrees"
    assert verify_command(f"{child} --bug", cases="few").verdict == "wrong"


def test_what_excludes_each_other_is_refused(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    refused = command("bench", "--truth", "--growth", "somewhere")
    assert refused.returncode == 2
    assert "expected at most one of --verify, --rules, --truth, --growth; got --truth and --growth" in " ".join(
        refused.stderr.split()
    )
