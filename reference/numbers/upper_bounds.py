"""Sums of products bounded from above, and how many of their summands are alike."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .error_model import gamma
from .precision import FLOAT32, FLOAT64

Array = NDArray[np.float64]


def crowds(matrix: Array, alike: float) -> Array:
    """For every row of n numbers, Σ m² / n over its groups of m equal ones: 1 if all differ, n if none do. rows × 1.

    Equal up to sign, a power of two and `alike`. Equal summands are rounded alike, so that m of them are off by m
    roundings of one sign, and all together by √Σm² roundings and not by √n (Higham & Mary 2019, §4, show such data).
    Zeros are no summands: each is a group of its own.
    """
    rows, n = matrix.shape
    mantissas, _ = np.frexp(np.abs(matrix))
    kinds = np.rint(mantissas / max(alike, 2.0**-52))
    kinds[matrix == 0] = np.nan  # equal to nothing
    kinds.sort(axis=1)
    begins = np.ones(matrix.shape, bool)
    begins[:, 1:] = kinds[:, 1:] != kinds[:, :-1]
    first, _ = np.nonzero(begins)  # the row of each group
    sizes = np.diff(np.append(np.flatnonzero(begins), rows * n))
    squares = np.bincount(first, weights=sizes.astype(np.float64) ** 2, minlength=rows)
    return np.asarray(squares[:, None] / n, np.float64)


def products_above(left: list[Array], right: list[Array], lost: Array, right_widest: float | None = None) -> Array:
    """An upper bound of Σ leftᵢ · rightᵢ + lost, of matrices without negative numbers, for every channel at once.

    The inner dimensions stand side by side, so that it is one matrix product. It is done in float32 where the numbers'
    range allows: of a bound, two digits are enough, and all roundings are covered.
    left, right: rows × inner and inner × columns, or channels × those;  lost: channels × 1 × 1
    right_widest: the largest number on the right, if it is known
    """
    inner = sum(a.shape[-1] for a in left) + 1
    widths = [
        max(float(a.max()) for a in left),
        max(float(a.max()) for a in right) if right_widest is None else right_widest,
    ]
    single = inner < LONGEST_IN_FLOAT32 and all(LEAST_IN_FLOAT32 < w < 1 / LEAST_IN_FLOAT32 for w in widths)
    dtype, floor = (np.float32, FLOOR_IN_FLOAT32) if single else (np.float64, 0.0)
    if single:
        lost = lost + inner * FLOAT32.smallest_normal  # products below it are lost
    up = 1 + gamma(inner + 8, (FLOAT32 if single else FLOAT64).unit_roundoff)
    side = _beside(left, lost, axis=-1, dtype=dtype, up=up, floor=floor)
    top = _beside(right, np.ones((1, 1)), axis=-2, dtype=dtype, up=up, floor=floor)
    if side.ndim == 3 and top.ndim == 2:  # one operand for all channels: their rows stand below each other
        return (side.reshape(-1, side.shape[-1]) @ top).reshape(*side.shape[:2], -1)
    product: Array = np.matmul(side, top)
    return product


def _beside(parts: list[Array], last: Array, axis: int, dtype: Any, up: float, floor: float) -> Array:
    """The matrices, and `last` as one more line, along an axis; rounded up to the dtype, with `floor` added."""
    channels = next((a.shape[:1] for a in (*parts, last) if a.ndim == 3), ())
    across = parts[0].shape[-1 if axis == -2 else -2]
    ends = list(accumulate([a.shape[axis] for a in parts] + [1]))
    shape = (*channels, across, ends[-1]) if axis == -1 else (*channels, ends[-1], across)
    joined = np.empty(shape, dtype, order="F" if parts[0].flags.fnc else "C")  # as the first part: copied line by line
    for part, start, end in zip((*parts, last), [0, *ends], ends, strict=False):
        if axis == -1:
            joined[..., start:end] = part
        else:
            joined[..., start:end, :] = part
    joined *= up
    joined += floor
    return joined


# Operands whose largest number is in this range do not overflow; the floor is added to all, for what is below float32.
LEAST_IN_FLOAT32, FLOOR_IN_FLOAT32, LONGEST_IN_FLOAT32 = 2.0**-40, 2.0**-100, 2**20
