"""What single samples show: the network in scope, its gradients, and δ and activations, which they are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...backprop import Objective
from ...case import Case, known_loss, layers_of
from ...judging import Observation, Place, as_matrix, evidence, observed
from ...numbers import PROFILES
from ..conventions import Convention
from ..explanation import ARRAYS, Evidence
from .scope import Scope
from .vocabulary import snapped

Array = NDArray[np.float64]

NEAR = 2.0**9  # roundings of the largest number, within which a step is looked at closer; it decides nothing
BLURRED = 2.0**-5  # formats and updates in which that is more than this show nothing
SMALLEST = 1e-300  # in place of zero, where it would be divided by
SHORT = 2.0**-7  # of that, how near a constant must be to a short number that people write, to be taken for it


@dataclass
class View:
    """What one case shows, mostly a single sample: the network in scope, its gradients, how near numbers must be.

    weights, biases: None where there is none; of single samples, also where nothing of it is a number (0/0, for one)
    """

    scope: Scope
    weights: list[Array | None]
    biases: list[Array | None]
    near: float

    def copy(self) -> View:
        """The same with values of its own."""
        s = self.scope
        own = Scope(s.ar, s.step, s.layer, s.arguments, s.layers, s.objective, s.targets, dict(s.values))
        return View(own, self.weights, self.biases, self.near)

    def gradient(self, quantity: str, k: int) -> Array | None:
        """A layer's weight gradient, or bias gradient, as it was shown."""
        return (self.weights if quantity.startswith("weight") else self.biases)[k]


def views_of(seen: Evidence, convention: Convention | None = None, roundings: float = NEAR) -> list[View]:
    """A view of each answer to a single sample, cases as a convention has them; none where one has too few digits."""
    views = []
    for case, observation in seen:
        if case.batch > 1 or case.online:
            continue
        view = view_of(case, observation, convention, roundings)
        if view is None:
            return []
        view.weights, view.biases = [_shown(a) for a in view.weights], [_shown(a) for a in view.biases]
        if any(array is not None for array in (*view.weights, *view.biases)):
            views.append(view)
    return views


def view_of(
    case: Case, observation: Observation, convention: Convention | None = None, roundings: float = NEAR
) -> View | None:
    """A view of one answer, without a declared penalty's part; None in formats of few digits."""
    gradients = gradients_of(case, observation)
    count = range(len(case.layers))
    unit = PROFILES[observation.precision].storage.unit_roundoff
    near = roundings * unit
    if near > BLURRED or any(Place("weight_gradients", k) not in gradients for k in count):
        return None
    if observation.weight_gradients is None:  # recovered from a difference of weights
        largest = max(float(np.abs(np.asarray(layer.weights, float)).max()) for layer in case.layers)
        step = max(float(np.abs(array).max()) for array in gradients.values()) * (case.learning_rate or 1.0)
        near *= 1 + largest / max(step, np.finfo(float).tiny)
        if not near <= BLURRED:
            return None
    if convention is not None and convention.decay:
        _without_penalty(gradients, case, convention)
    weights = [gradients.get(Place("weight_gradients", k)) for k in count]
    return View(_scope(case), weights, [gradients.get(Place("bias_gradients", k)) for k in count], near)


def _shown(array: Array | None) -> Array | None:
    """The array, if anything of it is a number."""
    return array if array is not None and np.isfinite(array).any() else None


def _without_penalty(gradients: dict[Place, Array], case: Case, convention: Convention) -> None:
    """A penalty that is meant is no part of what a step computes."""
    for place, array in gradients.items():
        layer = case.layers[place.layer or 0]
        of_weights = place.quantity == "weight_gradients"
        own = layer.weights if of_weights else layer.biases
        if own is not None and (of_weights or convention.decays_biases):
            gradients[place] = array - convention.penalty(case.batch) * np.array(own, float, ndmin=2)


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
    """Whether two arrays are the same but for roundings; what is no number in one must be none in the other."""
    if one.shape != other.shape:
        return False
    with np.errstate(all="ignore"):
        off, largest = float(np.abs(one - other).max()), float(np.abs(other).max())
        if math.isfinite(off):
            return off <= near * max(largest, SMALLEST)
        finite = np.isfinite(one)
        if finite.all() or not np.array_equal(finite, np.isfinite(other)):
            return False
        return not finite.any() or alike(one[finite], other[finite], near)


def tells(array: Array) -> bool:
    """Whether an array shows anything of how it was made: of zeros, and of what is no number, much would give it."""
    return bool((np.isfinite(array) & (array != 0)).any())


def left_factor(gradient: Array, received: Array, near: float, weights: Array) -> tuple[Array, float] | None:
    """δ of δ · aᵀ, given a, where the gradient is that, and the multiple of the weights that was added to it.

    Rows that are no numbers show none of δ.
    """
    finite = np.isfinite(gradient).all(axis=1)
    if not finite.all():
        known = left_factor(gradient[finite], received, near, weights[finite]) if finite.any() else None
        if known is None:
            return None
        partly = np.full((1, len(gradient)), np.nan)
        partly[0, finite] = known[0][0]
        return partly, known[1]
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
            float((left * of_weights).sum() / max(float((of_weights * of_weights).sum()), SMALLEST)), near * SHORT
        )
        if np.abs(left - share * of_weights).max() <= near * scale and len(gradient) * (gradient.shape[1] - 1) > 1:
            return np.asarray(((gradient - share * weights) @ received.T / size).T), share
    return None


def beside(gradient: Array, a: Array) -> Array:
    """What of a gradient is no multiple of these activations, row by row."""
    return gradient - gradient @ a.T / max(float((a * a).sum()), SMALLEST) @ a


def shows(views: Sequence[View], k: int) -> bool:
    """Whether the weight gradients of the layer above are multiples of this layer's activations, row by row.

    A multiple of the weights may have been added, the same in all views.
    """
    shares = []
    for view in views:
        a, gradient = view.scope.values["activations", k], view.weights[k + 1]
        if gradient is None or not a.any():
            continue  # a dead layer shows nothing
        found = left_factor(gradient, a, view.near, np.asarray(view.scope.layers[k + 1].weights))
        if found is None:
            return False
        shares.append(found[1])
    return not shares or max(shares) - min(shares) <= views[0].near * max(map(abs, shares))


def shows_exactly(views: Sequence[View], k: int) -> bool:
    """Whether the layer above's weight gradients are the biases' δ times this layer's activations, where there is δ."""
    for view in views:
        delta, gradient, a = view.biases[k + 1], view.weights[k + 1], view.scope.values["activations", k]
        if delta is not None and gradient is not None and not alike(gradient, delta.T @ a, view.near):
            return False
    return True


def shown_activations(view: View, k: int) -> Array | None:
    """The activations that the layer above's gradients show, by the biases' δ; None where there is none."""
    delta, gradient = view.biases[k + 1], view.weights[k + 1]
    if delta is None or gradient is None or not delta.any() or not np.isfinite(delta @ gradient).all():
        return None
    return np.asarray(delta @ gradient / float((delta * delta).sum()))
