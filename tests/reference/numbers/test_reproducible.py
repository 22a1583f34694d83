"""The kernels for what is published: the same bits everywhere, and bounds as good as with NumPy's."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.case import Case, run
from backproof.reference.judging import expected
from backproof.reference.judging.observation import computed
from backproof.reference.judging.truth import certified
from backproof.reference.numbers import bounded, bounded_values, error_model, reproducible
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.error_model import TRUTH, gamma
from backproof.reference.numbers.kernels import NUMPY
from backproof.reference.numbers.precision import FLOAT32, FLOAT64
from backproof.reference.numbers.reproducible import REPRODUCIBLE
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from standard import CASES

FUNCTIONS = ["exp", "expm1", "log", "log1p", "tanh", "erf", "cosh"]
# What another processor, BLAS or number of threads gives other last bits for.
DEPENDENT = {
    *FUNCTIONS,
    "matmul",
    "dot",
    "einsum",
    "sum",
    "mean",
    "prod",
    "power",
    "logaddexp",
    "linalg",
    "sinh",
    "log2",
}


@pytest.mark.sampled(9)
@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=200)
@given(x=st.floats(-750, 750) | st.floats(-1e-3, 1e-3) | st.floats(allow_nan=False, allow_infinity=False))
def test_elementary_functions_are_correctly_rounded(name: str, x: float) -> None:
    """No double is nearer to the exact result than the one that is given."""
    (got,) = getattr(REPRODUCIBLE, name)(np.array([x])).tolist()
    with np.errstate(all="ignore"):
        (like,) = getattr(NUMPY, name)(np.array([x])).tolist()
    if not math.isfinite(like) or not math.isfinite(got) or abs(x) > 2000:
        assert got == pytest.approx(like, rel=1e-14, nan_ok=True)
        return
    with ctx.workprec(2200):
        exact = getattr(arb, name)(arb(x))
        for neighbour in (math.nextafter(got, math.inf), math.nextafter(got, -math.inf)):
            assert not abs(arb(neighbour) - exact) < abs(arb(got) - exact)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_the_ends_they_are_what_ieee_754_says(name: str) -> None:
    x = np.array([[math.inf, -math.inf, math.nan, 0.0, -1.0, 1e5, -1e5, 1.7e308, -1.7e308]])
    with np.errstate(all="ignore"):
        got, expected = getattr(REPRODUCIBLE, name)(x), getattr(NUMPY, name)(x)
    special = ~np.isfinite(expected) | np.isin(expected, (-1, 0, 1))  # others are proved nearest by the test before
    np.testing.assert_array_equal(got[special], expected[special])
    assert special.sum() >= 4
    assert np.isfinite(got[~special]).all()


def test_sums_and_products_are_numpy_s_but_for_rounding() -> None:
    rng = np.random.default_rng(0)
    left, right, channels = rng.random((5, 7)), rng.random((7, 3)), rng.random((2, 5, 7))
    rounding = 2 * 7 * 5 * FLOAT64.unit_roundoff  # of NumPy's sums and ours: at most 7 · 5 positive terms in each
    np.testing.assert_allclose(REPRODUCIBLE.matmul(left, right), left @ right, rtol=rounding)
    before = channels.copy()
    np.testing.assert_allclose(
        REPRODUCIBLE.sum(channels, (1, 2)), channels.sum(axis=(1, 2), keepdims=True), rtol=rounding
    )
    assert (channels == before).all()
    for parts in (([left], [right]), ([channels], [right]), ([left, channels], [right, right])):
        above = REPRODUCIBLE.products_above(*parts, np.full((2, 1, 1), 0.5))
        exact = sum(a @ b for a, b in zip(*parts, strict=True)) + 0.5
        assert above.shape == (2, 5, 3)
        assert (above >= exact).all()
        inner = 1 + sum(a.shape[-1] for a in parts[0])
        margin = gamma(inner + 8 + 2 * inner, FLOAT64.unit_roundoff)  # its own, and the roundings of both sums
        assert (above <= exact * (1 + margin)).all()


SMALL = [c for c in CASES.values() if c.dtype == "float32" and sum(np.size(x.weights) for x in c.layers) <= 110]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32], ids=lambda p: p.name)
@pytest.mark.parametrize("case", SMALL[::3], ids=lambda case: case.name)
def test_bounds_hold_the_truth_and_are_no_wider_than_numpy_s(case: Case, precision: Any) -> None:
    found, fast = (computed(run(case, BoundedArithmetic(precision, kernels=k))) for k in (REPRODUCIBLE, NUMPY))
    truth = computed(certified(case))
    with ctx.workprec(256):
        for place, bound in found.items():
            ours = np.broadcast_to(bound.errors[TRUTH], bound.value.shape)
            for value, error, ball in zip(bound.value.flat, ours.flat, truth[place].entries(), strict=True):
                assert not np.isfinite(error) or arb(float(value), float(error)).overlaps(ball), place
            wider = np.where(np.isfinite(fast[place].error), 1.2 * fast[place].error + 1e-300, np.inf)
            assert (bound.error <= wider).all(), place


def test_no_processor_dependent_kernel_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any, **more: Any) -> None:
        raise AssertionError("a kernel whose last bits depend on the processor")

    logits = next(c for c in SMALL if c.loss == "softmax_cross_entropy_from_logits")
    for name in DEPENDENT:
        monkeypatch.setattr(np, name, refused, raising=name != "erf")  # which NumPy has not
    for case in (logits, *SMALL[:12]):
        run(case, BoundedArithmetic(FLOAT32, kernels=REPRODUCIBLE))


@pytest.mark.parametrize(
    "module", [bounded, bounded_values, error_model, expected, reproducible], ids=lambda m: m.__name__
)
def test_none_is_named_in_what_the_bounds_are_made_by(module: Any) -> None:
    """Methods and operators of arrays cannot be replaced as the functions above: they are looked for in the text."""
    assert processor_dependent(Path(module.__file__).read_text(encoding="utf-8")) == []


def processor_dependent(source: str) -> list[str]:
    """Operators, NumPy's functions and arrays' methods in a program whose last bits depend on the processor."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
            found.append("@")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DEPENDENT:
            of = ast.unparse(node.func.value)
            if not of.endswith(("kernels", "functions", "fn", "math", "arb")):
                found.append(f"{of}.{node.func.attr}")
    return found


@pytest.mark.parametrize("source", ["a @ b", "a @= b", "np.exp(x)", "x.sum(axis=0)", "np.add.reduce(x).dot(y)"])
def test_such_a_name_is_found(source: str) -> None:
    assert processor_dependent(source)
