"""Plain mistakes that people report, each one line of a right program, each with its own name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reports.validation.front_door import verify

Array = Any


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def itself(z: Array) -> Array:
    return z


def network(
    hidden: Callable[[Array], Array],
    slope: Callable[[Array, Array], Array],
    output: Callable[[Array], Array] = itself,
    delta_of: Callable[[Array, Array], Array] = lambda o, t: o - t,
    own_weights: bool = False,
) -> Callable[..., Any]:
    """slope(z, a) of hidden layers;  delta_of(outputs, targets);  own_weights: W[l] for W[l + 1] on the way back."""

    def gradients(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        zs, activations, last = [], [inputs], len(weights) - 1
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            zs.append(activations[-1] @ w.T + b)
            activations.append((output if k == last else hidden)(zs[-1]))
        delta, dw, db = delta_of(activations[-1], targets), list[Any](), list[Any]()
        for k in reversed(range(last + 1)):
            dw.insert(0, delta.T @ activations[k])
            db.insert(0, delta.sum(axis=0))
            if k:
                delta = delta @ weights[k - own_weights] * slope(zs[k - 1], activations[k])
        return dw, db

    return gradients


def of_tanh(z: Array, a: Array) -> Array:
    return 1 - a * a


def swish(z: Array) -> Array:
    return z * sigmoid(z)


def smoothed(o: Array, t: Array) -> Array:
    return o - (0.9 * t + 0.1 / t.shape[1])


def all_columns(o: Array, t: Array) -> Array:
    return o - t.max(axis=0)


def gelu(z: Array) -> Array:
    return z * np.vectorize(lambda x: (1 + math.erf(x / math.sqrt(2))) / 2)(z)


SQUARED = {"activations": ["tanh", "identity"], "loss": "half_squared_error", "reduction": "sum"}
CROSS = {"activations": ["tanh", "softmax"], "loss": "softmax_cross_entropy", "reduction": "sum"}
OF_SIGMOIDS = {"activations": ["tanh", "sigmoid"], "loss": "half_squared_error", "reduction": "sum"}


def hidden_is(name: str) -> dict[str, Any]:
    return {"activations": [name, "identity"], "loss": "half_squared_error", "reduction": "sum"}


MISTAKES: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "smoothed targets": (network(np.tanh, of_tanh, softmax, smoothed), CROSS, "smooths the targets by 0.1"),
    "labels from 1": (
        network(np.tanh, of_tanh, softmax, lambda o, t: o - np.roll(t, -1, axis=1)),
        CROSS,
        "takes the next output's target for each, as of classes that are counted from 1",
    ),
    "p[:, y] -= 1": (
        network(np.tanh, of_tanh, softmax, all_columns),
        CROSS,
        "subtracts every sample's target from each: p[:, y] −= 1",
    ),
    "t[0] for all": (
        network(np.tanh, of_tanh, itself, lambda o, t: o - t[:1]),
        SQUARED,
        "takes the first sample's targets for all",
    ),
    "targets reversed": (
        network(np.tanh, of_tanh, itself, lambda o, t: o - t[::-1]),
        SQUARED,
        "takes the samples' targets in reverse order",
    ),
    "t(1 − t)": (
        network(np.tanh, of_tanh, sigmoid, lambda o, t: (o - t) * t * (1 - t)),
        OF_SIGMOIDS,
        "takes t(1 − t), of the target, for sigmoid's derivative",
    ),
    "W[l] for W[l + 1]": (
        network(np.tanh, of_tanh, own_weights=True),
        {**SQUARED, "activations": ["tanh", "tanh", "identity"], "sizes": (3, 3, 3, 3)},
        "uses the layer's own weights on the way back, where those of the layer above belong",
    ),
    "sech for sech²": (network(np.tanh, lambda z, a: 1 / np.cosh(z)), SQUARED, "takes √(1 − a²), of tanh 1/cosh z,"),
    "softsign′ without its square": (
        network(lambda z: z / (1 + abs(z)), lambda z, a: 1 / (1 + abs(z))),
        hidden_is("softsign"),
        "takes 1/(1 + |z|) for softsign's derivative",
    ),
    "swish′, the first term": (network(swish, lambda z, a: sigmoid(z)), hidden_is("silu"), "keeps only the term g(z)"),
    "swish′, the second term": (
        network(swish, lambda z, a: z * sigmoid(z) * (1 - sigmoid(z))),
        hidden_is("silu"),
        "keeps only the term z · g′(z)",
    ),
    "GELU′, the first term": (
        network(gelu, lambda z, a: a / z),
        hidden_is("gelu"),
        "keeps only the term g(z) of gelu's derivative, f = z · g(z)",
    ),
}


@pytest.mark.sampled(12, 4)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_it_is_named(mistake: str) -> None:
    with np.errstate(all="ignore"):
        run, declared, words = MISTAKES[mistake]
        report = verify(run, **declared)
    assert report.verdict == "wrong", report
    assert words in report.findings[0], report
    assert report.diagnosis is not None
    assert report.diagnosis.proved


RIGHT = {
    "tanh": (network(np.tanh, of_tanh), SQUARED),
    "swish": (network(swish, lambda z, a: sigmoid(z) * (1 + z * (1 - sigmoid(z)))), hidden_is("silu")),
    "softmax": (network(np.tanh, of_tanh, softmax), CROSS),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("case", RIGHT)
def test_the_right_program_agrees(case: str) -> None:
    run, declared = RIGHT[case]
    assert verify(run, **declared).ok
