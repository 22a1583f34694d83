"""A small honest implementation that speaks protocol 1, for tests. Standard library only."""

from __future__ import annotations

import json
import math
import sys
from typing import Any


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def answer(asked: dict[str, Any], bug: bool = False) -> dict[str, Any]:
    """Sigmoid layers and half the squared error; the bug: the hidden delta lacks the derivative."""
    layers = asked["layers"]
    gradients: list[dict[str, Any]] = [
        {
            "weights": [[0.0] * len(x["weights"][0]) for _ in x["weights"]],
            "biases": x["biases"] and [0.0] * len(x["biases"]),
        }
        for x in layers
    ]
    outputs, loss = [], 0.0
    for sample, target in zip(asked["inputs"], asked["targets"], strict=True):
        a = [sample]
        for layer in layers:
            biases = layer["biases"] or [0.0] * len(layer["weights"])
            sums = [sum(w * v for w, v in zip(row, a[-1], strict=True)) for row in layer["weights"]]
            a.append([sigmoid(s + b) for s, b in zip(sums, biases, strict=True)])
        outputs.append(a[-1])
        loss += sum((o - t) ** 2 for o, t in zip(a[-1], target, strict=True)) / 2
        delta = [(o - t) * o * (1 - o) for o, t in zip(a[-1], target, strict=True)]
        for k in reversed(range(len(layers))):
            for i, d in enumerate(delta):
                for j, v in enumerate(a[k]):
                    gradients[k]["weights"][i][j] += d * v
                if gradients[k]["biases"] is not None:
                    gradients[k]["biases"][i] += d
            weights = layers[k]["weights"]
            error = [sum(weights[i][j] * d for i, d in enumerate(delta)) for j in range(len(a[k]))]
            delta = error if bug else [e * v * (1 - v) for e, v in zip(error, a[k], strict=True)]
    return {"id": asked["id"], "outputs": outputs, "loss": loss, "gradients": gradients}


def updated(asked: dict[str, Any]) -> dict[str, Any]:
    """The parameters after one step per sample."""
    for sample, target in zip(asked["inputs"], asked["targets"], strict=True):
        gradients = answer({**asked, "inputs": [sample], "targets": [target]})["gradients"]
        for layer, of_layer in zip(asked["layers"], gradients, strict=True):
            for row, of_row in zip(layer["weights"], of_layer["weights"], strict=True):
                row[:] = [w - asked["learning_rate"] * g for w, g in zip(row, of_row, strict=True)]
            if layer["biases"] is not None:
                pairs = zip(layer["biases"], of_layer["biases"], strict=True)
                layer["biases"] = [b - asked["learning_rate"] * g for b, g in pairs]
    return {"id": asked["id"], "updated": asked["layers"]}


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        if "hello" in request:
            reply: Any = {"id": 0, "name": "honest", "activations": ["sigmoid"], "losses": ["half_squared_error"]}
        elif request.get("online"):
            reply = updated(request)
        else:
            reply = answer(request, bug="--bug" in sys.argv)
        print(json.dumps(reply), flush=True)
