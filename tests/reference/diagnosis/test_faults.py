"""The catalogue: every fault is seen where it shows, called by its name, and reproduces what it did."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.plain_python import observe
from backproof.reference.backprop import Rules
from backproof.reference.case import Case
from backproof.reference.diagnosis.catalogue.faults import FAULTS, Fault, faulty_rules, touched_layers
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.downcasts import DOWNCASTS
from backproof.reference.diagnosis.explanation import by_rules, reproduces, right
from backproof.reference.diagnosis.search import diagnose, located
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Observation
from backproof.reference.judging.verdict import Verdict
from backproof.reports.trials.fault_trials import NETWORKS, shown_by, trial

DEEP = Convention(("tanh", "sigmoid", "tanh", "sigmoid"), "half_squared_error", "mean")
DEEP_CASES = [DEEP.applied(c) for c in probes((4, 4, 4, 4, 4), (4, 1, 2, 1), "separate", "float64", 0)]


def test_there_are_at_least_sixty_and_each_says_what_it_does_and_how_one_comes_to_it() -> None:
    assert len(FAULTS) >= 60
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.description and fault.mistake for fault in FAULTS)
    assert sum(fault.seen is not None for fault in FAULTS) >= 20


@pytest.mark.sampled(89, 40)
@pytest.mark.parametrize("fault", FAULTS, ids=attrgetter("name"))
def test_every_fault_is_seen_and_named_in_some_network(fault: Fault) -> None:
    """In the first network where it changes a number; where others do the same there, it is among them."""
    for network in NETWORKS:
        convention = Convention(network.activations, network.loss, "mean")
        cases = [convention.applied(c) for c in probes(network.sizes, (4, 1, 2, 1), "separate", "float64", 0)]
        outcome = trial(fault.name, network, "plain", "float64", cases)
        if outcome.visible:
            assert outcome.named in ("alone", "among"), outcome.names
            return
    raise AssertionError("it changes nothing anywhere: it is no fault")


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=lambda number: "-".join(NETWORKS[number].activations))
def test_no_visible_fault_is_called_by_another_s_name(number: int) -> None:
    """Each fault, and each narrower format, in every third network, in turn; `selftest --faults` plants all in all."""
    network = NETWORKS[number]
    convention = Convention(network.activations, network.loss, "mean")
    cases = [convention.applied(c) for c in probes(network.sizes, (4, 1, 2, 1), "separate", "float32", 0)]
    narrower = [fault for name in DOWNCASTS if name != "float32" for fault in DOWNCASTS[name]]
    for fault in (*FAULTS, *narrower)[number % 3 :: 3]:
        outcome = trial(fault.name, network, "numpy", "float32", cases)
        assert outcome.named not in ("otherwise", "undetected"), (outcome.fault, outcome.names)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize(
    "name", ["hidden-delta-without-derivative", "hidden-derivative-formula-of-z", "weights-not-transposed"]
)
def test_a_fault_in_one_layer_is_named_with_its_layer(name: str, layer: int) -> None:
    fault = next(f for f in FAULTS if f.name == name)
    assert touched_layers(fault, DEEP_CASES[0]) == (0, 1, 2)
    evidence = [(c, shown_by(observe(c, faulty_rules(fault, c, layer)), False)) for c in DEEP_CASES]
    diagnosis = diagnose(evidence)
    assert diagnosis.proved
    assert [(e.names, e.layer) for e in diagnosis.explanations] == [((name,), layer)]
    assert diagnosis.numbers == 4 * 80


@pytest.mark.usefixtures("slow")
def test_the_right_algorithm_is_reproduced_by_itself_and_by_no_visible_fault() -> None:
    honest = [(c, shown_by(observe(c), False)) for c in DEEP_CASES]
    assert all(judge(c, o).verdict is Verdict.AGREES for c, o in honest)
    assert reproduces(right(), honest)
    changed = [f for f in FAULTS if not reproduces(by_rules(f.rules), honest)]
    assert len(changed) > 60
    for fault in (f for f in FAULTS if f not in changed):  # those do nothing to this network's gradients
        wrong = shown_by(observe(DEEP_CASES[0], fault.rules(DEEP_CASES[0])), False)
        assert judge(DEEP_CASES[0], wrong).verdict is Verdict.AGREES, fault.name


@pytest.mark.usefixtures("slow")
def test_two_faults_at_once_are_found_step_by_step() -> None:
    one, other = (
        next(f for f in FAULTS if f.name == name) for name in ("hidden-delta-without-derivative", "bias-gradient-mean")
    )

    def rules(case: Case) -> Rules:
        return replace(one.rules(case), bias_gradient=other.rules(case).bias_gradient)

    evidence = [(c, shown_by(observe(c, rules(c)), False)) for c in DEEP_CASES]
    diagnosis = diagnose(evidence)
    assert len(diagnosis.explanations) == 1
    words = diagnosis.explanations[0].words
    assert "derivative a(1 − a) out" in words
    assert "divides the bias gradient by the number of samples" in words


def test_a_constant_factor_is_found_and_said_as_a_fraction() -> None:
    def scaled(observation: Observation, factor: float) -> Observation:
        return replace(
            observation,
            weight_gradients=tuple(None if g is None else factor * g for g in observation.weight_gradients or ()),
            bias_gradients=tuple(None if g is None else factor * g for g in observation.bias_gradients or ()),
        )

    evidence = [(c, scaled(shown_by(observe(c), False), 0.75)) for c in DEEP_CASES]
    diagnosis = diagnose(evidence)
    assert [e.words for e in diagnosis.explanations] == ["multiplies every gradient by 3/4"]


@pytest.mark.usefixtures("slow")
def test_what_fits_nothing_is_mapped() -> None:
    case = DEEP_CASES[0]
    observation = shown_by(observe(case), False)
    gradients = [np.array(g) for g in observation.weight_gradients or ()]
    gradients[2][1, :] = 0
    gradients[2][3, 2] *= 1.37
    wrong = replace(observation, weight_gradients=tuple(gradients))
    assert not diagnose([(case, wrong)]).explanations
    assert located(case, wrong) == "weight_gradients[2]: 5 of 16 elements\n  ····\n  0000\n  ····\n  ··#·"


@pytest.mark.usefixtures("slow")
def test_what_end_to_end_bounds_would_admit_is_diagnosed_where_the_judge_refuses_it() -> None:
    """Half a hidden delta in bfloat16: inside what all roundings together may do, not inside what one step may."""
    network = NETWORKS[0]
    convention = Convention(network.activations, network.loss, "mean")
    cases = [convention.applied(c) for c in probes(network.sizes, (4, 1, 2, 1), "separate", "bfloat16", 0)]
    outcome = trial("hidden-delta-halved", network, "numpy", "bfloat16", cases)
    assert outcome.detected
    assert outcome.named in ("alone", "among")
