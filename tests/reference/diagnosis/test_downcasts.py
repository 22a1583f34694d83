"""A narrower format in one place is told from one in another, and from the whole."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.numpy_vectorised import observe, plant
from backproof.reference.diagnosis.catalogue.faults import Fault, faulty_rules
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.downcasts import DOWNCASTS
from backproof.reference.diagnosis.search import diagnose
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Observation
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.arrays import narrowed
from backproof.reference.numbers.precision import TF32
from backproof.reports.trials.fault_trials import NETWORKS, shown_by, trial

NETWORK = Convention(("tanh", "sigmoid"), "half_squared_error", "mean")
CASES = [NETWORK.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "float64", 0)]
EVERY = [fault for kinds in DOWNCASTS.values() for fault in kinds]


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(20)
@pytest.mark.parametrize("fault", EVERY, ids=[fault.name for fault in EVERY])
def test_every_downcast_is_seen_and_named_alone(fault: Fault) -> None:
    outcome = trial(fault.name, NETWORKS[0], "numpy", "float64", CASES)
    assert outcome.named == "alone", outcome.names


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_downcast_in_one_layer_is_named_with_its_layer(name: str, layer: int) -> None:
    fault = next(f for f in DOWNCASTS[name] if f.name.startswith("forward"))
    evidence = [(case, shown_by(plant(case, faulty_rules(fault, case, layer)), updates=False)) for case in CASES]
    assert any(judge(case, observation).verdict is Verdict.WRONG for case, observation in evidence)
    assert [(e.names, e.layer) for e in diagnose(evidence).explanations] == [((fault.name,), layer)]


def tf32_products(left: Any, right: Any) -> Any:
    """As a GPU's matrix units compute them: factors rounded to 11 bits, sums in float32, biases not touched."""
    return np.matmul(*(narrowed(x.astype(float), TF32) for x in (left, right))).astype(np.float32)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_gpu_s_products_in_tf32_are_told_from_float32_s(activation: str) -> None:
    network = Convention((activation, activation), "half_squared_error", "sum")
    cases = [network.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "float32", 0)]
    evidence = [(case, observe(case, tf32_products)) for case in cases]
    gradients = [
        (
            case,
            Observation("f", "", "", "float32", weight_gradients=w.weight_gradients, bias_gradients=w.bias_gradients),
        )
        for case, w in evidence
    ]
    assert diagnose(gradients, network).names == ["everything-in-tf32"]
    assert diagnose(evidence, network).names == ["everything-in-tf32"]
    in_full = [(case, observe(case)) for case in cases]
    assert not diagnose(in_full, network).explanations
