"""Bounds enclose: the exact result within `truth` of the value, every order of operations in a format within `worst`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.judging import Verdict, judged_call, judged_whole
from backproof.reference.numbers import CHANNELS, LAMBDA, PRECISIONS, PROFILES, RANDOM, SYSTEMATIC, TRUTH, WORST
from backproof.reference.programs import Balls, Bounds, NoBounds, Program, Value, bounded, computing_lines, one_sum, run
from backproof.reference.programs import elementwise as e
from backproof.reference.programs.layers import LAYERS
from backproof.reference.programs.movement import broadcast, joined, permuted, rearranged, reshaped, scattered
from backproof.reference.programs.sums import matmul, mean, products, total

RNG = np.random.default_rng(5)
SINGLE = PROFILES["float32"]


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order_of_the_tests() -> None:
    RNG.bit_generator.state = np.random.default_rng(5).bit_generator.state


def variance(x: Value) -> Value:
    centred = x - broadcast(mean(x, [1], keep=True), x.shape)
    return mean(centred * centred, [1])


def softmax(x: Value) -> Value:
    shifted = e.exp(x - 3.0)
    return shifted / broadcast(total(shifted, [1], keep=True), x.shape)


PROGRAMS: dict[str, Callable[[Value], Value]] = {
    "add": lambda x: x + x * 0.3,
    "subtract": lambda x: x - 1.1,
    "multiply": lambda x: x * x * x,
    "divide": lambda x: 0.7 / (x + 0.1),
    "absolute": lambda x: e.absolute(-x),
    "maximum": lambda x: e.maximum(x * 1.1, e.minimum(0.3 + x, x * x)),
    "step": lambda x: e.step(x) * x,
    "whole power": lambda x: e.raised(x, 5) + e.raised(x, -2),
    "power": lambda x: e.power(e.absolute(x) + 0.1, 0.3 * x),
    "roots": lambda x: e.sqrt(x * x + 0.1) + e.cbrt(x),
    "exponentials": lambda x: e.exp(x) + e.expm1(x * 1e-3) + e.log(x * x + 0.01) + e.log1p(x * x),
    "logistic": lambda x: e.logistic(3 * x) * (1 - e.logistic(3 * x)),
    "circles": lambda x: e.sin(3 * x) + e.cos(x) + e.tan(x * 0.3) + e.atan(x) + e.asin(x / 9) + e.acos(x / 9),
    "atan2": lambda x: e.atan2(x, x * x + 0.2),
    "hyperbolas": lambda x: e.tanh(x) + e.sinh(x) + e.cosh(x) + e.asinh(x) + e.acosh(x * x + 1.5) + e.atanh(x / 9),
    "errors": lambda x: e.erf(x) + e.erfc(x) + e.erfinv(x / 9),
    "pi": lambda x: x * e.pi(x.program),
    "sums": lambda x: total(x * x, [0]) + total(x),
    "products": lambda x: matmul(x, rearranged(x, np.arange(35).reshape(5, 7).T)),
    "gather": lambda x: rearranged(x * 0.1, np.array([[3, 3, -1], [0, 34, 3]])) * 0.1,
    "scatter": lambda x: scattered(x * 0.1, np.arange(35).reshape(5, 7) % 4, (2, 2)),
    "variance": variance,
    "softmax": softmax,
}


class Rounding:
    """float32 in NumPy as a kind of numbers: an honest implementation, every line rounded."""

    def array(self, values: Any) -> Any:
        return np.asarray(values, np.float32)

    literal = array

    def missing(self, shape: Any) -> Any:
        raise ValueError(shape)

    def apply(self, name: str, floats: Any, balls: Any, *arrays: Any) -> Any:
        del name, balls
        wide = floats(*(np.asarray(x, np.float64) for x in arrays))
        return np.asarray(wide).astype(np.float32)

    def total(self, array: Any, axes: Any) -> Any:
        return np.cumsum(np.moveaxis(array, axes, range(len(axes))).reshape(-1, *np.delete(array.shape, axes)), 0)[-1]

    def products(self, left: Any, right: Any) -> Any:
        return np.asarray(sum(left[:, :, k, None] * right[:, None, k, :] for k in range(left.shape[2])), np.float32)

    def taken(self, array: Any, positions: Any) -> Any:
        return np.where(positions < 0, np.float32(0), array.reshape(-1)[positions])

    def added_at(self, array: Any, positions: Any, size: int) -> Any:
        result = np.zeros(size + 1, np.float32)
        np.add.at(result, positions.reshape(-1), array.reshape(-1))
        return result[:size]

    def joined(self, parts: Any) -> Any:
        return np.concatenate(parts)


def of(name: str) -> tuple[Value, dict[int, Any]]:
    program = Program()
    x = program.input((5, 7))
    numbers = RNG.standard_normal((5, 7)).astype(np.float32).astype(np.float64) * 2
    return PROGRAMS[name](x), {x.index: numbers}


@pytest.mark.parametrize("expanded", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_exact_result_and_honest_ones_are_within_the_bounds(name: str, expanded: bool) -> None:
    result, given = of(name)
    (bounded,) = run([result], given, Bounds(SINGLE, expanded))
    (exact,) = run([result], given, Balls(256))
    (honest,) = run([result], given, Rounding())
    for b, ball, single in zip(bounded.reshape(-1), exact.reshape(-1), honest.reshape(-1), strict=True):
        middle = float(ball)
        assert abs(b["value"] - middle) <= b["errors"][TRUTH] * (1 + 1e-9) + 5e-324
        assert abs(float(single) - middle) <= b["errors"][WORST]
        assert b["errors"][WORST] < 1e-3 * max(1, abs(middle)), "so wide that it would say nothing"


def test_an_error_of_ten_roundings_is_outside() -> None:
    for name in ("multiply", "logistic", "exponentials", "softmax", "variance"):
        result, given = of(name)
        (bounded,) = run([result], given, Bounds(SINGLE, expanded=True))
        off = np.abs(bounded["value"]) * 2.0**-24 * 200
        assert (off > bounded["errors"][..., WORST]).any(), name


def test_multiplied_out_a_difference_carries_the_roundings_of_both_terms() -> None:
    program = Program()
    x = program.input((1,))
    result, given = x - 1000.0, {x.index: np.array([1000.5])}
    (strict,), (loose,) = (run([result], given, Bounds(SINGLE, expanded)) for expanded in (False, True))
    assert strict["errors"][0][WORST] < 1e-6
    assert loose["errors"][0][WORST] > 1e-4


def test_a_shared_error_is_not_random_any_more() -> None:
    program = Program()
    x = program.input((3,))
    product = x * 0.1
    given = {x.index: np.array([1.0, 2.0, 3.0])}
    (alone,) = run([product], given, Bounds(SINGLE))
    (repeated,) = run([rearranged(product, np.array([0, 0, 1]))], given, Bounds(SINGLE))
    assert (alone["errors"][..., RANDOM] > 0).all()
    assert (repeated["errors"][..., RANDOM] == 0).all()
    assert (repeated["errors"][..., SYSTEMATIC] > 0).all()


def test_moved_errors_are_as_independent_as_they_were_unless_one_is_taken_twice() -> None:
    program = Program()
    x = program.input((2, 3))
    product, turned = x * 0.1, np.arange(6).reshape(2, 3).T
    given = {x.index: np.arange(1.0, 7.0).reshape(2, 3)}
    lines = [product, rearranged(product, turned), joined([product, product])]
    alone, moved, twice = run(lines, given, Bounds(SINGLE))
    assert (alone["errors"][..., RANDOM] > 0).all()
    assert (moved["errors"] == alone["errors"].swapaxes(0, 1)).all()
    assert (twice["errors"][..., RANDOM] == 0).all()


@pytest.mark.parametrize("way", ["total", "added_at"])
@pytest.mark.parametrize(("values", "expected"), [("apart", 10.0), ("pairs", 2**0.5 * 10.0), ("equal", 100.0)])
def test_independent_errors_of_a_sum_s_terms_add_up_as_squares_and_equal_ones_do_not(
    way: str, values: str, expected: float
) -> None:
    terms = 1 + RNG.random(100)
    terms = {"apart": terms, "pairs": np.repeat(terms[:50], 2) * np.tile([1.0, -0.5], 50), "equal": np.ones(100)}[
        values
    ]
    errors = np.zeros((100, len(CHANNELS)))
    errors[:, [WORST, RANDOM]] = 1.0  # beside them, the addition's own are nothing
    numbers, array = Bounds(SINGLE), bounded(terms, errors)
    found = numbers.total(array, (0,)) if way == "total" else numbers.added_at(array, np.zeros(100, np.int64), 1)[0]
    assert found["errors"][RANDOM] == pytest.approx(expected, rel=1e-3)
    assert found["errors"][WORST] == pytest.approx(100, rel=1e-3)


def test_a_convolution_that_is_off_by_twenty_roundings_is_seen_in_all_of_its_numbers_together() -> None:
    given = {"x": RNG.standard_normal((2, 3, 9, 9)), "weight": RNG.standard_normal((4, 3, 3, 3))}
    given = {name: array.astype(np.float32).astype(np.float64) for name, array in given.items()}
    program = Program()
    inputs = {name: program.input(array.shape) for name, array in given.items()}
    result = permuted(LAYERS["convolution"](inputs, given), (0, 2, 3, 1))
    known = {inputs[name].index: array for name, array in given.items()}
    (honest,) = run([result], known, Rounding())
    for factor, verdict in ((1.0, Verdict.AGREES), (1 + 20 * 2.0**-24, Verdict.SUSPECT)):
        (call,) = judged_call([result], known, [honest * factor], [SINGLE.storage], SINGLE)
        assert call.verdict is verdict


def test_stored_in_a_narrower_format_it_is_rounded_once_more_and_may_overflow() -> None:
    program = Program()
    x = program.input((3,))
    given = {x.index: np.array([1.0, 1 / 3, 7e4])}
    numbers = Bounds(SINGLE)
    (wide,) = run([x * 1.5], given, numbers)
    half = numbers.stored(wide, PRECISIONS["float16"])
    assert half["errors"][0][WORST] >= 2.0**-11, "1.5 is a number of the format, but what is computed may be beside it"
    assert 2.0**-13 < half["errors"][1][WORST] < 2.0**-11
    assert np.isinf(half["errors"][2][WORST])
    half_inside = Bounds(PROFILES["float16"])
    (product,) = run([x * x], given, half_inside)  # rounded already, and beyond the format nevertheless
    assert np.isinf(half_inside.stored(product, PRECISIONS["float16"])["errors"][2][WORST])
    moved = Bounds(PROFILES["bfloat16"])
    (copied,) = run([x], given, moved)
    assert moved.stored(copied, PRECISIONS["bfloat16"])["errors"][1][WORST] >= 2.0**-11


ORDERS: dict[str, Callable[[Any], Any]] = {
    "as they come": lambda t: t,
    "positive ones first": lambda t: t[np.argsort(-t)],
    "small ones first": lambda t: t[np.argsort(np.abs(t))],
    "alternating": lambda t: t[np.argsort(np.abs(t))].reshape(2, -1).T.reshape(-1),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("of_products", [False, True])
def test_terms_that_cancel_have_sums_of_half_their_sizes_at_most(order: str, of_products: bool) -> None:
    program, rng = Program(), np.random.default_rng(8)
    x, y = program.input((1, 200, 1000)), program.input((1, 1000, 1))
    factors = rng.standard_normal((200, 1000)).astype(np.float32), rng.standard_normal(1000).astype(np.float32)
    if not of_products:
        factors = factors[0], np.ones(1000, np.float32)
    given = {x.index: factors[0][None].astype(np.float64), y.index: factors[1][None, :, None].astype(np.float64)}
    result = products(x, y) if of_products else total(x, (2,))
    tight, loose = (run([result], given, Bounds(SINGLE, one_sum=once))[0].reshape(-1) for once in (True, False))
    terms = factors[0] * factors[1]
    ordered = np.stack([ORDERS[order](row) for row in terms])
    added = np.cumsum(ordered, axis=1, dtype=np.float32)[:, -1].astype(np.float64)
    off, errors = np.abs(added - tight["value"]), tight["errors"]
    assert (off <= errors[:, WORST] + errors[:, TRUTH]).all()
    assert (off <= LAMBDA * errors[:, RANDOM] + errors[:, SYSTEMATIC] + errors[:, TRUTH]).all()
    for channel in (WORST, RANDOM):
        assert np.median(tight["errors"][:, channel] / loose["errors"][:, channel]) < 0.57


def test_terms_of_one_sign_have_sums_as_large_as_the_result() -> None:
    """Nothing is gained there, and nothing may be taken."""
    program = Program()
    x = program.input((4, 100))
    given = {x.index: np.abs(RNG.standard_normal((4, 100)))}
    tight, loose = (run([total(x, (1,))], given, Bounds(SINGLE, one_sum=once))[0] for once in (True, False))
    np.testing.assert_array_less(0.98, tight["errors"][:, WORST] / loose["errors"][:, WORST])


def test_one_sum_is_one_whatever_is_added_to_it() -> None:
    program = Program()
    x, y = program.input((2, 3)), program.input((2,))
    given = {x.index: np.ones((2, 3)), y.index: np.ones(2)}
    of_rows, constant = total(x, (1,)), program.constant(np.ones((3, 2)))
    for once in (
        of_rows,
        of_rows + y - 1,
        -rearranged(of_rows, np.array([1, 0])),
        broadcast(reshaped(y, (2, 1)), (2, 2)) + matmul(x, constant),
        scattered(of_rows, np.array([1, 0]), (2,)),
        scattered(x, np.array([[0, 0, 1], [1, 1, -1]]), (2,)),
    ):
        assert one_sum(once, given)
    for several in (
        x + 1,
        of_rows * y,
        total(x * x, (1,)),
        of_rows + total(x),
        e.exp(of_rows),
        scattered(of_rows, np.array([1, 1]), (2,)),
    ):
        assert not one_sum(several, given)
    assert one_sum(of_rows + total(x, (1,)), given | {of_rows.index: np.ones(2)}), "what is given was not computed here"


def test_sums_in_memory_are_rounded_to_what_is_stored() -> None:
    program = Program()
    x = program.input((6,))
    given = {x.index: np.ones(6)}
    profile = PROFILES["bfloat16"]
    (scatter,) = run([scattered(x, np.zeros(6, int), (1,))], given, Bounds(profile))
    assert scatter["errors"][0][WORST] >= 6 * 6 * 2.0**-8 / 2


def test_an_operation_without_bounds_is_named() -> None:
    program = Program()
    x = program.input((2,))
    with pytest.raises(NoBounds, match="lgamma has no error bound yet"):
        run([e.lgamma(x)], {x.index: np.ones(2)}, Bounds(SINGLE))


def test_what_computes_is_counted_and_what_moves_is_not() -> None:
    program = Program()
    x = program.input((2,))
    assert computing_lines([rearranged(x, np.array([1, 0]))], {x.index: np.ones(2)}) == 0
    product = x * x
    assert computing_lines([rearranged(product, np.array([1, 0])) + 1], {x.index: np.ones(2)}) == 2
    assert computing_lines([product + 1], {product.index: np.ones(2)}) == 1


def test_a_bias_may_be_a_term_of_the_sum_that_it_is_added_to() -> None:
    """b + x₁w₁ + x₂w₂ from the left, in float32: every addition rounds what the bias has brought."""
    worst = 0.0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x, w = (rng.standard_normal((1, 3)).astype(np.float32) for _ in range(2))
        bias = np.float32(rng.standard_normal() * 3)
        program = Program()
        left, right, added = program.input((1, 3)), program.input((3, 1)), program.input((1, 1))
        result = matmul(left, right) + added
        given = {left.index: x, right.index: w.T, added.index: np.full((1, 1), bias)}
        given = {line: np.asarray(array, np.float64) for line, array in given.items()}
        (bounded,) = run([result], given, Bounds(SINGLE, expanded=True))
        total = bias
        for a, b in zip(x[0], w[0], strict=True):
            total = np.float32(total + np.float32(a * b))
        error = abs(float(total) - bounded["value"][0, 0])
        assert error <= bounded["errors"][0, 0][WORST]
        worst = max(worst, error / (abs(float(bias)) * 2.0**-24))
    assert worst > 1.2, "more than one rounding of the bias"


def of_a_program(function: Callable[[Value], Value], x: Any, observed: Any, profile: str) -> Verdict:
    program = Program()
    value = program.input(x.shape)
    results, given = [function(value)], {value.index: x}
    (call,) = judged_whole(results, given, [observed], [PRECISIONS[profile]], PROFILES[profile])
    return call.verdict


def test_numbers_whose_squares_are_0_are_judged_like_others() -> None:
    x = np.linspace(-450, -449, 9)
    exact = np.exp(x)
    assert exact.max() ** 2 == 0
    for factor, verdict in ((1.0, Verdict.AGREES), (1 - 2e-16, Verdict.AGREES), (1 + 1e-12, Verdict.WRONG)):
        assert of_a_program(e.exp, x, exact * factor, "float64") is verdict


@pytest.mark.parametrize("observed", [np.nan, np.inf, 7.0])
@pytest.mark.parametrize(("profile", "verdict"), [("float16", Verdict.UNDECIDED), ("float32", Verdict.WRONG)])
def test_after_what_may_overflow_on_the_way_nothing_is_known(observed: float, profile: str, verdict: Verdict) -> None:
    x = np.array([300.0, 2.0])

    def function(x: Value) -> Value:
        return 1 / (x * x * 0.25 + 1)

    right = 1 / (x * x * 0.25 + 1)
    assert of_a_program(function, x, right, "float32") is Verdict.AGREES
    assert of_a_program(function, x, np.array([observed, right[1]]), profile) is verdict


def test_a_quotient_may_be_off_by_what_the_division_of_its_formats_is() -> None:
    program = Program()
    x = program.input((2,))
    given = {x.index: np.array([3.0, 7.0])}
    for division, factor, verdict in ((2, 3.5, Verdict.WRONG), (4, 3.5, Verdict.AGREES), (4, 6, Verdict.WRONG)):
        observed = 1 / given[x.index] * (1 + factor * 2.0**-24)
        profile = replace(SINGLE, division=division)
        (call,) = judged_call([1 / x], given, [observed], [SINGLE.storage], profile)
        assert call.verdict is verdict


@pytest.mark.parametrize(
    ("observed", "verdict"),
    [
        ([3.0, np.inf, np.inf, np.inf, 3.0], Verdict.AGREES),
        ([np.nan, np.inf, np.inf, np.inf, 3.0], Verdict.AGREES),
        ([np.nan, np.inf, np.inf, np.inf, 4.0], Verdict.WRONG),
    ],
)
def test_what_is_not_finite_may_be_multiplied_by_a_padding_s_zeros(observed: list[float], verdict: Verdict) -> None:
    program = Program()
    given = {"x": np.array([[[1.0, 2.0, np.inf, 2.0, 1.0]]]), "weight": np.ones((1, 1, 3))}
    inputs = {name: program.input(array.shape) for name, array in given.items()}
    result = LAYERS["convolution"](inputs, given, padding=1)
    known = {inputs[name].index: array for name, array in given.items()}
    (call,) = judged_call([result], known, [np.array([[observed]])], [SINGLE.storage], SINGLE)
    assert call.verdict is verdict
