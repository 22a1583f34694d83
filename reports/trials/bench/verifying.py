"""How long verifying takes, in seconds of the processor: what people wait for who hand over a function or a process.

The functions are tutorials' networks of sigmoids: right, with a mistake that has a name, and with one that has none.
"""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...documents import Report
from ...validation import verify, verify_command

Array = NDArray[Any]
Slope = Callable[[Array], Array]

SMALL, LARGE, LARGE_BATCH = ((2, 3, 1), (3, 4, 2)), (784, 128, 10), 32
CASES = 2000  # of a process
TIMES = 3


def slope(a: Array) -> Array:
    """The sigmoid's derivative."""
    return a * (1 - a)


# Hidden derivatives, by what `verify` is to say of them.
SLOPES: dict[str, Slope] = {
    "right": slope,
    "wrong, with a name": np.ones_like,
    "wrong, without a name": lambda a: np.sqrt(a) * np.cos(a),
}


def gradients(hidden: Slope, weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    """Half the squared error, summed; sigmoids in all layers. hidden: what hidden layers have for their derivative"""
    a = [inputs]
    for w, b in zip(weights, biases, strict=True):
        a.append(1 / (1 + np.exp(-(a[-1] @ w.T + b))))
    delta = (a[-1] - targets) * slope(a[-1])
    of_weights, of_biases = list[Array](), list[Array]()
    for k in reversed(range(len(weights))):
        of_weights.insert(0, delta.T @ a[k])
        of_biases.insert(0, delta.sum(axis=0))
        delta = (delta @ weights[k]) * hidden(a[k])
    return of_weights, of_biases


def rows() -> Iterator[list[str]]:
    """One row per measurement: what, seconds of this process, in units of a small right network."""
    unit = _median(partial(verify, partial(gradients, slope), sizes=SMALL[0]), TIMES)[0]
    for sizes in SMALL:
        for words, hidden in SLOPES.items():
            seconds, verdict = _median(partial(verify, partial(gradients, hidden), sizes=sizes), TIMES)
            yield _row(f"verify {'-'.join(map(str, sizes))}, {words}: {verdict}", seconds, unit)
    large = partial(verify, partial(gradients, slope), sizes=LARGE, batch=LARGE_BATCH)
    seconds, verdict = _median(large, 1)
    yield _row(f"verify {'-'.join(map(str, LARGE))}, batch {LARGE_BATCH}: {verdict}", seconds, unit)
    for option, words in (("", "right"), (" --bug", "wrong")):
        child = f"{shlex.quote(sys.executable)} -P -m backproof.reports.trials.bench.child{option}"
        asked = partial(verify_command, child, cases=str(CASES), sizes=(2, 2, 1))
        seconds, verdict = _median(asked, 1)
        yield _row(f"verify --command, {CASES:,} cases of 2-2-1, {words}: {verdict}", seconds, unit)


def _median(work: Callable[[], Report], times: int) -> tuple[float, str]:
    """The processor's seconds in this process, and the verdict."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        report = work()
        taken.append(time.process_time() - start)
    return statistics.median(taken), report.verdict


def _row(what: str, seconds: float, unit: float) -> list[str]:
    return [what, f"{seconds * 1e3:.4g} ms", f"{seconds / unit:.2f} ×"]
