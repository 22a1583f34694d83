"""Modules and functions with rules of their own, handed over as people have them: they work, or the one line is told."""

from __future__ import annotations

import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import backproof as bp
import pytest
from backproof.reference.case import InvalidInput

torch: Any = pytest.importorskip("torch")


class Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 2 * g


@pytest.mark.parametrize(
    ("handed", "line"),
    [
        (lambda: torch.nn.Linear(2, 1), r"Linear is a module: .*backproof.verify\(module, inputs\)"),
        (lambda: torch.nn.Linear, r"Linear is a class: .*backproof.verify\(Linear\(…\), inputs\)"),
        (lambda: Twice, r"Twice is an autograd.Function: .*backproof.verify\(Twice.apply, inputs\)"),
        (lambda: Twice.apply, r"Twice is an autograd.Function: .*backproof.verify\(Twice.apply, inputs\)"),
    ],
)
def test_without_inputs_the_one_line_is_told(handed: Callable[[], Any], line: str) -> None:
    with pytest.raises(InvalidInput, match=line):
        bp.verify(handed())


@pytest.mark.parametrize("handed", [Twice, torch.nn.Linear])
def test_a_class_with_inputs_is_refused_in_words(handed: Any) -> None:
    with pytest.raises(InvalidInput, match=r"backproof.verify\("):
        bp.verify(handed, torch.ones(2, requires_grad=True))


def test_the_lines_work() -> None:
    x = torch.tensor([[0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    assert bp.verify(Twice.apply, x).ok
    assert bp.verify(torch.nn.Linear(2, 1).double(), x).ok


def test_jax_s_custom_rules_are_told_the_line() -> None:
    jax = pytest.importorskip("jax")
    squared = jax.custom_vjp(lambda x: x * x)
    squared.defvjp(lambda x: (x * x, x), lambda x, g: (2 * g * x,))
    with pytest.raises(InvalidInput, match=r"verify it at small inputs: backproof.verify\(f, inputs\)"):
        bp.verify(squared)
    assert bp.verify(squared, [jax.numpy.arange(3.0)]).ok


def test_an_equinox_module_s_parameters_are_looked_at() -> None:
    jax, equinox = pytest.importorskip("jax"), pytest.importorskip("equinox")
    report = bp.verify(equinox.nn.MLP(3, 2, 4, 1, key=jax.random.key(0)), [jax.numpy.arange(3.0) / 7])
    assert report.ok
    assert len(report.names) == 5  # two layers of weights and biases, and the input


FILE = """
import neighbour
import torch
net = torch.nn.Linear(3, 2)
Net = torch.nn.Linear
def build():
    return net, torch.ones(2, 3)
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("net.py:build", 0, "agrees: Linear's gradient is the chain rule's"),
        ("net.py:net", 2, "is a module: let a function return it with small inputs, `def build(): return net, inputs`"),
        ("net.py", 2, "expected a function of the file as well, such as net.py:gradients"),
        ("nowhere.py:f", 2, "there is no file"),
        ("net:build", 2, "expected a file's name with .py, such as net.py:build"),
    ],
)
def test_a_file_is_named_by_its_path(
    named: str, code: int, said: str, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (tmp_path / "neighbour.py").write_text("", encoding="utf-8")
    (tmp_path / "net.py").write_text(FILE, encoding="utf-8")
    finished = command("verify", f"{tmp_path}/{named}")
    assert finished.returncode == code, finished.stderr
    assert said in " ".join((finished.stdout + finished.stderr).split())


class Kept(torch.nn.Module):
    """It keeps its last result, a list of all, and what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.lock = torch.nn.Linear(3, 2), threading.Lock()
        self.results: list[Any] = []

    def forward(self, x: Any) -> Any:
        with self.lock:
            self.last = torch.tanh(self.linear(x))
            self.results.append(self.last)
            return self.last


def test_a_module_that_keeps_results_or_a_lock_is_verified_and_left_as_it_was() -> None:
    module, x = Kept(), torch.randn(2, 3)
    last = module(x)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    report = bp.verify(module, x, numbers=True)
    assert report.ok, report
    assert module.last is last
    assert len(module.results) == 1
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


@pytest.mark.usefixtures("slow")
def test_a_wrong_one_of_these_is_wrong() -> None:
    class Wrong(Kept):
        def forward(self, x: Any) -> Any:
            return Wronged.apply(super().forward(x))

    class Wronged(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g

    module, x = Wrong(), torch.randn(2, 3)
    module(x)
    assert bp.verify(module, x).verdict == "wrong"


def test_a_module_that_cannot_be_copied_is_refused_in_words() -> None:
    class Single(torch.nn.Module):
        def __deepcopy__(self, memo: Any) -> Any:
            raise RuntimeError("there is one of these")

        def forward(self, x: Any) -> Any:
            return x * x

    with pytest.raises(InvalidInput, match=r"Single: expected a module that can be copied, .*there is one of these"):
        bp.verify(Single(), torch.randn(2, 3))


@dataclass
class Answer:
    logits: Any
    more: Any = None


class Named(OrderedDict[str, Any]):
    pass


@pytest.mark.parametrize(
    "answer", [Answer, lambda y: Named(logits=y), lambda y: [Answer(y), Answer(None, {"k": Named(a=y)})]]
)
def test_what_a_library_s_models_return_is_opened(answer: Callable[[Any], Any]) -> None:
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            return answer(torch.tanh(self.linear(x)))

    report = bp.verify(Model(), torch.randn(2, 3), numbers=True)
    assert report.ok, report
    assert any("tanh" in r.origin.name for r in report.numbers.run.results)


def test_what_returns_nothing_to_differentiate_is_told_of_loss() -> None:
    class Opaque:
        def __init__(self, y: Any) -> None:
            self.logits = y

    report = bp.verify(lambda x: Opaque(x * x), torch.randn(3))
    assert report.verdict == "undecided"
    assert "backproof.verify(…, loss=lambda y: y.logits)" in " ".join(str(report).split())
    assert bp.verify(lambda x: Opaque(x * x), torch.randn(3), loss=lambda y: y.logits).ok
