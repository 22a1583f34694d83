"""The documentation's programs run, and print what it says that they print."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")

import backproof as bp
from tutorial import gradients

VALIDATE = (Path(__file__).parents[1] / "docs" / "validate.md").read_text(encoding="utf-8")
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


@pytest.mark.parametrize("page", ["tutorial.md", "pt/tutorial.md"])
def test_the_chapter_s_pages_run_and_print_what_they_show(page: str) -> None:
    """All programs of a page, one after the other, as a reader would."""
    text = (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```(python|output)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    printed = ""
    shown = 0
    for kind, block_ in fenced:
        if kind == "python":
            with redirect_stdout(io.StringIO()) as out:
                exec(block_, names)  # noqa: S102 — the page's own programs
            printed = out.getvalue()
        else:
            assert printed == block_
            shown += 1
    assert shown == 5


def test_both_languages_say_the_same_numbers() -> None:
    pages = [
        (Path(__file__).parents[1] / "docs" / page).read_text(encoding="utf-8")
        for page in ("tutorial.md", "pt/tutorial.md")
    ]
    english, portuguese = (re.findall(r"^```output\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL) for page in pages)
    assert english == portuguese
