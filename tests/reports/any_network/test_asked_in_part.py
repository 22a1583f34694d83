"""Less is asked for than in the other checks: of one input alone, or of one output; a backward may look at that."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
import backproof as bp
from backproof.reports.any_network.rule import WrongRule
from backproof.torch import gradcheck


def linear(flag: int | None) -> Any:
    """x Wᵀ, whose weight gradient stands under the flag of this input."""

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x @ w.T

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            gx = g @ w if ctx.needs_input_grad[0] else None
            gw = g.T @ x if flag is None or ctx.needs_input_grad[flag] else None
            return gx, gw

    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor([[0.3, -0.7, 0.2], [0.5, 0.1, -0.4]]))

        def forward(self, x: Any) -> Any:
            return Linear.apply(x, self.w).tanh()

    return Module()


@pytest.mark.parametrize("asks", [False, True], ids=["an input that asks for no gradient", "one that asks"])
@pytest.mark.parametrize("flag", [None, 1, 0], ids=["no flag", "its own flag", "another's flag"])
def test_a_gradient_that_stands_under_another_s_flag_is_missing_in_training(flag: int | None, asks: bool) -> None:
    x = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]).requires_grad_(asks)
    report = bp.verify(linear(flag), x)
    if flag == 0:
        assert report.verdict == "wrong", report
        assert "where only w requires a gradient, there is no gradient of w" in " ".join(str(report).split())
    else:
        assert report.ok, report


def two_outputs(kind: str) -> Any:
    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.set_materialize_grads(kind == "zeros")
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            (x,) = ctx.saved_tensors
            if kind == "None handled":
                return (a * x.cos() if a is not None else 0) - (b * x.sin() if b is not None else 0)
            if kind == "None for all" and (a is None or b is None):
                return None
            return a * x.cos() - b * x.sin()

    return Two.apply


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("zeros", ""),
        ("None handled", ""),
        ("None not handled", "where only output 0 is used, its backward raises TypeError"),
        ("None for all", "where only output 0 is used, there is no gradient of input 0"),
    ],
)
def test_an_output_that_nobody_uses_gives_no_cotangent(kind: str, words: str) -> None:
    x = torch.tensor([0.5, -1.0], dtype=torch.float64, requires_grad=True)
    report = bp.verify(two_outputs(kind), x)
    assert report.verdict == ("wrong" if words else "agrees"), report
    assert words in " ".join(str(report).split())
    if words:
        with pytest.raises(WrongRule):
            gradcheck(two_outputs(kind), (x,))


def test_a_forward_that_differentiates_by_its_input_is_asked_for_all() -> None:
    """As of an equation's residual: where the input requires no gradient, it raises, and that is no mistake."""

    def residual(x: Any, w: Any) -> Any:
        (slope,) = torch.autograd.grad((x @ w).tanh().sum(), x, create_graph=True)
        return slope**2

    x, w = torch.tensor([[0.5, -1.0]], requires_grad=True), torch.tensor([[0.3], [0.8]], requires_grad=True)
    report = bp.verify(residual, (x, w))
    assert report.ok, report


class Caching(torch.nn.Module):
    """Keeps a product together with its graph: the second step of a training raises."""

    def __init__(self, format: Any) -> None:
        super().__init__()
        self.weight, self.kept = torch.nn.Parameter(torch.randn(3, 3, dtype=format)), None

    def forward(self, x: Any) -> Any:
        if self.kept is None:
            self.kept = self.weight @ self.weight.T
        return x @ self.kept


@pytest.mark.parametrize("format", [torch.float32, torch.float64], ids=str)
def test_a_graph_that_is_kept_from_call_to_call_is_no_agreement(format: Any) -> None:
    report = bp.verify(Caching(format), torch.randn(2, 3, dtype=format))
    assert report.verdict == "undecided", report
    said = " ".join(str(report).split())
    assert "called once it runs; called again at the same point it raised RuntimeError: Trying to backward" in said
    assert "decided in float64" not in said
