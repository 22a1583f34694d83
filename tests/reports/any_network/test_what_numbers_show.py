"""What a judged run sees, and what it must not accuse: infinities of a mask, sums that have no power, memory that other
code fills, limits that a format rounds, squares that overflow on the way, formats that are not covered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

import backproof as bp
from backproof.torch import check_numbers, judged

INFINITY = float("inf")


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def masked(x: Any) -> Any:
    return x.masked_fill(torch.triu(torch.ones(x.shape, dtype=torch.bool), 1), -INFINITY)


def softmax(x: Any) -> Any:
    powers = np.exp(x.numpy().astype(np.float64))
    return torch.from_numpy((powers / powers.sum(-1, keepdims=True)).astype(np.float32))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("wrong", ["doubled", "zero", "leaking"])
def test_the_rows_of_a_softmax_with_a_mask_are_judged(wrong: str) -> None:
    x = masked(drawn(6, 6))
    right = softmax(x)
    report = bp.assert_operation("softmax", inputs={"x": x}, output=right)
    assert report.zeroable == 0
    there = right.clone()
    if wrong == "leaking":
        there[0, 3] = 1e-6  # of what is masked
    else:
        there[2] *= 2 if wrong == "doubled" else 0
    with pytest.raises(AssertionError, match="wrong"):
        bp.assert_operation("softmax", inputs={"x": x}, output=there)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_mask_of_minus_infinity_leaves_nothing_unjudged(name: str) -> None:
    x = drawn(6, 6).requires_grad_()
    report = check_numbers(lambda x: getattr(masked(x) * 0.5 + 1, name)(-1).nan_to_num(neginf=0.0), (x,))
    assert report.ok, report
    assert all(r.undecided == 0 for r in report.run.results), report


def test_what_is_not_judged_of_a_result_is_told() -> None:
    """A row of nothing but −∞ has no softmax."""
    x = torch.zeros(3, 4)
    x[1] = -INFINITY
    with judged() as run:
        x.softmax(-1)
    report = run()
    assert "not judged, 4 elements (4 of 12 of _softmax" in " ".join(str(report).split()), report
    assert report.zeroable == pytest.approx(4 / 12)


def test_a_nan_of_a_masked_softmax_is_wrong() -> None:
    x = masked(drawn(4, 4))
    there = softmax(x)
    there[1, 1] = float("nan")
    with pytest.raises(AssertionError, match="wrong"):
        bp.assert_operation("softmax", inputs={"x": x}, output=there)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("name", "shapes", "of"),
    [
        ("matrix_product", {"left": (256, 16), "right": (16, 8), "bias": (8,)}, "bias"),
        ("convolution", {"x": (4, 3, 9, 9), "weight": (5, 3, 3, 3), "bias": (5,)}, "bias"),
        ("layer_norm", {"x": (256, 32), "weight": (32,), "bias": (32,)}, "weight"),
        ("rms_norm", {"x": (256, 32), "weight": (32,)}, "weight"),
    ],
)
def test_a_gradient_added_up_over_a_batch_in_16_bits(name: str, shapes: Any, of: str, dtype: Any) -> None:
    inputs = {key: drawn(*shape).to(dtype) for key, shape in shapes.items()}
    exact = {key: x.double().requires_grad_() for key, x in inputs.items()}
    forward = {
        "matrix_product": lambda left, right, bias: left @ right + bias,
        "convolution": torch.nn.functional.conv2d,
        "layer_norm": lambda x, weight, bias: torch.nn.functional.layer_norm(x, (32,), weight, bias),
        "rms_norm": lambda x, weight: torch.nn.functional.rms_norm(x, (32,), weight, 1e-6),
    }[name]
    output = forward(**exact)
    cotangent = drawn(*output.shape).to(dtype)
    (right,) = torch.autograd.grad(output, exact[of], cotangent.double())
    given = {"inputs": inputs, "output": output.to(dtype).detach(), "cotangent": cotangent}
    bp.assert_operation(name, **given, gradients={of: right.to(dtype)})
    for factor in (0.0, 0.5, 2.0, -1.0):
        with pytest.raises(AssertionError):
            bp.assert_operation(name, **given, gradients={of: (factor * right).to(dtype)})


def test_an_allocated_buffer_counts_as_it_is_when_it_is_read() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = torch.empty_like(x)
            y.numpy()[:] = x.detach().numpy() * 2  # as a hand-written kernel does
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    report = check_numbers(lambda x: Doubled.apply(x) * 3, (drawn(5).requires_grad_(),))
    assert report.ok, report


def test_weights_after_a_step_that_is_taken_as_it_came() -> None:
    layer = torch.nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with judged() as run:
        scaler.scale(layer(drawn(5, 4)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        layer.weight * 2
    report = run()
    assert report.ok, report
    assert any("_fused_adamw_" in name for name in report.run.taken)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.nn.functional.hardtanh(x, -0.7, 1.3),
        lambda x: torch.threshold(x, 0.1, 5.0),
        lambda x: torch.remainder(x, -0.7),
        lambda x: torch.fmod(x, 0.1),
    ],
)
def test_a_limit_that_a_format_rounds(function: Any, dtype: Any) -> None:
    """Kernels compare with the rounded limit."""
    x = torch.tensor([0.1, -0.7, 1.3, 0.3], dtype=dtype).requires_grad_()
    report = check_numbers(lambda x: function(x) + x, (x,))
    assert report.ok, report


@pytest.mark.sampled(1)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        torch.linalg.vector_norm,
        lambda x: torch.nn.functional.layer_norm(x, (50,)),
        lambda x: torch.nn.functional.normalize(x, dim=0),
        lambda x: torch.nn.functional.cosine_similarity(x, x, 0),
    ],
)
def test_squares_that_overflow_on_the_way(function: Any, dtype: Any) -> None:
    with judged() as run:
        function((drawn(50) * 1e20).to(dtype))
    assert run().verdict not in ("wrong", "suspect"), run()


def test_formats_that_are_not_covered_are_named() -> None:
    x = drawn(3, 2).requires_grad_()
    report = check_numbers(lambda x: x.to(torch.float8_e4m3fn).to(torch.float32) * 2, (x,))
    assert report.ok, report
    assert any("_to_copy" in name for name in report.run.taken)
    complex_one = check_numbers(lambda x: torch.view_as_complex(x).abs() * 2, (x,))
    assert complex_one.ok, complex_one
    assert any("abs" in name for name in complex_one.run.taken)


BAD: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "an unknown input": (
        "layer_norm",
        {"x": (2, 8), "beta": (8,)},
        {},
        "it takes no input 'beta', but x, weight, bias",
    ),
    "a reduction": ("cross_entropy", {"logits": (4, 3), "target": [0, 1, 2, 2]}, {"reduction": "avg"}, "reduction"),
    "a target": ("cross_entropy", {"logits": (4, 3), "target": [0, 1, 3, 2]}, {}, "numbers from 0 to 2"),
    "a negative target": ("cross_entropy", {"logits": (4, 3), "target": [0, 1, -1, 2]}, {}, "numbers from 0 to 2"),
    "padding": ("convolution", {"x": (1, 3, 5, 5), "weight": (2, 3, 3, 3)}, {"padding": "same"}, "a whole number"),
    "a width": ("scatter_add", {"x": (4, 3), "source": (2, 2), "indices": [0, 1]}, {}, "a row for each index"),
    "approximate": ("gelu", {"x": (3,)}, {"approximate": "quick"}, "one of none, tanh"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_of_an_operation_is_told_in_a_line(case: str) -> None:
    name, given, options, words = BAD[case]
    inputs = {key: torch.tensor(x) if isinstance(x, list) else drawn(*x) for key, x in given.items()}
    with pytest.raises(bp.InvalidInput, match=words):
        bp.assert_operation(name, inputs=inputs, output=torch.zeros(()), **options)


@pytest.mark.parametrize("x", [torch.zeros(3).to_sparse(), torch.zeros(3, device="meta"), torch.zeros(3) + 1j])
def test_tensors_without_real_numbers_are_refused(x: Any) -> None:
    with pytest.raises(bp.InvalidInput, match="expected an array or a tensor of real numbers"):
        bp.assert_operation("silu", inputs={"x": x}, output=torch.zeros(3))
    with pytest.raises(bp.InvalidInput, match="expected a dict by name"):
        bp.assert_operation("silu", inputs=[x], output=torch.zeros(3))  # type: ignore[arg-type]


def test_masks_of_floats_and_targets_that_are_ignored() -> None:
    query, key = drawn(2, 4, 8), drawn(2, 6, 8)
    mask = torch.zeros(4, 6)
    mask[:, 3:] = -INFINITY
    mask[0, 1] = 0.7
    output = torch.nn.functional.scaled_dot_product_attention(query, key, key, attn_mask=mask)
    inputs = {"query": query, "key": key, "value": key, "mask": mask}
    assert bp.assert_operation("attention", inputs=inputs, output=output).ok
    logits, target = drawn(4, 3), torch.tensor([0, 1, -100, 2])
    for reduction in ("none", "sum", "mean"):
        loss = torch.nn.functional.cross_entropy(logits, target, reduction=reduction)
        inputs = {"logits": logits, "target": target}
        assert bp.assert_operation("cross_entropy", inputs=inputs, output=loss, reduction=reduction).ok
