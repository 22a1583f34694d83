"""Every page's programs run as printed, and print what the page shows.

Of a page, the blocks are read in order. One that begins with a comment that is a file's name is that file. The others in
Python run one after the other in one process, beside those files; an `output` block is what the one before printed. One
that begins with `$ backproof` is a command and what it answers, where `…` stands for anything.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("numpy")
pytest.importorskip("typer")
markdown_it = pytest.importorskip("markdown_it")

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
COMMAND = Path(sys.executable).with_name("backproof")
FRAMEWORKS = {"torch", "jax", "tensorflow", "keras"}  # whose import takes seconds
COMMANDS_ELSEWHERE = {"validate.md", "any-network.md"}  # test_docs.py runs those, wrong and repaired
FILE = re.compile(r"(?:#|//|/\*) ?([\w-]+\.\w+)")
NEEDS = {"c": "cc", "js": "node"}
INSTALL = {"sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu"}
MARK = "\x1e"

# What a page takes for granted: names of the reader's own.
TAKEN = {
    "validate.md": """
import numpy as np, torch
from tutorial import gradients as my_gradients, sigmoid
f = my_gradients

class Net:
    def __init__(self, sizes): self.weights = self.biases = None
    def forward(self, x): self.x = x
    def backward(self, t): self.weight_gradients, self.bias_gradients = my_gradients(self.weights, self.biases, self.x, t)

class NeuralNetwork:
    def __init__(self, x, y): self.x, self.y = x, y
    def feedforward(self): pass
    def backprop(self, rate):
        dw, _ = my_gradients([self.weights1.T, self.weights2.T], [None, None], self.x, self.y)
        self.weights1, self.weights2 = self.weights1 - rate * dw[0].T, self.weights2 - rate * dw[1].T

w1, b1, w2, b2 = np.array([[0.5, -1.0], [0.25, 2.0]]), np.zeros(2), np.array([[1.0, -0.5]]), np.zeros(1)
inputs, targets = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[1.0], [0.0]])
a = np.tanh(inputs @ w1.T)
d2 = 2 * (a @ w2.T - targets) / 2
d1 = d2 @ w2 * (1 - a**2)
dw1, db1, dw2, db2 = d1.T @ inputs, d1.sum(0), d2.T @ a, d2.sum(0)
""",
}


def blocks(page: str) -> list[tuple[str, str]]:
    """The fenced blocks of a page: their language and their text."""
    tokens = markdown_it.MarkdownIt().parse((DOCS / page).read_text(encoding="utf-8"))
    return [(token.info.strip(), token.content) for token in tokens if token.type == "fence"]


def imported(page: str) -> set[str]:
    """The modules that the page's programs import, its own files left out."""
    names: set[str] = set()
    for text in [TAKEN.get(page, ""), *(text for language, text in blocks(page) if language == "python")]:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                names |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.removeprefix("backproof."))
    files = {match[1].partition(".")[0] for _, text in blocks(page) if (match := FILE.match(text))}
    return {name.partition(".")[0] for name in names} - files - {"tutorial"}


def missing(page: str) -> list[str]:
    """What the page's programs need that is not installed."""
    absent = sorted(INSTALL.get(name, name) for name in imported(page) if find_spec(name) is None)
    return absent + [tool for kind, tool in NEEDS.items() if _has(page, kind) and shutil.which(tool) is None]


def _has(page: str, language: str) -> bool:
    return any(kind == language for kind, _ in blocks(page))


def runs(page: str) -> bool:
    return any(language == "python" or text.startswith("$ backproof") for language, text in blocks(page))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)])
def test_a_page_s_programs_run_and_print_what_it_shows(page: str, tmp_path: Path, quick: bool) -> None:
    if absent := missing(page):
        pytest.skip(f"not installed: {', '.join(absent)}")
    if quick and (page in TAKEN or imported(page) & FRAMEWORKS):
        pytest.skip("slow: --slow runs it")
    programs: list[str] = []
    shown: dict[int, str] = {}
    for language, text in blocks(page):
        if name := FILE.match(text):
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            programs.append(text)
        elif language == "output":
            shown[len(programs) - 1] = text
    (tmp_path / "page.py").write_text(
        f"{TAKEN.get(page, '')}\n" + f"\nprint({MARK!r}, flush=True)\n".join(["", *programs]), encoding="utf-8"
    )
    printed = run(tmp_path, sys.executable, "page.py").split(f"{MARK}\n")[1:]
    for number, text in shown.items():
        assert printed[number] == text
    for language, text in blocks(page):
        if language == "" and text.startswith("$ backproof") and page not in COMMANDS_ELSEWHERE:
            line, _, answer = text.partition("\n")
            pattern = re.escape(answer.strip()).replace("…", ".*")
            assert re.fullmatch(
                pattern, run(tmp_path, "sh", "-c", line.replace("$ backproof", str(COMMAND))), re.DOTALL
            )


def run(folder: Path, *words: str) -> str:
    path = [str(Path(__file__).parent / "reports"), os.environ.get("PYTHONPATH", "")]  # the former has tutorial.py
    finished = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    return finished.stdout


def test_each_framework_has_a_page_with_a_program_that_shows_its_answer() -> None:
    for page in (page for page in PAGES if page.startswith("frameworks/")):
        assert any(language == "output" for language, _ in blocks(page)), page
