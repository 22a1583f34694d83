"""The numbers of a run, call by call: right ones agree in every format, and each kind of fault in a kernel is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
torch = pytest.importorskip("torch")

import backproof.torch as checks
from backproof.reference.judging import JudgedRun
from backproof.reference.judging.verdict import Verdict
from backproof.reports.any_network import NotDecided, NumbersReport
from torch import nn
from torch.nn import functional as F  # noqa: N812 — as everyone calls it
from torch.utils._python_dispatch import TorchDispatchMode

FORMATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


class Block(nn.Module):
    """A transformer's block. width 32, 4 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(32), nn.LayerNorm(32)
        self.together, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.wide, self.narrow = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: Any) -> Any:
        heads = [t.view(2, 17, 4, 8).transpose(1, 2) for t in self.together(self.before(x)).chunk(3, -1)]
        attended = F.scaled_dot_product_attention(*heads, is_causal=True).transpose(1, 2).reshape(2, 17, 32)
        x = x + self.out(attended)
        return x + self.narrow(F.gelu(self.wide(self.after(x))))


def convolutional() -> Any:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, stride=2),
        nn.GroupNorm(2, 8), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5), nn.LogSoftmax(1),
    )  # fmt: skip


def numbers(*shape: int) -> Any:
    return torch.tensor(np.random.default_rng(3).standard_normal(shape))


def seeded(made: Callable[[], Any], dtype: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return made().to(dtype)


class Kernel(TorchDispatchMode):
    """Below whoever looks: the kernels of this name give something else."""

    def __init__(self, name: str, fault: Callable[[Any], Any]) -> None:
        super().__init__()
        self.name, self.fault, self.calls = name, fault, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._schema.name != f"aten::{self.name}":
            return result
        self.calls += 1
        return self.fault(result)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", FORMATS, ids=str)
def test_right_networks_agree_in_every_format(dtype: Any) -> None:
    for network, x in (
        (seeded(Block, dtype), numbers(2, 17, 32)),
        (seeded(convolutional, dtype), numbers(4, 3, 10, 10)),
    ):
        report = checks.check_numbers(network, x.to(dtype), loss=lambda y: (y.float() ** 2).mean())
        assert report.verdict is Verdict.AGREES, str(report)
        undecided = [r.reason for r in report.run.results if r.verdict is Verdict.UNDECIDED]
        assert len(undecided) <= 1, str(report)  # a bias before a batch norm has a gradient of nothing but roundings
        assert undecided in ([], ["roundings may be as large as the numbers themselves"])
        assert len(report.run.results) > 30
        assert report.zeroable < 0.1
        assert "forward and backward, is what its operation may give" in " ".join(str(report).split())


def first(result: Any) -> Any:
    return result if isinstance(result, torch.Tensor) else result[0]


def changed(result: Any, number: int, how: Callable[[Any], Any]) -> Any:
    if isinstance(result, torch.Tensor):
        return how(result)
    return tuple(how(x) if k == number and x is not None else x for k, x in enumerate(result))


def element(x: Any) -> Any:
    """The largest element by itself, off by 1 in 10,000."""
    flat = x.reshape(-1).clone()
    flat[flat.abs().argmax()] *= 1.0001
    return flat.reshape(x.shape)


FAULTS: dict[str, tuple[str, int, Callable[[Any], Any]]] = {
    "a factor on one gradient": ("gelu_backward", 0, lambda x: x * (1 + 3e-6)),
    "a factor on a norm's weights": ("native_layer_norm_backward", 1, lambda x: x * (1 + 1e-5)),
    "a row of zeros": ("mm", 0, lambda x: torch.cat([x[:-1], 0 * x[-1:]])),
    "transposed": (
        "_scaled_dot_product_flash_attention_for_cpu_backward",
        2,
        lambda x: x.transpose(1, 2).reshape(x.shape),
    ),
    "one element": ("addmm", 0, element),
    "cut to 16 bits": ("gelu", 0, lambda x: x.to(torch.bfloat16).to(x.dtype)),
    "not a number": ("native_layer_norm", 0, lambda x: torch.where(x == x.max(), torch.nan, x)),
    "one kernel's result, doubled": ("native_layer_norm", 2, lambda x: 2 * x),
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_kernel_s_fault_is_seen_where_it_is(fault: str) -> None:
    name, number, how = FAULTS[fault]
    with Kernel(name, lambda result: changed(result, number, how)) as kernel:
        report = checks.check_numbers(seeded(Block, torch.float32), numbers(2, 17, 32).float().requires_grad_())
    assert kernel.calls
    assert not report.ok
    alarms = [r for r in report.run.results if r.verdict in (Verdict.WRONG, Verdict.SUSPECT)]
    assert {r.origin.name for r in alarms} == {name}
    assert {r.number for r in alarms} == {number}
    assert f"{report.verdict.value}: " in str(report)
    with pytest.raises(RuntimeError, match=name):
        report.raise_for_wrong()


def test_a_small_factor_on_many_numbers_is_seen_by_all_of_them_together() -> None:
    with Kernel("mm", lambda x: x * (1 + 2.0**-19)):
        report = checks.check_numbers(seeded(Block, torch.float32), numbers(2, 17, 32).float().requires_grad_())
    assert report.verdict is Verdict.SUSPECT
    assert "what independent roundings add up to" in " ".join(str(report).split())


def test_what_nothing_can_be_asked_of_is_said() -> None:
    x = numbers(3, 5).requires_grad_()
    report = checks.check_numbers(lambda x: F.dropout(x, 0.5) * 2, x)
    assert report.verdict is Verdict.AGREES
    assert "taken as they came: " in str(report)
    unbounded = checks.check_numbers(lambda x: torch.lgamma(x.abs() + 1) + x, x)
    assert unbounded.verdict is Verdict.AGREES
    assert "not judged" in str(unbounded)
    assert "lgamma has no error bound yet" in " ".join(str(unbounded).split())
    nothing = NumbersReport("f", JudgedRun(()))
    assert nothing.verdict is Verdict.UNDECIDED
    assert str(nothing) == "undecided: f's numbers: no operation on real numbers was seen"
    with pytest.raises(NotDecided):
        nothing.raise_for_wrong()


OPTIMIZERS = ["SGD", "AdamW", "Adam", "RMSprop", "Adagrad", "NAdam", "Adadelta", "Adamax", "RAdam", "ASGD", "Rprop"]


@pytest.mark.sampled(12)
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "foreach"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_step_with_its_optimizer_s_is_judged(optimizer: str, together: bool) -> None:
    network = seeded(lambda: nn.Sequential(nn.Embedding(11, 8), nn.Flatten(), nn.Linear(24, 5)), torch.float32)
    options: dict[str, Any] = {"momentum": 0.9, "nesterov": True} if optimizer == "SGD" else {}
    options |= {} if optimizer == "Rprop" else {"weight_decay": 1e-3}
    optim = getattr(torch.optim, optimizer)(network.parameters(), lr=1e-2, foreach=together, **options)
    tokens, target = torch.tensor([[1, 3, 1], [0, 10, 7]]), torch.tensor([4, 2])

    def step() -> None:
        optim.zero_grad()
        F.cross_entropy(network(tokens), target).backward()
        optim.step()

    for _ in range(2):
        with checks.judged("a step") as report:
            step()
        assert report().verdict is Verdict.AGREES, str(report())
        assert len(report().run.results) > 15
    written = {"AdamW": "addcdiv_", "SGD": "add_", "RMSprop": "addcmul_"}.get(optimizer)
    if written is None:
        return
    with Kernel(written, lambda x: x.mul_(1.001)) as kernel, checks.judged() as report:
        step()
    assert kernel.calls
    assert report().verdict is Verdict.WRONG
    assert written in {r.origin.name for r in report().run.results if r.verdict is Verdict.WRONG}


def test_a_call_without_a_rule_is_counted_and_what_follows_is_judged() -> None:
    x = numbers(3, 3)
    with checks.judged() as report:
        values, vectors = torch.linalg.eigh(x + x.T)
        (vectors * values) @ vectors.T
    assert report().verdict is Verdict.AGREES
    assert "taken as they came: _linalg_eigh" in str(report())
    assert {"add", "mul", "mm"} <= {r.origin.name for r in report().run.results}
    assert "_linalg_eigh" not in {r.origin.name for r in report().run.results}


@pytest.mark.parametrize(
    ("function", "x"),
    [
        pytest.param(
            lambda x: F.max_pool2d(x, 2, 2, 1, 2).detach() * x.sum(), numbers(1, 2, 2, 1),
            id="a window of nothing but padding",
        ),
        pytest.param(torch.linalg.vector_norm, torch.tensor(0.12498439516018553).double(), id="the norm of one number"),
        pytest.param(lambda x: F.rrelu(x, training=True), numbers(40, 16).bfloat16(), id="noise that is kept rounded"),
        pytest.param(lambda x: F.conv2d(x, torch.full((3, 2, 1, 1), 1e-3), torch.full((3,), 0.147)), numbers(9, 2, 5, 5).float(), id="a bias beside small products"),
        pytest.param(lambda x: F.embedding(torch.tensor([0, 0, 0, 0, 0, 1]), x), numbers(2, 40).bfloat16(), id="rows added up in memory"),
        pytest.param(lambda x: (x * x).sqrt() + 1e-8, numbers(64, 64).float(), id="a constant's last bits"),
        pytest.param(lambda x: F.conv2d(1e-3 * x, torch.full((3, 2, 1, 1), 0.7), torch.full((3,), 1.0063)), numbers(20, 2, 5, 5).float(), id="a bias that is rounded several times"),
        pytest.param(lambda x: F.batch_norm(1e-3 * x, 0.2 + torch.zeros(64), 3 + torch.zeros(64), 0.5 + torch.zeros(64), torch.linspace(0.5, 0.7, 64)), numbers(40, 64).float(), id="a bias that the mean is taken off first"),
        pytest.param(lambda x: F.group_norm(x + 0.5, 4, 0.5 + torch.zeros(64), torch.linspace(0.5, 0.7, 64)), numbers(40, 64).float(), id="likewise of groups"),
        pytest.param(lambda x: torch.fmod(x, 0.69921875), torch.tensor([2.796875, 5.59375, 0.6]).bfloat16(), id="a quotient that is rounded to the next whole number"),
        pytest.param(lambda x: torch.renorm(x, 2, 0, 1.0), torch.tensor([[1.0, 0.0245], [0.6, 0.8]]).half(), id="a length that is rounded to the largest"),
        pytest.param(lambda x: F.normalize(0 * x), numbers(3, 2).half(), id="a limit that the format has not"),
        pytest.param(lambda x: x.exp() * torch.tensor([0.0, 1e-30, 0.0, 1.0]), torch.tensor([[1.0, -80.0, 2.0, -100.0]]), id="what is not exact is 0"),
    ],
)  # fmt: skip
def test_right_kernels_that_were_accused_once(function: Callable[[Any], Any], x: Any) -> None:
    """By campaigns: each was a term that the bounds lacked."""
    report = checks.check_numbers(function, x.requires_grad_())
    assert report.verdict is Verdict.AGREES, str(report)


@pytest.mark.parametrize("seed", range(2))
def test_what_saturated_units_lose_alike_is_no_factor(seed: int) -> None:
    """δ is 1 in half of the samples and a few roundings in the others, which sums over samples lose with one sign."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float, *shape: int) -> Any:
        return torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)

    weights, data = between(0.12, 0.2, 40, 120).requires_grad_(), between(0.3, 1, 230, 120)
    targets = (between(0, 1, 230, 40) < 0.5).float()

    def loss(weights: Any) -> Any:
        return F.binary_cross_entropy_with_logits(data @ weights.T, targets, reduction="sum")

    report = checks.check_numbers(loss, (weights,))
    assert str(report).startswith("agrees")


def test_max_pooling_over_nothing_but_padding_sends_its_gradient_elsewhere() -> None:
    """A finding, PyTorch 2.13 on a CPU: the window's index is beyond its plane, and the next plane gets its gradient. A
    PyTorch that is mended agrees."""
    x = numbers(1, 2, 2, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(F.max_pool2d(x, 2, 2, 1, 2), x, torch.ones(1, 2, 1, 1).double())
    report = checks.check_numbers(lambda x: F.max_pool2d(x, 2, 2, 1, 2), x)
    assert (report.verdict is Verdict.WRONG) == bool(gradient.any())
    if gradient.any():
        assert "max_pool2d_with_indices_backward" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64", "float16"])
def test_jax_equation_by_equation(dtype: str) -> None:
    jax = pytest.importorskip("jax")
    import backproof.jax as jax_checks

    def network(x: Any, w: Any) -> Any:
        return jax.nn.log_softmax(jax.nn.gelu(jax.numpy.tanh(x @ w) * 0.3))

    wide = [numbers(5, 7).numpy(), numbers(7, 3).numpy()]
    arguments = wide if dtype == "float64" else [jax.numpy.asarray(x, dtype) for x in wide]
    report = jax_checks.check_numbers(network, arguments)
    assert report.verdict is Verdict.AGREES, str(report)
    assert dtype in {r.precision for r in report.run.results}


FUSED: dict[str, Callable[[Any], Any]] = {
    "adamw": lambda p: torch.optim.AdamW(p, fused=True),
    "adam, its options": lambda p: torch.optim.Adam(p, weight_decay=0.1, amsgrad=True, maximize=True, fused=True),
    "sgd": lambda p: torch.optim.SGD(p, 0.1, fused=True),
    "sgd, its options": lambda p: torch.optim.SGD(
        p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01, maximize=True, fused=True
    ),
    "sgd, dampened": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, dampening=0.5, fused=True),
}


def two_steps(optimizer: str, dtype: Any) -> NumbersReport:
    model = seeded(lambda: nn.Linear(16, 8), dtype)
    made = FUSED[optimizer](model.parameters())
    x = numbers(5, 16).to(dtype)
    with checks.judged("two steps") as report:
        for _ in range(2):
            made.zero_grad()
            (model(x).float() ** 2).mean().backward()
            made.step()
    return report()


@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("optimizer", FUSED)
def test_a_fused_optimizer_s_step_is_judged(optimizer: str, dtype: Any) -> None:
    report = two_steps(optimizer, dtype)
    broken = dtype is torch.bfloat16 and "sgd" in optimizer and skips_vectors()
    assert report.verdict is (Verdict.WRONG if broken else Verdict.AGREES), str(report)
    fused = [r for r in report.run.results if r.origin.name.startswith("_fused_")]
    assert len(fused) >= 4  # two parameters, twice
    assert not any(r.verdict is Verdict.UNDECIDED for r in fused)
    assert not any("fused" in name for name in report.run.taken)


def skips_vectors() -> bool:
    """PyTorch 2.13's fused SGD on a CPU leaves 16-bit weights as they were (github.com/pytorch/pytorch/issues/191763)."""
    weights = torch.ones(64, dtype=torch.bfloat16, requires_grad=True)
    weights.grad = torch.ones_like(weights)
    torch.optim.SGD([weights], 0.5, fused=True).step()
    return bool((weights == 1).all())


class Written(Kernel):
    """Whose kernels write into their operands: the fault is written over what is there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func._schema.name == f"aten::{self.name}":
            self.calls += 1
            self.fault(args)
        return result


@pytest.mark.parametrize(
    ("optimizer", "name", "number"),
    [("adamw", "_fused_adamw_", 0), ("adamw", "_fused_adamw_", 2), ("adam, its options", "_fused_adam_", 3),
     ("sgd, its options", "_fused_sgd_", 1)],
)  # fmt: skip
def test_a_fused_optimizer_s_fault_is_seen(optimizer: str, name: str, number: int) -> None:
    places = (0, 2, 3, 4)  # of weights, moments and the largest one among the arguments
    with Written(name, lambda args: args[places[number]][0].mul_(1 + 1e-4)):
        report = two_steps(optimizer, torch.float32)
    alarms = {(r.origin.name, r.number) for r in report.run.results if r.verdict is Verdict.WRONG}
    assert alarms == {(name, number)}


def test_gradients_that_a_fused_call_scales_itself_are_told() -> None:
    weights, gradient = numbers(3).float(), numbers(3).float()
    with checks.judged("a step") as report:
        gradient.mul_(2)
        torch._fused_sgd_(
            [weights], [gradient], [], weight_decay=0.0, momentum=0.0, lr=0.1, dampening=0.0, nesterov=False,
            maximize=False, is_first_step=True, grad_scale=torch.tensor(2.0),
        )  # fmt: skip
    assert "taken as they came: _fused_sgd_" in str(report())


def scaled_by(factor: float) -> Callable[[Any], Any]:
    """Of a kernel's several results the first."""
    return lambda result: (result[0] * factor, *result[1:])


@pytest.mark.parametrize(("norm", "roundings"), [("batch_norm", 8), ("group_norm", 30)])
def test_a_norm_that_is_off_by_a_few_roundings_is_seen(norm: str, roundings: int) -> None:
    """Though the bias may be added to the mean first."""
    x, weight, bias = numbers(40, 64).float(), 0.5 + torch.zeros(64), torch.linspace(0.5, 0.7, 64)

    def function(x: Any) -> Any:
        if norm == "group_norm":
            return F.group_norm(x, 4, weight, bias)
        return F.batch_norm(x, torch.zeros(64), torch.ones(64), weight, bias)

    for factor in (1.0, 1 + roundings * 2.0**-24):
        with Kernel("native_" + norm, scaled_by(factor)) as kernel:
            report = checks.check_numbers(function, x.clone().requires_grad_())
        assert kernel.calls
        assert (report.verdict is Verdict.AGREES) == (factor == 1), str(report)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_has_the_threads_that_it_is_given(threads: int) -> None:
    before, seen = torch.get_num_threads(), []

    def function(x: Any) -> Any:
        seen.append(torch.get_num_threads())
        return x * x

    try:
        torch.set_num_threads(threads)
        checks.check_numbers(function, numbers(3).requires_grad_())
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {threads}


def test_jax_s_whole_numbers_of_the_other_width_are_what_the_jaxpr_takes_them_for() -> None:
    """JAX keeps the jaxpr of a function inside, here of `at[…]`, though `jax_enable_x64` has changed since."""
    jax = pytest.importorskip("jax")
    from backproof.adapters.jax_program.seen import expected, known
    from backproof.reference.programs import Program

    def operand(dtype: str) -> Any:
        return known(Program(), jax.ShapeDtypeStruct((2,), np.dtype(dtype)), np.array([1, 2], dtype))

    taken = expected(jax.ShapeDtypeStruct((2,), np.dtype("int32")), operand("int64"))
    assert (taken.array.dtype, taken.array.tolist()) == (np.int32, [1, 2])
    for dtype in ("int32", "float32"):
        same = operand(dtype)
        assert expected(jax.ShapeDtypeStruct((2,), np.dtype("int32")), same) is same
