"""Floating-point formats: what a number may be, and how far one rounding may move it. Standard library only."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """A binary floating-point format.

    digits: bits in the significand, the hidden one included (p in Higham, Accuracy and Stability of Numerical
        Algorithms, 2nd ed., 2002, §2.1)
    smallest_exponent, largest_exponent: of normal numbers, as powers of two: 2^smallest ≤ |x| < 2^(largest + 1)
    """

    name: str
    digits: int
    smallest_exponent: int
    largest_exponent: int

    @property
    def unit_roundoff(self) -> float:
        """u: rounding to nearest moves a normal number x by at most u·|x|."""
        return math.ldexp(1.0, -self.digits)

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.smallest_exponent)

    @property
    def largest(self) -> float:
        return math.ldexp(2.0 - 2 * self.unit_roundoff, self.largest_exponent)

    def ulp(self, x: float) -> float:
        """The gap between neighbouring numbers of this format at the size of x (finite)."""
        _, exponent = math.frexp(x)
        exponent = max(exponent - 1, self.smallest_exponent) if x else self.smallest_exponent
        return math.ldexp(1.0, exponent - self.digits + 1)

    def nearest(self, x: float) -> float:
        """x rounded to this format, ties to even; ±∞ beyond the largest number. Infinities and NaN stay."""
        if not math.isfinite(x) or self.digits >= FLOAT64.digits:
            return x
        gap = self.ulp(x)
        rounded = round(x / gap) * gap  # a division and a product by powers of two: exact
        return rounded if abs(rounded) <= self.largest else math.copysign(math.inf, x)

    def holds(self, x: float) -> bool:
        """Whether x is one of this format's numbers."""
        return self.nearest(x) == x


FLOAT64 = Precision("float64", digits=53, smallest_exponent=-1022, largest_exponent=1023)
FLOAT32 = Precision("float32", digits=24, smallest_exponent=-126, largest_exponent=127)

PRECISIONS = {precision.name: precision for precision in (FLOAT64, FLOAT32)}
