"""Overflow on the way: where an honest order of operations overflows, nothing is wrong; beside it, faults still are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.case import Case, Dense, run
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Observation, computed
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.arrays import array_of, numpy_dtype
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.precision import FLOAT16, PRECISIONS
from backproof.reference.update_rules import UPDATE_RULES

DTYPES = ["float16", "float32"]  # NumPy multiplies matrices of bfloat16, whose range is that of float32, in float32


@dataclass(frozen=True)
class Way:
    """An honest order of operations.

    case: from a number near the square root of the largest, and the largest power of two
    answer: what that order gives for (inputs, targets, weights, biases) in the format, and what it is
    """

    name: str
    case: Callable[[float, float], Case]
    quantity: str
    answer: Callable[[Any, Any, Any, Any], Any]


def one_unit(x: float, t: float = 0.0, samples: int = 4, **more: Any) -> Case:
    """One identity unit with the weight 1, and the same sample several times."""
    return Case("one-unit", (Dense(((1.0,),), None, "identity"),), ((x,),) * samples, ((t,),) * samples, **more)


def softmax_units(target: float) -> Case:
    """Eight units of one probability."""
    targets = (tuple(-target * (1 if k else 0.75) for k in range(8)),)
    return Case("softmax", (Dense(((0.0,),) * 8, None, "softmax"),), ((1.0,),), targets)


def two_layers(first: float, above: float, target: float, activation: str, **more: Any) -> Case:
    """1-1-1, without biases; four times the sample 1."""
    layers = (Dense(((first,),), None, activation), Dense(((above,),), None, "identity"))
    return Case("two-layers", layers, ((1.0,),) * 4, ((target,),) * 4, **more)


def unnormalised_softmax(x: Any, t: Any, w: Any, b: Any) -> Any:
    """(e u Σ − u Σ e u) / Σ², u = exp(z − max z): what differentiating u / Σ u gives."""
    z = x @ w[0].T
    u = np.exp(z - z.max(axis=1, keepdims=True))
    total = u.sum(axis=1, keepdims=True)
    e = u / total - t
    return e * u / total - u / total * ((e * u).sum(axis=1, keepdims=True) / total)


def hidden_delta_in_steps(x: Any, t: Any, w: Any, b: Any) -> Any:
    """g (1 − a²) as (g + g a)(1 − a)."""
    a = np.tanh(x @ w[0].T)
    g = (a @ w[1].T - t) @ w[1]
    return (g + g * a) * (1 - a)


def mean_at_the_end(x: Any, t: Any, w: Any, b: Any) -> Any:
    """∂E/∂W of the first layer from δ that are not yet divided by the batch."""
    delta = ((x @ w[0].T) @ w[1].T - t) @ w[1] if len(w) == 2 else x @ w[0].T - t
    return (delta.T @ x) / len(x)


WAYS = [
    Way("2-of-the-square-before-½", lambda root, top: one_unit(1.25 * top), "deltas",
        lambda x, t, w, b: (x @ w[0].T - t) * 2 / 2),
    Way("2-of-the-square-before-½-and-mean", lambda root, top: one_unit(1.25 * top, reduction="mean"), "deltas",
        lambda x, t, w, b: (x @ w[0].T - t) * 2 * 0.125),
    Way("2-of-the-square-before-mean", lambda root, top: one_unit(1.25 * top, loss="squared_error", reduction="mean"),
        "deltas", lambda x, t, w, b: (x @ w[0].T - t) * 2 / 4),
    Way("square-before-½", lambda root, top: one_unit(1.5 * root, samples=1), "loss",
        lambda x, t, w, b: ((x - t) * (x - t)).sum() / 2),
    Way("sum-before-½", lambda root, top: one_unit(root, samples=4), "loss", lambda x, t, w, b: (x * x).sum() / 2),
    Way("sum-before-mean", lambda root, top: one_unit(root, loss="squared_error", reduction="mean"), "loss",
        lambda x, t, w, b: (x * x).sum() / 4),
    Way("mean-after-weight-gradient", lambda root, top: one_unit(0.75 * root, reduction="mean"), "weight_gradients",
        mean_at_the_end),
    Way("mean-after-hidden-weight-gradient", lambda root, top: two_layers(1.0, root, root / 2, "identity", reduction="mean"),
        "weight_gradients", mean_at_the_end),
    Way("mean-after-bias-gradient", lambda root, top: replace(one_unit(0.75 * top, reduction="mean"),
        layers=(Dense(((1.0,),), (0.0,), "identity"),)), "bias_gradients", lambda x, t, w, b: x.sum(axis=0) / 4),
    Way("mean-after-update", lambda root, top: one_unit(root / 2, reduction="mean", learning_rate=2.0), "updated_weights",
        lambda x, t, w, b: w[0] - 2 * (x.T @ x) / 4),
    Way("rate-before-weight", lambda root, top: one_unit(root, top / root, samples=1, learning_rate=4.0),
        "updated_weights", lambda x, t, w, b: w[0] - 4 * ((x - t).T @ x)),
    Way("softmax-normalised-at-the-end", lambda root, top: softmax_units(0.375 * top), "deltas", unnormalised_softmax),
    Way("derivative-in-steps", lambda root, top: two_layers(1.0, root, root / 8, "tanh"), "deltas", hidden_delta_in_steps),
    Way("bias-after-the-sum", lambda root, top: replace(one_unit(1.25 * top, samples=1),
        layers=(Dense(((2.0,),), (-1.25 * top,), "identity"),)), "pre_activations",
        lambda x, t, w, b: x @ w[0].T + b[0]),
    Way("alternating-bias-gradient", lambda root, top: replace(one_unit(1.0, samples=3), inputs=((1.25 * top,), (1.25 * top,), (-1.25 * top,)),
        targets=((0.0,),) * 3, layers=(Dense(((1.0,),), (0.0,), "identity"),)), "bias_gradients", lambda x, t, w, b: x[0] + x[1] + x[2]),
]  # fmt: skip


def told(way: Way, case: Case, factor: float = 1.0) -> Observation:
    """What an implementation shows that computes in this way, and, if it is faulty, so many times that."""
    dtype = case.dtype
    weights = [array_of(layer.weights, dtype) for layer in case.layers]
    biases = [None if layer.biases is None else array_of(layer.biases, dtype) for layer in case.layers]
    with np.errstate(all="ignore"):
        got = way.answer(array_of(case.inputs, dtype), array_of(case.targets, dtype), weights, biases)
        array = np.asarray(got * np.asarray(factor).astype(numpy_dtype(dtype)))
    assert array.dtype == numpy_dtype(dtype)
    others = (None,) * (len(case.layers) - 1)
    shown: Any = array if way.quantity == "loss" else (array, *others)
    return Observation("honest", "", "cpu", dtype, **{way.quantity: shown})


def sized(way: Way, dtype: str, smaller: float = 1.0) -> Case:
    exponent = PRECISIONS[dtype].largest_exponent + 1
    return replace(way.case(2.0 ** (exponent // 2) * smaller, 2.0 ** (exponent - 1) * smaller), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_an_honest_order_that_overflows_is_not_wrong(way: Way, dtype: str) -> None:
    case = sized(way, dtype)
    observation = told(way, case)
    shown = getattr(observation, way.quantity)
    assert not np.isfinite((shown if way.quantity == "loss" else shown[0]).astype(float)).all(), "it overflows"
    judgement = judge(case, observation)
    assert judgement.verdict in (Verdict.AGREES, Verdict.UNDECIDED), judgement


@pytest.mark.sampled(6)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_beside_it_right_is_right_and_a_fault_is_wrong(way: Way, dtype: str) -> None:
    case = sized(way, dtype, smaller=2.0**-4)
    assert judge(case, told(way, case)).verdict is Verdict.AGREES
    assert judge(case, told(way, case, factor=1.25)).verdict is Verdict.WRONG


@pytest.mark.parametrize("samples", [3, 70, 20_000, 60_000])
def test_a_rounded_reciprocal_of_the_batch_is_honest_even_where_it_is_subnormal(samples: int) -> None:
    numbers = np.random.default_rng(samples).uniform(100, 60_000, (1, 200)).astype(np.float16)
    bound = BoundedArithmetic(FLOAT16).lift(numbers.astype(float)) / samples
    got = numbers * (np.float16(1) / np.float16(samples))
    assert got.dtype == np.float16
    assert bound.holds(got).all()
    assert not bound.holds(got * np.float16(1.25)).any()


def test_a_constant_that_the_format_does_not_hold_leaves_no_bound() -> None:
    number = BoundedArithmetic(FLOAT16).lift([[1e-3]])
    assert np.isinf((number / 70_000).error).all()
    assert np.isinf((number * 70_000.0).error).all()
    assert np.isfinite((number / 60_000).error).all()
    assert np.isfinite((number * 60_000.0).error).all()


@pytest.mark.parametrize("rule", ["rmsprop", "adam"])
def test_a_gradient_may_be_squared_before_it_is_scaled(rule: str) -> None:
    """300² overflows in float16, and (1 − 0.99) · 300² does not; of 30 both are far from it."""
    ar = BoundedArithmetic(FLOAT16)
    zero, gradient = ar.lift([[0.0, 0.0]]), ar.lift([[300.0, 30.0]])
    _, memory = UPDATE_RULES[rule].step(zero, gradient, (zero,) * UPDATE_RULES[rule].remembers, 0.5, 1, ar)
    with np.errstate(over="ignore"):
        assert np.isinf(np.square(np.float16(300)))
    assert np.isinf(memory[-1].error).tolist() == [[True, False]]


def test_a_division_that_is_done_is_not_awaited_any_more() -> None:
    """An update adds to a weight that nobody divides: the sum is final, and may be as large as the format allows."""
    case = replace(one_unit(1.0, reduction="mean", learning_rate=2.0), dtype="float16")
    step = computed(run(case, BoundedArithmetic(FLOAT16)))
    put_off = {place.quantity: bound.model.put_off for place, bound in step.items()}
    assert put_off["weight_gradients"] == put_off["deltas"] == 4
    assert put_off["updated_weights"] == put_off["activations"] == 1
