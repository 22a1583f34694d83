"""Right numbers that were rounded at the end, to a narrower format than they were computed in: a mistake if that is not
the declared one, and none if it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import ARRAYS, Convention, Evidence, right
from ...reference.judging import Observation, Place, as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import FLOAT64, PRECISIONS, PROFILES, BoundedArithmetic, Precision, narrowed
from .following import evidence_under, judged_under
from .nearly_right import ROUNDINGS, half_right, off_by_probe
from .reach import Judged

MANY = 20  # numbers: of those that a format computes, fewer may be the nearest ones by chance
HALF = 0.5 + 2.0**-8  # of an ulp: what was rounded may itself have been off a little

Array = NDArray[Any]


def stored_short(conventions: Sequence[Convention], observed: Evidence) -> tuple[Convention, list[str]] | None:
    """The convention whose numbers they are, each in some of the arrays rounded once, and what is said of it.

    A network that computes in the narrower format is off by more than half of its ulp somewhere.
    """
    declared = max((PROFILES[o.precision].storage for _, o in observed), key=lambda p: p.unit_roundoff)
    for name, precision in PRECISIONS.items():
        places = _in_format(observed, precision) if precision.digits < declared.digits else []
        if not places:
            continue
        for convention in conventions:
            near = off_by_probe(convention, observed[:1])[0] <= precision.unit_roundoff
            if near and _rounded_once(convention, observed, places, declared, precision):
                return convention, [
                    f"{_in_words(places, observed)}: each number is the nearest of {name} to that of {convention}.",
                    f"what comes before is computed in {declared.name}: it is stored or returned in {name} alone.",
                ]
    return None


def computed_wider(conventions: Sequence[Convention], observed: Evidence) -> tuple[Convention, Judged] | None:
    """The convention whose numbers they are, computed in float64 and each rounded once to the declared format.

    Whoever shows such numbers has gone on with others: a loss of 1e-7 is no difference of the outputs that are shown.
    So each number is judged by itself: within half an ulp of what float64 allows. The judgements returned are of
    gradients alone, or of updates.
    """
    declared = {PROFILES[o.precision].storage for _, o in observed}
    if any(precision.digits >= FLOAT64.digits for precision in declared):
        return None
    for convention in conventions:
        if half_right(convention, observed[:1]) and all(
            _rounded_from_float64(convention, case, o) for case, o in evidence_under(convention, observed)
        ):
            return convention, judged_under(convention, [(case, _gradients_alone(o)) for case, o in observed])
    return None


def _gradients_alone(o: Observation) -> Observation:
    """What is shown of gradients, or where none are, of updates."""
    updates: dict[str, Any] = {} if o.weight_gradients is None else {"updated_weights": None, "updated_biases": None}
    return replace(o, pre_activations=None, activations=None, loss=None, deltas=None, **updates)


def _rounded_from_float64(convention: Convention, case: Case, o: Observation) -> bool:
    precision = PROFILES[o.precision].storage
    bounds = right(convention)(case, BoundedArithmetic(PROFILES["float64"])) or {}
    for place, array in shown(o):
        exact, got = bounds[place], as_matrix(place, array).astype(float)
        half = _ulps(np.where(np.isfinite(got), got, 0.0), precision) / 2
        with np.errstate(all="ignore"):
            if not (np.abs(got - exact.value) <= exact.error + half).all():
                return False
    return True


def _ulps(numbers: Array, precision: Precision) -> Array:
    """Of each number, the gap to the next one of the format."""
    return np.vectorize(precision.ulp, otypes=[float])(numbers)


def _in_format(observed: Evidence, precision: Precision) -> list[Place]:
    """The arrays of which every number is one of the format, in all answers."""
    held: dict[Place, bool] = {}
    for _, o in observed:
        for place, array in shown(o):
            numbers = array.astype(float)
            held[place] = held.get(place, True) and np.array_equal(narrowed(numbers, precision), numbers)
    return [place for place, holds in held.items() if holds]


def _rounded_once(
    convention: Convention, observed: Evidence, places: Sequence[Place], declared: Precision, precision: Precision
) -> bool:
    count = 0
    for case, o in evidence_under(convention, observed):
        expected = right(convention)(case, ARRAYS) or {}
        arrays = [
            (place, as_matrix(place, array).astype(float), np.asarray(expected[place])) for place, array in shown(o)
        ]
        size = max((float(np.abs(wanted).max(initial=0.0)) for *_, wanted in arrays), default=0.0)
        floor = ROUNDINGS * declared.unit_roundoff * size
        for place, got, wanted in arrays:
            off = np.abs(got - wanted)
            if place in places:
                count += int((off > floor).sum())
                floors = _ulps(wanted, precision) * HALF + floor
            else:
                floors = np.full(off.shape, floor)
            if not (off <= floors).all():
                return False
    return count >= MANY


def _in_words(places: Sequence[Place], observed: Evidence) -> str:
    """Which arrays, by kind where they are all of a kind."""
    every = {place for _, o in observed for place, _ in shown(o)}
    kinds = dict.fromkeys(place.quantity for place in places)
    whole = [kind for kind in kinds if {p for p in every if p.quantity == kind} <= set(places)]
    return ", ".join(_called(places, whole))


def _called(places: Sequence[Place], whole: Sequence[str]) -> Iterator[str]:
    yield from (kind.replace("_", " ") for kind in whole)
    yield from (str(place) for place in places if place.quantity not in whole)
