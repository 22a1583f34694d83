"""One step, written as people write it: the ways differ in roundings, and none of them is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reports.validation.front_door import verify
from backproof.reports.validation.steps_taken import verify_trajectory
from written_networks import gradients_of_sigmoids as gradients

DECLARED: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum"}
Moved = Callable[[Any, Any, Any, Any], Any]  # (w, g, rate, λ) → new w

# Sources: Nielsen, Neural Networks and Deep Learning, ch. 3, eq. 92 to 95 (by a factor); the others term by term.
DECAYING: dict[str, Moved] = {
    "w − r (g + λw)": lambda w, g, rate, decay: w - rate * (g + decay * w),
    "(1 − rλ) w − r g": lambda w, g, rate, decay: (1 - rate * decay) * w - rate * g,
    "w − rλw − r g": lambda w, g, rate, decay: w - rate * decay * w - rate * g,
    "w − r g − rλw": lambda w, g, rate, decay: w - rate * g - rate * decay * w,
}


def decaying(moved: Moved, decay: float, over_samples: bool = False) -> Callable[..., Any]:
    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        number = weights[0].dtype.type
        r, of_each = number(rate), number(decay / len(inputs) if over_samples else decay)
        dw, db = gradients(weights, biases, inputs, targets)
        return [moved(w, g, r, of_each) for w, g in zip(weights, dw, strict=True)], [
            b - r * g for b, g in zip(biases, db, strict=True)
        ]

    return step


@pytest.mark.sampled(16, 4)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("decay", [0.01, 5.0])
@pytest.mark.parametrize("way", DECAYING)
def test_weight_decay(way: str, decay: float, dtype: str) -> None:
    report = verify(decaying(DECAYING[way], decay), returns="updated", dtype=dtype, decay=decay, **DECLARED)
    assert report.ok, report


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", DECAYING)
def test_weight_decay_is_found_out(way: str) -> None:
    report = verify(decaying(DECAYING[way], 0.1, over_samples=True), returns="updated")
    assert report.ok, report
    assert "with weight decay: 0.1 / n · w in the gradient" in str(report).splitlines()[0]
    report = verify(decaying(DECAYING[way], 0.1), returns="updated", optimizer="find")
    assert report.ok, report
    steps = verify_trajectory(decaying(DECAYING[way], 0.1), "sgd(weight_decay=0.1)", **DECLARED)
    assert steps.ok, steps


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("way", DECAYING)
def test_another_decay_than_the_declared_is_wrong(way: str) -> None:
    for declared in (0.0101, "0.01/n"):
        report = verify(decaying(DECAYING[way], 0.01), returns="updated", decay=declared, **DECLARED)
        assert report.verdict == "wrong", report


def in_turn(averaged: bool, mistake: float = 1.0) -> Callable[..., Any]:
    """Each sample's gradient is taken at the old weights, and its share subtracted from the new ones at once."""

    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        new_weights, new_biases = [w.copy() for w in weights], [b.copy() for b in biases]
        share = weights[0].dtype.type(rate / len(inputs) if averaged else rate)
        for x, t in zip(inputs, targets, strict=True):
            dw, db = gradients(weights, biases, x[None], t[None])
            for k in range(len(weights)):
                new_weights[k] -= share * dw[k] * weights[0].dtype.type(mistake)
                new_biases[k] -= share * db[k]
        return new_weights, new_biases

    return step


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "found out"])
@pytest.mark.parametrize("averaged", [True, False], ids=["averaged", "summed"])
def test_each_sample_s_share_by_itself(averaged: bool, declared: bool, dtype: str) -> None:
    known = {**DECLARED, "reduction": "mean" if averaged else "sum"} if declared else {}
    report = verify(in_turn(averaged), returns="updated", dtype=dtype, **known)
    assert report.ok, report


@pytest.mark.usefixtures("slow")
def test_of_many_samples_it_is_told_and_a_mistake_is_no_rounding() -> None:
    declared: dict[str, Any] = {**DECLARED, "sizes": (3, 4, 2), "batch": 33}
    report = verify(in_turn(averaged=False), returns="updated", **declared)
    assert report.ok, report
    assert verify(in_turn(averaged=False, mistake=1 + 1e-9), returns="updated", **declared).verdict == "wrong"


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("averaged", [True, False], ids=["averaged", "summed"])
def test_in_16_bits_as_many_roundings_are_undecided_and_accuse_nobody(averaged: bool, dtype: str) -> None:
    known = {**DECLARED, "reduction": "mean" if averaged else "sum"}
    report = verify(in_turn(averaged), returns="updated", dtype=dtype, **known)
    assert report.verdict in ("agrees", "undecided"), report
    twice = verify(in_turn(averaged, mistake=2.0), returns="updated", dtype=dtype, **known)
    assert twice.verdict in ("wrong", "unrecognised"), twice
    assert "exactly; that is not what was declared" not in str(twice)
