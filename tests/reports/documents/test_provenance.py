"""What reports say of where they came from: processor, BLAS, commit and command, and nobody's name or folders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which
from typing import Any

import msgspec
import pytest

pytest.importorskip("numpy")
pytest.importorskip("msgspec")
pytest.importorskip("jinja2")

from backproof.adapters.adapter import known_adapters
from backproof.reports.comparison.matrix import compare
from backproof.reports.documents import processor, provenance
from backproof.reports.documents.checked import decoded
from backproof.reports.documents.results import BlasResult, Results, encoded
from backproof.reports.views.render import FORMATS
from standard import CASES

CASE = CASES["xor-hidden", "float64"]
KNOWN: dict[str, Any] = {
    "processor": "Fast 7",
    "simd": "AVX2",
    "blas": BlasResult("openblas", "0.3", 2, "Haswell"),
    "commit": "0123456789ab+",
    "command": "backproof compare --case 'xor*'",
}


@pytest.fixture(scope="module")
def results() -> Results:
    return compare([CASE], [known_adapters()["numpy"]])


def with_environment(results: Results, **fields: Any) -> Results:
    return msgspec.structs.replace(results, environment=msgspec.structs.replace(results.environment, **fields))


@pytest.mark.parametrize("format", ["terminal", "markdown", "html"])
def test_every_view_ends_with_where_it_came_from(results: Results, format: str) -> None:
    page = FORMATS[format][0](with_environment(results, **KNOWN))
    end = page if format == "html" else "\n".join(page.splitlines()[-2:])
    for said in ("Fast 7, AVX2, openblas 0.3 Haswell, 2 threads", "(commit 0123456789ab+)", "backproof compare --case"):
        assert said in end
    if format == "markdown":
        assert "`backproof compare --case 'xor*'`" in end, "no emphasis"


@pytest.mark.parametrize("format", ["terminal", "markdown", "html"])
def test_what_is_not_known_is_left_out(results: Results, format: str) -> None:
    page = FORMATS[format][0](with_environment(results, **dict.fromkeys(KNOWN)))
    assert "None" not in page
    assert "commit" not in page
    assert f"backproof {results.environment.backproof}, Python" in page


def test_a_document_of_before_is_still_read(results: Results, tmp_path: Path) -> None:
    document = json.loads(encoded(results))
    for field in KNOWN:
        del document["environment"][field]
    old = tmp_path / "results.json"
    old.write_text(json.dumps(document), encoding="utf-8")
    assert decoded(old) == with_environment(results, **dict.fromkeys(KNOWN))


def test_the_processor_is_this_one(results: Results) -> None:
    assert results.environment.processor == processor.model()
    assert results.environment.simd == processor.simd()
    blas = processor.blas()
    assert (blas is None) == (results.environment.blas is None)
    assert results.environment.command is None, "pytest is no command of backproof's"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["/home/ana/.venv/bin/backproof", "compare"], "backproof compare"),
        (["C:\\Users\\ana\\Scripts\\backproof.exe", "compare"], "backproof compare"),
        (["backproof", "compare", "--case", "xor-*", "--strict"], "backproof compare --case 'xor-*' --strict"),
        (["backproof", "compare", "--out", "build/report"], "backproof compare --out build/report"),
        (["backproof", "compare", "--out", "/home/ana/report"], "backproof compare --out report"),
        (["backproof", "compare", "--out=/home/ana/report"], "backproof compare --out=report"),
        (["backproof", "compare", "--out", "~ana/report"], "backproof compare --out report"),
        (["backproof", "compare", "--out", "C:\\Users\\ana\\report"], "backproof compare --out report"),
        (["backproof", "compare", "--against", "/home/ana/"], "backproof compare --against ana"),
        (["/usr/bin/pytest", "tests"], None),
        (["-c"], None),
    ],
)
def test_a_command_is_told_without_folders(monkeypatch: pytest.MonkeyPatch, given: list[str], told: str | None) -> None:
    monkeypatch.setattr(provenance, "set_here", dict)
    assert provenance.command(given) == told


def test_the_settings_that_a_command_ran_under_stand_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in processor.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NPY_DISABLE_CPU_FEATURES", "X86_V3 X86_V4")
    assert provenance.command(["backproof", "compare"]) == "NPY_DISABLE_CPU_FEATURES='X86_V3 X86_V4' backproof compare"


def test_only_a_checkout_has_a_commit(tmp_path: Path) -> None:
    if which("git") is None:
        pytest.skip("no git")

    def git(*arguments: str) -> str:
        names = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *names, "-C", str(tmp_path), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    assert provenance.commit(tmp_path) is None
    git("init", "--quiet")
    assert provenance.commit(tmp_path) is None, "a checkout without a commit"
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "one")
    git("tag", "v1")
    assert provenance.commit(tmp_path) == git("rev-parse", "HEAD")[:12]
    (tmp_path / "a").write_text("2")
    assert provenance.commit(tmp_path) == git("rev-parse", "HEAD")[:12] + "+"
    within = tmp_path / "site-packages"
    within.mkdir()
    assert provenance.commit(within) is None, "installed inside somebody else's checkout"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert provenance.commit(tmp_path) is None
