"""Whatever happens inside a command is an exit code and a line, never a traceback, and never 1, which means wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reference.case import InvalidInput
from backproof.reports import guard
from backproof.reports.guard import BAD_INPUT, DEBUG, INTERRUPTED, SOFTWARE, guarded
from commands import in_process


class Silent(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Foreign(BaseException):
    """Such as a framework's panic."""


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG, "")  # set first, so that what a command sets is undone


FAULTS = [
    KeyError("x"), ValueError("several\nlines\n" * 9), RecursionError("deep"), AssertionError(), Silent(), Foreign("panic"),
    asyncio.CancelledError(), GeneratorExit(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), SystemExit(1), SystemExit("words"),
    BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError("without a number"), RuntimeError("\x1b[31m\u202e" + "long" * 9999),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_of_our_own_is_one_line_and_exit_70(fault: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise fault

    assert guarded(command) == SOFTWARE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: a fault of backproof's own (")
    assert type(fault).__name__ in printed.err
    assert printed.err.count("\n") == 1
    assert printed.err.rstrip("\n").isprintable()
    assert len(printed.err) < 1100


REPAIRABLE = [
    (InvalidInput("x: expected 1, got 2."), "error: x: expected 1, got 2.\n"),
    (InvalidInput("two\nlines \x1b[31m"), "error: two\nlines \\x1b[31m\n"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "a\x07.json"), "error: a\\x07.json: No such file or directory.\n"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", b"folder"), "error: folder: Is a directory.\n"),
    (OSError(errno.ENOSPC, "No space left on device"), "error: No space left on device.\n"),
    (MemoryError(), "error: memory ran out."),
]  # fmt: skip


@pytest.mark.parametrize(("error", "said"), REPAIRABLE, ids=[type(error).__name__ for error, _ in REPAIRABLE])
def test_what_the_user_can_repair_is_said_and_exit_2(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert guarded(command) == BAD_INPUT
    assert capsys.readouterr().err.startswith(said)


def test_a_folder_that_is_gone_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone() -> str:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    assert guarded(gone) == BAD_INPUT
    monkeypatch.undo()
    assert capsys.readouterr().err.startswith("error: the current folder is gone")


def test_exit_codes_of_commands_pass() -> None:
    assert [guarded(lambda: None), guarded(lambda: 0), guarded(lambda: 1), guarded(lambda: 3)] == [0, 0, 1, 3]


def test_an_interrupt_is_130_and_a_signal_128_and_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()

    assert guarded(interrupted) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted.\n"
    if os.name == "posix":
        assert guarded(killed) == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("way", ["option", "environment", "neither"])
def test_debug_shows_where_it_comes_from(
    way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("planted \x1b[31m")

    monkeypatch.setattr("backproof.adapters.adapter.chosen", broken)
    if way == "environment":
        monkeypatch.setenv(DEBUG, "1")
    assert in_process(monkeypatch, *(["--debug"] if way == "option" else []), "example") == SOFTWARE
    err = capsys.readouterr().err
    assert ("Traceback" in err) == (way != "neither")
    assert ("in broken" in err) == (way != "neither")
    assert err.splitlines()[-1].startswith("error: a fault of backproof's own (")
    assert "\x1b" not in err


def test_every_number_that_is_repairable_is_one_of_this_system() -> None:
    assert errno.ENOSPC in guard.REPAIRABLE
    assert errno.EPIPE not in guard.REPAIRABLE


LONG, DIGITS = "a" * 5000, "1" * 5000
USAGE = [
    ["report", "\x1b[31mx.json"], ["report", LONG], ["report", "."], ["report", "{tmp}/none/x.json"], ["report", "{tmp}/\udc80"],
    ["report", "{results}", "--out", LONG], ["report", "{results}", "--out", "a" * 300], ["report", "{results}", "--out", "{results}/x"],
    ["report", "{results}", "--format", "\x1b[31m"], ["\x1b[31m"], ["--\x1b[31m"], ["compare", "--case", "\x1b[31m"],
    ["compare", "--adapter", "\x1b[31m"], ["compare", "--against", "{tmp}"], ["compare", "--jobs", "1000000"], ["compare", "--jobs", DIGITS],
    ["train", "--sizes", "1000000000000,1"], ["train", "--sizes", f"{DIGITS},1"], ["train", "--sizes", "10000,10001,1"],
    ["train", "--sizes", "2"], ["train", "--sizes", ""], ["train", "--sizes", "0,1"], ["train", "--sizes", "-1,1"],
    ["train", "--sizes", "\x1b[31m"], ["train", "--rate", "0"], ["train", "--rate", "nan"], ["train", "--rate", "-1"],
    ["train", "--rate", "1e400"], ["train", "--load", "{tmp}"], ["train", "--load", "\x1b[31m"], ["train", "--data", "{tmp}"],
    ["train", "--data", "\x1b[31m"], ["train", "--epochs", "0"], ["train", "--epochs", DIGITS], ["train", "--save", "/"],
    ["train", "--save", "{tmp}"], ["train", "--save", "a" * 300], ["train", "--save", "{results}/w.json"], ["train", "--activation", "\x1b[31m"],
    ["verify"], ["verify", "a:b", "--command", "c"], ["verify", "a:b", "--sizes", DIGITS], ["verify", "--answers", "{tmp}"],
    *(["verify", "a:b", option, LONG] for option in ("--dtype", "--loss", "--cases", "--decay", "--bias")),
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("arguments", USAGE, ids=lambda arguments: " ".join(arguments)[:40])
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    results.write_text(RESULTS)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = [a.replace("{tmp}", str(tmp_path)).replace("{results}", str(results)) for a in arguments]
    assert in_process(monkeypatch, *given) == BAD_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.err.rstrip("\n").isprintable()
    assert len(printed.err) < 4100
    assert max(map(len, printed.err.split())) < 400
    assert sorted(tmp_path.rglob("*")) == before


RESULTS = (
    '{"schema":"backproof-results/2","environment":{"backproof":"1","python":"3","platform":"x","created":"2026"},'
    '"verdict":"unanswered","cases":[],"runs":[],"absent":[]}'
)


WEIGHTS = {
    "no layers": "[]", "no weights": '[{"weights":[],"biases":null,"activation":"tanh"}]',
    "an empty row": '[{"weights":[[]],"biases":null,"activation":"tanh"}]',
    "an empty row above": '[{"weights":[[1]],"biases":null,"activation":"tanh"},{"weights":[[]],"biases":null,"activation":"tanh"}]',
    "ragged": '[{"weights":[[1,2],[3]],"biases":null,"activation":"tanh"}]',
    "layers that do not fit": '[{"weights":[[1,2]],"biases":null,"activation":"tanh"},{"weights":[[1,2]],"biases":null,"activation":"tanh"}]',
    "too few biases": '[{"weights":[[1,2],[3,4]],"biases":[1],"activation":"tanh"}]',
    "no biases": '[{"weights":[[1,2]],"biases":[],"activation":"tanh"}]',
    "an activation that is not known": '[{"weights":[[1,2]],"biases":null,"activation":"\\u001b[31m"}]',
    "softmax below": '[{"weights":[[1,2]],"biases":null,"activation":"softmax"},{"weights":[[1]],"biases":null,"activation":"tanh"}]',
    "too large a number": '[{"weights":[[1e999,2]],"biases":null,"activation":"tanh"}]', "NaN": '[{"weights":[[NaN,2]],"biases":null,"activation":"tanh"}]',
    "no JSON": "{", "an object": "{}", "null": "null", "nothing": "", "deep": "[" * 100_000,
}  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_no_network_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.json"
    path.write_text(WEIGHTS[name])
    assert in_process(monkeypatch, "train", "--load", str(path), "--epochs", "1") == BAD_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: --load {path}: ")
    assert all(line.isprintable() for line in printed.err.splitlines())


def test_weights_that_were_saved_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "w.json"
    assert in_process(monkeypatch, "train", "--epochs", "1", "--save", str(path)) == 0
    assert in_process(monkeypatch, "train", "--epochs", "1", "--load", str(path)) == 0
    assert capsys.readouterr().out.count("loss") == 4
