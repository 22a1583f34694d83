"""`[tool.backproof]`: typed, refused in a line, and after what the command line says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

import msgspec
from backproof.reference.case import InvalidInput
from backproof.reports.settings import Settings, defaults_of_verify
from backproof.reports.verify import verify

COMMAND = Path(sys.executable).with_name("backproof")


def written(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_nearest_file_is_read_and_lists_are_written_as_options(tmp_path: Path) -> None:
    written(
        tmp_path,
        '[tool.backproof]\nsizes = [2, 3, 1]\nactivations = ["tanh", "identity"]\ntimeout = 2\nstrict = true\n',
    )
    (tmp_path / "inner").mkdir()
    expected = {"sizes": "2,3,1", "activations": "tanh,identity", "timeout": "2.0", "strict": True}
    assert defaults_of_verify(tmp_path / "inner") == expected
    assert defaults_of_verify(written(tmp_path / "inner", "[project]\nname = 'x'\n")) == {}
    assert defaults_of_verify(written(tmp_path / "inner", "tool = 3\n")) == {}


def test_the_page_about_it_names_every_key_and_shows_what_is_taken(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "automation.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert defaults_of_verify(written(tmp_path, shown))["sizes"] == "2,3,1"
    listed = re.findall(r"`([\w-]+)`", page.partition("several by commas:")[2].partition(". A key")[0])
    assert listed == [field.encode_name for field in msgspec.structs.fields(Settings)]


def test_every_key_is_an_option_of_verify() -> None:
    options = set(verify.__annotations__)
    assert set(Settings.__struct_fields__) < options


@pytest.mark.parametrize(("text", "said"), [
    ('[tool.backproof]\nlos = "x"', r"\[tool\.backproof\]: there is no los; did you mean loss\?$"),
    ("[tool.backproof]\nzzz = 1", "there is no zzz; expected one of returns, sizes, .*, learning-rate, "),
    ('[tool.backproof]\ntimeout = "x"', "expected `float`, got `str` at `timeout`"),
    ('[tool.backproof]\ndtype = "float99"', "'float99' at `dtype`"),
    ("[tool.backproof]\nsizes = [0]", r"expected `int` >= 1 at `sizes\[0\]`"),
    ("[tool]\nbackproof = 3", "expected `object`, got `int`"),
    ("x =", r"pyproject\.toml: expected TOML"),
])  # fmt: skip
def test_what_is_no_setting_is_refused_in_a_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        defaults_of_verify(written(tmp_path, text))
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("slow")
def test_the_command_line_comes_before_the_file_and_the_file_before_the_default(tmp_path: Path) -> None:
    source = Path(__file__).with_name("tutorial.py").read_text(encoding="utf-8")
    (tmp_path / "mynet.py").write_text(source, encoding="utf-8")
    written(tmp_path, '[tool.backproof]\nloss = "squared_error"\nsizes = [2, 3, 1]\ncases = "few"\n')

    def code(*words: str) -> int:
        command: list[str | Path] = [COMMAND, "verify", "mynet:gradients", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert code() == 1  # it has a ½, which the file says that it has not
    assert code("--loss", "half_squared_error") == 0
    written(tmp_path, "[tool.backproof]\nlos = 1\n")
    assert code() == 2
    assert subprocess.run([COMMAND, "--version"], cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_a_shell_is_told_how_to_complete() -> None:
    command = f'"{COMMAND}" --show-completion; exit $?'  # a shell, which is looked for among the parents, stays one
    shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "complete" in shown.stdout
    assert shown.stderr == ""
