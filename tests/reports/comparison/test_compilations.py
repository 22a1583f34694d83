"""What JAX compiles is kept where it may be, and the environment is left as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from backproof.reports.comparison.compilations import FOLDER, kept_compilations

COMMAND = Path(sys.executable).with_name("backproof")


def test_the_folder_is_the_user_s_cache_and_named_by_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(FOLDER, raising=False)
    before = dict(os.environ)
    with kept_compilations():
        first = Path(os.environ[FOLDER])
        assert first.is_dir()
        assert first.parent == tmp_path / "backproof"
    assert dict(os.environ) == before
    monkeypatch.setattr("backproof.reports.comparison.compilations.model", lambda: "another")
    with kept_compilations():
        assert Path(os.environ[FOLDER]) != first


def test_what_the_user_has_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "mine"))
    before = dict(os.environ)
    with kept_compilations():
        assert dict(os.environ) == before


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(FOLDER, raising=False)
    before = dict(os.environ)
    with kept_compilations():
        assert dict(os.environ) == before


@pytest.mark.usefixtures("slow")
def test_what_was_kept_changes_no_number_of_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    arguments = [str(COMMAND), *["compare", "--adapter", "jax", "--case", "xor-*", "--jobs", "1", "--format", "json"]]
    arguments += ["--dtype", "float32", "--dtype", "float64"]  # a processor without F16C has no float16 in JAX
    runs, kept = [], []
    for settings in ({"JAX_ENABLE_COMPILATION_CACHE": "false"}, {}, {}):
        finished = subprocess.run(
            arguments, capture_output=True, check=True, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), **settings}
        )
        runs.append([{**run, "seconds": None} for run in json.loads(finished.stdout)["runs"]])
        kept.append(len(list(tmp_path.rglob("*-cache"))))
    assert runs[0] == runs[1] == runs[2]
    assert kept[0] == 0 < kept[1] == kept[2], "the third run compiled nothing"
