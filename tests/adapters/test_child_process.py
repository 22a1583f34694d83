"""Real processes that misbehave: each ends in its own message, in time, with nothing left behind."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("msgspec")
if sys.platform == "win32":
    pytest.skip("process groups are POSIX's", allow_module_level=True)

from backproof.adapters.adapter import Unanswered
from backproof.adapters.child_process import Answering, Child, capabilities, observations
from backproof.reference.case import Case, InvalidInput
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Observation
from backproof.reference.judging.verdict import Verdict

CHILDREN = Path(__file__).parent / "children"
NETWORK = Convention(("sigmoid", "sigmoid"), "half_squared_error")
CASES = [NETWORK.applied(case) for case in probes((3, 4, 2), (2, 1, 2, 1), "separate", "float64", 0)]
LIMIT = 1.0
WAITED = 1800.0  # seconds: what misbehaves sleeps for an hour, and that is not waited for, however busy the machine
TOKEN = f"9{os.getpid()}0815"


def command(name: str, *arguments: str) -> str:
    return " ".join([sys.executable, str(CHILDREN / name), *arguments])


def descendants() -> set[str]:
    """What still runs of the processes that this test process has started."""
    listed = subprocess.run(["ps", "-eo", "ppid,stat,args"], capture_output=True, text=True, check=True).stdout
    zombies = {line for line in listed.splitlines() if line.split()[0] == str(os.getpid()) and "Z" in line.split()[1]}
    return zombies | {line for line in listed.splitlines() if TOKEN in line}


def asked(
    way: str, when: int, cases: list[Case] = CASES, limit: float = LIMIT
) -> tuple[list[Observation | Unanswered], float]:
    started = time.monotonic()
    outcomes = [outcome for _, outcome in observations(command("hostile.py", way, str(when), TOKEN), cases, limit)]
    return outcomes, time.monotonic() - started


# What is said of the case at which it shows.
MESSAGES = {
    "wrong-json": "not JSON: ",
    "half-a-line": 'it ended with exit code 0, without an answer, after half a line: {"id": 3, "outputs": [[0.',
    "wrong-id": "id: expected 2, the request's; got 4711",
    "flood": "its answer is longer than ",
    "silent": "it did not answer within 1 s",
    "crash": "it was ended by signal SIGSEGV",
    "exit-early": "it ended with exit code 0, without an answer",
    "raise": "it ended with exit code 3, without an answer; its stderr ends: \\x1b[31mTraceback\\x1b[0m: no such layer \\x07",
    "endless-loop": "it did not answer within 1 s",
    "fork": "it ended with exit code 0, without an answer",
    "setsid-and-die": "it ended with exit code 0, without an answer",
    "real-time-signal": "it was ended by signal 40",
    "kills-its-supervisor": "it ended, and the process that watches over it with it, without an answer",
    "ignores-sigterm": "it did not answer within 1 s",
    "nan": 'NaN is not JSON; a number that is not finite is written as the string "NaN"',
    "infinity": 'Infinity is not JSON; a number that is not finite is written as the string "Infinity"',
    "duplicate-keys": 'the key "loss" stands there twice',
    "deep": "the JSON is nested too deeply",
    "wrong-shape": "gradients[0].weights: expected 4 × 3 (units × inputs), got 3 × 4",
    "nothing": "expected at least one of outputs, loss, gradients and updated; got none of them",
    "text-for-number": 'outputs[0][0]: expected a number, got "<script>alert(1)</script>\\x1b[2J"',
    "binary": "expected UTF-8 text, got the byte 0xff at 0",
    "refuses": "it says: I only know \\x1b[1mtanh\\x1b[0m",
    "null": "expected a JSON object, got null",
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("way", MESSAGES)
def test_a_process_that_misbehaves_gets_its_own_message_and_the_other_cases_are_judged(way: str) -> None:
    outcomes, seconds = asked(way, 2)
    message = MESSAGES[way]
    assert isinstance(outcomes[1], Unanswered)
    assert str(outcomes[1]).startswith(message), str(outcomes[1])
    assert str(outcomes[1]).isprintable()
    assert seconds < WAITED
    for k in (0, 2):
        outcome = outcomes[k]
        assert isinstance(outcome, Observation)
        assert judge(CASES[k], outcome).verdict is Verdict.AGREES
    assert not descendants()


@pytest.mark.usefixtures("slow")
def test_a_process_that_never_answers_ends_within_the_limit(quick: bool) -> None:
    for way in ("silent", "endless-loop", "ignores-sigterm")[: 1 if quick else None]:
        outcomes, seconds = asked(way, 1)
        assert seconds < WAITED
        assert str(outcomes[0]).startswith("it did not answer within 1 s")
        assert {str(outcome) for outcome in outcomes[1:]} == {"not asked: it did not answer the one before"}


def test_a_process_that_fails_again_and_again_is_given_up() -> None:
    outcomes, _ = asked("exit-early", 1)
    assert [str(o).split(",")[0] for o in outcomes[:3]] == ["it ended with exit code 0"] * 3
    assert str(outcomes[3]) == "not asked: it failed 3 times in a row"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("way", ["thousand-digits", "noisy", "setsid-and-answer"])
def test_what_is_odd_but_right_is_judged(way: str) -> None:
    outcomes, _ = asked(way, 2, limit=WAITED)
    assert isinstance(outcomes[1], Observation)
    assert not descendants()


def test_a_number_beyond_every_format_is_wrong_and_not_an_error() -> None:
    outcomes, _ = asked("thousand-digit-integer", 2, limit=WAITED)
    assert isinstance(outcomes[1], Observation)
    assert judge(CASES[1], outcomes[1]).verdict is Verdict.WRONG


def test_memory_stays_bounded_while_a_process_floods_its_output() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked("flood", 1, CASES[:1])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 64 * 2**20


@pytest.mark.usefixtures("slow")
def test_one_process_per_case() -> None:
    outcomes = [o for _, o in observations(command("honest.py"), CASES, 10, once=True)]
    assert all(
        isinstance(o, Observation) and judge(c, o).verdict is Verdict.AGREES
        for c, o in zip(CASES, outcomes, strict=True)
    )
    hostile = [o for _, o in observations(command("hostile.py", "silent", "1", TOKEN), CASES[:1], LIMIT, once=True)]
    assert str(hostile[0]).startswith("it did not answer within 1 s")


def test_the_handshake() -> None:
    known = capabilities(command("honest.py"), 10)
    assert (known.name, known.activations, known.losses, known.dtypes) == (
        "honest", ["sigmoid"], ["half_squared_error"], ["float64"],
    )  # fmt: skip
    with pytest.raises(Unanswered, match="^to the handshake, it did not answer within 1 s"):
        capabilities(command("hostile.py", "silent", "1", TOKEN), LIMIT)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("activations", "losses", "message"),
    [
        ([], ["half_squared_error"], "activations: expected from 1 to 64 names, got 0"),
        (["sigmoid"], [], "losses: expected from 1 to 64 names, got 0"),
        (["sigmoid"] * 10_000, ["half_squared_error"], "activations: expected from 1 to 64 names, got 10,000"),
        ([3], ["half_squared_error"], "Expected `str`, got `int` - at `$.activations[0]`"),
    ],
)
def test_a_handshake_with_too_few_or_too_many_names(activations: Any, losses: Any, message: str) -> None:
    with pytest.raises(Unanswered) as refused:
        capabilities(command("says.py", shlex.quote(json.dumps([activations, losses, "x"]))), 10)
    assert str(refused.value) == f"to the handshake: {message}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "--command: expected a program and its arguments"),
        ("/no/such/program --x", "--command: there is no program '/no/such/program'. No shell is used: give its path."),
        ("'unclosed", '--command: "\'unclosed" cannot be split into words: No closing quotation.'),
    ],
)
def test_a_command_that_cannot_be_started_is_refused(given: str, message: str) -> None:
    with pytest.raises(InvalidInput, match="^") as refused:
        list(observations(given, CASES, 1))
    assert str(refused.value).startswith(message)


def test_a_directory_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(InvalidInput, match="cannot be started: Exec format error"), Child([str(tmp_path / "text")]):
        pass


@pytest.mark.usefixtures("slow")
def test_a_process_that_does_not_read_is_no_deadlock() -> None:
    """Requests larger than the pipe; it answers nothing and reads nothing."""
    large = [NETWORK.applied(case) for case in probes((200, 100, 2), (4,) * 8, "separate", "float64", 0)]
    started = time.monotonic()
    outcomes = [o for _, o in observations(f"sleep 3600.{TOKEN}", large, LIMIT)]
    assert time.monotonic() - started < WAITED
    assert all(isinstance(o, Unanswered) for o in outcomes)
    assert not descendants()


def test_case_after_case_is_asked_of_one_process() -> None:
    with Answering(command("honest.py"), WAITED) as answering:
        answers = [answering(case) for case in CASES]
        running = answering.child
        assert answering(CASES[0]).outputs is not None
        assert answering.child is running
    assert [judge(case, o).verdict for case, o in zip(CASES, answers, strict=True)] == [Verdict.AGREES] * len(CASES)
    assert not descendants()


@pytest.mark.parametrize("way", ["crash", "exit-early", "wrong-json"])
def test_after_a_failure_it_is_started_again(way: str) -> None:
    with Answering(command("hostile.py", way, "2", TOKEN), WAITED) as answering:
        for _ in range(2):  # the second case that each process is asked fails
            assert isinstance(answering(CASES[0]), Observation)
            with pytest.raises(Unanswered, match=re.escape(MESSAGES[way].partition("{")[0][:20])):
                answering(CASES[1])
    assert not descendants()
