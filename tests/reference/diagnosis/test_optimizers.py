"""Which optimizer is it? Constants that are fitted, what one step tells, and what it says that it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reference.case import Case, run
from backproof.reference.diagnosis import Convention, first_step_of, probes, reproduces
from backproof.reference.diagnosis.optimizers.finding import simplest
from backproof.reference.judging import Observation
from backproof.reference.numbers import ArrayArithmetic
from backproof.reference.update_rules import update_rule_named

CONVENTION = Convention(("sigmoid", "identity"), "squared_error", "mean over outputs")


def first_steps(move: Callable[[Any, Any, float], Any], dtype: str = "float64") -> list[tuple[Case, Observation]]:
    """Single steps from different probes by (w, g, rate) → new w, under the convention."""
    evidence = []
    for case in probes((3, 4, 2), (4, 1, 2), "separate", dtype, 1):
        applied = replace(CONVENTION.applied(case), learning_rate=0.25)
        found = run(applied, ArrayArithmetic(dtype), CONVENTION.rules()).backward
        weights = [move(np.array(layer.weights), np.array(g), 0.25)
                   for layer, g in zip(applied.layers, found.weight_gradients, strict=True)]  # fmt: skip
        biases = [move(np.array(layer.biases), np.array(g)[0], 0.25)
                  for layer, g in zip(applied.layers, found.bias_gradients, strict=True)]  # fmt: skip
        seen = Observation("own", "", "cpu", dtype, updated_weights=tuple(weights), updated_biases=tuple(biases))
        evidence.append((applied, seen))
    return evidence


def adaptive(epsilon: float) -> Callable[[Any, Any, float], Any]:
    return lambda w, g, rate: w - rate * g / (np.abs(g) + epsilon)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda w, g, rate: w - rate * g, "moves by rate · g. Of a first step, momentum of any friction"),
        (lambda w, g, rate: w - rate * (g + 0.01 * w), "weight decay 0.01"),
        (lambda w, g, rate: w - rate * 1.9 * g, "Nesterov's momentum 0.9 is, too"),
        (lambda w, g, rate: w - rate * 0.1 * g, "a moving average of gradients that keeps 0.9 is, too"),
        (adaptive(1e-8), "moves by rate · g / (|g| + ε) with ε 1e-8, as Adam's first step"),
        (adaptive(1e-8), "does not tell Adam of any β₁ and β₂, Adagrad, and RMSprop at another rate apart"),
        (lambda w, g, rate: adaptive(1e-8)(w, g, rate) - rate * 0.01 * w, "decoupled weight decay 0.01"),
        (lambda w, g, rate: adaptive(1e-6)(w, g + 0.01 * w, rate) if w.ndim == 2 else adaptive(1e-6)(w, g, rate),
         "with weight decay 0.01 added to g, of weights and not of biases"),
        (lambda w, g, rate: w - rate * g / (np.sqrt(0.01) * np.abs(g) + 1e-8), "RMSprop that keeps 0.99"),
        (lambda w, g, rate: w - rate * g / np.sqrt(g * g + 1e-6), "rate · g / √(g² + ε) with ε 1e-6"),
    ],
)  # fmt: skip
def test_a_first_step_is_told_and_proved_and_what_it_cannot_tell_is_said(move: Any, said: str) -> None:
    evidence = first_steps(move)
    explanation = first_step_of(evidence, CONVENTION)
    assert explanation is not None
    assert said in explanation.words
    assert explanation.words.endswith("give optimizer= for a trajectory")
    assert explanation.prediction is not None
    assert reproduces(explanation.prediction, evidence)
    other = first_steps(lambda w, g, rate: move(w, g, rate) + 1e-9)
    assert not reproduces(explanation.prediction, other)


def test_of_float32_epsilon_does_not_show_and_that_is_said() -> None:
    explanation = first_step_of(first_steps(adaptive(np.float32(1e-8)), "float32"), CONVENTION)
    assert explanation is not None
    assert "if not another below" in explanation.words


@pytest.mark.parametrize("move", [lambda w, g, rate: w - rate * g**3, lambda w, g, rate: w * np.nan])
def test_what_is_no_known_first_step_has_no_explanation(move: Any) -> None:
    assert first_step_of(first_steps(move), CONVENTION) is None


def test_gradients_are_no_steps() -> None:
    case = first_steps(adaptive(1e-8))[0][0]
    assert first_step_of([(case, Observation("own", "", "cpu", "float64", weight_gradients=()))], CONVENTION) is None


@pytest.mark.parametrize(
    ("value", "off", "decimals", "simple"),
    [(0.89999999, 1e-7, True, 0.9), (0.9990001, 1e-6, True, 0.999), (0.99989, 1e-6, True, 0.99989),
     (9.9998e-9, 1e-11, False, 1e-8), (0.25, 0.0, False, 0.25), (0.9999, 1e-3, True, 0.9999)],
)  # fmt: skip
def test_the_simplest_decimal_near_enough(value: float, off: float, decimals: bool, simple: float) -> None:
    assert simplest(value, off, decimals) == simple


def test_a_rule_has_the_words_of_its_name() -> None:
    rule = update_rule_named("adamw(0.9, 0.999, 1e-8, 0.01)")
    assert rule is not None
    assert rule.words == "AdamW with β₁ 0.9, β₂ 0.999, ε 1e-8, decoupled weight decay 0.01"
