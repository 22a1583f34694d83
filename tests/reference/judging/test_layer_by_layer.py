"""A net judged layer by layer, in blocks, from files: the verdict that it has in memory, and the layer at fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case, Dense, InvalidInput
from backproof.reference.judging import Observation, Place, ShownLayer, judge, judge_layers, layer_by_layer
from backproof.reference.judging.verdict import Verdict

SIZES = (40, 30, 50, 20)


def case(dtype: str, reduction: str = "mean", output: str = "tanh", loss: str = "half_squared_error") -> Case:
    rng = np.random.default_rng(3)
    layers = tuple(
        Dense(
            (rng.standard_normal((units, inputs)) / inputs**0.5).astype(dtype),
            rng.standard_normal(units).astype(dtype).tolist(),
            output if units == SIZES[-1] else "sigmoid",
        )
        for inputs, units in pairwise(SIZES)
    )
    inputs = rng.standard_normal((8, SIZES[0])).astype(dtype)
    targets = np.eye(SIZES[-1], dtype=dtype)[:8]
    return Case("small", layers, inputs, targets, loss, reduction, dtype=dtype)


def shown(of: Case, observation: Observation) -> Iterator[ShownLayer]:
    quantities = ("pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients")
    for k, layer in enumerate(of.layers):
        by_name: dict[str, Any] = {name: np.asarray(getattr(observation, name)[k]) for name in quantities}
        yield ShownLayer(np.asarray(layer.weights), np.asarray(layer.biases, of.dtype), layer.activation, **by_name)


def judged(of: Case, observation: Observation, **options: Any) -> layer_by_layer.LayersJudgement:
    return judge_layers(shown(of, observation), of.inputs, of.targets, loss=of.loss, reduction=of.reduction, **options)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_by_layer, "NUMBERS_AT_A_TIME", 300)


@pytest.mark.sampled(4, 1)
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_right_net_agrees_as_it_does_in_memory(dtype: str, reduction: str) -> None:
    for of in (case(dtype, reduction), case(dtype, reduction, "softmax", "softmax_cross_entropy")):
        found, memory = judged(of, observe(of)), judge(of, observe(of))
        assert found.verdict is memory.verdict is Verdict.AGREES, str(found)
        elements = {c.place: c.elements for c in memory.comparisons if c.place.quantity != "loss"}
        assert {c.place: c.elements for c in found.comparisons} == elements
        assert [c.place for c in found.comparisons] == list(elements)
        assert found.parameters == sum(units * (inputs + 1) for inputs, units in pairwise(SIZES))
        assert judged(of, observe(of), probabilistic=True).ok


@pytest.mark.sampled(5, 2)
@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("quantity", ["pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients"])
@pytest.mark.parametrize("k", [0, 2])
def test_a_fault_is_wrong_where_it_is_in_memory(quantity: str, k: int) -> None:
    of = case("float64" if k else "float32")
    honest = observe(of)
    arrays = [np.array(x) for x in getattr(honest, quantity)]
    arrays[k].flat[-3] *= 1.001
    changed: dict[str, Any] = {quantity: tuple(arrays)}
    faulty = replace(honest, **changed)
    wrong = {c.place for c in judge(of, faulty).wrong} - {Place("loss", None)}  # of which nothing is shown
    assert Place(quantity, k) in wrong
    found = judged(of, faulty)
    assert found.verdict is Verdict.WRONG
    assert set(found.wrong) == wrong
    (there,) = [c for c in found.comparisons if c.place == Place(quantity, k)]
    at = there.worst[0]
    assert at.got == (arrays[k].ravel() if len(at.index) == 1 else arrays[k])[at.index], "its place in the whole array"
    assert f"begins in {found.wrong[0]}" in str(found)


@pytest.mark.usefixtures("small_blocks")
def test_the_probabilistic_check_finds_the_layer_and_says_its_chances() -> None:
    of = case("float32")
    honest = observe(of)
    assert honest.weight_gradients is not None
    gradients = [np.array(x) for x in honest.weight_gradients]
    gradients[1][7, 5] += 1.0
    found = judged(of, replace(honest, weight_gradients=tuple(gradients)), probabilistic=True)
    assert found.wrong == (Place("weight_gradients", 1),)
    assert "unit 7, input 5" in str(found)
    assert "but for a chance of 5.4e-20" in str(found)


@pytest.mark.usefixtures("small_blocks")
def test_files_are_read_a_layer_at_a_time(tmp_path: Path) -> None:
    of = case("float32")
    layer_by_layer_files = list(shown(of, observe(of)))
    for k, layer in enumerate(layer_by_layer_files):
        for name in layer_by_layer.ARRAYS:
            np.save(tmp_path / f"{k}.{name}.npy", getattr(layer, name))
    layers = bp.layers_in(tmp_path, [layer.activation for layer in of.layers])
    found = bp.judge_layers(layers, of.inputs, of.targets, reduction="mean")
    assert found.ok
    assert found.parameters == sum(layer.weights.size + len(layer.weights) for layer in layer_by_layer_files)


def test_what_does_not_fit_is_said() -> None:
    of = case("float64")
    layers = list(shown(of, observe(of)))
    for changed, message in (
        ({"weights": layers[1].weights.T}, r"layers\[1\].weights: expected any × 30 \(units × inputs\), got 30 × 50"),
        ({"deltas": layers[1].deltas[:3]}, r"layers\[1\].deltas: expected 8 × 50 \(batch × units\), got 3 × 50"),
        ({"biases": np.zeros(7)}, r"layers\[1\].biases: expected 50 numbers, one per unit, got 7"),
        ({"weight_gradients": np.zeros((50, 30), int)}, "weight_gradients: expected an array of float64"),
        ({"activation": "sigmoidd"}, r"layers\[1\].activation: .* Did you mean 'sigmoid'"),
        ({"activation": "softmax"}, "softmax is for the output layer only"),
    ):
        given = [layers[0], replace(layers[1], **changed), layers[2]]
        with pytest.raises(InvalidInput, match=message):
            judge_layers(given, of.inputs, of.targets)
    with pytest.raises(InvalidInput, match="expected at least one layer"):
        judge_layers([], of.inputs, of.targets)
    with pytest.raises(InvalidInput, match="targets: expected 8 × 20"):
        judge_layers(layers, of.inputs, np.zeros((8, 3)))
