"""Functions of one thing twice, at zeros, ties, full masks, repeated indices, batch 1: nobody is accused."""

from __future__ import annotations

from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

import backproof as bp

F = torch.nn.functional
REPEATED = torch.tensor([1, 1, 0, 1])
FULL = torch.ones(3, 3, dtype=torch.bool)


def drawn(*shape: int) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


def zeros(*shape: int) -> Any:
    return torch.zeros(*shape, dtype=torch.float64, requires_grad=True)


def into(n: int) -> Any:
    return torch.ones(n, dtype=torch.float64)


AGREE: dict[str, tuple[Any, Any]] = {
    "cosine of itself": (lambda x: F.cosine_similarity(x, x, dim=-1), drawn(2, 3)),
    "cosine of its negative": (lambda x: F.cosine_similarity(x, -x, dim=-1), drawn(2, 3)),
    "norm of nothing": (lambda x: (x - x).norm(), drawn(3)),
    "norm at zero": (lambda x: torch.linalg.vector_norm(x, 3), zeros(3)),
    "normalised zeros": (F.normalize, zeros(2, 3)),
    "distance to itself": (lambda x: torch.dist(x, x), drawn(3)),
    "distances to itself": (lambda x: torch.cdist(x, x), drawn(3, 2)),
    "distances of equals": (lambda x: F.pdist(torch.cat([x, x]), 3), drawn(2, 2)),
    "deviation of equals": (lambda x: x.expand(4).std(), drawn(1)),
    "layer norm of equals": (lambda x: F.layer_norm(x.expand(2, 3), (3,)), drawn(2, 1)),
    "maximum of itself": (lambda x: torch.maximum(x, x), drawn(3)),
    "maximum of equals": (lambda x: torch.cat([x, x]).max(), drawn(3)),
    "sorted equals": (lambda x: torch.cat([x, x]).topk(3).values, drawn(4)),
    "pooled equals": (lambda x: F.max_pool1d(x.expand(1, 1, 4), 2), drawn(1, 1, 1)),
    "rectified nothing": (lambda x: (x - x).relu(), drawn(3)),
    "error to itself": (lambda x: F.smooth_l1_loss(x, x) + F.l1_loss(x, x), drawn(3)),
    "divergence from itself": (
        lambda x: F.kl_div(x.log_softmax(-1), x.log_softmax(-1), log_target=True, reduction="sum"),
        drawn(2, 3),
    ),
    "triplet of itself": (lambda x: F.triplet_margin_loss(x, x, x), drawn(2, 3)),
    "everything masked": (lambda x: x.masked_fill(FULL, -torch.inf).softmax(-1).nan_to_num(), drawn(3, 3)),
    "attention to nothing": (
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=~FULL),
        drawn(1, 3, 2),
    ),
    "repeated rows": (lambda x: x[REPEATED], drawn(3)),
    "repeated sums": (lambda x: into(2).index_put((REPEATED,), x, accumulate=True), drawn(4)),
    "repeated products": (lambda x: into(2).scatter_reduce(0, REPEATED, x, "prod"), drawn(4)),
    "repeated ties": (lambda x: into(2).scatter_reduce(0, REPEATED, torch.cat([x, x]), "amax"), drawn(2)),
    "product of zeros": (lambda x: x.prod() + x.cumprod(0).sum(), torch.tensor([0.0, 2, 0]).double().requires_grad_()),
    "clamped at the edge": (lambda x: x.clamp(-1, 1), torch.tensor([1.0, -1, 0]).double().requires_grad_()),
    "softmax of one": (lambda x: x.softmax(-1), drawn(3, 1)),
    "batch norm of one sample": (torch.nn.BatchNorm1d(3).double(), drawn(1, 3, 2)),
    "attention of one": (torch.nn.MultiheadAttention(2, 1, batch_first=True).double(), (drawn(1, 1, 2),) * 3),
}
NO_VALUE: dict[str, tuple[Any, Any]] = {
    "root of nothing": (lambda x: (x - x).sqrt(), drawn(3)),
    "angle of zeros": (lambda x: torch.atan2(x, x), zeros(2)),
    "x ln x at zero": (lambda x: torch.xlogy(x, x), zeros(2)),
    "softmax of nothing": (lambda x: x.masked_fill(FULL, -torch.inf).softmax(-1), drawn(3, 3)),
    "variance of one": (lambda x: x.mean() / (x - x.mean()).abs().sum(), drawn(1)),
    "determinant of rank 1": (lambda x: torch.linalg.det(torch.outer(x, x)), drawn(3)),
}
QUICK = ("cosine of itself", "norm of nothing", "distances to itself", "attention to nothing", "repeated ties")


def nobody_is_accused(name: str) -> None:
    function, inputs = AGREE[name]
    report: Any = bp.verify(function, inputs)
    assert report.verdict == "agrees", str(report)


@pytest.mark.parametrize("name", QUICK)
def test_nobody_is_accused(name: str) -> None:
    nobody_is_accused(name)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", [name for name in AGREE if name not in QUICK])
def test_nor_at_the_other_points(name: str) -> None:
    nobody_is_accused(name)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", NO_VALUE)
def test_where_there_is_no_number_that_is_said(name: str) -> None:
    function, inputs = NO_VALUE[name]
    report: Any = bp.verify(function, inputs)
    assert report.verdict == "undecided", str(report)
    assert report.reason


def test_the_subgradient_that_is_taken_is_told() -> None:
    assert "it is zero, where it has no gradient, and PyTorch takes zero" in " ".join(
        str(bp.verify(torch.norm, zeros(3))).split()
    )


def test_a_norm_of_ones_own_that_gives_no_number_at_zero_is_told_as_a_kink() -> None:
    class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x.norm()
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            return g * x / y

    report: Any = bp.verify(Norm.apply, drawn(3))
    assert report.verdict == "agrees"
    assert "zeros in input 0: a kink, where this implementation takes nan" in " ".join(str(report).split())


def largest_of_each_row(share: Any) -> Any:
    """A maximum along the rows whose backward shares the gradient among those that are equally large."""

    class Largest(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.amax(-1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g[:, None] * share((x == x.amax(-1, keepdim=True)).to(x))

    return Largest.apply


def pooled(share: Any) -> Any:
    """The largest of each 2 × 2 window, likewise."""

    class Pooled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            windows = x.unfold(0, 2, 2).unfold(1, 2, 2).flatten(2)
            ctx.save_for_backward(windows)
            return windows.amax(-1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (windows,) = ctx.saved_tensors
            of_each = g[..., None] * share((windows == windows.amax(-1, keepdim=True)).to(windows))
            return of_each.unflatten(-1, (2, 2)).permute(0, 2, 1, 3).reshape(2 * g.shape[0], 2 * g.shape[1])

    return Pooled.apply


SHARES: dict[str, tuple[Any, str]] = {
    "all to each": (lambda among: among, "wrong"),
    "less than all": (lambda among: among / among.sum(-1, keepdim=True) ** 2, "wrong"),
    "evenly": (lambda among: among / among.sum(-1, keepdim=True), "agrees"),
    "to the first": (lambda among: among * (among.cumsum(-1) == 1), "agrees"),
    "by place": (lambda among: (w := among * torch.arange(1, 1 + among.shape[-1])) / w.sum(-1, keepdim=True), "agrees"),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("function", [largest_of_each_row, pooled])
def test_what_equals_are_given_adds_up_to_what_their_maximum_is_given(function: Any, name: str) -> None:
    share, verdict = SHARES[name]
    for x in (drawn(4, 4), zeros(2, 2)):
        report: Any = bp.verify(function(share), x)
        assert report.verdict == verdict, str(report)
    if verdict == "wrong":
        assert "all of them together may not" in " ".join(str(report).split())
        assert not report.explanations


@pytest.mark.usefixtures("slow")
def test_the_same_in_jax() -> None:
    jax: Any = pytest.importorskip("jax")
    optax: Any = pytest.importorskip("optax")
    from backproof.adapters.jax_grad import enable_x64

    jnp = jax.numpy
    repeated, x = REPEATED.numpy(), np.random.default_rng(0).standard_normal((2, 3))
    functions = {
        "cosine of itself": lambda x: optax.losses.cosine_similarity(x, x),
        "maximum of itself": lambda x: jnp.maximum(x, x),
        "maximum of equals": lambda x: jnp.concatenate([x, x]).max(0),
        "a constant beside a kink": lambda x: jnp.logaddexp2(jax.lax.cummax(x), x),
        "sorted equals": lambda x: jnp.sort(jnp.concatenate([x, x]), 0),
        "everything masked": lambda x: jax.nn.softmax(x, where=np.zeros((2, 3), bool)),
        "repeated rows": lambda x: x[:, np.array([1, 1, 0])],
        "repeated writes": lambda x: 2 * jnp.zeros((2, 2)).at[:, repeated[:3]].set(x),
        "repeated ties": lambda x: jnp.zeros(2).at[repeated].max(jnp.concatenate([x[0, :2], x[0, :2]])),
        "variance of one": lambda x: x[:1].var(0),
        "products": lambda x: jnp.prod(x * 0) + jnp.cumprod(x * 0, 0).sum(),
        "error to itself": lambda x: optax.losses.huber_loss(x, x) + optax.losses.l2_loss(x, x),
        "determinant of rank 1": lambda x: jnp.linalg.det(jnp.outer(x[0], x[0])),
    }
    with enable_x64(True):
        for name, function in functions.items():
            report: Any = bp.verify(function, x)
            assert report.verdict == "agrees", f"{name}: {report}"
        for name, undefined in {
            "root of nothing": lambda x: jnp.sqrt(x - x),
            "norm": lambda x: jnp.linalg.norm(x - x),
        }.items():
            assert bp.verify(undefined, x).verdict == "undecided", name


def by_parts(x: Any) -> Any:
    return F.relu(x) - F.relu(-x)


def at_zero(x: Any) -> Any:
    return torch.where(x > 0, x, 0.0) + torch.log1p(torch.exp(-x.abs()))


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("function", "x", "there"),
    [(by_parts, [0.0, 1.0], "at [0] is 0 there"), (at_zero, [0.7, 0.0, -1.3], "at [1] is 0 there")],
)
def test_a_gradient_that_no_side_of_the_point_has_is_right_by_the_rule_and_told(
    function: Any, x: list[float], there: str
) -> None:
    point = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    report: Any = bp.verify(function, point)
    assert report.verdict == "agrees"
    assert len(report.kinks) == 1
    assert there in report.kinks[0]
    assert "to all sides" in report.kinks[0]


@pytest.mark.parametrize(
    "function", [F.relu, F.gelu, lambda x: x.amax(), lambda x: x.abs() * x, lambda x: x.norm() ** 2]
)
def test_at_a_kink_of_the_function_itself_nothing_is_told(function: Any) -> None:
    assert not bp.verify(function, zeros(3)).kinks


@pytest.mark.usefixtures("slow")
def test_no_number_at_a_special_point_is_no_loop_that_has_nearly_converged() -> None:
    """Which starting point it is called with decides nothing. The function: a projection onto a ball."""
    jax = pytest.importorskip("jax")

    def projected(x: Any) -> Any:
        norm = jax.numpy.sqrt((x * x).sum())
        factor = 1 / norm
        return jax.lax.cond(norm <= 1, lambda: x, lambda: factor * x)

    for start in ([0.9, -1.2, 2.0], [0.3, -0.2, 0.1]):
        report = bp.verify(projected, jax.numpy.array(start))
        assert report.verdict == "wrong", report
        assert "zeros in input 0" in str(report)
        assert "converged" not in str(report)
