"""Rounding errors of sums and differences that are no chance of each element's own, as an operand repeats or is lost.

In x − t, both are multiples of their ulps. Where the ulp of the result is no larger than that of x, only the bits of t
below it are rounded away: the error is a function of t alone, and where one t meets many x, all of them have it. Where
the result's ulp is the larger, x decides as well; over the places that multiples of x's ulp take between two numbers
of the format, the errors' mean is again t's distance from such multiples. So t brings along the *offset*

    min over k of |t − k·g|, g the smaller of the two ulps: at most |t|, and at most u·|x − t| (Higham 2002, §2.2),

which is zero for a t that x's ulp divides: for targets 0, 1 and ½ nothing is allowed. What is left of the error varies
with x. A number below an ulp of the result is *lost*: the error is that number itself, or what an ulp has more,
whatever the other operand is: min(|y|, u·|x + y|), as in 1 − a² for small a.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .error_model import LAMBDA, RANDOM, SYSTEMATIC, WORST

Array = NDArray[np.float64]

# Numbers that share a 256th of an ulp, up to sign and a power of two, are rounded alike. A crowd of numbers within a
# fraction f of half an ulp, whose roundings may all have one sign and 1 − f/2 units of size, is 128f such groups: what
# is still allowed of them, λ/√(128f) = 0.94/√f, is always more.
ALIKE = 2.0**-8


def offset(size: Array, other: Array, result: Array, unit_roundoff: float) -> tuple[Array, Array]:
    """How far numbers of these sizes are from multiples of the smaller ulp of the two, and how many ulps they are.

    size: of the operand that may repeat;  other, result: the largest sizes that the other and the result may have
    """
    _, exponents = np.frexp(np.minimum(other, result))  # a larger ulp is farther from, never nearer to
    ulps = np.ldexp(unit_roundoff, exponents)
    multiple = size / ulps
    away = np.abs(multiple - np.rint(multiple)) * ulps
    # Nothing is rounded where one of them is zero or not finite, nor below the smallest double.
    rounded = (other > 0) & np.isfinite(away) & np.isfinite(result)
    return np.where(rounded, np.minimum(away, unit_roundoff * result), 0.0), multiple


def lost(first: Array, second: Array | float, result: Array, unit_roundoff: float) -> Array:
    """What goes with an operand below an ulp of the result."""
    smaller, half_ulp = np.minimum(first, second), unit_roundoff * result
    return np.where(smaller < 2 * half_ulp, np.minimum(smaller, half_ulp), 0.0)


def lost_alike(
    left: Array, right: Array, unit_roundoff: float, total: Callable[[Array, tuple[int, ...]], Array]
) -> Array:
    """What goes with products that are below an ulp of their sums in a whole row, or in a whole column.

    δ of saturated units is next to nothing in some samples and 1 in others: in sums over samples, what is next to
    nothing is lost, or made a whole ulp, in all units alike, and with one sign. Where only some elements of a row lose
    a product, each loses another.

    left, right: the sizes of the factors, … × rows × terms and … × terms × columns
    total: sums over axes, which it keeps
    """

    def of_rows(factors: Array, largest: Array) -> Array:
        terms = factors * largest
        last = (terms.ndim - 1,)
        return total(lost(terms, np.inf, total(terms, last), unit_roundoff), last)

    # What is not finite has no finite bound anyway, and says nothing of the other rows and columns.
    left, right = (np.where(np.isfinite(factors), factors, 0.0) for factors in (left, right))
    of_columns = left.max(axis=-2, keepdims=True, initial=0.0)
    of_terms = right.max(axis=-1, keepdims=True, initial=0.0).swapaxes(-1, -2)
    return of_rows(left, of_terms) + of_rows(right.swapaxes(-1, -2), of_columns).swapaxes(-1, -2)


def times(values: Array, shape: tuple[int, ...]) -> Array | None:
    """How often each element's number is there, in a matrix of this shape; None where none is there twice."""
    if values.size == 1:
        return np.full(shape, float(np.prod(shape)))
    flat = np.broadcast_to(values, shape).reshape(-1)
    in_order = np.sort(flat)
    if not (in_order[1:] == in_order[:-1]).any():
        return None
    _, group, sizes = np.unique(flat, return_inverse=True, return_counts=True)
    return np.asarray(sizes[group], np.float64).reshape(shape)


def allowed(offsets: Array, multiples: Array) -> tuple[Array, Array]:
    """The systematic part, and the random one, of offsets that all elements with as many ulps have alike.

    A group of m is off by m offsets of one sign, groups among each other by the root of the sum of squares: √m times as
    much random error for each element. Of N elements, groups of N/λ² and more are λ² at most; added up, Σ m ≤ λ√Σm² by
    Cauchy and Schwarz, so that calling theirs systematic is the narrower of the two, and never too narrow.
    """
    nothing = np.zeros((1, 1))
    if not offsets.any():
        return nothing, nothing
    found = times(multiples, offsets.shape)
    if found is None:
        return nothing, nothing
    alike = np.where(found > 1, offsets, 0.0)
    many = found * LAMBDA**2 >= offsets.size
    return np.where(many, alike, 0.0), np.where(many, 0.0, np.sqrt(found) * alike)


def shared(errors: Array, values: Array, results: Array) -> Array:
    """The errors of an operand whose equal elements, which went through the same roundings, have the same error.

    What the aggregate tests see are the results: where these are alike too, they are grouped there (`statistical.py`).
    Where the other operand makes them differ, as the varied slopes of a layer do that gets one δ from above in all its
    samples, m elements with one error in n groups of results count as `allowed` has it: m/n times the variance, or,
    where that is less, the whole worst case as systematic.
    """
    found = times(_mantissas(values), results.shape)
    if found is None:
        return errors
    grouped = times(_mantissas(results), results.shape)
    fewer = found if grouped is None else found / grouped
    if not (fewer > 1).any():
        return errors
    errors = np.broadcast_to(errors, (len(errors), *results.shape)).copy()
    by_chance = LAMBDA * np.sqrt(found / results.size) * errors[RANDOM]
    certain = (fewer > 1) & (errors[WORST] - errors[SYSTEMATIC] < by_chance)
    errors[RANDOM] = np.where(certain, 0.0, np.sqrt(np.maximum(fewer, 1)) * errors[RANDOM])
    errors[SYSTEMATIC] = np.where(certain, errors[WORST], errors[SYSTEMATIC])
    return errors


def _mantissas(values: Array) -> Array:
    """A sign and a power of two change an error as they change the number, and nothing else."""
    return np.frexp(np.abs(values))[0]


def alike(values: Array, unit_roundoff: float) -> NDArray[np.intp]:
    """The number of each element's group: those equal up to sign, a power of two and a small part of an ulp."""
    mantissas, _ = np.frexp(np.abs(values))  # from ½ to 1, where an ulp is u
    _, group = np.unique(np.rint(mantissas / (unit_roundoff * ALIKE)), return_inverse=True)
    return group.reshape(-1)
