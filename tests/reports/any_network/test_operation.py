"""`assert_operation`: a right kernel passes in every format, a wrong number in any of its results does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backproof as bp
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
torch = pytest.importorskip("torch")

from backproof.reference.programs import LAYERS, WHOLE
from torch.nn import functional as F  # noqa: N812 — as everyone calls it

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order_of_the_tests() -> None:
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


def n(*shape: int) -> Any:
    return torch.tensor(RNG.standard_normal(shape))


def _rope(x: Any, cos: Any, sin: Any) -> Any:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def _scattered(x: Any, source: Any, indices: Any) -> Any:
    return x.index_add(0, indices, source)


# name: the operation in PyTorch, its inputs, its options
KERNELS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "matrix_product": (
        lambda left, right, bias: left @ right + bias,
        {"left": n(5, 33), "right": n(33, 7), "bias": n(7)},
        {},
    ),
    "convolution": (
        lambda x, weight, bias: F.conv2d(x, weight, bias, stride=2, padding=1, groups=2),
        {"x": n(2, 4, 7, 9), "weight": n(6, 2, 3, 3), "bias": n(6)},
        {"stride": 2, "padding": 1, "groups": 2},
    ),
    "softmax": (lambda x: x.softmax(-1), {"x": 3 * n(5, 17)}, {}),
    "cross_entropy": (
        lambda logits, target: F.cross_entropy(logits, target, reduction="mean"),
        {"logits": 3 * n(6, 11), "target": torch.tensor([0, 3, 10, 3, 1, 7])},
        {},
    ),
    "layer_norm": (
        lambda x, weight, bias: F.layer_norm(x, (16,), weight, bias),
        {"x": n(5, 16) + 1, "weight": n(16), "bias": n(16)},
        {},
    ),
    "rms_norm": (lambda x, weight: F.rms_norm(x, (16,), weight, 1e-6), {"x": n(5, 16), "weight": n(16)}, {}),
    "gelu": (lambda x: F.gelu(x, approximate="tanh"), {"x": 2 * n(5, 7)}, {"approximate": "tanh"}),
    "silu": (lambda x: F.silu(input=x), {"x": 2 * n(5, 7)}, {}),
    "swiglu": (lambda gate, up: F.silu(gate) * up, {"gate": n(5, 7), "up": n(5, 7)}, {}),
    "rope": (_rope, {"x": n(2, 5, 8), "cos": n(5, 8), "sin": n(5, 8)}, {}),
    "embedding": (
        lambda weight, indices: F.embedding(indices, weight),
        {"weight": n(7, 5), "indices": torch.tensor([[1, 3, 1], [0, 6, 1]])},
        {},
    ),
    "attention": (
        lambda query, key, value: F.scaled_dot_product_attention(query, key, value, is_causal=True),
        {"query": n(2, 3, 9, 8), "key": n(2, 3, 9, 8), "value": n(2, 3, 9, 8)},
        {"causal": True},
    ),
    "scatter_add": (_scattered, {"x": n(5, 3), "source": n(4, 3), "indices": torch.tensor([1, 4, 1, 1])}, {}),
}


def ran(name: str, dtype: Any) -> dict[str, Any]:
    """What a kernel's test has: inputs, output, cotangent, gradients."""
    function, given, options = KERNELS[name]
    inputs = {key: x if key in WHOLE else x.to(dtype).requires_grad_() for key, x in given.items()}
    output = function(**inputs)
    cotangent = torch.tensor(np.random.default_rng(2).standard_normal(tuple(output.shape))).to(dtype)
    leaves = {key: x for key, x in inputs.items() if key not in WHOLE}
    gradients = dict(zip(leaves, torch.autograd.grad(output, list(leaves.values()), cotangent), strict=True))
    return {"inputs": inputs, "output": output, "cotangent": cotangent, "gradients": gradients, **options}


def test_every_operation_has_its_kernel_here() -> None:
    assert set(KERNELS) == set(LAYERS)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", KERNELS)
def test_a_right_kernel_passes(name: str, dtype: Any) -> None:
    given = ran(name, dtype)
    if name == "layer_norm" and dtype.itemsize == 2:  # PyTorch's adds the gradients of its weights up in 16 bits
        sums = str(dtype).removeprefix("torch.")
        with pytest.raises(AssertionError, match=f"(?s)they are those of sums.*sums='{sums}' allows"):
            bp.assert_operation(name, **given)
        given["sums"] = sums
    report = bp.assert_operation(name, **given)
    assert report.ok
    assert "could be zero unseen" in " ".join(str(report).split())
    if dtype is not torch.bfloat16:
        assert report.zeroable < 0.1


def spoilt(x: Any) -> Any:
    """The largest element off by 1 %."""
    flat = x.detach().clone().reshape(-1)
    flat[flat.abs().argmax()] *= 1.01
    return flat.reshape(x.shape)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", KERNELS)
def test_one_wrong_number_in_any_result_is_found(name: str) -> None:
    right = ran(name, torch.float32)
    with pytest.raises(AssertionError, match="wrong: its output"):
        bp.assert_operation(name, **{**right, "output": spoilt(right["output"])})
    for key, gradient in right["gradients"].items():
        wrong = {**right["gradients"], key: spoilt(gradient)}
        with pytest.raises(AssertionError, match=f"wrong: its gradient by {key}"):
            bp.assert_operation(name, **{**right, "gradients": wrong})


def of_a_row(name: str, dtype: Any, kept: tuple[float, float]) -> dict[str, Any]:
    """A kernel's call, its gradient by x made of float32's, with so much of each of its terms that are a row's sum."""
    x, g = (3 * n(16, 64)).to(dtype), n(16, 64).to(dtype)
    wide, arrived = x.float(), g.float()
    if name == "softmax":
        output = wide.softmax(-1)
        gradient = output * (arrived - kept[0] * (output * arrived).sum(-1, keepdim=True))
    else:
        centred = wide - (wide.mean(-1, keepdim=True) if name == "layer_norm" else 0)
        scale = 1 / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        output = centred * scale
        gradient = arrived - kept[0] * output * (output * arrived).mean(-1, keepdim=True)
        if name == "layer_norm":
            gradient = gradient - kept[1] * arrived.mean(-1, keepdim=True)
        gradient = scale * gradient
    options = {} if name == "softmax" else {"epsilon": 1e-6}
    results = {"output": output.to(dtype), "cotangent": g, "gradients": {"x": gradient.to(dtype)}}
    return {"inputs": {"x": x}, **results, **options}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", ["softmax", "rms_norm", "layer_norm"])
def test_a_term_that_is_left_out_of_a_row_s_gradient_is_found_in_16_bits_too(name: str, dtype: Any) -> None:
    report = bp.assert_operation(name, **of_a_row(name, dtype, (1, 1)))
    assert report.zeroable < 0.25
    for kept in ((0, 1), (1, 0)) if name == "layer_norm" else ((0, 1),):
        with pytest.raises(AssertionError, match="its gradient by x"):
            bp.assert_operation(name, **of_a_row(name, dtype, kept))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "layernorm"}, "Did you mean 'layer_norm'?"),
        ({"inputs": {"y": np.ones((5, 7))}}, "gelu: expected an input 'x'; got y."),
        ({"inputs": {}}, "got nothing. It computes: x Φ"),
        ({"eps": 1e-5}, "gelu: it has no option 'eps'; its options are approximate."),
        ({"dtype": "int8"}, "dtype: expected one of float64, float32, float16, bfloat16, got 'int8'"),
        ({"output": np.ones((7, 5))}, r"output: expected the shape \(5, 7\), got \(7, 5\)"),
        ({"cotangent": None}, "expected a cotangent"),
        ({"gradients": {"weight": np.ones(3)}}, "'weight' is no differentiable input; they are x."),
        ({"inputs": {"x": "text"}}, "x: expected an array or a tensor of real numbers, got str"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(changes: dict[str, Any], said: str) -> None:
    call: dict[str, Any] = {"name": "gelu", **ran("gelu", torch.float32), **changes}
    with pytest.raises(bp.InvalidInput, match=said) as refused:
        bp.assert_operation(call.pop("name"), **call)
    assert "\n" not in str(refused.value)


def test_infinities_are_undecided_and_refused() -> None:
    x = np.full((2, 3), -np.inf)  # times 0
    with pytest.raises(AssertionError, match="undecided"):
        bp.assert_operation("silu", inputs={"x": x}, output=x)


@pytest.mark.parametrize("epsilon", [-1.0, "1e-5", float("nan"), None])
def test_an_epsilon_is_a_number_that_is_not_negative(epsilon: Any) -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(bp.InvalidInput, match="rms_norm: epsilon: expected a number that is not negative, got"):
        bp.assert_operation("rms_norm", inputs={"x": x}, output=x, epsilon=epsilon)
    right = (x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-5))).astype(np.float32)
    assert bp.assert_operation("rms_norm", inputs={"x": x}, output=right, epsilon=np.float32(1e-5)).ok


@pytest.mark.parametrize("mask", ["causal", "boolean", "added"])
def test_a_masked_score_that_is_far_larger_than_those_kept_hides_no_row(mask: str) -> None:
    """Its exponential would overflow; it takes no part."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 1, 8, 8) * 10 for _ in range(3))
    keep = torch.ones(8, 8, dtype=torch.bool).tril() if mask == "causal" else (torch.arange(8) < 5).expand(8, 8)
    output = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=keep)
    given = {"query": query, "key": key, "value": value}
    options: dict[str, Any] = {"causal": True} if mask == "causal" else {}
    if mask == "boolean":
        given["mask"] = keep
    if mask == "added":
        given["mask"] = torch.zeros(8, 8).masked_fill(~keep, -float("inf"))
    report = bp.assert_operation("attention", inputs=given, output=output, **options)
    assert "not judged" not in str(report)
    assert report.zeroable == 0
    scores = (query @ key.mT)[0, 0] / 8**0.5
    largest = scores.masked_fill(~keep, -float("inf")).max(dim=1).values
    rows = [row for row in range(8) if scores[row].max() - largest[row] > 89]
    assert rows
    for row in rows:
        wrong = output.clone()
        wrong[0, 0, row] = -1e6
        with pytest.raises(AssertionError, match=f"at \\[0, 0, {row}, "):
            bp.assert_operation("attention", inputs=given, output=wrong, **options)


def test_nothing_agrees_about_no_elements() -> None:
    empty = np.zeros((0, 3), np.float32)
    with pytest.raises(
        AssertionError, match="undecided: softmax's numbers: nothing to compare, in what has no elements"
    ):
        bp.assert_operation("softmax", inputs={"x": empty}, output=empty)
