"""Every step judged from the implementation's own numbers: the faulty step is the one that is named, at any depth."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case, Dense, run
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Observation, Place, computed
from backproof.reference.judging.stepwise import evidence, stepwise
from backproof.reference.judging.verdict import Judgement, Verdict
from backproof.reference.numbers.arrays import numpy_dtype
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.precision import PRECISIONS, PROFILES
from standard import CASES


def changed(observation: Observation, quantity: str, layer: int, factor: float) -> Observation:
    """Another implementation, whose step `quantity` of one layer is off by a factor; later steps are left as they are."""
    arrays = list(getattr(observation, quantity))
    arrays[layer] = (np.asarray(arrays[layer], np.float64) * factor).astype(arrays[layer].dtype)
    hidden: dict[str, Any] = {quantity: tuple(arrays), "received": None}
    return replace(observation, **hidden)


def first_wrong(judgement: Judgement) -> Place | None:
    return next((c.place for c in judgement.comparisons if c.verdict in (Verdict.WRONG, Verdict.SUSPECT)), None)


@pytest.mark.sampled(88, 30)
@pytest.mark.parametrize("layer", range(8))
@pytest.mark.parametrize("quantity", ["pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_in_eight_layers_the_step_that_is_off_is_the_first_that_is_named(quantity: str, dtype: str, layer: int) -> None:
    """An error of 1e-4 in float32, where end to end not even the first digit of a gradient is decided."""
    case = CASES["depth-8-wide", dtype]
    honest = observe(case)
    assert judge(case, honest).verdict is Verdict.AGREES
    factor = 1 + (1e-4 if dtype == "float32" else 1e-11)
    assert first_wrong(judge(case, changed(honest, quantity, layer, factor))) == Place(quantity, layer)


def one_sample(dtype: str, biases: bool = True) -> Case:
    """Five layers, one sample: a probe, in which gradients show all that went into them."""
    rng = np.random.default_rng(3)
    kind = numpy_dtype(dtype)
    sizes = (7, 9, 8, 6, 7, 3)
    layers = tuple(
        Dense(
            rng.uniform(-0.7, 0.7, (units, inputs)).astype(kind),
            rng.uniform(-0.5, 0.5, units).astype(kind).tolist() if biases else None,
            "tanh",
        )
        for inputs, units in pairwise(sizes)
    )
    inputs, targets = (rng.uniform(-1, 1, (1, n)).astype(kind) for n in (7, 3))
    return Case("probe", layers, inputs, targets, dtype=dtype)


def gradients_of(honest: Observation) -> Observation:
    return Observation(
        "test", "0", "cpu", honest.precision,
        weight_gradients=honest.weight_gradients, bias_gradients=honest.bias_gradients,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_one_sample_s_gradients_show_its_deltas_and_activations(dtype: str) -> None:
    case = one_sample(dtype)
    honest = observe(case)
    seen = evidence(case, gradients_of(honest), PROFILES[dtype])
    for k in range(5):
        delta = seen[Place("deltas", k)]
        assert delta.error is None
        assert honest.deltas is not None
        assert (delta.value == np.asarray(honest.deltas[k], np.float64)).all()
    for k in range(4):
        activation = seen[Place("activations", k)]
        assert honest.activations is not None
        assert activation.error is not None
        assert (np.abs(activation.value - np.asarray(honest.activations[k], np.float64)) <= activation.error).all()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_with_gradients_alone_a_wrong_delta_is_located_in_its_layer(dtype: str, layer: int) -> None:
    """The derivative of one layer left out, everything below computed from that: only that layer is wrong."""
    case = one_sample(dtype)
    assert judge(case, gradients_of(observe(case))).verdict is Verdict.AGREES
    from backproof.adapters import numpy_vectorised as numpy_adapter

    calls = iter(range(5))
    right = numpy_adapter._derivative

    def forgets(activation: Any, z: Any, a: Any) -> Any:
        return (
            np.ones_like(z) if 4 - next(calls) == layer else right(activation, z, a)
        )  # called from the last layer down

    numpy_adapter._derivative = forgets
    try:
        wrong = observe(case)
    finally:
        numpy_adapter._derivative = right
    judgement = judge(case, gradients_of(wrong))
    assert first_wrong(judgement) == Place("bias_gradients", layer)
    assert {c.place.layer for c in judgement.wrong} == {layer}


@pytest.mark.parametrize("rate", [0.25, 0.3])
def test_updates_alone_show_the_gradient_up_to_their_rounding(rate: float) -> None:
    case = replace(CASES["hidden-tanh", "float64"], learning_rate=rate)
    honest = observe(case)
    shown = Observation(
        "t", "0", "cpu", "float64", updated_weights=honest.updated_weights, updated_biases=honest.updated_biases
    )
    seen = evidence(case, shown, PROFILES["float64"])
    for k in range(2):
        recovered = seen[Place("weight_gradients", k)]
        assert honest.weight_gradients is not None
        assert recovered.error is not None
        assert (np.abs(recovered.value - np.asarray(honest.weight_gradients[k])) <= recovered.error).all()
    assert judge(case, shown).verdict is Verdict.AGREES

    uphill = tuple(2 * np.array(layer.weights) - u for layer, u in zip(case.layers, honest.updated_weights or (), strict=True) if u is not None)  # fmt: skip
    assert judge(case, replace(shown, updated_weights=uphill)).verdict is Verdict.WRONG


def test_what_follows_from_a_nan_is_undecided_and_not_agreed() -> None:
    case = CASES["hidden-tanh", "float64"]
    honest = observe(case)
    broken = changed(honest, "pre_activations", 0, float("nan"))
    comparisons = {c.place: c for c in judge(case, broken).comparisons}
    assert comparisons[Place("pre_activations", 0)].verdict is Verdict.WRONG
    assert comparisons[Place("activations", 0)].verdict is Verdict.UNDECIDED


def test_every_quantity_that_is_not_shown_is_bridged() -> None:
    """Whatever an implementation leaves out, honest numbers agree."""
    case = CASES["mixed", "float32"]
    honest = observe(case)
    for hidden in ("pre_activations", "activations", "deltas", "loss", "bias_gradients", "weight_gradients"):
        left: dict[str, Any] = {hidden: None}
        assert judge(case, replace(honest, **left)).verdict is Verdict.AGREES, hidden


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "gelu", "elu(0.5)"])
def test_where_nothing_is_seen_the_bounds_are_those_from_end_to_end(activation: str) -> None:
    """What is unsure of a step is counted once: the activations' own errors are in them already."""
    layers = CASES["mixed", "bfloat16"].layers
    case = replace(
        CASES["mixed", "bfloat16"],
        layers=tuple(replace(layer, activation=activation) for layer in layers),
        loss="half_squared_error",
    )
    ar = BoundedArithmetic(PROFILES["bfloat16"])
    whole = computed(run(case, ar))
    by_steps = stepwise(case, ar, {}).expected
    for place, bound in by_steps.items():
        if bound is not None:
            assert np.array_equal(bound.error, whole[place].error), place


def test_a_subnormal_operand_may_have_been_read_as_zero() -> None:
    """What XLA and oneDNN do with float32 below 1.2e-38."""
    layers = (Dense(((1.0, 1.0),), None, "identity"), Dense(((4.0,),), None, "identity"))
    case = Case("flushed", layers, ((2.0**-130, 0.0),), ((0.0,),), dtype="float32")
    honest = observe(case)
    assert judge(case, honest).verdict is not Verdict.WRONG
    zero = np.zeros((1, 1), np.float32)
    assert honest.activations is not None
    flushed = replace(honest, pre_activations=(honest.activations[0], zero), activations=(honest.activations[0], zero),
                      loss=zero, deltas=None, weight_gradients=None)  # fmt: skip
    assert judge(case, flushed).verdict is not Verdict.WRONG
    nearby = replace(flushed, pre_activations=(honest.activations[0], zero + np.float32(1e-36)))
    assert judge(case, nearby).verdict is Verdict.WRONG
