"""`reference=`: where a function has no graph, the same in plain operations has one to compare its backward with."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.torch import gradcheck


def drawn(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def sine(factor: float) -> Any:
    """NumPy in the forward alone: the backward can be followed."""

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.from_numpy(np.sin(x.detach().numpy()))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * torch.cos(ctx.saved_tensors[0]) * factor

    return Sine.apply


def tanh(factor: float) -> Any:
    """The backward uses numbers that NumPy rounded."""

    class Tanh(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.from_numpy(np.tanh(x.detach().numpy()))
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * (1 - ctx.saved_tensors[0] ** 2) * factor

    return Tanh.apply


def exponential(factor: float) -> Any:
    """NumPy in both."""

    class Exponential(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.from_numpy(np.exp(x.detach().numpy()))

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x = ctx.saved_tensors[0].detach().numpy()
            return torch.from_numpy(g.numpy() * np.exp(x) * np.asarray(factor, dtype=x.dtype))

    return Exponential.apply


BY_NUMBERS = {"not seen": (exponential, torch.exp)}


@pytest.mark.usefixtures("slow")
def test_a_backward_that_can_be_followed_is_compared_exactly() -> None:
    assert bp.verify(sine(1.0), drawn(3, 5)).digits is None
    report = bp.verify(sine(1.0), drawn(3, 5), reference=torch.sin)
    assert report.ok
    assert "is the chain rule's to 30 digits" in str(report)
    assert bp.verify(sine(1 + 2.0**-14), drawn(3, 5, dtype=torch.float32), reference=torch.sin).verdict == "wrong"
    assert gradcheck(sine(1.0), drawn(3), reference=torch.sin)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_numbers_that_numpy_rounded_are_a_table_in_two_roundings(dtype: Any) -> None:
    report = bp.verify(tanh(1.0), drawn(3, 5, dtype=dtype), reference=torch.tanh)
    assert report.ok
    assert "but for the rounding of literals" in " ".join(str(report).split())
    wrong = bp.verify(tanh(1.001), drawn(3, 5, dtype=dtype), reference=torch.tanh)
    assert wrong.verdict == "wrong"
    assert "agree with the reference's to 3 digits only" in " ".join(str(wrong).split())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", BY_NUMBERS)
def test_else_its_numbers_are_and_it_is_said_to_how_many_digits(name: str, dtype: Any) -> None:
    function, plain = BY_NUMBERS[name]
    report = bp.verify(function(1.0), drawn(3, 5, dtype=dtype), reference=plain)
    assert report.ok
    assert report.digits is not None
    assert report.digits >= -np.log10(torch.finfo(dtype).eps) / 2
    assert "is its reference's to" in str(report)
    assert "by numbers" in str(report)
    wrong = bp.verify(function(1.001), drawn(3, 5, dtype=dtype), reference=plain)
    assert wrong.verdict == "wrong"
    assert "agree with the reference's to 3 digits only" in " ".join(str(wrong).split())


def test_a_reference_of_other_values_is_none() -> None:
    for function in (sine(1.0), exponential(1.0)):
        report = bp.verify(function, drawn(3, 5), reference=torch.cos)
        assert report.verdict == "undecided"
        assert "is not what its reference gives: they agree to" in " ".join(str(report).split())
    with pytest.raises(InvalidInput, match=r"expected outputs of the function's shapes, \(3, 5\), got \(\)"):
        bp.verify(sine(1.0), drawn(3, 5), reference=torch.sum)
    with pytest.raises(InvalidInput, match="beside a function that is no module"):
        bp.verify(torch.nn.Linear(3, 2), torch.ones(2, 3), reference=torch.sin)


@pytest.mark.usefixtures("slow")
def test_in_jax() -> None:
    jax = pytest.importorskip("jax")

    def sine_of_numpy(factor: float) -> Any:
        def function(x: Any) -> Any:
            return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

        custom = jax.custom_vjp(function)
        custom.defvjp(lambda x: (function(x), x), lambda x, g: (g * jax.numpy.cos(x) * factor,))
        return custom

    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    report = bp.verify(sine_of_numpy(1.0), x, reference=jax.numpy.sin)
    assert report.ok
    assert "to 30 digits" in str(report)
    assert bp.verify(sine_of_numpy(1 + 2.0**-14), x, reference=jax.numpy.sin).verdict == "wrong"
    assert bp.verify(sine_of_numpy(1.0), x, reference=jax.numpy.cos).verdict == "undecided"


def test_where_numbers_leave_the_graph_the_others_are_judged() -> None:
    report = bp.torch.check_numbers(
        lambda x: sine(1.0)(x * 2).tanh(), torch.tensor([0.5, -1.0, 2.0], requires_grad=True)
    )
    assert report.ok, report
    assert {"mul", "tanh", "cos"} <= {r.origin.name for r in report.run.results}
    assert any(name.startswith("numpy (") for name in report.run.taken)


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float64, 1 + 1e-9), (torch.float32, 1 + 2e-4)], ids=str)
def test_what_half_of_the_digits_do_not_show_paths_do(dtype: Any, factor: float) -> None:
    def made(off: float) -> Any:
        class Outside(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.x = x.detach().numpy()
                return torch.from_numpy(np.tanh(ctx.x))

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                slope = 1 - np.tanh(ctx.x) ** 2
                return torch.from_numpy(((g.numpy() * slope) * off).astype(slope.dtype))

        return Outside.apply

    x = torch.tensor([0.3, -0.8, 1.1], dtype=dtype, requires_grad=True)
    assert bp.verify(made(1.0), x, reference=torch.tanh).ok
    assert bp.verify(made(factor), x, reference=torch.tanh).verdict == "wrong"
    report = bp.verify(made(2.0), x, reference=torch.tanh)
    assert report.verdict == "wrong", report
    assert "of the reference" in str(report)
