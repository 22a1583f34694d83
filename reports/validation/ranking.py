"""Under which conventions wrong numbers are worth a diagnosis, and the first diagnosis that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby

import numpy as np

from ...reference.diagnosis import (
    Convention,
    Diagnosis,
    Evidence,
    Kind,
    diagnose,
    distances,
    likely,
    one_of_each,
    right,
)
from ...reference.judging import as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES
from .following import evidence_under
from .predictions import Predictions, before

RANKED_BY_DIGITS, LIKELY = 6, 24  # conventions that a wrong answer is diagnosed under
NETWORKS_RANKED = 2  # that conventions are ranked by: what a mean divides by may be the same in one of them
NEARLY_RIGHT, ROUNDINGS = 1e-3, 8  # of an array's largest number; in formats of few digits


def worth_diagnosing(
    conventions: Sequence[Convention], observed: Evidence, predictions: Predictions
) -> list[Convention]:
    """The likeliest: by digits, and where no array is right, those that the last layer leads to."""
    ranked = sorted(conventions, key=lambda c: -_explained(c, observed, predictions))
    kinds = [[c for c in ranked if c.online == online][:RANKED_BY_DIGITS] for online in (ranked[0].online, True, False)]
    by_digits = list(dict.fromkeys(chain.from_iterable(kinds)))  # of updates, the likelier kind first
    if _right_arrays(by_digits[0], observed):
        return by_digits
    return list(dict.fromkeys((*likely(conventions, observed)[:LIKELY], *by_digits)))


def nearest(conventions: Sequence[Convention], observed: Evidence, predictions: Predictions) -> list[Convention]:
    """Those that give the most digits, the best first."""
    return sorted(conventions, key=lambda c: -_explained(c, observed, predictions))[:LIKELY]


def diagnosed(
    conventions: Sequence[Convention], observed: Evidence, kinds: Sequence[Kind]
) -> tuple[Convention, Diagnosis]:
    """A convention and what explains the numbers under it, by the first kind of explanation that fits.

    Of several, one under which most arrays are right already, and of those one that leaves fewest explanations.
    """
    right_ones = {convention: _right_arrays(convention, observed) for convention in conventions}
    ordered = sorted(conventions, key=lambda convention: -right_ones[convention])
    for kind in kinds:
        for _, alike in groupby(ordered, key=right_ones.__getitem__):
            found = []
            for convention in alike:
                diagnosis = diagnose(evidence_under(convention, observed), convention, [kind])
                if diagnosis.proved:
                    return convention, diagnosis
                if diagnosis.explanations:
                    found.append((convention, diagnosis))
            if found:
                return min(found, key=lambda entry: len(entry[1].explanations))
    return conventions[0], Diagnosis((), 0)


def _right_arrays(convention: Convention, observed: Evidence) -> int:
    """How many arrays of each network are nearly those of the right algorithm; it ranks, no more."""
    far = distances(right(convention), evidence_under(convention, one_of_each(observed)[:NETWORKS_RANKED]))
    near = max(NEARLY_RIGHT, ROUNDINGS * PROFILES[observed[0][1].precision].storage.unit_roundoff)
    return sum(off < near for off in far.values())


def _explained(convention: Convention, observed: Evidence, predictions: Predictions) -> float:
    """How many digits of each array of each network the convention gives, in the mean: it ranks, no more."""
    digits = 0.0
    for case, observation in one_of_each(observed)[:NETWORKS_RANKED]:
        floats = predictions.of(convention, case)
        with np.errstate(all="ignore"):
            for place, array in shown(observation):
                moved = np.abs(floats[place] - before(case, place)).max()  # of updates, what counts is the change
                errors = np.abs(as_matrix(place, array).astype(float) - floats[place]) / moved
                digits += float(np.clip(-np.log10(np.where(np.isnan(errors), 1, errors)), 0, 16).mean())
    return digits
