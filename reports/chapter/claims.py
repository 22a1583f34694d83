"""The chapter's claims about the two phases, run in plain Python and in each framework that is here.

A claim holds, holds with a limit, or is too strong; the numbers stand beside it. Seeds are fixed. Those about learning
are in `claims_of_learning.py`, and `ledger.py` shows them all.
"""

from __future__ import annotations

import cmath
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np

from ...reference.backprop import backward, forward
from ...reference.case import Case, Dense, layers_of, run, with_ones
from ...reference.cases import XOR_INPUTS
from ...reference.judging import Observation, Place, Verdict, expectations, judge, observed
from ...reference.numbers import FLOAT64, PLAIN, TRUTH, Bounded, BoundedArithmetic, FloatFunctions, PlainArithmetic
from ...reference.worked_example import AS_PRINTED, PRINTED, SIGNS_RESTORED, as_the_print_shows, worked_example
from .entry import (
    HOLDS,
    LUCKY,
    TOO_STRONG,
    Entry,
    Frameworks,
    chain,
    right,
    xor_case,
)

# ------------------------------------------------------------------------------------------ the claims


def worked(frameworks: Frameworks) -> Entry:
    rows: list[tuple[str, ...]] = [("implementation", "as printed", "signs restored", "the print")]
    printed = (*PRINTED.hidden, PRINTED.output)
    agree = True
    for adapter in frameworks.adapters:
        shown = []
        for reading in (AS_PRINTED, SIGNS_RESTORED):
            case = worked_example(reading)
            agree &= judge(case, adapter.run(case)).verdict is Verdict.AGREES
            step = as_the_print_shows(run(case, PLAIN))
            shown.append(" ".join((*step.hidden, step.output)))
        rows.append((adapter.name, *shown, " ".join(printed)))
    same = rows[1][2] == rows[1][3] and agree
    because = "with the minus signs that the print lost, every printed digit comes out, truncated and not rounded"
    return Entry(
        1,
        "Forward is dot products, then activations; the worked example's numbers",
        HOLDS if same else TOO_STRONG,
        because,
        tuple(rows),
    )


def bias_forms(frameworks: Frameworks) -> Entry:
    separate = replace(xor_case(1), learning_rate=0.5)
    first, last = separate.layers
    assert first.biases is not None
    rows: list[tuple[str, ...]] = [
        (
            "implementation",
            "column",
            "largest difference in outputs",
            "gradients",
            "updates",
            "of what roundings may do",
        )
    ]
    most = 0.0
    for position in ("first", "last"):
        at = 0 if position == "first" else 2
        weights = np.insert(np.array(first.weights), at, first.biases, axis=1).tolist()
        layers = (Dense(weights, None, "sigmoid"), last)
        column = replace(separate, layers=layers, inputs=with_ones(XOR_INPUTS, position))
        tolerances = [
            _joined({place: e.tolerance for place, e in expectations(case, FLOAT64).items()}, at)
            for case in (separate, column)
        ]
        for adapter in frameworks.adapters:
            one, other = (_joined(dict(observed(adapter.run(case))), at) for case in (separate, column))
            apart = [np.abs(a - b) for a, b in zip(one, other, strict=True)]
            part = max(float((d / (t + u)).max()) for d, t, u in zip(apart, *tolerances, strict=True))
            most = max(most, part)
            rows.append((adapter.name, position, *(f"{d.max():.1e}" for d in apart), f"{part:.0%}"))
    return Entry(
        2,
        "A column of ones and a separate bias variable are the same, first or last",
        HOLDS if most <= 1 else TOO_STRONG,
        f"the largest difference is {most:.0%} of what the two ways' roundings may add up to",
        tuple(rows),
    )


def _joined(arrays: Mapping[Place, Any], at: int) -> list[Any]:
    """Outputs, and the first layer's gradients and updates with those of its biases, if separate, as column `at`."""
    joined = [np.asarray(arrays[Place("activations", 1)])]
    for of_weights, of_biases in (("weight_gradients", "bias_gradients"), ("updated_weights", "updated_biases")):
        whole, biases = np.asarray(arrays[Place(of_weights, 0)]), arrays.get(Place(of_biases, 0))
        joined.append(whole if biases is None else np.insert(whole, at, np.ravel(biases), axis=1))
    return joined


def _part(got: Any, formula: Bounded, case: Case) -> float:
    """How far a first layer's gradient is from another formula for it, in units of what roundings may do to the two."""
    may_be = formula.errors[TRUTH] + expectations(case, FLOAT64)[Place("weight_gradients", 0)].tolerance
    return float((np.abs(np.asarray(got) - formula.value) / may_be).max())


def hidden_layer_needed(frameworks: Frameworks) -> Entry:
    rows: list[tuple[str, ...]] = [("implementation", "2-1: right of 4", "2-2-1: right of 4")]
    plain, deep = replace(xor_case(3, sizes=(2, 1)), learning_rate=1.0), replace(xor_case(LUCKY), learning_rate=2.0)
    fine = True
    for adapter, one, two in zip(
        frameworks.adapters,
        frameworks.train(plain, "delta rule", 1500),
        frameworks.train(deep, "delta rule", 3000),
        strict=True,
    ):
        counts = right(plain, one.layers), right(deep, two.layers)
        fine &= counts[0] <= 3 and counts[1] == 4
        rows.append((adapter.name, str(counts[0]), str(counts[1])))
    because = (
        "without one, b < 0, w₁ + b > 0 and w₂ + b > 0 would be needed, hence w₁ + w₂ + b > −b > 0, where < 0 is asked: no weights do; "
        "training 2-1 fails, 2-2-1 succeeds"
    )
    return Entry(3, "XOR needs a hidden layer; 2-2-1 is enough", HOLDS if fine else TOO_STRONG, because, tuple(rows))


def changes_travel(frameworks: Frameworks) -> Entry:
    rows: list[tuple[str, ...]] = [("implementation", "hidden 1", "hidden 2", "output")]
    before, after = chain((0.5, -1.0, 2.0)), chain((0.5 + 2**-10, -1.0, 2.0))
    roundings = [
        sum(float(expectations(case, FLOAT64)[Place("activations", k)].tolerance[0, 0]) for case in (before, after))
        for k in range(3)
    ]
    fine = True
    for adapter in frameworks.adapters:
        one, other = adapter.run(before), adapter.run(after)
        moved = [
            float(np.asarray(b)[0, 0] - np.asarray(a)[0, 0])
            for a, b in zip(one.activations or (), other.activations or (), strict=True)
        ]
        fine &= all(abs(d) > r for d, r in zip(moved, roundings, strict=True))
        rows.append((adapter.name, *(f"{d:+.2e}" for d in moved)))
    rows.append(("what roundings may do", *(f"{r:.1e}" for r in roundings)))
    return Entry(
        4,
        "A change of w₁ reaches hidden 1, hidden 2 and the output",
        HOLDS if fine else TOO_STRONG,
        "w₁ + 2⁻¹⁰ moves all three, and further than roundings could",
        tuple(rows),
    )


def product_of_factors(frameworks: Frameworks) -> Entry:
    case = chain((0.5, -1.0, 2.0))
    passed = run(case, BoundedArithmetic(FLOAT64)).forward
    slopes = [a * (1 - a) for a in passed.activations]
    to_output = slopes[2] * 2.0 * slopes[1] * -1.0 * slopes[0] * 1.0  # ∂o/∂net₃ · w₃ · ∂h₂/∂net₂ · w₂ · ∂h₁/∂net₁ · x
    product = passed.outputs * to_output  # ∂E/∂o = o − t, and t = 0
    value = float(product.value[0, 0])
    rows: list[tuple[str, ...]] = [
        ("implementation", "product of local factors", "gradient of w₁", "difference", "of what roundings may do")
    ]
    most = 0.0
    for adapter in frameworks.adapters:
        gradients = adapter.run(case).weight_gradients
        assert gradients is not None
        got = float(np.asarray(gradients[0])[0, 0])
        part = _part(got, product, case)
        most = max(most, part)
        rows.append((adapter.name, f"{value:.16g}", f"{got:.16g}", f"{got - value:.1e}", f"{part:.0%}"))
    return Entry(
        5,
        "The chain rule's product of local factors is the gradient; the error node adds one factor",
        HOLDS if most <= 1 else TOO_STRONG,
        f"∂o/∂w₁ = {to_output.value[0, 0]:.6g} has six factors; times ∂E/∂o it is ∂E/∂w₁, up to roundings",
        tuple(rows),
    )


def delta_rule_signs(frameworks: Frameworks) -> Entry:
    """y = w₂ tanh(w₁ x): at w₁ = w₂ = 0 both derivatives are 0, and E falls in the direction (1, 1)."""

    def saddle(w: float) -> Case:
        return Case(
            "saddle",
            (Dense(((w,),), None, "tanh"), Dense(((w,),), None, "identity")),
            ((1.0,),),
            ((1.0,),),
            learning_rate=0.5,
        )

    rows: list[tuple[str, ...]] = [
        ("implementation", "derivative > 0", "derivative < 0", "derivatives at 0", "E at 0", "E at (0.1, 0.1)")
    ]
    fine = True
    for adapter in frameworks.adapters:
        moves = []
        for target in (0.0, 1.0):
            seen = adapter.run(replace(chain((0.5,)), targets=((target,),)))
            gradient, new = (
                np.asarray((seen.weight_gradients or ())[0])[0, 0],
                np.asarray((seen.updated_weights or ())[0])[0, 0],
            )
            moves.append((float(gradient), float(new - 0.5)))
        here, beside = adapter.run(saddle(0.0)), adapter.run(saddle(0.1))
        flat = [float(np.asarray(g)[0, 0]) for g in here.weight_gradients or ()]
        losses = float(np.asarray(here.loss).ravel()[0]), float(np.asarray(beside.loss).ravel()[0])
        fine &= (
            moves[0][0] > 0 > moves[0][1] and moves[1][0] < 0 < moves[1][1] and not any(flat) and losses[1] < losses[0]
        )
        rows.append(
            (
                adapter.name,
                f"{moves[0][1]:+.3g}",
                f"{moves[1][1]:+.3g}",
                " ".join(f"{abs(g):g}" for g in flat),
                *(f"{e:.4f}" for e in losses),
            )
        )
    return Entry(
        6,
        "A positive derivative lowers the weight, a negative one raises it, a zero one means a stable minimum",
        TOO_STRONG if fine else HOLDS,
        "the two signs hold; zero does not mean a minimum: y = w₂ tanh(w₁ x) has both derivatives 0 at 0, and it is a saddle",
        tuple(rows),
    )


def regressions(frameworks: Frameworks) -> Entry:
    rng = Random("regression")
    x = tuple(tuple(rng.uniform(-1, 1) for _ in range(3)) for _ in range(6))
    w = (tuple(rng.uniform(-1, 1) for _ in range(3)),)
    t = tuple((float(rng.randrange(2)),) for _ in range(6))
    ar = BoundedArithmetic(FLOAT64)
    inputs, weights, targets = ar.lift(x), ar.lift(w), ar.lift(t)
    sums = ar.matmul(inputs, ar.transpose(weights))
    logistic = ar.elementwise(lambda z, fn: fn.constant(1) / (1 + fn.exp(-z)), sums)
    formulas = {
        ("identity", "half_squared_error"): ar.matmul(ar.transpose(sums - targets), inputs),
        ("sigmoid", "binary_cross_entropy"): ar.matmul(ar.transpose(logistic - targets), inputs),
    }
    rows: list[tuple[str, ...]] = [
        (
            "implementation",
            "linear: difference from Xᵀ(Xw − t)",
            "of what roundings may do",
            "logistic: from Xᵀ(σ(Xw) − t)",
            "of what roundings may do",
        )
    ]
    most = 0.0
    for adapter in frameworks.adapters:
        shown = []
        for (activation, loss), wanted in formulas.items():
            case = Case("regression", (Dense(w, None, activation),), x, t, loss=loss)
            got = np.asarray((adapter.run(case).weight_gradients or ())[0])
            part = _part(got, wanted, case)
            most = max(most, part)
            shown += [f"{np.abs(got - wanted.value).max():.1e}", f"{part:.0%}"]
        rows.append((adapter.name, *shown))
    return Entry(
        7,
        "One layer's gradient is that of linear and of logistic regression",
        HOLDS if most <= 1 else TOO_STRONG,
        f"the largest difference is {most:.0%} of what roundings may do to an element",
        tuple(rows),
    )


class ComplexFunctions(FloatFunctions):
    """What the sigmoid needs of complex numbers near the real line."""

    def exp(self, x: Any) -> Any:
        return cmath.exp(x)

    def absolute(self, x: Any) -> Any:
        return x if complex(x).real >= 0 else -x

    def minimum(self, x: Any, y: Any) -> Any:
        return x if complex(x).real <= complex(y).real else y


def other_routes(frameworks: Frameworks) -> Entry:
    """The whole gradient of the weights, by each route, judged; and one derivative shown."""
    case = xor_case(8)
    certified = expectations(case, FLOAT64)[Place("weight_gradients", 0)]
    exact = float(certified.value[0, 1])
    routes = {f"backprop, {adapter.name}": adapter.run(case) for adapter in frameworks.adapters}
    routes["complex step, 10⁻³⁰i"] = _by_shifts(case, lambda loss: (loss(1e-30j) / 1e-30).imag)
    steps = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10)
    for h in steps:
        routes[f"central differences, h = {h:g}"] = _by_shifts(case, partial(_central_difference, h))
    rows: list[tuple[str, ...]] = [("route", "derivative", "off by", "the whole gradient")]
    verdicts, off = {}, {}
    for route, answer in routes.items():
        got = float(np.asarray((answer.weight_gradients or ())[0])[0, 1])
        verdicts[route], off[route] = judge(case, answer).verdict, abs(got / exact - 1)
        rows.append((route, f"{got:.16g}", f"{off[route]:.0e}", verdicts[route].value))
    differences = list(routes)[-len(steps) :]
    exact_ones = all(verdicts[route] is Verdict.AGREES for route in routes if route not in differences)
    refused = sum(verdicts[route] is Verdict.WRONG for route in differences)
    curve = ("central differences", steps, [max(off[route], 1e-17) for route in differences])
    return Entry(
        8,
        "Backprop's gradient equals any other route to it",
        HOLDS if exact_ones else TOO_STRONG,
        f"complex steps agree within derived bounds; of {len(steps)} finite differences {refused} are outside, "
        f"the best off by {min(off[r] for r in differences):.0e}, which is why they need a hand-picked tolerance",
        tuple(rows),
        (curve,),
        ("h", "relative error"),
    )


def _central_difference(h: float, loss: Callable[[complex], Any]) -> float:
    return float((loss(h) - loss(-h)) / (2 * h))


def _by_shifts(case: Case, derivative: Callable[[Callable[[complex], Any]], float]) -> Observation:
    """All derivatives of the loss by the weights, each from losses with that weight shifted; complex where need be."""

    def shifted(layer: int, unit: int, column: int) -> Callable[[complex], Any]:
        def loss(shift: complex) -> Any:
            number = type(shift)
            ar = PlainArithmetic(number, ComplexFunctions() if number is complex else FloatFunctions())
            layers, inputs = layers_of(case, ar), ar.lift(case.inputs)
            layers[layer].weights[unit][column] += shift
            passed = forward(layers, inputs, ar)
            return backward(layers, inputs, ar.lift(case.targets), passed, case.objective, ar).loss[0][0]

        return loss

    gradients = tuple(
        np.array([[derivative(shifted(k, i, j)) for j in range(len(row))] for i, row in enumerate(layer.weights)])
        for k, layer in enumerate(case.layers)
    )
    return Observation("shifts", "", "", "float64", weight_gradients=gradients)


CHECKS = (
    worked,
    bias_forms,
    hidden_layer_needed,
    changes_travel,
    product_of_factors,
    delta_rule_signs,
    regressions,
    other_routes,
)
