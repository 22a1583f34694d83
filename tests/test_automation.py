"""What others build upon: the action's script, the hook, the package's links, and the one version."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = "https://example.org/us/backproof"
RELATIVE = re.compile(r"\]\((?!\w+:|#)")


@pytest.fixture
def setup_py() -> dict[str, Any]:
    """What setup.py defines; environments of Python 3.12 and later come without setuptools."""
    pytest.importorskip("setuptools")
    return runpy.run_path(str(ROOT / "setup.py"))


def judged(folder: Path, lines: str) -> subprocess.CompletedProcess[str]:
    """The action's script on these lines, beside a right net."""
    pytest.importorskip("typer")
    (folder / "right.py").write_text((ROOT / "tests" / "reports" / "tutorial.py").read_text(encoding="utf-8"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", ROOT / ".ci" / "verify-each"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, "VERIFY": lines, "REPORTS": str(folder / "made" / "here")},
    )  # fmt: skip


@pytest.mark.usefixtures("slow")
def test_the_action_s_script_judges_each_line_and_ends_with_the_first_code_that_is_not_0(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    wrong = "right:gradients --sizes 2,3,1 --cases few --loss 'squared_error'"
    finished = judged(tmp_path, f"right:gradients --sizes 2,3,1 --cases few\n\n{wrong}\nright:none\n")
    assert finished.returncode == 1, finished.stderr
    assert re.findall(r"^exit code (\d)$", finished.stdout, re.MULTILINE) == ["0", "1", "2"]
    assert "that is not what was declared" in finished.stdout
    reports = sorted((tmp_path / "made" / "here").glob("*.xml"))
    assert [path.name for path in reports] == ["1.xml", "2.xml", "3.xml"]
    assert [len(ET.parse(path).findall(".//failure")) > 0 for path in reports[:2]] == [False, True]  # noqa: S314


def test_the_action_s_script_wants_a_line(tmp_path: Path) -> None:
    finished = judged(tmp_path, " \n\n")
    assert finished.returncode == 2
    assert "expected at least one line" in finished.stderr


def test_the_action_and_the_hook_run_what_there_is() -> None:
    action = (ROOT / "action.yml").read_text(encoding="utf-8")
    scripts = re.findall(r"\$GITHUB_ACTION_PATH/([^\s\"]+)", action)
    assert scripts == [".ci/verify-each"]
    assert os.access(ROOT / scripts[0], os.X_OK)
    assert set(re.findall(r"inputs\.([\w-]+)", action)) == set(
        re.findall(r"^  ([\w-]+):$", action.partition("runs:")[0], re.MULTILINE)
    )
    assert "entry: backproof verify\n" in (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")


def test_on_an_index_page_no_link_is_relative(setup_py: dict[str, Any]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(RELATIVE.findall(readme)) > 20
    for address in ("", ADDRESS):
        assert RELATIVE.findall(setup_py["described"](readme, address)) == []
    linked = re.findall(rf"\({ADDRESS}/(?:blob|raw)/main/([^)#]+)", setup_py["described"](readme, ADDRESS))
    assert [name for name in linked if not (ROOT / name).exists()] == []
    assert len(linked) > 20


def test_the_project_has_urls_where_its_address_is_known(setup_py: dict[str, Any]) -> None:
    assert setup_py["urls"]("") == {}
    assert set(setup_py["urls"](ADDRESS)) == {"Homepage", "Documentation", "Changelog", "Issues"}


def test_the_version_is_one() -> None:
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading, date = re.findall(r"^## ([^\s,]+)(?:, (\S+))?$", changes, re.MULTILINE)[0]
    assert heading in (version, "Unreleased")
    if heading == version:
        assert f"date-released: {date}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nbackproof {version}," in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_classifiers_name_the_pythons_that_tox_tests() -> None:
    named = re.findall(r"Python :: 3\.(\d+)", "\n".join(PROJECT["classifiers"]))
    (tested, *_) = re.findall(r"^    py3\{([\d,]+)\}-\{", (ROOT / "tox.ini").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == tested.split(",")
