"""Numbers to twice the digits of float64, with proved radii, at the speed of BLAS: the truth of large float64 cases.

An element is a pair of doubles and a radius (`doubled_values.py`), which contains the exact result as a ball does. For
a product of two matrices, each factor is split into a leading part of β bits, counted from the largest number of its
row (on the right, of its column), and the rest:

    x = x₁ + x₂,  y = y₁ + y₂,  x·y = x₁·y₁ + (x₁·y₂ + x₂·y)

Of n products x₁y₁, all sums in any order are whole multiples of one unit, at most 2⁵³ of them if 2β + log₂ n ≤ 53: BLAS
adds them up without a rounding, whatever its order, blocks, threads or FMA. The rest, 2^−β times as large, may be
rounded: |fl(Σ xᵢyᵢ) − Σ xᵢyᵢ| ≤ γₙ Σ |xᵢ||yᵢ| (Higham 2002, §3.1), in any order too. So the result is good to 2^−β γₙ,
about a millionth of what an implementation is allowed, at the price of three products. Where that is not enough, the
rest is split once more: x = x₁ + x₂ + x₃, and x₁·y₂ and x₂·y₁ are exact as well.

Sources: Ozaki, Ogita, Oishi & Rump, Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications, Numerical Algorithms 59 (2012), whose splitting goes to the end; Rump, Ogita
& Oishi, Accurate floating-point summation part I, SIAM J. Sci. Comput. 31(1) (2008), §3, for splitting by adding and
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

    parts: how many leading parts factors are split into: one is enough where the numbers of a row are of much the same
        size, and two where they are not, or where most products are zero
    """

    functions = DoubledFunctions()

    def __init__(self, parts: int = 2) -> None:
        self.parts = parts

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
        """Exactly, as far as leading parts go; the rest rounded: see this module's docstring."""
        terms = left.high.shape[1]
        bits = (FLOAT64.digits - (terms - 1).bit_length()) // 2
        with np.errstate(all="ignore"):
            x, x_rests, x_end = _split(left, bits, self.parts, axis=1)
            y, y_rests, y_end = _split(right, bits, self.parts, axis=0)
            rest = x[0] @ y_rests[-1]
            for part, other in zip([*x[1:], x_rests[-1]], [*y_rests[-2:0:-1], right.high], strict=True):
                if part.any():
                    rest += part @ other
            total = x[0] @ y[0]
            for p in range(1, self.parts):
                for q in range(p + 1):
                    total, error = two_sum(total, x[q] @ y[p - q])
                    rest += error
            without_zeros = self.parts == 1 and left.size.min() > 0 < right.size.min()
            radius = (
                _by_sizes(left, right, x_end, y_end) if without_zeros else _by_products(left, right, x_rests, y_rests)
            )
            return settled(two_sum(total, rest), radius, _underflows(left, right))

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
    for parts in (1, 2):
        matrices = compute(DoubledArithmetic(parts))
        enclosed = {place: _enclosure(matrices[place]) for place in radii}
        if all((enclosed[place].radius <= radius).all() for place, radius in radii.items()):
            return enclosed, True
    return enclosed, False


def _enclosure(matrix: Doubled) -> Enclosure:
    low, radius = (np.broadcast_to(part, matrix.high.shape) for part in (matrix.low, matrix.radius))
    with np.errstate(invalid="ignore"):
        return Enclosure(matrix.high, low, np.where(np.isfinite(matrix.high + low), radius, np.nan))


def _split(x: Doubled, bits: int, parts: int, axis: int) -> tuple[list[Array], list[Array], Array]:
    """Leading parts, counted from the largest number along the axis.

    Then what is left before each and after the last, rounded; and how large that last rest may be.
    """
    _, exponents = np.frexp(x.size.max(axis=axis, keepdims=True))
    leading, rests, rest = list[Array](), [x.high], x.high
    for part in range(1, parts + 1):
        shift = np.ldexp(
            1.5, exponents + (FLOAT64.digits - 1 - part * bits)
        )  # whose ulp is the last of the part's bits
        leading.append(rest + shift)
        leading[-1] -= shift
        rest = rest - leading[-1]
        rests.append(rest if x.of_doubles else rest + x.low)
    return leading, rests, np.ldexp(1.0, exponents - parts * bits)


# What is meant by x is the sum of its parts and of its rest X up to its radius r and the rounding of X; y itself is its
# high part up to u|y| and its radius s. A part is at most twice what was left before it, without its second double, and
# four times that with it. So, γ with a few roundings more, the rest is off by Σ |x|s + r(|y| + s) + 4γ|x||Y| + γ|X||y|,
# and with two parts by 4γ|X₁||Y₁| more, X₁ and Y₁ being what the first leaves.


def _by_products(left: Doubled, right: Doubled, x_rests: list[Array], y_rests: list[Array]) -> Array:
    """That sum, as one product in float32."""
    own = gamma(left.high.shape[1] * len(x_rests) + 8, U64)
    of_left = [left.size, *map(np.abs, x_rests[1:-1]), (left.radius + own * np.abs(x_rests[-1])) * RADIUS_SCALE]
    of_right = [np.abs(rest) * (4 * own * RADIUS_SCALE) for rest in y_rests[:0:-1]]
    of_right[0] += (right.radius + UNDERFLOW * right.size) * RADIUS_SCALE
    return products_above(of_left, [*of_right, right.size + right.radius], NOTHING) / RADIUS_SCALE


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
