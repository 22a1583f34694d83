"""A name is said of the code that is wrong, and says what is wrong with it: right functions beside it, masks that are
alike by chance at two points, literals that are rounded, terms that are too many."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

import backproof as bp

Function: Any = torch.autograd.Function


def drawn(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).requires_grad_()


def said(function: Any, *inputs: Any) -> str:
    report = bp.verify(function, inputs)
    assert report.verdict == "wrong", report
    return " ".join(str(report).split())


class Square(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]  # 2 is missing


class Turned(Function):
    """Right; the tables of cosines and sines get no gradient."""

    again = False

    @classmethod
    def turned(cls, x: Any, cos: Any, sin: Any) -> Any:
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    @staticmethod
    def forward(ctx: Any, x: Any, cos: Any, sin: Any) -> Any:
        ctx.save_for_backward(cos, sin)
        return Turned.turned(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return Turned.turned(g, cos, -sin), None, None


class TurnedOn(Turned):
    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return Turned.turned(g, cos, sin), None, None  # on, not back


@pytest.mark.usefixtures("slow")
def test_a_right_function_beside_a_wrong_one_is_not_named() -> None:
    angle = drawn(3, 2).detach()
    text = said(lambda x: Turned.apply(Square.apply(x), angle.cos(), angle.sin()), drawn(2, 3, 4))
    assert "in the backward of Square" in text
    assert "Turned" not in text
    text = said(lambda x: TurnedOn.apply(x, angle.cos(), angle.sin()), drawn(2, 3, 4))
    assert "and not its transpose" in text
    assert "axis" not in text


class Scaled(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[1] ** 2, None


@pytest.mark.usefixtures("slow")
def test_each_of_two_mistakes_has_its_own_name() -> None:
    text = said(Scaled.apply, drawn(3, 4), drawn(4))
    assert "the gradient of input 1 is never computed" in text
    assert "the gradient of input 0 has a factor too many: input 1" in text


class Triplet(Function):
    @staticmethod
    def forward(ctx: Any, a: Any, p: Any, n: Any) -> Any:
        ctx.save_for_backward(a, p, n)
        return ((a - p).pow(2).sum(1) - (a - n).pow(2).sum(1) + 1.0).clamp(min=0).mean()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        a, p, n = ctx.saved_tensors
        share = g / len(a)  # the hinge's mask is missing
        return 2 * (n - p) * share, -2 * (a - p) * share, 2 * (a - n) * share


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("seed", range(6))
def test_a_hinge_without_its_mask(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    text = said(Triplet.apply, *(torch.randn(5, 3, generator=generator).requires_grad_() for _ in range(3)))
    assert "the derivative of clamp" in text
    assert "is left out" in text
    assert text.count("because") == 1, text


class CumulativeProduct(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.cumprod(-1)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, y = ctx.saved_tensors
        terms = g * y
        return (terms.flip(-1).cumsum(-1).flip(-1) - terms) / x


@pytest.mark.usefixtures("slow")
def test_a_term_too_many_is_no_factor() -> None:
    text = said(CumulativeProduct.apply, drawn(2, 4))
    assert "adds what does not belong there" in text
    assert "multiplied by" not in text


class Smoothed(Function):
    """Cross entropy with labels that are smoothed by a number that no format holds."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any, epsilon: float) -> Any:
        logarithms = torch.log_softmax(x, -1)
        labels = torch.full_like(x, epsilon / 4).scatter_(1, y[:, None], 1 - epsilon + epsilon / 4)
        ctx.save_for_backward(logarithms, labels)
        return -(labels * logarithms).sum() / len(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        logarithms, labels = ctx.saved_tensors
        return (logarithms.exp() - labels) / len(labels), None, None  # g is missing


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(1)
@pytest.mark.parametrize("epsilon", [0.1, 0.125])
def test_a_literal_takes_no_name_away(epsilon: float) -> None:
    y = torch.tensor([1, 3, 0])
    text = said(lambda x: Smoothed.apply(x, y, epsilon), drawn(3, 4))
    assert "the incoming gradient is dropped" in text


class Largest(Function):
    """With the place of the largest, which has no gradient."""

    @classmethod
    def both(cls, ctx: Any, x: Any) -> Any:
        values, places = x.max(-1, keepdim=True)
        ctx.mark_non_differentiable(places)
        ctx.save_for_backward(places)
        ctx.shape = x.shape
        return values, places

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return Largest.both(ctx, x)

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        gradient = arriving[0].new_zeros(ctx.shape)
        gradient[:, :1] = arriving[0]  # of the first, not of the largest
        return gradient


class PlacesFirst(Largest):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return Largest.both(ctx, x)[::-1]

    @staticmethod
    def backward(ctx: Any, *arriving: Any) -> Any:
        return 2 * arriving[1].new_zeros(ctx.shape).scatter_(1, ctx.saved_tensors[0], arriving[1])


def test_an_output_that_has_no_gradient() -> None:
    assert "it is in the backward of Largest" in said(lambda x: Largest.apply(x)[0], drawn(3, 5))
    text = said(lambda x: PlacesFirst.apply(x)[1], drawn(3, 5))
    assert "in the backward of PlacesFirst" in text
    assert "doubled" in text
