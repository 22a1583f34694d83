"""Gradient clipping by the norm: what is scaled, and to which length, is said; what only resembles it is not called so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.validation.front_door import verify

Gradients = tuple[list[Any], list[Any]]
EPSILON = 1e-6  # PyTorch's


def gradients(W: Any, B: Any, x: Any, t: Any) -> Gradients:
    """Right: tanh, identity, half the squared error, summed."""
    a = np.tanh(x @ W[0].T + B[0])
    delta = a @ W[1].T + B[1] - t
    below = delta @ W[1] * (1 - a * a)
    return [below.T @ x, delta.T @ a], [below.sum(axis=0), delta.sum(axis=0)]


def scaled(arrays: list[Any], largest: float) -> list[Any]:
    length = np.sqrt(sum((array**2).sum() for array in arrays))
    return [array * array.dtype.type(min(1, largest / (length + EPSILON))) for array in arrays]


def together(W: list[Any], B: list[Any], largest: float) -> Gradients:
    every = scaled([*W, *B], largest)
    return every[: len(W)], every[len(W) :]


def by_layer(W: list[Any], B: list[Any], largest: float) -> Gradients:
    pairs = [scaled([w, b], largest) for w, b in zip(W, B, strict=True)]
    return [w for w, _ in pairs], [b for _, b in pairs]


def by_array(W: list[Any], B: list[Any], largest: float) -> Gradients:
    return [scaled([w], largest)[0] for w in W], [scaled([b], largest)[0] for b in B]


WORDS = {
    together: "the whole gradient is scaled to a length of 1 ",
    by_layer: "each layer's gradient is scaled to a length of 1 ",
    by_array: "each array of the gradient is scaled to a length of 1 ",
}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(6)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("clip", WORDS)
def test_what_is_shortened_and_to_which_length_is_said(clip: Callable[..., Gradients], dtype: str) -> None:
    report = verify(lambda *numbers: clip(*gradients(*numbers), 1.0), dtype=dtype, sizes=(3, 4, 2))
    assert report.verdict == "wrong"
    assert WORDS[clip] in str(report)


@pytest.mark.usefixtures("slow")
def test_so_it_is_in_an_update() -> None:
    def step(W: Any, B: Any, x: Any, t: Any, rate: float) -> Gradients:
        of_weights, of_biases = together(*gradients(W, B, x, t), 1.0)
        new = [[old - rate * g for old, g in zip(*pair, strict=True)] for pair in ((W, of_weights), (B, of_biases))]
        return new[0], new[1]

    report = verify(step, returns="updated", sizes=(3, 4, 2))
    assert report.verdict == "wrong"
    assert WORDS[together] in str(report)


def without_direction(W: list[Any], B: list[Any], x: Any) -> Gradients:
    """Of one length, but in another direction."""
    return together([W[0] * [[1.5], [1], [1], [1]], *W[1:]], B, 1.0)


def of_many_lengths(W: list[Any], B: list[Any], x: Any) -> Gradients:
    return together(W, B, 1.0 + len(x) / 8)


def batch_of_three_halved(W: list[Any], B: list[Any], x: Any) -> Gradients:
    return ([w / 2 for w in W], [b / 2 for b in B]) if len(x) == 3 else (W, B)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("change", [without_direction, of_many_lengths, batch_of_three_halved])
def test_what_resembles_it_is_not_called_so(change: Callable[..., Gradients]) -> None:
    report = verify(lambda W, B, x, t: change(*gradients(W, B, x, t), x), sizes=(3, 4, 2))
    assert report.verdict == "wrong"
    assert "clipped by its norm" not in str(report)
