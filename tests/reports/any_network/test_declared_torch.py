"""What is declared: surrogates, stopped gradients, the framework's own conventions. Each is told, none is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.torch import gradcheck


def drawn(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


class Rounded(torch.autograd.Function):
    """A straight-through estimator."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.round()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


class Reversed(torch.autograd.Function):
    """What it returns lies in the memory of its input."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return -0.5 * g


class Tripled(torch.autograd.Function):
    """x², with 3x for its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 3 * g * ctx.saved_tensors[0]


SURROGATES: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "among others": (lambda x: Rounded.apply(x @ x.T).sin() @ x, Rounded),
    "by its apply": (lambda x: Reversed.apply(x * x).sin() + x.exp(), Reversed.apply),
    "by its name": (lambda x: Reversed.apply(x) * x, "Reversed"),
    "twice": (lambda x: Reversed.apply(Reversed.apply(x).sin()).cos() * x, [Reversed]),
    "viewed": (lambda x: Reversed.apply(x).reshape(-1) * x.reshape(-1), Reversed),
    "summed": (lambda x: Rounded.apply(x * x).sum(), Rounded),
    "two of them": (lambda x: Rounded.apply(Reversed.apply(x * 3)) * x, (Rounded, "Reversed")),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(14, 3)
@pytest.mark.parametrize("shape", [(4, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_wrong_unless_it_is_declared_and_told_if_it_is(name: str, shape: tuple[int, int]) -> None:
    function, surrogate = SURROGATES[name]
    x = drawn(*shape).detach().mul(3).requires_grad_()
    assert bp.verify(function, x).verdict == "wrong"
    report = bp.verify(function, x, surrogate=surrogate)
    assert report.ok
    assert "but for what is declared a surrogate: Re" in " ".join(str(report).split()).replace("Rounded", "Re")
    assert gradcheck(function, x, surrogate=surrogate)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: Tripled.apply(Rounded.apply(x)),
        lambda x: Rounded.apply(Tripled.apply(x)),
        lambda x: Rounded.apply(x) + Tripled.apply(x),
    ],
    ids=["behind it", "before it", "beside it"],
)
def test_a_mistake_around_a_surrogate_is_found(function: Any) -> None:
    report = bp.verify(function, drawn(4, 3), surrogate=Rounded)
    assert report.verdict == "wrong"
    assert "in the backward of Tripled" in str(report)


def test_a_surrogate_that_nothing_calls_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no custom function of this name was called, but Tripled"):
        bp.verify(Tripled.apply, drawn(3), surrogate="Rounded")
    with pytest.raises(InvalidInput, match="expected custom functions, or their names, got int"):
        bp.verify(Tripled.apply, drawn(3), surrogate=3)
    with pytest.raises(InvalidInput, match="say nothing without inputs"):
        bp.verify(Tripled.apply, surrogate=Tripled)  # type: ignore[call-overload]


def under_no_grad(x: Any) -> Any:
    with torch.no_grad():
        y = x.view(-1)
    return x.reshape(-1) * y


def in_parts(x: Any) -> Any:
    with torch.no_grad():
        first, _ = x.split(2)
    return first * x[:2]


STOPPED: dict[str, Callable[[Any], Any]] = {
    "under no_grad": under_no_grad,
    "in parts": in_parts,
    "a part of it": lambda x: x.detach()[1] * x,
    "a view of a view": lambda x: x.detach().t().reshape(-1) * x.reshape(-1),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", STOPPED)
def test_views_of_what_is_stopped_are_stopped(name: str) -> None:
    report = bp.verify(STOPPED[name], drawn(4, 3))
    assert report.verdict == "undecided"
    assert "the code itself stops a gradient" in report.reason
    report = bp.verify(STOPPED[name], drawn(4, 3), stopped=True)
    assert report.ok
    assert "but for what is declared stopped" in " ".join(str(report).split())


def test_what_is_written_into_a_view_is_followed() -> None:
    def function(x: Any) -> Any:
        y = x * 1
        with torch.no_grad():
            y[0].zero_()
        return y * y

    assert bp.verify(function, drawn(4, 3)).ok


def test_an_embeddings_padding_is_pytorchs_convention() -> None:
    module = torch.nn.Embedding(7, 3, padding_idx=0)
    report = bp.verify(module, torch.tensor([0, 1, 2, 2]))
    assert report.ok
    assert "the row for padding, 0, gets no gradient, as PyTorch declares" in " ".join(str(report).split())
    assert "padding" not in str(bp.verify(module, torch.tensor([1, 2, 2])))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"bidirectional": True}], ids=str)
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, where oneDNN is switched off
def test_recurrent_layers_of_onednn(options: dict[str, Any]) -> None:
    report = bp.verify(torch.nn.LSTM(2, 3, **options), drawn(2, 2, 2, dtype=torch.float32))
    assert report.ok, str(report)
