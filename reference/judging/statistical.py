"""Aggregate tests: what no single number shows, many show together.

Rounding errors of N numbers are of either sign and average out as 1/√N; a wrong factor does not. So the errors of a
whole array are projected on the array itself (which sees a scale error) and on random signs (which see anything else),
and compared with λ times the sub-Gaussian scale that independent roundings give such a projection
(Hoeffding, J. Amer. Statist. Assoc. 58 (1963): a sum of independent errors, each within ±cᵢ, exceeds λ·√Σcᵢ² with a
probability of at most 2·exp(−λ²/2)). λ is that of `error_model.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

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
    exponent = -int(np.frexp(largest)[1])  # so that squares of tiny or huge numbers stay in range
    half = 2.0 ** (exponent // 2)  # the whole power may have no float64
    scaled = partial(_scaled_by, half, 2.0 ** (exponent - exponent // 2), kept, bool(kept.all()))
    e, x, s, r = map(scaled, (errors, exact, systematic, random))
    group = alike(x, unit_roundoff) if axis is None else _lines(exact, axis, unit_roundoff)[kept]
    found = []
    with np.errstate(over="ignore"):  # of bounds that say nothing
        size = _dot(x, x)
        allowed = _dot(np.abs(x), s) + LAMBDA * _scale(np.abs(x) * r, group)
        if 0 < allowed < size:  # 0: what is not exact is 0 there, and says nothing of the scale
            found.append(Aggregate("itself", abs(_dot(x, e)) / allowed, allowed / size))
        # The signs are ours, so they average s out too.
        allowed = LAMBDA * (math.sqrt(_dot(s, s)) + _scale(r, group))
        if 0 < allowed < np.inf:
            found += [Aggregate("random signs", abs(_dot(v, e)) / allowed, None) for v in _signs(seed, x.size)]
    return tuple(found)


def _signs(seed: int, size: int) -> Iterable[Array]:
    """So many vectors of random signs. Those of arrays of a usual size are kept: drawing takes longer than a test."""
    return _kept_signs(seed, size) if size <= USUAL else _drawn_signs(seed, size)


def _drawn_signs(seed: int, size: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for _ in range(SIGN_VECTORS):
        yield rng.choice((-1.0, 1.0), size=size)


@lru_cache(maxsize=64)
def _kept_signs(seed: int, size: int) -> tuple[Array, ...]:
    return tuple(_drawn_signs(seed, size))


USUAL = 2**14


def _dot(x: Array, y: Array) -> float:
    """Σ xy, not by BLAS: its threads take longer to start than this takes, and much longer where others run."""
    return float((x * y).sum())


def _scaled_by(one: float, other: float, kept: NDArray[np.bool_], all_of_it: bool, array: Array) -> Array:
    """The elements that are kept, times both powers of two."""
    chosen = array.reshape(-1) if all_of_it else array[kept]
    return np.asarray(chosen * one * other, np.float64)


def _lines(exact: Array, axis: int, unit_roundoff: float) -> NDArray[np.intp]:
    """The number of the column (axis 0) or row (axis 1) that each element is in; equal lines get the same."""
    lengths = np.nan_to_num(np.abs(exact), posinf=0.0).sum(axis=1 - axis)
    line = np.take(exact, int(np.argmax(lengths)), axis=axis)
    return np.broadcast_to(np.expand_dims(alike(line, unit_roundoff), axis), exact.shape)


def _scale(scales: Array, group: NDArray[np.intp]) -> float:
    """Of a sum of errors of these scales: linear within a group, as the root of the sum of squares between groups."""
    return float(np.sqrt((np.bincount(group, weights=scales) ** 2).sum()))
