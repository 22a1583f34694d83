"""The numbers that a discrete Fourier transform multiplies by, for the adapters, which write it as a product."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .captured import Unsupported

LARGEST = 1024  # numbers along an axis whose transform is written out


def waves(n: int, sign: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """cos and sin of ±2πjk/n, n × n: each the same number wherever it stands, so that transforms there and back are
    each other's transposes exactly, and zero where it is.

    Source: Cooley and Tukey, Mathematics of Computation 19 (1965), (1). Raises Unsupported beyond LARGEST numbers.
    """
    if n > LARGEST:
        raise Unsupported(f"Fourier transforms of more than {LARGEST} numbers are not covered: there are {n}")
    turns = np.outer(np.arange(n), np.arange(n)) % n
    angles = 2 * np.pi * np.arange(n) / n
    cosines, sines = np.cos(angles), sign * np.sin(angles)
    cosines[[k for k in range(n) if 4 * k in (n, 3 * n)]] = 0
    sines[[k for k in range(n) if 2 * k in (0, n)]] = 0
    return cosines[turns], sines[turns]


def of_half(n: int, kept: int) -> NDArray[np.float64]:
    """How often each of the first `kept` numbers stands in the n of a real transform: the others are conjugates."""
    return np.array([1.0 if 2 * k in (0, n) else 2.0 for k in range(kept)])
