"""Certified numbers: every element is a ball (Arb, through python-flint) that is proved to contain the exact result.

Used for the truth that observed numbers are measured against, and to check the bounds themselves.
Source: Johansson, Arb: efficient arbitrary-precision midpoint-radius interval arithmetic, IEEE Transactions on
Computers 66 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from flint import arb, arb_mat, ctx
from numpy.typing import NDArray

from .arithmetic import Arithmetic, Curve, Formula, Rows
from .precision import FLOAT64, Precision

Array = NDArray[np.float64]
Key = TypeVar("Key", bound=Hashable)  # what a matrix is known by

U64 = FLOAT64.unit_roundoff
PRECISIONS_IN_BITS = (128, 256, 512, 1024, 2048, 4096)  # of working precision, tried in this order
BITS = 256  # where nothing else is asked for: far more than any cancellation in float64-sized cases costs


class BallFunctions:
    """Elementary functions of one ball."""

    def constant(self, value: float) -> arb:
        return arb(value)

    def pi(self) -> arb:
        return arb.pi()

    def exp(self, x: arb) -> arb:
        return x.exp()

    def expm1(self, x: arb) -> arb:
        return x.expm1()

    def log(self, x: arb) -> arb:
        return x.log()

    def log1p(self, x: arb) -> arb:
        return x.log1p()

    def tanh(self, x: arb) -> arb:
        return x.tanh()

    def erf(self, x: arb) -> arb:
        return x.erf()

    def sqrt(self, x: arb) -> arb:
        return x.sqrt()

    def absolute(self, x: arb) -> arb:
        return abs(x)

    def maximum(self, x: arb, y: arb) -> arb:
        return arb(x).max(arb(y))

    def minimum(self, x: arb, y: arb) -> arb:
        return arb(x).min(arb(y))

    def step(self, x: arb) -> arb:
        """All of [0, 1] at a kink, as in the bounds."""
        if x > 0:
            return arb(1)
        return arb(0) if x < 0 else arb(0.5, 0.5)

    def activated(self, activation: Curve, z: arb) -> arb:
        return activation.value(z, self)

    def either(self, first: arb, second: arb) -> arb:
        return first

    def by_way_of(self, result: arb, step: arb) -> arb:
        return result

    def undivided(self, quotient: arb, divisor: float) -> arb:
        return quotient


class CertifiedArithmetic:
    """Matrices of balls, at the working precision of `flint.ctx`."""

    functions = BallFunctions()

    def lift(self, rows: Rows) -> arb_mat:
        return arb_mat([[arb(float(x)) for x in row] for row in rows])

    def around(self, value: Rows, error: Rows) -> arb_mat:
        return arb_mat(
            [[arb(float(x), float(e)) for x, e in zip(*rows, strict=True)] for rows in zip(value, error, strict=True)]
        )

    def ones(self, rows: int, columns: int) -> arb_mat:
        return arb_mat(rows, columns, [arb(1)] * (rows * columns))

    def shape(self, matrix: arb_mat) -> tuple[int, int]:
        return matrix.nrows(), matrix.ncols()

    def transpose(self, matrix: arb_mat) -> arb_mat:
        return matrix.transpose()

    def matmul(self, left: arb_mat, right: arb_mat) -> arb_mat:
        return left * right

    def weighted_sums(self, inputs: arb_mat, weights: arb_mat, biases: arb_mat | None) -> arb_mat:
        sums = inputs * weights.transpose()
        return sums if biases is None else sums + self.ones(inputs.nrows(), 1) * biases

    def column_sums(self, matrix: arb_mat) -> arb_mat:
        return self.ones(1, matrix.nrows()) * matrix

    def elementwise(self, formula: Formula, *matrices: arb_mat) -> arb_mat:
        values = [formula(*numbers, self.functions) for numbers in zip(*(m.entries() for m in matrices), strict=True)]
        return arb_mat(*self.shape(matrices[0]), values)

    def activate(self, activation: Curve, z: arb_mat) -> arb_mat:
        return self.elementwise(activation.value, z)

    def softmax(self, z: arb_mat) -> arb_mat:
        return arb_mat([[x.exp() for x in row] for row in self.log_softmax(z).tolist()])

    def log_softmax(self, z: arb_mat) -> arb_mat:
        rows = z.tolist()
        log_sums = [sum((x.exp() for x in row), arb(0)).log() for row in rows]
        return arb_mat([[x - log_sum for x in row] for row, log_sum in zip(rows, log_sums, strict=True)])

    def total(self, matrix: arb_mat) -> arb_mat:
        return arb_mat([[sum(matrix.entries(), arb(0))]])

    def rearranged(self, matrix: arb_mat, positions: Sequence[Sequence[int]]) -> arb_mat:
        elements = matrix.entries()
        return arb_mat([[elements[p] for p in row] for row in positions])

    def narrow(self, matrix: arb_mat, precision: Precision, roundings: int = 1) -> arb_mat:
        """Balls that hold whatever so many roundings may have made of the numbers."""

        def widened(x: arb) -> arb:
            off = roundings * (abs(x).upper() * precision.unit_roundoff + precision.underflow)
            return x + arb(0, off)

        return arb_mat([[widened(x) for x in row] for row in matrix.tolist()])


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Exact results, one per element, as the sum of two doubles and how far they may be from that.

    radius is above what was asked for only where the exact result is no single number: a kink, or an overflow's ∞.
    """

    high: Array
    low: Array
    radius: Array


def enclosures(compute: Callable[[Arithmetic], Mapping[Key, Any]], radii: Mapping[Key, Array]) -> dict[Key, Enclosure]:
    """Compute in balls, with doubled precision until every radius is small enough or more precision does not help.

    compute: an arithmetic to matrices by their places;  radii: how small each element's radius has to become (∞: any)
    """
    enclosed: dict[Key, Enclosure] = {}
    before = -1
    for bits in PRECISIONS_IN_BITS:
        with ctx.workprec(bits):
            matrices = compute(CertifiedArithmetic())
            enclosed = {place: enclosure(matrices[place]) for place in radii}
        wide = sum(int(np.count_nonzero(~(enclosed[place].radius <= radii[place]))) for place in radii)
        if wide in (0, before):
            break
        before = wide
    return enclosed


def enclosure(matrix: arb_mat) -> Enclosure:
    """What a matrix of balls holds."""
    balls = matrix.entries()
    middles = [ball.mid() for ball in balls]
    high = [float(middle) for middle in middles]
    low = [float(middle - near) for middle, near in zip(middles, high, strict=True)]
    shape = (matrix.nrows(), matrix.ncols())
    radius = np.array([float(ball.rad()) for ball in balls]).reshape(shape)
    high_array, low_array = np.array(high).reshape(shape), np.array(low).reshape(shape)
    # What the two doubles lack of the middle: below one ulp of `low`.
    return Enclosure(high_array, low_array, radius + np.abs(low_array) * 2 * U64)
