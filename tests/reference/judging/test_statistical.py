"""The aggregate tests: silent on independent roundings, and on all that is known to look like them; loud on a scale."""

from __future__ import annotations

from dataclasses import replace
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
from backproof.reference.numbers.error_model import LAMBDA, gamma, probabilistic_gamma
from backproof.reference.numbers.precision import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, Precision
from backproof.reports.trials.power import network

U = FLOAT32.unit_roundoff


def drawn(count: int, seed: int, size: float = 1.0) -> tuple[Any, Any, Any]:
    """Numbers, their roundings to float32, and the scale of those."""
    exact = size * np.random.default_rng(seed).standard_normal((count, 1))
    return exact, exact.astype(np.float32).astype(float) - exact, U * np.abs(exact)


def worst(errors: Any, exact: Any, random: Any, axis: int | None = None) -> float:
    found = aggregates(errors, exact, np.zeros_like(exact), random, np.ones_like(exact, bool), U, axis)
    return max((a.ratio for a in found), default=0.0)


@pytest.mark.sampled(7)
@pytest.mark.parametrize("seed", range(20))
def test_roundings_are_silent_and_a_scale_error_below_one_of_them_is_loud(seed: int) -> None:
    exact, errors, random = drawn(100_000, seed)
    assert worst(errors, exact, random) < 0.5
    resolution = aggregates(errors, exact, 0 * exact, random, np.ones_like(exact, bool), U)[0].resolution
    assert resolution is not None
    assert resolution < U / 10
    assert worst(errors + 1.5 * resolution * exact, exact, random) > 1


def test_errors_of_any_other_direction_are_seen_by_random_signs() -> None:
    exact, errors, random = drawn(10_000, 1)
    elsewhere = np.random.default_rng(5).choice((-1.0, 1.0), exact.shape) * 60 * random
    assert worst(errors, exact, random) < 1
    assert worst(errors + elsewhere, exact, random) > 1


def test_numbers_of_any_size_are_projected_without_under_or_overflow() -> None:
    for size in (1e-200, 1e200):
        exact, errors, random = drawn(1000, 2, 1.0)
        assert 0 < worst(size * errors, size * exact, size * random) < 0.5


def test_equal_numbers_are_one_rounding_and_not_many() -> None:
    """10,000 times the same number has 10,000 times the same error: nothing averages out."""
    exact = np.full((10_000, 1), 0.1)
    errors = exact.astype(np.float32).astype(float) - exact
    assert worst(errors, exact, U * exact) <= 1
    spread = np.abs(exact) * (1 + 2 * np.random.default_rng(0).uniform(0.5, 1, exact.shape))
    assert worst(np.full_like(exact, U / 2), spread, U * np.abs(spread)) > 1, "of generic numbers, it is no rounding"


def test_a_crowd_within_half_an_ulp_may_round_one_way() -> None:
    """What saturated units give: nearly equal sums, all rounded in the same direction."""
    ulp = 2 * U
    exact = 1 + ulp * np.random.default_rng(0).uniform(0.0, 0.5, (100_000, 1))
    errors = exact.astype(np.float32).astype(float) - exact
    assert (errors <= 0).all()
    assert worst(errors, exact, U * exact) < 1


@pytest.mark.parametrize("seed", range(2))
def test_what_is_next_to_nothing_is_lost_in_all_units_alike(seed: int) -> None:
    """δ of saturated outputs is 1 in half of the samples and a few roundings in the others; added up one by one."""
    rng = np.random.default_rng(seed)

    def rows(*shape: int, low: float, high: float) -> Any:
        return rng.uniform(low, high, shape).astype(np.float32).astype(float)

    def one_by_one(left: Any, right: Any) -> Any:
        total = np.zeros((left.shape[0], right.shape[1]), left.dtype)
        for column, row in zip(left.T, right, strict=True):
            total += np.multiply.outer(column, row)
        return total

    layer = Dense(rows(40, 120, low=0.12, high=0.2), [0.0] * 40, "sigmoid")
    targets = (rng.random((230, 40)) < 0.5).astype(float)
    data = rows(230, 120, low=0.3, high=1.0)
    case = Case("saturated", (layer,), data, targets, "binary_cross_entropy", dtype="float32")
    honest = observe(case, one_by_one)
    assert judge(case, honest).verdict is Verdict.AGREES
    assert honest.weight_gradients is not None
    assert honest.weight_gradients[0] is not None
    scaled = replace(
        honest, weight_gradients=(honest.weight_gradients[0] * np.float32(1 + 1e-5),), updated_weights=None
    )
    assert judge(case, scaled).verdict is not Verdict.AGREES


def test_errors_shared_by_a_column_do_not_average_out_in_it() -> None:
    rng = np.random.default_rng(0)
    exact = np.outer(rng.standard_normal(300), rng.standard_normal(40))
    shared = 6 * U * rng.choice((-1.0, 1.0), 40) * exact
    random = 2 * U * np.abs(exact)
    assert worst(shared, exact, random, axis=0) < 1
    assert worst(shared + 30 * U * exact, exact, random, axis=0) > 1


def with_a_small_bias(precision: Precision) -> Case:
    """Sums from 1 to 2, to which 0.7 u is added."""
    rng, dtype = np.random.default_rng(0), numpy_dtype(precision.name)
    inputs, weights = (rng.uniform(*ends, (n, 4)).astype(dtype) for ends, n in (((1.0, 1.9), 512), ((0.26, 0.28), 64)))
    bias = np.full(64, 0.7 * precision.unit_roundoff).astype(dtype)
    layers = (Dense(weights, bias.tolist(), "identity"),)
    return Case("c", layers, inputs, np.zeros((512, 64)), "half_squared_error", "sum", None, precision.name)


@pytest.mark.sampled(4, 1)
@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=lambda p: p.name)
def test_a_bias_that_is_added_to_finished_sums_is_rounded_alike_in_every_sample(precision: Precision) -> None:
    """It is lost: one error, of one sign, in almost all elements. Configuration 7103391 of the selftest met that."""
    case = with_a_small_bias(precision)
    honest = observe(case)
    without = observe(replace(case, layers=tuple(replace(layer, biases=None) for layer in case.layers)))
    assert honest.pre_activations is not None
    assert without.pre_activations is not None
    assert np.mean(np.equal(honest.pre_activations[0], without.pre_activations[0])) > 0.9
    assert judge(case, honest).verdict is Verdict.AGREES


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32], ids=lambda p: p.name)
def test_a_scale_error_above_a_bias_s_rounding_is_suspect(precision: Precision) -> None:
    case = with_a_small_bias(precision)
    honest = observe(case)
    assert honest.pre_activations is not None
    larger = np.nextafter(np.asarray(honest.pre_activations[0]), 3).astype(numpy_dtype(precision.name))  # one ulp, all
    judgement = judge(case, replace(honest, pre_activations=(larger,), activations=(larger,), deltas=None))
    assert judgement.verdict is Verdict.SUSPECT
    assert [c.place for c in judgement.suspect] == [Place("pre_activations", 0)]


def test_nothing_is_claimed_of_numbers_without_independent_roundings() -> None:
    exact, errors, random = drawn(100, 0)
    assert aggregates(errors, exact, random, 0 * random, np.ones_like(exact, bool), U) == ()
    assert aggregates(errors[:1], exact[:1], random[:1], random[:1], np.ones((1, 1), bool), U) == ()
    assert aggregates(0 * errors, 0 * exact, random, random, np.ones_like(exact, bool), U) == ()


def test_the_probabilistic_gamma_is_higham_and_mary_s() -> None:
    """exp(λ√n·u + nu²/(1 − u)) − 1 by hand for λ = 2, n = 4, u = 2⁻⁸; and it beats γₙ for long sums only."""
    by_hand = np.expm1(2 * 2 * 2.0**-8 + 4 * 2.0**-16 / (1 - 2.0**-8))
    assert probabilistic_gamma(4, 2.0**-8, 2.0) == pytest.approx(
        by_hand, rel=16 * FLOAT64.unit_roundoff
    )  # eight operations each
    assert probabilistic_gamma(50, U) > gamma(50, U)
    assert probabilistic_gamma(5000, U) < gamma(5000, U) / 5


def test_lambda_is_the_one_that_the_budget_asks_for() -> None:
    """2n·exp(−λ²/2) for n = 2²⁰ terms, times 10⁹ numbers, is 10⁻⁹."""
    chance = 2 * 2**20 * np.exp(-(LAMBDA**2) / 2) * 1e9
    # λ = √(2 log …) in four roundings, and exp magnifies what is off in λ²/2 by λ²; the rest is eight roundings more.
    roundings = (4 * LAMBDA**2 + 8) * FLOAT64.unit_roundoff
    assert abs(chance / 1e-9 - 1) <= roundings


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_scale_error_far_below_one_element_s_tolerance_is_suspect(dtype: str) -> None:
    """In the gradient of one layer: moved by 1.5 × what the test says that it sees, stored with unbiased roundings."""
    case = network(3, 64, 64, dtype)
    honest = observe(case)
    judgement = judge(case, honest)
    assert judgement.verdict is Verdict.AGREES
    comparison = next(c for c in judgement.comparisons if c.place == Place("weight_gradients", 0))
    assert comparison.scale_error is not None
    assert comparison.digits is not None
    assert comparison.scale_error < 0.5 * 10**-comparison.digits

    gradients = list(honest.weight_gradients or ())
    first = gradients[0]
    assert first is not None
    gaps = np.spacing(np.abs(first)).astype(float)
    dither = np.random.default_rng(0).uniform(-0.5, 0.5, first.shape)
    steps = np.rint(1.5 * comparison.scale_error * first.astype(float) / gaps + dither)
    gradients[0] = (first.astype(float) + steps * gaps).astype(first.dtype)
    planted = replace(honest, weight_gradients=tuple(gradients), received=None, updated_weights=None)
    judgement = judge(case, planted)
    assert judgement.verdict is Verdict.SUSPECT
    assert [c.place for c in judgement.suspect] == [Place("weight_gradients", 0)]
    assert judgement.suspect[0].aggregates[0].direction == "itself"


def test_a_single_element_of_ten_times_its_tolerance_is_wrong() -> None:
    case = network(3, 64, 64, "float32")
    honest = observe(case)
    comparison = next(c for c in judge(case, honest).comparisons if c.place.quantity == "weight_gradients")
    assert comparison.digits is not None
    gradients = [g.copy() for g in honest.weight_gradients or () if g is not None]
    last = gradients[-1]
    last[3, 5] += 10 * float(np.abs(last).max()) * 10**-comparison.digits
    judgement = judge(case, replace(honest, weight_gradients=tuple(gradients), received=None, updated_weights=None))
    assert judgement.verdict is Verdict.WRONG
    assert [e.index for e in judgement.wrong[0].worst] == [(3, 5)]
    assert FLOAT64.unit_roundoff < U
