"""The witness of a wrong verdict: its lines are a program, and both of its numbers are what it says they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
import tutorial

SHOWN = re.compile(r"# (\S+); (?:yours is|your update makes it) (\S+)$")


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
    sampled: Callable[[int, int], None],
) -> None:
    sampled((averaged, gradients, moved, ascent, sample_by_sample, outputs).index(function), 3)
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
    if "your update" in program[-1]:  # the gradient that it comes from
        answer = [
            [(old - new) / 0.5 for old, new in zip(*pair, strict=True)] for pair in zip(arrays, answer, strict=True)
        ]
    flat = np.concatenate([np.ravel(x) for part in answer for x in part])
    assert wrong in flat  # to the last bit: it is the very number that the function returned


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
