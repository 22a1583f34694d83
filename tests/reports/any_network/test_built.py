"""`backproof verify model.py:build`, `bp.verify(module, inputs)` and the fixture: the same report through every door."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import backproof as bp
from backproof.reference.case import InvalidInput

COMMAND = Path(sys.executable).with_name("backproof")
SOURCE = """
import torch

class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 3
    @staticmethod
    def backward(ctx, g):
        return g * 6

def right():
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.GELU()), torch.randn(2, 3)

def wrong():
    print("not on our stdout")
    return {"function": Doubled.apply, "inputs": torch.randn(2, 3, requires_grad=True)}

def with_a_loss():
    target = torch.zeros(2, 5)
    module, inputs = right()
    return {"function": module, "inputs": inputs, "loss": lambda y: torch.nn.functional.mse_loss(y, target)}

def nothing():
    return 3

def raises():
    raise KeyError("weights")

def unknown():
    return (lambda x: torch.linalg.eigvalsh(x + x.T)), torch.randn(3, 3, requires_grad=True)
"""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("right", 0, "agrees: Sequential's gradient is the chain rule's to 30 digits"),
        ("wrong", 1, "because in the backward of Doubled, the gradient of input 0 is doubled"),
        ("with_a_loss", 0, "agrees"),
        ("nothing", 2, "nothing(): expected it to return (module or function, inputs)"),
        ("raises", 2, "raises raised KeyError: 'weights'"),
        ("unknown", 2, "aten::_linalg_eigh is not covered"),
        ("absent", 2, "has no absent"),
    ],
)
def test_on_the_command_line(name: str, code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE, encoding="utf-8")
    finished = subprocess.run(
        [COMMAND, "verify", f"model.py:{name}"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert finished.returncode == code
    assert words in finished.stdout + finished.stderr
    assert "not on our stdout" not in finished.stdout
    assert "Traceback" not in finished.stderr


@pytest.mark.usefixtures("slow")
def test_as_json_and_junit(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE, encoding="utf-8")

    def printed(format: str) -> str:
        command = [str(COMMAND), "verify", "model:wrong", "--format", format]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stdout

    assert json.loads(printed("json"))["verdict"] == "wrong"
    assert re.search('failures="1".*<failure type="wrong".*is doubled.*</failure>', printed("junit"), re.DOTALL)


def test_in_python() -> None:
    module = torch.nn.Linear(3, 2)
    assert bp.verify(module, torch.randn(5, 3), loss=lambda y: (y * y).sum()).ok
    with pytest.raises(InvalidInput, match=r"Linear is a module: .*backproof.verify\(module, inputs\)"):
        bp.verify(module)
    with pytest.raises(InvalidInput, match="nothing to differentiate by"):
        bp.verify(torch.sin, torch.arange(3))
    with pytest.raises(InvalidInput, match="loss: expected a function of what Linear returns.*got 'mse'"):
        bp.verify(module, torch.randn(5, 3), loss="mse")
    with pytest.raises(InvalidInput, match="expected a torch.nn.Module, or inputs that are PyTorch tensors"):
        bp.verify(len, ["a"])


def test_where_no_tensor_requires_a_gradient_all_real_ones_are_differentiated() -> None:
    x, target = torch.randn(3, 4), torch.tensor([0, 3, 1])
    report: Any = bp.verify(torch.nn.functional.cross_entropy, (x, target))
    assert report.ok
    assert report.names == ("input 0",)
    assert not x.requires_grad
    assert bp.verify(lambda given: given["a"] @ given["b"], [{"a": x, "b": torch.randn(4, 2)}]).names == (
        "input 0['a']", "input 0['b']",
    )  # fmt: skip


@pytest.mark.usefixtures("slow")
def test_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "test_model.py").write_text(
        """
import model

def test_right(backproof):
    backproof(*model.right())

def test_wrong(backproof):
    given = model.wrong()
    backproof(given["function"], given["inputs"])
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "test_model.py"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "1 failed, 1 passed" in finished.stdout
    assert "the gradient of input 0 is doubled" in finished.stdout
