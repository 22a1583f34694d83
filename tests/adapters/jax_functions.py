"""Functions of JAX, by family, and inputs: every primitive that the tables have is in one of them.

No case holds a number that it must give: JAX's own numbers and our chain rule are each compared with what was captured.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

RANDOM = np.random.default_rng(7)

Case = tuple[Callable[..., Any], tuple[Any, ...]]
CASES: dict[str, Case] = {}
QUICK: set[str] = set()


def n(*shape: int) -> Any:
    """Normal random numbers."""
    return RANDOM.standard_normal(shape)


def u(*shape: int, low: float = 0.2, high: float = 0.9) -> Any:
    """Uniform ones."""
    return RANDOM.uniform(low, high, shape)


named: Any = checkpoint_name  # untyped, like the other one
barrier: Any = lax.optimization_barrier


def case(name: str, *inputs: Any, quick: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        assert name not in CASES
        CASES[name] = (function, inputs)
        if quick:
            QUICK.add(name)
        return function

    return register


def simple(family: dict[str, Callable[..., Any]], *inputs: Any) -> None:
    for name, function in family.items():
        case(name, *inputs)(function)


# ------------------------------------------------------------------------------------------------ single operations

simple(
    {
        "signs": lambda x: (-x, jnp.abs(x), jnp.sign(x) * x, jnp.floor(x) * x, jnp.ceil(x) * x, jnp.round(x) * x),
        "squares": lambda x: (lax.square(x), lax.integer_pow(x, 3), x**-2, jnp.cbrt(x), jnp.power(x, 3.0)),
        "exponentials": lambda x: (jnp.exp(x), jnp.exp2(x), jnp.expm1(x), lax.logistic(x), jax.nn.softplus(x)),
        "circles": lambda x: (jnp.sin(x), jnp.cos(x), jnp.tan(x), jnp.arctan(x)),
        "hyperbolas": lambda x: (jnp.sinh(x), jnp.cosh(x), jnp.tanh(x), jnp.arcsinh(x)),
        "errors": lambda x: (lax.erf(x), lax.erfc(x), jax.nn.gelu(x, approximate=False), jax.nn.gelu(x)),
        "bessel": lambda x: (lax.bessel_i0e(x), lax.bessel_i1e(x)),
        "activations": lambda x: (jax.nn.relu(x), jax.nn.silu(x), jax.nn.elu(x), jax.nn.selu(x), jax.nn.mish(x)),
        "soft": lambda x: (jax.nn.softmax(x), jax.nn.log_softmax(x), jax.nn.logsumexp(x, axis=1), jax.nn.glu(x, 0)),
        "clip": lambda x: (jnp.clip(x, -0.5, 0.7), lax.clamp(-1.0, x, 0.3), jax.nn.relu6(x), jnp.minimum(x, 0.1)),
        "where": lambda x: (jnp.where(x > 0, x, x * x), jnp.nan_to_num(x), jnp.isfinite(x) * x),
        "casts": lambda x: (x.astype(jnp.int32) * x, lax.reduce_precision(x, 11, 52), x.astype(bool) * x),
        "movement": lambda x: (
            x.reshape(-1)[1:9:3], x.T, x[::-1], jnp.tile(x, (2, 1)), jnp.repeat(x, 2, 0), jnp.roll(x, 1), x[:, None],
            jnp.pad(x, 1), jnp.pad(x, 2, mode="reflect"), jnp.stack([x, 2 * x]), jnp.concatenate([x, x * x], 1),
            jnp.split(x, 2, 0), jnp.unstack(x), lax.expand_dims(x, (0,)), jnp.squeeze(x[:, :1]), jnp.tril(x),
            lax.pad(x, x[0, 0], [(1, 0, 1), (-1, 2, 0)]), jax.checkpoint(jnp.sin)(x), jnp.flip(x, 1), jnp.rot90(x),
        ),
        "slices": lambda x: (
            lax.dynamic_slice(x, (1, 5), (2, 2)), lax.dynamic_update_slice(x, x[:1, :2] ** 2, (2, 3)),
            jnp.take(x, jnp.array([0, 2, 2, 7]), axis=0, fill_value=3.0), x[jnp.array([1, 1]), jnp.array([0, 3])],
            jnp.take_along_axis(x, jnp.argsort(x, 1), 1), jnp.diagonal(x), x[jnp.array([0, -1])],
        ),
        "scatter": lambda x: (
            x.at[jnp.array([0, 1, 1])].add(x[:3] ** 2), x.at[0].set(x[1] * x[2]), x.at[:, 1].multiply(x[:, 0]),
            x.at[jnp.array([0, 3])].max(x[1:3]), x.at[1].min(x[2]), x.at[jnp.array([0, 9])].add(x[:2], mode="drop"),
            jax.ops.segment_sum(x, jnp.array([0, 1, 0, 2]), 3), x.at[1].subtract(x[2] * 2),
            x.at[jnp.array([0, 1])].set(x[2:] ** 2),
        ),
        "order": lambda x: (
            jnp.sort(x, 1), jnp.sort(x, 0, descending=True), lax.sort((x, x * x, jnp.arange(20).reshape(4, 5)), num_keys=1)[:2],
            lax.top_k(x, 2)[0], lax.approx_max_k(x, 2)[0], jnp.median(x, 1), jnp.argmax(x) * x, jnp.percentile(x, 30.0),
        ),
        "reductions": lambda x: (
            x.sum(), x.sum(0), x.mean(1), x.max(), x.max(1), x.min(0), x.prod(1), x.var(0), x.std(), jnp.ptp(x, 1),
            jnp.linalg.norm(x), jnp.cumsum(x, 1), jnp.cumprod(x, 1), lax.cummax(x, 1), lax.cummin(x, 0, reverse=True),
            lax.cumlogsumexp(x, 1), lax.cumsum(x, 0, reverse=True),
            jax.vmap(lambda row: row - lax.psum(row * row, "rows"), axis_name="rows")(x),
        ),
        "reduce by": lambda x: (
            lax.reduce(x, np.float64(0.0), lambda y, z: z + y, (1,)), lax.reduce(x, np.float64(1.0), lambda y, z: z * y, (0,)),
        ),
        "remainders": lambda x: (jnp.remainder(x, 0.7), jnp.fmod(x, 0.3), x % (1 + x * x)),
        "stop_gradient of what does not matter": lambda x: jnp.exp(x - lax.stop_gradient(x * 0 + 2.0)),
        "random bits": lambda x: jnp.where(jax.random.bernoulli(jax.random.key(1), 0.5, x.shape), x / 0.5, 0.0)
        + jax.random.normal(jax.random.PRNGKey(3), x.shape) * x,
        "names and places": lambda x: (
            named(x * x, "square"), jax.device_put(x, jax.devices()[0]) * 2, barrier(jnp.sin(x)),
        ),
        "vmap": jax.vmap(lambda row: jnp.outer(row, jnp.tanh(row)).sum(0)),
        "jvp inside": lambda x: jax.jvp(jnp.sin, (x,), (x * x,)),
        "grad inside": lambda x: jax.grad(lambda y: (jnp.tanh(y) ** 3).sum())(x) * x,
        "hessian": lambda x: jax.hessian(lambda y: (y**3).sum() * y[0])(x[0, :3]),
    },
    n(4, 5),
)  # fmt: skip
simple(
    {
        "positive": lambda x: (jnp.log(x), jnp.log1p(x), jnp.sqrt(x), lax.rsqrt(x), jnp.log2(x), x**0.3, x**x, 1 / x),
        "inverse functions": lambda x: (jnp.arcsin(x), jnp.arccos(x), jnp.arctanh(x), jnp.arccosh(1 + x), lax.erf_inv(x)),
        "gamma": lambda x: (lax.lgamma(x), lax.digamma(x), lax.polygamma(2.0, x), jax.scipy.special.zeta(2.5, x)),
        "incomplete": lambda x: (
            lax.igamma(1.3 + x, x), lax.igammac(x, 0.5 + x), jax.scipy.special.betainc(1.5, 0.7, x),
        ),
        "two": lambda x: (jnp.arctan2(x, x[::-1]), jnp.hypot(x, 2 * x), jnp.logaddexp(x, x * x), x * jnp.log(x) - x / x.sum()),
    },
    u(6),
)  # fmt: skip

# ------------------------------------------------------------------------------------------------ products, convolutions


@case("einsum", n(2, 3, 4), n(2, 4, 5), n(5))
def _(x: Any, y: Any, z: Any) -> Any:
    return jnp.einsum("bij,bjk,k->bi", x, y, z), jnp.tensordot(x, y, ((2, 0), (1, 0))), x @ y, jnp.einsum("bij->jb", x)


@case("groups of rows", n(6, 3), n(3, 3, 4), np.array([2, 0, 3]))
def _(x: Any, w: Any, sizes: Any) -> Any:
    return lax.ragged_dot(x, w, sizes)


def convolution(**options: Any) -> Callable[..., Any]:
    return lambda x, k: lax.conv_general_dilated(x, k, **({"window_strides": (1, 1), "padding": "VALID"} | options))


_IMAGE, _KERNEL = n(2, 4, 6, 5), n(4, 4, 3, 2)
for _name, _options, _inputs in (
    ("plain", {}, (_IMAGE, _KERNEL)),
    ("strides", {"window_strides": (2, 1), "padding": ((1, 2), (0, 1))}, (_IMAGE, _KERNEL)),
    ("cropped", {"padding": ((-1, 1), (0, -1))}, (_IMAGE, _KERNEL)),
    ("dilated", {"rhs_dilation": (2, 3), "padding": "SAME"}, (_IMAGE, _KERNEL)),
    ("transposed", {"lhs_dilation": (2, 2), "padding": ((2, 2), (1, 1))}, (_IMAGE, _KERNEL)),
    ("groups", {"feature_group_count": 2}, (_IMAGE, n(6, 2, 3, 2))),
    ("depthwise", {"feature_group_count": 4}, (_IMAGE, n(8, 1, 3, 2))),
    ("batch groups", {"batch_group_count": 2}, (n(4, 3, 5, 5), n(6, 3, 3, 2))),
    ("channels last", {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}, (n(2, 5, 6, 3), n(3, 2, 3, 4))),
):
    case(f"convolution: {_name}", *_inputs)(convolution(**_options))


@case("convolution in one dimension", n(1, 2, 7), n(3, 2, 3))
def _(x: Any, k: Any) -> Any:
    return lax.conv(x, k, (2,), "SAME")


@case("pooling", n(1, 6, 6, 2))
def _(x: Any) -> Any:
    window, strides = (1, 3, 2, 1), (1, 2, 2, 1)
    return (
        lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "SAME"),
        lax.reduce_window(x, jnp.inf, lax.min, window, strides, "VALID"),
        lax.reduce_window(x, 0.0, lax.add, window, strides, "SAME"),
        lax.reduce_window(
            x, 0.0, lax.add, window, strides, "SAME", base_dilation=(1, 2, 1, 1), window_dilation=(1, 1, 2, 1)
        ),
    )


@case("tangents of pooling", n(1, 4, 4, 1), n(1, 4, 4, 1))
def _(x: Any, v: Any) -> Any:
    """A derivative along a direction holds select_and_gather_add."""

    def pooled(y: Any) -> Any:
        return lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    return jax.jvp(pooled, (lax.stop_gradient(x),), (v,))[1]


# ------------------------------------------------------------------------------------------------ linear algebra

_SQUARE = n(4, 4)


@case("cholesky", n(2, 4, 4))
def _(x: Any) -> Any:
    return jnp.linalg.cholesky(x @ jnp.swapaxes(x, 1, 2) + 4 * jnp.eye(4))


@case("solve", _SQUARE + 3 * np.eye(4), n(4, 2))
def _(a: Any, b: Any) -> Any:
    return jnp.linalg.solve(a, b), jnp.linalg.inv(a), jnp.linalg.det(a), jnp.linalg.slogdet(a)[1]


@case("triangles", _SQUARE + 3 * np.eye(4), n(4, 3))
def _(a: Any, b: Any) -> Any:
    solve = partial(lax.linalg.triangular_solve, jnp.tril(a))
    return (
        solve(b, left_side=True, lower=True), solve(b, left_side=True, lower=True, transpose_a=True),
        solve(b.T, left_side=False, lower=True, unit_diagonal=True), lax.linalg.triangular_solve(jnp.triu(a), b, left_side=True),
    )  # fmt: skip


@case("three diagonals", n(4), 4 + n(4), n(4), n(4, 2))
def _(below: Any, middle: Any, above: Any, right: Any) -> Any:
    return lax.linalg.tridiagonal_solve(below, middle, above, right)


@case("qr", n(5, 3))
def _(a: Any) -> Any:
    return jnp.linalg.qr(a)


# ------------------------------------------------------------------------------------------------ networks


@case("multilayer perceptron", {"w": [n(3, 4), n(4, 2)], "b": (n(4), n(2))}, n(5, 3), quick=True)
def _(parameters: Any, x: Any) -> Any:
    for w, b in zip(parameters["w"], parameters["b"], strict=True):
        x = jnp.tanh(x @ w + b)
    return {"loss": (x**2).mean(), "out": x}


@case("convolutional network with batch norm", n(2, 6, 6, 2), n(3, 3, 2, 3), n(3), n(3), n(12, 2))
def _(x: Any, kernel: Any, scale: Any, shift: Any, w: Any) -> Any:
    y = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    centred = y - y.mean((0, 1, 2))
    y = jax.nn.relu(centred * lax.rsqrt((centred**2).mean((0, 1, 2)) + 1e-5) * scale + shift)
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return jax.nn.log_softmax(y.reshape(2, -1) @ w)


@case("recurrent network by scan", n(4, 3), n(2, 2), n(3, 2), n(2), quick=True)
def _(xs: Any, w: Any, v: Any, start: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(h @ w + x @ v)
        return h, h

    return lax.scan(step, start, xs)


@case("LSTM", n(3, 2), n(4, 12), n(12))
def _(xs: Any, w: Any, b: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = jnp.split(jnp.concatenate([x, h[:2]]) @ w + b, 4)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return lax.scan(step, (jnp.zeros(3), jnp.zeros(3)), xs, reverse=True)


@case("GRU", n(3, 2), n(5, 6), n(5, 3))
def _(xs: Any, w: Any, v: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        r, z = jnp.split(jax.nn.sigmoid(jnp.concatenate([x, h]) @ w), 2)
        new = (1 - z) * h + z * jnp.tanh(jnp.concatenate([x, r * h]) @ v)
        return new, None

    return lax.scan(step, jnp.zeros(3), xs)[0]


@case("attention with mask", n(1, 3, 4), n(4, 12), n(4, 4), n(4), n(4))
def _(x: Any, w: Any, out: Any, scale: Any, shift: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    y = (x - mean) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6) * scale + shift
    q, k, v = (z.reshape(1, 3, 2, 2) for z in jnp.split(y @ w, 3, -1))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(2.0)
    weights = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((3, 3), bool)), scores, -jnp.inf))
    return x + jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(1, 3, 4) @ out


@case("dot_product_attention", n(1, 3, 2, 4), n(1, 3, 2, 4), n(1, 3, 2, 4))
def _(q: Any, k: Any, v: Any) -> Any:
    return jax.nn.dot_product_attention(q, k, v, is_causal=True)


@case("embedding", n(6, 3), np.array([[1, 4, 1], [0, 5, 4]]))
def _(table: Any, tokens: Any) -> Any:
    return jnp.tanh(table[tokens]).sum(1), table[tokens[0]] @ table.T


@case("checkpoint, jit, pytrees", {"a": n(3), "b": 0.3}, 2, quick=True)
def _(tree: Any, times: int) -> Any:
    return jax.jit(jax.checkpoint(lambda x, y: [jnp.sin(x) * jnp.exp(y)] * times))(tree["a"], tree["b"])


@case("branches and loops", n(3), quick=True)
def _(x: Any) -> Any:
    y = lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x)
    y = lax.switch(1, [jnp.exp, jnp.tanh, jnp.abs], y)
    return lax.fori_loop(0, 3, lambda k, z: z * jnp.cos(z) + k, y)


@case("derivatives along a direction in a while loop", n(3))
def _(x: Any) -> Any:
    """A loop whose number of rounds is known only when it runs has no gradient in JAX, but one of constants does."""
    count = lax.while_loop(lambda k: k < 3, lambda k: k + 1, jnp.array(0))
    scale = lax.while_loop(lambda s: s < 5.0, lambda s: s * 1.7, jnp.array(1.0))
    return x * count * scale


@case("associative scan", n(5))
def _(x: Any) -> Any:
    return lax.associative_scan(jnp.multiply, x), lax.map(jnp.sin, x)


@case("float32", n(3, 4).astype(np.float32), n(4, 2).astype(np.float32))
def _(x: Any, w: Any) -> Any:
    return jax.nn.softmax(jnp.power(jnp.abs(x @ w), 0.3) * 0.1), jax.nn.gelu(x), x.at[0].set(x[1]), jnp.sort(x)


@case("bfloat16", n(3, 4).astype(np.float32))
def _(x: Any) -> Any:
    return (jnp.tanh(x.astype(jnp.bfloat16) * 2) ** 2).astype(jnp.float32).sum()


def _losses() -> None:
    try:
        import optax
    except ImportError:
        return
    labels, logits, targets = np.array([0, 2, 1]), n(3, 4), u(3, 4)
    simple(
        {
            "optax: squared": lambda x: (optax.squared_error(x, targets), optax.huber_loss(x, targets, delta=0.5), optax.log_cosh(x)),
            "optax: entropies": lambda x: (
                optax.softmax_cross_entropy_with_integer_labels(x, labels), optax.sigmoid_binary_cross_entropy(x, targets),
                optax.softmax_cross_entropy(x, targets), optax.sigmoid_focal_loss(x, targets),
            ),
            "optax: others": lambda x: (
                optax.cosine_similarity(x, targets), optax.hinge_loss(x, jnp.sign(targets - 0.5)),
                optax.kl_divergence(jax.nn.log_softmax(x), targets), optax.smooth_labels(jax.nn.softmax(x), 0.1),
                optax.ctc_loss(x[None], jnp.zeros((1, 3)), labels[None, :1] + 1, jnp.zeros((1, 1))),
            ),
        },
        logits,
    )  # fmt: skip


_losses()
