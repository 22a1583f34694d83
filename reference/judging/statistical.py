"""Aggregate tests: what no single number shows, many show together.

Rounding errors of N numbers are of either sign and average out as 1/√N; a wrong factor does not. So the errors of a
whole array are projected on the array itself (which sees a scale error) and on random signs (which see anything else),
and compared with λ times the sub-Gaussian scale that independent roundings give such a projection
(Hoeffding, J. Amer. Statist. Assoc. 58 (1963): a sum of independent errors, each within ±cᵢ, exceeds λ·√Σcᵢ² with a
probability of at most 2·exp(−λ²/2)). λ is that of `error_model.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..numbers import LAMBDA, alike

Array = NDArray[np.float64]

SIGN_VECTORS = 2


@dataclass(frozen=True)
class Aggregate:
    """One projection of an array's errors.

    direction: what they were projected on
    ratio: the projection / what independent roundings allow; above 1 is suspect
    resolution: for the projection on the array itself, the smallest scale error that this test refuses; else None
    """

    direction: str
    ratio: float
    resolution: float | None


def aggregates(
    errors: Array,
    exact: Array,
    systematic: Array,
    random: Array,
    among: NDArray[np.bool_],
    unit_roundoff: float,
    axis: int | None = None,
    seed: int = 0,
) -> tuple[Aggregate, ...]:
    """The projections of `errors` (observed − exact), none where roundings are not independent or exact is all zero.

    systematic, random: the two parts of each element's bound (see `bounded.py`); all arrays have one shape
    among: the elements to look at;  unit_roundoff: of the format that the numbers are stored in
    axis: along which errors are shared by all elements (0: by a column, 1: by a row); None where each has its own
    """
    kept = among & np.isfinite(errors) & np.isfinite(systematic) & np.isfinite(random)
    largest = float(np.abs(exact[kept]).max(initial=0.0))
    if np.count_nonzero(kept) < 2 or not largest > 0 or not random[kept].any():
        return ()
    exponent = -np.frexp(largest)[1]  # so that squares of tiny or huge numbers stay in range
    wide = (np.asarray(array[kept], np.float64) for array in (errors, exact, systematic, random))
    e, x, s, r = (np.ldexp(array, exponent) for array in wide)
    group = alike(x, unit_roundoff) if axis is None else _lines(exact, axis, unit_roundoff)[kept]
    rng = np.random.default_rng(seed)
    found = []
    with np.errstate(over="ignore"):  # of bounds that say nothing
        size = float(x @ x)
        allowed = float(np.abs(x) @ s) + LAMBDA * _scale(np.abs(x) * r, group)
        if 0 < allowed < size:  # 0: what is not exact is 0 there, and says nothing of the scale
            found.append(Aggregate("itself", abs(float(x @ e)) / allowed, allowed / size))
        # The signs are ours, so they average s out too.
        allowed = LAMBDA * (float(np.linalg.norm(s)) + _scale(r, group))
        if 0 < allowed < np.inf:
            for _ in range(SIGN_VECTORS):
                signs = rng.choice((-1.0, 1.0), size=x.size)
                found.append(Aggregate("random signs", abs(float(signs @ e)) / allowed, None))
    return tuple(found)


def _lines(exact: Array, axis: int, unit_roundoff: float) -> NDArray[np.intp]:
    """The number of the column (axis 0) or row (axis 1) that each element is in; equal lines get the same."""
    lengths = np.nan_to_num(np.abs(exact), posinf=0.0).sum(axis=1 - axis)
    line = np.take(exact, int(np.argmax(lengths)), axis=axis)
    return np.broadcast_to(np.expand_dims(alike(line, unit_roundoff), axis), exact.shape)


def _scale(scales: Array, group: NDArray[np.intp]) -> float:
    """Of a sum of errors of these scales: linear within a group, as the root of the sum of squares between groups."""
    return float(np.sqrt((np.bincount(group, weights=scales) ** 2).sum()))
