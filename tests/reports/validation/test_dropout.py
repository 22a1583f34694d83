"""Dropout that is left on: which units, times what, and whether the backward pass has the mask."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.validation.front_door import verify


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(4)
@pytest.mark.parametrize("masked", [True, False], ids=["in both passes", "forward alone"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_constant_is_that_of_every_call(share: float, masked: bool) -> None:
    """One unit alone is a constant times any other network's."""

    def dropping(W: Any, B: Any, x: Any, t: Any) -> Any:
        rng = np.random.default_rng(3)
        h = np.tanh(x @ W[0].T + B[0])
        mask = (rng.random(h.shape) < 1 - share) / (1 - share)
        delta = (h * mask) @ W[1].T + B[1] - t
        below = delta @ W[1] * (1 - h * h) * (mask if masked else 1)
        return [below.T @ x, delta.T @ (h * mask)], [below.sum(axis=0), delta.sum(axis=0)]

    report = verify(dropping, sizes=(3, 4, 2))
    first = str(report).splitlines()[0]
    assert f"units of layer 1 are at 0, the others are multiplied by {1 / (1 - share):.6g}" in first
    assert report.verdict == ("unrecognised" if masked else "wrong")
    assert ("goes through dropped units" in first) != masked
    assert "tanh in hidden layers" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("backward", "words"),
    [
        (lambda mask, h: (mask > 0) * (1 - h * h), "but δ of the others is 0.7 times what it has to be"),
        (lambda mask, h: mask * (1 - (h * mask) ** 2), "but δ of the others is not what their derivative gives"),
    ],
    ids=["without its constant", "at the dropped units"],
)
def test_a_mask_in_both_passes_and_a_mistake_in_the_second(backward: Any, words: str) -> None:
    def dropping(W: Any, B: Any, x: Any, t: Any) -> Any:
        h = np.tanh(x @ W[0].T + B[0])
        mask = (np.random.default_rng(0).random((1, h.shape[1])) < 0.7) / 0.7
        delta = (h * mask) @ W[1].T + B[1] - t
        below = delta @ W[1] * backward(mask, h)
        return [below.T @ x, delta.T @ (h * mask)], [below.sum(axis=0), delta.sum(axis=0)]

    report = verify(dropping, sizes=(3, 6, 2), activations=["tanh", "identity"], loss="half_squared_error")
    assert report.verdict == "wrong", report
    assert words in str(report).splitlines()[0]


@pytest.mark.usefixtures("slow")
def test_a_loop_that_is_one_short_is_no_dropout() -> None:
    def gradients(W: Any, B: Any, x: Any, t: Any) -> Any:
        activations = [x]
        for w, b in zip(W, B, strict=True):
            activations.append(1 / (1 + np.exp(-np.clip(activations[-1] @ w.T + b, -500, 500))))
        delta, found = (activations[-1] - t) * activations[-1] * (1 - activations[-1]), list[Any]()
        for k in reversed(range(len(W))):
            gradient = delta.T @ activations[k]
            gradient[:, -1] = 0
            found.insert(0, (gradient, delta.sum(0)))
            delta = delta @ W[k] * activations[k] * (1 - activations[k])
        return [w for w, _ in found], [b for _, b in found]

    report = verify(gradients)
    assert report.verdict == "wrong", report
    assert "dropout" not in str(report)
    assert "of the weight gradient of layer 1 at zero" in " ".join(str(report).split())
