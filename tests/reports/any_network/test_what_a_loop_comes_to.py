"""A loop that has converged: its backward is that of what it comes to, and the chain rule of its steps comes to it."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
import backproof as bp

FORMATS = [torch.float64, torch.float32, torch.bfloat16]


def root(steps: int, sign: int = 1) -> Any:
    """y with y³ + y = x by Newton's method; ∂y/∂x = 1/(3y² + 1) by the implicit function theorem."""

    class Root(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.zeros_like(x)
            for _ in range(steps):
                y = y - (y**3 + y - x) / (3 * y**2 + 1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (y,) = ctx.saved_tensors
            return g / (3 * y**2 + sign)

    return Root.apply


def fixed_point(most: float, forgotten: bool = False) -> Any:
    """z = tanh(z w + x), until it moves by less than `most`. Source: Bai and others, Deep equilibrium models (2019)."""

    class FixedPoint(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Any, x: Any) -> Any:
            z, moved = torch.zeros_like(x), 1.0
            while moved > most:
                z, before = torch.tanh(z @ w + x), z
                moved = (z - before).abs().max()
            ctx.save_for_backward(w, z)
            return z

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            w, z = ctx.saved_tensors
            slope = 1 - z * z
            eye = torch.eye(len(w), dtype=w.dtype)
            v = torch.stack([torch.linalg.solve(eye - w * slope[i], g[i]) for i in range(len(z))])
            v = v if forgotten else v * slope
            return z.T @ v, v

    return FixedPoint.apply


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_what_differs_by_less_than_a_rounding_agrees_to_so_many_digits(dtype: Any) -> None:
    x = torch.tensor([0.3, 0.6, 0.9], dtype=dtype, requires_grad=True)
    report = bp.verify(root(6), x)
    assert report.ok, report
    assert "to 30 digits" not in str(report)
    assert "but for less than a rounding of float64" in " ".join(str(report).split())


@pytest.mark.usefixtures("slow")
def test_what_differs_by_less_than_numbers_show_is_undecided_unless_one_mistake_explains_it() -> None:
    torch.manual_seed(0)
    w, x = (0.3 * torch.randn(*shape, dtype=torch.float64) for shape in ((2, 2), (1, 2)))
    inputs = (w.requires_grad_(), x.requires_grad_())
    report = bp.verify(fixed_point(1e-12), inputs)
    assert report.verdict == "undecided", report
    assert "surrogate='FixedPoint'" in " ".join(str(report).split())
    assert bp.verify(fixed_point(1e-12), inputs, surrogate="FixedPoint").ok
    assert bp.verify(fixed_point(1e-12, forgotten=True), inputs).verdict == "wrong"

    class Centred(torch.autograd.Function):  # what is left out is as small, and is found
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x + 1e-9 * x.exp()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * 2 * x

    report = bp.verify(Centred.apply, x)
    assert report.verdict == "wrong", report
    assert "exp" in str(report)


@pytest.mark.usefixtures("slow")
def test_a_loop_that_has_not_converged_and_a_wrong_backward_are_wrong() -> None:
    x = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64, requires_grad=True)
    assert bp.verify(root(3), x).verdict == "wrong"
    assert bp.verify(root(6, sign=-1), x).verdict == "wrong"
