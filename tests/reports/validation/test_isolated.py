"""A function in a process of its own: whatever it does costs it its answer, and nobody else anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")
if sys.platform == "win32":
    pytest.skip("a process of its own needs POSIX", allow_module_level=True)

import hostile_functions
from backproof.reference.case import InvalidInput
from backproof.reports.calling.isolated import name_of
from backproof.reports.documents.report import Report
from backproof.reports.validation.by_name import verify_by_name
from backproof.reports.validation.front_door import verify

COMMAND = Path(sys.executable).with_name("backproof")
DECLARED: dict[str, Any] = {
    "sizes": (2, 3, 1), "activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum", "bias": "separate",
    "orientation": "units_by_inputs", "cases": "few",
}  # fmt: skip


def verified(name: str, timeout: float = 30.0) -> Report:
    return verify(getattr(hostile_functions, name), **DECLARED, timeout=timeout, isolated=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with a token by which processes that are left behind are recognised."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(f"36{time.monotonic_ns()}")
    yield tmp_path
    for line in alive(tmp_path):
        os.kill(int(line.split()[0]), signal.SIGKILL)


def alive(folder: Path) -> list[str]:
    token = (folder / "token").read_text()
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if f"sleep {token}" in line]


# What is said of each that does not answer.
UNANSWERED = {
    "base": "it raised Base: base",
    "wordless": "it raised Wordless: (its message cannot be had: RuntimeError)",
    "escape_in_a_type": "it raised \\x07Evil\\n```\\n<b>: x",
    "cancelled": "it raised CancelledError: ",
    "interrupt": "it raised KeyboardInterrupt: ",
    "generator_exit": "it raised GeneratorExit: ",
    "stop_iteration": "it raised StopIteration: ",
    "leaves": "its process died: it ended with exit code 0, without an answer",
    "crashes": "its process died: it was ended by signal SIGSEGV",
    "real_time_signal": "its process died: it was ended by signal 40",
    "endless_generator": "it returned list [[1.0], [1.0]",
    "array_raises": "reading its answer raised RuntimeError: no\\x1b[2J",
    "repr_raises": "it returned Answer (its repr raised RuntimeError)",
    "length_raises": "reading its answer raised RuntimeError: no\\x1b[2J",
    "length_lies": "weight gradients: its length is 2, but it has more elements",
    "attributes_raise": "reading its answer raised RuntimeError: no\\x1b[2J",
    "imaginary": "weight gradients[0]: expected real numbers, got complex128",
    "text": "weight gradients[0]: expected numbers, got ndarray array([['",
    "objects": "weight gradients[0]: expected numbers, got ndarray array([[",
    "masked": "weight gradients[0]: expected numbers, but 1 of 6 elements are masked",
    "all_masked": "weight gradients[0]: expected numbers, but 6 of 6 elements are masked",
    "nones": "gradient weights[0]: expected 3 × 2 (units × inputs), got None",
    "large_integers": "weight gradients[0]: int64 numbers beyond 2^53 are not exact as float64",
    "dates": "weight gradients[0]: expected numbers, got ndarray array([[",
    "conjugate": "weight gradients[0]: expected real numbers, got complex128",
    "closes_descriptors": "its process died: it ended with exit code 71, without an answer",
    "sends_a_pickle": "its process wrote something of its own where answers are read",
}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", UNANSWERED)
def test_what_a_function_does_to_its_own_process_is_said_in_a_line(name: str, folder: Path) -> None:
    if name == "conjugate":
        pytest.importorskip("torch")
    report = verified(name)
    assert report.verdict == "unanswered", str(report)
    assert UNANSWERED[name] in str(report)
    assert all(line.isprintable() for line in str(report).splitlines())
    assert not (folder / "executed").exists()


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", ["hangs", "deaf", "stubborn", "slow_generator", "array_hangs", "repr_hangs"])
def test_reading_an_answer_is_under_the_time_limit_as_the_call_is(name: str) -> None:
    report = verified(name, timeout=0.2)
    assert report.verdict == "unanswered"
    assert "it did not answer within 0.2 s" in str(report)


ANSWERED = (
    "right", "argument_becomes_hostile", "argument_becomes_text", "nothing_masked", "raw_stderr", "low_recursion_limit",
    "changes_folder", "has_children", "negative_view",
)  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(9, 5)
@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_odd_but_right_agrees(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if name == "negative_view":
        pytest.importorskip("torch")
    report = verified(name)
    assert report.verdict == "agrees", str(report)
    assert ("it changes its arguments in place: " in str(report)) == name.startswith("argument")
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("slow")
def test_a_function_cannot_change_what_is_judged_in_another_process() -> None:
    report = verified("replaces_the_judge")
    assert report.verdict == "wrong"
    assert "multiplies the weight gradient by 2" in str(report)


@pytest.mark.usefixtures("slow")
def test_a_forged_answer_is_none() -> None:
    assert verified("forges_an_answer").verdict == "unanswered"


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("name", "verdict"), [("leaves_children", "agrees"), ("leaves_children_and_hangs", "unanswered")]
)
def test_a_function_leaves_no_processes_behind(name: str, verdict: str, folder: Path) -> None:
    assert verified(name, timeout=2.0).verdict == verdict
    assert alive(folder) == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_verification_that_is_ended_leaves_no_processes_behind(number: signal.Signals, folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    running = subprocess.Popen(
        [COMMAND, "verify", "hostile_functions:leaves_children_and_hangs"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    await_(lambda: len(alive(folder)) >= 2)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    expected = {signal.SIGKILL: -9, signal.SIGINT: 130}.get(number, 128 + number)
    assert running.returncode == expected
    assert "Traceback" not in said
    await_(lambda: not alive(folder))


def await_(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ----------------------------------------------------------------------------------------- finding the function

IMPORTS = {
    "exits": ("raise SystemExit(0)", "importing mymodule raised SystemExit: 0"),
    "escapes": ("raise ValueError('\\x1b[2J\\x07' + 'Q' * 10000)", "importing mymodule raised ValueError: \\x1b[2J\\x07QQQ"),
    "without a backend": (
        "import sys; sys.modules['keras'] = sys\nraise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')",
        "No module named 'tensorflow'. Keras takes TensorFlow unless it is told another: set KERAS_BACKEND=torch",
    ),
    "base": ("class B(BaseException): ...\nraise B('x')", "importing mymodule raised B: x"),
    "attributes": ("def __getattr__(name): raise RuntimeError('boom ' + name)", "looking it up raised RuntimeError: boom f"),
    "hangs": ("import time; time.sleep(3600)", "importing it did not end within 1 s. Give a longer timeout."),
    "crashes": ("import os; os.abort()", "importing it, its process died: it was ended by signal SIGABRT"),
    "prints": ("print('hello'); import os; os.write(1, b'x\\n')", "mymodule has no f."),
}  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", IMPORTS)
def test_an_import_that_fails_is_bad_usage(way: str, folder: Path) -> None:
    source, words = IMPORTS[way]
    (folder / "mymodule.py").write_text(source + "\n")
    with pytest.raises(InvalidInput, match=re.escape(words)) as refused:
        verify_by_name("mymodule:f", {"timeout": 1.0})
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@pytest.mark.usefixtures("slow")
def test_a_folder_that_is_gone_is_bad_usage(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    finished = subprocess.run(
        ["sh", "-c", f"cd {gone} && rmdir {gone} && exec {COMMAND} verify mymodule:f"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    said = "error: the current folder is gone: No such file or directory. Change to one that exists.\n"
    assert finished.stderr == said


@pytest.mark.usefixtures("slow")
def test_a_memory_limit_that_is_lower_already_stays(folder: Path) -> None:
    (folder / "mynet.py").write_text(
        "import resource\ndef f(*_): raise ValueError(resource.getrlimit(resource.RLIMIT_AS))\n"
    )
    limit = 6 * 2**30 // 1024
    finished = subprocess.run(
        ["sh", "-c", f"ulimit -v {limit} && exec {COMMAND} verify mynet:f"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 3
    assert f"it raised ValueError: ({limit * 1024}, {limit * 1024})" in finished.stdout


def outer() -> Any:
    def inner(*_: Any) -> Any: ...

    return inner


@pytest.mark.parametrize("function", [lambda *_: None, outer(), print, [].append, 3])
def test_what_cannot_be_imported_by_its_name_is_refused(function: Any) -> None:
    if function is print:
        assert name_of(print) == "builtins:print"
        return
    with pytest.raises(
        InvalidInput, match="^isolated: expected a function that another process can import by its name"
    ):
        name_of(function)


@pytest.mark.usefixtures("slow")
def test_a_function_of_the_program_itself_is_found_by_its_file(folder: Path) -> None:
    source = (Path(__file__).parents[1] / "hostile_functions.py").read_text(encoding="utf-8").partition("# ---")[0]
    program = f"""{source}
if __name__ == "__main__":
    from backproof import verify
    print(verify(right, sizes=(2, 3, 1), cases="few", isolated=True).verdict)
"""
    (folder / "program.py").write_text(program, encoding="utf-8")
    finished = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, check=False)
    assert (finished.stdout, finished.stderr) == ("agrees\n", "")


@pytest.mark.parametrize("timeout", [-1, 0, float("nan"), "text", True])
def test_a_time_limit_that_is_none_is_refused(timeout: Any) -> None:
    for isolated in (False, True):
        with pytest.raises(
            InvalidInput, match="^timeout: expected seconds, a number above 0, or None for no limit; got"
        ):
            verify(hostile_functions.right, **DECLARED, timeout=timeout, isolated=isolated)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("timeout", [1e300, float("inf"), None])
def test_a_time_limit_may_be_beyond_every_timer(timeout: float | None) -> None:
    assert verify(hostile_functions.right, **DECLARED, timeout=timeout).ok
    assert verify(hostile_functions.right, **DECLARED, timeout=timeout, isolated=True).ok
