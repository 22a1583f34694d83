"""Bad input to PyTorch's doors: one clear line each, never a traceback of ours and never a wrong verdict."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.reference.programs import Unsupported
from backproof.reports.any_network import NotDecided
from backproof.torch import check_numbers, gradcheck, gradgradcheck

F = torch.nn.functional


def drawn(*shape: int, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


def forward_only(function: Any, inputs: Any) -> bool:
    return gradcheck(function, inputs, check_forward_ad=True, check_backward_ad=False)


DOORS: dict[str, Callable[..., Any]] = {
    "gradcheck": gradcheck,
    "gradgradcheck": gradgradcheck,
    "forward": forward_only,
    "verify": bp.verify,
}


class Raising(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        raise ValueError("no backward\nhere")


class NoNumber(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * float("nan")


class Held:
    def __init__(self, x: Any) -> None:
        self.x = x


def raising(x: Any) -> Any:
    raise KeyError("weights")


LAZY = torch.nn.LazyLinear(2)
REFUSED: dict[str, tuple[Any, Any, str]] = {
    "whole numbers": (lambda x: x * 2, torch.arange(5), "got int64 of shape 5"),
    "nan": (
        torch.sin,
        torch.tensor([1.0, float("nan")], requires_grad=True),
        r"input 0: expected finite .*nan at \[1\]",
    ),
    "inf": (torch.sin, torch.tensor(float("inf"), requires_grad=True), r"input 0: expected finite .*inf at \[\]"),
    "no numbers": (torch.sin, torch.zeros(3, device="meta", requires_grad=True), "input 0: on the meta device"),
    "nor here": (torch.nn.Linear(3, 2, device="meta"), torch.ones(2, 3), "weight: on the meta device"),
    "nor beside": (torch.mul, (drawn(3), torch.zeros(3, device="meta")), "input 1: on the meta device"),
    "complex": (
        lambda z: torch.linalg.inv(z).abs(),
        torch.eye(3, dtype=torch.complex64).requires_grad_(),
        "linalg_inv_ex of complex numbers is not covered",
    ),
    "sparse": (torch.sum, torch.eye(3).to_sparse().requires_grad_(), "layout torch.sparse_coo is not covered"),
    "no shape yet": (LAZY, torch.ones(2, 3), "call it once before"),
    "no function": (3, drawn(3), "got int"),
    "too few": (lambda x, y: x * y, drawn(3), "it raised TypeError: .*missing 1 required positional argument"),
    "too many": (torch.nn.Linear(3, 2), (drawn(2, 3), drawn(2, 3)), "Linear: it raised TypeError"),
    "shapes": (torch.nn.Linear(4, 2).double(), drawn(2, 3), "Linear: it raised RuntimeError: mat1 and mat2 shapes"),
    "raises": (raising, drawn(3), r"raising: it raised KeyError: 'weights' \(test_bad_input_torch.py:\d+\)"),
    "ends": (lambda x: sys.exit(3), drawn(3), "it raised SystemExit: 3"),
    "formats": (torch.nn.Linear(3, 2), drawn(2, 3), "Linear: it raised RuntimeError: .*same dtype"),
    "not covered": (lambda x: torch.linalg.eigvalsh(x @ x.T), drawn(3, 3), "_linalg_eigh is not covered: no verdict"),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_at_is_refused_in_a_line(name: str, door: str) -> None:
    function, inputs, words = REFUSED[name]
    with pytest.raises((InvalidInput, Unsupported), match=words) as raised:
        DOORS[door](function, inputs)
    assert "\n" not in str(raised.value)


def test_tensors_that_require_no_gradient_are_refused_where_the_original_refuses_them() -> None:
    for check in (gradcheck, gradgradcheck):
        with pytest.raises((InvalidInput, ValueError), match="got float32 of shape 2 × 3"):
            check(torch.sin, torch.ones(2, 3))
    assert bp.verify(torch.sin, torch.ones(2, 3)).ok


def test_a_backward_that_raises_is_named_with_its_line() -> None:
    for check in (gradcheck, gradgradcheck, bp.verify):
        with pytest.raises(InvalidInput, match=r"Raising: it raised ValueError: no backward here \(test_bad_input"):
            check(Raising.apply, drawn(3))


UNDECIDED: dict[str, tuple[Callable[..., Any], Any, str]] = {
    "stopped": (lambda x: x.detach(), drawn(3), "none of its outputs"),
    "under no_grad": (torch.no_grad()(torch.sin), drawn(3), "none of its outputs"),
    "positions": (torch.argmax, drawn(3), "none of its outputs"),
    "a number": (lambda x: 3.0, drawn(3), "it has to\\s+return tensors"),
    "nothing": (lambda x: None, drawn(3), "none of its outputs"),
    "an array": (lambda x: x.detach().numpy(), drawn(3), "none of its outputs"),
    "held": (lambda x: Held(x * 2), drawn(3), "tuples, lists\\s+or\\s+dicts"),
    "another's": (lambda x: OTHER * 2, drawn(3), "none of its outputs"),
    "nan": (lambda x: (-(x * x)).log(), drawn(3), r"output 0 is nan at \[0\], by log"),
    "in one place": (lambda x: x / torch.tensor([1.0, 0.0, 1.0]), drawn(3), r"is -?inf at \[1\], by div"),
}
OTHER: Any = drawn(2)


@pytest.mark.parametrize("door", [gradcheck, forward_only], ids=["gradcheck", "forward"])
@pytest.mark.parametrize("name", UNDECIDED)
def test_what_has_no_answer_is_undecided_and_says_why(name: str, door: Any) -> None:
    function, inputs, words = UNDECIDED[name]
    with pytest.raises(NotDecided, match=words):
        door(function, inputs)


@pytest.mark.usefixtures("slow")
def test_a_gradient_that_is_no_number_where_the_right_one_is_is_wrong() -> None:
    report = bp.verify(NoNumber.apply, drawn(3))
    assert report.verdict == "wrong"
    assert "seen              nan" in str(report)
    # where the chain rule has none either there is nothing to say, and beside it all is well
    assert bp.verify(lambda x: x.abs().sqrt(), drawn(3)).ok


@pytest.mark.usefixtures("slow")
def test_random_numbers_come_from_one_seed_and_it_is_said() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Dropout(0.5))
    assert "random numbers are drawn from seed 0" in str(bp.verify(module, drawn(4, 3, dtype=torch.float32)))
    assert "random numbers" not in str(bp.verify(module.eval(), drawn(4, 3, dtype=torch.float32)))


def test_what_changes_from_call_to_call_is_told() -> None:
    generator = np.random.default_rng(0)

    def noisy(x: Any) -> Any:
        return x * float(generator.uniform(1, 2))

    for check in (gradcheck, gradgradcheck):
        with pytest.raises(NotDecided, match=r"other\s+numbers\s+each\s+time"):
            check(noisy, drawn(3))


def test_the_branch_taken_is_said() -> None:
    def function(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return x[int(x.argmin())] * 2 if torch.equal(x, x * 1) else x.sin()

    text = str(bp.verify(function, -drawn(5).detach().abs().requires_grad_()))
    assert "Python decides by False (test_bad_input_torch.py:" in text
    assert "Python decides by True (test_bad_input_torch.py:" in text
    assert "decides" not in str(bp.verify(torch.nn.Softmax(-1), drawn(5)))


def test_a_point_where_it_raises_is_left_out_and_said() -> None:
    def positive(x: Any) -> Any:
        if not bool((x > 0).all()):
            raise ValueError("expected positive numbers")
        return x.log()

    report = bp.verify(positive, drawn(5).detach().abs().add(1).requires_grad_())
    assert report.ok
    assert "not looked at: zeros in input 0, some zeros in input 0: it raised ValueError: expected" in str(report)


@pytest.mark.usefixtures("slow")
def test_numbers_and_parameters_without_axes() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Any) -> Any:
            return x * self.scale.exp()

    for door in DOORS.values():
        assert door(Scaled(), torch.tensor(3.0, requires_grad=True))


@pytest.mark.usefixtures("slow")
def test_nested_inputs_and_outputs_and_modules_through_every_door() -> None:
    def function(tree: Any, scale: float) -> Any:
        return {"sum": tree["a"][0] * tree["b"], "rest": [tree["b"].sin() * scale, None]}

    for door in DOORS.values():
        assert door(function, ({"a": [drawn(3)], "b": drawn(1)}, 2.0))
        assert door(torch.nn.Linear(3, 2), torch.ones(2, 3))


@pytest.mark.usefixtures("slow")
def test_a_module_that_the_gradients_gradient_is_taken_of_is_left_as_it_was() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    before = {name: x.clone() for name, x in module.state_dict().items()}
    assert gradgradcheck(module, drawn(4, 3, dtype=torch.float32))
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn], ids=str)
def test_narrow_formats(dtype: Any) -> None:
    x = drawn(3).detach().to(dtype).requires_grad_()
    assert gradcheck(lambda x: x.to(torch.float32) * 2, x)


def test_empty_tensors_are_told() -> None:
    report = bp.verify(torch.mul, (drawn(0, 3), drawn(0, 3)))
    assert "nothing to compare in what has no elements: input 0, input 1" in str(report)


def test_a_function_of_tensors_without_inputs_is_told_what_to_do() -> None:
    report = bp.verify(lambda x: x * 2)
    assert report.verdict == "unanswered"
    assert "backproof.verify(function, inputs)" in str(report)


@pytest.mark.usefixtures("slow")
def test_a_graph_longer_than_the_stack_is_looked_at_and_says_how_long_it_takes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,200 steps, two calls each: nothing recurses. 8,000 of them, 50,000 lines, take 95 s and 612 MiB."""
    monkeypatch.setattr("backproof.reports.console.terminal.SECONDS_BETWEEN_LINES", 0.0)

    def steps(x: Any) -> Any:
        for _ in range(1200):
            x = x.sin() * 1.01
        return x

    report: Any = bp.verify(steps, drawn(2))
    assert report.verdict == "agrees"
    assert report.seen[0].lines > 7_000
    assert re.search(r"1 of \d+, \d+ s left, .* per second: steps at the point given", capfd.readouterr().err)


def test_of_its_numbers_too_a_line_says_what_a_function_raises() -> None:
    def raising(x: Any) -> Any:
        raise ValueError("no such thing")

    with pytest.raises(InvalidInput, match=r"raising: it raised ValueError: no such thing \(test_bad_input_torch"):
        check_numbers(raising, torch.randn(3, requires_grad=True))


def through_sparse_numbers(x: Any) -> Any:
    return torch.sparse.mm(x.relu().to_sparse(), torch.ones(6, 3) * x.sum()).tanh()


def of_a_sparse_gradient(x: Any) -> Any:
    return torch.nn.functional.embedding(torch.tensor([1, 0]), x, sparse=True).tanh()


NOT_PLAIN = {
    through_sparse_numbers: "_to_sparse",
    of_a_sparse_gradient: "_sparse_coo_tensor",
}


@pytest.mark.parametrize("function", NOT_PLAIN)
def test_what_is_no_plain_number_has_no_rule_and_is_taken_as_it_came_in_a_run(function: Any) -> None:
    x = torch.tensor([[0.5, -1.0, 2.0, 0.25, 1.5, -0.75], [1.0, 0.5, -0.5, 0.125, 3.0, 0.75]], requires_grad=True)
    with pytest.raises(Unsupported, match=NOT_PLAIN[function]):
        bp.verify(function, x)
    report = check_numbers(function, x)
    assert report.ok, report
    assert any("tanh" in str(r.origin) for r in report.run.results), "what is plain is judged"
    assert any(NOT_PLAIN[function] in name for name in report.run.taken)
