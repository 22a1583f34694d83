"""The journal: whatever ends a run, what was done is in it, once, and the others are done when it goes on."""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import sleep
from typing import Any

import pytest

pytest.importorskip("numpy")

from backproof.reference.case import InvalidInput
from backproof.reports.journal import journal
from backproof.reports.spread import spread
from backproof.reports.trials.edit_trials import EditTrial

OF = {"command": "test", "backproof": "1"}
COMMAND = Path(sys.executable).with_name("backproof")
TRIALS = [EditTrial(n, "kind", "float32", "planted ä\udc80\n", "described", off=math.inf * n) for n in range(4)]


def described(number: int) -> EditTrial:
    return TRIALS[number]


def refused(number: int) -> EditTrial:
    raise AssertionError(f"{number} is done already")


def everything(path: Path, resume: bool, one: Callable[[int], EditTrial] = described) -> list[EditTrial]:
    tasks = {f"trial {trial.number}": (trial.number,) for trial in TRIALS}
    with journal(path, resume, OF) as kept:
        found = [trial for _, trial in spread(one, tasks, EditTrial, journal=kept)]
    return sorted(found, key=lambda trial: trial.number)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    everything(path, resume=False)
    return path


def test_what_is_read_is_what_was_written(written: Path) -> None:
    assert str(everything(written, True, refused)) == str(TRIALS), "infinities, NaN and lone surrogates among them"
    assert len(written.read_bytes().splitlines()) == 1 + len(TRIALS)


def test_cut_off_at_any_byte_it_goes_on(written: Path) -> None:
    whole = written.read_bytes()
    for end in {*range(0, len(whole), 11), *(k for k in range(len(whole) + 1) if b"\n" in whole[k - 2 : k + 1])}:
        written.write_bytes(whole[:end])
        again: list[int] = []

        def one(number: int, again: list[int] = again) -> EditTrial:
            again.append(number)
            return described(number)

        assert str(everything(written, True, one)) == str(TRIALS)
        assert len(again) == len(TRIALS) - max(0, whole[:end].count(b"\n") - 1)
        assert written.read_bytes() == whole


def test_a_changed_byte_is_never_taken_for_a_run(written: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = written.read_bytes()
    head = whole.index(b"\n") + 1
    for at in range(0, len(whole), 13):
        written.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        if at < head:
            with pytest.raises(InvalidInput, match="no journal of this version"):
                everything(written, resume=True)
        else:
            assert str(everything(written, resume=True)) == str(TRIALS)
            assert "damaged or cut off" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"command": "other", "backproof": "1"}, "begun with command test, and this is other. Name another file."),
        ({"command": "test", "backproof": "2"}, "begun with backproof 1, and this is 2."),
        ({"command": "test"}, "begun with backproof 1, and this is none."),
    ],
)
def test_a_journal_of_something_else_is_refused_and_stays(written: Path, of: dict[str, str], said: str) -> None:
    whole = written.read_bytes()
    with pytest.raises(InvalidInput, match=said), journal(written, True, of):
        pass
    assert written.read_bytes() == whole


def test_without_resume_it_is_not_gone_on_with(written: Path) -> None:
    whole = written.read_bytes()
    with pytest.raises(InvalidInput, match="there is a journal already. --resume goes on with it"):
        everything(written, resume=False)
    assert written.read_bytes() == whole


@pytest.mark.parametrize("text", ["mine", "mine\n", "{}\n", '{"crc32":"00000000","run":{}}\n', "\n", '{"crc32":'])
@pytest.mark.parametrize("resume", [False, True])
def test_another_file_stays_as_it_is(tmp_path: Path, text: str, resume: bool) -> None:
    path = tmp_path / "mine"
    path.write_text(text)
    if text != '{"crc32":':  # a first line that was cut off
        with pytest.raises(InvalidInput, match="it is no journal of this version"):
            everything(path, resume)
        assert path.read_text() == text
    else:
        assert str(everything(path, resume)) == str(TRIALS)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "expected a file"), (tmp_path / "a" / "b", "No such file"), (Path("\0"), "null")):
        with pytest.raises(InvalidInput, match=said):
            everything(path, resume=True)


def test_one_process_writes_at_a_time(written: Path) -> None:
    with (
        journal(written, True, OF),
        pytest.raises(InvalidInput, match="another process is writing this journal"),
        journal(written, True, OF),
    ):
        pass
    assert str(everything(written, True, refused)) == str(TRIALS), "the lock is given back"


def test_a_full_disk_is_said_and_keeps_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, room = tmp_path / "journal", os.write, [700]

    def until_full(descriptor: int, line: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, line[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(os, "write", until_full)
    with pytest.raises(InvalidInput, match=r"No space left on device. 2 runs are in it; .* --resume goes on"):
        everything(path, resume=False)
    monkeypatch.undo()
    assert path.read_bytes().endswith(b"\n")
    assert str(everything(path, resume=True)) == str(TRIALS)


def test_a_run_of_another_kind_is_refused(written: Path) -> None:
    with journal(written, True, OF) as kept:
        kept.add("trial 4", {"number": "four"})
    with journal(written, True, OF) as kept, pytest.raises(InvalidInput, match="not as this version writes it"):
        list(spread(described, {"trial 4": (4,)}, EditTrial, journal=kept))


# ------------------------------------------------------------------------------------ the commands, killed


def command(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    given = [str(COMMAND), *arguments]
    return subprocess.run(given, capture_output=True, text=True, check=False, timeout=600, **more)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    "arguments", [("selftest", "--clean", "1"), ("compare", "--case", "xor-hidden", "--jobs", "1")]
)
def test_any_adapter_may_be_kept_plain_python_too(
    tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...]
) -> None:
    path = tmp_path / "journal"
    finished = command(*arguments, "--adapter", "plain", "--journal", str(path))
    assert finished.returncode == 0, finished.stderr
    assert f"plain {platform.python_version()}" in path.read_text()


CLEAN = ("selftest", "--clean", "100", "--adapter", "numpy", "--jobs", "1")
COMPARE = (
    "compare",
    "--adapter",
    "numpy",
    "--dtype",
    "float32",
    "--dtype",
    "float64",
    "--format",
    "json",
    "--jobs",
    "1",
)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("arguments", "kills"), [(CLEAN, 2), (COMPARE, 20)], ids=["clean", "compare"])
def test_killed_at_random_moments_it_comes_to_the_same(tmp_path: Path, arguments: tuple[str, ...], kills: int) -> None:
    """kill -9, at moments that are drawn: so many lines later, and up to a tenth of a second after."""
    path, rng = tmp_path / "journal", random.Random(arguments[0])
    wanted = command(*arguments)
    assert wanted.returncode == 0, wanted.stderr
    planned = 100 if arguments is CLEAN else len(json.loads(wanted.stdout)["cases"])
    done = 0
    for kill in range(kills):
        goal = min(planned, done + rng.randint(1, planned // (3 * kills)))
        given = [str(COMMAND), *arguments, "--journal", str(path), *(["--resume"] if kill else [])]
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=said)
        while lines(path) - 1 < goal and process.poll() is None:
            sleep(0.001)
        sleep(rng.random() / 10)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (tmp_path / "said").read_text()
        assert done < lines(path) - 1, "it got further"
        done = lines(path) - 1
    assert done < planned, "the last one was killed too"
    finished = command(*arguments, "--journal", str(path), "--resume")
    assert finished.returncode == 0, finished.stderr
    assert f"{done} runs taken from it" in finished.stderr or f"{done - 1} runs taken" in finished.stderr
    assert comparable(finished.stdout) == comparable(wanted.stdout)
    tasks = [json.loads(line)["run"]["task"] for line in path.read_bytes().splitlines()[1:]]
    assert len(tasks) == len(set(tasks)) == planned, "each once"


def comparable(text: str) -> Any:
    """All but when it was, how long it took, and what was typed."""
    if not text.startswith("{"):
        return text
    document = json.loads(text)
    del document["environment"]["created"], document["environment"]["command"]
    for run in document["runs"]:
        assert run.pop("seconds") >= 0
    return document


@pytest.mark.usefixtures("slow")
def test_a_journal_that_another_command_writes_is_said_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with journal(path, False, OF):
        finished = command(*COMPARE, "--journal", str(path), "--resume")
    assert finished.returncode == 2
    assert finished.stderr.startswith(f"error: --journal {path}: another process is writing this journal.")
    assert finished.stderr.count("\n") == 1


@pytest.mark.usefixtures("slow")
@pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")  # JAX's, where another test has loaded it
def test_a_file_that_may_not_grow_is_said_in_a_line(tmp_path: Path) -> None:
    """As a full disk: the system writes a part of a line, and then refuses."""
    import resource

    path = tmp_path / "journal"

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    apart = os.environ | {"GIT_INDEX_FILE": str(tmp_path / "index")}  # git, asked for the commit, may not grow its own
    finished = command(*COMPARE, "--journal", str(path), preexec_fn=limited, env=apart)
    assert finished.returncode == 2
    assert "File too large." in finished.stderr
    assert "--resume goes on after them" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert path.read_bytes().endswith(b"\n")
    again = command(*COMPARE, "--journal", str(path), "--resume", env=apart)  # to which the commit reads the same
    assert comparable(again.stdout) == comparable(command(*COMPARE, env=apart).stdout)
