"""`verify --command` and `--answers`, end to end: reports and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")
if sys.platform == "win32":
    pytest.skip("process groups are POSIX's", allow_module_level=True)

from backproof.adapters.numpy_vectorised import observe as numpy_observe
from backproof.adapters.plain_python import observe
from backproof.reference.case import InvalidInput
from backproof.reference.certified import certified
from backproof.reference.conventions import Convention, probes
from backproof.reference.expectations import expectations
from backproof.reference.observation import computed
from backproof.reference.precision import PROFILES
from backproof.reference.side_by_side import SideBySide, _run, _stacked, within
from backproof.reports.fault_trials import shown_by
from backproof.reports.verify_process import verify_command

CHILDREN = Path(__file__).parents[1] / "adapters" / "children"
HONEST = f"{sys.executable} {CHILDREN / 'honest.py'}"
HOSTILE = f"{sys.executable} {CHILDREN / 'hostile.py'}"
COMMAND = Path(sys.executable).with_name("backproof")


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(COMMAND), "verify", *arguments], capture_output=True, text=True, check=False)


def test_an_honest_process_agrees() -> None:
    finished = cli("--command", HONEST)
    assert finished.returncode == 0
    assert finished.stdout.startswith("agrees, to 14 digits: squared error with ½, summed over samples; sigmoid")
    assert "248 numbers on 8 probes, by protocol 1." in finished.stdout
    assert finished.stderr == ""


def test_a_bug_in_a_process_is_named_with_a_witness() -> None:
    finished = cli("--command", f"{HONEST} --bug", "--sizes", "2,3,1")
    assert finished.returncode == 1
    assert "fault `hidden-delta-without-derivative`" in finished.stdout
    assert "smallest network that shows it:" in finished.stdout


def test_another_convention_than_the_stated_one_is_said() -> None:
    report = verify_command(HONEST, loss="squared_error")
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("it computes squared error with ½, summed over samples")


def test_the_handshake_chooses_what_is_asked() -> None:
    report = verify_command(HONEST, hello=True)
    assert report.verdict == "agrees"
    with pytest.raises(InvalidInput, match="dtype: honest says that it computes in float64; got 'float32'"):
        verify_command(HONEST, hello=True, dtype="float32")


def test_several_processes_at_a_time_and_one_for_every_case() -> None:
    assert verify_command(HONEST, jobs=3).ok
    assert verify_command(HONEST, once=True, cases="few").ok


def test_thousands_of_cases_are_judged_side_by_side_and_a_bug_is_found_among_them() -> None:
    report = verify_command(HONEST, cases="100", sizes=(2, 2, 1))
    assert report.ok
    assert "100 cases, 100 of them judged from end to end" in report.findings[0]
    wrong = verify_command(f"{HONEST} --bug", cases="100", sizes=(2, 2, 1))
    assert wrong.verdict == "wrong"
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.names == ["hidden-delta-without-derivative"]
    assert "100 of 100 cases are wrong." in wrong.findings


def test_one_unusable_answer_is_exit_3_and_the_others_are_judged() -> None:
    finished = cli("--command", f"{HOSTILE} nan 3 -", "--timeout", "5")
    assert finished.returncode == 3
    assert "1 of 8 cases: NaN is not JSON" in finished.stdout
    assert "7 of 8 cases agree." in finished.stdout


def test_a_process_that_never_answers_is_exit_3_within_the_limit() -> None:
    started = time.monotonic()
    finished = cli("--command", f"{HOSTILE} silent 1 -", "--timeout", "1")
    assert finished.returncode == 3
    assert "it did not answer within 1 s" in finished.stdout
    assert time.monotonic() - started < 1 + 2 + 2  # our own start included


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one of MODULE:FUNCTION, --command and --answers"),
        (["a:b", "--command", "c"], "expected one of MODULE:FUNCTION, --command and --answers"),
        (["--command", "no-such-program"], "there is no program 'no-such-program'"),
        (["--command", HONEST, "--cases", "0"], "--cases: expected few, standard, many, or from 1 to"),
        (
            ["--command", HONEST, "--loss", "softmax_cross_entropy"],
            "does not go with activation 'sigmoid' at the output",
        ),
        (["--answers", "/no/such/file"], "cannot be read: No such file or directory"),
    ],
)
def test_bad_usage_is_exit_2_and_one_line(
    arguments: list[str], message: str, sampled: Callable[[int, int], None]
) -> None:
    sampled(len(message), 3)
    finished = cli(*arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_verification_in_the_other_formats(quick: bool) -> None:
    wrong = ET.fromstring(cli("--command", f"{HONEST} --bug", "--format", "junit").stdout)  # noqa: S314 — our own
    assert "hidden-delta-without-derivative" in (wrong.findall(".//failure")[0].text or "")
    refused = cli("--command", HONEST, "--format", "html")
    assert refused.returncode == 2
    assert "verify reports as terminal, markdown, junit or json" in refused.stderr
    if quick:
        return
    agreed = ET.fromstring(cli("--command", HONEST, "--format", "junit").stdout)  # noqa: S314 — our own
    assert len(agreed.findall(".//testcase")) == 8
    assert not agreed.findall(".//failure")
    lost = ET.fromstring(cli("--command", f"{HOSTILE} raise 1 -", "--format", "junit").stdout)  # noqa: S314
    assert len(lost.findall(".//error")) == 1
    assert cli("--command", HONEST, "--format", "markdown").stdout.startswith("```\nagrees")


@pytest.mark.parametrize("jobs", [1, 3])
def test_ctrl_c_ends_the_process_and_all_its_children_at_once(jobs: int) -> None:
    token = f"7{os.getpid()}{jobs}4711"
    running = subprocess.Popen(
        [str(COMMAND), "verify", "--command", f"{HOSTILE} fork-and-wait 1 {token}", "--jobs", str(jobs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip

    def alive() -> list[str]:
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if f"3600.{token}" in line]

    deadline = time.monotonic() + 20
    while len(alive()) < jobs and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(alive()) == jobs
    started = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert time.monotonic() - started < 3
    assert running.returncode == 130
    assert said == "interrupted.\n"
    assert alive() == []


# ---------------------------------------------------------------------------------------- side by side


@pytest.mark.parametrize(
    "convention",
    [
        Convention(("sigmoid", "tanh"), "half_squared_error", "mean"),
        Convention(("relu", "sigmoid"), "binary_cross_entropy", "sum"),
        Convention(("softplus", "softmax"), "softmax_cross_entropy", "mean"),
        Convention(("leaky_relu", "identity"), "softmax_cross_entropy_from_logits", "sum"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_side_by_side_the_bounds_are_those_of_one_case(
    convention: Convention, dtype: str, sampled: Callable[[int, int], None]
) -> None:
    """As wide as the judge's own, within a hundredth, and the exact result is never outside."""
    sampled(("relu" in convention.activations) + (dtype == "float32"), 2)
    cases = [convention.applied(c) for seed in range(3) for c in probes((3, 4, 2), (4, 4), "separate", dtype, seed)]
    expected = computed(_run(cases, SideBySide(PROFILES[dtype]), convention))
    for k, case in enumerate(cases):
        alone = expectations(case, PROFILES[dtype])
        exact = computed(certified(case))
        for place, matrix in expected.items():
            value, tolerance = _stacked(matrix, len(cases))
            own = np.broadcast_to(alone[place].worst, alone[place].value.shape)
            counts = own > 1e-20  # below, what a dead unit's zeros may be is bounded in float32 there, and here exactly
            assert (tolerance[..., k][counts] > 0.99 * own[counts]).all(), place
            truth = np.array([[float(x.mid()) for x in row] for row in exact[place].tolist()])
            assert (np.abs(value[..., k] - truth) <= tolerance[..., k]).all(), place


def test_side_by_side_a_single_wrong_element_in_one_case_is_seen() -> None:
    convention = Convention(("sigmoid", "sigmoid"), "half_squared_error")
    cases = [convention.applied(c) for c in probes((2, 2, 1), (4,) * 20, "separate", "float64", 0)]
    answers = [shown_by(observe(case), updates=False) for case in cases]
    assert None not in within(cases, answers, convention)
    gradients = answers[7].weight_gradients
    assert gradients is not None
    assert gradients[0] is not None
    gradients[0][1, 0] *= 1 + 1e-12
    digits = within(cases, answers, convention)
    assert [k for k, d in enumerate(digits) if d is None] == [7]


def test_side_by_side_float32_answers_of_numpy_agree() -> None:
    convention = Convention(("tanh", "softmax"), "softmax_cross_entropy", "mean")
    cases = [convention.applied(c) for c in probes((3, 5, 4), (4,) * 50, "separate", "float32", 1)]
    assert None not in within(cases, [shown_by(numpy_observe(case), updates=False) for case in cases], convention)
