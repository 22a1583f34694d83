"""The witness of a wrong verdict: its lines are a program, and both of its numbers are what it says they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
import tutorial
from backproof.reference.backprop import RULES, Rules
from backproof.reference.case import Case, Dense, run
from backproof.reference.diagnosis import ARRAYS, FAULTS, Convention, faulty_rules
from backproof.reference.judging import Observation
from backproof.reports.documents import Subject
from backproof.reports.trials.fault_trials import NETWORKS
from backproof.reports.validation.smallest import witness

CASE = Case("any", (Dense([[0.5]], [0.5], "sigmoid"),) * 2, [[1.0]], [[0.5]])
SHOWN = re.compile(r"# (\S+); yours is (\S+)$")


def gradients(weights: Any, biases: Any, inputs: Any, targets: Any, factor: float = 1.0) -> Any:
    """The hidden delta lacks the derivative."""
    return tutorial.gradients(weights, biases, inputs, targets, factor, "no derivative")


def ascent(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    return gradients(weights, biases, inputs, targets, -1.0)


def averaged(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    return gradients(weights, biases, inputs, targets, 1 / targets.size)


def moved(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
    of_weights, of_biases = gradients(weights, biases, inputs, targets)
    moved_weights = [w - rate * g for w, g in zip(weights, of_weights, strict=True)]
    return moved_weights, [b - rate * g for b, g in zip(biases, of_biases, strict=True)]


def sample_by_sample(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
    for x, t in zip(inputs, targets, strict=True):
        weights, biases = moved(weights, biases, x[None], t[None], rate)
    return weights, biases


def outputs(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    a = inputs
    for w in weights:
        a = np.tanh(a @ w.T)
    return a


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(6)
@pytest.mark.parametrize(
    ("function", "options"),
    [
        (gradients, {}),
        (ascent, {}),
        (averaged, {"reduction": "mean over outputs", "sizes": (3, 4, 2)}),
        (moved, {"returns": "updated", "updates": "batch"}),
        (sample_by_sample, {"returns": "updated", "updates": "online"}),
        (outputs, {"returns": "outputs", "activations": "tanh", "bias": "separate"}),
    ],
)
def test_the_witness_is_a_program_that_prints_the_right_number(
    function: Callable[..., Any],
    options: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = bp.verify(function, **options)
    assert report.verdict == "wrong"
    lines = list(report.details)
    program = lines[lines.index("smallest network that shows it:") + 1 :]
    names: dict[str, Any] = {}
    exec("\n".join(line.strip() for line in program), names)  # noqa: S102
    shown = SHOWN.search(program[-1])
    assert shown is not None
    right, wrong = (float(number) for number in shown.groups())
    printed = float(capsys.readouterr().out)
    assert printed == right
    assert abs(wrong - right) > 1e-9

    arrays = [[np.array(x) for x in names["weights"]], [np.array(x) for x in names["biases"]]]
    rate = [0.5] if options.get("returns") == "updated" else []
    answer = function(*arrays, np.array(names["inputs"]), np.array(names["targets"]), *rate)
    flat = np.concatenate([np.ravel(x) for part in answer for x in part])
    assert wrong in flat  # to the last bit: it is the very number that the function returned


@pytest.mark.usefixtures("slow")
def test_the_witness_has_the_declared_rate() -> None:
    def twice(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        found = tutorial.gradients(weights, biases, inputs, targets)
        pairs = zip((weights, biases), found, strict=True)
        return [[p - 2 * rate * g for p, g in zip(*pair, strict=True)] for pair in pairs]

    report = bp.verify(twice, returns="updated", learning_rate=0.125, activations="sigmoid", loss="half_squared_error")
    assert report.verdict == "wrong"
    assert any("learning_rate=0.125" in line for line in report.details)


@pytest.mark.sampled(104, 26)
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_every_fault_of_the_catalogue_has_a_witness_that_prints_what_it_says(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = FAULTS[number]
    changed = [f.name for f in fields(Rules) if getattr(fault.rules(CASE), f.name) is not getattr(RULES, f.name)]
    of_update = changed == ["update"]

    def observe(case: Case) -> Observation:
        step = run(case, ARRAYS, faulty_rules(fault, case))
        assert step.updated is not None
        if of_update:
            weights, biases = zip(*((x.weights, np.ravel(x.biases)) for x in step.updated), strict=True)
            return Observation("planted", "", "cpu", "float64", updated_weights=weights, updated_biases=biases)
        weights = step.backward.weight_gradients
        biases = tuple(np.ravel(b) for b in step.backward.bias_gradients)
        return Observation("planted", "", "cpu", "float64", weight_gradients=weights, bias_gradients=biases)

    subject = Subject("updated" if of_update else "gradients", "", "separate", observe)
    conventions = (Convention(network.activations, network.loss, "mean") for network in NETWORKS)
    lines = next(filter(None, (witness(subject, convention, "float64") for convention in conventions)))
    exec("\n".join(line.strip() for line in lines[1:]), {})  # noqa: S102
    shown = SHOWN.search(lines[-1])
    assert shown is not None
    right, wrong = (float(number) for number in shown.groups())
    assert float(capsys.readouterr().out) == right
    assert not abs(wrong - right) <= 1e-12 * abs(right)
    assert ("step.updated" in lines[-2]) == of_update


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_witness_is_judged_in_the_format_of_the_implementation(dtype: str) -> None:
    """In float64, its roundings alone would be wrong, and the first number shown one of them."""

    def rounded(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        w, b = ([np.asarray(array, float) for array in arrays] for arrays in (weights, biases))
        return [[g.astype(inputs.dtype) for g in group] for group in gradients(w, b, inputs, targets)]

    report = bp.verify(rounded, dtype=dtype)
    assert report.diagnosis is not None
    assert report.diagnosis.names == ["hidden-delta-without-derivative"]
    shown = SHOWN.search(report.details[-1])
    assert shown is not None
    right, wrong = (float(number) for number in shown.groups())
    assert abs(wrong / right - 1) > 1
