"""Wrong numbers that are made of the right ones are called what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.plain_python import observe
from backproof.reference.case import Case, run_in_turn
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.explanation import Evidence
from backproof.reference.diagnosis.search import diagnose
from backproof.reference.judging.observation import Observation
from backproof.reference.numbers.plain import PLAIN
from backproof.reports.trials.fault_trials import shown_by

NETWORK = Convention(("tanh", "sigmoid"), "half_squared_error", "mean")
Gradients = tuple[list[Any], list[Any]]  # of weights, of biases


def cases(sizes: tuple[int, ...] = (3, 4, 2)) -> list[Case]:
    return [NETWORK.applied(case) for case in probes(sizes, (4, 1, 2, 1), "separate", "float64", 0)]


def right(case: Case) -> Gradients:
    step = observe(case)
    return [np.array(g) for g in step.weight_gradients or ()], [np.array(g) for g in step.bias_gradients or ()]


def shown(gradients: Gradients) -> Observation:
    weights, biases = gradients
    return Observation("wrong", "", "cpu", "float64", weight_gradients=tuple(weights), bias_gradients=tuple(biases))


def said(evidence: Evidence) -> list[str]:
    diagnosis = diagnose(evidence)
    assert diagnosis.numbers == sum(
        g.size for _, o in evidence for g in (*(o.weight_gradients or ()), *(o.bias_gradients or ())) if g is not None
    )
    return [explanation.words for explanation in diagnosis.explanations]


def first(change: Callable[[Any], Any]) -> Callable[[Gradients], Gradients]:
    return lambda g: ([change(g[0][0]), g[0][1]], g[1])


CHANGES: list[tuple[str, Callable[[Gradients], Gradients]]] = [
    ("has the rows of the weight gradient of layer 1 in reverse order", first(lambda w: w[::-1])),
    ("has the columns of the weight gradient of layer 1 shifted by 1", first(lambda w: np.roll(w, 1, axis=1))),
    ("has the rows of the weight gradient of layer 1 in the order 1, 3, 2, 4", first(lambda w: w[[0, 2, 1, 3]])),
    (
        "fills the weight gradient of layer 1 row by row with what comes column by column",
        first(lambda w: w.T.reshape(w.shape)),
    ),
    ("leaves row 2 of the weight gradient of layer 1 at zero", first(lambda w: w * np.array([[1], [0], [1], [1]]))),
    (
        "multiplies the units of the weight gradient of layer 1 by 1, 1/2, 3, 1",
        first(lambda w: w * np.array([[1], [0.5], [3], [1]])),
    ),
    ("multiplies the gradients of layer 2 by 2/3", lambda g: ([g[0][0], g[0][1] * 2 / 3], [g[1][0], g[1][1] * 2 / 3])),
    ("has the elements of the bias gradient of layer 1 shifted by 2", lambda g: (g[0], [np.roll(g[1][0], 2), g[1][1]])),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("words", "change"), CHANGES, ids=[words for words, _ in CHANGES])
def test_a_change_of_the_right_gradients_is_named(words: str, change: Callable[[Gradients], Gradients]) -> None:
    assert said([(case, shown(change(right(case)))) for case in cases()]) == [words]


def test_a_change_that_differs_from_case_to_case_is_none() -> None:
    """Read off the first case; the others refute it."""
    evidence = []
    for k, case in enumerate(cases()):
        change = first(partial(np.roll, shift=k, axis=1))
        evidence.append((case, shown(change(right(case)))))
    assert said(evidence) == []


@pytest.mark.usefixtures("slow")
def test_layers_in_each_other_s_place() -> None:
    evidence = []
    for case in cases((3, 3, 3)):
        weights, biases = right(case)
        evidence.append((case, shown((weights[::-1], biases[::-1]))))
    assert said(evidence) == ["has layer 1's gradients in layer 2 and has layer 2's gradients in layer 1"]


@pytest.mark.usefixtures("slow")
def test_one_sample_in_the_middle_for_all() -> None:
    evidence = []
    for case in cases():
        k = min(2, case.batch - 1)
        alone = replace(case, inputs=case.inputs[k : k + 1], targets=case.targets[k : k + 1])
        weights, biases = right(alone)
        scale = case.batch  # the mean is taken over all
        evidence.append((case, shown(([w / scale for w in weights], [b / scale for b in biases]))))
    evidence = [pair for pair in evidence if pair[0].batch != 2]
    assert said(evidence) == ["uses sample 3 alone for ∂E/∂o"]


@pytest.mark.usefixtures("slow")
def test_gradients_of_the_call_before_and_their_sum() -> None:
    probe = cases()
    answers = [right(case) for case in probe]
    stale = [(case, shown(answers[max(k - 1, 0)])) for k, case in enumerate(probe)]
    assert said(stale) == ["returns the gradients of the call before"]
    total: Gradients = ([0.0, 0.0], [0.0, 0.0])
    summed = []
    for case, (weights, biases) in zip(probe, answers, strict=True):
        total = (
            [a + b for a, b in zip(total[0], weights, strict=True)],
            [a + b for a, b in zip(total[1], biases, strict=True)],
        )
        summed.append((case, shown(total)))
    assert said(summed[1:]) == ["adds its gradients to those of the call before"]


@pytest.mark.usefixtures("slow")
def test_two_steps_for_one() -> None:
    evidence = []
    for case in cases():
        layers = run_in_turn([case, case], PLAIN, lambda again: NETWORK.rules()).updated or ()
        twice = replace(
            observe(case),
            updated_weights=tuple(np.array(layer.weights) for layer in layers),
            updated_biases=tuple(np.array(layer.biases)[0] for layer in layers),
        )
        evidence.append((case, shown_by(twice, updates=True)))
    assert [e.words for e in diagnose(evidence).explanations] == ["takes two steps instead of one"]


@pytest.mark.usefixtures("slow")
def test_samples_with_weights_of_their_own() -> None:
    weights = (1.0, 0.5, 2.0, 0.0)
    evidence = []
    for case in cases():
        total = None
        for k in range(case.batch):
            alone = replace(case, inputs=case.inputs[k : k + 1], targets=case.targets[k : k + 1])
            part = [w * weights[k] / case.batch for side in right(alone) for w in side]
            total = part if total is None else [a + b for a, b in zip(total, part, strict=True)]
        assert total is not None
        evidence.append((case, shown((total[:2], total[2:]))))
    assert said(evidence) == ["weights samples by 1, 1/2, 2, 0"]
