"""The bounds: they hold the truth and every honest computation, and they are not wider than they need be."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.case import Case, run
from backproof.reference.judging.observation import computed
from backproof.reference.judging.truth import certified
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.bounded_values import Bounded
from backproof.reference.numbers.certified import CertifiedArithmetic
from backproof.reference.numbers.error_model import LAMBDA, RANDOM, TRUTH, WORST, gamma, probabilistic_gamma
from backproof.reference.numbers.precision import FLOAT32, FLOAT64, Precision
from backproof.reference.numbers.upper_bounds import crowds
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from standard import CASES as STANDARD

CASES = [case for case in STANDARD.values() if case.dtype == "float32"]


def around(value: Any, error: Any, precision: Precision) -> Bounded:
    """Numbers whose exact values are known to `error` only."""
    model = BoundedArithmetic(precision).model
    return Bounded(np.array(value), np.array([error, np.zeros_like(error)]), model)


@pytest.mark.parametrize(("first", "second"), [(1.0, np.inf), (1.0, np.nan), (np.inf, 1.0), (np.inf, np.inf)])
def test_either_of_two_computations_covers_one_that_is_lost(first: float, second: float) -> None:
    """Where one of the ways overflows, or gives no number, nothing can be said of the result."""
    arithmetic = BoundedArithmetic(FLOAT32)
    one, other = (around([[x]], [[0.0]], FLOAT32) * 1.5 for x in (first, second))
    covered = arithmetic.elementwise(lambda a, b, fn: fn.either(a, b), one, other)
    assert np.isposinf(covered.error).all()


def test_a_result_that_may_overflow_is_lost_and_one_below_is_not() -> None:
    """Just below float32's largest number, and within a rounding of it; and far above."""
    for value, lost in ((FLOAT32.largest * (1 - 1e-6), False), (FLOAT32.largest, True), (1e39, True)):
        doubled = around([[value / 2, 1.0]], [[0.0, 0.0]], FLOAT32) * 2.0
        assert np.isposinf(doubled.error).tolist() == [[lost, False]]


@pytest.mark.sampled(7)
@pytest.mark.parametrize("precision", [FLOAT64, FLOAT32], ids=lambda p: p.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_truth_is_inside_every_bound(case: Case, precision: Precision) -> None:
    """Every ball of the certified computation meets its interval, on every standard case."""
    bounds, truth = computed(run(case, BoundedArithmetic(precision))), computed(certified(case))
    assert bounds.keys() == truth.keys()
    with ctx.workprec(256):
        for place, bound in bounds.items():
            ours = np.broadcast_to(bound.errors[TRUTH], bound.value.shape)
            for value, error, ball in zip(bound.value.flat, ours.flat, truth[place].entries(), strict=True):
                assert not np.isfinite(error) or arb(float(value), float(error)).overlaps(ball), place


ORDINARY = [c for c in CASES if "1e" not in c.name and c.name != "relu-at-zero"]  # kinks and flushing are not rounding


@pytest.mark.sampled(5)
@pytest.mark.parametrize("case", ORDINARY, ids=lambda case: case.name)
def test_bounds_of_a_wider_precision_enclose_much_more_tightly(case: Case) -> None:
    """With u = 2⁻⁵³ in place of 2⁻²⁴ the same code gives errors about 2²⁹ times smaller: an enclosure of the truth."""
    narrow, wide = (computed(run(case, BoundedArithmetic(p))) for p in (FLOAT32, FLOAT64))
    for place, bound in narrow.items():
        counts = np.isfinite(bound.error) & (bound.error > 1e-25) & (bound.error < 0.1 * np.abs(bound.value).max())
        assert (wide[place].error[counts] < bound.error[counts] * 2.0**-24).all()


@given(
    st.integers(1, 300),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["forward", "backward", "pairwise", "blocked", "sorted", "fused"]),
)
def test_any_order_of_summation_stays_inside(n: int, seed: int, order: str) -> None:
    """Sums of float32 products, added up one at a time in float32 in ways that libraries use."""
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal(n).astype(np.float32) for _ in range(2))
    ar = BoundedArithmetic(FLOAT32)
    bound = ar.matmul(ar.lift(x[None, :].astype(float)), ar.lift(y[:, None].astype(float)))
    got = _dot(x, y, order)
    assert abs(float(got) - bound.value[0, 0]) <= bound.error[0, 0]


def _dot(x: Any, y: Any, order: str) -> Any:
    products = x * y
    match order:
        case "forward":
            return np.add.accumulate(products)[-1]
        case "backward":
            return np.add.accumulate(products[::-1])[-1]
        case "sorted":
            return np.add.accumulate(np.sort(products))[-1]
        case "blocked":
            return np.float32(sum((np.add.accumulate(block)[-1] for block in np.array_split(products, 7) if block.size), np.float32(0)))  # fmt: skip
        case "fused":  # one rounding per product and sum: exact in float64, then rounded
            total = np.float32(0)
            for a, b in zip(x, y, strict=True):
                total = np.float32(np.float64(a) * np.float64(b) + np.float64(total))
            return total
    while len(products) > 1:  # pairwise
        if len(products) % 2:
            products = np.append(products, np.float32(0))
        products = products[::2] + products[1::2]
    return products[0]


def test_a_bias_may_be_added_first() -> None:
    """A huge bias that every later addition rounds against: only one bound for the whole sum covers it."""
    weights, inputs, bias = np.full((1, 200), 0.7, np.float32), np.full((1, 200), 0.9, np.float32), np.float32(3e5)
    total = bias
    for product in (weights * inputs)[0]:
        total = np.float32(total + product)
    ar = BoundedArithmetic(FLOAT32)
    bound = ar.weighted_sums(ar.lift(inputs.astype(float)), ar.lift(weights.astype(float)), ar.lift([[float(bias)]]))
    error = abs(float(total) - bound.value[0, 0])
    assert error <= bound.error[0, 0]
    without_bias_in_the_sum = gamma(200, FLOAT32.unit_roundoff) * 200 * 0.63 + FLOAT32.unit_roundoff * bound.value[0, 0]
    assert error > without_bias_in_the_sum, "the case must be one that a bound in two steps would miss"


def test_flushed_subnormals_are_inside() -> None:
    """What XLA does on a CPU: subnormal inputs and results read as zero."""
    ar = BoundedArithmetic(FLOAT32)
    for x, y in ((1e-39, 2.0), (1e-20, 1e-20), (1e-39, 1e30)):
        bound = ar.matmul(ar.lift([[x]]), ar.lift([[y]]))
        assert abs(0.0 - bound.value[0, 0]) <= bound.error[0, 0]


def test_overflow_leaves_no_finite_bound() -> None:
    ar = BoundedArithmetic(FLOAT32)
    huge = ar.lift([[1e30, -1e30]])
    assert np.isinf(ar.matmul(huge, ar.transpose(huge)).error).all()
    assert np.isinf((huge * huge).error).all()
    partial = ar.matmul(ar.lift([[3e38, 3e38, -3e38]]), ar.lift([[1.0], [1.0], [1.0]]))
    assert np.isinf(partial.error).all(), "the sum is finite, but adding in this order overflows on the way"


def test_a_division_by_what_may_be_zero_has_no_finite_bound() -> None:
    ar = BoundedArithmetic(FLOAT32)
    one = ar.lift([[1.0]])
    around_zero = around([[0.1]], [[0.2]], FLOAT32)
    assert np.isinf((one / around_zero).error).all()
    assert np.isinf(ar.functions.log(around_zero).error).all()


def test_at_a_kink_the_whole_subdifferential_is_admissible() -> None:
    step = BoundedArithmetic(FLOAT32).functions.step(around([[0.0, 1e-3, 1.0, -1.0]], [[0, 1e-2, 0, 0]], FLOAT32))
    assert (step.value - step.error).tolist() == [[0, 0, 1, 0]]
    assert (step.value + step.error).tolist() == [[1, 1, 1, 0]]


@pytest.mark.usefixtures("slow")
@settings(max_examples=300)
@given(
    st.sampled_from(["sigmoid", "tanh", "softplus", "relu", "leaky_relu", "identity"]),
    st.floats(-100, 100),
    st.floats(0, 50),
    st.floats(-1, 1),
)
def test_whatever_the_pre_activation_in_reach_the_activation_is_in_reach(
    name: str, z: float, error: float, t: float
) -> None:
    """For a z anywhere inside its bound, f(z) in balls is inside the bound of f."""
    from backproof.reference.activations import ACTIVATIONS

    activation = ACTIVATIONS[name]
    ar = BoundedArithmetic(FLOAT64)
    bound = ar.activate(activation, around([[z]], [[error]], FLOAT64))
    with ctx.workprec(256):
        inside = arb(z) + arb(error) * arb(t)
        value = activation.value(inside, CertifiedArithmetic.functions)
        assert arb(float(bound.value[0, 0]), float(bound.error[0, 0])).overlaps(value)  # the ball is 2⁻²⁵⁰ wide


@pytest.mark.usefixtures("slow")
@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(0, 2), st.floats(-1, 1)), min_size=1, max_size=6))
def test_whatever_the_logits_in_reach_the_softmax_is_in_reach(logits: list[tuple[float, float, float]]) -> None:
    values, errors, _ = (np.array([column]) for column in zip(*logits, strict=True))
    ar = BoundedArithmetic(FLOAT64)
    z = around(values, errors, FLOAT64)
    with ctx.workprec(256):
        exact = [[arb(v) + arb(e) * arb(t) for v, e, t in logits]]
        certified_ar = CertifiedArithmetic()
        from flint import arb_mat

        for bound, truth in (
            (ar.softmax(z), certified_ar.softmax(arb_mat(exact))),
            (ar.log_softmax(z), certified_ar.log_softmax(arb_mat(exact))),
        ):
            for value, error, ball in zip(bound.value.flat, bound.error.flat, truth.entries(), strict=True):
                assert arb(float(value), float(error)).overlaps(ball)


def test_gamma_is_higham_s() -> None:
    """γₙ = nu / (1 − nu): by hand for nu = 1/2, and infinite where it says nothing."""
    assert 1.0 <= gamma(4, 0.125) <= 1.0 + 2.0**-48
    assert gamma(8, 0.125) == float("inf")


def test_crowds_of_equal_summands_are_counted_up_to_sign_and_powers_of_two() -> None:
    generic = np.random.default_rng(0).standard_normal(64)
    rows = np.array([generic, np.where(np.arange(64) < 10, 0.3, generic), np.where(np.arange(64) < 3, [-0.3, 0.6, 1.2] + [0] * 61, generic), 0 * generic])  # fmt: skip
    counted = crowds(rows, 1e-12)[:, 0]
    assert counted.tolist() == [1, (54 + 10**2) / 64, (61 + 3**2) / 64, 1]


def test_many_times_the_same_summand_is_granted_all_of_its_roundings() -> None:
    """Adding 0.7 × 0.9 500 times in float32 drifts to one side: more than independent roundings would give."""
    x, y = np.full((1, 500), 0.7, np.float32), np.full((500, 1), 0.9, np.float32)
    ar = BoundedArithmetic(FLOAT32, channels=4)
    bound = ar.matmul(ar.lift(x), ar.lift(y))
    drift = abs(float(_dot(x[0], y[:, 0], "forward")) - bound.value[0, 0])
    unmoved = probabilistic_gamma(500, FLOAT32.unit_roundoff) / LAMBDA * bound.value[0, 0]
    assert bound.errors[RANDOM][0, 0] > 20 * unmoved
    assert drift <= bound.errors[WORST][0, 0]
    assert drift <= LAMBDA * bound.errors[RANDOM][0, 0]
