"""Where a rule is looked at: at the user's own point, at generic ones near it, and at special ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BY_ITSELF = 4
GENERIC = 2  # besides the user's own point
NEARER = (0.25, 0.03, 0.004)  # how far from it, relative: the next where the function has no value there


@dataclass(frozen=True)
class Point:
    """name: in words;  values: an array for each input;  special: whether a kink may be there by intention"""

    name: str
    values: tuple[Array, ...]
    special: bool = False


def generic(start: Sequence[Array], number: int, distance: float) -> Point:
    """A point near the start, in no special position: every element moved by its own random amount."""
    generator = np.random.default_rng([number, len(start)])
    values = []
    for array in start:
        size = float(np.sqrt(np.mean(array**2))) if array.size else 0.0
        factor = 1 + distance * generator.uniform(-1, 1, array.shape)
        values.append(array * factor + 0.1 * distance * (size or 1.0) * generator.standard_normal(array.shape))
    return Point(f"near it ({number})", tuple(values))


def special(start: Sequence[Array], moved: int) -> Iterator[Point]:
    """Zeros, a few zeros among the rest, and equal neighbours, in each of the first inputs by itself.

    moved: so many of them are arguments; of many, the first BY_ITSELF
    """
    for k, array in enumerate(start[: min(moved, BY_ITSELF)]):
        if not array.size:
            continue
        flat = array.reshape(-1)
        some, ties = flat.copy(), flat.copy()
        some[::3] = 0.0
        ties[1::2] = ties[: 2 * (ties.size // 2) : 2]
        for name, values in (("zeros", np.zeros_like(flat)), ("some zeros", some), ("equal neighbours", ties)):
            changed = [*start]
            changed[k] = values.reshape(array.shape)
            yield Point(f"{name} in input {k}", tuple(changed), special=True)


def beside(point: Point, number: int, side: int) -> Point:
    """A generic point so near that a function without a kink has nearly the same gradient there; side: 1 or −1."""
    generator = np.random.default_rng([number, 77])
    moved = tuple(
        x + side * BESIDE * (float(np.abs(x).max(initial=0.0)) or 1.0) * generator.standard_normal(x.shape)
        for x in point.values
    )
    return Point(f"{point.name}, beside it", moved)


BESIDE = 1e-7
