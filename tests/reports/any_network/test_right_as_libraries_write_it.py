"""Right code of the kinds that libraries hold: none of it is accused, and what is said of it is the user's own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

import backproof as bp
from backproof.reference.programs import Unsupported

F = torch.nn.functional


def drawn(*shape: int, dtype: Any = torch.float32) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


# ------------------------------------------------------------------------------------------- rounded onto a kink


class BandFilter(torch.nn.Module):
    """In float32 7000 + 1000.0001220703125 is 8000, where the clamp's slope is 1; exactly it is beyond, where it is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.low = torch.nn.Parameter(torch.tensor([7000.0, 10.0]))
        self.band = torch.nn.Parameter(torch.tensor([1000.0001220703125, 3.0]))
        self.times = torch.tensor([[1e-3, 2e-3]])  # neither a parameter nor a buffer

    def forward(self, x: Any) -> Any:
        return torch.sin(torch.clamp(self.low + self.band, max=8000.0)[:, None] @ self.times) * x


@pytest.mark.usefixtures("slow")
def test_constants_of_another_format_are_widened_where_rounding_decides() -> None:
    report = bp.verify(BandFilter(), drawn(2, 2))
    assert report.ok, report
    assert "decided in float64" in str(report)
    times = torch.tensor([[1e-3, 2e-3]])
    low, band = torch.tensor([7000.0, 10.0]).requires_grad_(), torch.tensor([1000.0001220703125, 3.0]).requires_grad_()
    report = bp.verify(lambda a, b: torch.sin(torch.clamp(a + b, max=8000.0)[:, None] @ times), (low, band))
    assert report.ok, report


# ------------------------------------------------------------------------------------------- state that a forward changes


class Normalised(torch.nn.Module):
    """Puts its weights' lengths back in each forward (Karras and others, CVPR 2024, section 2.3)."""

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.slope = torch.nn.Parameter(torch.randn(4, 3)), slope

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            self.weight.copy_(F.normalize(self.weight, dim=-1))
        return Scaled.apply(F.linear(x, F.normalize(self.weight, dim=-1)), self.slope)


class Scaled(torch.autograd.Function):
    """x, whose gradient is multiplied by a slope: right where that is 1."""

    @staticmethod
    def forward(ctx: Any, x: Any, slope: float) -> Any:
        ctx.slope = slope
        return x * 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.slope, None


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_parameter_that_is_written_over_has_the_gradient_of_what_is_there_then(dtype: Any) -> None:
    report = bp.verify(Normalised().to(dtype), drawn(2, 3, dtype=dtype), numbers=True)
    assert report.ok, report
    assert "writes over what a gradient is taken by" in " ".join(str(report).split())
    assert bp.verify(Normalised(1.5).to(dtype), drawn(2, 3, dtype=dtype)).verdict == "wrong"


class Following(torch.nn.Module):
    """Its weights follow the inputs, as a moving average does: what the inputs have in them is stopped."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(3))

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            self.weight.copy_(0.9 * self.weight + 0.1 * x.mean(0))
        return self.weight * x


def test_what_another_input_writes_into_a_parameter_has_to_be_declared() -> None:
    report = bp.verify(Following(), drawn(2, 3))
    assert report.verdict == "undecided", report
    assert "the code itself stops a gradient" in report.reason
    report = bp.verify(Following(), drawn(2, 3), stopped=True)
    assert report.ok, report


class Asking(torch.nn.Module):
    """A buffer that asks for a gradient once it ran, and one that is its last result."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)
        self.register_buffer("zero", torch.tensor(0.0))
        self.register_buffer("last", torch.zeros(2, 3))

    def forward(self, x: Any) -> Any:
        y = self.linear(x)
        self.last = y
        return y + self.zero.requires_grad_()


def test_buffers_that_a_forward_changes_are_put_back() -> None:
    module, x = Asking(), drawn(2, 3)
    report = bp.verify(module, x)
    assert report.ok, report
    assert not module.zero.requires_grad
    module(x)
    before = module.last.detach().clone()
    report = bp.verify(module, x)
    assert report.ok, report
    assert torch.equal(module.last, before)


# ------------------------------------------------------------------------------------------- what a step does not say


class Root(torch.autograd.Function):
    """x with x³ + x = y, by halving an interval, and its derivative by that of the equation."""

    @staticmethod
    def forward(ctx: Any, y: Any, slope: float) -> Any:
        low, high = torch.full_like(y, -9.0), torch.full_like(y, 9.0)
        for _ in range(40):
            middle = (low + high) / 2
            above = middle**3 + middle > y
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        ctx.save_for_backward(low)
        ctx.slope = slope
        return low

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.slope * g / (3 * x**2 + 1), None


@pytest.mark.usefixtures("slow")
def test_a_solver_s_gradient_is_not_accused_where_it_adds_up() -> None:
    y = drawn(2, dtype=torch.float64)
    report = bp.verify(lambda y: Root.apply(y, 1.0), y)
    assert report.verdict == "undecided", report
    said = " ".join(str(report).split())
    assert "along a path the gradient that ran adds up to the function" in said
    assert "surrogate='Root'" in said
    assert bp.verify(lambda y: Root.apply(y, 1.0), y, surrogate="Root").ok
    assert bp.verify(lambda y: Root.apply(y, 1.5), y).verdict == "wrong", "a wrong one does not add up"


def softmax(x: Any, epsilon: float) -> Any:
    e = (x - x.detach().amax(-1, keepdim=True)).exp()
    return e / (e.sum(-1, keepdim=True) + epsilon)


@pytest.mark.parametrize(
    ("dtype", "epsilon", "verdict"),
    [
        (torch.float32, 1e-16, "agrees"),
        (torch.float64, 1e-16, "agrees"),
        (torch.float32, 1e-5, "undecided"),
        (torch.float64, 1e-12, "undecided"),
    ],
)
def test_what_a_stopped_gradient_leaves_out_counts_beyond_a_rounding(dtype: Any, epsilon: float, verdict: str) -> None:
    report = bp.verify(lambda x: softmax(x, epsilon), drawn(3, 5, dtype=dtype))
    assert report.verdict == verdict, report
    said = " ".join(str(report).split())
    assert ("less than a rounding" in said) == (verdict == "agrees")
    assert "detach" in said


# ------------------------------------------------------------------------------------------- ways of calling


class Graph:
    """As graph libraries hand over: not a tensor, though it has a tensor's methods."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def detach(self) -> Graph:
        return Graph(self.x.detach())


def test_an_input_may_hold_tensors_as_a_graph_s_does() -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        def forward(self, graph: Graph) -> Any:
            return self.linear(graph.x)

    report = bp.verify(Network(), Graph(torch.randn(2, 3)))
    assert report.ok, report
    assert report.names == ("linear.weight", "linear.bias")


def test_a_function_with_a_domain_is_verified_inside_of_it() -> None:
    def distance(x: Any) -> Any:
        assert x.min() >= 0, "out of range"  # as libraries of images ask
        return (x * x).sum()

    generator = torch.Generator().manual_seed(0)
    report = bp.verify(distance, torch.rand(12, 12, generator=generator).requires_grad_())
    assert report.ok, report
    assert "it raised AssertionError: out of range" in " ".join(str(report).split())


def test_the_lines_of_a_package_whose_name_starts_like_pytorch_s_are_its_own() -> None:
    file = f"{Path(torch.__file__).parent}vision/ops.py"  # …/site-packages/torchvision/ops.py
    package: dict[str, Any] = {"torch": torch}
    exec(compile("def twice(x):\n    return torch.linalg.matrix_exp(x)\n", file, "exec"), package)  # noqa: S102
    with pytest.raises(Unsupported, match=r"\(linalg_matrix_exp, ops\.py:2\)|linalg_matrix_exp \(ops\.py:2\)"):
        bp.verify(package["twice"], drawn(3, 3))


def test_a_factor_of_almost_nothing_is_told() -> None:
    class Faint(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 3 * x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 3e-9 * g

    report = bp.verify(Faint.apply, drawn(3, dtype=torch.float64))
    assert report.verdict == "wrong", report
    assert "1e-09" in str(report), report


@pytest.mark.sampled(1)
@pytest.mark.parametrize("upper", [False, True])
def test_one_triangle_of_a_symmetric_input(upper: bool) -> None:
    s = torch.tensor([[4.0, 1, 0.5], [1, 3, -0.4], [0.5, -0.4, 2]], dtype=torch.float64)
    report = bp.verify(lambda s: torch.linalg.cholesky(s, upper=upper), s)
    assert report.ok, report
    assert "its gradient is for changes that leave a matrix symmetric" in " ".join(str(report).split())
