"""The public names, and the README's program."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")

import backproof

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", backproof.__all__)
def test_every_public_name_resolves_the_first_time_and_ever_after(name: str) -> None:
    first, second = getattr(backproof, name), getattr(backproof, name)
    assert first is second or first == second  # the version is read anew each time
    assert type(first).__name__ != "module"
    assert name in dir(backproof)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = backproof.nonsense


def test_a_framework_s_module_is_there_without_an_import_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    assert backproof.torch.gradcheck is sys.modules["backproof.torch"].gradcheck

    def not_there(name: str, package: str) -> None:
        raise ImportError(f"{name} of {package}")

    monkeypatch.delattr(backproof, "jax", raising=False)
    monkeypatch.setattr(backproof, "import_module", not_there)
    with pytest.raises(AttributeError, match=r"backproof\.jax: jax is not installed"):
        _ = backproof.jax


def test_the_readme_s_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})  # noqa: S102 -- our own README
    gradients, verdict = capsys.readouterr().out.splitlines()
    assert gradients.startswith("([[")
    assert verdict == "agrees"
