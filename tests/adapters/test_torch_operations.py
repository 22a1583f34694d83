"""PyTorch's operations, captured: the program gives the numbers that ran, and its chain rule is PyTorch's backward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

pytest.importorskip("torch")
import backproof as bp
import torch
import torch.nn.functional as F  # noqa: N812
from backproof.adapters.torch_program.capture import capture
from backproof.reference.programs import Captured, Outcome, Unsupported, check, right_as_stopped
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch_functions import CORNERED, MODULES, SMOOTH, Case, between, drawn, module

COVERAGE = run_path(str(Path(__file__).with_name("opinfo_coverage.py")))
CORE = run_path(str(Path(__file__).with_name("core_coverage.py")))
furthest: Callable[[Captured], float] = COVERAGE["furthest"]

TRANSLATED = 1e-9  # what float64's rounding stays under on these small inputs, kernels' own sums included
SAME = {Outcome.EQUAL, Outcome.LITERALS}


def outcomes(function: Callable[..., Any], *inputs: Any, parameters: Any = ()) -> set[Outcome]:
    captured = capture(function, inputs, parameters=tuple(parameters))
    assert captured.outputs
    assert furthest(captured) < TRANSLATED
    return {agreement.outcome for agreement in check(captured)}


def gradient_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function's gradient, as a function: its backward is the second order."""

    def gradient(*inputs: Any) -> Any:
        y = torch.utils._pytree.tree_leaves(function(*inputs))[0]
        weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
        leaves = [x for x in inputs if isinstance(x, torch.Tensor) and x.requires_grad]
        return torch.autograd.grad(y, leaves, weights, create_graph=True)

    return gradient


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", [*SMOOTH, *CORNERED])
def test_the_captured_backward_is_the_chain_rule(name: str, sampled: Callable[[int, int], None]) -> None:
    sampled([*SMOOTH, *CORNERED].index(name), 4)
    function, inputs = (SMOOTH | CORNERED)[name]
    torch.manual_seed(0)
    assert outcomes(function, *inputs()) <= SAME


@pytest.mark.parametrize("name", SMOOTH)
def test_so_is_the_backward_of_the_backward(name: str, sampled: Callable[[int, int], None]) -> None:
    sampled(list(SMOOTH).index(name), 9)
    function, inputs = SMOOTH[name]
    torch.manual_seed(0)
    assert outcomes(gradient_of(function), *inputs()) <= SAME


@pytest.mark.sampled(8)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODULES)
def test_modules_with_their_parameters(name: str, training: bool, sampled: Callable[[int, int], None]) -> None:
    sampled(2 * list(MODULES).index(name) + training, 6)
    made, shape = MODULES[name]
    network = module(made).train(training)
    torch.manual_seed(1)
    assert outcomes(network, drawn(*shape), parameters=network.parameters()) <= SAME


# ------------------------------------------------------------------------------------------------ what is saved


def own_backward(kernel: Callable[..., Any], forward: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any], Any]:
    """A custom function whose backward is a kernel of PyTorch's: kernel(gradient, x, what was saved)."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y, saved = forward(x)
            ctx.save_for_backward(x, saved)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return kernel(g, *ctx.saved_tensors)

    return Own.apply


ATEN = torch.ops.aten


def _layer_norm_back(g: Any, x: Any, middle: Any) -> Any:
    inverse = 1 / torch.sqrt(x.var(-1, keepdim=True, correction=0) + 1e-5)
    return ATEN.native_layer_norm_backward(g, x, [4], middle, inverse, None, None, [True, False, False])[0]


def _attention_back(g: Any, x: Any, saved: Any) -> Any:
    out, weights = ATEN._scaled_dot_product_flash_attention_for_cpu(x.detach(), x.detach(), x.detach())
    grads = ATEN._scaled_dot_product_flash_attention_for_cpu_backward(g, x, x, x, out, weights + saved, 0.0, False)
    return grads[0] + grads[1] + grads[2]


SAVED: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], Callable[[Any], Any], tuple[int, ...]]] = {
    "softmax": (
        lambda g, x, out: ATEN._softmax_backward_data(g, out, 1, x.dtype), lambda x: F.softmax(x, 1), lambda y: y * 1.1, (2, 4)
    ),
    "log_softmax": (
        lambda g, x, out: ATEN._log_softmax_backward_data(g, out, 1, x.dtype), lambda x: F.log_softmax(x, 1), lambda y: y + 0.1, (2, 4)
    ),
    "tanh": (lambda g, x, out: ATEN.tanh_backward(g, out), torch.tanh, lambda y: y * 0.9, (5,)),
    "sigmoid": (lambda g, x, out: ATEN.sigmoid_backward(g, out), torch.sigmoid, lambda y: y * 0.9, (5,)),
    "layer norm's mean": (_layer_norm_back, lambda x: F.layer_norm(x, (4,)), lambda y: y * 0 + 0.1, (2, 4)),
    "attention's sums": (_attention_back, lambda x: F.scaled_dot_product_attention(x, x, x), lambda y: 0.1, (1, 1, 3, 4)),
    "batch norm's deviation": (
        lambda g, x, saved: ATEN.native_batch_norm_backward(
            g, x, None, None, None, x.mean(0), saved * 1 / torch.sqrt(x.var(0, correction=0) + 1e-5), True, 1e-5, [True, False, False]
        )[0],
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda y: torch.full((3,), 1.01, dtype=torch.float64),
        (5, 3),
    ),
    "threshold": (lambda g, x, out: ATEN.threshold_backward(g, out, 0.0), F.relu, lambda y: y + 1, (9,)),
}  # fmt: skip
RIGHT: dict[str, Callable[[Any, Any], Any]] = {
    "layer norm's mean": lambda x, y: x.mean(-1, keepdim=True),
    "attention's sums": lambda x, y: torch.zeros((), dtype=x.dtype),
    "batch norm's deviation": lambda x, y: torch.ones(3, dtype=x.dtype),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", SAVED)
def test_a_kernel_is_written_from_the_operands_it_was_given(name: str) -> None:
    """What was saved belongs to them: the right tensor makes a right gradient, another one a wrong gradient."""
    kernel, function, spoiled, shape = SAVED[name]
    right = own_backward(kernel, lambda x: (y := function(x), RIGHT.get(name, lambda x, y: y)(x, y)))
    assert outcomes(right, drawn(*shape)) <= SAME

    def stale(x: Any) -> tuple[Any, Any]:
        return (y := function(x)), torch.as_tensor(spoiled(y), dtype=x.dtype)

    assert outcomes(own_backward(kernel, stale), drawn(*shape)) == {Outcome.DIFFERENT}


# ------------------------------------------------------------------------------------------------ ways of writing


def in_place(x: Any) -> Any:
    y = x * 2
    y[:, 1] = y[:, 0].clone() * x[:, 2]
    y[1].mul_(1.5).add_(x[0], alpha=2)
    y.t()[2].copy_(x[:, 0])
    y.clamp_(max=1.0).relu_()
    return torch.cat([y, y.clone().unsqueeze_(0)[0].masked_fill_(y > 0.5, 2.0)])


def with_out(x: Any) -> Any:
    class Out(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.mul(torch.exp(x, out=torch.empty_like(x)), x, out=torch.empty_like(x)) + torch.add(
                x, 1, out=torch.empty_like(x)
            )

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g * (torch.exp(x) * (1 + x) + 1)

    return Out.apply(x)


def listed(x: Any) -> Any:
    """Lists of tensors in one call, as optimizers and clipping have them."""
    parts = torch._foreach_mul([x[0], x[1]], [x[2], x[0]])
    return torch.stack([*torch._foreach_exp(parts), *torch._foreach_add(parts, 1.5)])


def hooked(x: Any) -> Any:
    y = x * x
    y.register_hook(lambda g: g * 1.0)
    return y.sin()


def strided(x: Any) -> Any:
    return (
        x.t()[::2].expand(2, 2, 3).as_strided((2, 3), (2, 4)) * x.diagonal()[None, :2].mean() + x.unfold(1, 2, 1).sum()
    )


class Setup(torch.autograd.Function):
    """The newer way to write one, with an argument that is no tensor and a gradient that is not there."""

    @staticmethod
    def forward(x: Any, scale: float, other: Any) -> Any:
        return x.sin() * scale, other.detach() + 1

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, g: Any, _: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * x.cos() * ctx.scale, None, None


WAYS: dict[str, Case] = {
    "in place": (in_place, lambda: (drawn(3, 3),)),
    "out": (with_out, lambda: (drawn(3, 3),)),
    "foreach": (listed, lambda: (drawn(3, 4),)),
    "hook": (hooked, lambda: (drawn(4),)),
    "strides": (strided, lambda: (drawn(3, 4),)),
    "transposed input": (lambda x: x.exp() @ x.t(), lambda: (drawn(3, 4).detach().t().requires_grad_(),)),
    "nothing in it": (lambda x, y: (x.sum() + y.sum() * 2, x * 3), lambda: (drawn(0, 3), drawn(2))),
    "no axes": (lambda x: x.sin() * torch.softmax(x, 0) + x.max(), lambda: (drawn(),)),
    "integers, masks": (
        lambda x: x * torch.tensor([1, 2, 3]) + (x > 0) * x + torch.arange(3) - x.long(), lambda: (drawn(3),)
    ),
    "setup_context": (lambda x: Setup.apply(x, 1.5, x)[0], lambda: (drawn(4),)),
    "not used": (lambda x, y: x.sin(), lambda: (drawn(3), drawn(3))),
    "nested inputs": (lambda pair: pair[0]["x"] * pair[1], lambda: ([{"x": drawn(3)}, drawn(3, seed=1)],)),
    "tied": (lambda x, w: F.linear(torch.tanh(F.linear(x, w)), w.t()), lambda: (drawn(3, 4), drawn(2, 4))),
    "checkpoint": (lambda x: checkpoint(lambda y: y.sin().exp() * y, x, use_reentrant=False), lambda: (drawn(4),)),
    "reentrant checkpoint": (lambda x: checkpoint(lambda y: y.sin().exp() * y, x, use_reentrant=True) * x, lambda: (drawn(4),)),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_ways_of_writing(name: str) -> None:
    function, inputs = WAYS[name]
    assert outcomes(function, *inputs()) <= SAME


def test_what_is_computed_without_gradients_is_stopped() -> None:
    """A spectral norm's singular vectors come from its weights, under no_grad: the rule is right as it is meant."""
    network = module(lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2)))
    captured = capture(network, (drawn(4, 3),), parameters=tuple(network.parameters()))
    assert captured.stops
    assert right_as_stopped(captured)
    assert right_as_stopped(capture(lambda x: x * x.detach().exp(), (drawn(4),)))
    assert not right_as_stopped(capture(lambda x: Wrong.apply(x * x.detach()), (drawn(4),)))


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


def test_buffers_that_a_module_changes_are_followed() -> None:
    """In training a batch norm's statistics move: the next call in evaluation depends on the batch through them."""
    network = module(lambda: nn.BatchNorm1d(3, momentum=0.3))

    def twice(x: Any) -> Any:
        network.train()
        network(x)
        network.eval()
        return network(x) + network.running_var

    captured = capture(
        lambda x: twice(x).sum() + network.running_mean.sum() * 0, (drawn(4, 3),), parameters=network.parameters()
    )
    assert furthest(captured) < TRANSLATED


def test_casts_are_what_rounds_and_not_the_rule() -> None:
    assert {
        a.outcome
        for a in check(
            capture(
                lambda x, y: (x.float() * y).half().double().exp(),
                (drawn(4), drawn(4).float().detach().requires_grad_()),
            )
        )
    } <= SAME


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.3},
    ],
    ids=["layers", "both ways", "all"],
)
def test_layers_of_an_lstm_in_float32(options: dict[str, Any]) -> None:
    """oneDNN computes each layer and direction in a call of its own, which is told the number of all of them."""
    network = module(lambda: nn.LSTM(3, 2, **options)).float()
    x = drawn(3, 1, 3).detach().float().requires_grad_()
    captured = capture(network, (x,), parameters=tuple(network.parameters()))
    assert {a.outcome for a in check(captured)} <= SAME
    assert furthest(captured) < 1e-4


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_other_formats_have_the_same_rule(kind: str) -> None:
    network = (
        module(lambda: nn.LSTM(3, 4)).to(getattr(torch, kind))
        if kind == "float32"
        else module(lambda: nn.Linear(3, 2)).to(getattr(torch, kind))
    )
    x = drawn(3, 2, 3).detach().to(getattr(torch, kind)).requires_grad_()
    captured = capture(network, (x,), parameters=tuple(network.parameters()))
    assert {a.outcome for a in check(captured)} <= SAME
    assert furthest(captured) < {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.01}[kind]


# ------------------------------------------------------------------------------------------------ what is not covered


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.linalg.eigvalsh(x + x.T),
        lambda x: torch.linalg.inv(torch.complex(x, x)).abs(),
        lambda x: x.to_sparse().to_dense(),
        torch.linalg.matrix_exp,
    ],
)
def test_what_is_not_covered_is_named_with_its_line(function: Any) -> None:
    with pytest.raises(Unsupported, match=r"test_torch_operations.py"):
        capture(function, (drawn(3, 3),))


def test_inputs_that_share_memory_are_refused() -> None:
    with pytest.raises(Unsupported, match="share their memory"):
        capture(torch.sin, (torch.zeros(1, 3).expand(2, 3).requires_grad_(),))


# ------------------------------------------------------------------------------------------------ PyTorch differs


DIFFERS: dict[str, Case] = {
    "as_strided_scatter": (
        lambda x, y: torch.as_strided_scatter(x, y, (2, 2), (2, 1)), lambda: (drawn(3, 3), drawn(2, 2))
    ),
    "max_unpool1d with equal indices": (
        lambda x: F.max_unpool1d(x, torch.tensor([[[0, 0, 3]]]), [2]), lambda: (drawn(1, 1, 3),)
    ),
    "celu: 1/alpha in float32": (lambda x: F.celu(x, 0.7), lambda: (drawn(9),)),
    "binary_cross_entropy twice: 1e-12 is added": (
        gradient_of(lambda x: F.binary_cross_entropy(x, torch.full_like(x, 0.3))), lambda: (between(5),)
    ),
    "ctc_loss of what is no log_softmax": (
        lambda x: F.ctc_loss(x, torch.tensor([[1, 2]]), torch.tensor([4]), torch.tensor([2])), lambda: (drawn(4, 1, 3),)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERS)
def test_where_pytorch_differs_from_the_chain_rule_it_is_seen(name: str) -> None:
    """The program is PyTorch's, to its numbers: what differs is the gradient itself."""
    function, inputs = DIFFERS[name]
    assert Outcome.DIFFERENT in outcomes(function, *inputs())


def test_hardsigmoid_is_seen_to_hold_a_sixth_in_float32() -> None:
    captured = capture(F.hardsigmoid, (drawn(5),))
    assert {a.outcome for a in check(captured)} <= SAME
    assert 1e-8 < furthest(captured) < 1e-7


# ------------------------------------------------------------------------------------------------ the catalogue


@pytest.mark.parametrize(("dtype", "least"), [(torch.float64, 450), (torch.complex128, 230)])
def test_the_catalogue_is_covered(dtype: torch.dtype, least: int, slow: None) -> None:
    for name in ("expecttest", "yaml"):
        pytest.importorskip(name)
    findings = COVERAGE["coverage"](None, dtype)
    covered = [f for f in findings if f.kind in {COVERAGE["OURS"], COVERAGE["MOVED"], COVERAGE["DECOMPOSED"]}]
    assert len(covered) >= least, COVERAGE["table"](findings)
    wrong = [
        f
        for f in findings
        if f.kind == COVERAGE["MISSING"] and any("gradient:" in r or "numbers than" in r for r in f.reasons)
    ]
    assert not wrong, COVERAGE["table"](wrong)


def test_of_the_core_operations_only_resizing_is_not_covered() -> None:
    kinds = {str(op): CORE["kind"](op) for op in CORE["core"]()}
    assert len(kinds) >= 163
    assert {op for op, kind in kinds.items() if kind == CORE["MISSING"]} <= {
        "aten.resize_.default",
    }
    if torch.__version__.startswith("2.13"):
        assert CORE["table"]() in (Path(__file__).parents[2] / "docs" / "coverage.md").read_text(encoding="utf-8")


GROUPS: dict[str, tuple[tuple[int, ...], tuple[int, ...], list[int] | None]] = {
    "rows": ((7, 4), (3, 4, 8), [3, 3, 7]),
    "columns": ((2, 4, 4), (4, 8), [4, 8]),
    "terms": ((4, 12), (12, 8), [4, 4, 12]),
    "stacked": ((2, 3, 4), (2, 4, 8), None),
}


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this PyTorch has no grouped products")
@pytest.mark.parametrize("along", GROUPS)
def test_products_of_groups_as_a_mixture_of_experts_has_them(along: str) -> None:
    first, second, ends = GROUPS[along]
    offsets = None if ends is None else torch.tensor(ends, dtype=torch.int32)
    given = [drawn(*shape).detach().float().requires_grad_() for shape in (first, second)]
    report = bp.torch.check_numbers(lambda x, y: torch._grouped_mm(x, y, offs=offsets), given)
    assert report.ok, report
    assert len(report.run.results) == 3
    assert bp.verify(lambda x, y: torch._grouped_mm(x, y, offs=offsets), given).ok


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this PyTorch has no grouped products")
def test_rows_in_no_group_are_not_judged() -> None:
    given = [drawn(*shape).detach().float().requires_grad_() for shape in ((7, 4), (2, 4, 8))]
    offsets = torch.tensor([3, 5], dtype=torch.int32)
    with pytest.raises(Unsupported, match="not all of the rows"):
        bp.verify(lambda x, y: torch._grouped_mm(x, y, offs=offsets)[:5], given)
