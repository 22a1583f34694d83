"""What is said of wrong numbers is proved by numbers that it was not read off, and is nearer to them than the truth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("ml_dtypes")

from backproof.reference.backprop import RULES, Rules
from backproof.reference.case import Case, run
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.explanation import ARRAYS, Evidence, by_rules, nearer, reproduces, right
from backproof.reference.diagnosis.faults import FAULTS, Fault, faulty_rules
from backproof.reference.diagnosis.fitting import scaled_step
from backproof.reference.diagnosis.scope import Edit
from backproof.reference.diagnosis.search import diagnose, faults_beside_formulas, single_faults, wrong_formulas
from backproof.reference.diagnosis.several_samples import cases_of, given
from backproof.reference.diagnosis.single_samples import NEAR
from backproof.reference.diagnosis.telling import DIGITS, digits_of, shown_by_enough
from backproof.reference.judging.observation import Observation
from backproof.reference.numbers.arithmetic import Arithmetic, Matrix
from backproof.reference.numbers.arrays import numpy_dtype

RELU = Convention(("tanh", "relu"), "half_squared_error")


def with_outputs(alive: int, units: int = 1) -> list[Case]:
    """Probes of single samples, of which the outputs of so many are above zero, and of the others below."""
    cases = []
    for number, case in enumerate(RELU.applied(c) for c in probes((3, 4, units), (1,) * 6, "separate", "float64", 0)):
        output = replace(case.layers[1], biases=[8.0 if number < alive else -8.0] * units)
        cases.append(replace(case, layers=(case.layers[0], output)))
    return cases


def seen(cases: list[Case], rules: Any, dtype: str = "float64", convention: Convention = RELU) -> Evidence:
    """What the reference with these rules shows, rounded to the format."""
    evidence = []
    for case in cases:
        with np.errstate(all="ignore"):
            found = run(case, ARRAYS, convention.rules(rules(case))).backward
        stored = numpy_dtype(dtype)
        weights = tuple(np.array(w).astype(stored) for w in found.weight_gradients)
        biases = tuple(np.array(b).reshape(-1).astype(stored) for b in found.bias_gradients if b is not None)
        given = Observation("a", "", "cpu", dtype, weight_gradients=weights, bias_gradients=biases)
        evidence.append((replace(case, dtype=dtype), given))
    return evidence


def unheard_of(_: Case) -> Rules:
    """∂E/∂o by what no list has, so that one number of it is a multiple of any other."""

    def output_error(objective: Any, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        return ar.elementwise(lambda o, t, fn: fn.exp(-o * o / 64) * (t + 3), outputs, targets)

    return replace(RULES, output_error=output_error)


def scaled(_: Case) -> Rules:
    """∂E/∂o times 0.7321."""

    def output_error(objective: Any, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        return ar.elementwise(lambda e, fn: 0.7321 * e, RULES.output_error(objective, outputs, targets, ar))

    return replace(RULES, output_error=output_error)


def test_a_constant_that_one_number_shows_is_not_told() -> None:
    """One δ that is not zero is a multiple of any formula that is not zero there; its gradients are many numbers."""
    assert diagnose(seen(with_outputs(1), unheard_of), RELU).explanations == ()
    assert diagnose(seen(with_outputs(1), scaled), RELU).explanations == ()


def test_a_constant_that_several_numbers_show_is_told() -> None:
    found = diagnose(seen(with_outputs(4), scaled), RELU).explanations
    assert "0.7321" in found[0].words
    assert diagnose(seen(with_outputs(4), unheard_of), RELU).explanations == ()


@pytest.mark.parametrize(("alive", "enough"), [(0, False), (1, False), (2, True), (6, True)])
def test_digits_are_counted_beyond_the_number_that_a_constant_is_read_off(alive: int, enough: bool) -> None:
    edit = scaled_step("output_delta", 1, 0.7321, "δ")
    cases = cases_of(seen(with_outputs(alive), scaled), RELU, NEAR)
    shown = min(alive, len(cases))
    assert (digits_of(edit, list(given(cases, (edit,), RELU))) >= DIGITS) is enough
    assert shown_by_enough((edit,), cases, RELU) == ((edit,) if enough else ())
    assert shown >= min(alive, 2)


def test_what_changes_nothing_is_left_out_of_what_is_told() -> None:
    edit = scaled_step("output_delta", 1, 0.7321, "δ")
    nothing = Edit("bias_gradient", 0, "does nothing", lambda scope: scope.right())
    cases = cases_of(seen(with_outputs(4), scaled), RELU, NEAR)
    assert shown_by_enough((nothing, edit), cases, RELU) == (edit,)


# ------------------------------------------------------------------------------------------ nearer than the truth


NETWORK = Convention(("sigmoid", "sigmoid"), "half_squared_error")
CASES = [NETWORK.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "bfloat16", 0)]


def doubled(*layers: int) -> Any:
    """Weight gradients of these layers times two."""

    def rules(case: Case) -> Rules:
        k = iter(range(len(case.layers) - 1, -1, -1))

        def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
            factor = 2.0 if next(k) in layers else 1.0
            return ar.elementwise(lambda g, fn: factor * g, RULES.weight_gradient(delta, inputs, ar))

        return replace(RULES, weight_gradient=weight_gradient)

    return rules


@pytest.mark.parametrize(
    ("said", "holds"),
    [((0,), True), ((), False), ((1,), False), ((0, 1), False)],
    ids=["it", "nothing", "other", "more"],
)
def test_an_explanation_is_nearer_than_the_truth_in_every_array(said: tuple[int, ...], holds: bool) -> None:
    evidence = seen(CASES, doubled(0), "bfloat16", NETWORK)
    assert nearer(by_rules(doubled(*said), NETWORK), right(NETWORK), evidence) is holds


def test_bounds_that_hold_everything_prove_nothing() -> None:
    """Where formats have few digits, what a catalogued fault gives may hold numbers that it does not come near to."""
    evidence = seen(CASES, doubled(0), "bfloat16", NETWORK)
    for explanation in diagnose(evidence, NETWORK).explanations:
        assert explanation.prediction is not None
        assert reproduces(explanation.prediction, evidence)
        assert nearer(explanation.prediction, right(NETWORK), evidence)


# ------------------------------------------------------------------------------------------ faults and formulas


COVERED = (
    ((3, 4, 2), Convention(("sigmoid", "sigmoid"), "half_squared_error", "mean")),
    ((2, 3, 1), Convention(("tanh", "identity"), "squared_error")),
    ((3, 3, 3, 3), Convention(("relu", "tanh", "softmax"), "softmax_cross_entropy", "mean")),
    ((4, 3, 3), Convention(("leaky_relu", "sigmoid"), "binary_cross_entropy")),
)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_formulas_give_every_fault_that_is_not_tried_after_them(fault: Fault) -> None:
    for sizes, convention in COVERED:
        cases = [convention.applied(case) for case in probes(sizes, (4, 1, 2, 1), "separate", "float64", 0)]
        evidence = seen(cases, partial(faulty_rules, fault), convention=convention)
        if diagnose(evidence, convention, [single_faults]).explanations:
            assert diagnose(evidence, convention, [wrong_formulas, faults_beside_formulas]).explanations, sizes
