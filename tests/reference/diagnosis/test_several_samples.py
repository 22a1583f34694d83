"""What only several samples show is found by running the reference with what single samples showed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.case import Case, run
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.explanation import ARRAYS, Evidence
from backproof.reference.diagnosis.steps.fitting import edit_of
from backproof.reference.diagnosis.steps.gradient_formulas import over_samples
from backproof.reference.diagnosis.steps.scope import Edit, Scope, edited
from backproof.reference.diagnosis.steps.several_samples import ALONE, FEW, RUNS, cases_of, completed, consistent
from backproof.reference.diagnosis.steps.single_samples import NEAR
from backproof.reference.diagnosis.steps.vocabulary import Entry, clipped_right
from backproof.reference.judging.observation import Observation

NETWORK = Convention(("tanh", "sigmoid"), "half_squared_error")
CASES = [NETWORK.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "float64", 0)]
STEPS = [("output_error", 1), ("output_delta", 1), ("hidden_delta", 0), ("weight_gradient", 0), ("bias_gradient", 1)]
ENTRIES = [(entry, layer) for step, layer in STEPS for entry in over_samples(step)]


def shown(edits: Sequence[Edit], cases: Sequence[Case] = CASES, dtype: str = "float64") -> Evidence:
    """What the reference with these edits shows."""
    evidence = []
    for case in cases:
        found = run(case, ARRAYS, NETWORK.rules(edited(edits)(case))).backward
        weights = tuple(np.array(w) for w in found.weight_gradients)
        biases = tuple(None if b is None else np.array(b).reshape(-1) for b in found.bias_gradients)
        given = Observation("a", "", "cpu", dtype, weight_gradients=weights, bias_gradients=biases)
        evidence.append((case, given))
    return evidence


def found(evidence: Evidence, begun: tuple[Edit, ...] = ()) -> tuple[Edit, ...] | None:
    return next(completed(begun, cases_of(evidence, NETWORK, NEAR), NETWORK), None)


@pytest.mark.sampled(12)
@pytest.mark.parametrize(("entry", "layer"), ENTRIES, ids=[f"{e.step}: {e.words}" for e, _ in ENTRIES])
def test_what_is_left_out_or_divided_by_is_found(entry: Entry, layer: int) -> None:
    planted = (edit_of(entry, layer, 0.0),)
    evidence = shown(planted)
    cases = cases_of(evidence, NETWORK, NEAR)
    if consistent((), cases, NETWORK):
        pytest.skip("it changes nothing here")
    edits = found(evidence)
    assert edits is not None
    assert consistent(edits, cases, NETWORK)
    assert len(edits) == 1
    assert edits[0].layer == layer


def test_what_is_right_needs_no_edit() -> None:
    assert found(shown(())) == ()


def test_two_mistakes_in_two_layers_are_found_the_highest_first() -> None:
    of_weights = list(over_samples("weight_gradient"))
    planted = (edit_of(of_weights[0], 1, 0.0), edit_of(of_weights[0], 0, 0.0))
    edits = found(shown(planted))
    assert edits is not None
    assert [(edit.step, edit.layer) for edit in edits] == [("weight_gradient", 1), ("weight_gradient", 0)]
    assert {edit.words for edit in edits} == {of_weights[0].words}


def test_what_single_samples_showed_is_kept_and_added_to() -> None:
    first = edit_of(next(iter(over_samples("bias_gradient"))), 0, 0.0)
    second = edit_of(next(iter(over_samples("weight_gradient"))), 1, 0.0)
    edits = found(shown((first, second)), (first,))
    assert edits is not None
    assert edits[0] is first
    assert [(edit.step, edit.layer) for edit in edits[1:]] == [("weight_gradient", 1)]


def test_a_limit_that_no_single_sample_reaches_is_found() -> None:
    deltas = {case.name: np.abs(run(case, ARRAYS).backward.deltas[0]).max() for case in CASES}
    alone = max(deltas[case.name] for case in CASES if case.batch == 1)
    # single samples with errors a quarter as large stay below the limit that several reach
    limit = float(f"{max(deltas[case.name] for case in CASES if case.batch > 1) * 0.6:.2g}")
    small = [
        replace(case, targets=np.asarray(run(case, ARRAYS).forward.outputs) * (1 - 0.01 * min(1.0, limit / alone)))
        if case.batch == 1
        else case
        for case in CASES
    ]
    planted = Edit("hidden_delta", 0, "clips δ", lambda scope: clipped_right(scope, limit))
    evidence = shown((planted,), small)
    assert not consistent((), cases_of(evidence, NETWORK, NEAR), NETWORK)
    edits = found(evidence)
    assert edits is not None
    assert [(edit.step, edit.layer) for edit in edits] == [("hidden_delta", 0)]
    assert f"{limit:g}" in edits[0].words


def odd_slope(scope: Scope, power: float) -> Any:
    _, z, a, error = scope.arguments
    return scope.ar.elementwise(lambda e, a, z, fn: e * fn.exp(a * z) ** power, error, a, z)


def test_what_one_single_sample_refutes_is_not_looked_for_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    import backproof.reference.diagnosis.steps.several_samples as searched

    asked: list[int] = []
    edited_deltas = searched.edited_deltas

    def watched(views: Sequence[Any], *rest: Any) -> Any:
        asked.append(len(views))
        return edited_deltas(views, *rest)

    monkeypatch.setattr(searched, "edited_deltas", watched)
    begun = edit_of(next(iter(over_samples("bias_gradient"))), 1, 0.0)
    evidence = shown((begun, Edit("hidden_delta", 0, "odd", partial(odd_slope, power=0.7))))
    assert found(evidence, (begun,)) is None
    assert asked
    assert set(asked) == {1}
    assert len(asked) <= RUNS


def test_the_cases_are_few_one_of_each_batch_size_first() -> None:
    cases = cases_of(shown(()), NETWORK, NEAR)
    assert [case.batch for case, _ in cases] == [4, 2, 1, 1]
    many = [NETWORK.applied(c) for c in probes((3, 4, 2), (4, 4, 2, 1, 4, 1, 1, 1, 1), "separate", "float64", 1)]
    batches = [case.batch for case, _ in cases_of(shown((), many), NETWORK, NEAR)]
    assert sorted(batches[:2]) == [2, 4]
    assert batches[2:] == [4, 1, 1]
    assert len(batches) == FEW + ALONE


def test_formats_in_which_nothing_shows_are_not_searched() -> None:
    assert cases_of(shown((), dtype="float16"), NETWORK, NEAR) == []
