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
