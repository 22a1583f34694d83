"""What is said of wrong numbers is what they determine: no constant of one number, nothing that wide bounds let in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("ml_dtypes")

from backproof.reference.backprop import RULES, Rules
from backproof.reference.case import Case, run
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.explanation import ARRAYS, Evidence, as_near, by_rules, reproduces, right
from backproof.reference.diagnosis.search import diagnose
from backproof.reference.diagnosis.steps.by_steps import wrong_formulas
from backproof.reference.judging.observation import Observation
from backproof.reference.numbers.arithmetic import Arithmetic, Matrix
from backproof.reference.numbers.arrays import numpy_dtype

RELU = Convention(("tanh", "relu"), "half_squared_error")
SIGMOIDS = Convention(("sigmoid", "sigmoid"), "half_squared_error")


def with_outputs(alive: int) -> list[Case]:
    """Probes of single samples: the one output is above zero in so many of them, and below in the others."""
    cases = []
    for number, case in enumerate(RELU.applied(c) for c in probes((3, 4, 1), (1,) * 6, "separate", "float64", 0)):
        output = replace(case.layers[1], biases=[8.0 if number < alive else -8.0])
        cases.append(replace(case, layers=(case.layers[0], output)))
    return cases


def seen(cases: list[Case], rules: Rules, dtype: str, convention: Convention) -> Evidence:
    """What the reference with these rules shows, rounded to the format."""
    evidence = []
    for case in cases:
        found = run(case, ARRAYS, convention.rules(rules)).backward
        weights = tuple(np.array(w).astype(numpy_dtype(dtype)) for w in found.weight_gradients)
        biases = tuple(np.array(b).reshape(-1).astype(numpy_dtype(dtype)) for b in found.bias_gradients)
        given = Observation("a", "", "cpu", dtype, weight_gradients=weights, bias_gradients=biases)
        evidence.append((replace(case, dtype=dtype), given))
    return evidence


def unheard_of(objective: Any, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂o by what no list has, so that one number of it is a multiple of any other."""
    return ar.elementwise(lambda o, t, fn: fn.exp(-o * o / 64) * (t + 3), outputs, targets)


def scaled(objective: Any, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
    """∂E/∂o times 0.7321."""
    return ar.elementwise(lambda e, fn: 0.7321 * e, RULES.output_error(objective, outputs, targets, ar))


@pytest.mark.usefixtures("slow")
def test_a_constant_that_one_number_shows_is_not_told() -> None:
    """One δ that is not zero is a multiple of any other, and its gradients are many numbers."""
    for wrong in (unheard_of, scaled):
        evidence = seen(with_outputs(1), replace(RULES, output_error=wrong), "float64", RELU)
        assert diagnose(evidence, RELU).explanations == ()


def test_a_constant_that_several_numbers_show_is_told() -> None:
    evidence = seen(with_outputs(4), replace(RULES, output_error=scaled), "float64", RELU)
    assert "0.7321" in diagnose(evidence, RELU).explanations[0].words
    evidence = seen(with_outputs(4), replace(RULES, output_error=unheard_of), "float64", RELU)
    assert diagnose(evidence, RELU).explanations == ()


def times(factor: float) -> Rules:
    """Weight gradients times a factor."""

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        return ar.elementwise(lambda g, fn: factor * g, RULES.weight_gradient(delta, inputs, ar))

    return replace(RULES, weight_gradient=weight_gradient)


def test_in_few_digits_what_is_told_is_as_near_as_its_own_roundings() -> None:
    cases = [SIGMOIDS.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "bfloat16", 0)]
    evidence = seen(cases, times(2.0), "bfloat16", SIGMOIDS)
    assert as_near(by_rules(lambda _: times(2.0), SIGMOIDS), evidence)
    assert not as_near(by_rules(lambda _: times(3.0), SIGMOIDS), evidence)
    assert not as_near(right(SIGMOIDS), evidence)
    for explanation in diagnose(evidence, SIGMOIDS).explanations:
        assert explanation.prediction is not None
        assert reproduces(explanation.prediction, evidence)
        assert as_near(explanation.prediction, evidence)


def slope_is(formula: Any) -> Rules:
    """δ of hidden layers by another slope, of z and a."""

    def hidden_delta(layer: Any, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        return ar.elementwise(lambda z, a, e, fn: e * formula(z, a), z, a, error)

    return replace(RULES, hidden_delta=hidden_delta)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("slope", "words"), [(lambda z, a: z * z, "z²"), (lambda z, a: a * a, "a²")])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_z_is_told_from_a_where_something_below_zero_shows_it(slope: Any, words: str, dtype: str) -> None:
    """Of ReLU they are the same above: there either would be said of both, and one would be false of other data."""
    relu = Convention(("relu", "sigmoid"), "half_squared_error")
    cases = [relu.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", dtype, 0)]
    told = diagnose(seen(cases, slope_is(slope), dtype, relu), relu).explanations
    assert words in told[0].words
    above = [replace(c, layers=(replace(c.layers[0], biases=[16.0] * 4), c.layers[1])) for c in cases]
    assert diagnose(seen(above, slope_is(slope), dtype, relu), relu).explanations == ()


def test_a_formula_that_two_numbers_of_few_digits_show_is_not_told() -> None:
    """One output alive in one sample, and of the hidden units two: of a million products, many give two numbers."""
    net = Convention(("sigmoid", "relu"), "half_squared_error")
    for dtype, told in (("float64", True), ("float16", False)):
        cases = []
        for number, probe in enumerate(probes((3, 2, 1), (1,) * 6, "separate", dtype, 0)):
            case = net.applied(probe)
            output = replace(case.layers[1], biases=[8.0 if number == 0 else -8.0])
            cases.append(replace(case, layers=(case.layers[0], output)))
        wrong = slope_is(lambda z, a: a * a * (1 + a))
        assert bool(diagnose(seen(cases, wrong, dtype, net), net, [wrong_formulas]).explanations) is told


def decayed(constant: float) -> Rules:
    """Weight gradients with a constant times the weights."""

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        weights = ar.lift([[0.75, -0.5, 0.25], [0.5, 0.75, -1.0], [1.0, -0.25, 0.5], [-0.75, 1.0, 0.5]])
        gradient = RULES.weight_gradient(delta, inputs, ar)
        same = ar.shape(gradient) == ar.shape(weights)
        return ar.elementwise(lambda g, w, fn: g + constant * w, gradient, weights) if same else gradient

    return replace(RULES, weight_gradient=weight_gradient)


def test_a_fitted_constant_is_told_in_the_digits_that_it_has() -> None:
    """What it is added to hides its last digits, which show where it is added to nothing."""
    constant, weights = -0.03852334969, [[0.75, -0.5, 0.25], [0.5, 0.75, -1.0], [1.0, -0.25, 0.5], [-0.75, 1.0, 0.5]]
    net = Convention(("tanh", "relu"), "half_squared_error")

    def asked(bias: float, targets: float, seed: int) -> Evidence:
        cases = []
        for probe in probes((3, 4, 1), (1,) * 6, "separate", "float32", seed):
            case = net.applied(probe)
            layers = (replace(case.layers[0], weights=weights), replace(case.layers[1], biases=[bias]))
            cases.append(replace(case, layers=layers, targets=[[targets]]))
        return seen(cases, decayed(constant), "float32", net)

    (told,) = diagnose(asked(8.0, 64.0, 0), net, [wrong_formulas]).explanations
    assert "−0.0385" in told.words
    assert "−0.03852334969" not in told.words
    dead = asked(-8.0, 0.0, 1)
    assert told.prediction is not None
    assert reproduces(told.prediction, dead)
    assert not reproduces(by_rules(lambda _: decayed(-0.0386), net), dead)
