"""Numbers to twice the digits of float64, with proved radii, at the speed of BLAS: the truth of large float64 cases.

An element is a pair of doubles and a radius (`doubled_values.py`), which contains the exact result as a ball does. For
a product of two matrices, each factor is split into a leading part of β bits, counted from the largest number of its
row (on the right, of its column), and the rest:

    x = x₁ + x₂,  y = y₁ + y₂,  x·y = x₁·y₁ + (x₁·y₂ + x₂·y)

Of n products x₁y₁, all sums in any order are whole multiples of one unit, at most 2⁵³ of them if 2β + log₂ n ≤ 53: BLAS
adds them up without a rounding, whatever its order, blocks, threads or FMA. The rest, 2^−β times as large, may be
rounded: |fl(Σ xᵢyᵢ) − Σ xᵢyᵢ| ≤ γₙ Σ |xᵢ||yᵢ| (Higham 2002, §3.1), in any order too. So the result is good to 2^−β γₙ,
about a millionth of what an implementation is allowed, at the price of three products.

Sources: Ozaki, Ogita, Oishi & Rump, Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications, Numerical Algorithms 59 (2012), who split further; Rump, Ogita & Oishi,
Accurate floating-point summation part I, SIAM J. Sci. Comput. 31(1) (2008), §3, for splitting by adding and
subtracting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Arithmetic, Curve, Formula, Rows
from .certified import Enclosure, Key
from .doubled_values import NOTHING, NOWHERE, TINY, Doubled, DoubledFunctions, doubled, exact, settled, two_sum
from .error_model import U64, gamma
from .precision import FLOAT64, Precision
from .upper_bounds import products_above

Array = NDArray[np.float64]

BLOCK = 2**14  # elements that elementwise work is done on at a time
RADIUS_SCALE = 2.0**74  # brings what the rest is off by to the size of the numbers, for `products_above`
UNDERFLOW = 2.0**-100  # of a product that is not tiny: more than underflow in its parts can cost


class DoubledArithmetic:
    """Matrices of `Doubled`. Where a radius is too wide, or nothing is known, balls can do more (`certified.py`).

    quick: whether radii of products may come from sums along rows and columns, which is enough where their numbers are
        of much the same size; else they take one more product
    """

    functions = DoubledFunctions()

    def __init__(self, quick: bool = False) -> None:
        self.quick = quick

    def lift(self, rows: Rows) -> Doubled:
        return exact(np.array(rows, np.float64, ndmin=2))

    def around(self, value: Rows, error: Rows) -> Doubled:
        return Doubled(np.asarray(value, np.float64), NOTHING, np.asarray(error, np.float64))

    def ones(self, rows: int, columns: int) -> Doubled:
        return exact(np.ones((rows, columns)))

    def shape(self, matrix: Doubled) -> tuple[int, int]:
        rows, columns = matrix.high.shape
        return rows, columns

    def transpose(self, matrix: Doubled) -> Doubled:
        transposed = Doubled(matrix.high.T, matrix.low.T, matrix.radius.T)
        transposed.__dict__.update(size=matrix.size.T, smallest=matrix.smallest)  # asked for again
        return transposed

    def matmul(self, left: Doubled, right: Doubled) -> Doubled:
        """x₁·y₁ exactly, the rest rounded: see this module's docstring."""
        terms = left.high.shape[1]
        bits = (FLOAT64.digits - (terms - 1).bit_length()) // 2
        with np.errstate(all="ignore"):
            x1, x2, x_end = _split(left, bits, axis=1)
            y1, y2, y_end = _split(right, bits, axis=0)
            rest = x1 @ y2
            if x2.any():
                rest += x2 @ right.high
            without_zeros = self.quick and left.size.min() > 0 < right.size.min()
            radius = _by_sizes(left, right, x_end, y_end) if without_zeros else _by_products(left, right, x2, y2)
            return settled(two_sum(x1 @ y1, rest), radius, _underflows(left, right))

    def weighted_sums(self, inputs: Doubled, weights: Doubled, biases: Doubled | None) -> Doubled:
        sums = self.matmul(inputs, self.transpose(weights))
        return sums if biases is None else sums + biases

    def column_sums(self, matrix: Doubled) -> Doubled:
        return self.matmul(self.ones(1, len(matrix.high)), matrix)

    def elementwise(self, formula: Formula, *matrices: Doubled) -> Doubled:
        """Some rows at a time, so that the work stays in the processor's cache."""
        rows, columns = matrices[0].high.shape
        result = [np.empty((rows, columns)) for _ in range(3)]
        step = max(1, BLOCK // columns)
        with np.errstate(all="ignore"):
            for start in range(0, rows, step):
                block = slice(start, start + step)
                parts = matrices if step >= rows else [matrix.rows(block) for matrix in matrices]
                part = doubled(formula(*parts, self.functions))
                for whole, numbers in zip(result, (part.high, part.low, part.radius), strict=True):
                    whole[block] = numbers
        return Doubled(*result)

    def activate(self, activation: Curve, z: Doubled) -> Doubled:
        return self.elementwise(activation.value, z)

    def softmax(self, z: Doubled) -> Doubled:
        _, powers, sums = self._exponentials(z)
        with np.errstate(all="ignore"):
            return powers / sums

    def log_softmax(self, z: Doubled) -> Doubled:
        shifted, _, sums = self._exponentials(z)
        with np.errstate(all="ignore"):
            return shifted - self.functions.log(sums)

    def _exponentials(self, z: Doubled) -> tuple[Doubled, Doubled, Doubled]:
        """z less the largest of each row, its exponentials, and their sums."""
        with np.errstate(all="ignore"):
            shifted = z - exact(z.high.max(axis=1, keepdims=True))
            powers = self.functions.exp(shifted)
            return shifted, powers, self.matmul(powers, self.ones(z.high.shape[1], 1))

    def total(self, matrix: Doubled) -> Doubled:
        parts = (np.broadcast_to(part, matrix.high.shape) for part in (matrix.high, matrix.low, matrix.radius))
        return self.column_sums(Doubled(*(part.reshape(-1, 1) for part in parts)))

    def rearranged(self, matrix: Doubled, positions: Sequence[Sequence[int]]) -> Doubled:
        parts = (np.broadcast_to(part, matrix.high.shape) for part in (matrix.high, matrix.low, matrix.radius))
        return Doubled(*(part.reshape(-1)[np.array(positions)] for part in parts))

    def narrow(self, matrix: Doubled, precision: Precision, roundings: int = 1) -> Doubled:
        """Pairs with radii that hold whatever so many roundings may have made of the numbers."""
        with np.errstate(all="ignore"):
            off = roundings * ((matrix.size + matrix.radius) * precision.unit_roundoff + precision.underflow)
            return settled(matrix.pair, matrix.radius + off, NOWHERE)


def enclosures_in_pairs(
    compute: Callable[[Arithmetic], Mapping[Key, Any]], radii: Mapping[Key, Array]
) -> tuple[dict[Key, Enclosure], bool]:
    """What `certified.enclosures` gives, in pairs of doubles, and whether every radius is small enough."""
    for quick in (True, False):
        matrices = compute(DoubledArithmetic(quick))
        enclosed = {place: _enclosure(matrices[place]) for place in radii}
        if all((enclosed[place].radius <= radius).all() for place, radius in radii.items()):
            return enclosed, True
    return enclosed, False


def _enclosure(matrix: Doubled) -> Enclosure:
    low, radius = (np.broadcast_to(part, matrix.high.shape) for part in (matrix.low, matrix.radius))
    with np.errstate(invalid="ignore"):
        return Enclosure(matrix.high, low, np.where(np.isfinite(matrix.high + low), radius, np.nan))


def _split(x: Doubled, bits: int, axis: int) -> tuple[Array, Array, Array]:
    """Leading bits, counted from the largest number along the axis, the rest, rounded, and how large that may be."""
    _, exponents = np.frexp(x.size.max(axis=axis, keepdims=True))
    shift = np.ldexp(1.5, exponents + (FLOAT64.digits - 1 - bits))  # whose ulp is the last of the leading bits
    leading = x.high + shift
    leading -= shift
    rest = x.high - leading
    if not x.of_doubles:
        rest += x.low
    return leading, rest, np.ldexp(1.0, exponents - bits)


# What is meant by x is x₁ + x₂ up to its radius r and the rounding of x₂; y itself is its high part up to u|y| and its
# radius s. So, γ with a few roundings more, the rest is off by Σ |x|(s + 2γ|y₂|) + (r + γ|x₂|)(|y| + s).


def _by_products(left: Doubled, right: Doubled, x2: Array, y2: Array) -> Array:
    """That sum, as one product in float32."""
    own = gamma(left.high.shape[1] + 8, U64)
    of_right = right.radius + 2 * own * np.abs(y2) + UNDERFLOW * right.size
    of_left = left.radius + own * np.abs(x2)
    sides = [left.size, of_left * RADIUS_SCALE], [of_right * RADIUS_SCALE, right.size + right.radius]
    return products_above(*sides, NOTHING) / RADIUS_SCALE


def _by_sizes(left: Doubled, right: Doubled, x_end: Array, y_end: Array) -> Array:
    """At most that: the largest small factor of each row or column, times the sum of the other ones."""
    own = gamma(left.high.shape[1] + 8, U64)
    of_right = right.radius.max(axis=0) + 2 * own * y_end + UNDERFLOW * right.size.max(axis=0)
    of_left = left.radius.max(axis=1, keepdims=True) + own * x_end
    sums = left.size.sum(axis=1, keepdims=True), right.size.sum(axis=0) + len(right.high) * right.radius.max(axis=0)
    return (sums[0] * of_right + of_left * sums[1]) * (1 + 2 * own)


def _underflows(left: Doubled, right: Doubled) -> NDArray[np.bool_]:
    """Whether a product of theirs that is not zero may be tiny."""
    return NOWHERE if left.smallest * right.smallest >= TINY else ~NOWHERE
