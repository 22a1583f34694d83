"""Arrays of numbers with bounds: beside each value the errors of its four channels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import CHANNELS, LAMBDA, RANDOM, SYSTEMATIC, WORST, Precision

Array = NDArray[Any]

BOUNDED = np.dtype([("value", np.float64), ("errors", np.float64, (len(CHANNELS),))])


def bounded(value: Array, errors: Array) -> Array:
    """The array of these values and errors (one more axis, of the channels)."""
    result = np.empty(np.shape(value), BOUNDED)
    result["value"], result["errors"] = value, errors
    return result


def settled(value: Array, errors: Array) -> Array:
    """As `bounded`; where a value or an error is not finite, nothing is known: the errors are infinite.

    But for an infinity without errors, which is what it is: a mask's −∞.
    """
    result = bounded(value, errors)
    together = result["value"] + sum(errors[..., channel] for channel in range(len(CHANNELS)))  # along no short axis
    unknown = ~np.isfinite(together)
    if unknown.any():
        unknown &= ~infinite(result)
        result["errors"][unknown] = math.inf
    return result


def infinite(x: Array) -> Array:
    """Where it is an infinity for everyone."""
    return np.asarray(np.isinf(x["value"]) & ~x["errors"].any(axis=-1))


def shared(x: Array) -> Array:
    """An array whose elements are going to meet others: their random errors are no longer independent of each other."""
    if not x["errors"][..., RANDOM].any():
        return x
    errors = x["errors"].copy()
    errors[..., SYSTEMATIC] = np.minimum(errors[..., WORST], errors[..., SYSTEMATIC] + LAMBDA * errors[..., RANDOM])
    errors[..., RANDOM] = 0.0
    return bounded(x["value"], errors)


def narrowed(x: Array, precision: Precision, cut: bool) -> Array:
    """The numbers in another format, rounded or cut; what is not exact may have been moved to either side."""
    mantissa, exponent = np.frexp(x["value"])
    scaled = mantissa * 2.0**precision.digits
    exact = np.ldexp(np.trunc(scaled) if cut else np.rint(scaled), exponent - precision.digits)
    halfway = np.abs(np.fmod(np.where(np.isfinite(scaled), scaled, 0.0), 1.0))
    unsure = (x["errors"][..., WORST] > 0) | (halfway == 0.5) & (not cut)  # ties go either way
    errors = x["errors"].copy()
    moved = np.where(unsure, 2 * precision.unit_roundoff * (np.abs(x["value"]) + errors[..., WORST]), 0.0)
    errors[..., WORST] += moved
    errors[..., SYSTEMATIC] += moved
    return bounded(np.where(unsure, x["value"], exact), errors)


def each(constants: Array) -> Array:
    """A constant of `Model`, channels × 1 × 1, along the last axis."""
    return constants.reshape(len(CHANNELS))


def held(values: Array, precision: Precision) -> Array:
    """Which numbers the format holds exactly."""
    mantissa, exponent = np.frexp(values)
    scaled = mantissa * 2.0**precision.digits
    return np.asarray((scaled == np.rint(scaled)) & (exponent > precision.smallest_exponent) | (values == 0))
