"""What the right algorithm gives for probes, in float64 arrays: once for all conventions that are a factor apart.

Nothing is judged by it: it ranks conventions, and refutes those that are far from what was seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import ARRAYS, Convention, Evidence, right
from ...reference.judging import Observation, Place, as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES

Array = NDArray[Any]

APART = ("online", "decay", "decays_biases", "decay_over_samples")  # what no factor makes equal
COMPARED = ("activations", "weight_gradients", "bias_gradients")
LEARNED = ("weight_gradients", "bias_gradients", "updated_weights", "updated_biases")
SAME = 2.0**-46  # of the largest number: a hundred roundings
ALIKE = 16  # roundings, of the largest number: what is this near in a whole layer of every probe is hardly by chance
REFUTED, ROUNDINGS = 0.3, 512  # of the largest number, and in few digits: twice what bounds are looked at for


@dataclass
class Predictions:
    """Remembers what was computed. Of a sum, a mean and both signs, the gradients are multiples of each other."""

    known: dict[tuple[int, Convention], tuple[Case, Mapping[Place, Array]]] = field(default_factory=dict)

    def of(self, convention: Convention, case: Case) -> Mapping[Place, Array]:
        """What a convention gives for a probe; gradients, and what they move. Raises InvalidInput as `applied` does."""
        convention = convention.for_layers(len(case.layers))
        if convention.online or convention.decay:  # there a factor of the loss is no factor of it all
            return self._found(convention, case)
        places = self._found(replace(convention, reduction="sum", negative=False), case)
        factor = -1.0 if convention.negative else 1.0
        factor /= 1 if convention.reduction.startswith("sum") else case.batch
        factor /= case.sizes[-1] if convention.reduction.endswith("mean over outputs") else 1
        return places if factor == 1 else {place: _times(factor, places, place, case) for place in places}

    def far(self, convention: Convention, case: Case, observation: Observation) -> bool:
        """Whether what was seen is far from what the convention gives, beyond what any format rounds."""
        places, unit = self.of(convention, case), PROFILES[observation.precision].storage.unit_roundoff
        seen = [(place, as_matrix(place, array).astype(float)) for place, array in shown(observation)]
        largest = max(float(np.abs(places[place]).max()) for place, _ in seen)
        if not np.isfinite(largest) or not all(np.isfinite(array).all() for _, array in seen):
            return False
        return any(
            array.shape != places[place].shape
            or np.abs(array - places[place]).max()
            > REFUTED * np.abs(places[place] - before(case, place)).max() + ROUNDINGS * unit * largest
            for place, array in seen
        )

    def last_layer(self, convention: Convention, observed: Evidence) -> float | None:
        """The number of times that the last layer's gradients, or what it moves by, are the convention's: one number
        for all probes, but for roundings; None where there is none, or no gradient is shown.
        """
        times = None
        for case, observation in observed:
            last = len(case.layers) - 1
            seen = [(p, array) for p, array in shown(observation) if p.layer == last and p.quantity in LEARNED]
            places, unit = self.of(convention, case), PROFILES[observation.precision].storage.unit_roundoff
            for place, array in seen:
                was = before(case, place)
                with np.errstate(all="ignore"):
                    right, got = places[place] - was, as_matrix(place, array).astype(float) - was
                    largest = np.abs(places[place]).max() if place.quantity.startswith("updated") else 0.0
                    near = ALIKE * unit * (np.abs(right).max() + largest)
                    if got.shape != right.shape:
                        return None
                    if times is None:
                        times = 1.0 if np.abs(got - right).max() <= near else _ratio(got, right)
                    if not np.abs(got - times * right).max() <= max(1.0, abs(times)) * near:
                        return None
            if not seen:
                return None
        return times

    def same(self, one: Convention, other: Convention, observed: Evidence) -> bool:
        """Whether two conventions give the same activations and gradients, but for roundings, on all probes."""
        if any(getattr(one, name) != getattr(other, name) for name in APART):
            return False
        for case, _ in observed:
            first, second = self.of(one, case), self.of(other, case)
            for place in first:
                if place.quantity not in COMPARED:
                    continue
                off, largest = np.abs(first[place] - second[place]).max(), np.abs(second[place]).max()
                if not off <= SAME * largest:
                    return False
        return True

    def _found(self, convention: Convention, case: Case) -> Mapping[Place, Array]:
        key = id(case), convention
        if key not in self.known:
            with np.errstate(all="ignore"):
                places = right(convention)(convention.applied(case), ARRAYS) or {}
            self.known[key] = case, {place: np.asarray(matrix) for place, matrix in places.items()}
        return self.known[key][1]


def _ratio(got: Array, right: Array) -> float:
    """Of the largest elements; no number where they are zero."""
    at = np.unravel_index(int(np.abs(right).argmax()), right.shape)
    return float(got[at] / right[at]) or math.nan


def _times(factor: float, places: Mapping[Place, Array], place: Place, case: Case) -> Array:
    quantity = place.quantity
    if quantity.endswith("_gradients"):
        return factor * places[place]
    if quantity.startswith("updated"):
        was = before(case, place)
        return was - factor * (was - places[place])
    return places[place]


def before(case: Case, place: Place) -> Array:
    """What a weight was before the update; nothing, of gradients."""
    layer = case.layers[place.layer or 0]
    if place.quantity == "updated_weights":
        return np.array(layer.weights, float)
    return np.array([layer.biases], float) if place.quantity == "updated_biases" else np.zeros(())
