"""Prose and tables at a terminal's width: in a pseudo terminal, or as COLUMNS says; in a pipe, lines as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.console.wrapping import columns, wrapped
from forgetful import FORGETFUL

COMMAND = Path(sys.executable).with_name("backproof")


def test_long_lines_go_on_below_between_words_and_under_their_indentation() -> None:
    text = (
        "wrong: it leaves the derivative out of the hidden delta\n  proved: with it, all numbers are reproduced here\n"
    )
    assert wrapped(text, 30) == (
        "wrong: it leaves the\n  derivative out of the hidden\n  delta\n"
        "  proved: with it, all numbers\n    are reproduced here\n"
    )
    assert wrapped(text, 200) == text
    assert wrapped("a" * 50 + " b", 30) == "a" * 50 + "\n  b"


@pytest.mark.parametrize(
    ("environment", "width"),
    [
        ({}, None),
        ({"COLUMNS": "80"}, 80),
        ({"COLUMNS": "0"}, None),
        ({"COLUMNS": "wide"}, None),
        ({"COLUMNS": "9"}, None),
        # what GNU readline leaves to the children of a Python that has loaded it
        ({"COLUMNS": "80", "LINES": "24"}, None),
    ],
)
def test_in_a_pipe_only_who_asks_for_a_width_gets_it(
    environment: dict[str, str], width: int | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (tmp_path / "pipe").open("w", encoding="utf-8") as pipe:
        assert columns(pipe) == width
    assert columns(None) == width


def test_tables_and_programs_keep_their_lines() -> None:
    table = "┌" + "─" * 98 + "┐\n│" + " word" * 19 + "   │\n"
    assert wrapped(table, 80) == table
    program = "    the smallest:\n        " + "x = 1; " * 20 + "\n        y = 2"
    assert wrapped(program, 80) == program
    after = wrapped(program + "\n    " + "word " * 20, 80).splitlines()
    assert len(after) == 5
    assert max(map(len, after[-2:])) <= 80


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo terminals are POSIX's")
@pytest.mark.parametrize(
    "arguments", [["verify", "forgetful:gradients", "--sizes", "2,3,1"], ["verify", "nowhere:f" * 30]]
)
def test_on_a_terminal_of_80_columns_no_word_is_broken(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL, encoding="utf-8")
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"NO_COLOR": "1", "TERM": "xterm"}
    command = [str(COMMAND), *arguments]
    piped = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    import termios

    ours, theirs = os.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, env=environment) as shown:
        os.close(theirs)
        said = bytearray()
        while True:
            try:
                chunk = os.read(ours, 2**16)
            except OSError:  # Linux's end of a pseudo terminal
                break
            if not chunk:
                break
            said += chunk
    os.close(ours)
    assert shown.returncode == piped.returncode != 0
    lines = said.decode().replace("\r\n", "\n").split("\n")
    whole = piped.stdout + piped.stderr
    assert max(map(len, whole.splitlines())) > 80
    assert " ".join(" ".join(lines).split()) == " ".join(whole.split())  # the same words, whole
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
