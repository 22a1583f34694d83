"""The smallest program that shows a wrong gradient: it prints what is said, and the right twin prints the right number."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
from backproof.adapters.literals import arguments, literal, numbers

RANDOM = np.random.default_rng(3)


def printed(report: Any, **names: Any) -> float:
    """What the report's program prints in a session of its own that knows these names."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec("\n".join(line for line in report.witness.lines if "jax_enable_x64" not in line), names)  # noqa: S102
    return 0.0 if said.getvalue().strip() == "None" else float(said.getvalue())


def of_torch(right: bool) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    torch: Any = pytest.importorskip("torch")

    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any, epsilon: float) -> Any:
            centred = x - x.mean(-1, keepdim=True)
            scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + epsilon)
            ctx.save_for_backward(centred, scale, weight)
            return centred * scale * weight

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            centred, scale, weight = ctx.saved_tensors
            arriving, hat = g * weight, centred * scale
            less = arriving.mean(-1, keepdim=True) + hat * (arriving * hat).mean(-1, keepdim=True) * right
            return (arriving - less) * scale, (g * hat).sum(0), None

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x.sum(), x * y

        @staticmethod
        def backward(ctx: Any, one: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return one + g * y, g * x if right else None

    def tensor(*shape: int) -> Any:
        return torch.tensor(RANDOM.standard_normal(shape), requires_grad=True)

    return {
        "norm": (Norm.apply, (tensor(3, 5), tensor(5), 1e-5)),
        "product": (Product.apply, (tensor(3, 4), tensor(3, 4))),
    }


def of_jax(right: bool) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    jax: Any = pytest.importorskip("jax")

    def swish(x: Any, beta: Any) -> Any:
        return x * jax.nn.sigmoid(beta * x)

    def backward(kept: Any, g: Any) -> Any:
        x, beta = kept
        s = jax.nn.sigmoid(beta * x)
        slope = s * (1 - s)
        return g * (s + x * slope * (beta if right else 1)), (g * x * x * slope).sum()

    custom = jax.custom_vjp(swish)
    custom.defvjp(lambda x, beta: (swish(x, beta), (x, beta)), backward)
    return {"swish": (custom, (RANDOM.standard_normal((3, 5)), np.float64(0.7)))}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("of", "name"), [(of_torch, "norm"), (of_torch, "product"), (of_jax, "swish")])
def test_the_program_prints_the_wrong_number_and_of_the_right_twin_the_right_one(of: Any, name: str) -> None:
    function, inputs = of(right=False)[name]
    report = bp.verify(function, inputs)
    twin = of(right=True)[name][0]
    assert report.verdict == "wrong"
    assert report.witness is not None
    assert "the smallest program found that shows it:" in str(report)
    assert all(f"      {line}" in str(report).splitlines() for line in report.witness.lines)
    owner = getattr(function, "__self__", None)
    known, of_twin = ({owner.__name__: f.__self__} if owner else {name: f} for f in (function, twin))
    seen = 0.0 if report.witness.printed == "None" else float(report.witness.printed)
    with bp.adapters.jax_grad.enable_x64(True) if of is of_jax else contextlib.nullcontext():
        assert printed(report, **known) == pytest.approx(seen, rel=1e-6)
        assert printed(report, **of_twin) == pytest.approx(report.witness.right, rel=1e-5, abs=1e-12)
    assert abs(seen - report.witness.right) > 1e-3 * max(abs(seen), abs(report.witness.right))
    assert max(len(line) for line in report.witness.lines) < 80, "few numbers, and short ones"


@pytest.mark.usefixtures("slow")
def test_what_is_right_has_none_and_what_takes_more_than_arrays_neither() -> None:
    function, (x, y) = of_torch(right=True)["product"]
    assert bp.verify(function, (x, y)).witness is None
    wrong = of_torch(right=False)["product"][0]
    report = bp.verify(lambda pair: wrong(*pair), ([x, y],))
    assert (report.verdict, report.witness) == ("wrong", None)


@pytest.mark.usefixtures("slow")
def test_a_module_keeps_its_parameters_and_the_program_is_of_it() -> None:
    torch: Any = pytest.importorskip("torch")
    wrong, (x, y) = of_torch(right=False)["product"]
    module = torch.nn.Sequential(torch.nn.Linear(4, 4).double())

    def loss(z: Any) -> Any:
        return wrong(y.detach(), z)[1].sum()

    report = bp.verify(module, (x,), loss=loss)
    assert report.witness is not None
    assert "with f what was handed over" in str(report)
    assert report.witness.printed == "None"
    assert printed(report, f=module, loss=loss) == 0.0


def test_numbers_and_arguments_are_written_so_that_python_reads_them() -> None:
    array = np.array([[0.1, -2.5]], np.float32)
    assert numbers(array) == "[[0.1, -2.5]]"
    assert numbers(np.array([1, 2])) == "[1, 2]"
    assert numbers(np.array(0.5)) == "0.5"
    assert arguments(["x0"], {"epsilon": 1e-5, "mode": "same"}) == "x0, epsilon=1e-05, mode='same'"
    assert literal(object()) is None
    assert arguments(["x0"], {"inner": object()}) is None
