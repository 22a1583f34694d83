"""What is right on some probes alone: an activation that is like a known one near zero is not accused, a mistake is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.validation.front_door import verify
from conditional_faults import Net, ones, sigmoid

Curve = tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]


def clip(low: float, high: float) -> Curve:
    return lambda z: np.clip(z, low, high), lambda z, a: ((z > low) & (z < high)) * 1.0


def bent(at: float, slope: float) -> Curve:
    """The identity up to a bend on either side."""
    return (
        lambda z: np.where(np.abs(z) < at, z, np.sign(z) * (at + slope * (np.abs(z) - at))),
        lambda z, a: np.where(np.abs(z) < at, 1.0, slope),
    )


def root(at: float) -> Curve:
    """The identity, and from a kink on a square root, which is continuous there."""
    return (
        lambda z: np.where(np.abs(z) < at, z, np.sign(z) * np.sqrt(at * np.abs(z))),
        lambda z, a: np.where(np.abs(z) < at, 1.0, np.sqrt(at / np.maximum(np.abs(z), at)) / 2),
    )


def bent_relu(z: Any) -> Any:
    return np.where(z < 0, 0.0, np.where(z < 5, z, 5 + 0.25 * (z - 5)))


# By name: the activation, and a derivative of it that a mistake would be.
UNKNOWN: dict[str, tuple[Curve, Callable[[Any, Any], Any]]] = {
    "clip at 4": (clip(-4, 4), ones),
    "hardtanh from -3 to 2": (clip(-3, 2), ones),
    "hardtanh to 6": (clip(-6, 6), ones),
    "bent at 3": (bent(3, 0.5), ones),
    "bent upwards": (bent(4, 3.0), ones),
    "ReLU, bent at 5": ((bent_relu, lambda z, a: np.where(z < 0, 0.0, np.where(z < 5, 1.0, 0.25))), lambda z, a: (z > 0) * 1.0),
    "ReLU to 5": (clip(0, 5), lambda z, a: (z > 0) * 1.0),
    "a square root from 4 on": (root(4), ones),
    "sigmoid of clipped numbers": (
        (lambda z: sigmoid(np.clip(z, -5, 5)), lambda z, a: np.where(np.abs(z) < 5, a * (1 - a), 0.0)),
        lambda z, a: a * (1 - a),
    ),
}  # fmt: skip


def linear(hidden: Callable[[Any], Any], slope: Callable[[Any, Any], Any]) -> Net:
    return Net(hidden, slope, lambda z: z, lambda z, a, t: a - t)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_activation_that_is_a_known_one_on_small_numbers_is_not_accused_and_its_wrong_twin_is(
    name: str,
) -> None:
    (function, derivative), mistake = UNKNOWN[name]
    report = verify(linear(function, derivative))
    assert report.verdict == "unrecognised", str(report)
    assert not report.ok
    assert "probes it computes squared error with ½, summed over samples; " in report.findings[0]
    assert "around a loop it adds up to nothing but rounding, as the gradient of a loss does" in str(report)
    assert "Declare them, and it is judged by them" in str(report)
    twin = verify(linear(function, mistake))
    assert twin.verdict == "wrong", str(twin)
    assert "there, no loss has this gradient: " in str(twin)


@pytest.mark.usefixtures("slow")
def test_so_it_is_in_float32() -> None:
    function, derivative = clip(-4, 4)
    assert verify(linear(function, derivative), dtype="float32").verdict == "unrecognised"
    assert verify(linear(function, ones), dtype="float32").verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_declared_activations_and_loss_leave_nothing_open() -> None:
    options: dict[str, Any] = {"activations": ["identity", "identity"], "loss": "half_squared_error"}
    report = verify(linear(*clip(-4, 4)), cases="standard", **options)
    assert report.verdict == "wrong"


def _scaled(condition: Callable[[Any, Any, Any], bool], factor: float) -> Callable[..., Any]:
    """All of a gradient times a factor: some loss has it, on every probe."""
    right = linear(*clip(-1e9, 1e9))

    def f(W: Any, B: Any, x: Any, t: Any) -> Any:
        dw, db = right(W, B, x, t)
        times = factor if condition(W, B, x) else 1.0
        return [times * g for g in dw], [times * g for g in db]

    return f


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(4, 3)
@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (lambda W, B, x: len(x) > 4, "no activation and no loss depends on how large a network or a batch is."),
        (lambda W, B, x: len(W) > 2, "no activation and no loss depends on how large a network or a batch is."),
        (lambda W, B, x: len(x) > 4 and bool((x > 2).any()), "does not give what its samples give by themselves."),
        (
            lambda W, B, x: not any(b.any() for b in B),
            "it is right as soon as weights, biases and inputs are moved a little",
        ),
    ],
)
def test_a_condition_that_no_activation_has_is_wrong_though_some_loss_has_the_gradient(
    condition: Callable[[Any, Any, Any], bool], said: str
) -> None:
    report = verify(_scaled(condition, 2.0))
    assert report.verdict == "wrong"
    assert said in str(report)
