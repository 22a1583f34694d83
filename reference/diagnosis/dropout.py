"""Units that are dropped: activations at zero or times one constant, call by call, as training mode has them.

A mask cannot be had from gradients of many samples, but one sample's show it: the activations that the weight gradient
above has in it are 0 or c times the right ones. Whether the same mask is in the backward pass shows in δ.
Source: Srivastava et al., Dropout, JMLR 15 (2014), §4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..activations import SOFTMAX, Activation
from ..backprop import RULES
from .conventions import Convention
from .explanation import ARRAYS, Evidence
from .steps.scope import done
from .steps.single_samples import SHORT, View, alike, shown_activations, views_of
from .steps.vocabulary import ratio, snapped

Array = NDArray[np.float64]

CONSTANT = 0.01  # how much a layer's constant may vary from call to call, as it is had from few digits


@dataclass(frozen=True)
class Dropped:
    """Units that are dropped.

    scales: by layer, what the others are multiplied by;  backward: whether δ is right with the mask
    activations: those of the network that explains it
    through: whether δ goes through dropped units;  others: what δ of the other units is, times the right one
    """

    scales: tuple[tuple[int, float], ...]
    backward: bool
    activations: tuple[str | Activation, ...]
    through: bool = False
    others: float | None = None

    @property
    def words(self) -> str:
        where = " and ".join(
            f"units of layer {k + 1} are at 0, the others are multiplied by {scale:.6g}" for k, scale in self.scales
        )
        said = f"dropout is on: {where}"
        if self.backward:
            return f"{said}."
        if self.through:
            return f"{said}, but δ has no such mask: the backward pass goes through dropped units."
        if self.others is not None:
            return f"{said}, but δ of the others is {self.others:.6g} times what it has to be."
        return f"{said}, but δ of the others is not what their derivative gives."


def dropped_units(seen: Evidence, conventions: Sequence[Convention]) -> Dropped | None:
    """What single samples show of dropped units, under the first of the conventions' activations that explains them."""
    for names in dict.fromkeys(convention.activations for convention in conventions):
        convention = next(c for c in conventions if c.activations == names)
        depth = len(names)
        views = views_of([(convention.applied(case), o) for case, o in seen if len(case.layers) == depth])
        if views and (found := _masks(views, names)) is not None:
            return found
    return None


def _masks(views: Sequence[View], names: tuple[str | Activation, ...]) -> Dropped | None:
    last = len(views[0].weights) - 1
    scales: dict[int, list[float]] = {}
    units: dict[int, int] = {}  # that are kept: any one number is a constant times another
    backward, through, others = True, False, list[float]()
    places: dict[tuple[int, int], bytes] = {}
    same = True  # whether it is always the same units
    for view in views:
        masks: dict[int, Array] = {}
        for k in range(last + 1):
            view.scope.values["pre_activations", k] = done(view.scope, "preactivation", k)
            a = np.asarray(done(view.scope, "activation", k))
            view.scope.values["activations", k] = a
            if k == last or view.scope.layers[k].activation is SOFTMAX:
                continue
            shown = shown_activations(view, k)
            if shown is None:
                return None
            if alike(shown, a, view.near):
                continue
            kept = (np.abs(shown) > view.near * np.abs(a).max()) & (a != 0)
            scale = snapped(ratio(shown[kept], a[kept]), view.near * SHORT) if kept.any() else 1.0
            if not alike(shown, scale * np.where(kept, a, 0), view.near):
                return None
            masks[k] = scale * kept
            if (~kept & (a != 0)).any():
                same = (
                    same and places.setdefault((k, a.size), (kept | (a == 0)).tobytes()) == (kept | (a == 0)).tobytes()
                )
                scales.setdefault(k, []).extend([scale] if kept.any() else [])
                units[k] = units.get(k, 0) + int(np.count_nonzero(kept))
            view.scope.values["activations", k] = masks[k] * a
        for k, mask in masks.items():
            above, delta = view.biases[k + 1], view.biases[k]
            if above is None or delta is None:
                continue
            error = RULES.hidden_error(view.scope.layers[k + 1], above, ARRAYS)
            z, right_a = view.scope.values["pre_activations", k], done(view.scope, "activation", k)
            wanted = RULES.hidden_delta(view.scope.layers[k], z, right_a, error, ARRAYS)
            right = np.asarray(wanted) * mask
            if alike(delta, right, view.near):
                others.append(1.0)
                continue
            backward, kept = False, mask != 0
            through = through or bool(np.abs(delta[~kept]).max(initial=0.0) > view.near * np.abs(delta).max())
            factor = ratio(delta[kept], right[kept]) if right[kept].any() else math.nan
            others.append(factor if alike(delta, factor * right, view.near) else math.nan)
    if not scales or min(units.values()) < 2:
        return None
    unscaled = all(abs(scale - 1) < CONSTANT for each in scales.values() for scale in each)
    undrawn = same and unscaled and not backward  # a loop that is a unit short, or the like
    if undrawn or any(max(each) - min(each) > CONSTANT * min(each) for each in scales.values()):
        return None
    one = bool(others) and max(others) - min(others) <= CONSTANT * abs(min(others))  # not where one is no number
    found = tuple((k, float(np.median(scales[k]))) for k in sorted(scales))
    return Dropped(found, backward, names, through, float(np.median(others)) if one else None)
