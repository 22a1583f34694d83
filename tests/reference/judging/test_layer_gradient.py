"""Freivalds' check of a layer's gradient: honest ones pass, one wrong element is refused, and what it cannot see is said."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
ml_dtypes = pytest.importorskip("ml_dtypes")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.reference.judging.layer_gradient import check_layer_gradient
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers import CHANNELS, PRECISIONS, PROFILES, WORST, Model

BATCH, UNITS, INPUTS = 32, 60, 50
DTYPES = ("float64", "float32", "float16", "bfloat16")


def layer(dtype: str, seed: int = 0, batch: int = BATCH) -> tuple[Any, Any, Any]:
    """Deltas, activations and the gradient, summed in float32 or wider and rounded to the format."""
    rng = np.random.default_rng(seed)
    wide = np.float64 if dtype == "float64" else np.float32
    form = np.dtype(getattr(ml_dtypes, dtype, dtype))
    delta, a = rng.standard_normal((batch, UNITS)).astype(form), rng.standard_normal((batch, INPUTS)).astype(form)
    return delta, a, (delta.astype(wide).T @ a.astype(wide)).astype(form)


@pytest.mark.parametrize("dtype", DTYPES)
def test_honest_gradients_agree_and_say_what_would_have_been_seen(dtype: str) -> None:
    for seed in range(20):
        delta, a, gradient = layer(dtype, seed)
        check = bp.check_layer_gradient(delta, a, gradient, seed=seed)
        assert check.ok, str(check)
        assert check.sees is not None
        assert check.sees < min(0.6, 16 * BATCH * INPUTS * PRECISIONS[dtype].unit_roundoff)
        assert (check.missed, check.vectors, check.precision) == (2.0**-64, 64, dtype)


@pytest.mark.parametrize("signs", ["all up", "as the sums", "random"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_largest_errors_that_rounding_allows_agree(dtype: str, signs: str) -> None:
    """Each element moved to its own worst-case bound, in whatever pattern that was chosen before the vectors were."""
    delta, a, _ = layer("float32")
    delta, a = delta.astype(np.float64), a.astype(np.float64)
    exact = delta.T @ a
    bound = float(Model(PROFILES[dtype], len(CHANNELS)).sums(BATCH)[WORST].item()) * (np.abs(delta).T @ np.abs(a))
    pattern = {
        "all up": 1.0,
        "as the sums": np.sign(exact),
        "random": np.random.default_rng(5).choice([-1, 1], exact.shape),
    }[signs]
    moved = exact + 0.999 * bound * pattern
    check = check_layer_gradient(delta, a, moved, precision=dtype, seed=3)
    assert check.ok, str(check)
    assert check_layer_gradient(delta, a, exact + 100 * bound * pattern, precision=dtype).verdict is Verdict.WRONG


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_element_off_by_what_is_said_to_be_seen_is_refused_and_shown(dtype: str) -> None:
    delta, a, gradient = layer(dtype)
    sees = check_layer_gradient(delta, a, gradient).sees
    assert sees is not None
    error = 1.1 * sees * float(np.abs(gradient.astype(np.float64)).max())
    for i, j in ((0, 0), (17, 31), (UNITS - 1, INPUTS - 1)):
        wrong = gradient.astype(np.float64)
        wrong[i, j] += error
        check = check_layer_gradient(delta, a, wrong, precision=dtype)
        assert (check.verdict, check.wrong) == (Verdict.WRONG, 1)
        (element,) = check.elements
        assert element.index == (i, j)
        assert element.ratio > 1
        assert f"unit {i}, input {j}: expected " in str(check)


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "a row of another unit": lambda g: np.vstack([g[1:2], g[1:]]),
    "a row of zeros": lambda g: np.vstack([0 * g[:1], g[1:]]),
    "all rows but one, shifted": lambda g: np.roll(g, 1, axis=0),
    "columns reversed": lambda g: g[:, ::-1],
    "a scale": lambda g: g * 1.5,
    "a sign": lambda g: -g,
    "a number that is not finite": lambda g: np.where(np.eye(UNITS, INPUTS) > 0, np.inf, g),
    "NaN": lambda g: np.where(np.arange(UNITS)[:, None] == 3, np.nan, g),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_refused(mistake: str, dtype: str) -> None:
    delta, a, gradient = layer(dtype)
    wrong = MISTAKES[mistake](gradient.astype(np.float64)).astype(gradient.dtype)
    check = check_layer_gradient(delta, a, wrong)
    assert check.verdict is Verdict.WRONG, str(check)
    assert check.elements
    assert str(check).startswith(f"wrong: {check.wrong} of {UNITS} rows")


def test_a_scale_as_small_as_its_rows_show_is_refused() -> None:
    """An error that is spread over a row shows by its size, though each element's is far below what is seen of one."""
    delta, a, gradient = layer("float64")
    check = check_layer_gradient(delta, a, gradient)
    assert check.sees is not None
    scaled = gradient * (1 + check.sees)
    assert check_layer_gradient(delta, a, scaled).verdict is Verdict.WRONG


def test_luck_is_as_bad_as_is_said_and_no_worse() -> None:
    """Two errors that cancel for half of all vectors: one vector misses them half the time, eight nearly never."""
    delta, a, gradient = layer("float64")
    gradient[7, 3] += 1
    gradient[7, 8] -= 1
    seen = {
        k: sum(check_layer_gradient(delta, a, gradient, vectors=k, seed=s).verdict is Verdict.WRONG for s in range(200))
        for k in (1, 8)
    }
    assert 70 < seen[1] < 130
    assert seen[8] >= 195
    assert check_layer_gradient(delta, a, gradient, vectors=8).missed == 2.0**-8


def test_a_dead_unit_is_decided() -> None:
    delta, a, _ = layer("float32")
    delta[:, 5] = 0
    gradient = delta.T @ a
    check = check_layer_gradient(delta, a, gradient)
    assert (check.verdict, check.undecided) == (Verdict.AGREES, 0)
    gradient[5, 5] = 1e-20
    assert check_layer_gradient(delta, a, gradient).elements[0].index == (5, 5)


@pytest.mark.parametrize("size", [1e-170, 1e-300, 1e150])
def test_numbers_whose_squares_are_out_of_range(size: float) -> None:
    delta, a, _ = layer("float64")
    delta = delta * size
    gradient = delta.T @ a
    assert check_layer_gradient(delta, a, gradient).ok
    gradient[3, 4] *= 1.5
    assert check_layer_gradient(delta, a, gradient).elements[0].index == (3, 4)


def test_what_cancels_is_undecided_and_what_may_overflow() -> None:
    rng = np.random.default_rng(2)
    delta = np.repeat(rng.standard_normal((1, UNITS)), 2, axis=0).astype(np.float16) * np.float16([[1], [-1]])
    a = np.ones((2, INPUTS), np.float16)
    check = check_layer_gradient(delta, a, (delta.T @ a).astype(np.float16))
    assert check.verdict is Verdict.UNDECIDED
    assert (check.undecided, check.sees) == (UNITS, None)
    assert str(check).startswith("undecided: in no row is rounding small enough")
    large = np.full((2, UNITS), 3e4, np.float16), np.full((2, INPUTS), 3e4, np.float16)
    assert check_layer_gradient(*large, np.full((UNITS, INPUTS), np.inf, np.float16)).verdict is Verdict.UNDECIDED
    assert check_layer_gradient(delta, a, np.full((UNITS, INPUTS), np.inf, np.float16)).verdict is Verdict.WRONG


def test_a_gradient_in_a_file_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    delta, a = rng.standard_normal((8, 3000)), rng.standard_normal((8, 1000))
    gradient: Any = np.memmap(tmp_path / "gradient", np.float32, "w+", shape=(3000, 1000))
    gradient[:] = (delta.T @ a).astype(np.float32)
    tracemalloc.start()
    check = check_layer_gradient(delta, a, gradient)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert check.ok
    assert peak < gradient.nbytes, "less than the gradient itself, which as float64 is twice that"


RIGHT = layer("float64")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({0: RIGHT[0][:5]}, "activations: expected as many rows as deltas, 5, got 32: one a sample."),
        ({2: RIGHT[2].T}, "gradient: expected units × inputs, 60 × 50, got 50 × 60. If yours is stored inputs × units"),
        ({2: RIGHT[2][:9]}, "gradient: expected units × inputs, 60 × 50, got 9 × 50."),
        ({2: 3}, "got a number."),
        ({0: RIGHT[0][0]}, "deltas: expected batch × units, got 60."),
        ({1: RIGHT[1][:, :0]}, "activations: expected batch × inputs, got 32 × 0."),
        ({0: RIGHT[0] * np.nan}, "deltas: expected finite numbers"),
        ({1: RIGHT[1].astype(int)}, "activations: expected an array of float64, float32.*; got int64."),
        ({2: RIGHT[2] + 1j}, "gradient: expected an array of .*; got complex128."),
    ],
)
def test_bad_input_is_said(changed: dict[int, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_layer_gradient(*(changed.get(k, given) for k, given in enumerate(RIGHT)))


@pytest.mark.parametrize("options", [{"precision": "float8"}, {"vectors": 0}, {"vectors": 1.5}])
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(options))):
        check_layer_gradient(*RIGHT, **options)
