"""`verify --command` and `--answers`, end to end: reports and exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")
if sys.platform == "win32":
    pytest.skip("process groups are POSIX's", allow_module_level=True)

from backproof.adapters.numpy_vectorised import observe as numpy_observe
from backproof.adapters.plain_python import observe
from backproof.reference.case import Case, InvalidInput
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.reach import KINDS_OF_DATA
from backproof.reference.judging.expected import expectations
from backproof.reference.judging.observation import Observation, computed
from backproof.reference.judging.side_by_side import SideBySide, _run, _stacked, within
from backproof.reference.judging.truth import certified
from backproof.reference.losses import DISTRIBUTION, LOSSES
from backproof.reference.numbers.precision import PROFILES
from backproof.reports.trials.fault_trials import shown_by
from backproof.reports.validation.verify_process import verify_command

CHILDREN = Path(__file__).parents[2] / "adapters" / "children"
HONEST = f"{sys.executable} {CHILDREN / 'honest.py'}"
HOSTILE = f"{sys.executable} {CHILDREN / 'hostile.py'}"
COMMAND = Path(sys.executable).with_name("backproof")


Command = Callable[..., subprocess.CompletedProcess[str]]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """As a process of its own, where what it says while it runs is looked at; otherwise `command` is quicker."""
    return subprocess.run([str(COMMAND), "verify", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("slow")
def test_an_honest_process_agrees(command: Command) -> None:
    finished = command("verify", "--command", HONEST)
    assert finished.returncode == 0
    assert finished.stdout.startswith("agrees, to 14 digits: squared error with ½, summed over samples; sigmoid")
    assert " numbers on 128 probes, by protocol 1." in finished.stdout
    assert re.search(
        r"not covered: 6 of 134 cases, where it overflows \(.*OverflowError: math range error\)", finished.stdout
    )
    assert finished.stderr == ""


@pytest.mark.usefixtures("slow")
def test_a_bug_in_a_process_is_named_with_a_witness(command: Command) -> None:
    finished = command("verify", "--command", f"{HONEST} --bug", "--sizes", "2,3,1")
    assert finished.returncode == 1
    assert "fault `hidden-delta-without-derivative`" in finished.stdout
    assert "smallest network that shows it:" in finished.stdout


ROLLED = """
import json, os, sys
sys.path.insert(0, {children!r})
with open({starts!r}, "a") as starts:
    starts.write("started" + chr(10))
from honest import answer
for line in sys.stdin:
    asked = json.loads(line)
    right = answer(asked)
    for each in right["gradients"]:
        each["weights"] = each["weights"][1:] + each["weights"][:1]
        each["weights"][0] = [w * (k + 1.5) for k, w in enumerate(each["weights"][0])]
    print(json.dumps(right), flush=True)
"""


@pytest.mark.usefixtures("slow")
def test_what_is_asked_besides_is_asked_of_one_process(tmp_path: Path) -> None:
    """The field test asks hundreds of times; a process for each took minutes."""
    program, starts = tmp_path / "rolled.py", tmp_path / "starts"
    program.write_text(ROLLED.format(children=str(CHILDREN), starts=str(starts)))
    report = verify_command(f"{sys.executable} {program}", sizes=(2, 3, 1))
    assert report.verdict == "wrong", report
    assert "no loss has this gradient" in str(report)
    assert len(starts.read_text().splitlines()) <= 4


@pytest.mark.usefixtures("slow")
def test_another_convention_than_the_stated_one_is_said() -> None:
    report = verify_command(HONEST, loss="squared_error")
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("it computes squared error with ½, summed over samples")


def test_the_handshake_chooses_what_is_asked() -> None:
    report = verify_command(HONEST, hello=True, cases="few")
    assert report.verdict == "agrees"
    with pytest.raises(InvalidInput, match="dtype: honest says that it computes in float64; got 'float32'"):
        verify_command(HONEST, hello=True, dtype="float32")


@pytest.mark.usefixtures("slow")
def test_names_in_a_handshake_are_made_safe_and_what_we_do_not_know_is_not_asked() -> None:
    says = f"{sys.executable} {CHILDREN / 'says.py'}"
    name = "\x1b[2J" + "N" * 10_000
    both = shlex.quote(json.dumps([["cube", "sigmoid", "sigmoid"], ["half_squared_error", name], name]))
    report = verify_command(f"{says} {both}", hello=True, cases="few")
    assert report.verdict == "agrees"
    assert len(report.probes) == 4
    with pytest.raises(InvalidInput, match="says that it computes in float64; got 'float32'") as refused:
        verify_command(f"{says} {both}", hello=True, dtype="float32")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200
    unknown = shlex.quote(json.dumps([[name], ["half_squared_error"], name]))
    report = verify_command(f"{says} {unknown}", hello=True)
    assert report.verdict == "unanswered"
    assert str(report).isprintable()
    assert "activations: expected one of identity, " in str(report)
    assert len(str(report)) < 600


@pytest.mark.usefixtures("slow")
def test_updates_sample_by_sample_are_stated_and_judged() -> None:
    report = verify_command(HONEST, updates="online")
    assert report.verdict == "agrees"
    assert "updated sample by sample" in str(report)
    assert verify_command(HONEST, updates="online", cases="70", sizes=(2, 2, 1)).ok
    assert verify_command(HONEST, updates="batch").ok
    lost = verify_command(f"{HOSTILE} nothing 99 -", updates="online", cases="few")  # it knows nothing of "online"
    assert lost.verdict == "unanswered"
    assert 'the request says "online": true, so the weights after all steps are asked for' in str(lost)


@pytest.mark.usefixtures("slow")
def test_outputs_and_gradients_may_both_be_shown_and_the_outputs_wrong() -> None:
    """Probes of one network and other batches: gradients of two calls can be added, outputs cannot."""
    several: tuple[dict[str, Any], ...] = ({}, {"sizes": (1, 1), "cases": "1"})
    for options in several:
        report = verify_command(f"{HOSTILE} outputs 0 -", **options)
        assert report.verdict == "wrong"
        assert "activations[" in str(report)
        assert "its gradients are those of what was declared; what else it returns is not." in str(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: expected a positive finite number, got 0.0."),
        ({"learning_rate": -1.0}, "learning_rate: expected a positive finite number, got -1.0."),
        ({"learning_rate": float("nan")}, "learning_rate: expected a positive finite number, got nan."),
        ({"learning_rate": float("inf")}, "learning_rate: expected a positive finite number, got inf."),
        ({"learning_rate": "x"}, "learning_rate: expected a positive finite number, got 'x'."),
        ({"timeout": float("nan")}, "timeout: expected seconds, a number above 0, or None for no limit; got nan."),
        ({"timeout": 0}, "timeout: expected seconds, a number above 0, or None for no limit; got 0."),
        ({"timeout": -1}, "timeout: expected seconds, a number above 0, or None for no limit; got -1."),
        ({"timeout": "x"}, "timeout: expected seconds, a number above 0, or None for no limit; got 'x'."),
        ({"updates": "both"}, "updates: expected one of batch, online; got 'both'."),
        ({"bias": "weights-first"}, "bias: expected one of separate, none, hidden, column-first, column-last; got"),
        ({"bias": ""}, "bias: expected one of separate, "),
        ({"activations": ""}, "activations[0]: expected one of "),
        ({"loss": ""}, "loss: expected one of "),
        ({"reduction": ""}, "reduction: expected one of "),
        ({"cases": "9" * 5000}, "--cases: expected few, standard, many, or from 1 to 1000000; got 9999999999"),
        ({"cases": "0"}, "--cases: expected few, standard, many, or from 1 to 1000000; got 0."),
    ],
)
def test_what_makes_no_sense_to_a_process_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{re.escape(message)}") as refused:
        verify_command(HONEST, **options)
    assert len(str(refused.value)) < 400


@pytest.mark.sampled(3, 2)
@pytest.mark.parametrize("timeout", [1e300, float("inf"), None])
def test_an_answer_may_take_as_long_as_it_likes(timeout: float | None) -> None:
    assert verify_command(HONEST, cases="few", timeout=timeout).ok


@pytest.mark.usefixtures("slow")
def test_several_processes_at_a_time_and_one_for_every_case() -> None:
    assert verify_command(HONEST, jobs=3).ok
    assert verify_command(HONEST, once=True, cases="few").ok


@pytest.mark.usefixtures("slow")
def test_thousands_of_cases_are_judged_side_by_side_and_a_bug_is_found_among_them() -> None:
    report = verify_command(HONEST, cases="300", sizes=(2, 2, 1))
    assert report.ok
    assert "300 cases, 300 of them judged from end to end" in report.findings[0]
    wrong = verify_command(f"{HONEST} --bug", cases="300", sizes=(2, 2, 1))
    assert wrong.verdict == "wrong"
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.names == ["hidden-delta-without-derivative"]
    assert any(said.startswith("0 of 300 cases agree from end to end; of the others,") for said in wrong.findings)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_asked_with_targets_that_suit_it(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answered(command: str, cases: list[Case], *_: object) -> Iterator[tuple[int, Observation]]:
        asked.extend(cases)
        yield from enumerate(map(numpy_observe, cases))

    monkeypatch.setattr("backproof.reports.validation.verify_process.observations", answered)
    activations = ["tanh", LOSSES[loss].output_activation or "sigmoid"]
    report = verify_command(HONEST, loss=loss, activations=activations, sizes=(1, 2, 2))
    assert report.headline.startswith("agrees, to 14 digits")  # those far out do not count, where bounds are wide
    without = {"targets all zero", "targets all one"} if LOSSES[loss].targets == DISTRIBUTION else set()
    assert {case.note for case in asked} == {*KINDS_OF_DATA, ""} - without


@pytest.mark.usefixtures("slow")
def test_of_many_cases_the_verdict_is_said_as_soon_as_it_is_known() -> None:
    wrong = cli("--command", f"{HONEST} --bug", "--sizes", "2,2,1", "--cases", "140")
    assert wrong.returncode == 1
    early, *others = wrong.stderr.splitlines()
    assert early.startswith("wrong: it leaves the activation's derivative out of the hidden delta, in layer 1")
    assert early.endswith(" — after 16 of 140 cases; the others are asked.")
    assert wrong.stdout.startswith(early.partition(" — after")[0])  # the whole report comes at the end
    assert all(re.match(r"\d+ of 140, \d+ s left", line) for line in others)
    late = cli("--command", f"{HOSTILE} outputs 60 -", "--sizes", "1,1", "--cases", "140")
    assert late.returncode == 1
    assert re.match(r"wrong: .* — after (16|64|128) of 140 cases; the others are asked\.", late.stderr)
    right = cli("--command", HONEST, "--sizes", "2,2,1", "--cases", "140")
    assert right.returncode == 0
    assert "wrong" not in right.stderr


@pytest.mark.usefixtures("slow")
def test_one_unusable_answer_is_exit_3_and_the_others_are_judged(command: Command) -> None:
    finished = command("verify", "--command", f"{HOSTILE} nan 3 -", "--timeout", "5")
    assert finished.returncode == 3
    assert re.search(r"\d+ of 128 cases: NaN is not JSON", finished.stdout)
    assert " of 128 cases agree." in finished.stdout


@pytest.mark.usefixtures("slow")
def test_a_process_that_never_answers_is_exit_3_within_the_limit(command: Command) -> None:
    finished = command("verify", "--command", f"{HOSTILE} silent 1 -", "--timeout", "1")
    assert finished.returncode == 3
    assert "it did not answer within 1 s" in finished.stdout


@pytest.mark.sampled(8)
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
        (["--command", HONEST, "--returns", "updated"], "--returns says nothing with --command; leave it out."),
        (["--command", HONEST, "--orientation", "units_by_inputs"], "--orientation says nothing with --command"),
        (["--command", HONEST, "--learning-rate", "0"], "learning_rate: expected a positive finite number, got 0.0."),
        (["--command", HONEST, "--timeout", "nan"], "timeout"),
        (["--command", HONEST, "--cases", "9" * 5000], "--cases: expected few, standard, many, or from 1 to"),
        (["a:b", "--once"], "--once says nothing with MODULE:FUNCTION; leave it out."),
        (["a:b", "--jobs", "1"], "--jobs says nothing with MODULE:FUNCTION; leave it out."),
        (["--answers", "f", "--loss", "half_squared_error"], "--loss says nothing with --answers; leave it out."),
        (["--answers", "f", "--learning-rate", "1"], "--learning-rate says nothing with --answers; leave it out."),
        (["--answers", "/no/such/file"], "cannot be read: No such file or directory"),
    ],
)
def test_bad_usage_is_exit_2_and_one_line(command: Command, arguments: list[str], message: str) -> None:
    finished = command("verify", *arguments)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.usefixtures("slow")
def test_a_verification_in_the_other_formats(command: Command) -> None:
    wrong = ET.fromstring(command("verify", "--command", f"{HONEST} --bug", "--format", "junit").stdout)  # noqa: S314 — our own
    assert "hidden-delta-without-derivative" in (wrong.findall(".//failure")[0].text or "")
    page = command("verify", "--command", HONEST, "--format", "html").stdout
    assert "<strong>agrees" in page
    agreed = ET.fromstring(command("verify", "--command", HONEST, "--format", "junit").stdout)  # noqa: S314 — our own
    assert len(agreed.findall(".//testcase")) == 128
    assert not agreed.findall(".//failure")
    lost = ET.fromstring(command("verify", "--command", f"{HOSTILE} raise 1 -", "--format", "junit").stdout)  # noqa: S314
    assert len(lost.findall(".//error")) == 1
    assert command("verify", "--command", HONEST, "--format", "markdown").stdout.startswith("```\nagrees")


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("number", "jobs"),
    [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 1), (signal.SIGTERM, 3), (signal.SIGHUP, 1), (signal.SIGKILL, 3)],
)  # fmt: skip
def test_a_signal_ends_the_process_and_all_its_children_at_once(number: signal.Signals, jobs: int) -> None:
    token = f"7{os.getpid()}{jobs}{number}4711"
    running = subprocess.Popen(
        [str(COMMAND), "verify", "--command", f"{HOSTILE} fork-and-wait 1 {token}", "--jobs", str(jobs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip

    def alive() -> list[str]:
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if token in line]

    def await_(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 600
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert condition()

    await_(lambda: len([line for line in alive() if line.startswith("sleep")]) == jobs)
    running.send_signal(number)
    _, said = running.communicate(timeout=600)  # its children sleep for an hour
    assert running.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}.get(number, 128 + number)
    assert said == ("interrupted.\n" if number == signal.SIGINT else "")
    if number == signal.SIGKILL:
        await_(lambda: alive() == [])  # the supervisor notices by itself
    assert alive() == []


# ---------------------------------------------------------------------------------------- side by side


@pytest.mark.sampled(4)
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
def test_side_by_side_the_bounds_are_those_of_one_case(convention: Convention, dtype: str) -> None:
    """As wide as the judge's own, within a hundredth, and the exact result is never outside."""
    cases = [convention.applied(c) for seed in range(3) for c in probes((3, 4, 2), (4, 4), "separate", dtype, seed)]
    expected = computed(_run(cases, SideBySide(PROFILES[dtype]), convention.rules()))
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
    assert None not in within(cases, answers, convention.rules())
    gradients = answers[7].weight_gradients
    assert gradients is not None
    assert gradients[0] is not None
    gradients[0][1, 0] *= 1 + 1e-12
    digits = within(cases, answers, convention.rules())
    assert [k for k, d in enumerate(digits) if d is None] == [7]


def test_side_by_side_float32_answers_of_numpy_agree() -> None:
    convention = Convention(("tanh", "softmax"), "softmax_cross_entropy", "mean")
    cases = [convention.applied(c) for c in probes((3, 5, 4), (4,) * 50, "separate", "float32", 1)]
    assert None not in within(
        cases, [shown_by(numpy_observe(case), updates=False) for case in cases], convention.rules()
    )


def test_failures_that_differ_in_numbers_alone_are_told_once(tmp_path: Path) -> None:
    program = tmp_path / "text.py"
    program.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    print(json.dumps({'id': str(json.loads(line)['id'])}), flush=True)\n"
    )
    report = verify_command(f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}")
    assert report.verdict == "unanswered"
    assert len(report.findings) <= 3, report
    assert re.match(r'\d+ of \d+ cases: the first of them: id: expected \d+, the request\'s; got "', report.findings[0])
