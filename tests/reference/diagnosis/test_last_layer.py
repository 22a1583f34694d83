"""Where to look for a fault when nothing was declared: from the last layer's gradient alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.plain_python import observe
from backproof.reference.case import Case
from backproof.reference.diagnosis.catalogue.faults import FAULTS, faulty_rules
from backproof.reference.diagnosis.conventions import Convention, candidates, probes
from backproof.reference.diagnosis.last_layer import likely
from backproof.reference.judging.observation import Observation
from backproof.reports.trials.fault_trials import shown_by
from backproof.reports.validation.ranking import LIKELY

SIZES = (3, 5, 3)
PROBES = probes(SIZES, (4, 1), "separate", "float64", 0)
EVERY = list(candidates(SIZES))
ASKED = (
    Convention(("sigmoid", "sigmoid"), "half_squared_error", "mean"),
    Convention(("relu", "identity"), "softmax_cross_entropy_from_logits", "mean"),
    Convention(("tanh", "softmax"), "softmax_cross_entropy", "sum"),
    Convention(("relu", "sigmoid"), "binary_cross_entropy", "mean over outputs"),
)


def wrong(name: str, convention: Convention) -> list[tuple[Case, Observation]]:
    fault = next(f for f in FAULTS if f.name == name)
    cases = [convention.applied(case) for case in PROBES]
    return [(case, shown_by(observe(case, convention.rules(faulty_rules(fault, case))), False)) for case in cases]


def scaled(factor: float) -> list[tuple[Case, Observation]]:
    convention = ASKED[0]
    evidence = []
    for case in (convention.applied(probe) for probe in PROBES):
        seen = shown_by(observe(case, convention.rules()), False)
        weights = tuple(None if g is None else factor * np.array(g) for g in seen.weight_gradients or ())
        biases = tuple(None if g is None else factor * np.array(g) for g in seen.bias_gradients or ())
        evidence.append((case, replace(seen, weight_gradients=weights, bias_gradients=biases)))
    return evidence


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(28)
@pytest.mark.parametrize("convention", ASKED, ids=lambda c: c.loss)
@pytest.mark.parametrize(
    "name",
    [
        "output-error-doubled", "squared-difference-as-error", "output-alone-as-error", "first-sample-only",
        "targets-of-the-next-sample", "bias-not-added", "pre-activations-clamped",
    ],
)  # fmt: skip
def test_the_convention_is_found_behind_a_fault_at_the_outputs(name: str, convention: Convention) -> None:
    found = likely(EVERY, wrong(name, convention))
    assert convention in found[:LIKELY]
    assert len(found) < len(EVERY) / 2


@pytest.mark.usefixtures("slow")
def test_a_factor_leaves_its_activations_and_losses_and_the_nearest_comes_first() -> None:
    found = likely(EVERY, scaled(1.5))
    assert {convention.activations for convention in found[:4]} == {("sigmoid", "sigmoid")}
    assert all(not convention.negative for convention in found[:4])
    assert all(convention.negative for convention in likely(EVERY, scaled(-1.5))[:4])


@pytest.mark.usefixtures("slow")
def test_a_right_last_layer_comes_before_one_that_needs_a_fault() -> None:
    convention = ASKED[1]
    assert likely(EVERY, wrong("hidden-delta-without-derivative", convention))[0].activations[-1] in (
        "identity",
        "softmax",
    )


@pytest.mark.usefixtures("slow")
def test_nothing_is_read_off_zeros_and_numbers_that_are_none() -> None:
    assert likely(EVERY, scaled(0.0)) == []
    assert likely(EVERY, scaled(float("nan"))) == []


@pytest.mark.usefixtures("slow")
def test_updates_say_as_much() -> None:
    convention = ASKED[0]
    cases = [replace(convention.applied(probe), learning_rate=0.5) for probe in PROBES]
    fault = next(f for f in FAULTS if f.name == "output-alone-as-error")
    evidence = [(c, shown_by(observe(c, convention.rules(faulty_rules(fault, c))), True)) for c in cases]
    assert evidence[0][1].weight_gradients is None
    assert convention in likely(EVERY, evidence)[:LIKELY]
