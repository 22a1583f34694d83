"""What an implementation was seen to compute for a case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..case import Case, Step
from ..numbers import array_of

Array = NDArray[Any]


PerLayer = tuple[Array | None, ...]

# What one learning step computes, in the order in which it is computed. All but the loss are per layer.
QUANTITIES = (
    "pre_activations",
    "activations",
    "loss",
    "deltas",
    "weight_gradients",
    "bias_gradients",
    "updated_weights",
    "updated_biases",
)


@dataclass(frozen=True, eq=False)
class Received:
    """The numbers as the implementation held them before it computed anything: read back, not copied from the case."""

    weights: PerLayer
    biases: PerLayer
    inputs: Array
    targets: Array


@dataclass(frozen=True, eq=False)
class Observation:
    """One implementation's answer to one case. What it does not show is None.

    precision: the name of the format that it computed in
    pre_activations, activations, deltas: per layer, batch × units; the last activations are the outputs
    loss: the reduced error, any shape of one element
    weight_gradients, updated_weights: per layer, units × inputs
    bias_gradients, updated_biases: per layer, one per unit; None for a layer without biases
    """

    adapter: str
    version: str
    device: str
    precision: str
    received: Received | None = None
    pre_activations: PerLayer | None = None
    activations: PerLayer | None = None
    loss: Array | None = None
    deltas: PerLayer | None = None
    weight_gradients: PerLayer | None = None
    bias_gradients: PerLayer | None = None
    updated_weights: PerLayer | None = None
    updated_biases: PerLayer | None = None

    @property
    def outputs(self) -> Array | None:
        return None if self.activations is None else self.activations[-1]


class Place(NamedTuple):
    """Where a number stands: a quantity, and the layer that it belongs to (None for the loss)."""

    quantity: str
    layer: int | None

    def __str__(self) -> str:
        return self.quantity if self.layer is None else f"{self.quantity}[{self.layer}]"


def observed(observation: Observation) -> Iterator[tuple[Place, Array]]:
    """Every array that the observation shows, with its place, in the order of computing."""
    for quantity in QUANTITIES:
        shown = getattr(observation, quantity)
        if shown is None:
            continue
        if quantity == "loss":
            yield Place(quantity, None), shown
            continue
        for k, array in enumerate(shown):
            if array is not None:
                yield Place(quantity, k), array


def computed(step: Step) -> dict[Place, Any]:
    """The reference's matrices by place, in the order of computing."""
    layers = range(len(step.forward.activations))
    updated = step.updated or ()
    quantities = {
        "pre_activations": step.forward.pre_activations,
        "activations": step.forward.activations,
        "deltas": step.backward.deltas,
        "weight_gradients": step.backward.weight_gradients,
        "bias_gradients": step.backward.bias_gradients,
        "updated_weights": tuple(layer.weights for layer in updated),
        "updated_biases": tuple(layer.biases for layer in updated),
    }
    places: dict[Place, Any] = {}
    for quantity in QUANTITIES:
        if quantity == "loss":
            places[Place(quantity, None)] = step.backward.loss
            continue
        for k, matrix in zip(layers, quantities[quantity], strict=False):
            if matrix is not None:
                places[Place(quantity, k)] = matrix
    return places


def differences(case: Case, received: Received) -> list[str]:
    """The places where an implementation started from other bits than the case's; empty if it got them all.

    Compares bit patterns: −0 is not 0.
    """
    expected: list[tuple[str, Any, Array | None]] = [
        ("inputs", case.inputs, received.inputs),
        ("targets", case.targets, received.targets),
    ]
    for k, layer in enumerate(case.layers):
        expected.append((f"layers[{k}].weights", layer.weights, received.weights[k]))
        expected.append((f"layers[{k}].biases", layer.biases, received.biases[k]))
    return [place for place, sent, got in expected if not _same_bits(sent, got, case.dtype)]


def _same_bits(sent: Any, got: Array | None, dtype: str) -> bool:
    if sent is None or got is None:
        return sent is None and got is None
    rows = array_of(sent, dtype)
    same_type = np.asarray(got)
    if same_type.shape != rows.shape or same_type.dtype.itemsize < rows.dtype.itemsize:
        return False
    return rows.astype(same_type.dtype).tobytes() == same_type.tobytes()
