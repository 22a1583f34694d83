"""The judge of several steps in a row: which number of which step is wrong, and how much of a step it can see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reference.case import Case, InvalidInput, run
from backproof.reference.diagnosis import Convention, probes
from backproof.reference.judging import Observation, Verdict, judge_steps, judge_trajectory, steps_taken
from backproof.reference.numbers import ArrayArithmetic, array_of
from backproof.reference.update_rules import UpdateRule, update_rule_named

Spoil = Callable[[int, list[Any], list[Any]], None]  # (number of the step, new weights, new biases), changed in place
NAMES = [
    "sgd", "sgd(weight_decay=0.01)", "momentum(0.9)", "momentum(0.9, dampening=0.5)", "nesterov(0.9)", "adagrad",
    "rmsprop", "rmsprop-momentum", "centered-rmsprop", "adam", "adam(weight_decay=0.01)", "adamw",
    "adam-epsilon-hat", "adam-epsilon-inside", "rmsprop-epsilon-inside", "adagrad-epsilon-inside", "averaged-momentum(0.9)",
]  # fmt: skip


def named(name: str) -> UpdateRule:
    rule = update_rule_named(name)
    assert rule is not None
    return rule


def nothing(number: int, weights: list[Any], biases: list[Any]) -> None:
    pass


def walked(
    rule: UpdateRule, dtype: str = "float64", spoil: Spoil = nothing, steps: int = 6, activation: str = "tanh"
) -> list[tuple[Case, Observation]]:
    """The rule's own steps, on arrays of the format."""
    convention = Convention((activation, "sigmoid"), "half_squared_error", "mean")
    first, then = (
        replace(convention.applied(c), learning_rate=0.125) for c in probes((3, 4, 2), (4, 4), "separate", dtype, 5)
    )
    ar, layers = ArrayArithmetic(dtype), first.layers
    memories: dict[tuple[str, int], Any] = {}
    evidence = []
    for number in range(1, steps + 1):
        case = replace(first if number < 4 else then, layers=layers)
        found = run(case, ar).backward
        moved: dict[str, list[Any]] = {"w": [], "b": []}
        for k, layer in enumerate(layers):
            for kind, old, g in (
                ("w", layer.weights, found.weight_gradients[k]),
                ("b", [layer.biases or ()], found.bias_gradients[k]),
            ):
                lifted = ar.lift(old)
                memory = memories.get((kind, k), (np.zeros_like(lifted),) * rule.remembers)
                new, memories[kind, k] = rule.step(lifted, g, memory, 0.125, number, ar)
                moved[kind].append(np.array(new))
        spoil(number, moved["w"], moved["b"])
        seen = Observation(
            "own", "", "cpu", dtype, updated_weights=tuple(moved["w"]), updated_biases=tuple(b[0] for b in moved["b"])
        )
        evidence.append((case, seen))
        layers = tuple(
            replace(layer, weights=array_of(w, dtype), biases=array_of(b, dtype)[0])
            for layer, w, b in zip(layers, moved["w"], moved["b"], strict=True)
        )
    return evidence


@pytest.mark.sampled(7)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_s_own_steps_are_inside_its_bounds(name: str, dtype: str) -> None:
    judgement = judge_trajectory(walked(named(name), dtype), named(name))
    assert judgement.verdict is Verdict.AGREES
    assert judgement.first_wrong is None
    assert judgement.digits is not None
    assert judgement.digits > {"float64": 11, "float32": 2.5}[dtype]
    assert judgement.counted(lambda comparison: comparison.elements) == 6 * 26


@pytest.mark.parametrize("name", ["sgd", "momentum(0.9)", "nesterov(0.9)", "averaged-momentum(0.9)"])
def test_in_float16_a_rule_s_own_steps_are_not_called_wrong(name: str) -> None:
    assert judge_trajectory(walked(named(name), "float16"), named(name)).first_wrong is None


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", NAMES)
def test_one_number_of_one_step_that_is_off_by_a_ten_billionth_of_its_step_is_wrong(name: str) -> None:
    def spoil(number: int, weights: list[Any], biases: list[Any]) -> None:
        if number == 4:
            weights[1][1, 2] += 1e-10 * 0.125

    judgement = judge_trajectory(walked(named(name), spoil=spoil), named(name))
    assert judgement.first_wrong == 4
    (comparison,) = judgement.steps[3].wrong
    assert (str(comparison.place), comparison.wrong) == ("updated_weights[1]", 1)
    assert comparison.worst[0].index == (1, 2)
    # The step after starts from where it went, and only what is remembered has been as if it had not.
    assert all(not step.wrong for step in judgement.steps[:3])


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("right", "wrong", "first"),
    [
        ("momentum(0.9)", "momentum(0.9000001)", 2),
        ("adam", "adam(0.9, 0.9990001)", 2),
        ("adam", "adam(0.9, 0.999, 1.1e-8)", 1),
        ("adam", "rmsprop(0.999, 1e-8)", 1),
        ("adamw", "adam(weight_decay=0.01)", 1),
        ("nesterov(0.9)", "momentum(0.9)", 1),
        ("momentum(0.9)", "sgd", 2),
        ("momentum(0.9, dampening=0.5)", "momentum(0.9)", 2),
        ("rmsprop-epsilon-inside", "rmsprop", 1),
        ("adam-epsilon-hat(0.9, 0.999, 1e-8)", "adam", 1),
    ],
)
def test_the_first_wrong_step_is_the_first_at_which_two_rules_differ(right: str, wrong: str, first: int) -> None:
    assert judge_trajectory(walked(named(wrong)), named(right)).first_wrong == first


def test_an_adaptive_step_of_a_gradient_that_may_have_either_sign_is_undecided_and_not_wrong() -> None:
    """Of a dead unit the gradient is exactly zero; of one that cancels, rounding decides where Adam goes."""
    case = walked(named("adam"))[0][0]
    samples = [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]
    targets = [[0.25, 0.75], [0.75, 0.25]]  # errors of both samples cancel where outputs are 1/2
    layers = (replace(case.layers[0], weights=np.zeros((4, 3)), biases=np.zeros(4)),
              replace(case.layers[1], weights=np.zeros((2, 4)), biases=np.zeros(2)))  # fmt: skip
    start = replace(case, layers=layers, inputs=np.array(samples), targets=np.array(targets))
    seen = Observation(
        "own", "", "cpu", "float64",
        updated_weights=(np.zeros((4, 3)), np.zeros((2, 4))), updated_biases=(np.zeros(4), np.array([0.125, -0.125])),
    )  # fmt: skip
    judgement = judge_trajectory([(start, seen)], named("adam(0.9, 0.999, 0)"))
    by_place = {str(c.place): c for c in judgement.steps[0].comparisons}
    assert by_place["updated_biases[1]"].verdict is Verdict.UNDECIDED
    assert judgement.verdict is Verdict.UNDECIDED


def test_each_array_may_have_a_rule_of_its_own() -> None:
    taken = steps_taken(walked(named("momentum(0.9)")))
    judgement = judge_steps(
        taken, lambda place: named("sgd" if place.quantity == "updated_biases" else "momentum(0.9)")
    )
    assert {str(c.place) for step in judgement.steps for c in step.wrong} == {"updated_biases[0]", "updated_biases[1]"}


def test_numbers_that_are_none_are_wrong() -> None:
    def spoil(number: int, weights: list[Any], biases: list[Any]) -> None:
        biases[0][0, 0] = np.nan if number == 2 else biases[0][0, 0]

    assert judge_trajectory(walked(named("adam"), spoil=spoil, steps=2), named("adam")).first_wrong == 2


def test_without_a_learning_rate_there_is_nothing_to_judge() -> None:
    ((case, seen), *_) = walked(named("sgd"), steps=1)
    with pytest.raises(InvalidInput, match="learning rate"):
        judge_trajectory([(replace(case, learning_rate=None), seen)], named("sgd"))
