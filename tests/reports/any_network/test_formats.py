"""A rule has no format; a run has: what rounding does in a coarse one is not taken for the rule."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
pytest.importorskip("flint")

import backproof as bp
from backproof.torch import gradcheck


def inputs() -> Any:
    return torch.tensor([0.3, -1.2, 0.7, 2.1, -0.4], dtype=torch.bfloat16, requires_grad=True)


def rounded_onto_the_kink(x: Any) -> Any:
    """1 + 10⁻⁴ σ(x) is 1 in bfloat16, at every point, and max shares its gradient there."""
    return torch.maximum(1 + 1e-4 * x.sigmoid(), torch.ones_like(x)) * x


@pytest.mark.usefixtures("slow")
def test_numbers_that_are_rounded_onto_a_kink_are_no_wrong_rule() -> None:
    report: Any = bp.verify(rounded_onto_the_kink, (inputs(),))
    assert report.verdict == "agrees"
    assert "decided in float64, since rounding takes part" in " ".join(str(report).split())


class OnlyInBfloat16(torch.autograd.Function):
    """sin x, whose backward is another in bfloat16. power: of the cosine there;  factor: on it."""

    power, factor = 2, 1.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        if x.dtype is not torch.bfloat16:
            return g * x.cos() * 1.0
        return g * x.cos() * OnlyInBfloat16.factor * (x.cos() if OnlyInBfloat16.power == 2 else 1.0)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("power", "factor"), [(2, 1.0), (1, 2.0)])
def test_a_mistake_in_one_format_alone_is_wrong(power: int, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnlyInBfloat16, "power", power)
    monkeypatch.setattr(OnlyInBfloat16, "factor", factor)
    assert not gradcheck(OnlyInBfloat16.apply, (inputs(),), raise_exception=False)
    assert gradcheck(OnlyInBfloat16.apply, (inputs().detach().double().requires_grad_(),))


@pytest.mark.usefixtures("slow")
def test_a_literal_that_float32_holds_is_right_in_float32_and_not_in_float64() -> None:
    """PyTorch's backward of celu takes 1/α of α in float32, 2e-8 off: in float32 nothing is lost by that."""
    x = torch.randn(5, generator=torch.Generator().manual_seed(0))
    for dtype, verdict in ((torch.float32, "agrees"), (torch.float64, "wrong")):
        report = bp.verify(torch.nn.CELU(0.7), (x.to(dtype).requires_grad_(),))
        assert report.verdict == verdict, str(report)


@pytest.mark.parametrize("factor", [1.000001, 1.01])
def test_a_factor_that_float32_tells_is_no_literal_s_rounding(factor: float) -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x * 0.7

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            (x,) = ctx.saved_tensors
            return cotangents[0] * x * (1.4 * factor)

    x = torch.randn(5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert bp.verify(Scaled.apply, (x,)).verdict == "wrong"
