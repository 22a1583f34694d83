"""How judging grows with a network: processor's time of the truth and of the verdict, in units of one backpropagation.

Dense tanh networks of 10⁴ to 10⁷ weights, from end to end: an implementation shows its gradients and nothing else. The
unit is the least that NumPy can do for the gradients in float64. All of a row takes turns, so that what else the
machine does is in each of them. Truth in balls is measured where it can be had in seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

from ....reference.case import Case, run
from ....reference.judging import certified, judge
from ....reference.numbers import PRECISIONS_IN_BITS, PROFILES, BoundedArithmetic, DoubledArithmetic
from .judging import backpropagation, gradients_only, network

# sizes, batch, how often each is measured
NETWORKS = (
    ((64, 128, 16), 64, 15),
    ((784, 128, 10), 32, 15),
    ((784, 1024, 256), 128, 5),
    ((2048, 2048, 2048, 1024), 256, 3),
)
LARGEST_IN_BALLS = 10**6  # weights
HEADERS = [
    "network",
    "weights",
    "one backprop",
    "float64: truth in balls",
    "truth in pairs",
    "tolerances",
    "all, with the verdict",
    "float32: the same",
]


def rows(large: bool = True) -> Iterator[list[str]]:
    """One row per network: its name and size, milliseconds of one backpropagation, and times that."""
    for sizes, batch, times in NETWORKS if large else NETWORKS[:2]:
        double, single = (network(sizes, batch, dtype) for dtype in ("float64", "float32"))
        weights = sum(inputs * units for inputs, units in pairwise(sizes))
        parts = works(double, single)
        balls = _ratio(parts, "balls", 1) if weights < LARGEST_IN_BALLS else "—"
        taken = _medians({name: work for name, work in parts.items() if name != "balls"}, times)
        unit = taken.pop("unit")
        ratios = [f"{seconds / unit:.1f} ×" for seconds in taken.values()]
        yield [f"{double.name}, batch {batch}", f"{weights:,}", f"{unit * 1e3:.3g} ms", balls, *ratios]


def works(double: Case, single: Case) -> dict[str, Callable[[], Any]]:
    """What is measured, by name, on one network in two formats."""
    return {
        "unit": backpropagation(double),
        "balls": partial(certified, double, bits=PRECISIONS_IN_BITS[0]),
        "pairs": partial(run, double, DoubledArithmetic(parts=1)),
        "tolerances": partial(run, double, BoundedArithmetic(PROFILES["float64"])),
        "float64": partial(judge, double, gradients_only(double)),
        "float32": partial(judge, single, gradients_only(single)),
    }


def _ratio(parts: Mapping[str, Callable[[], Any]], name: str, times: int) -> str:
    taken = _medians({"unit": parts["unit"], name: parts[name]}, times)
    return f"{taken[name] / taken['unit']:.0f} ×"


def _medians(works: Mapping[str, Callable[[], Any]], times: int) -> dict[str, float]:
    """Seconds of the processor, of all its threads."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(times):
        for name, work in works.items():
            work()  # with the caches that it leaves
            start = time.process_time()
            work()
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}
