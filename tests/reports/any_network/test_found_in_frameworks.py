"""What the rule check finds in PyTorch and JAX themselves: the witnesses of docs/any-network.md.

Each is of the version named; another one may have repaired it. The compiler's is in test_torch_doors.py, `select_n`'s in
tests/adapters/test_jax_program.py.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp

F = torch.nn.functional
OF_TORCH = pytest.mark.skipif(not torch.__version__.startswith("2.13"), reason="seen in PyTorch 2.13")


def drawn(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


REPEATED = torch.tensor([1, 1, 0])
FOUND: dict[str, tuple[Any, Any]] = {
    "scatter": (lambda x: torch.zeros(2).double().scatter(0, REPEATED, x), drawn(3)),
    "index_put": (lambda x: torch.zeros(2).double().index_put((REPEATED,), x), drawn(3)),
    "max_unpool": (lambda x: F.max_unpool1d(x, torch.tensor([[0, 0]]), 2), drawn(1, 2)),
    # 0 is the largest of what is scattered, and equal to what was there, which is not included
    "scatter_reduce": (
        lambda x: torch.zeros(2).double().scatter_reduce(0, REPEATED, x, "amax", include_self=False),
        torch.tensor([0.0, -1.0, 2.0], dtype=torch.float64, requires_grad=True),
    ),
    "as_strided_scatter": (lambda x, y: x.as_strided_scatter(y, (2,), (1,)), (drawn(3), drawn(2))),
    "hardsigmoid": (F.hardsigmoid, drawn(3)),
    "celu": (lambda x: F.celu(x, 0.7), -drawn(3).detach().abs().requires_grad_()),
}


@OF_TORCH
@pytest.mark.parametrize("name", FOUND)
def test_pytorch(name: str) -> None:
    function, inputs = FOUND[name]
    report: Any = bp.verify(function, inputs)
    # 1/6 in float32 may be a literal for 1/6, which the rule allows; that it does not add up is seen all the same
    assert report.verdict == ("undecided" if name == "hardsigmoid" else "wrong"), str(report)
    if name == "hardsigmoid":
        assert "does not add up to the function that ran" in report.reason


@pytest.mark.usefixtures("slow")
def test_jax_has_no_gradient_of_x_to_the_0_at_0() -> None:
    jax: Any = pytest.importorskip("jax")
    if not jax.__version__.startswith("0.10"):
        pytest.skip("seen in JAX 0.10")
    report: Any = bp.verify(lambda x: x**0.0, np.zeros(2, np.float32))
    assert report.verdict == "wrong"
    assert "seen              nan" in str(report)
    assert bp.verify(lambda x: x**0, np.zeros(2, np.float32)).ok


@OF_TORCH
def test_pytorch_s_median_of_an_expanded_axis_reads_its_neighbours() -> None:
    base = -torch.arange(20.0)
    report: Any = bp.torch.check_numbers(lambda x: x[:5].expand(2, 5).median(0)[0] * 2, (base.requires_grad_(),))
    assert report.verdict.value == "wrong"
    assert "(median, " in str(report)


@OF_TORCH
@pytest.mark.parametrize("training", [True, False])
def test_pytorch_s_batch_norm_of_one_sample_misreads_a_gradient_of_other_strides(training: bool) -> None:
    norm = torch.nn.BatchNorm2d(2).double().train(training)

    def function(x: Any) -> Any:
        return norm(x).flatten(2).transpose(1, 2)

    report: Any = bp.torch.check_numbers(function, (drawn(1, 2, 3, 3),))
    assert report.verdict.value == "wrong", report
    assert "native_batch_norm_backward" in str(report)
    rule: Any = bp.verify(function, drawn(1, 2, 3, 3))
    assert rule.verdict == "undecided", rule
    assert "numbers=True" in rule.reason, "which says what is wrong"
    assert bp.torch.check_numbers(function, (drawn(2, 2, 3, 3),)).ok, "of two samples it is right"


@OF_TORCH
@pytest.mark.usefixtures("slow")
def test_pytorch_s_compiled_multilabel_margin_loss_takes_labels_of_minus_1() -> None:
    target = torch.tensor([[1, 2, -1, -1], [3, -1, -1, -1]])
    compiled = torch.compile(lambda x: F.multilabel_margin_loss(x, target), backend="aot_eager")
    report: Any = bp.torch.check_numbers(compiled, (drawn(2, 4),))
    assert report.verdict.value == "wrong"
    assert "wrong: compiled: output 0" in str(report)


@OF_TORCH
@pytest.mark.usefixtures("slow")
def test_pytorch_s_compiled_as_strided_does_not_add_up_what_overlaps() -> None:
    x = drawn(4, 6)
    report: Any = bp.torch.check_numbers(
        torch.compile(lambda x: (x * 2).as_strided((2, 2), (1, 1)), backend="aot_eager"), (x,)
    )
    found = {r.origin.name: r.verdict.value for r in report.run.results if r.origin.name.startswith("compiled: ")}
    assert found == {"compiled: output 0": "agrees", "compiled: gradient of input 0": "wrong"}
    eager: Any = bp.torch.check_numbers(lambda x: (x * 2).as_strided((2, 2), (1, 1)), (x,))
    assert eager.ok


@pytest.fixture
def inductor() -> Any:
    if shutil.which("g++") is None:
        pytest.skip("PyTorch's compiler needs a C++ compiler")
    return torch.compile


@OF_TORCH
@pytest.mark.usefixtures("slow")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's own compiler
def test_pytorch_s_compiler_lets_a_backward_write_over_an_output_in_16_bits(inductor: Any) -> None:
    layer = torch.nn.Linear(3, 3, dtype=torch.bfloat16)
    compiled = inductor(lambda x: torch.stack([layer(x).tanh()]))
    report: Any = bp.torch.check_numbers(compiled, (drawn(1, 3).detach().bfloat16().requires_grad_(),))
    assert report.verdict.value == "wrong"
    assert "compiled: output 0 is another after the backward, which writes over it" in str(report)


@OF_TORCH
@pytest.mark.usefixtures("slow")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pytorch_s_compiler_divides_the_gradient_of_a_pooling_s_last_window_by_too_much(inductor: Any) -> None:
    report: Any = bp.torch.check_numbers(inductor(torch.nn.AvgPool1d(3, 2, ceil_mode=True)), (drawn(1, 2, 4),))
    found = {r.origin.name: r.verdict.value for r in report.run.results if r.origin.name.startswith("compiled: ")}
    assert found == {"compiled: output 0": "agrees", "compiled: gradient of input 0": "wrong"}


@OF_TORCH
@pytest.mark.usefixtures("slow")
def test_pytorch_s_forward_mode_of_logcumsumexp_divides_by_a_little_too_much() -> None:
    from backproof.reports.any_network.rule import WrongRule

    assert bp.torch.gradcheck(lambda x: x.logcumsumexp(0), drawn(3))
    with pytest.raises(WrongRule, match="tangent"):
        bp.torch.gradcheck(lambda x: x.logcumsumexp(0), drawn(3), check_forward_ad=True, check_backward_ad=False)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.linalg.inv(x @ x.T + torch.eye(3, dtype=x.dtype)),
        lambda x: torch.linalg.qr(x.T)[0],
        lambda x: torch.fft.rfft(x).abs(),
    ],
    ids=["inv", "qr", "rfft"],
)
def test_pytorch_s_forward_mode_of_linear_algebra_and_of_transforms_is_right(function: Any) -> None:
    assert bp.torch.gradcheck(function, drawn(3, 4), check_forward_ad=True, check_backward_ad=False)
