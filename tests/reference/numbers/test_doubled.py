"""Pairs of doubles with radii: every radius contains what balls say, and planted faults do not go unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.case import Case, run
from backproof.reference.judging.expected import CERTAIN
from backproof.reference.judging.observation import computed
from backproof.reference.numbers import doubled, doubled_values
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.certified import BallFunctions, CertifiedArithmetic
from backproof.reference.numbers.doubled import DoubledArithmetic
from backproof.reference.numbers.doubled_values import Doubled, DoubledFunctions
from backproof.reference.numbers.error_model import WORST
from backproof.reference.numbers.precision import FLOAT64
from backproof.reports.trials.power import network
from flint import arb, arb_mat, ctx
from standard import CASES

RANDOM = np.random.default_rng(7)
SPECIAL = [0.0, 1.0, -1.0, 0.5, 2.0**-9, -(2.0**-9), 1 + 2.0**-52, 20.0, 36.7, 300.0, 1e-5, 1e-20, 1e-308, 5e-324]
COUNT = 60  # of random numbers of a kind


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order_of_the_tests() -> None:
    RANDOM.bit_generator.state = np.random.default_rng(7).bit_generator.state


@pytest.fixture(autouse=True)
def _far_more_bits_than_needed() -> Iterator[None]:
    with ctx.workprec(1500):  # e⁻³⁰⁰ − 1 is told from −1
        yield


def numbers(sizes: object) -> Doubled:
    """Pairs of such sizes and either sign, with radii from none to 2⁻⁴⁰ of them."""
    high = RANDOM.choice((-1.0, 1.0), np.shape(sizes)) * sizes
    low = high * 2.0**-54 * RANDOM.uniform(-1, 1, high.shape)
    return Doubled(high, low, np.abs(high) * RANDOM.choice((0.0, 2.0**-90, 2.0**-40), high.shape))


def column(kind: str) -> Doubled:
    match kind:
        case "usual":
            return numbers(RANDOM.lognormal(0, 1, (COUNT, 1)))
        case "exponents apart":
            return numbers(10.0 ** RANDOM.uniform(-12, 2.8, (COUNT, 1)))
        case "tiny":
            return numbers(10.0 ** RANDOM.uniform(-320, -250, (COUNT, 1)))
        case "wide":
            usual = numbers(RANDOM.lognormal(1, 1, (COUNT, 1)))
            return Doubled(usual.high, usual.low, np.abs(usual.high) * RANDOM.uniform(0, 2, (COUNT, 1)))
        case "huge":
            return numbers(10.0 ** RANDOM.uniform(3, 306, (COUNT, 1)))
    exact = np.array(SPECIAL)[:, None]
    return Doubled(np.concatenate([exact, -exact]), np.zeros((1, 1)), np.zeros((1, 1)))


KINDS = ("usual", "exponents apart", "tiny", "special", "wide", "huge")


def corners(x: Doubled) -> list[list[arb]]:
    """Each pair, and both ends of what it may be."""
    parts = (np.broadcast_to(part, x.high.shape).ravel().tolist() for part in (x.high, x.low, x.radius))
    return [[arb(h) + arb(low), arb(h) + arb(low) + arb(r), arb(h) + arb(low) - arb(r)] for h, low, r in
            zip(*parts, strict=True)]  # fmt: skip


def outside(found: Doubled, exact: list[list[arb]]) -> int:
    """How many of the exact results a radius leaves out; those of which nothing is said are none."""
    missed = 0
    parts = (np.broadcast_to(part, found.high.shape).ravel().tolist() for part in (found.high, found.low, found.radius))
    for high, low, radius, results in zip(*parts, exact, strict=True):
        if np.isfinite(high + low + radius):
            there = [result for result in results if not result.is_nan()]  # √−1 is not
            missed += any(not abs(result - arb(high) - arb(low)) <= arb(radius) for result in there)
    return missed


def known(found: Doubled) -> float:
    with np.errstate(all="ignore"):
        return float(np.isfinite(found.high + found.low + found.radius).mean())


# ------------------------------------------------------------------------------------ element by element

FUNCTIONS = ("exp", "expm1", "tanh", "log", "log1p", "sqrt")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_contain_what_balls_say(name: str, kind: str) -> None:
    x = column(kind)
    x = abs(x) if name in ("log", "log1p", "sqrt") else x
    with np.errstate(all="ignore"):
        found = getattr(DoubledFunctions(), name)(x)
    function = getattr(BallFunctions(), name)
    assert outside(found, [[function(end) for end in ends] for ends in corners(x)]) == 0
    assert known(found) > 0.9 or kind in ("wide", "huge") or (name == "log" and kind in ("tiny", "special"))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_doubles_are_good_to_a_thousandth_of_what_the_best_library_is_allowed(name: str) -> None:
    sizes = 10.0 ** RANDOM.uniform(-6, 2, (COUNT, 1))
    found = getattr(DoubledFunctions(), name)(Doubled(sizes, np.zeros((1, 1)), np.zeros((1, 1))))
    assert (found.radius <= CERTAIN * 2 * FLOAT64.unit_roundoff * np.abs(found.high)).all()


def test_logarithms_around_one_and_of_what_is_below_it() -> None:
    near = Doubled(1 + 10.0 ** RANDOM.uniform(-16, -1, (COUNT, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    found = DoubledFunctions().log(near)
    assert outside(found, [[end.log() for end in ends] for ends in corners(near)]) == 0
    assert (found.radius <= CERTAIN * FLOAT64.unit_roundoff * np.abs(found.high)).all()
    below = Doubled(-RANDOM.uniform(0, 1, (COUNT, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    found = DoubledFunctions().log1p(below)
    assert outside(found, [[end.log1p() for end in ends] for ends in corners(below)]) == 0


OPERATIONS: dict[str, Callable[..., object]] = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / y,
    "by a double": lambda x, y: (3 - x) * 0.1 + x / 7 - 2 * y,
    "power": lambda x, y: x**3 - y**2,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_contain_what_balls_say(name: str, kind: str) -> None:
    x, operation = column(kind), OPERATIONS[name]
    order = RANDOM.permutation(len(x.high))
    y = Doubled(*(part[order] if len(part) > 1 else part for part in (x.high, x.low, x.radius)))
    with np.errstate(all="ignore"):
        found = operation(x, y)
    exact: Any = [[operation(a, b) for a in xs for b in ys] for xs, ys in zip(corners(x), corners(y), strict=True)]
    assert isinstance(found, Doubled)
    assert outside(found, exact) == 0
    assert known(found) > 0.9 or name == "quotient" or kind in ("wide", "huge")


def test_what_cancels_exactly_is_exactly_zero() -> None:
    x = Doubled(np.array([[1.0, 0.1, 0.0]]), np.zeros((1, 1)), np.zeros((1, 1)))
    for nothing in (x - x, x * 0, 0 * x):
        assert not nothing.high.any()
        assert not np.broadcast_to(nothing.radius, (1, 3)).any()


def test_kinks_are_sets_and_overflow_is_not_known() -> None:
    fn = DoubledFunctions()
    z = Doubled(np.array([[0.0, 1e-30, 2.0, -2.0, 800.0, np.nan]]), np.zeros((1, 1)), np.full((1, 6), 1e-20))
    with np.errstate(all="ignore"):
        slope, powers = fn.step(z), fn.exp(z)
    assert slope.high[0, :4].tolist() == [0.5, 0.5, 1.0, 0.0]
    assert slope.radius[0, :4].tolist() == [0.5, 0.5, 0.0, 0.0]
    assert np.isnan(powers.radius[0, 4:]).all()
    assert fn.maximum(z, 0).radius[0, 3] == 0.0


def test_the_error_function_comes_from_balls() -> None:
    x = numbers(RANDOM.lognormal(0, 1, (5, 2)))
    found = DoubledFunctions().erf(x)
    assert outside(found, [[end.erf() for end in ends] for ends in corners(x)]) == 0


# ------------------------------------------------------------------------------------ products of matrices


def matrices(kind: str, rows: int, inner: int, columns: int) -> tuple[Doubled, Doubled]:
    def of(shape: tuple[int, int]) -> Doubled:
        match kind:
            case "usual":
                return numbers(RANDOM.lognormal(0, 1, shape))
            case "exponents apart":
                return numbers(10.0 ** RANDOM.uniform(-40, 40, shape))
            case "sparse":
                return numbers(RANDOM.lognormal(0, 1, shape) * (RANDOM.random(shape) < 0.2))
            case "tiny":
                return numbers(10.0 ** RANDOM.uniform(-180, -130, shape))
        return numbers(10.0 ** RANDOM.uniform(100, 140, shape))

    left, right = of((rows, inner)), of((inner, columns))
    if kind == "cancelling":
        left, right = (
            Doubled(*(np.concatenate(two, axis) for two in zip((x.high, x.low, x.radius), other, strict=True)))
            for x, other, axis in (
                (left, (-left.high, -left.low, left.radius), 1),
                (right, (right.high * (1 + 2.0**-50), right.low, right.radius), 0),
            )
        )
    return left, right


def pushed(x: Doubled, signs: object) -> arb_mat:
    """Exact numbers at the ends of what the pairs may be, or in their middle."""
    parts = (np.broadcast_to(part, x.high.shape).ravel().tolist() for part in (x.high, x.low, x.radius, signs))
    rows, columns = x.high.shape
    return arb_mat(rows, columns, [arb(h) + arb(low) + arb(r) * arb(s) for h, low, r, s in zip(*parts, strict=True)])


def missed(left: Doubled, right: Doubled) -> int:
    """Elements of a product of matrices that it leaves out, wherever in their radii the factors may be."""
    ways = [DoubledArithmetic(parts).matmul(left, right) for parts in (1, 2, 3)]
    chance = [RANDOM.choice((-1.0, 0.0, 1.0), x.high.shape) for x in (left, right)]
    larger = [np.sign(x.high) for x in (left, right)]
    ends = [(chance[0], chance[1]), (larger[0], larger[1]), (larger[0], -larger[1]), (0.0, 0.0)]
    products = [(pushed(left, x) * pushed(right, y)).entries() for x, y in ends]
    return sum(outside(found, [list(results) for results in zip(*products, strict=True)]) for found in ways)


MATRICES = ("usual", "exponents apart", "sparse", "tiny", "huge", "cancelling")


@pytest.mark.parametrize("kind", MATRICES)
@pytest.mark.parametrize("inner", [1, 2, 33, 300])
def test_products_contain_what_balls_say(kind: str, inner: int) -> None:
    left, right = matrices(kind, 5, inner, 4)
    assert missed(left, right) == 0
    exact = (Doubled(x.high, np.zeros((1, 1)), np.zeros((1, 1))) for x in (left, right))
    assert missed(*exact) == 0


def test_products_are_far_better_than_any_order_of_float64() -> None:
    left, right = RANDOM.standard_normal((6, 500)), RANDOM.standard_normal((500, 5))
    allowed = 500 * FLOAT64.unit_roundoff * (np.abs(left) @ np.abs(right))
    for ar, better in ((DoubledArithmetic(1), 100), (DoubledArithmetic(2), 1e8)):
        found = ar.matmul(ar.lift(left), ar.lift(right))
        assert (found.radius <= CERTAIN / better * allowed).all()


def test_leading_parts_add_up_without_a_rounding_in_any_order() -> None:
    left, right = RANDOM.standard_normal((3, 1000)), RANDOM.standard_normal((1000, 3))
    ar = DoubledArithmetic()
    once = ar.matmul(ar.lift(left), ar.lift(right))
    order = RANDOM.permutation(1000)
    again = ar.matmul(ar.lift(left[:, order]), ar.lift(right[order]))
    assert (np.abs((once.high - again.high) + (once.low - again.low)) <= once.radius).all()


def test_dead_units_are_exactly_zero() -> None:
    """A thousandth of their tolerance is less than any rounding."""
    left, right = RANDOM.standard_normal((3, 40)), RANDOM.standard_normal((40, 3))
    left[1], right[:20], left[2, 20:] = 0, 0, 0
    pairs, bounds = DoubledArithmetic(), BoundedArithmetic(FLOAT64)
    found = pairs.matmul(pairs.lift(left), pairs.lift(right))
    assert not found.high[1:].any()
    assert (found.radius <= CERTAIN * bounds.matmul(bounds.lift(left), bounds.lift(right)).errors[WORST]).all()


def test_infinite_numbers_are_not_known() -> None:
    ar = DoubledArithmetic()
    found = ar.matmul(ar.lift([[1.0, np.inf], [1.0, 2.0], [1e308, 1e308]]), ar.lift([[1.0], [3.0]]))
    assert np.isfinite(found.radius[:, 0]).tolist() == [False, True, False]


def test_one_bit_too_many_in_the_leading_parts_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    split = doubled._split
    monkeypatch.setattr(doubled, "_split", lambda x, bits, *how, **along: split(x, bits + 5, *how, **along))
    left, right = (np.abs(RANDOM.standard_normal(shape)) for shape in ((8, 300), (300, 8)))
    ar = DoubledArithmetic()
    assert missed(ar.lift(left), ar.lift(right)) > 0


@pytest.mark.parametrize("name", ["OF_EXPM1", "OF_LOG1P"])
def test_a_wrong_coefficient_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, *others = getattr(doubled_values, name)
    monkeypatch.setattr(doubled_values, name, (first, second * (1 + 2.0**-20), *others))
    x = Doubled(RANDOM.uniform(1.001, 1.002, (COUNT, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    function = "exp" if name == "OF_EXPM1" else "log"
    exact = [[getattr(end, function)() for end in ends] for ends in corners(x)]
    assert outside(getattr(DoubledFunctions(), function)(x), exact) > 0


# ------------------------------------------------------------------------------------ whole cases

DOUBLE = [case for case in CASES.values() if case.dtype == "float64" and case.name != "wide-relu"]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("case", [*DOUBLE, network(4, 40, 9, "float64")], ids=lambda case: case.name)
def test_a_whole_case_meets_its_balls(case: Case) -> None:
    """At a kink the two may enclose different sets, which have the exact slopes in common."""
    pairs = computed(run(case, DoubledArithmetic()))
    with ctx.workprec(300):
        balls = computed(run(case, CertifiedArithmetic()))
    for place, pair in pairs.items():
        ends = [[ball] for ball in balls[place].entries()]
        parts = (np.broadcast_to(p, pair.high.shape).ravel().tolist() for p in (pair.high, pair.low, pair.radius))
        for high, low, radius, (ball,) in zip(*parts, ends, strict=True):
            if np.isfinite(high + low + radius):
                assert ball.overlaps(arb(high) + arb(low) + arb(0, radius)), place
