"""Answers that are no gradient: the parameters themselves, or one number everywhere; said as that, and as nothing else."""

from __future__ import annotations

from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp

DECLARED: tuple[dict[str, Any], ...] = ({}, {"loss": "mse", "activations": "sigmoid"}, {"loss": "mae"})


def made(of: Any) -> Any:
    """A function that returns that of each weight matrix and each bias vector."""
    return lambda weights, biases, inputs, targets: ([of(w) for w in weights], [of(b) for b in biases])


@pytest.mark.sampled(4)
@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize(
    ("of", "said"),
    [
        (lambda w: w, "it returns the weights and biases themselves, and no gradient by them."),
        (lambda w: -0.5 * w, "it returns −0.5 times the weights and biases themselves"),
        (np.ones_like, "every number that it returns is 1, whatever it is asked."),
        (lambda w: np.full_like(w, 0.25), "every number that it returns is 0.25, whatever it is asked."),
    ],
)
def test_what_depends_on_no_data_is_no_gradient(of: Any, said: str, declared: dict[str, Any]) -> None:
    report = bp.verify(made(of), **declared)
    assert report.verdict == "wrong"
    assert said in str(report).splitlines()[0]


@pytest.mark.usefixtures("slow")
def test_zeros_show_no_loss() -> None:
    report = bp.verify(made(np.zeros_like), loss="mse", activations="sigmoid")
    assert report.verdict == "wrong"
    assert str(report).startswith("wrong: it leaves every gradient at zero.")
