"""The command line for tests: in this process, or, where pipes and encodings matter, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from backproof.reports import cli

COMMAND = Path(sys.executable).with_name("backproof")


def in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the command in this process; what it prints is for capsys."""
    monkeypatch.setattr(sys, "argv", ["backproof", *arguments])
    with pytest.raises(SystemExit) as stopped:  # anything else would be a traceback
        cli.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def in_shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `$B` is the command, and the exit code that of the first command of a pipe."""
    return subprocess.run(
        ["bash", "-c", f"{script}\nexit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=120,
        cwd=folder,
        env={**os.environ, "B": str(COMMAND), "COLUMNS": "200", **environment},
        check=False,
    )


def written(path: Path, document: Any) -> Path:
    """The path, with the text of a results document in it."""
    from backproof.reports.documents.results import encoded

    path.write_text(encoded(document), encoding="utf-8")
    return path
