"""A matrix of numbers in two doubles each, with a radius around them, and the functions on it. See `doubled.py`.

Sums and products of two doubles are split into a double and its rounding error, which is a double too (Knuth, The Art
of Computer Programming 2, §4.2.2, thm. B; Dekker, A floating-point technique for extending the available precision,
Numerische Mathematik 18, 1971). Of such pairs, +, ×, ÷ and √ are those of Joldes, Muller & Popescu, Tight and rigorous
error bounds for basic building blocks of double-word arithmetic, ACM Transactions on Mathematical Software 44(2), 2017
(algorithms 10 and 17: 7u² and 15u² + 56u³ of the result; the sum's error is bounded by what it rounds away), and of
Lefèvre, Louvet, Muller, Picot & Rideau, Accurate calculation of Euclidean norms using double-word arithmetic, ibid.
49(1), 2023 (√: 25/8 u²). IEEE 754's +, −, ×, ÷ and √ are all that they need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from flint import arb, arb_mat, ctx
from numpy.typing import NDArray

from .arithmetic import Curve
from .certified import enclosure
from .error_model import OUTWARD, U64

Array = NDArray[np.float64]
Pair = tuple[Array, Array]  # two doubles whose sum is meant, the second below half an ulp of the first

OWN = 2.0**-100  # of the result: more than ×, ÷ and √ of pairs are off
TINY, LOST = 2.0**-900, 2.0**-1000  # below the first, steps of a computation may underflow; they lose less than LOST
NOTHING, NOWHERE = np.zeros((1, 1)), np.zeros((1, 1), np.bool_)


def two_sum(a: Any, b: Any) -> Pair:
    """The sum, rounded, and its rounding error. Exact whatever their sizes."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def fast_two_sum(a: Any, b: Any) -> Pair:
    """The same where |a| ≥ |b|, or a = 0."""
    total = a + b
    return total, b - (total - a)


def two_product(a: Any, b: Any) -> Pair:
    """The product, rounded, and its rounding error. Exact but for underflow; NaN beyond 2⁹⁹⁵."""
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, a2 * b2 - (((product - a1 * b1) - a2 * b1) - a1 * b2)


def _halves(a: Any) -> Pair:
    """A double as a sum of two of 26 bits (Veltkamp)."""
    scaled = (2.0**27 + 1) * a
    high = scaled - (scaled - a)
    return high, a - high


def times(x: Pair, y: Pair) -> Pair:
    """Up to 7u² of the result (Joldes et al., algorithm 10)."""
    product, error = two_product(x[0], y[0])
    return fast_two_sum(product, error + (x[0] * y[1] + x[1] * y[0]))


def over(x: Pair, y: Pair) -> Pair:
    """Up to 15u² + 56u³ of the quotient (Joldes et al., algorithm 17)."""
    quotient = x[0] / y[0]
    product, error = two_product(quotient, y[0])
    back, rest = fast_two_sum(product, error + quotient * y[1])
    return fast_two_sum(quotient, ((x[0] - back) + (x[1] - rest)) / y[0])


def plus(x: Pair, y: Pair) -> Pair:
    """Up to 3u² (|x| + |y|), and exact up to the pair's own end where both second parts are zero.

    Where x + y cancels, what is left of it is no less than an ulp of the smaller, which the small parts do not exceed.
    """
    total, error = two_sum(x[0], y[0])
    return fast_two_sum(total, error + (x[1] + y[1]))


@dataclass(frozen=True, eq=False)
class Doubled:
    """The exact numbers are within `radius` of high + low; where one of these is no number, nothing is known of them.

    Each is rows × columns; low and radius may be 1 × 1. |low| ≤ u |high|.
    """

    high: Array
    low: Array
    radius: Array

    @property
    def pair(self) -> Pair:
        return self.high, self.low

    @property
    def of_doubles(self) -> bool:
        """Whether it is known to consist of single doubles."""
        return self.low.size == 1 and not self.low.any()

    @cached_property
    def size(self) -> Array:
        return np.abs(self.high)

    @cached_property
    def tiny(self) -> NDArray[np.bool_]:
        """Where what is computed of these, or of their radii, may underflow: not of what is surely zero."""
        return NOWHERE if self.size.min() >= TINY else (self.size < TINY) & self.something

    @property
    def something(self) -> NDArray[np.bool_]:
        """Where it is not surely zero."""
        return (self.size > 0) | (self.radius > 0)

    @cached_property
    def smallest(self) -> float:
        """The smallest number that is not zero, of sizes and radii."""
        return min(float(x.min()) or float(x[x > 0].min(initial=np.inf)) for x in (self.size, self.radius))

    def rows(self, part: slice) -> Doubled:
        """Some of the rows."""

        def cut(array: Array) -> Array:
            return array[part] if len(array) == len(self.high) else array

        return Doubled(self.high[part], cut(self.low), cut(self.radius))

    def __add__(self, other: Operand) -> Doubled:
        y = doubled(other)
        radius = self.radius + y.radius
        if not (self.of_doubles and y.of_doubles):
            radius = radius + OWN * (self.size + y.size)
        return settled(plus(self.pair, y.pair), radius, _either(self.tiny, y.tiny))

    def __sub__(self, other: Operand) -> Doubled:
        return self + -doubled(other)

    def __mul__(self, other: Operand) -> Doubled:
        if not isinstance(other, Doubled) and _whole_power_of_two(other):
            return Doubled(self.high * other, self.low * other, self.radius * abs(other))
        y = doubled(other)
        pair = times(self.pair, y.pair)
        size = np.abs(pair[0])
        travelled = self.size * y.radius + self.radius * (y.size + y.radius)
        underflows = NOWHERE if size.min() >= TINY else (size < TINY) & self.something & y.something
        return settled(pair, travelled + OWN * size, underflows)

    def __truediv__(self, other: Operand) -> Doubled:
        y = doubled(other)
        quotient = over(self.pair, y.pair)
        smallest = y.size * (1 - 4 * U64) - y.radius
        size = np.abs(quotient[0])
        travelled = (self.radius + size * y.radius) / smallest
        radius = np.where(smallest > 0, travelled + OWN * size, np.inf)
        underflows = NOWHERE
        if not min(size.min(), self.size.min(), y.size.min()) >= TINY:
            underflows = self.tiny | y.tiny | ((size < TINY) & self.something)
        return settled(quotient, radius, underflows, LOST / np.minimum(smallest, 1))

    def __rtruediv__(self, other: float) -> Doubled:
        return doubled(other) / self

    def __pow__(self, exponent: int) -> Doubled:
        """A product of so many factors."""
        if not isinstance(exponent, int) or exponent < 1:
            return NotImplemented
        return self if exponent == 1 else self ** (exponent - 1) * self

    def __neg__(self) -> Doubled:
        return Doubled(-self.high, -self.low, self.radius)

    def __abs__(self) -> Doubled:
        return Doubled(self.size, np.copysign(1.0, self.high) * self.low, self.radius)

    def __radd__(self, other: float) -> Doubled:
        return self + other

    def __rsub__(self, other: float) -> Doubled:
        return -self + other

    def __rmul__(self, other: float) -> Doubled:
        return self * other


Operand = Doubled | float


def doubled(x: Operand) -> Doubled:
    """A number that is exactly a double, as one of these."""
    return x if isinstance(x, Doubled) else _number(float(x))


@lru_cache(64)
def _number(x: float) -> Doubled:
    return exact(np.full((1, 1), x))


def exact(numbers: Array) -> Doubled:
    """Numbers that are exactly doubles."""
    return Doubled(numbers, NOTHING, NOTHING)


def settled(pair: Pair, radius: Array, underflows: NDArray[np.bool_], lost: Any = LOST) -> Doubled:
    """A result with a radius that covers the few roundings with which it was computed, and underflow on the way."""
    radius = radius * OUTWARD
    if underflows is not NOWHERE and underflows.any():
        radius = radius + np.where(underflows, lost, 0.0)
    return Doubled(*pair, radius)


def _either(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return NOWHERE if first is second is NOWHERE else first | second


def _whole_power_of_two(x: float) -> bool:
    return abs(x) >= 1 and bool(abs(np.frexp(x)[0]) == 0.5)


# ------------------------------------------------------------------------------------ elementary functions

STEPS_OF_LOG2 = 128  # arguments of exp are brought to within half of log 2 / 128, which is below 2^−8.5
NEAR_ZERO = 2.0**-9  # as far as the series of expm1 and log1p are used directly
SERIES, EXP, LOG, TANH = 2.0**-68, 2.0**-75, 2.0**-74, 2.0**-64  # how far they are off: see there
OF_EXPM1 = (1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040)
OF_LOG1P = (1 / 3, -1 / 4, 1 / 5, -1 / 6, 1 / 7, -1 / 8)
LARGEST_EXPONENT, SMALLEST_EXPONENT = 709.0, -690.0


def _pairs(numbers: Sequence[arb]) -> Pair:
    high = [float(number) for number in numbers]
    low = [float(number - near) for number, near in zip(numbers, high, strict=True)]
    return np.array(high), np.array(low)


with ctx.workprec(256):
    POWERS = _pairs([(arb.const_log2() * k / STEPS_OF_LOG2).exp() for k in range(STEPS_OF_LOG2)])
    LOG2_HIGH = float(np.ldexp(np.rint(np.ldexp(float(arb.const_log2()), 35)), -35)) / STEPS_OF_LOG2  # of 35 bits
    LOG2_LOW = float(arb.const_log2() / STEPS_OF_LOG2 - LOG2_HIGH)
    _PI = _pairs([arb.pi()])
    PI = Doubled(_PI[0].reshape(1, 1), _PI[1].reshape(1, 1), np.full((1, 1), OWN))


def series(x: Pair, half: float, coefficients: Sequence[float]) -> Pair:
    """x + half·x² + x³ (c₀ + c₁x + …), half = ±½, up to 2⁻⁶⁸ |x|.

    |x| ≤ 2^−8.5 and c₀ = 1/6, or |x| ≤ 2⁻⁹ and c₀ = 1/3. Only x³ is left to double precision: with its few roundings,
    and that of x to its first double, it is off by less than 12u c₀ x² |x| < 2^−68.9 |x|. What the two series lack
    beyond their last coefficient is below 2⁻⁷⁴ |x|.
    """
    high, low = x
    square, error = two_product(high, high)
    tail = np.full_like(high, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        tail *= high
        tail += coefficient
    tail *= high * square
    tail += half * error + 2 * half * high * low + low
    total, rest = fast_two_sum(high, half * square)
    return fast_two_sum(total, rest + tail)


def exponential(high: Array, low: Array) -> Pair:
    """eˣ = 2ᵐ 2^(j/128) eʳ of a pair from −690 to 709, up to 2⁻⁷⁵ of it.

    Source: Tang, Table-driven implementation of the exponential function in IEEE floating-point arithmetic, ACM
    Transactions on Mathematical Software 15 (1989). x − k log 2 / 128 is exact but for three roundings of numbers up to
    2⁻²⁶ and the end of log 2: r is off by 2⁻⁷⁷. eʳ is off by 2⁻⁶⁸ |r| more; what the pairs add is of the size of u².
    """
    k = np.rint(high * (1 / LOG2_HIGH))
    reduced, error = two_sum(high, -k * LOG2_HIGH)  # a product of 18 bits and 35: exact
    r = two_sum(reduced, error + (low - k * LOG2_LOW))
    steps = k.astype(np.int64)
    of_table = steps & (STEPS_OF_LOG2 - 1)
    power = POWERS[0][of_table], POWERS[1][of_table]
    value, rest = plus(power, times(power, series(r, 0.5, OF_EXPM1)))
    exponents = steps // STEPS_OF_LOG2
    return np.ldexp(value, exponents), np.ldexp(rest, exponents)


class DoubledFunctions:
    """Elementary functions of `Doubled`. None relies on the accuracy of a library's."""

    def constant(self, value: float) -> Doubled:
        return doubled(value)

    def pi(self) -> Doubled:
        return PI

    def exp(self, x: Doubled) -> Doubled:
        """While x moves by r ≤ 1, eˣ moves by at most eˣ r(1 + r). Out of range, nothing is known, or almost 0."""
        high, low = exponential(np.clip(x.high, SMALLEST_EXPONENT, LARGEST_EXPONENT), x.low)
        radius = high * (EXP + np.where(x.radius <= 1, x.radius * (1 + x.radius), np.nan))
        below, above = x.high < SMALLEST_EXPONENT, ~(x.high <= LARGEST_EXPONENT)
        if below.any() or above.any():
            high, low = np.where(below, 0.0, high), np.where(below, 0.0, low)
            almost = np.where(x.high + x.radius < SMALLEST_EXPONENT + 1, ALMOST_NOTHING, np.nan)
            radius = np.where(below, almost, np.where(above, np.nan, radius))
        return settled((high, low), radius, NOWHERE)

    def expm1(self, x: Doubled) -> Doubled:
        """Near zero by its series, else eˣ − 1, which is as good as 2⁻⁷⁵ / 2⁻⁹ there."""
        return _series_or(x, self.exp(x) - 1, 0.5, OF_EXPM1)

    def log(self, x: Doubled) -> Doubled:
        """y + log(x e⁻ʸ), for any y near log x, where the logarithm is t − t²/2; near 1 by the series of log(1 + d).

        Up to 2⁻⁷⁴: e⁻ʸ is the most uncertain of it, and t³ is below 2⁻¹²⁰.
        """
        y = np.log(x.high)
        e = exponential(np.clip(-y, SMALLEST_EXPONENT, LARGEST_EXPONENT), NOTHING)
        t, rest = plus(times(x.pair, e), ONE_LESS)
        high, low = plus((y, NOTHING), (t, rest - t * t / 2))
        smallest = x.size * (1 - 4 * U64) - x.radius
        known = (x.high > TINY) & (smallest > 0) & (np.abs(t) < 2.0**-40)
        whole = settled((high, low), np.where(known, x.radius / smallest + LOG, np.nan), NOWHERE)
        return _series_or(x - 1, whole, -0.5, OF_LOG1P)

    def log1p(self, x: Doubled) -> Doubled:
        return _series_or(x, self.log(x + 1), -0.5, OF_LOG1P)

    def tanh(self, x: Doubled) -> Doubled:
        """−m / (m + 2), m = exp(−2|x|) − 1, with the sign of x. Its slope is at most 1, and 4 exp(−2|x|).

        Up to 2⁻⁶⁴: from 2|x| = 2⁻⁹ on m is off by less than 2⁻⁶⁶ of itself, by its series below that by 2⁻⁶⁸, and the
        quotient by twice as much. For |x| > 345 it is 1, almost.
        """
        high, low = x.size * -2, np.copysign(2.0, x.high) * -x.low
        power = exponential(np.maximum(high, SMALLEST_EXPONENT), np.where(high < SMALLEST_EXPONENT, 0.0, low))
        m, rest = plus(power, ONE_LESS)
        m, rest = near_zero((high, low), (m, rest), 0.5, OF_EXPM1, high > -NEAR_ZERO)
        value, rest = over((m, rest), plus((m, rest), TWO))
        sign = np.copysign(1.0, -x.high)
        slope = np.minimum(4 * power[0] * (1 + 4 * x.radius), 1)  # within r ≤ ½ of x, e²ʳ ≤ 1 + 4r times as large
        slope = np.where(x.radius <= 0.5, slope, 1)
        return settled((sign * value, sign * rest), slope * x.radius + TANH * np.abs(value), x.tiny)

    def erf(self, x: Doubled) -> Doubled:
        """In balls, one element after the other."""
        rows, columns = x.high.shape
        parts = [np.broadcast_to(part, x.high.shape).ravel().tolist() for part in (x.high, x.low, x.radius)]
        with ctx.workprec(128):
            balls = [(arb(high) + arb(low) + arb(0, radius)).erf() for high, low, radius in zip(*parts, strict=True)]
            found = enclosure(arb_mat(rows, columns, balls))
        return Doubled(found.high, found.low, found.radius)

    def sqrt(self, x: Doubled) -> Doubled:
        """√x = y + (x − y²)/2y (Lefèvre et al.). |√a − √b| is at most |a − b|/√a, and √|a − b|."""
        root = np.sqrt(x.high)
        square, error = two_product(root, root)
        rest = np.where(root > 0, (((x.high - square) - error) + x.low) / (2 * root), 0.0)
        radius = np.fmin(x.radius / root, np.sqrt(x.radius)) * (1 + 4 * U64) + OWN * root
        return settled(fast_two_sum(root, rest), radius, x.tiny, LOST**0.5)

    def absolute(self, x: Doubled) -> Doubled:
        return abs(x)

    def maximum(self, x: Operand, y: Operand) -> Doubled:
        """The larger pair; its radius where it surely is the larger, else the wider one."""
        first, second = doubled(x), doubled(y)
        apart = (first.high - second.high) + (first.low - second.low)
        together = first.radius + second.radius + 4 * U64 * (first.size + second.size)
        of_first = apart > 0
        wider = np.maximum(first.radius, second.radius) + OWN * (first.size + second.size)
        radius = np.where(np.abs(apart) > together, np.where(of_first, first.radius, second.radius), wider)
        high, low = (np.where(of_first, a, b) for a, b in zip(first.pair, second.pair, strict=True))
        return Doubled(high, low, radius + 0 * apart)  # NaN where one is

    def minimum(self, x: Operand, y: Operand) -> Doubled:
        return -self.maximum(-doubled(x), -doubled(y))

    def step(self, x: Doubled) -> Doubled:
        """All of [0, 1] at a kink, as in the bounds."""
        sure = x.size * (1 - 4 * U64) > x.radius
        return Doubled(np.where(sure, (x.high > 0) * 1.0, 0.5), NOTHING, np.where(sure, 0.0, 0.5))

    def activated(self, activation: Curve, z: Doubled) -> Doubled:
        value: Doubled = activation.value(z, self)
        return value

    def either(self, first: Doubled, second: Doubled) -> Doubled:
        return first

    def by_way_of(self, result: Doubled, step: Doubled) -> Doubled:
        return result

    def undivided(self, quotient: Doubled, divisor: float) -> Doubled:
        return quotient


ONE_LESS, TWO = ((np.full((1, 1), number), NOTHING) for number in (-1.0, 2.0))
ALMOST_NOTHING = 2.0**-990  # more than e⁻⁶⁸⁹


def near_zero(d: Pair, whole: Pair, half: float, coefficients: Sequence[float], near: NDArray[np.bool_]) -> Pair:
    """The series of d where it is near zero, `whole` elsewhere."""
    if not near.any():
        return whole
    high, low = (part.copy() for part in whole)
    high[near], low[near] = series((d[0][near], np.broadcast_to(d[1], near.shape)[near]), half, coefficients)
    return high, low


def _series_or(d: Doubled, whole: Doubled, half: float, coefficients: Sequence[float]) -> Doubled:
    """The series of d where that is small and known, `whole` elsewhere. The slope there is at most 1.01."""
    near = np.broadcast_to((d.size < NEAR_ZERO) & (d.radius < NEAR_ZERO), whole.high.shape)
    high, low = near_zero(d.pair, whole.pair, half, coefficients, near)
    radius = np.where(near, 1.01 * d.radius + SERIES * d.size, whole.radius)
    return settled((high, low), radius, near & d.tiny)
