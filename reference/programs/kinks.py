"""Whether what was taken at the kinks can be taken all together.

At a kink the pullback has a share s that may be anything in [0, 1], and a ball for each gradient forgets that they have
shares in common: of four elements that are equally large, each may have the whole gradient of their maximum, but all
four may not. The gradient is a polynomial in the shares. So gradients at random shares span the smallest affine space
that holds all of them, and what is outside of it is none of them, whatever was chosen (Schwartz, J. T., Fast
probabilistic algorithms for verification of polynomial identities, J. ACM 27 (1980), for why random ones do).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flint import arb
from numpy.typing import NDArray

from .elementwise import step
from .ndarrays import Balls
from .program import Value
from .running import run

MOST = 24  # shares that are looked at, and directions
STILL = 3  # draws that must add no direction
FLAT = 1e-9  # of the longest direction: what is shorter is rounding
OUTSIDE = 1e-4  # of the largest gradient: what is further off is outside
PARTS = 2**16  # a share is a whole number of these, so that it is exact


@dataclass(frozen=True)
class _Drawn(Balls):
    """Balls, but for the shares of kinks, which are drawn: one for each, whatever it is used for. drawn: so many"""

    generator: np.random.Generator = field(default_factory=np.random.default_rng)
    drawn: list[int] = field(default_factory=list)

    def apply(self, name: str, floats: Callable[..., Any], balls: Callable[..., Any], *arrays: Any) -> NDArray[Any]:
        result = super().apply(name, floats, balls, *arrays)
        if name == step.__name__:
            for index, share in np.ndenumerate(result):
                if share.rad() > 0:
                    result[index] = arb(int(self.generator.integers(1, PARTS))) / PARTS
                    self.drawn.append(1)
        return result


def nearest_together(
    ours: Value, seen: NDArray[Any], wide: Sequence[int], given: Mapping[int, NDArray[Any]], bits: int
) -> NDArray[np.float64] | None:
    """Of the elements that kinks leave open, the gradient nearest to the one seen that can be taken all together.

    None: the one that was seen is one, as far as that can be told; or there are too many shares to ask.
    ours: the chain rule's gradient;  wide: numbers of the elements, flat;  seen: balls, flat
    """
    if any(seen[k].rad() > 0 and float(seen[k].rad()) > FLAT * float(abs(seen[k]).abs_upper()) for k in wide):
        return None  # what was seen leaves something open itself
    there = np.array([float(seen[k].mid()) for k in wide])
    generator, rank = np.random.default_rng(len(wide)), 0
    points: list[NDArray[np.float64]] = []
    directions = np.zeros((0, len(wide)))
    while len(points) < rank + 1 + STILL:
        numbers = _Drawn(bits, generator=generator)
        (balls,) = run([ours], given, numbers)
        if not 0 < len(numbers.drawn) < min(len(wide), MOST) or rank >= min(len(wide), MOST):
            return None
        points.append(np.array([float(balls.flat[k].mid()) for k in wide]))
        if len(points) > 1:
            _, lengths, rows = np.linalg.svd(np.array(points[1:]) - points[0], full_matrices=False)
            directions = rows[lengths > FLAT * max(lengths.max(initial=0.0), np.finfo(float).tiny)]
            rank = len(directions)
    off = there - points[0]
    nearest = points[0] + (off @ directions.T) @ directions
    size = max(np.abs(there).max(), np.abs(points).max())
    return nearest if np.abs(nearest - there).max() > OUTSIDE * size else None
