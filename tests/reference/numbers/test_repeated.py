"""Operands that repeat: what honest code does with them is no chance, and no more than that is allowed for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.statistical import aggregates
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.arrays import numpy_dtype
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.bounded_values import Bounded, exactly
from backproof.reference.numbers.error_model import CHANNELS, LAMBDA, RANDOM, SYSTEMATIC, WORST
from backproof.reference.numbers.precision import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Precision
from backproof.reference.numbers.repeated import allowed, lost_alike, shared

U = FLOAT32.unit_roundoff
FORMATS = pytest.mark.parametrize("precision", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=lambda p: p.name)
Draw = Callable[[Any], Any]
BATCH, UNITS, INPUTS = 512, 64, 4


def inputs(rng: Any) -> Any:
    return rng.uniform(1.0, 1.9, (BATCH, INPUTS))


def targets(rng: Any) -> Any:
    return rng.uniform(-1, 1, (BATCH, UNITS))


def constant(target: float) -> Draw:
    return lambda rng: np.full((BATCH, UNITS), target)


def half_alike(rng: Any) -> Any:
    return np.where(np.arange(BATCH)[:, None] < BATCH // 2, 1.3, inputs(rng))


def case(precision: Precision, x: Draw = inputs, t: Draw = targets, activation: str = "identity") -> Case:
    """One layer; all its sums are of one sign, so that errors of one sign add up."""
    rng, dtype = np.random.default_rng(0), numpy_dtype(precision.name)
    x_drawn, weights = x(rng), rng.uniform(0.55, 1.0, (UNITS, INPUTS)) / INPUTS
    layers = (Dense(weights.astype(dtype), None, activation),)
    arrays = x_drawn.astype(dtype), t(rng).astype(dtype)
    return Case("c", layers, *arrays, "half_squared_error", "sum", None, precision.name)


HONEST: dict[str, tuple[Draw, Draw, str]] = {
    "constant targets": (inputs, constant(0.1), "identity"),
    "constant negative targets": (inputs, constant(-0.1), "identity"),
    "constant targets of relu": (inputs, constant(0.3), "relu"),
    "targets of two decimals": (inputs, lambda rng: np.round(targets(rng), 2), "identity"),
    "constant targets by column": (inputs, lambda rng: np.tile(targets(rng)[:1], (BATCH, 1)), "tanh"),
    "constant inputs": (lambda rng: np.full((BATCH, INPUTS), 1.3), targets, "identity"),
    "constant inputs and targets": (lambda rng: np.full((BATCH, INPUTS), 1.3), constant(0.1), "tanh"),
    "four samples, again and again": (lambda rng: np.tile(inputs(rng)[:4], (BATCH // 4, 1)), targets, "identity"),
    "half of the samples alike": (half_alike, lambda rng: half_alike(rng)[:, :1] * np.ones(UNITS), "sigmoid"),
    "half of the inputs alike": (half_alike, targets, "identity"),
}


@pytest.mark.sampled(40, 3)
@FORMATS
@pytest.mark.parametrize("name", HONEST)
def test_honest_code_is_not_suspect_where_numbers_repeat(precision: Precision, name: str) -> None:
    x, t, activation = HONEST[name]
    judged = case(precision, x, t, activation)
    assert judge(judged, observe(judged)).verdict is Verdict.AGREES


def deep(width: int, batch: int, scale: float) -> Case:
    """tanh in float32, inputs and weights of one sign."""
    rng, dtype = np.random.default_rng(0), np.float32
    x, first = rng.uniform(1.0, 1.9, (batch, INPUTS)), rng.uniform(0.55, 1.0, (width, INPUTS)) * scale / INPUTS
    t = rng.uniform(0, 0.9, (batch, 1))
    second = rng.uniform(0.55, 1.0, (1, width)) * 0.3
    layers = (Dense(first.astype(dtype), None, "tanh"), Dense(second.astype(dtype), None, "identity"))
    return Case("c", layers, x.astype(dtype), t.astype(dtype), "half_squared_error", "sum", None, "float32")


@pytest.mark.usefixtures("slow")
def test_squares_that_are_lost_beside_1_are_no_chance() -> None:
    """1 − a² is 1, for all a below √u: one error, of one sign, in all of δ = e (1 − a²)."""
    judged = deep(8, 40_000, U**0.5 / 2)
    honest = observe(judged)
    assert honest.activations is not None
    assert np.max(np.abs(honest.activations[0])) ** 2 < U
    assert judge(judged, honest).verdict is Verdict.AGREES


def test_one_delta_from_above_for_all_samples_has_one_error_per_unit() -> None:
    """∂E/∂a = w δ is rounded once for each unit, whatever the slopes that it is multiplied with in each sample."""
    delta, slopes = np.float32(1.3), drawn(0.5, 1.0, (200_000, 1))
    weights = drawn(0.55, 1.0)[:, 0]
    off = np.abs(weights * delta - weights.astype(np.float64) * delta) / weights
    weight = weights[np.argmax(off)]
    ar = BoundedArithmetic(FLOAT32, len(CHANNELS))
    above = ar.matmul(ar.lift(np.full(slopes.shape, np.float64(delta))), ar.lift([[float(weight)]]))
    found = ar.elementwise(lambda e, s, fn: e * s, above, ar.lift(slopes.astype(np.float64)))
    errors = (weight * delta * slopes).astype(np.float64) - found.value
    systematic, random = (np.broadcast_to(found.errors[k], errors.shape) for k in (SYSTEMATIC, RANDOM))
    everywhere = np.ones(errors.shape, bool)
    assert all(a.ratio < 1 for a in aggregates(errors, found.value, systematic, random, everywhere, U))
    unshared = 2 * U * np.abs(found.value)
    assert any(a.ratio > 1 for a in aggregates(errors, found.value, 0 * random, unshared, everywhere, U))


@pytest.mark.sampled(16, 5)
@FORMATS
@pytest.mark.parametrize(
    "t", [targets, constant(0.0), constant(0.1), constant(-0.1)], ids=["varied", "0", "0.1", "-0.1"]
)
def test_one_ulp_more_in_all_deltas_is_suspect(precision: Precision, t: Draw) -> None:
    judged = case(precision, t=t)
    honest = observe(judged)
    assert honest.deltas is not None
    delta = np.asarray(honest.deltas[0])
    more = np.nextafter(delta, np.copysign(np.asarray(8, delta.dtype), delta)).astype(delta.dtype)
    judgement = judge(judged, replace(honest, deltas=(more,), weight_gradients=None, bias_gradients=None))
    assert judgement.verdict in (Verdict.SUSPECT, Verdict.WRONG)
    assert Place("deltas", 0) in [c.place for c in (*judgement.suspect, *judgement.wrong)]


def difference(o: Any, t: Any) -> Bounded:
    ar = BoundedArithmetic(FLOAT32, len(CHANNELS))
    found: Bounded = ar.elementwise(lambda o, t, fn: o - t, *(ar.lift(np.asarray(x, np.float64)) for x in (o, t)))
    return found


def drawn(low: float, high: float, shape: tuple[int, int] = (4000, 8)) -> Any:
    return np.random.default_rng(1).uniform(low, high, shape).astype(np.float32)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("low", [0.3, 1.0, 1.5, 2.2])
@pytest.mark.parametrize("t", [0.1, -0.1, -0.9, -1.3, 0.7, 1e-8, -1e-9])
def test_the_mean_error_of_a_difference_is_what_is_called_systematic(low: float, t: float) -> None:
    """Measured in float32, with one t for all."""
    o, t32 = drawn(low, 1.3 * low), np.full((4000, 8), t, np.float32)
    found = difference(o, t32)
    errors = (o - t32).astype(np.float64) - (o.astype(np.float64) - t32)
    systematic = np.broadcast_to(found.errors[SYSTEMATIC], o.shape) + 2 * found.model.lost[SYSTEMATIC]
    sizes = U * np.abs(found.value)
    chance = LAMBDA / 2 * np.sqrt((sizes**2).sum())  # half of what is allowed
    assert abs(errors.sum()) <= systematic.sum() + chance
    assert (found.errors[SYSTEMATIC] <= found.errors[WORST]).all()


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0, -1.0, 2.0**-20])
def test_nothing_is_added_for_numbers_that_the_other_s_ulp_divides(t: float) -> None:
    o = drawn(1.0, 1.9)
    found = difference(o, np.full(o.shape, t, np.float32))
    assert (found.errors[SYSTEMATIC] == found.model.lost[SYSTEMATIC]).all()
    assert (found.errors[RANDOM] <= 1.001 * U * np.abs(found.value)).all()


def test_nothing_is_added_where_both_operands_vary() -> None:
    found = difference(np.linspace(1.0, 1.9, 9000, dtype=np.float32)[None], np.linspace(0.1, 0.9, 9000, dtype=np.float32)[None])  # fmt: skip
    assert (found.errors[SYSTEMATIC] == found.model.lost[SYSTEMATIC]).all()
    assert (found.errors[RANDOM] <= 1.001 * U * np.abs(found.value)).all()


def test_worst_cases_are_what_they_were() -> None:
    """Two channels know of no repetition, and have the same worst case."""
    o, t = (exactly(x.astype(np.float64), BoundedArithmetic(FLOAT32).model) for x in (drawn(1.0, 1.9), drawn(0.1, 0.1)))
    two = o - t
    four = difference(o.value, t.value)
    assert np.array_equal(two.errors[: WORST + 1], four.errors[: WORST + 1])


def test_groups_that_are_large_are_systematic_and_small_ones_random() -> None:
    """Half of 4000 alike: λ² = 112 such groups are the most that are added up. The others are 40 in each of 50."""
    multiples = np.concatenate([np.full(2000, 0.25), np.repeat(np.arange(100) + 0.5, 20)])[None]
    systematic, random = allowed(np.full(multiples.shape, 3.0), multiples)
    assert systematic[0, :2000].tolist() == [3.0] * 2000
    assert not systematic[0, 2000:].any()
    assert not random[0, :2000].any()
    # no tolerance of a verdict: a root and a product of our own, in float64
    assert np.allclose(random[0, 2000:], 3.0 * np.sqrt(20), rtol=4 * FLOAT64.unit_roundoff, atol=0)


def test_an_operand_s_errors_are_not_counted_twice_where_the_results_are_alike_as_well() -> None:
    errors, values = np.ones((len(CHANNELS), 1, 6)), np.array([[0.3, 0.3, -0.6, 0.5, 0.7, 0.9]])
    errors[SYSTEMATIC] = 0.0
    assert np.array_equal(shared(errors, values, 1.1 * values), errors)
    varied = shared(errors, values, np.array([[1.1, 1.3, 1.7, 1.9, 2.3, 2.9]]))
    assert varied[SYSTEMATIC].tolist() == [[1, 1, 1, 0, 0, 0]]
    assert varied[RANDOM].tolist() == [[0, 0, 0, 1, 1, 1]]


def test_what_is_lost_in_a_whole_row_is_added_up_and_empty_or_infinite_factors_say_nothing() -> None:
    def found(left: Any, right: Any) -> Any:
        return lost_alike(np.array(left), np.array(right), U, partial(np.sum, keepdims=True))

    tiny = U / 2  # below an ulp of 1, and below half of one: the number itself is what is lost
    ones = np.ones((3, 2))
    assert found([[1.0, tiny, tiny], [1.0, 1.0, 1.0]], ones).tolist() == [[2 * tiny] * 2, [0.0] * 2]
    assert found(np.ones((2, 3)), [[1.0, 1.0], [1.0, tiny], [1.0, 1.0]]).tolist() == [[0.0, tiny]] * 2
    infinite = found([[np.inf, 1.0, np.nan], [1.0, tiny, tiny]], ones)
    assert infinite[1, 0] == 3 * tiny  # two of its row, and one that no finite factor of its column exceeds
    assert np.isfinite(infinite).all()
    for rows, terms, columns in ((0, 3, 2), (2, 0, 3), (2, 3, 0)):
        assert not found(np.zeros((rows, terms)), np.zeros((terms, columns))).any()
