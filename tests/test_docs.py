"""The documentation's programs run, and print what it says that they print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

import backproof as bp
from tutorial import gradients

DOCS = Path(__file__).parents[1] / "docs"
VALIDATE = (DOCS / "validate.md").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).with_name("backproof")


def block(beginning: str, number: int = 0) -> str:
    """The fenced block that begins with these words; of several, the one with this number, from 0."""
    parts = re.split(r"^```\w*\n", VALIDATE, flags=re.MULTILINE)
    return [part for part in parts[1::2] if part.startswith(beginning)][number]


def to_twelve_decimals(text: str) -> str:
    """The last digits of a framework's own rounding differ from machine to machine."""
    return re.sub(r"(\d\.\d{12})\d+", r"\1", text)


def verified(folder: Path) -> str:
    finished = subprocess.run(
        [COMMAND, "verify", "mynet:gradients", "--sizes", "2,3,1"],
        capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False,
    )  # fmt: skip
    return to_twelve_decimals(finished.stdout)


@pytest.mark.usefixtures("slow")
def test_the_tutorial_s_class_has_the_bug_that_is_shown_and_the_fix_works(tmp_path: Path) -> None:
    source = block("# mynet.py")
    (tmp_path / "mynet.py").write_text(source, encoding="utf-8")
    shown = to_twelve_decimals(block("$ backproof verify")).splitlines()[1:]
    before, after = shown[: shown.index("    …")], shown[shown.index("    …") + 1 :]
    printed = verified(tmp_path).splitlines()
    assert printed[: len(before)] == before
    assert printed[-len(after) :] == after

    wrong = "            delta = delta @ self.weights[k]\n"
    fixed = source.replace(wrong, "            delta = delta @ self.weights[k] * a[k] * (1 - a[k])\n")
    assert fixed != source
    (tmp_path / "mynet.py").write_text(fixed, encoding="utf-8")
    assert verified(tmp_path).startswith(block("agrees, to ", 1).strip())


@pytest.mark.usefixtures("slow")
def test_what_a_right_function_is_told_is_shown() -> None:
    shown, told = block("agrees, to ").strip().splitlines(), str(bp.verify(gradients)).splitlines()
    assert shown[:3] == told[:3]  # the last says how many numbers could not be decided, which is a matter of rounding
    assert len(shown) == len(told)


SHAPES = """
import numpy as np

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

class Net:
    def __init__(self, sizes): self.weights = self.biases = None
    def forward(self, x):
        self.a = [x]
        for w, b in zip(self.weights, self.biases): self.a.append(sigmoid(self.a[-1] @ w.T + b))
    def backward(self, t):
        d = (self.a[-1] - t) * self.a[-1] * (1 - self.a[-1])
        self.weight_gradients, self.bias_gradients = [], []
        for k in reversed(range(len(self.weights))):
            self.weight_gradients.insert(0, d.T @ self.a[k]); self.bias_gradients.insert(0, d.sum(0))
            d = d @ self.weights[k] * self.a[k] * (1 - self.a[k])

class NeuralNetwork:
    def __init__(self, x, y): self.input, self.y = x, y
    def feedforward(self):
        self.layer1 = sigmoid(self.input @ self.weights1); self.output = sigmoid(self.layer1 @ self.weights2)
    def backprop(self, rate):
        d2 = 2 * (self.y - self.output) * self.output * (1 - self.output)
        d1 = d2 @ self.weights2.T * self.layer1 * (1 - self.layer1)
        self.weights2 = self.weights2 + rate * self.layer1.T @ d2
        self.weights1 = self.weights1 + rate * self.input.T @ d1
"""


@pytest.mark.usefixtures("slow")
def test_the_three_shapes_of_classes_are_verified_as_shown() -> None:
    torch = pytest.importorskip("torch")
    names: dict[str, object] = {"bp": bp, "torch": torch}
    exec(SHAPES, names)  # noqa: S102 -- the classes of the documentation
    program = block("# 1. An object")
    reports: list[object] = []
    names["bp"] = type("Recorder", (), {"verify": staticmethod(lambda *a, **k: reports.append(bp.verify(*a, **k)))})
    exec(program, names)  # noqa: S102 -- our own documentation
    assert [getattr(report, "verdict", None) for report in reports] == ["agrees"] * 3
    assert "squared error without ½, summed over samples" in str(reports[1])
    assert "averaged over samples and outputs" in str(reports[2])


def test_both_languages_say_the_same_numbers() -> None:
    pages = [(DOCS / page).read_text(encoding="utf-8") for page in ("tutorial.md", "pt/tutorial.md")]
    english, portuguese = (re.findall(r"^```output\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL) for page in pages)
    assert english == portuguese


def python_of(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.usefixtures("slow")
def test_the_code_of_the_page_about_any_network_runs_as_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pages = python_of("any-network.md")
    files = {code.split("\n")[0].removeprefix("# "): code for code in pages if re.match(r"# \w+\.py\n", code)}
    assert list(files) == ["norm.py", "test_norm.py"]
    right = "dx = scale * (d - d.mean(-1, keepdim=True) - normed * (d * normed).mean(-1, keepdim=True))"
    said = []
    for repair in (False, True):
        for name, code in files.items():
            mended = code.replace("dx = scale * (d - d.mean(-1, keepdim=True))", right) if repair else code
            (tmp_path / name).write_text(mended, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_norm.py"]
        said.append(subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False))
    assert [finished.returncode for finished in said] == [1, 0]
    for words in (
        "wrong: LayerNorm's gradient is not that of what it computes",
        "the gradient through centred * centred in",
        "x0 = torch.tensor([[-1.1, -1.2]], dtype=torch.float32,",
        "(g,) = torch.autograd.grad(y[0, 0], x0)",
    ):
        assert words in (DOCS / "any-network.md").read_text(encoding="utf-8")
        assert words in said[0].stdout
    exec("\n".join(code for code in pages if code not in files.values() and "jax" not in code), {})  # noqa: S102
    printed = capsys.readouterr().out
    assert "agrees: TransformerEncoderLayer's gradient is the chain rule's to 30 digits" in printed
    assert "but for what is declared a surrogate" in printed


def test_the_check_of_a_large_layer_says_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "machines.md").read_text(encoding="utf-8")
    program, shown = re.findall(r"```(?:python)?\n(import .*?|agrees: .*?)```", page, re.DOTALL)
    exec(program, {})  # noqa: S102
    printed = capsys.readouterr().out
    # the last digits of a float32 sum are the BLAS's
    assert re.sub(r"(\.\d{5})\d+", r"\1", printed) == re.sub(r"(\.\d{5})\d+", r"\1", shown)
