"""A process that answers protocol 1, for `bench`: python -P -m backproof.reports.trials.bench.child [--bug]."""

from __future__ import annotations

import json
import sys

import numpy as np

from .verifying import SLOPES, gradients


def main() -> None:
    """One answer for each line, until there are no more. The bug: hidden layers have no derivative."""
    hidden = SLOPES["wrong, with a name" if "--bug" in sys.argv[1:] else "right"]
    for line in sys.stdin:
        asked = json.loads(line)
        weights = [np.array(layer["weights"]) for layer in asked["layers"]]
        biases = [np.array(layer["biases"]) for layer in asked["layers"]]
        of_weights, of_biases = gradients(
            hidden, weights, biases, np.array(asked["inputs"]), np.array(asked["targets"])
        )
        pairs = zip(of_weights, of_biases, strict=True)
        found = [{"weights": w.tolist(), "biases": b.tolist()} for w, b in pairs]
        sys.stdout.write(json.dumps({"id": asked["id"], "gradients": found}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
