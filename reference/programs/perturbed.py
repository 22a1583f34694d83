"""How far the results of a whole program may be off: its roundings, drawn at random, many times over.

Bounds that are carried from line to line (`bounds.py`) take every error for the worst, and for independent of the
others what is not: over a whole network they grow far beyond anything that comes. Here each line's own errors, from its
operands as they are, are given random signs, and the program runs on in float64. To first order the deviation of a
result is then a sum over all roundings, each by its own path, with their true cancellations; what many such runs spread
over, independent roundings stay within. Source: Parker, Monte Carlo Arithmetic (1997), §3; Higham (2002), §2.8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numbers import CHANNELS, RANDOM, SYSTEMATIC, Profile
from .bounded_arrays import bounded
from .bounds import Bounds
from .elementwise_bounds import NoBounds
from .ndarrays import Floats
from .program import Positions, Value
from .running import run

Array = NDArray[Any]
RUNS = 24
# σ̂² of 24 runs is below σ²·x/24 with a probability of about (x/2)¹²/12!: of 10⁻¹² for x = 1.06, so σ < 4.8 σ̂.
UNDERESTIMATED = math.sqrt(RUNS / (2 * (1e-12 * math.factorial(RUNS // 2)) ** (2 / RUNS)))


@dataclass
class Recording(Floats):
    """float64; beside it `errors`, in the order of the lines: what is random in each element, what is alike in all.

    overflows: whether a number is about as large as the format holds, or larger
    """

    bounds: Bounds
    errors: list[tuple[Array, Array]] = field(default_factory=list)
    overflows: bool = False

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Array) -> Array:
        return self._recorded(self.bounds.apply(name, floats, balls, *map(_exact, arrays)))

    def literal(self, values: Array) -> Array:
        return self._recorded(self.bounds.literal(values))

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        return self._recorded(self.bounds.total(_exact(array), axes))

    def products(self, left: Array, right: Array) -> Array:
        return self._recorded(self.bounds.products(_exact(left), _exact(right)))

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        return self._recorded(self.bounds.added_at(_exact(array), positions, size))

    def _recorded(self, x: Array) -> Array:
        self.errors.append((x["errors"][..., RANDOM].copy(), x["errors"][..., SYSTEMATIC].copy()))
        self.overflows |= bool((np.abs(x["value"]) > self.bounds.profile.storage.largest / 2).any())
        return np.asarray(x["value"])


@dataclass
class Perturbed(Floats):
    """float64, each line's result moved by its recorded errors, with random signs."""

    errors: Sequence[tuple[Array, Array]]
    generator: np.random.Generator
    line: int = 0

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Array) -> Array:
        return self._moved(super().apply(name, floats, balls, *arrays))

    def literal(self, values: Array) -> Array:
        return self._moved(values)

    def total(self, array: Array, axes: tuple[int, ...]) -> Array:
        return self._moved(super().total(array, axes))

    def products(self, left: Array, right: Array) -> Array:
        return self._moved(super().products(left, right))

    def added_at(self, array: Array, positions: Positions, size: int) -> Array:
        return self._moved(super().added_at(array, positions, size))

    def _moved(self, values: Array) -> Array:
        random, alike = self.errors[self.line]
        self.line += 1
        if not random.any() and not alike.any():
            return values
        signs = 2.0 * self.generator.integers(0, 2, values.shape) - 1.0
        return np.asarray(values + random * signs + alike * (2.0 * self.generator.integers(0, 2) - 1.0))


def spread(
    results: Sequence[Value], given: Mapping[int, Array], profile: Profile
) -> tuple[list[tuple[Array, Array]], bool]:
    """For each result its value, and how far a run's roundings are likely to move it: one standard deviation, not less;
    and whether a number on the way may overflow, after which nothing is known.

    profile: the formats of the run
    Raises NoBounds for an operation whose errors are not known.
    """
    recording = Recording(Bounds(profile, expanded=True))
    values = run(results, given, recording)
    lengths = [np.zeros(value.shape) for value in values]
    generator = np.random.default_rng(0)
    for _ in range(RUNS):
        with np.errstate(all="ignore"):
            moved = run(results, given, Perturbed(recording.errors, generator))
            lengths = [np.hypot(s, m - v) for s, m, v in zip(lengths, moved, values, strict=True)]  # squares underflow
    found = [(v, UNDERESTIMATED / math.sqrt(RUNS) * s) for v, s in zip(values, lengths, strict=True)]
    return found, recording.overflows


def sizes_of_rounding(results: Sequence[Value], given: Mapping[int, Array], profile: Profile) -> list[float]:
    """For each result the size of what it was added up from, as its roundings show: what cancels leaves them behind.

    profile: the formats of the run
    Returns zeros where the errors of an operation are not known.
    """
    try:
        found, _ = spread(results, given, profile)
    except NoBounds:
        return [0.0] * len(results)
    moved = [float(np.nan_to_num(s, nan=0.0, posinf=0.0).max(initial=0.0)) for _, s in found]
    return [m / profile.storage.unit_roundoff for m in moved]


def _exact(values: Array) -> Array:
    return bounded(values, np.zeros((*np.shape(values), len(CHANNELS))))
