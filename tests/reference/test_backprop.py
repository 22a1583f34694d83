"""The chain rule on plain floats against results worked by hand, exact fractions and complex steps."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace
from fractions import Fraction
from itertools import product

import pytest
from backproof.reference.activations import ACTIVATIONS
from backproof.reference.backprop import RULES
from backproof.reference.case import Case, Dense, run
from backproof.reference.cases import XOR_INPUTS, XOR_TARGETS
from backproof.reference.losses import LOSSES
from backproof.reference.numbers.arithmetic import Arithmetic, Curve, Matrix
from backproof.reference.numbers.plain import PLAIN, FloatFunctions, PlainArithmetic
from standard import CASES


def test_one_linear_unit_by_hand() -> None:
    """2-1, identity: o = 2·3 − 1·4 + 0.5 = 2.5, y = 1.5; δ = 1, ∂E/∂w = δ·x, ∂E/∂b = δ."""
    case = Case("2-1", (Dense(((2.0, -1.0),), (0.5,), "identity"),), ((3.0, 4.0),), ((1.5,),), learning_rate=0.25)
    step = run(case, PLAIN)
    assert step.forward.outputs == [[2.5]]
    assert step.backward.loss == [[0.5]]
    assert step.backward.deltas == ([[1.0]],)
    assert step.backward.weight_gradients == ([[3.0, 4.0]],)
    assert step.backward.bias_gradients == ([[1.0]],)
    assert step.updated is not None
    assert step.updated[0].weights == [[2.0 - 0.25 * 3.0, -1.0 - 0.25 * 4.0]]
    assert step.updated[0].biases == [[0.25]]


def test_two_two_one_relu_by_hand() -> None:
    """2-2-1: z = (1·1 + 2·2, 3·1 − 2·2) = (5, −1), a = (5, 0), o = 2·5 − 3·0 = 10, y = 7, δ = 3.

    Backwards: ∂E/∂a = 3·(2, −3) = (6, −9), relu′ = (1, 0), so δ₁ = (6, 0) and ∂E/∂W₁ = δ₁ᵀx = ((6, 12), (0, 0)).
    """
    layers = (Dense(((1.0, 2.0), (3.0, -2.0)), (0.0, 0.0), "relu"), Dense(((2.0, -3.0),), (0.0,), "identity"))
    step = run(Case("2-2-1", layers, ((1.0, 2.0),), ((7.0,),)), PLAIN)
    assert step.forward.pre_activations == ([[5.0, -1.0]], [[10.0]])
    assert step.forward.activations == ([[5.0, 0.0]], [[10.0]])
    assert step.backward.loss == [[4.5]]
    assert step.backward.deltas == ([[6.0, 0.0]], [[3.0]])
    assert step.backward.weight_gradients == ([[6.0, 12.0], [0.0, 0.0]], [[15.0, 0.0]])
    assert step.backward.bias_gradients == ([[6.0, 0.0]], [[3.0]])
    assert step.updated is None


def test_two_two_one_sigmoid_by_hand() -> None:
    """2-2-1 with z = 0 everywhere: σ = ½, σ′ = ¼. o = ½, y = 1, δ₂ = −½·¼ = −⅛, δ₁ = −⅛·(1, −1)·¼ = (−1/32, 1/32)."""
    layers = (Dense(((1.0, -1.0), (-2.0, 2.0)), None, "sigmoid"), Dense(((1.0, -1.0),), None, "sigmoid"))
    step = run(Case("2-2-1", layers, ((1.0, 1.0),), ((1.0,),)), PLAIN)
    assert step.forward.outputs == [[0.5]]
    assert step.backward.deltas == ([[-1 / 32, 1 / 32]], [[-1 / 8]])
    assert step.backward.weight_gradients == ([[-1 / 32, -1 / 32], [1 / 32, 1 / 32]], [[-1 / 16, -1 / 16]])
    assert step.backward.bias_gradients == (None, None)


def test_mean_divides_by_the_number_of_samples() -> None:
    summed = Case("xor", (Dense(((0.5, -0.25),), (0.125,), "identity"),), XOR_INPUTS, XOR_TARGETS)
    one, other = run(summed, PLAIN).backward, run(replace(summed, reduction="mean"), PLAIN).backward
    assert other.loss == [[one.loss[0][0] / 4]]
    assert other.weight_gradients == ([[g / 4 for g in one.weight_gradients[0][0]]],)


@pytest.mark.parametrize("hidden", ["identity", "relu"])
def test_fractions_agree_exactly_with_the_definition_of_the_derivative(hidden: str) -> None:
    """On `Fraction`, a quadratic in one weight has (E(w + h) − E(w − h)) / 2h as its exact derivative."""
    exact = PlainArithmetic(Fraction, functions=FloatFunctions())
    layers = (
        Dense(((0.5, -1.25), (2.0, 0.75), (-1.5, 0.5)), (0.25, -0.5, 1.0), hidden),
        Dense(((1.5, -0.75, 2.0), (0.5, 1.0, -0.25)), None, "identity"),
    )
    case = Case("exact", layers, ((1.0, 2.0), (-0.5, 0.25), (3.0, -1.0)), ((1.0, 0.0), (0.5, -1.0), (2.0, 2.0)))
    gradients = run(case, exact).backward.weight_gradients
    h = 2.0**-10  # small enough that no relu changes side, exact in binary
    for k, layer in enumerate(layers):
        for i, j in product(range(len(layer.weights)), range(len(layer.weights[0]))):
            above, below = (run(_moved(case, k, i, j, d), exact).backward.loss[0][0] for d in (h, -h))
            assert isinstance(above, Fraction)
            assert gradients[k][i][j] == (above - below) / Fraction(2 * h)


def _moved(case: Case, layer: int, unit: int, source: int, by: float) -> Case:
    """The case with one weight moved."""
    weights = [list(row) for row in case.layers[layer].weights]
    weights[unit][source] += by
    layers = list(case.layers)
    layers[layer] = replace(layers[layer], weights=weights)
    return replace(case, layers=tuple(layers), dtype="float64")


class ComplexFunctions:
    """Elementary functions continued to the complex plane near the real line: comparisons look at the real part."""

    def constant(self, value: float) -> complex:
        return value

    def pi(self) -> complex:
        return cmath.pi

    def exp(self, x: complex) -> complex:
        return cmath.exp(x)

    def expm1(self, x: complex) -> complex:
        return complex(math.expm1(x.real), x.imag * math.exp(x.real))  # first order in the step, which is 1e-100

    def erf(self, x: complex) -> complex:
        return complex(math.erf(x.real), x.imag * 2 / math.sqrt(math.pi) * math.exp(-(x.real**2)))

    def activated(self, activation: Curve, z: complex) -> complex:
        value: complex = activation.value(z, self)
        return value

    def tanh(self, x: complex) -> complex:
        return cmath.tanh(x)

    def sqrt(self, x: complex) -> complex:
        return cmath.sqrt(x)

    def log(self, x: complex) -> complex:
        return cmath.log(x)

    def either(self, first: complex, second: complex) -> complex:
        return first

    def by_way_of(self, result: complex, step: complex) -> complex:
        return result

    def undivided(self, quotient: complex, divisor: float) -> complex:
        return quotient

    def log1p(self, x: complex) -> complex:
        return complex(math.log1p(x.real), x.imag / (1 + x.real))

    def absolute(self, x: complex) -> complex:
        return x if x.real >= 0 else -x

    def maximum(self, x: complex, y: complex) -> complex:
        return x if complex(x).real >= complex(y).real else y

    def minimum(self, x: complex, y: complex) -> complex:
        return x if complex(x).real <= complex(y).real else y

    def step(self, x: complex) -> int:
        return 1 if x.real > 0 else 0


STEP = 1e-100  # complex-step differentiation has no cancellation, so the step may be as small as one likes
KINKED = "relu-at-zero"  # where slopes may be chosen differently; the judge's tests have it
SMALL = [
    case
    for case in CASES.values()
    if case.dtype == "float64" and case.batch * sum(case.sizes) <= 80 and case.name != KINKED and "1e" not in case.name
]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_every_gradient_agrees_with_the_complex_step(case: Case) -> None:
    """∂E/∂w = Im E(w + ih) / h (Squire & Trapp, SIAM Review 40 (1998)).

    Both are float64 computations of the same derivative, so each may be off by the derived tolerance, and they may
    differ by two.
    """
    pytest.importorskip("numpy")
    from backproof.reference.judging.expected import expectations
    from backproof.reference.judging.observation import Place
    from backproof.reference.numbers.precision import FLOAT64

    complex_numbers = PlainArithmetic(complex, functions=ComplexFunctions())
    backward = run(case, PLAIN).backward
    expected = expectations(case, FLOAT64)
    for k, layer in enumerate(case.layers):
        tolerance = expected[Place("weight_gradients", k)].tolerance
        for i, j in product(range(len(layer.weights)), range(len(layer.weights[0]))):
            lifted = _ImaginaryStep(complex_numbers, k, i, j)
            derivative = run(case, lifted).backward.loss[0][0].imag / STEP
            assert abs(derivative - backward.weight_gradients[k][i][j]) <= 2 * tolerance[i, j]


class _ImaginaryStep(PlainArithmetic):
    """Complex arithmetic that moves one weight by i·STEP as the network's weights are lifted."""

    def __init__(self, base: PlainArithmetic, layer: int, unit: int, source: int) -> None:
        super().__init__(base.number, base.functions)
        self.at = (layer, unit, source)
        self.lifted = 0

    def weighted_sums(self, inputs: Matrix, weights: Matrix, biases: Matrix | None) -> Matrix:
        layer, unit, source = self.at
        if self.lifted == layer:
            weights = [list(row) for row in weights]
            weights[unit][source] += 1j * STEP
        self.lifted += 1
        return super().weighted_sums(inputs, weights, biases)


def test_a_replaced_rule_replaces_that_step_and_nothing_else() -> None:
    """A fault is the right algorithm with one rule replaced: here the sign of the update."""

    def uphill(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        return ar.elementwise(lambda w, g, fn: w + g * learning_rate, old, gradient)

    case = next(iter(CASES.values()))
    right, wrong = run(case, PLAIN), run(case, PLAIN, replace(RULES, update=uphill))
    assert wrong.backward == right.backward
    assert right.updated is not None
    assert wrong.updated is not None
    rate, gradient = case.learning_rate, right.backward.weight_gradients[0][0][1]
    assert rate is not None
    assert wrong.updated[0].weights[0][1] == case.layers[0].weights[0][1] + rate * gradient
    assert right.updated[0].weights[0][1] == case.layers[0].weights[0][1] - rate * gradient


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_hold_at_the_ends_of_the_number_line(name: str) -> None:
    """No overflow, no NaN, and the limits that the textbooks give."""
    limits = {"identity": (-1e4, 1e4), "sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, 1e4), "softplus": (0, 1e4)}
    limits["leaky_relu"] = (-100.0, 1e4)
    value = ACTIVATIONS[name].value
    assert (value(-1e4, PLAIN.functions), value(1e4, PLAIN.functions)) == limits[name]


def test_losses_by_hand() -> None:
    """Two samples, two outputs. Halves and quarters: sums are exact, and the logarithms are those of the same numbers."""
    o, t = [[0.5, 0.25], [0.75, 0.5]], [[1.0, 0.0], [1.0, 1.0]]
    log = math.log
    expected = {
        "half_squared_error": [[0.125, 0.03125], [0.03125, 0.125]],
        "squared_error": [[0.25, 0.0625], [0.0625, 0.25]],
        "binary_cross_entropy": [[-log(0.5), -log(0.75)], [-log(0.75), -log(0.5)]],
        "softmax_cross_entropy": [[-log(0.5), 0.0], [-log(0.75), -log(0.5)]],
    }
    for name, terms in expected.items():
        assert LOSSES[name].terms(o, t, PLAIN) == terms


@pytest.mark.parametrize(
    ("after", "activation"), [("binary_cross_entropy", "sigmoid"), ("softmax_cross_entropy", "softmax")]
)
def test_a_loss_from_logits_is_the_loss_after_the_activation(after: str, activation: str) -> None:
    """In balls of 256 bits: two routes to one number must give balls that overlap, far narrower than any float."""
    pytest.importorskip("flint")
    from backproof.reference.judging.truth import certified

    layers = (Dense(((2.0, -1.0), (0.5, 0.25), (-1.5, 1.0)), None, activation),)
    case = Case(after, layers, ((1.0, 0.5), (-0.25, 2.0)), ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), loss=after)
    logits = replace(case, layers=(replace(layers[0], activation="identity"),), loss=f"{after}_from_logits")
    one, other = certified(case).backward, certified(logits).backward
    assert one.loss.overlaps(other.loss)
    assert one.deltas[0].overlaps(other.deltas[0])
    assert all(ball.rad() < 2.0**-200 for ball in (*one.deltas[0].entries(), *other.deltas[0].entries()))
