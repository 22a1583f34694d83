"""What single samples show: the network in scope, its gradients, and δ and activations, which they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..backprop import Objective
from ..case import Case, known_loss, layers_of
from ..judging import Observation, Place, as_matrix, evidence, observed
from ..numbers import PROFILES
from .explanation import ARRAYS, Evidence
from .scope import Scope
from .vocabulary import snapped

Array = NDArray[np.float64]

NEAR = 2.0**9  # roundings of the largest number, within which a step is looked at closer; it decides nothing
BLURRED = 2.0**-5  # formats in which that is as much as this show no formulas
SHORT = 2.0**-7  # of that, how near a constant must be to a short number that people write, to be taken for it


@dataclass
class View:
    """What one sample shows: the network in scope, its gradients, and how near numbers must be."""

    scope: Scope
    weights: list[Array]
    biases: list[Array | None]
    near: float

    def copy(self) -> View:
        """The same with values of its own."""
        return replace(self, scope=replace(self.scope, values=dict(self.scope.values)))


def views_of(seen: Evidence) -> list[View]:
    """A view of each answer to a single sample, cases as a convention has them; none in formats of few digits."""
    views = []
    for case, observation in seen:
        if case.batch > 1 or case.online:
            continue
        gradients = gradients_of(case, observation)
        count = range(len(case.layers))
        if any(Place("weight_gradients", k) not in gradients for k in count):
            return []
        near = NEAR * PROFILES[observation.precision].storage.unit_roundoff
        if observation.weight_gradients is None:  # recovered from a difference of weights
            largest = max(float(np.abs(np.asarray(layer.weights, float)).max()) for layer in case.layers)
            step = max(float(np.abs(array).max()) for array in gradients.values()) * (case.learning_rate or 1.0)
            near *= 1 + largest / max(step, np.finfo(float).tiny)
        weights = [gradients[Place("weight_gradients", k)] for k in count]
        biases = [gradients.get(Place("bias_gradients", k)) for k in count]
        if near > BLURRED or not all(np.isfinite(array).all() for array in gradients.values()):
            return []
        views.append(View(_scope(case), weights, biases, near))
    return views


def _scope(case: Case) -> Scope:
    layers = dict(enumerate(layers_of(case, ARRAYS)))
    inputs, targets = ARRAYS.lift(case.inputs), ARRAYS.lift(case.targets)
    objective = Objective(known_loss("loss", case.loss), case.reduction)
    return Scope(ARRAYS, layers=layers, objective=objective, targets=targets, values={("activations", -1): inputs})


def gradients_of(case: Case, observation: Observation) -> dict[Place, Array]:
    """The gradients that are shown, or that the updates come from."""
    profile = PROFILES[observation.precision]
    shown = {place: as_matrix(place, array).astype(float) for place, array in observed(observation)}
    worked = {place: s.value for place, s in evidence(case, observation, profile).items()}
    return {place: array for place, array in (worked | shown).items() if place.quantity.endswith("_gradients")}


def alike(one: Array, other: Array, near: float) -> bool:
    """Whether two arrays are the same but for roundings."""
    if one.shape != other.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.abs(one - other).max() <= near * max(float(np.abs(other).max()), 1e-300))


def left_factor(gradient: Array, received: Array, near: float, weights: Array) -> tuple[Array, float] | None:
    """δ of δ · aᵀ, given a, where the gradient is that, and the multiple of the weights that was added to it."""
    with np.errstate(all="ignore"):
        size = float((received * received).sum())
        if not size > 0:
            return None
        delta = gradient @ received.T / size
        left = gradient - delta @ received
        scale = float(np.abs(gradient).max())
        if np.abs(left).max() <= near * scale:
            return np.asarray(delta.T), 0.0
        of_weights = weights - weights @ received.T / size @ received
        share = snapped(
            float((left * of_weights).sum() / max(float((of_weights * of_weights).sum()), 1e-300)), near * SHORT
        )
        if np.abs(left - share * of_weights).max() <= near * scale and len(gradient) * (gradient.shape[1] - 1) > 1:
            return np.asarray(((gradient - share * weights) @ received.T / size).T), share
    return None


def shows(views: Sequence[View], k: int) -> bool:
    """Whether the weight gradients of the layer above are multiples of this layer's activations, row by row.

    A multiple of the weights may have been added, the same in all views.
    """
    shares = []
    for view in views:
        a = view.scope.values["activations", k]
        if not a.any():
            continue  # a dead layer shows nothing
        found = left_factor(view.weights[k + 1], a, view.near, np.asarray(view.scope.layers[k + 1].weights))
        if found is None:
            return False
        shares.append(found[1])
    return not shares or max(shares) - min(shares) <= views[0].near * max(map(abs, shares))


def shown_activations(view: View, k: int) -> Array | None:
    """The activations that the layer above's gradients show, by the biases' δ; None where there is none."""
    delta, gradient = view.biases[k + 1], view.weights[k + 1]
    if delta is None or not delta.any():
        return None
    return np.asarray(delta @ gradient / float((delta * delta).sum()))
