"""Numbers that are right to some digits and no further: finite differences, a table, a series that is cut off.

Nothing explains them, and a list of what was tried helps nobody. How near they are does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...reference.diagnosis import ARRAYS, Convention, Evidence, right
from ...reference.judging import as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES
from .following import evidence_under
from .wording import digits_printed

NEAR = 1e-4  # of the largest number of a probe
MOST = 0.75  # of the probes; where units are saturated, gradients are smaller than such errors
ROUNDINGS = 1000  # what is nearer is a matter of bounds


def nearly_right(conventions: Sequence[Convention], observed: Evidence) -> list[str]:
    """What is said of it; nothing where the numbers are further off, or as near as rounding comes."""
    unit = max(PROFILES[o.precision].storage.unit_roundoff for _, o in observed)
    if unit * ROUNDINGS > NEAR:
        return []
    for convention in conventions:
        off = off_by_probe(convention, observed)
        near = [each for each in off if each < NEAR]
        if len(near) > MOST * len(off) and max(near) > ROUNDINGS * unit:
            digits = round(-math.log10(float(np.quantile(near, MOST))))
            of_all = "every number" if len(near) == len(off) else f"on {len(near)} of {len(off)} probes every number"
            return [
                f"{of_all} is that of {convention}, to some {digits} digits and no further: as finite differences are, "
                "a table, or a formula with a constant of so many digits."
            ]
    return []


def printed_short(conventions: Sequence[Convention], observed: Evidence) -> tuple[Convention, list[str]] | None:
    """The convention whose numbers they are, to as many digits as were printed, and what is said of it."""
    digits, words = digits_printed(observed)
    if words:
        for convention in conventions:
            if max(off_by_probe(convention, observed)) < 10.0 ** (1 - digits):
                return convention, [words, f"to {digits} digits they are those of {convention}."]
    return None


def off_by_probe(convention: Convention, observed: Evidence) -> list[float]:
    """How far each probe's numbers are from the right ones, relative to the largest of them."""
    off = []
    for case, observation in evidence_under(convention, observed):
        expected = right(convention)(case, ARRAYS) or {}
        pairs = [(as_matrix(place, array).astype(float), expected[place]) for place, array in shown(observation)]
        with np.errstate(all="ignore"):
            size = max((float(np.abs(b).max(initial=0.0)) for _, b in pairs), default=0.0)
            far = max((float(np.abs(a - b).max(initial=0.0)) for a, b in pairs), default=0.0)
        off.append(far / size if size and math.isfinite(far) else math.inf)
    return off


def half_right(convention: Convention, observed: Evidence) -> bool:
    """Whether all numbers are the right ones to half of their format's digits."""
    unit = max(PROFILES[o.precision].storage.unit_roundoff for _, o in observed)
    return max(off_by_probe(convention, observed)) < math.sqrt(unit)
