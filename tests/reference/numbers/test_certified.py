"""Certified truth: balls and bounds enclose the same numbers, and precision is raised until it is enough."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case, Dense, run
from backproof.reference.judging import expected
from backproof.reference.judging.expected import CERTAIN, truth_of
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import QUANTITIES, Place, computed
from backproof.reference.numbers import bounded
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.certified import enclosures
from backproof.reference.numbers.doubled import enclosures_in_pairs
from backproof.reference.numbers.error_model import TRUTH, WORST
from backproof.reference.numbers.precision import FLOAT32, PROFILES
from backproof.reports.trials.power import network
from standard import CASES

SINGLE = [case for case in CASES.values() if case.dtype == "float32"]
WIDE = [*(case for case in SINGLE if case.batch * sum(case.sizes) > 900), network(4, 40, 9, "float32")]  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", WIDE, ids=lambda case: case.name)
def test_float64_bounds_enclose_what_balls_enclose_on_thousands_of_elements(case: Case) -> None:
    bounds = computed(run(case, BoundedArithmetic(FLOAT32)))
    wanted = {place: np.full(bound.value.shape, 0.0) for place, bound in bounds.items()}
    balls = enclosures(lambda ar: computed(run(case, ar)), wanted)
    for place, bound in bounds.items():
        ball = balls[place]
        apart = np.abs((bound.value - ball.high) - ball.low)
        ours = np.broadcast_to(bound.errors[TRUTH], bound.value.shape)
        assert (apart <= ours + ball.radius).all(), place
        assert (ball.radius <= 1e-25 * (1 + np.abs(ball.high))).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_one_channel_bounds_the_other_in_large_products(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its truth is the wider for it, and still a small part of what is allowed."""
    case = CASES["depth-8-wide", dtype]
    apart = computed(run(case, BoundedArithmetic(PROFILES[dtype])))
    monkeypatch.setattr(bounded, "ALL_CHANNELS", 0)
    together = computed(run(case, BoundedArithmetic(PROFILES[dtype])))
    widened = 0
    for place, bound in together.items():
        errors = [np.broadcast_to(b.errors, (2, *b.value.shape)) for b in (bound, apart[place])]
        # no tolerance of a verdict: two ways to the same bound, one of them through float32
        np.testing.assert_allclose(errors[0][WORST], errors[1][WORST], rtol=1e-3)
        assert (errors[0][TRUTH] >= errors[1][TRUTH] * (1 - 1e-3)).all(), place
        widened += int((errors[0][TRUTH] > errors[1][TRUTH] * 1.01).any())
        if dtype == "float32":
            assert (errors[0][TRUTH] <= CERTAIN * errors[0][WORST]).all(), place
    assert widened


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("precision", ["float64", "float32", "bfloat16"])
def test_truth_is_known_to_a_thousandth_of_the_tolerance(precision: str) -> None:
    for case in SINGLE:
        if case.name in ("relu-at-zero", "zero-weights") or "1e" in case.name:
            continue
        profile = PROFILES[precision]
        bounds = computed(run(case, BoundedArithmetic(profile)))
        for place, enclosed in truth_of(case, profile).items():
            assert (enclosed.radius <= CERTAIN * bounds[place].errors[WORST]).all(), (case.name, place)


IN_PAIRS = ("depth-8-wide", "wide", "wide-relu")  # those that are large enough for it, or almost


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3, 1)
@pytest.mark.parametrize("case", [case for (name, dtype), case in CASES.items() if dtype == "float64" and name in
                                  IN_PAIRS], ids=lambda case: case.name)  # fmt: skip
def test_pairs_of_doubles_judge_as_balls_do(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right and what is a little wrong, shown whole or as gradients alone."""
    pairs: list[Any] = []

    def counted(*arguments: Any) -> Any:
        pairs.append(enclosures_in_pairs(*arguments))
        return pairs[-1]

    monkeypatch.setattr(expected, "enclosures_in_pairs", counted)
    honest = observe(case)
    gradients: Any = tuple(np.array(gradient) for gradient in honest.weight_gradients or ())
    gradients[0].flat[0] *= 1 + 2e-12
    hidden: dict[str, Any] = dict.fromkeys(set(QUANTITIES) - {"weight_gradients"}, None)
    alone = replace(honest, **hidden, received=None)
    for shown in (honest, alone, replace(honest, weight_gradients=gradients)):
        found = []
        for fewest in (math.inf, 0):
            monkeypatch.setattr(expected, "FASTER_IN_BALLS", fewest)
            found.append(
                [(c.place, c.wrong, c.suspect, c.undecided, c.verdict) for c in judge(case, shown).comparisons]
            )
        assert found[0] == found[1]
    assert [certain for _, certain in pairs] == [True] * 3


def test_balls_take_over_where_pairs_are_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """e⁻⁷⁰⁰ is next to nothing in pairs, and a number to a thousandth of its tolerance in balls."""
    case = Case(
        "p", (Dense(((1.0,), (0.0,)), None, "softmax"),), ((700.0,),), ((1.0, 0.0),), loss="softmax_cross_entropy"
    )
    monkeypatch.setattr(expected, "FASTER_IN_BALLS", 0)
    found = truth_of(case, PROFILES["float64"])[Place("activations", 0)]
    assert found.high[0, 1] == pytest.approx(np.exp(-700.0), rel=1e-12)
    monkeypatch.setattr(expected, "LARGEST_IN_BALLS", 0)
    found = truth_of(case, PROFILES["float64"])[Place("activations", 0)]
    assert found.high[0, 1] == 0 < np.exp(-700.0) < found.radius[0, 1]


def test_precision_is_raised_where_everything_cancels() -> None:
    """1 + 2⁻²⁰⁰ − 1 = 2⁻²⁰⁰ takes more than 128 bits; with them alone the radius would be 2⁻¹²⁸."""
    case = Case("cancels", (Dense(((1.0, 1.0, -1.0),), None, "identity"),), ((1.0, 2.0**-200, 1.0),), ((0.0,),))
    place = Place("pre_activations", 0)
    enclosed = enclosures(lambda ar: computed(run(case, ar)), {place: np.full((1, 1), 2.0**-260)})[place]
    assert enclosed.high[0, 0] == 2.0**-200
    assert enclosed.radius[0, 0] <= 2.0**-260


def test_at_a_kink_no_precision_is_enough_and_the_search_ends() -> None:
    case = CASES["relu-at-zero", "float64"]
    truth = truth_of(case, PROFILES["float64"])
    assert (truth[Place("deltas", 0)].radius > 0.1).any()
    assert (truth[Place("pre_activations", 0)].radius == 0).all()
