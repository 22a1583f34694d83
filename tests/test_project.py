"""The project's own promises about itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_lowest_environment_pins_the_declared_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = dict(
        requirement.split(">=") for requirement in (*project["dependencies"], *extras["jax"], *extras["pytest"])
    )
    pins = re.findall(
        r"^([\w-]+)==([\d.]+)\.\*$", (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name: _padded(bound) for name, bound in declared.items()} == {name: _padded(pin) for name, pin in pins}


def _padded(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (2 - len(parts)))


def test_no_module_is_named_after_nothing() -> None:
    names = {
        path.stem for folder in ("reference", "adapters", "reports", "tests") for path in (ROOT / folder).rglob("*.py")
    }
    assert not names & {"utils", "util", "helpers", "common", "misc"}


def test_the_readme_s_test_command_is_what_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    last = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().splitlines()[-1]
    assert last.replace(" --quiet", "") in readme


def test_the_page_about_the_house_names_what_there_is() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(\.\./([^)]+)\)", page)
    assert len(linked) > 20
    assert [path for path in linked if not (ROOT / path).exists()] == []
    drawn = page.partition("```\n")[2].partition("```")[0]
    top = re.findall(r"^(\w+/)", drawn, re.MULTILINE)
    wings = re.findall(r"^  (\w+/)", drawn, re.MULTILINE)
    assert [name for name in top if not (ROOT / name).is_dir()] == []
    there = {f"{path.parent.name}/" for top in ("reference", "reports") for path in (ROOT / top).glob("*/__init__.py")}
    assert set(wings) == there
    files = set(re.findall(r"\b(\w+\.py)\b", drawn))
    assert {name for name in files if not list(ROOT.glob(f"re*/{name}"))} == set()


def test_every_wing_has_a_door_that_says_what_it_is_for_and_where_to_begin() -> None:
    for door in (ROOT / top for top in ("reference", "reports")):
        for path in door.glob("*/__init__.py"):
            text = path.read_text(encoding="utf-8")
            assert re.search(r"First(?: to read)?: `\w+\.py`", text), path
            assert len(text.splitlines()) <= 55, path
            for name in re.findall(r"`(\w+\.py)`", text):
                assert (path.parent / name).exists(), (path, name)
