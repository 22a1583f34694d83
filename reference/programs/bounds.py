"""Numbers with bounds: how far an honest implementation of a program may be from its exact result.

The model is that of `numbers/bounded.py`, to be read first: beside a value, computed in float64, stand the errors of
its four channels (truth, worst, systematic, random). Here the arrays have any shape, and the program is any.

What is judged is one call at a time, from the operands that it really had, so that errors start at zero and pass few
lines. A call of several lines (a layer norm, a GELU) may be computed by another honest formula than ours: `expanded`
says that products may have been multiplied out, so that a difference x − y may carry the roundings of both its terms;
the bounds of two-pass variances, of Welford's and of closed-form backward passes are then all of this size.
Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), §1.9 (variances), §2.2, §3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from ..numbers import (
    CHANNELS,
    RANDOM,
    SYSTEMATIC,
    TRUTH,
    U64,
    WORST,
    Model,
    Precision,
    alike,
    lost_alike,
)  # fmt: skip
from .bounded_arrays import BOUNDED, Array, bounded, each, held, infinite, narrowed, settled, shared
from .elementwise_bounds import Elementwise
from .program import Positions

Apart = Callable[[int], tuple[Array, Array]]


@dataclass(frozen=True)
class Bounds(Elementwise):
    """A kind of numbers, as `Floats` and `Balls` are: the rules of `elementwise_bounds.py`, sums, movements.

    factors: a format that an implementation is taken to round the factors of its products to, or to cut them to, before
        it multiplies them; beside it whether it cuts
    """

    factors: tuple[Precision, bool] | None = None

    @cached_property
    def added_up(self) -> Model:
        """Of sums before they are stored: where they are added up in a wider format, the last rounding is its result's,
        and as small as that."""
        inside = self.profile
        if inside.accumulate.digits > inside.storage.digits:  # factors are exact in the wider format
            inside = replace(inside, storage=inside.accumulate, multiply=inside.accumulate)
        return Model(inside, len(CHANNELS))

    @cached_property
    def in_memory(self) -> Model:
        """Of sums that are added up one by one where they are stored (scatter, index_add, an embedding's gradient)."""
        return Model(replace(self.profile, reduce=self.profile.storage), len(CHANNELS))

    def stored(self, x: Array, precision: Precision) -> Array:
        """The numbers as a tensor of this format holds them."""
        size, errors = np.abs(x["value"]), x["errors"].copy()
        exact = errors[..., WORST] == 0
        rounded = ~held(x["value"], precision)  # what is exact is rounded only where the format does not hold it
        if precision.digits < self.profile.storage.digits:
            rounded |= ~exact
        else:
            rounded &= exact  # what was computed is of this format already
        finite = ~infinite(x)
        overflowing = finite & (size + errors[..., WORST] > precision.largest)
        if not rounded.any() and not overflowing.any():
            return x
        unit = np.where(rounded, precision.unit_roundoff * (size + errors[..., WORST]), 0.0)
        below = np.where(rounded & (size < 2 * precision.smallest_normal), precision.underflow, 0.0)
        errors[..., WORST] += unit + below
        errors[..., SYSTEMATIC] += below
        errors[..., RANDOM] += unit
        errors[overflowing | finite & (size + errors[..., WORST] > precision.largest), 1:] = math.inf
        return bounded(x["value"], errors)

    # ---------------------------------------------------------------- sums

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        terms = max(1, math.prod(array.shape[axis] for axis in axes))
        return self.totalled(*self.sums_of(array, axes), terms)

    def sums_of(self, array: Array, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
        """Of terms: their values, errors and sizes, added up."""
        size = np.abs(array["value"]) + array["errors"][..., WORST]
        with np.errstate(all="ignore"):
            value, errors = np.asarray(array["value"].sum(axis=axes)), array["errors"].sum(axis=axes)
            errors[..., RANDOM] = self._together(
                array["errors"][..., RANDOM], array["value"], lambda each: np.asarray(each.sum(axis=axes))
            )
            return value, errors, np.asarray(size.sum(axis=axes))

    def totalled(self, value: Array, errors: Array, size: Array, terms: int) -> Array:
        """A sum of so many terms, of what `sums_of` gives for all of them."""
        with np.errstate(all="ignore"):
            errors = errors * (1 + terms * 2 * U64)
            model = self.added_up if self.profile.reduce == self.profile.accumulate else self.model
            largest = np.abs(value) + errors[..., WORST]
            errors = errors + self._additions(size, largest, terms, model.reductions(terms), model.reductions_apart)
            errors += self._storing(value, errors)
        return self.within_range(settled(value, errors))

    def _additions(self, size: Array, result: Array, terms: int, sums: Array, apart: Apart) -> Array:
        """Roundings of sums of so many terms, whose sizes add up to `size`, and they themselves to `result` at most.

        sums, apart: of `Model`, relative to `size`, and in two parts. What several sums add up, another formula may
        have added up as other terms: there the first holds.
        """
        between = each(min(self.profile.stored_between, terms - 1) * self.model.rounding)
        errors = size[..., None] * (each(sums) + between)
        if not self.one_sum:
            return errors
        of_terms, of_sums = apart(terms)
        largest = np.minimum(size, (size + result) / 2)
        return np.minimum(errors, size[..., None] * (each(of_terms) + between) + largest[..., None] * each(of_sums))

    def _together(self, random: Array, values: Array, added: Callable[[Array], Array]) -> Array:
        """The random part of sums of numbers with these random parts, whose errors are independent of each other.

        added: the sums of such an array's elements. Of k numbers that are rounded alike, at most, it is known that
        (r₁ + … + rₖ)² ≤ k (r₁² + … + rₖ²).
        """
        there = random > 0
        if not there.any():
            return added(random)
        together = int(np.bincount(alike(values[there], self.profile.storage.unit_roundoff)).max())
        return np.asarray(np.minimum(added(random), np.sqrt(together * added(random**2))))

    def _storing(self, value: Array, errors: Array) -> Array:
        """Two roundings of a sum that was added up in a wider format: its own, and that of what is added to it."""
        if self.added_up.profile is self.profile:
            return np.zeros_like(errors)
        storing = 2 * self.model.rounding
        storing[TRUTH] = 0.0
        return np.asarray((np.abs(value) + errors[..., WORST])[..., None] * each(storing))

    def products(self, left: Array, right: Array) -> Array:
        if self.factors is not None:
            left, right = (narrowed(z, *self.factors) for z in (left, right))
        left, right = shared(left), shared(right)
        x, y, terms = left["value"], right["value"], max(1, left.shape[2])
        self.summed.append(terms)
        with np.errstate(all="ignore"):
            value = np.matmul(x, y)
            sizes_x = np.abs(x) + left["errors"][..., WORST]
            sizes_y = np.abs(y) + right["errors"][..., WORST]
            errors = np.zeros((*value.shape, len(CHANNELS)))
            for channel in range(len(CHANNELS)):
                of_x, of_y = left["errors"][..., channel], right["errors"][..., channel]
                if of_x.any():
                    errors[..., channel] += np.matmul(of_x, sizes_y) * (1 + terms * 2 * U64)
                if of_y.any():
                    errors[..., channel] += np.matmul(np.abs(x), of_y) * (1 + terms * 2 * U64)
            sizes, largest, model = np.matmul(sizes_x, sizes_y), np.abs(value) + errors[..., WORST], self.added_up
            own = self._additions(sizes, largest, terms, model.sums(terms), model.sums_apart)
            own += self._storing(value, own)
            own += np.where(own[..., WORST:SYSTEMATIC] > 0, each(self.model.lost_in_sum(terms)), 0.0)
            own[..., SYSTEMATIC] += lost_alike(sizes_x, sizes_y, model.profile.accumulate.unit_roundoff, _summed)
        return self.within_range(settled(value, errors + own))

    # ---------------------------------------------------------------- movements

    def taken(self, array: Array, positions: Positions) -> Array:
        if not _each_once(positions, array.size):
            array = shared(array)
        flat = array.reshape(-1)
        if positions.size and positions.min() < 0:
            flat = np.concatenate([flat, np.zeros(1, BOUNDED)])  # the last one is read for nowhere
        return np.asarray(flat.take(positions))  # of records, eight times as fast as by brackets

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        array, places = array.reshape(-1), positions.reshape(-1)
        result = np.zeros(size + 1, BOUNDED)
        np.add.at(result["value"], places, array["value"])
        np.add.at(result["errors"], places, array["errors"])
        result["errors"][:, RANDOM] = self._together(
            array["errors"][:, RANDOM], array["value"], lambda each: _added_at(each, places, size + 1)
        )
        terms = np.bincount(places + 1, minlength=size + 1)[1:]
        if terms.size and terms.max() > 1:
            sizes = _added_at(np.abs(array["value"]) + array["errors"][:, WORST], places, size + 1)
            for n in np.unique(terms[terms > 1]).tolist():
                at = np.flatnonzero(terms == n)
                with np.errstate(invalid="ignore"):  # no element of a sum too long for the format
                    result["errors"][at] += sizes[at][:, None] * each(self.in_memory.reductions(n))
        return settled(result["value"][:size], result["errors"][:size])

    def joined(self, parts: Sequence[Array]) -> Array:
        several = [shared(part) for part in parts] if len(parts) > 1 else parts  # of one array, each may be a part
        return np.concatenate(several)


_summed = partial(np.sum, keepdims=True)


def _added_at(numbers: Array, places: Positions, size: int) -> Array:
    result = np.zeros(size)
    np.add.at(result, places, numbers)
    return result


def _each_once(positions: Positions, size: int) -> bool:
    """Whether a movement takes no element twice: then errors that were independent of each other still are."""
    taken = positions[positions >= 0]
    return taken.size <= size and int(np.bincount(taken, minlength=1).max()) <= 1
