"""Comparing one array with what may be expected of it, element by element and as a whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..numbers import PRECISIONS, Enclosure, format_name
from .expected import CERTAIN, Expected
from .observation import Place
from .statistical import Aggregate, aggregates
from .verdict import Comparison, Element

Array = NDArray[np.float64]

SHOWN = 8  # elements of one array that a judgement keeps in full, the worst first


def compared(place: Place, got: NDArray[Any], may_be: Expected, truth: Enclosure | None) -> Comparison:
    """One array, a block of rows after the other so that the work stays in the processor's cache."""
    scale = _largest_finite(may_be.value)
    undecided = wrong = suspect = 0
    ratio = error = tolerance = -1.0
    outside: list[tuple[float, tuple[int, ...]]] = []
    reasons: dict[str, None] = {}
    rows = max(1, BLOCK // got.shape[1])
    for start in range(0, len(got), rows):
        part = slice(start, start + rows)
        block = _block(np.asarray(got[part], np.float64), may_be.rows(part), scale)
        undecided += block.undecided
        wrong += block.wrong
        suspect += block.suspect
        ratio, error, tolerance = (
            max(ratio, block.ratio), max(error, block.error), max(tolerance, block.tolerance)
        )  # fmt: skip
        outside += [(r, (index[0] + start, *index[1:])) for r, index in block.outside]
        reasons.update(dict.fromkeys(block.reasons))
    projected = _aggregates(place, got, may_be, scale)
    if wrong:
        outside = [(r, index) for r, index in outside if r > 1]
    outside.sort(reverse=True)
    return Comparison(
        place=place,
        elements=got.size,
        undecided=undecided,
        wrong=wrong,
        suspect=suspect,
        largest_ulps=_largest_ulps(got, truth),
        largest_ratio=ratio if ratio >= 0 else None,
        largest_error=error / scale if error >= 0 and scale else None,
        digits=_digits(tolerance, scale),
        scale_error=next((a.resolution for a in projected if a.resolution is not None), None),
        worst=tuple(_element(place, index, got, may_be) for _, index in outside[:SHOWN]),
        aggregates=tuple(aggregate for aggregate in projected if not aggregate.ratio <= 1),
        undecided_because=tuple(reasons),
    )


BLOCK = 2**16  # elements


@dataclass(frozen=True)
class _Block:
    """What some rows of an array come to. ratio, error, tolerance: the largest, −1 for none; outside: the worst."""

    undecided: int
    wrong: int
    suspect: int
    ratio: float
    error: float
    tolerance: float
    outside: list[tuple[float, tuple[int, ...]]]
    reasons: tuple[str, ...] = ()


def _block(got: Array, may_be: Expected, scale: float) -> _Block:
    tolerance = may_be.tolerance
    largest, least = float(tolerance.max()), float(tolerance.min())
    tolerance = tolerance.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        errors = got - may_be.value
        if may_be.remainder.any():
            errors -= may_be.remainder
        np.abs(errors, out=errors)
        error = float(errors.max())
        ratios = errors / tolerance
        ratio = float(np.fmax.reduce(ratios, axis=None, initial=0.0))  # 0 / 0 is no error
        # The quick way: everything is decided, exact results are numbers and not sets, and nothing is outside.
        certain = largest < (scale or math.inf) and bool(may_be.uncertainty.max() <= CERTAIN * least)
        likely = tolerance if may_be.systematic is None else may_be.likely
        if certain and error < math.inf and (ratio < 1 if likely is tolerance else bool((errors <= likely).all())):
            return _Block(0, 0, 0, ratio, error, largest, [])
        single = np.broadcast_to(may_be.uncertainty <= CERTAIN * tolerance, tolerance.shape)
        decided = _decided(tolerance, scale)
        ratios = np.where(np.isnan(ratios), np.where(errors == 0, 0.0, np.inf), ratios)  # 0 / 0 is no error, NaN is
        wrong = decided & (ratios > 1)
        suspect = decided & ~wrong & ~(errors <= likely)
    counted = ratios[decided & (wrong | single)]
    outside = np.flatnonzero(wrong | suspect)
    first = outside[np.argsort(-ratios.reshape(-1)[outside], kind="stable")[:SHOWN]]
    indices = [tuple(int(i) for i in np.unravel_index(int(k), ratios.shape)) for k in first]
    return _Block(
        undecided=int(np.count_nonzero(~decided)),
        wrong=int(np.count_nonzero(wrong)),
        suspect=int(np.count_nonzero(suspect)),
        ratio=float(counted.max(initial=-1.0)),
        error=float(errors[decided & (wrong | single) & np.isfinite(errors)].max(initial=-1.0)),
        tolerance=float(tolerance[decided].max(initial=-1.0)),
        outside=[(float(ratios[index]), index) for index in indices],
        reasons=_reasons(tolerance[~decided], single[~decided]),
    )


def _reasons(tolerances: Array, single: NDArray[np.bool_]) -> tuple[str, ...]:
    """Why elements are undecided, from their tolerances and from whether their exact results are single numbers."""
    finite = np.isfinite(tolerances)
    found = {"overflow": ~finite, "kink": finite & ~single, "bound": finite & single}
    return tuple(reason for reason, where in found.items() if where.any())


def _aggregates(place: Place, got: NDArray[Any], may_be: Expected, scale: float) -> tuple[Aggregate, ...]:
    """The aggregate tests of an array whose steps were independent, on its decided and finite elements."""
    if may_be.systematic is None or may_be.random is None:
        return ()
    if place.quantity.startswith("updated"):
        return ()  # old − rate · gradient: where the step is below half an ulp of the weight, the error *is* the step
    shape = got.shape
    with np.errstate(all="ignore"):
        errors = (np.asarray(got, np.float64) - may_be.value) - may_be.remainder
    systematic = np.broadcast_to(may_be.systematic + may_be.uncertainty, shape)
    random = np.broadcast_to(may_be.random, shape)
    among = _decided(may_be.tolerance, scale)
    seed = crc32(str(place).encode())
    return aggregates(errors, may_be.value, systematic, random, among, may_be.unit_roundoff, may_be.axis, seed)


def _largest_ulps(got: NDArray[Any], truth: Enclosure | None) -> float | None:
    if truth is None:
        return None
    scale = _largest_finite(truth.high)
    if not scale:
        return None
    ulp = PRECISIONS[format_name(got.dtype)].ulp(scale)
    with np.errstate(all="ignore"):
        errors = np.abs((np.asarray(got, np.float64) - truth.high) - truth.low)
    known = errors[np.isfinite(errors) & (truth.radius <= CERTAIN * ulp)]
    return float(known.max()) / ulp if known.size else None


def _decided(tolerance: Array, scale: float) -> NDArray[np.bool_]:
    """Where the check can fail: the tolerance must be below the array's largest element, or all zeros would pass.

    In an array of exact zeros the check is strong: whatever is not (almost) zero fails.
    """
    return tolerance < (scale or np.inf)


def _largest_finite(values: Array) -> float:
    largest = max(float(values.max()), -float(values.min()))
    return largest if math.isfinite(largest) else float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _digits(tolerance: float, scale: float) -> float | None:
    """−log₁₀(largest tolerance / scale): 0 where only the sign and size of the largest element can be told."""
    if tolerance < 0 or scale == 0:
        return None
    return math.inf if tolerance == 0 else max(0.0, math.log10(scale) - math.log10(tolerance))


def _element(place: Place, index: tuple[int, ...], got: NDArray[Any], may_be: Expected) -> Element:
    where = (
        index[1:] if place.quantity in ("bias_gradients", "updated_biases") else index
    )  # the row is the arithmetic's
    here = may_be.rows(slice(index[0], index[0] + 1))
    value, tolerance = (float(array[0, index[1]]) for array in (here.value, here.tolerance))
    return Element(where, value, float(got[index]), tolerance)
