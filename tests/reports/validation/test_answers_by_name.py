"""Answers whose parts have names: read where the names say what is whose, refused in words where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backproof as bp
import numpy as np
import pytest
from backproof.reports.calling.answers_by_name import by_name


def answers(kind: str) -> Any:
    def named(*given: Any) -> Any:
        (w1, w2), (b1, b2) = right(*given)
        ways: dict[str, Callable[[], Any]] = {
            "lists": lambda: {"biases": [b1, b2], "weights": [w1, w2]},
            "backwards": lambda: {"dW2": w2, "db2": b2, "dW1": w1, "db1": b1},
            "state": lambda: {"2.weight": w2, "2.bias": b2, "0.weight": w1, "0.bias": b1},
            "nested": lambda: {"Dense_0": {"kernel": w1, "bias": b1}, "Dense_1": {"kernel": w2, "bias": b2}},
            "layers": lambda: [{"w": w1, "b": b1}, {"w": w2, "b": b2}],
            "untold": lambda: {"hidden": w1, "out": w2},
        }
        return ways[kind]()

    return named


def right(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    a = [inputs]
    for w, b in zip(weights, biases, strict=True):
        a.append(np.tanh(a[-1] @ w.T + b))
    d2 = (a[2] - targets) * (1 - a[2] ** 2)
    d1 = (d2 @ weights[1]) * (1 - a[1] ** 2)
    return (d1.T @ a[0], d2.T @ a[1]), (d1.sum(0), d2.sum(0))


@pytest.mark.parametrize("kind", ["lists", "backwards", "state", "nested", "layers"])
def test_names_say_what_is_whose(kind: str) -> None:
    report = bp.verify(answers(kind), sizes=(3, 3, 3), activations="tanh", cases="few", loss="half_squared_error")
    assert report.verdict == "agrees", str(report)


@pytest.mark.usefixtures("slow")
def test_names_that_do_not_say_it_are_refused() -> None:
    report = bp.verify(answers("untold"), cases="few")
    assert report.verdict == "unanswered"
    assert "it returned a dict with hidden, out, whose names do not say what is whose" in str(report)


@pytest.mark.parametrize(
    "answer", [{}, {"W1": 1, "W_1": 2}, {"W1": 1, "b2": 2}, {"W": 1}, {"weights": [1], "W1": 2}, {"biases": [1]}]
)
def test_nothing_is_guessed(answer: Any) -> None:
    assert by_name(answer) is None
