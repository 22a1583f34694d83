"""What stands in a gradient's place and depends on no data: the weights themselves, or one number everywhere.

It is what comes of a list of parameters that is returned for that of their gradients, or of a fill that was never
written over. Formulas would fit it, as zero with a weight decay of 1, and say nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.diagnosis import Evidence
from ...reference.numbers import PROFILES

Array = NDArray[Any]
PROBES = 3  # that must show it
ROUNDINGS = 4  # of a product with a constant


def no_gradient(observed: Evidence) -> list[str]:
    """What is said of it; nothing where the numbers depend on more."""
    if len(observed) < PROBES or any(o.weight_gradients is None for _, o in observed):
        return []
    own, seen = list[Array](), list[Array]()
    for case, observation in observed:
        biases = observation.bias_gradients or (None,) * len(case.layers)
        for layer, *gradients in zip(case.layers, observation.weight_gradients or (), biases, strict=True):
            for of, gradient in zip((layer.weights, layer.biases), gradients, strict=True):
                if gradient is not None and of is not None:
                    own.append(np.ravel(np.asarray(of, float)))
                    seen.append(np.ravel(np.asarray(gradient, float)))
    parameters, numbers = np.concatenate(own), np.concatenate(seen)
    if not numbers.size or not np.isfinite(numbers).all() or not numbers.any():
        return []
    if (numbers == numbers[0]).all():
        return [f"every number that it returns is {numbers[0]:.6g}, whatever it is asked."]
    unit = max(PROFILES[o.precision].storage.unit_roundoff for _, o in observed)
    largest = int(np.abs(parameters).argmax())
    factor = numbers[largest] / parameters[largest] if parameters[largest] else 0.0
    if not factor or np.abs(numbers - factor * parameters).max() > ROUNDINGS * unit * np.abs(numbers).max():
        return []
    times = "" if abs(factor - 1) <= ROUNDINGS * unit else f"{factor:.6g} times ".replace("-", "−")
    return [f"it returns {times}the weights and biases themselves, and no gradient by them."]
