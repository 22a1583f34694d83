"""Functions that differentiate by themselves, inside: reversible blocks, `torch.func`, losses that are fused with their
gradients. What they give is right or wrong like any other."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
import backproof as bp
from backproof.torch import check_numbers
from torch.utils.checkpoint import checkpoint


def drawn(*shape: int) -> Any:
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return numbers.requires_grad_()


class Reversible(torch.autograd.Function):
    """Its backward runs f and g again, and `.backward()` of them: their gradients come in `.grad`.

    Source: Gomez, Ren, Urtasun & Grosse, The reversible residual network (2017), algorithm 1.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, f: Any, g: Any, mistake: str) -> Any:
        first, second = x.chunk(2, 1)
        first = first + f(second)
        second = second + g(first)
        ctx.f, ctx.g, ctx.mistake, ctx.outputs = f, g, mistake, (first, second)
        return torch.cat([first, second], 1)

    @staticmethod
    def backward(ctx: Any, arriving: Any) -> Any:
        (first, second), (by_first, by_second) = ctx.outputs, arriving.chunk(2, 1)
        first = first.detach().requires_grad_()
        with torch.enable_grad():
            of_g = ctx.g(first)
            of_g.backward(by_second * (1.5 if ctx.mistake == "g" else 1))
        second = (second - of_g).detach().requires_grad_()
        by_first = by_first + (0 if ctx.mistake == "first" else first.grad)
        with torch.enable_grad():
            ctx.f(second).backward(by_first)
        return torch.cat([by_first, by_second + second.grad], 1), None, None, None


class Block(torch.nn.Module):
    def __init__(self, mistake: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.f, self.g = (torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh()) for _ in range(2))
        self.mistake = mistake
        self.double()

    def forward(self, x: Any) -> Any:
        return Reversible.apply(x, self.f, self.g, self.mistake)


@pytest.mark.sampled(3, 1)
@pytest.mark.parametrize("mistake", ["", "g", "first"])
def test_a_reversible_block(mistake: str) -> None:
    report = bp.verify(Block(mistake), drawn(2, 4))
    assert report.verdict == ("wrong" if mistake else "agrees"), report
    if not mistake:
        said = " ".join(str(report).split())
        assert "f.0.weight, f.0.bias, g.0.weight, g.0.bias: no gradient where no argument requires one" in said
        assert "to 30 digits" in said


def test_gradients_that_are_accumulated_are_left_as_they_were() -> None:
    module = Block("")
    module.f[0].weight.grad = before = torch.ones(2, 2, dtype=torch.float64)
    assert bp.verify(module, drawn(2, 4)).ok
    assert module.f[0].weight.grad is before
    assert (before == 1).all()
    assert module.g[0].weight.grad is None


def test_a_reentrant_checkpoint_outside_of_a_test_run() -> None:
    """PyTorch warns where no argument requires a gradient; it does not raise."""
    inner = torch.nn.Linear(3, 4)

    class Checkpointed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Any) -> Any:
            return checkpoint(lambda x: torch.tanh(self.inner(x)), x, use_reentrant=True).sin()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = bp.verify(Checkpointed().double(), drawn(2, 3))
    assert report.ok, report
    assert "no gradient where no argument requires one" in " ".join(str(report).split())


def stopping(r: Any) -> Any:
    return (r.exp() * r.sin().detach()).sum()


TRANSFORMED = {
    "vmap": torch.func.vmap(stopping),
    "grad": torch.func.grad(stopping),
    "vmap of grad": torch.func.vmap(torch.func.grad(stopping)),
    "grad_and_value": lambda x: torch.func.grad_and_value(stopping)(x)[0],
    "vjp": lambda x: torch.func.vjp(stopping, x)[1](torch.ones((), dtype=torch.float64))[0],
    "jvp": lambda x: torch.func.jvp(stopping, (x,), (torch.ones_like(x),))[1],
    "jacrev": torch.func.jacrev(lambda r: (r.exp() * r.sin().detach()).sum(0)),
    "jacfwd": torch.func.jacfwd(lambda r: (r.exp() * r.sin().detach()).sum(0)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own, in forward mode
@pytest.mark.sampled(8, 2)
@pytest.mark.parametrize("way", TRANSFORMED)
def test_a_gradient_that_is_stopped_in_a_transform(way: str) -> None:
    report = bp.verify(TRANSFORMED[way], drawn(3, 2))
    assert report.verdict == "undecided", report
    assert "stops a gradient: " in " ".join(str(report).split())
    report = bp.verify(TRANSFORMED[way], drawn(3, 2), stopped=True)
    assert report.ok, report
    assert "differ" not in str(report)
    assert check_numbers(TRANSFORMED[way], (drawn(3, 2),)).ok


def of_a_ratio(x: Any, weights: Any) -> Any:
    """Of 1, whose gradient is that of x. Source: Schulman et al., Proximal policy optimization (2017), eq. 6."""
    of_class = torch.log_softmax(x, -1)
    return -((of_class - of_class.detach()).exp() * weights).sum()


class Fused(torch.autograd.Function):
    """A loss whose forward computes its gradient, by `torch.func` or by an own graph."""

    @staticmethod
    def forward(ctx: Any, x: Any, weights: Any, by_transform: bool, factor: float) -> Any:
        if by_transform:
            gradient, value = torch.func.grad_and_value(of_a_ratio)(x, weights)
        else:
            with torch.enable_grad():
                own = x.detach().requires_grad_()
                value = of_a_ratio(own, weights)
                (gradient,) = torch.autograd.grad(value, own)
            value = value.detach()
        ctx.save_for_backward(gradient * factor)
        return value

    @staticmethod
    def backward(ctx: Any, arriving: Any) -> Any:
        return arriving * ctx.saved_tensors[0], None, None, None


@pytest.mark.parametrize("by_transform", [True, False], ids=["torch.func", "autograd.grad"])
def test_a_loss_that_stops_a_gradient_in_its_own_forward(by_transform: bool) -> None:
    weights = drawn(3, 4).detach()

    def fused(factor: float) -> Any:
        return lambda x: Fused.apply(x, weights, by_transform, factor)

    assert bp.verify(fused(1.0), drawn(3, 4)).verdict == "undecided"
    report = bp.verify(fused(1.0), drawn(3, 4), stopped=True)
    assert report.ok, report
    assert bp.verify(fused(1.5), drawn(3, 4), stopped=True).verdict == "wrong"


class OfAGraphInside(torch.autograd.Function):
    """What is cut off at its two ends is no stop that it means."""

    @staticmethod
    def forward(ctx: Any, x: Any, answers: bool) -> Any:
        with torch.enable_grad():
            own = x.detach().requires_grad_()
            y = (own.sin() * own).tanh()
        ctx.own, ctx.y, ctx.answers = own, y, answers
        return y.detach()

    @staticmethod
    def backward(ctx: Any, arriving: Any) -> Any:
        return torch.autograd.grad(ctx.y, ctx.own, arriving, retain_graph=True)[0] if ctx.answers else None, None


def test_the_ends_of_a_graph_inside_are_no_stops() -> None:
    assert bp.verify(lambda x: OfAGraphInside.apply(x, True), drawn(3)).ok
    for stopped in (False, True):
        report = bp.verify(lambda x: OfAGraphInside.apply(x, False), drawn(3), stopped=stopped)
        assert report.verdict == "wrong", report


def test_a_gradient_that_is_zero_does_not_take_the_digits_away() -> None:
    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (torch.nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))

    report = bp.verify(Attention(), torch.randn(2, 3, 4))
    assert str(report).startswith("agrees: Attention's gradient is the chain rule's to 30 digits"), report
