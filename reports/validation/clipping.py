"""Gradients that are clipped by their norm: all of them together, each layer's, or each array's.

Such a gradient is right where it is short, which looks like a condition; where it is long, its length is always the
same. Source: Pascanu, Mikolov & Bengio, On the difficulty of training recurrent neural networks, ICML 2013, algorithm
1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import ARRAYS, Convention, right
from ...reference.judging import Observation, Place, as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES
from .following import Judged
from .predictions import before

Array = NDArray[Any]

NEAR = 1e-5  # frameworks divide by the length and a little more, such as 1e-6
ROUNDINGS, FEW_DIGITS = 64, 2.0**-20
NEEDED = 3  # lengths that are all the same
SURE = 0.01  # of a length: where rounding may be more, nothing is asked
Group = Callable[[Place], object]
TOGETHER: dict[str, Group] = {
    "the whole gradient is": lambda place: 0,
    "each layer's gradient is": lambda place: place.layer,
    "each array of the gradient is": lambda place: place,
}


def clipped_by_norm(wrong: Judged, convention: Convention) -> list[str]:
    """What is said where every wrong gradient is the right one, shortened to one length."""
    units = [PROFILES[observation.precision].storage.unit_roundoff for _, observation, _ in wrong]
    if convention.online or max(units) > FEW_DIGITS:
        return []
    for what, group in TOGETHER.items():
        if length := _length(wrong, convention, group):
            return [f"{what} scaled to a length of {length:.4g} where it is longer: clipped by its norm."]
    return []


def _length(wrong: Judged, convention: Convention, group: Group) -> float | None:
    """The one length of all gradients that are shorter than the right ones; None where there is none."""
    shortened, whole, slack = list[float](), 0.0, 0.0
    for case, observation, _ in wrong:
        unit = PROFILES[observation.precision].storage.unit_roundoff
        parts: dict[object, list[tuple[Array, Array, float]]] = {}
        for place, got, right_one, off in _gradients(case, observation, convention, unit):
            parts.setdefault(group(place), []).append((got, right_one, off))
        for arrays in parts.values():
            got, right_one = (np.concatenate([each[k] for each in arrays]) for k in (0, 1))
            length, longer = float(np.linalg.norm(got)), float(np.linalg.norm(right_one))
            if not got.any() and not right_one.any():
                continue
            rounded = max(off for *_, off in arrays)
            apart = max(NEAR, 4 * math.sqrt(unit))  # what the right ones may be off themselves, where much cancels
            near = apart * float(np.abs(got).max()) + rounded
            if rounded * math.sqrt(got.size) > SURE * length:
                continue
            if not length <= longer * (1 + apart) < np.inf or np.abs(got - length / longer * right_one).max() > near:
                return None
            if length < longer * (1 - apart):
                shortened.append(length)
                slack = max(slack, rounded * math.sqrt(got.size))
            else:
                whole = max(whole, length)
    if len(shortened) < NEEDED:
        return None
    alike = max(*shortened, whole) <= min(shortened) * (1 + 2 * NEAR) + 2 * slack
    return max(shortened) if alike and min(shortened) > 0 else None


def _gradients(
    case: Case, observation: Observation, convention: Convention, unit: float
) -> Iterator[tuple[Place, Array, Array, float]]:
    """The gradients that are seen, or that weights moved by; the right ones; how far rounding may be."""
    expected = right(convention)(case, ARRAYS) or {}
    kind = "updated" if observation.weight_gradients is None else "_gradients"
    for place, array in shown(observation):
        if kind in place.quantity:
            was = before(case, place)
            rate = 1.0 if kind == "_gradients" else case.learning_rate or 1.0
            got, right_one = (
                (np.asarray(values, float) - was).ravel() / rate
                for values in (as_matrix(place, array), expected[place])
            )
            off = ROUNDINGS * unit * float(np.abs(got).max() + np.abs(was).max() / rate)
            yield place, got, right_one, off
