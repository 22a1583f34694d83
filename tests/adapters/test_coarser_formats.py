"""Formats that are coarser than the tensors': found out with evidence, allowed where PyTorch's settings allow them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
torch = pytest.importorskip("torch")

import backproof.torch as checks
from backproof.reference.judging.verdict import Verdict
from torch.nn import functional as F  # noqa: N812 — as everyone calls it
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = ("aten::addmm", "aten::mm")


class Products(TorchDispatchMode):
    """Below whoever looks: products whose factors, or results, are changed first."""

    def __init__(
        self, factors: Callable[[Any], Any] | None = None, results: Callable[[Any], Any] | None = None
    ) -> None:
        super().__init__()
        self.factors, self.results = factors or (lambda x: x), results or (lambda x: x)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name not in PRODUCTS:
            return func(*args, **(kwargs or {}))
        bias = args[: len(args) - 2]
        return self.results(func(*bias, *map(self.factors, args[-2:]), **(kwargs or {})))


def bits(x: Any) -> Any:
    return x.contiguous().view(torch.int32)


def rounded_to_tf32(x: Any) -> Any:
    return ((bits(x) + 0x1000) & ~0x1FFF).view(torch.float32)


def cut_to_tf32(x: Any) -> Any:
    return (bits(x) & ~0x1FFF).view(torch.float32)


def to_bfloat16(x: Any) -> Any:
    return x.bfloat16().to(x.dtype)


def report(changed: Products) -> Any:
    x = torch.tensor(np.random.default_rng(5).standard_normal((16, 64)), dtype=torch.float32)
    weight = torch.tensor(np.random.default_rng(6).standard_normal((8, 64)), dtype=torch.float32)
    bias = torch.tensor(np.random.default_rng(7).standard_normal(8), dtype=torch.float32)
    with changed:
        return checks.check_numbers(F.linear, [t.requires_grad_() for t in (x, weight, bias)])


FOUND: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "rounded to tf32": ({"factors": rounded_to_tf32}, "products of factors rounded to tf32"),
    "cut to tf32": ({"factors": cut_to_tf32}, "products of factors cut to tf32"),
    "rounded to bfloat16": ({"factors": to_bfloat16}, "products of factors rounded to bfloat16"),
    "results in bfloat16": ({"results": to_bfloat16}, "bfloat16, stored in float32"),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_coarser_format_is_named(case: str) -> None:
    changed, name = FOUND[case]
    found = report(Products(**changed))
    assert found.verdict is Verdict.WRONG
    assert {r.like for r in found.run.results if r.verdict is Verdict.WRONG} == {name}
    assert f"they are those of {name}" in str(found)


@pytest.mark.parametrize("factor", [1.0001, 1.001, 1.01])
def test_a_factor_is_no_format(factor: float) -> None:
    """Its size alone would be explained by a coarse enough format; its numbers are not."""
    found = report(Products(factors=lambda x: x * factor))
    assert found.verdict is Verdict.WRONG
    assert not any(r.like for r in found.run.results)


@pytest.fixture(params=["as it is", "before PyTorch 2.9"])
def tf32_allowed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    if request.param != "as it is":
        monkeypatch.setattr(torch.backends, "mkldnn", object())
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("tf32_allowed")
def test_a_format_that_the_settings_allow_is_right_and_said() -> None:
    found = report(Products(factors=rounded_to_tf32))
    assert found.verdict is Verdict.AGREES
    assert "as the framework's settings allow, 3 results of products of factors rounded to tf32" in str(found)
    assert report(Products(factors=to_bfloat16)).verdict is Verdict.WRONG, "coarser than allowed"
    assert not any(r.like for r in report(Products()).run.results), "allowed, but not what ran"


def test_a_number_that_is_none_decides_nothing() -> None:
    """A kernel may put NaN on either side of a comparison: PyTorch's ReLU lets the gradient pass."""
    x = torch.tensor([1.0, 2.0, -1.0], requires_grad=True)
    found = checks.check_numbers(lambda x: F.relu(x * torch.tensor([1.0, torch.nan, 2.0])), x)
    assert found.verdict is not Verdict.WRONG
    assert any("threshold_backward" in name for name in found.run.taken)


def test_a_limit_that_the_format_rounds_is_on_either_side() -> None:
    limit = 0.3
    at = float(torch.tensor(limit, dtype=torch.bfloat16))
    x = torch.tensor([at, 1.0], dtype=torch.bfloat16, requires_grad=True)
    assert checks.check_numbers(lambda x: F.softshrink(x, limit), x).verdict is not Verdict.WRONG
    assert checks.check_numbers(lambda x: F.softshrink(x, 0.5), x).verdict is Verdict.AGREES
