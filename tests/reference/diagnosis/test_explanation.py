"""What reproduces numbers gives every one of them: what is no number is to be none there, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.backprop import RULES, Rules
from backproof.reference.case import Case, run
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.explanation import ARRAYS, Evidence, by_rules, reproduces, right
from backproof.reference.judging.observation import Observation
from backproof.reference.numbers.arithmetic import Arithmetic, Matrix

NETWORK = Convention(("tanh", "sigmoid"), "half_squared_error")
CASES = [NETWORK.applied(case) for case in probes((3, 4, 2), (4, 1, 2, 1), "separate", "float64", 0)]
NONE = [np.nan, np.inf, -np.inf]


def over_n_less_one(case: Case) -> Rules:
    """Of a single sample, biases are divided by zero."""

    def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
        samples, _ = ar.shape(delta)
        return ar.elementwise(lambda d, fn: d / (samples - 1), RULES.bias_gradient(delta, ar))

    return replace(RULES, bias_gradient=bias_gradient)


def seen(rules: Callable[[Case], Rules], change: Callable[[Case, list[Any]], None] | None = None) -> Evidence:
    """What an implementation with these rules shows; change: what becomes of its bias gradients, in place."""
    evidence = []
    for case in CASES:
        with np.errstate(all="ignore"):
            found = run(case, ARRAYS, rules(case)).backward
        biases = [np.array(b).reshape(-1) for b in found.bias_gradients if b is not None]
        if change is not None:
            change(case, biases)
        weights = tuple(np.array(w) for w in found.weight_gradients)
        given = Observation("a", "", "cpu", "float64", weight_gradients=weights, bias_gradients=tuple(biases))
        evidence.append((case, given))
    return evidence


def at(batch: int, value: float, element: Any = 0) -> Callable[[Case, list[Any]], None]:
    def change(case: Case, biases: list[Any]) -> None:
        if case.batch == batch:
            biases[1][element] = value

    return change


def test_what_is_no_number_is_reproduced_where_it_is_predicted() -> None:
    assert reproduces(by_rules(over_n_less_one), seen(over_n_less_one))
    assert reproduces(right(), seen(lambda case: RULES))


@pytest.mark.parametrize("value", NONE)
def test_which_of_them_it_is_is_no_matter(value: float) -> None:
    assert reproduces(by_rules(over_n_less_one), seen(over_n_less_one, at(1, value)))


@pytest.mark.parametrize("value", NONE)
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_it_is_not_reproduced_where_a_number_is_predicted(value: float, batch: int) -> None:
    assert not reproduces(right(), seen(lambda case: RULES, at(batch, value)))
    assert batch == 1 or not reproduces(by_rules(over_n_less_one), seen(over_n_less_one, at(batch, value)))


@pytest.mark.parametrize("element", [0, slice(None)])
def test_a_number_is_not_reproduced_where_none_is_predicted(element: Any) -> None:
    assert not reproduces(by_rules(over_n_less_one), seen(over_n_less_one, at(1, 0.5, element)))
    assert not reproduces(by_rules(over_n_less_one), seen(lambda case: RULES))


def test_of_an_update_the_change_has_to_be_near_and_not_the_weight() -> None:
    """A step is small beside the weights: what moves the other way is far off, however near the weights are."""
    evidence = []
    for case in CASES:
        layers = run(case, ARRAYS).updated
        assert layers is not None
        updated: dict[str, Any] = {
            "updated_weights": tuple(np.array(layer.weights) for layer in layers),
            "updated_biases": tuple(np.array(layer.biases).reshape(-1) for layer in layers),
        }
        evidence.append((case, Observation("a", "", "cpu", "float64", **updated)))
    assert reproduces(right(), evidence)
    uphill = by_rules(lambda case: replace(RULES, update=lambda w, g, rate, ar: RULES.update(w, g, -rate, ar)))
    asked = []

    def watched(case: Case, ar: Arithmetic) -> Any:
        asked.append(ar)
        return uphill(case, ar)

    assert not reproduces(watched, evidence)
    assert len(asked) == 1  # floats refute it, and no bounds are computed
    asked.clear()
    small = [(replace(case, learning_rate=2.0**-12), o) for case, o in evidence]
    assert not reproduces(watched, small, of_formats=True)
