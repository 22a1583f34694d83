"""PyTorch functions without a graph: the path and field tests answer, at every door, and say that they do."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.adapters.torch_program.recorder import Recorder
from backproof.reference.case import InvalidInput
from backproof.reference.programs import Unsupported
from backproof.reports.any_network import NotDecided, OnlyAlongPaths, WrongRule
from backproof.torch import check_numbers, gradcheck, gradgradcheck


def drawn(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def sine(forward: bool, backward: bool, factor: float) -> Any:
    """sin(x); which pass leaves PyTorch, and a factor in the backward."""

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.from_numpy(np.sin(x.detach().numpy())) if forward else x.sin()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * (torch.from_numpy(np.cos(x.detach().numpy())) if backward else x.cos()) * factor

    return Sine.apply


def extension(factor: float) -> Any:
    """An operation of somebody else's namespace: a kernel that nothing is known of."""
    name = f"backproof_test::sine_{str(factor).replace('.', '_')}"

    @torch.library.custom_op(name, mutates_args=())  # type: ignore[untyped-decorator]
    def operation(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.sin(x.numpy()))

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.x = inputs[0]

    operation.register_autograd(lambda ctx, g: g * ctx.x.cos() * factor, setup_context=setup)
    return operation


def by_gradcheck(function: Any, x: Any) -> str:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", OnlyAlongPaths)
        assert gradcheck(function, x)
    return str(said[0].message)


def by_module(function: Any, x: Any) -> str:
    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(5, 3, dtype=torch.float64)

        def forward(self, x: Any) -> Any:
            return function(self.linear(x))

    report: Any = bp.verify(Module(), x)
    report.raise_for_wrong()
    return str(report)


def by_verify(function: Any, x: Any) -> str:
    report: Any = bp.verify(function, x)
    report.raise_for_wrong()
    return str(report)


DOORS: dict[str, Callable[[Any, Any], str]] = {"gradcheck": by_gradcheck, "verify": by_verify, "module": by_module}
FUNCTIONS: dict[str, tuple[Callable[[float], Any], str]] = {
    "numpy forward": (lambda factor: sine(True, False, factor), r"numpy \(test_without_graph_torch.py:\d+\)"),
    "numpy backward": (lambda factor: sine(False, True, factor), r"numpy \(test_without_graph_torch.py:\d+\)"),
    "numpy in both": (lambda factor: sine(True, True, factor), r"numpy \(test_without_graph_torch.py:\d+\)"),
    "an extension": (extension, "backproof_test::sine_.*an operation of an extension"),
}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_paths_and_loops_answer_and_it_is_said(name: str, door: str) -> None:
    function, where = FUNCTIONS[name]
    said = DOORS[door](function(1.0), drawn(2, 5))
    words = " ".join(said.split())
    assert "adds up to what it computes, to " in words
    assert "the path test answers, which sees an error of" in words
    assert "and the field test, which sees" in words
    assert re.search(f"no graph to be had: numbers leave the graph at .*{where}", words), words
    with pytest.raises(WrongRule, match=r"0\.990099"):
        DOORS[door](function(1.01), drawn(2, 5))


def test_the_input_that_is_wrong_is_named() -> None:
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return torch.from_numpy(x.detach().numpy() * y.detach().numpy())

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return g * y, g * x * x

    report = bp.verify(Product.apply, (drawn(3), drawn(3)))
    assert report.verdict == "wrong"
    assert "along input 1 the loss changes by" in str(report)
    assert "right along input 0" in str(report)


@pytest.mark.usefixtures("slow")
def test_the_second_order_of_what_numpy_differentiates_is_wrong() -> None:
    """As PyTorch has it: of NumPy's cosine there is no gradient."""
    with pytest.raises(WrongRule, match="along input 0 the loss changes"):
        gradgradcheck(sine(True, True, 1.0), drawn(5))
    with pytest.warns(OnlyAlongPaths, match="the backward of Sine"):
        assert gradgradcheck(sine(True, False, 1.0), drawn(5))


@pytest.mark.usefixtures("slow")
def test_forward_mode_is_asked_along_paths() -> None:
    def function(x: Any) -> Any:
        return x * float(x.detach().sum())

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return torch.from_numpy(np.sin(x.detach().numpy()))

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_forward(inputs[0])

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return t * ctx.saved_tensors[0].cos()

    def forward_only(function: Any, x: Any) -> bool:
        return gradcheck(function, x, check_forward_ad=True, check_backward_ad=False)

    with pytest.raises(WrongRule, match="tangent in forward mode"):
        forward_only(function, drawn(3))
    with pytest.warns(OnlyAlongPaths, match="tangent in forward mode adds up"):
        assert forward_only(Sine.apply, drawn(3))
    with pytest.raises(NotDecided, match=r"the inputs have 101\s+elements"):
        forward_only(Sine.apply, drawn(101))
    with pytest.raises(InvalidInput, match="it raised NotImplementedError: You must implement the jvp"):
        forward_only(sine(True, False, 1.0), drawn(3))


def test_what_is_meant_not_to_add_up_is_not_accused() -> None:
    def function(x: Any) -> Any:
        return sine(True, False, 1.0)(x) * x.detach()

    for stopped in (False, True):
        report = bp.verify(function, drawn(3), stopped=stopped)
        assert report.verdict == "undecided"
        assert "as the code itself stops a gradient" in " ".join(str(report).split())


def test_what_raises_near_the_point_is_told() -> None:
    def function(x: Any) -> Any:
        if float(x.detach()[0]) != at:
            raise ValueError("only here")
        return sine(True, False, 1.0)(x)

    x = drawn(3)
    at = float(x.detach()[0])
    with pytest.raises(NotDecided, match=r"near this\s+point ValueError: only here"):
        gradcheck(function, x)


def test_a_table_in_two_roundings_is_told_as_that() -> None:
    """A window that the backward computes otherwise: its last place is no mistake, and more than that is."""
    window = torch.hann_window(5, periodic=False, dtype=torch.float64)

    def windowed(factor: float) -> Any:
        again = torch.tensor(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(5) / 4 + 1e-16) * factor)
        assert not torch.equal(window, again)

        class Windowed(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x * window

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return g * again

        return Windowed.apply

    report = bp.verify(windowed(1 + 2e-16), drawn(2, 5))
    assert "but for the rounding of\n  literals" in str(report) or "but for the rounding of literals" in str(report)
    assert report.ok
    assert bp.verify(windowed(1 + 1e-13), drawn(2, 5)).verdict == "wrong"


class OnlyUnwatched(torch.autograd.Function):
    """x², whose backward, or PyTorch itself, does not run under a mode such as ours."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise RuntimeError("not under a mode")
        return 2 * ctx.saved_tensors[0] * g


def test_what_raises_only_while_it_is_watched_is_judged_by_its_numbers() -> None:
    report: Any = bp.verify(OnlyUnwatched.apply, drawn(3))
    assert report.verdict == "agrees"
    assert "while it is watched it raises RuntimeError: not under a mode " in " ".join(str(report).split())
    with pytest.raises(Unsupported, match="runs by itself, but while it is watched"):
        check_numbers(OnlyUnwatched.apply, drawn(3))


def test_a_fault_of_our_own_is_not_taken_for_the_function_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "_written_down", None)
    for door in (bp.verify, check_numbers):
        with pytest.raises(TypeError, match="'NoneType' object is not callable"):
            door(lambda x: x.sin() * x, drawn(3))


def test_nor_is_one_within_a_library_that_we_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.adapters.torch_program.call.array", lambda _: np.ones(2))
    with pytest.raises(ValueError, match="broadcast"):
        check_numbers(lambda x: torch.where(x > 0, x, 2 * x), drawn(3))
