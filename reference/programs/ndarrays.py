"""The kinds of numbers that a program runs in: float64 arrays, and arrays of certified balls.

Operations (`elementwise.py`, `sums.py`, `movement.py`) ask them for what differs; that elements move, NumPy does for
both. Balls: Johansson, Arb, IEEE Transactions on Computers 66 (2017), through python-flint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from flint import arb, arb_mat, ctx
from numpy.typing import NDArray

from .program import Positions, Shape

Array = NDArray[Any]
SHORT = 2.0**16  # a number of so many bits stands for itself


class Numbers(Protocol):
    """What a program needs of a kind of numbers. Arrays are NumPy's; what their elements are is the kind's affair."""

    def array(self, values: Array) -> Array: ...

    def literal(self, values: Array) -> Array:
        """A constant that stands in the program."""
        ...

    def missing(self, shape: Shape) -> Array: ...

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Array) -> Array:
        """An elementwise function: `floats` works on whole float64 arrays, `balls` on single balls."""
        ...

    def total(self, array: Array, axes: tuple[int, ...]) -> Array: ...

    def products(self, left: Array, right: Array) -> Array:
        """Batched matrix product: batch × rows × inner, batch × inner × columns → batch × rows × columns."""
        ...

    def taken(self, array: Array, positions: Positions) -> Array: ...

    def added_at(self, array: Array, positions: Positions, size: int) -> Array: ...

    def joined(self, parts: Sequence[Array]) -> Array: ...


class Floats:
    """float64, in NumPy."""

    def array(self, values: Array) -> Array:
        return values

    def literal(self, values: Array) -> Array:
        return values

    def missing(self, shape: Shape) -> Array:
        raise ValueError(f"an input of shape {shape} was not given")

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(floats(*arrays), dtype=np.float64)

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(array.sum(axis=axes))

    def products(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.matmul(left, right))

    def taken(self, array: Array, positions: Positions) -> Array:
        if not array.size:
            return np.zeros(positions.shape)
        return np.where(positions < 0, 0.0, array.reshape(-1)[positions])

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        result = np.zeros(size + 1)  # the last one takes what goes nowhere
        with np.errstate(all="ignore"):
            np.add.at(result, positions.reshape(-1), array.reshape(-1))
        return result[:size]

    def joined(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts)


@dataclass(frozen=True)
class Balls:
    """Balls, computed with so many bits. An array's elements are `arb`s.

    rounded_literals: where one of these numbers stands in the program, any that rounds to it is meant: 0.7978845608 may
        mean √(2/π); in a table, one that the computation of it may give. Of the other literals, any that float64 rounds
        to it. None: all are meant as they stand
    held: how far they may be besides, relative to themselves, but for short ones, which stand for themselves
    """

    bits: int = 128
    rounded_literals: frozenset[float] | None = None
    held: float = 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Sets the working precision, which python-flint keeps in one place, and puts it back."""
        before = ctx.prec
        ctx.prec = self.bits
        try:
            yield
        finally:
            ctx.prec = before

    def array(self, values: Array) -> Array:
        if values.dtype == object:
            return values
        if values.size and not any(values.strides):  # one number for all elements
            return _filled(values.shape, arb(float(values.flat[0])))
        return _array([arb(float(x)) for x in values.reshape(-1)], values.shape)

    def literal(self, values: Array) -> Array:
        if self.rounded_literals is None or not values.size or values.dtype == object:
            return self.array(values)
        if any(values.strides):
            return self._table(values, self.rounded_literals)
        number = float(values.flat[0])
        unit = half_unit(number)
        if number not in self.rounded_literals:
            unit = min(unit, abs(number) * 2.0**-53)
        elif unit:
            unit = max(unit, abs(number) * self.held)
        return _filled(values.shape, arb(number, unit))

    def _table(self, values: Array, literals: frozenset[float]) -> Array:
        """Numbers that were computed before, such as a window: each is off by up to a unit in the last place of the
        largest, unless all of them are short, and stand for themselves."""
        numbers = values.reshape(-1).astype(np.float64)
        largest = float(np.abs(numbers).max())
        narrow = bool((numbers == numbers.astype(np.float32)).all())
        unit = largest * (2.0**-23 if narrow else 2.0**-52) if any(map(half_unit, numbers.tolist())) else 0.0
        units = [unit if x in literals else min(unit, abs(x) * 2.0**-53) for x in numbers.tolist()]
        return _array([arb(x, each) for x, each in zip(numbers.tolist(), units, strict=True)], values.shape)

    def missing(self, shape: Shape) -> Array:
        raise ValueError(f"an input of shape {shape} was not given")

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Array) -> Array:
        flat = (array.reshape(-1) for array in arrays)
        return _array([balls(*elements) for elements in zip(*flat, strict=True)], arrays[0].shape)

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        return np.asarray(np.add.reduce(array, axis=axes, initial=arb(0), dtype=object), dtype=object)

    def products(self, left: Array, right: Array) -> Array:
        batch, rows, inner = left.shape
        columns = right.shape[2]
        result = _filled((batch, rows, columns), arb(0))
        if inner and rows and columns:
            for k in range(batch):
                product = arb_mat(rows, inner, left[k].reshape(-1).tolist()) * arb_mat(
                    inner, columns, right[k].reshape(-1).tolist()
                )
                result[k] = _array(product.entries(), (rows, columns))
        return result

    def taken(self, array: Array, positions: Positions) -> Array:
        zero = _filled((1,), arb(0))
        return np.asarray(np.concatenate([array.reshape(-1), zero])[positions], dtype=object)

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        result = [arb(0)] * (size + 1)
        for position, element in zip(positions.reshape(-1).tolist(), array.reshape(-1), strict=True):
            result[position] = result[position] + element
        return _array(result[:size], (size,))

    def joined(self, parts: Sequence[Array]) -> Array:
        return np.concatenate(parts)


FLOATS = Floats()


def half_unit(literal: float) -> float:
    """How far a literal may be from the number that was meant: half a unit of its last place. 0: it stands for itself.

    Its last place: binary, of float64 or (if it is one) float32; decimal, where it was written with 7 to 15 digits.
    """
    if not math.isfinite(literal) or math.frexp(literal)[0] * SHORT % 1 == 0:
        return 0.0
    digits = f"{literal:.15e}".partition("e")[0].lstrip("-").replace(".", "").rstrip("0")
    if float(f"{literal:.15g}") == literal and len(digits) <= 15:
        places = len(digits) - 1 - math.floor(math.log10(abs(literal)))
        return 0.5 * 10.0**-places if len(digits) >= 7 else abs(literal) * 2.0**-53  # 0.4 may be 2/5
    return abs(literal) * (2.0**-24 if float(np.float32(literal)) == literal else 2.0**-53)


def _array(elements: Sequence[Any], shape: Shape) -> Array:
    result = np.empty(len(elements), dtype=object)
    result[:] = elements
    return result.reshape(shape)


def _filled(shape: Shape, element: Any) -> Array:
    result = np.empty(shape, dtype=object)
    result.fill(element)
    return result
