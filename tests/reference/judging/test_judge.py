"""The judge itself: every kind of comparison is seen to pass what is right and to fail on a planted error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case, Dense
from backproof.reference.judging.comparing import _block
from backproof.reference.judging.expected import Expected, step_expectations
from backproof.reference.judging.judgement import UnusableAnswer, judge
from backproof.reference.judging.observation import QUANTITIES, Observation, Place, Received
from backproof.reference.judging.stepwise import evidence
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.precision import PROFILES
from standard import CASES

DTYPES = ["float64", "float32"]


def nudged(observation: Observation, quantity: str, layer: int | None, index: Any, value: Any) -> Observation:
    """The observation with one element replaced."""
    shown = getattr(observation, quantity)
    if layer is None:
        array = np.array(shown)
        array[index] = value
        return replace(observation, **{quantity: array})
    arrays = list(shown)
    arrays[layer] = arrays[layer].copy()
    arrays[layer][index] = value
    changed: dict[str, Any] = {quantity: tuple(arrays)}
    return replace(observation, **changed)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_one_element_outside_its_tolerance_is_wrong_and_located(quantity: str, dtype: str) -> None:
    """For every quantity: twice the tolerance away is wrong, half the tolerance away agrees; and that step is first."""
    case = CASES["hidden-sigmoid", dtype]
    honest = observe(case)
    profile = PROFILES[dtype]
    expected = step_expectations(case, profile, evidence(case, honest, profile))
    layer = None if quantity == "loss" else 0
    place = Place(quantity, layer)
    index = {"loss": (), "bias_gradients": (2,), "updated_biases": (2,)}.get(quantity, (1, 1))
    at = (0, 0) if quantity == "loss" else (0, 2) if len(index) == 1 else index
    value, tolerance = expected[place].value[at], expected[place].tolerance[at]
    assert judge(case, honest).verdict is Verdict.AGREES

    def moved(by: float) -> Observation:
        value_there = np.dtype(dtype).type(value + by * tolerance)
        return nudged(replace(honest, received=None), quantity, layer, index, value_there)

    judgement = judge(case, moved(2.5))
    assert judgement.verdict is Verdict.WRONG
    comparison = judgement.wrong[0]
    assert comparison.place == place
    assert [element.index for element in comparison.worst] == [index if quantity != "loss" else (0, 0)]
    assert 1 < comparison.worst[0].ratio < 4
    assert comparison.largest_ratio == pytest.approx(
        comparison.worst[0].ratio, rel=0.5
    )  # the ratio drops the remainder

    assert place not in [comparison.place for comparison in judge(case, moved(0.4)).wrong]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_number_that_is_not_finite_is_wrong(quantity: str, bad: float) -> None:
    case = CASES["hidden-tanh", "float64"]
    layer, index = (
        (None, ())
        if quantity == "loss"
        else (1, (0, 0) if quantity not in ("bias_gradients", "updated_biases") else (0,))
    )
    judgement = judge(case, nudged(observe(case), quantity, layer, index, bad))
    assert judgement.wrong[0].place == Place(quantity, layer)
    assert judgement.wrong[0].worst[0].ratio == np.inf


def test_the_quick_way_and_the_careful_way_say_the_same() -> None:
    """What is all right is judged by a few largest and smallest values; one kink more, and each element is looked at."""
    rng = np.random.default_rng(0)
    value, worst = rng.standard_normal((8, 5)), rng.uniform(1e-6, 1e-5, (8, 5)).astype("float32")
    got = value + rng.uniform(-1, 1, (8, 5)) * worst
    got[0, 0], worst[0, 0] = value[0, 0], 0  # nothing may be off, and nothing is: 0 / 0
    may_be = Expected(value, np.zeros((1, 1)), np.zeros((8, 5)), worst)
    kink = replace(
        may_be,
        value=np.vstack([value, [[0.5] * 5]]),
        uncertainty=np.vstack([may_be.uncertainty, [[0.5] * 5]]),
        worst=np.vstack([worst, [[0] * 5]]),
    )
    quick, careful = _block(got, may_be, 5.0), _block(np.vstack([got, [[0.25] * 5]]), kink, 5.0)
    assert (quick.wrong, careful.wrong) == (0, 0)
    assert 0.9 < quick.ratio == careful.ratio < 1
    assert quick.error == careful.error
    assert careful.undecided == 0

    for bad in (np.nan, np.inf, value[0, 0] + 1e-9):
        got[0, 0] = bad
        assert _block(got, may_be, 5.0).wrong == 1


@pytest.mark.sampled(9, 2)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case_name", ["hidden-sigmoid", "square", "mixed", "xor-hidden", "depth-4"])
def test_wrong_backpropagations_are_wrong(case_name: str, dtype: str) -> None:
    """Planted in every weight gradient: a factor, a sign, a transposition, another sample, a bit of every weight."""
    case = CASES[case_name, dtype]
    honest = observe(case)
    assert honest.weight_gradients is not None
    gradients = [g for g in honest.weight_gradients if g is not None]
    first = gradients[0]
    plants = {
        "twice": 2 * first,
        "negative": -first,
        "zero": 0 * first,
        "1/N missing": case.batch * first,
        "rows swapped": first[::-1],
        "columns swapped": first[:, ::-1],
        "off by 1 %": first * first.dtype.type(1.01),
    }
    if first.shape[0] == first.shape[1]:
        plants["transposed"] = first.T
    for name, planted in plants.items():
        wrong = replace(honest, weight_gradients=(planted, *gradients[1:]))
        assert judge(case, wrong).verdict is Verdict.WRONG, name


def test_an_inactive_unit_has_a_gradient_of_zero_and_nothing_else() -> None:
    """In an array of exact zeros the check is strong: a small number is refused."""
    case = CASES["zero-weights", "float64"]
    honest = observe(case)
    assert judge(case, honest).verdict is Verdict.AGREES
    judgement = judge(case, nudged(honest, "weight_gradients", 0, (0, 0), 1e-300))
    assert judgement.verdict is Verdict.WRONG


def test_at_a_kink_any_slope_between_is_right_and_any_other_is_wrong() -> None:
    """relu′(0) may be 0 (all frameworks), ½ (jnp.maximum) or 1, but not 2."""
    case = CASES["relu-at-zero", "float64"]
    honest = observe(case)
    assert honest.pre_activations is not None
    assert honest.pre_activations[0] is not None
    assert honest.deltas is not None
    sample, unit = (int(i[0]) for i in np.where(honest.pre_activations[0] == 0))
    output_delta = honest.deltas[1]
    assert output_delta is not None
    error = output_delta[sample, 0] * case.layers[1].weights[0][unit]
    for slope, verdict in ((0, "agrees"), (0.5, "agrees"), (1, "agrees"), (2, "wrong"), (-0.5, "wrong")):
        only_deltas = replace(
            honest, weight_gradients=None, bias_gradients=None, updated_weights=None, updated_biases=None
        )
        delta = nudged(only_deltas, "deltas", 0, (sample, unit), slope * error)
        assert judge(case, delta).verdict.value == verdict, slope


def test_what_cannot_fail_is_undecided_and_not_agreed() -> None:
    """Float32 squares of 1e30 overflow: whatever loss comes, the bound does not refuse it, and says so."""
    case = CASES["weights-of-1e30", "float32"]
    honest = observe(case)
    for loss in (1.0, np.inf, np.nan):
        only_loss = Observation("test", "0", "cpu", "float32", loss=np.float32([loss]))
        judgement = judge(case, only_loss)
        assert judgement.verdict is Verdict.UNDECIDED
        assert judgement.comparisons[0].undecided == 1
        assert judgement.comparisons[0].undecided_because == ("overflow",)
    assert judge(case, honest).verdict is Verdict.AGREES  # other quantities are decided


def test_an_element_whose_bound_reaches_the_largest_of_its_array_is_undecided() -> None:
    """From end to end, deep in float32, the bound is wider than the gradient: zeros would pass, so it decides nothing."""
    case = CASES["depth-8-wide", "float32"]
    honest = Observation("test", "0", "cpu", "float32", weight_gradients=observe(case).weight_gradients)
    comparisons = {comparison.place: comparison for comparison in judge(case, honest).comparisons}
    lost, kept = comparisons[Place("weight_gradients", 0)], comparisons[Place("weight_gradients", 7)]
    assert lost.verdict is Verdict.UNDECIDED
    assert lost.undecided_because == ("bound",)
    assert kept.undecided_because == ()
    assert lost.digits is None
    assert kept.undecided == 0
    assert kept.digits is not None
    assert kept.digits > 2


def test_a_comparison_says_how_many_digits_it_sees() -> None:
    """Float64 sees about nine digits more than float32; from step to step, no digits are lost with depth."""
    seen = {}
    for dtype in DTYPES:
        case = CASES["depth-8", dtype]
        for comparison in judge(case, observe(case)).comparisons:
            seen[dtype, comparison.place] = comparison.digits or 0.0
    for place in (Place("weight_gradients", k) for k in range(8)):
        assert 8 < seen["float64", place] - seen["float32", place] < 9.1  # 53 − 24 bits are 8.7 digits
        assert abs(seen["float32", place] - seen["float32", Place("weight_gradients", 7)]) < 1


def test_without_intermediates_digits_are_lost_with_depth() -> None:
    case = CASES["depth-8", "float32"]
    only_gradients = Observation("test", "0", "cpu", "float32", weight_gradients=observe(case).weight_gradients)
    digits = {c.place.layer: c.digits or 0.0 for c in judge(case, only_gradients).comparisons}
    assert digits[0] < digits[7] - 1


def test_float32_numbers_are_refused_where_float64_was_declared() -> None:
    """The same numbers, computed in float32, agree as float32 and are wrong as float64."""
    narrow, wide = CASES["hidden-sigmoid", "float32"], CASES["hidden-sigmoid", "float64"]
    same_numbers = replace(narrow, dtype="float64")
    observation = observe(narrow)
    assert judge(narrow, observation).verdict is Verdict.AGREES
    assert judge(same_numbers, replace(observation, precision="float64", received=None)).verdict is Verdict.WRONG
    assert wide.layers != narrow.layers  # each dtype's case has its own, exactly representable numbers


def test_starting_from_other_numbers_is_no_answer() -> None:
    case = CASES["xor-hidden", "float64"]
    honest = observe(case)
    received = honest.received
    assert received is not None
    weights = [np.array(w) for w in received.weights]
    weights[1][0, 0] = np.nextafter(weights[1][0, 0], 2)
    other = replace(honest, received=replace(received, weights=tuple(weights)))
    with pytest.raises(UnusableAnswer, match=r"layers\[1\]\.weights differ in some bit"):
        judge(case, other)
    negative_zero = replace(received, inputs=np.where(received.inputs == 0, -0.0, received.inputs))
    with pytest.raises(UnusableAnswer, match="inputs differ"):
        judge(case, replace(honest, received=negative_zero))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight_gradients": (np.zeros((2, 3)), np.zeros((1, 2)))},
            r"weight_gradients\[0\]: expected 2 × 2, got 2 × 3",
        ),
        ({"bias_gradients": (np.zeros(3), None)}, r"bias_gradients\[0\]: expected 2 numbers, got 3"),
        ({"loss": np.zeros((2, 2))}, r"loss: expected 1 numbers, got 2 × 2"),
        (
            {"loss": np.zeros((), dtype=np.int64)},
            r"loss: expected float64, float32, float16, bfloat16 numbers, got int64",
        ),
        ({"bias_gradients": (np.zeros(2), np.zeros(1))}, r"bias_gradients\[1\]: the case has no such thing"),
        (dict.fromkeys(QUANTITIES), r"showed nothing"),
    ],
)
def test_what_cannot_be_compared_is_no_answer(change: dict[str, Any], message: str) -> None:
    case: Case = CASES["xor-hidden", "float64"]
    with pytest.raises(UnusableAnswer, match=message):
        judge(case, replace(observe(case), **change))


def test_received_numbers_may_be_held_in_a_wider_format_but_not_in_a_narrower() -> None:
    case = CASES["xor-hidden", "float32"]
    honest = observe(case)
    received = honest.received
    assert received is not None

    def held_as(dtype: str) -> Observation:
        def cast(a: Any) -> Any:
            return None if a is None else a.astype(dtype)

        copy = Received(
            tuple(map(cast, received.weights)),
            tuple(map(cast, received.biases)),
            cast(received.inputs),
            cast(received.targets),
        )
        return replace(honest, received=copy)

    assert judge(case, held_as("float64")).verdict is Verdict.AGREES
    with pytest.raises(UnusableAnswer, match="differ in some bit"):
        judge(case, held_as("float16"))


def test_a_kink_that_reaches_all_of_an_array_is_said_to_be_the_reason() -> None:
    """A single ReLU at exactly 0: its δ may be anything from 0 to the error, so no answer in between is refused."""
    layers = (Dense(((1.0, -1.0),), None, "relu"), Dense(((2.0,),), None, "identity"))
    case = Case("kink", layers, ((1.5, 1.5),), ((1.0,),))
    comparisons = {c.place: c for c in judge(case, replace(observe(case), bias_gradients=None)).comparisons}
    assert comparisons[Place("deltas", 0)].undecided_because == ("kink",)
    assert comparisons[Place("deltas", 1)].undecided_because == ()
