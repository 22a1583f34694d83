"""The command line, as a real process: what it prints, where, and its exit code."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from importlib.metadata import version

import jsonschema
import numpy
from backproof.reports import cli
from backproof.reports.documents.results import SCHEMA_FILE
from backproof.reports.guard import INTERRUPTED

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = Path(sys.executable).with_name("backproof")


def backproof(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env={**os.environ, "COLUMNS": "200", "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


@pytest.mark.usefixtures("slow")
def test_version_and_help() -> None:
    assert backproof("--version").stdout == f"backproof {version('backproof')}\n"
    finished = backproof("--help")
    assert finished.returncode == 0
    assert all(command in finished.stdout for command in ("example", "compare", "adapters"))
    as_module = subprocess.run([sys.executable, "-m", "backproof", "--version"], capture_output=True, check=True)
    assert as_module.stdout.decode() == f"backproof {version('backproof')}\n"


def test_help_loads_no_numbers() -> None:
    """--help answers in a fraction of a second because nothing heavy is imported for it."""
    program = (
        "import sys, backproof.reports.cli; print({'numpy', 'flint', 'matplotlib', 'torch', 'jax'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "set()\n"


def test_the_worked_example_shows_print_and_both_readings(command: Command) -> None:
    finished = command("example", "--adapter", "plain", "--adapter", "numpy")
    assert finished.returncode == 0, finished.stderr
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in finished.stdout.splitlines() if "│" in line
    ]
    assert ["hidden 2", "0.593", "0.669", "0.593"] in cells
    assert ["output", "0.506", "0.480", "0.506"] in cells
    assert ["class (step at 0.5)", "1", "0", "1"] in cells
    assert ["numpy", "0.8995288044", "0.5931493361", "0.3784811431", "0.5065094830"] in cells
    assert ["output 1 ← 1", "-0.1233517184", "-0.1109584238", "0.383", "0.4384792119"] in cells
    assert "plain, numpy: each ∂E/∂w has these 10 decimals." in finished.stdout
    assert "output before the step 0.5065094830, after it 0.5269777737; the target is 1." in finished.stdout
    assert "plain agrees; numpy agrees" in finished.stdout


def test_compare_prints_one_row_per_adapter_and_dtype(command: Command) -> None:
    finished = command(
        "compare",
        "--adapter",
        "plain",
        "--adapter",
        "numpy",
        "--case",
        "xor-*",
        "--dtype",
        "float64",
        "--dtype",
        "float32",
        "--jobs",
        "1",
    )
    assert finished.returncode == 0, finished.stderr
    rows = [line for line in finished.stdout.splitlines() if line.startswith(("│ plain", "│ numpy"))]
    cells = [[cell.strip() for cell in row.split("│")] for row in rows]
    assert [[row[1], row[2], row[6]] for row in cells[:4]] == [
        ["plain", "float64", "agrees"],
        ["numpy", "float64", "agrees"],
        ["plain", "float32", "agrees"],
        ["numpy", "float32", "agrees"],
    ]
    assert [row[1:6:2] for row in cells[4:]] == [
        ["plain", "Python " + platform.python_version(), "5"],
        ["numpy", numpy.__version__, "5"],
        ["plain", "Python " + platform.python_version(), "5"],
        ["numpy", numpy.__version__, "5"],
    ]
    assert finished.stderr == ""


def test_json_on_stdout_follows_the_schema(command: Command) -> None:
    finished = command("compare", "--adapter", "numpy", "--case", "xor-none", "--jobs", "1", "--format", "json")
    jsonschema.validate(json.loads(finished.stdout), json.loads(SCHEMA_FILE.read_text()))


@pytest.mark.usefixtures("slow")
def test_a_folder_gets_every_view_and_the_document_that_is_printed(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "reports"
    finished = command(
        "compare", "--adapter", "numpy", "--case", "xor-none", "--jobs", "1", "--format", "json", "--out", str(out)
    )
    document: dict[str, Any] = json.loads(finished.stdout)
    assert sorted(path.name for path in out.iterdir()) == [
        "junit.xml",
        "report.html",
        "report.md",
        "report.txt",
        "results.json",
    ]
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == document


@pytest.mark.usefixtures("slow")
def test_bad_input_to_the_installed_command_is_no_traceback() -> None:
    finished = backproof("compare", "--adapter", "nunpy")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("error: adapter: ")
    assert "Traceback" not in finished.stderr


def test_adapters_are_listed(command: Command) -> None:
    finished = command("adapters")
    assert finished.returncode == 0
    assert re.search(r"│ numpy\s+│ .* │ yes", finished.stdout)


@pytest.mark.sampled(10, 1)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--dtype", "float23"], "error: --dtype: expected one of float64, float32, float16, bfloat16; got 'float23'."),
        (["compare", "--case", "xor-seperate"], "error: --case: there is no 'xor-seperate'. Did you mean 'xor-separate'?"),
        (["compare", "--case", "qqq"], "error: --case: expected one of worked-example-as-printed, "),
        (["compare", "--adapter", "nunpy"], "error: adapter: expected one of plain, numpy, torch, jax, autograd, casadi, keras, micrograd, mlx, sklearn, tensorflow, tinygrad; got 'nunpy'. Did you mean 'numpy'?"),
        (["example", "--adapter", "nunpy"], "error: adapter: expected one of plain, numpy, torch, jax, autograd, casadi, keras, micrograd, mlx, sklearn, tensorflow, tinygrad; got 'nunpy'. Did you mean 'numpy'?"),
        (["compare", "--case", "xor-none", "--out", "{file}"], "error: --out {file}: expected a folder that can be written to; a file is in the way."),
        (["compare", "--format", "pdf"], "'pdf' is not one of"),
        (["compare", "--jobs", "-1"], "Invalid value for '--jobs'"),
        (["compare", "--frobnicate"], "No such option"),
        (["frobnicate"], "No such command"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_clear_message_and_exit_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    monkeypatch.setattr(sys, "argv", ["backproof", *[argument.format(file=file) for argument in arguments]])
    with pytest.raises(SystemExit) as stopped:  # anything else would be a traceback
        cli.main()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message.format(file=file) in printed.err
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


PLUGIN = """
import os
import time
from dataclasses import replace
from backproof.adapters.adapter import Adapter
from backproof.adapters.numpy_vectorised import observe

def wrong(case):
    honest = observe(case)
    return replace(honest, adapter="{name}", weight_gradients=tuple(2 * g for g in honest.weight_gradients))

def sleeps(case):
    open(os.environ["STARTED"], "w").close()
    time.sleep(3600)

def sleeps_later(case):
    return observe(case) if case.name == "depth-1" else sleeps(case)

def silent(case):
    raise OSError("no answer today")

ADAPTER = Adapter("{name}", "planted by a test", package=None, run={run})
"""


def installed(folder: Path, name: str, run: str) -> str:
    """A third party's distribution on disk, with an adapter as its entry point; returns the PYTHONPATH that finds it."""
    (folder / f"{name}.py").write_text(PLUGIN.format(name=name, run=run))
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[backproof.adapters]\n{name} = {name}:ADAPTER\n")
    return str(folder)


@pytest.mark.usefixtures("slow")
def test_a_wrong_third_party_is_exit_1_with_the_numbers(tmp_path: Path) -> None:
    path = installed(tmp_path, "doubling", "wrong")
    finished = backproof(
        "compare", "--adapter", "doubling", "--case", "xor-hidden", "--dtype", "float64", "--jobs", "1", PYTHONPATH=path
    )
    assert finished.returncode == 1, finished.stderr
    assert "output layer · weight gradients · 2 of 2 elements · first wrong step" in finished.stdout
    assert re.search(
        r"unit 0, input 0: expected -?0\.\d+, got -?0\.\d+, tolerance \S+: \S+ × the tolerance", finished.stdout
    )


def test_a_third_party_is_listed_with_its_limits_and_what_it_leaves_out_is_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(installed(tmp_path, "picky", "observe"))
    said = 'limits="no biases", cannot=lambda case: case.name if case.layers[0].biases else None'
    (path / "picky.py").write_text(
        (path / "picky.py").read_text(encoding="utf-8").replace("run=observe", f"run=observe, {said}"), encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(path))
    listed = command("adapters", "--adapter", "picky").stdout
    assert re.search(r"│ picky\s+│ planted by a test\s+│\s+│ yes", listed)
    assert "float64, float32: picky\n" in listed
    assert "picky: no biases\n" in listed

    some = ("compare", "--adapter", "picky", "--dtype", "float64", "--jobs", "1", "--case")
    finished = command(*some, "xor-*")
    assert finished.returncode == 0, finished.stderr
    assert "picky leaves out 2 of 5 cases: xor-separate (1), xor-hidden (1)" in finished.stderr
    finished = command(*some, "xor-hidden")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "error: --adapter: picky can run none of these cases: xor-hidden (1).\n"


def test_a_dtype_that_an_adapter_does_not_run_is_refused_in_words(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, "doubling", "wrong"))
    finished = command("compare", "--adapter", "doubling", "--dtype", "bfloat16", "--jobs", "1")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr == "error: --dtype: adapter doubling runs float64, float32 only.\n"


def test_no_usable_answer_is_exit_3(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(installed(tmp_path, "silent", "silent"))
    finished = command("compare", "--adapter", "silent", "--case", "xor-hidden", "--jobs", "1")
    assert finished.returncode == 3
    assert "OSError: no answer today" in finished.stdout


@pytest.mark.usefixtures("slow")
def test_a_third_party_runs_in_several_processes_too(tmp_path: Path) -> None:
    path = installed(tmp_path, "doubling", "wrong")
    finished = backproof("compare", "--adapter", "doubling", "--case", "xor-*", "--jobs", "2", PYTHONPATH=path)
    assert finished.returncode == 1, finished.stderr
    assert "wrong: 10 of 10 runs" in finished.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes the POSIX way")
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_quickly_and_quietly_and_writes_nothing(tmp_path: Path, jobs: str) -> None:
    """While an adapter is in the middle of a case that would take an hour."""
    import signal

    out, started = tmp_path / "reports", tmp_path / "started"
    path = installed(tmp_path, "sleeping", "sleeps")
    process = subprocess.Popen(
        [
            COMMAND,
            "compare",
            "--adapter",
            "sleeping",
            "--case",
            "depth-*",
            "--dtype",
            "float64",
            "--jobs",
            jobs,
            "--out",
            str(out),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path, "STARTED": str(started)},
    )
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=600)  # a case takes an hour
    assert process.returncode == INTERRUPTED
    assert stdout == ""
    assert stderr == "interrupted; nothing was written.\n"
    assert not out.exists()


def interrupted(tmp_path: Path, run: str, number: int, *arguments: str) -> tuple[int, str, str, Path, int]:
    """A comparison that gets a signal in the middle of a case: exit code, stdout, stderr, --out and its process group."""
    out, started = tmp_path / "reports", tmp_path / "started"
    process = subprocess.Popen(
        [COMMAND, "compare", "--adapter", "sleeping", "--case", "depth-*", *arguments, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": installed(tmp_path, "sleeping", run), "STARTED": str(started)},
    )
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=600)
    return process.returncode, stdout, stderr, out, process.pid


@pytest.mark.skipif(os.name == "nt", reason="signals are sent to processes the POSIX way")
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_what_is_finished_is_kept_when_a_comparison_is_ended_and_the_report_says_that_it_is_partial(
    tmp_path: Path, name: str
) -> None:
    import signal

    number = signal.Signals[name]
    arguments = ("--dtype", "float64", "--jobs", "1")
    code, stdout, stderr, out, _ = interrupted(tmp_path, "sleeps_later", number, *arguments)
    assert code == 128 + number
    document = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [run["case"] for run in document["runs"]] == ["depth-1"]
    assert document["planned"] > 1
    for said in (stdout, *((out / view).read_text(encoding="utf-8") for view in ("report.md", "report.html"))):
        assert re.search(rf"1 of {document['planned']} cases", said), said
    assert f"ended early: 1 of {document['planned']} cases are in the report." in stderr
    again = backproof("report", str(out / "results.json"))
    assert again.returncode == 3
    assert "Traceback" not in stderr + again.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed from /proc")
@pytest.mark.usefixtures("slow")
def test_a_comparison_that_is_killed_leaves_no_processes_behind(tmp_path: Path) -> None:
    import signal

    *_, group = interrupted(tmp_path, "sleeps", signal.SIGKILL, "--jobs", "2")

    def alive() -> list[str]:
        listed = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        return [row[2] for row in rows if row[0] == str(group) and not row[1].startswith("Z")]

    deadline = time.monotonic() + 600
    while alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive() == []
