"""Floating-point formats: what a number may be, and how far one rounding may move it. Standard library only.

A `Precision` is one format. A `Profile` says which formats a computation stores, multiplies and adds in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Precision:
    """A binary floating-point format.

    digits: bits in the significand, the hidden one included (p in Higham, Accuracy and Stability of Numerical
        Algorithms, 2nd ed., 2002, §2.1)
    smallest_exponent, largest_exponent: of normal numbers, as powers of two: 2^smallest ≤ |x| < 2^(largest + 1)
    flushed: whether hardware in use flushes its subnormal numbers to zero (XLA and GPUs do for float32; float16's are
        always kept: NVIDIA, CUDA C++ Programming Guide, "Half precision")
    """

    name: str
    digits: int
    smallest_exponent: int
    largest_exponent: int
    flushed: bool = True

    @property
    def unit_roundoff(self) -> float:
        """u: rounding to nearest moves a normal number x by at most u·|x|."""
        return math.ldexp(1.0, -self.digits)

    @property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.smallest_exponent)

    @property
    def underflow(self) -> float:
        """How far a result below the normal numbers may be moved: to zero, or to the nearest subnormal number."""
        return self.smallest_normal if self.flushed else self.smallest_normal * self.unit_roundoff

    @cached_property
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
TF32 = Precision("tf32", digits=11, smallest_exponent=-126, largest_exponent=127)
FLOAT16 = Precision("float16", digits=11, smallest_exponent=-14, largest_exponent=15, flushed=False)
BFLOAT16 = Precision("bfloat16", digits=8, smallest_exponent=-126, largest_exponent=127)

# The formats that numbers are stored in; tf32 is only multiplied in.
PRECISIONS = {precision.name: precision for precision in (FLOAT64, FLOAT32, FLOAT16, BFLOAT16)}


@dataclass(frozen=True)
class Profile:
    """Which format a computation stores its results in, reads its factors in, and adds products up in.

    reduce: the format that plain sums (of a bias gradient, a loss, softmax's exponentials) are added up in. JAX and
        NumPy add 16-bit numbers up in 16 bits there, though they add products up in float32
    truncated: additions may cut instead of round, as those of tensor cores do, so that each may be off by 2u
        (Fasi, Higham, Mikaitis & Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Computer Science 7, 2021)
    stored_between: so often a sum of products, added up in a wider format, may be stored before it is complete
    division: so many roundings a quotient may be off: two, as a product with the reciprocal; four where a GPU's
        approximate one is taken, which is off by up to 2 ulps (NVIDIA, PTX ISA, div.full.f32)
    """

    name: str
    storage: Precision
    multiply: Precision
    accumulate: Precision
    reduce: Precision
    truncated: bool = False
    stored_between: int = 0
    division: int = 2


# From finest to coarsest: what an implementation may declare, and what its numbers may be explained by.
PROFILES = {
    profile.name: profile
    for profile in (
        Profile("float64", FLOAT64, FLOAT64, FLOAT64, FLOAT64),
        Profile("float32", FLOAT32, FLOAT32, FLOAT32, FLOAT32),
        Profile("tf32", FLOAT32, TF32, FLOAT32, FLOAT32, truncated=True),
        Profile("float16", FLOAT16, FLOAT16, FLOAT32, FLOAT16, truncated=True),
        Profile("bfloat16", BFLOAT16, BFLOAT16, FLOAT32, BFLOAT16, truncated=True),
    )
}
