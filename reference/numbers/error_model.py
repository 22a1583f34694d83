"""How errors arise in one profile of formats: the constants of the channels that `bounded.py` carries along."""

from __future__ import annotations

import math
from copy import copy
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .atlas import ulps
from .precision import FLOAT64, Profile

Array = NDArray[np.float64]

CHANNELS = ("truth", "worst", "systematic", "random")
TRUTH, WORST, SYSTEMATIC, RANDOM = range(len(CHANNELS))

U64 = FLOAT64.unit_roundoff
OUTWARD = 1 + 32 * U64  # covers the few roundings with which one operation's error is itself computed

# The judge's budget: one false alarm in 10⁹ runs, each of up to 10⁹ numbers that are sums of up to 2²⁰ products.
FALSE_ALARMS_PER_RUN, NUMBERS_PER_RUN, LONGEST_SUM = 1e-9, 1e9, 2**20
LAMBDA = math.sqrt(2 * math.log(2 * LONGEST_SUM * NUMBERS_PER_RUN / FALSE_ALARMS_PER_RUN))  # 10.6

STAGNATION = 2.0**-4  # terms × u, from which on roundings of a growing sum are not taken for independent

# Into so many steps an operation may be split, each of which may underflow: JAX has g·(1 − a²) as (g + g·a)(1 − a).
STEPS = 4


def gamma(terms: int, unit_roundoff: float) -> float:
    """γₙ = nu / (1 − nu), rounded up; infinite where nu ≥ 1 (Higham 2002, §3.1)."""
    nu = terms * unit_roundoff
    return nu / (1 - nu) * (1 + 4 * U64) if nu < 1 else math.inf


def probabilistic_gamma(terms: int, unit_roundoff: float, deviations: float = LAMBDA) -> float:
    """γ̃ₙ(λ) = exp(λ√n·u + nu²/(1 − u)) − 1, rounded up (Higham & Mary 2019, thm. 2.4); λ is `deviations`."""
    exponent = deviations * math.sqrt(terms) * unit_roundoff + terms * unit_roundoff**2 / (1 - unit_roundoff)
    return math.expm1(exponent) * (1 + 4 * U64) if exponent < 1 else math.inf


class OwnError(NamedTuple):
    """What one operation adds: a relative error by channel, and how that grows.

    growth: a factor on all errors that covers the roundings with which they are computed
    most: more than the operation and its errors can make a number larger
    """

    relative: Array
    growth: Array
    most: float


def own_error(relative: Array) -> OwnError:
    """From its relative error, channels × 1 × 1 (or × the matrix)."""
    growth = OUTWARD + 2 * relative
    largest = float(growth.max())
    return OwnError(relative, growth, 4 * largest * largest)


class Model:
    """The channels' constants for one profile, each an array of channels × 1 × 1 that broadcasts over a matrix.

    rounding: relative error of one rounding to storage, and `constant` of one that is the same for all elements
    underflow: absolute loss of one operation
    lost: of one operation's result, which may be flushed too
    put_off: a divisor by which an implementation may not have divided yet: its numbers are so many times as large
    largest, largest_sum: what a result, and a sum of products on the way, may be without overflowing
    """

    def __init__(self, profile: Profile, channels: int) -> None:
        self.profile = profile
        self.channels = channels
        unit = profile.storage.unit_roundoff
        self.rounding = self._per_channel(U64, unit, 0.0, unit)
        self.constant = self._per_channel(U64, unit, unit, 0.0)
        lost = STEPS * profile.storage.underflow
        self.underflow = self._per_channel(STEPS * FLOAT64.underflow, lost, lost, 0.0)
        smallest = profile.storage.smallest_normal if profile.storage.flushed else 0.0
        self.flushed_below = self._per_channel(0.0, smallest, smallest, 0.0)
        self.lost = self.underflow + self.flushed_below
        self.put_off = 1.0
        self.largest, self.largest_sum = profile.storage.largest, profile.accumulate.largest
        self.ulps, self.sums, self.reductions = cache(self._ulps), cache(self._sums), cache(self._reductions)
        self.roundings, self.function = cache(self._roundings), cache(self._function)

    def putting_off(self, divisor: float) -> Model:
        """The model of numbers that may still have to be divided: "mean" as (Σ δ a) / batch divides at the very end."""
        later = copy(self)
        later.put_off *= divisor
        later.largest /= divisor
        later.largest_sum /= divisor
        return later

    def _ulps(self, function: str) -> Array:
        """Relative error of an elementary function: its measured ulps, with margin. An ulp is at most 2u·|x|."""
        theirs = 2 * ulps(function, self.profile.storage) * self.profile.storage.unit_roundoff
        return self._per_channel(2 * ulps(function, FLOAT64) * U64, theirs, theirs, 0.0)

    def _sums(self, terms: int) -> Array:
        """Error of a sum of so many products, relative to the sum of their sizes."""
        storage, multiply, accumulate = self.profile.storage, self.profile.multiply, self.profile.accumulate
        addition = accumulate.unit_roundoff * (2 if self.profile.truncated else 1)
        # Narrower factors: each is cut to the format (tensor cores read the leading bits: twice the roundoff).
        cut = 2 * multiply.unit_roundoff if multiply.digits < storage.digits else 0.0
        factors = 2 * cut + cut * cut
        # A wider sum: its result, and a bias added afterwards, are rounded to storage.
        stored = 2 * storage.unit_roundoff if accumulate.digits > storage.digits else 0.0
        any_order = gamma(terms, addition)
        worst = (1 + any_order) * (1 + factors) * (1 + stored) - 1
        systematic = factors + (any_order if self.profile.truncated else 0.0)
        random = self.accumulated(terms) + stored
        ours = gamma(terms + 8, U64)  # the value's own rounding, and that of the sums which make up the error
        return self._per_channel(ours, worst, systematic, random)

    def sums_apart(self, terms: int) -> tuple[Array, Array]:
        """As `sums`, in two parts: relative to the sum of the terms' sizes, and to the largest sum of some of them.

        Every addition, in any order, is rounded in proportion to the sum of some of the terms. What they sum up to,
        P, and what the others do, S − P, have sizes of Σ|t| together at most, so that |P| ≤ (Σ|t| + |S|)/2: where
        terms cancel, about half of Σ|t|. Source: Higham (2002), §4.2, eq. (4.3), of which this bounds the partial sums.
        """
        unit = self.profile.accumulate.unit_roundoff * (2 if self.profile.truncated else 1)
        return self._apart(self.sums(1), self.sums(terms), unit, terms)

    def reductions_apart(self, terms: int) -> tuple[Array, Array]:
        """As `reductions`, in the two parts of `sums_apart`."""
        return self._apart(self.reductions(1), self.reductions(terms), self.profile.reduce.unit_roundoff, terms)

    def _apart(self, of_one: Array, of_all: Array, unit: float, terms: int) -> tuple[Array, Array]:
        """of_one: what a single term is rounded;  of_all: the terms and their sums"""
        additions = gamma(terms, unit)
        once = float(of_one[WORST].item())
        again = 2 * additions * (additions + once)  # roundings of what was rounded
        random = (
            float(of_all[RANDOM].item()) if terms * unit > STAGNATION else probabilistic_gamma(terms, unit) / LAMBDA
        )
        # What is not random is the same for all of a sum's terms, or ours: it stays where it was.
        of_terms = self._per_channel(
            float(of_all[TRUTH].item()), once + again, float(of_all[SYSTEMATIC].item()), float(of_one[RANDOM].item())
        )
        return of_terms, self._per_channel(0.0, additions, 0.0, random)

    def accumulated(self, terms: int) -> float:
        """What independent roundings of so many additions come to: the part of `sums` that crowds make larger."""
        return probabilistic_gamma(terms, self.profile.accumulate.unit_roundoff) / LAMBDA

    def _reductions(self, terms: int) -> Array:
        """Error of a plain sum of so many numbers, relative to the sum of their sizes; its result is stored."""
        unit = self.profile.reduce.unit_roundoff
        worst = (1 + gamma(terms, unit)) * (1 + self.profile.storage.unit_roundoff) - 1
        random = probabilistic_gamma(terms, unit) / LAMBDA + self.profile.storage.unit_roundoff
        if terms * unit > STAGNATION:
            random = worst  # summands below half an ulp of the sum are lost one like the other
        ours = gamma(terms + 8, U64)
        return self._per_channel(ours, worst, 0.0, random)

    def lost_in_sum(self, terms: int) -> Array:
        """Absolute error by underflow of a sum of so many products."""
        return 2 * terms * self.underflow

    def _roundings(self, each: int, alike: float = 0) -> OwnError:
        """So many roundings of each element's own, and so many that are the same for all."""
        return own_error(each * self.rounding + alike * self.constant)

    def _function(self, name: str) -> OwnError:
        """An elementary function."""
        return own_error(self.ulps(name))

    def _per_channel(self, *values: float) -> Array:
        constants = np.array(values[: self.channels])[:, None, None]
        constants.flags.writeable = False  # they are handed out again and again
        return constants


@cache
def model_of(profile: Profile, channels: int) -> Model:
    """The one model of its kind: its constants are worked out once."""
    return Model(profile, channels)
