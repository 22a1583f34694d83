"""What a tutorial writes, right or with its usual bug."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def gradients(weights: Any, biases: Any, inputs: Any, targets: Any, factor: float = 1.0, bug: str = "") -> Any:
    """What a tutorial writes: sigmoid layers, half the squared error, summed."""
    a = [inputs]
    for w, b in zip(weights, biases, strict=True):
        a.append(sigmoid(a[-1] @ w.T + (0 if b is None else b)))
    delta = factor * (a[-1] - targets) * a[-1] * (1 - a[-1])
    weight_gradients: list[Any] = []
    bias_gradients: list[Any] = []
    for k in reversed(range(len(weights))):
        weight_gradients.insert(0, delta.T @ a[k])
        bias_gradients.insert(0, delta.sum(axis=0))
        error = delta @ weights[k]
        delta = error if bug == "no derivative" else error * a[k] * (1 - a[k])
    return weight_gradients, bias_gradients
