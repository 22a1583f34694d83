"""Measures how many ulps the elementary functions of each framework are off, against certified balls: the atlas.

python -m backproof.reports.trials.accuracy measures under every SIMD level that can be forced here, each in a new
process, and records it in `atlas.json`, in place of what the same versions gave on this processor before. With --here,
under this process's own level, and prints it.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from ...adapters.adapter import ELEMENTARY, OF_PROGRAMS, Adapter, known_adapters
from ...reference.more_activations import MEASURED
from ...reference.numbers import (
    ATLAS_FILE,
    PRECISIONS,
    BallFunctions,
    Campaign,
    Measurement,
    Precision,
    campaigns,
    decoded,
    encoded,
    numpy_dtype,
)
from ..documents import forced, model, simd

Array = NDArray[np.float64]

# The frameworks that K is taken from. Others are judged by it: to measure one is `backproof adapters --accuracy`.
IN_THE_ATLAS = ("plain", "numpy", "torch", "jax")
POINTS = 4000  # per range, in float64 and float32; of the 16-bit formats every number is tried
WIDEST = 80.0  # beyond it sigmoid, tanh and softplus are constant or linear in float32 and nearly so in float64
BITS = 160
# What arguments have to be above. 2z times its gate is what a GELU shows of it: a normal number in every format.
OF_BALLS: dict[str, Callable[[Any], Any]] = {"pow": lambda x: x**x, "cbrt": lambda x: x.root(3)}
ABOVE = {"pow": 0.0, "cbrt": 0.0, "log": 0.0, "log1p": -1.0, "gelu_gate": 2.0**-12}


def measure(
    adapters: Sequence[Adapter],
    dtypes: Sequence[str] = tuple(PRECISIONS),
    points: int = POINTS,
    progress: Callable[[str], None] = lambda what: None,
    functions: Sequence[str] = (*ELEMENTARY, *OF_PROGRAMS),
) -> list[Measurement]:
    """The largest error of these elementary functions of every adapter in every dtype that it runs.

    What a framework cannot compute on this processor at all is left out, and said by `progress`.
    """
    found = []
    for dtype in dtypes:
        precision = PRECISIONS[dtype]
        for function in functions:
            progress(f"{function} {dtype}")
            arguments, high, low = _truth(function, precision, points)
            for adapter in adapters:
                if adapter.evaluate is None or dtype not in adapter.dtypes:
                    continue
                version = adapter.version or platform.python_version()
                try:
                    got = np.asarray(adapter.evaluate(function, arguments.astype(numpy_dtype(dtype))), np.float64)
                except Exception as error:  # a framework may raise anything
                    progress(f"{adapter.name} {version}: no {function} in {dtype}: {type(error).__name__}: {error}")
                    continue
                ulps = _ulps(got, high, low, precision)
                worst = int(np.argmax(ulps))
                found.append(
                    Measurement(
                        adapter.name, version, dtype, function, float(ulps[worst]), float(arguments[worst]), len(ulps)
                    )
                )
    return found


def _ulps(got: Array, high: Array, low: Array, precision: Precision) -> Array:
    gaps = np.array([precision.ulp(x) for x in high.tolist()])
    with np.errstate(all="ignore"):
        ulps = np.abs((got - high) - low) / gaps
    return np.where(np.isfinite(ulps), ulps, np.inf)


def _truth(function: str, precision: Precision, points: int) -> tuple[Array, Array, Array]:
    """Arguments, and the exact results as sums of two doubles; only where they are numbers that the format keeps."""
    balls = BallFunctions()
    value: Callable[[Any], Any]
    if function in MEASURED:
        value = lambda x: MEASURED[function].value(x, balls)  # noqa: E731
    elif function in OF_PROGRAMS:
        value = OF_BALLS.get(function) or (lambda x: getattr(x, function)())
    else:
        value = getattr(balls, function)
    smallest = precision.smallest_normal if precision.flushed else precision.ulp(0.0)
    kept, high, low = [], [], []
    with ctx.workprec(BITS):
        for x in _arguments(precision, points):
            if x <= ABOVE.get(function, -math.inf):
                continue
            middle = value(arb(x)).mid()
            near = float(middle)
            if smallest <= abs(near) <= precision.largest:
                kept.append(x)
                high.append(near)
                low.append(float(middle - arb(near)))
    return np.array(kept), np.array(high), np.array(low)


def _arguments(precision: Precision, points: int) -> Iterator[float]:
    """Every number of a 16-bit format; of a wider one, uniform numbers and numbers of every size, of both signs."""
    if precision.digits <= 16 and precision.name in ("float16", "bfloat16"):
        with np.errstate(invalid="ignore"):  # NaNs among them, left out below
            every = np.arange(2**16, dtype=np.uint16).view(numpy_dtype(precision.name)).astype(np.float64)
        yield from every[np.isfinite(every) & (np.abs(every) >= precision.smallest_normal)].tolist()
        return
    rng = Random(f"atlas {precision.name}")
    for _ in range(points):
        yield precision.nearest(rng.uniform(-WIDEST, WIDEST))
        yield precision.nearest(rng.uniform(-8.0, 8.0))
        yield precision.nearest(rng.choice((-1.0, 1.0)) * 2.0 ** rng.uniform(-40.0, 6.5))


def accuracy_rows(measured: Sequence[Measurement]) -> list[list[str]]:
    """One row per function and framework, a column per dtype: the largest ulps and where."""
    keys = dict.fromkeys((m.function, m.adapter, m.version) for m in measured)
    dtypes = list(dict.fromkeys(m.precision for m in measured))
    by = {(m.function, m.adapter, m.precision): m for m in measured}
    table = []
    for function, adapter, version in keys:
        cells = [by.get((function, adapter, dtype)) for dtype in dtypes]
        table.append(
            [function, adapter, version, *("–" if m is None else f"{m.ulps:.3g} at {m.at:.6g}" for m in cells)]
        )
    return table


def findings(measured: Sequence[Measurement]) -> list[str]:
    """What is grossly inaccurate, in a sentence each."""
    return [
        f"{m.adapter} {m.version}: {m.function} in {m.precision} is off by {m.ulps:.3g} ulps at {m.at!r}; "
        f"the judge does not allow for this."
        for m in measured
        if m.gross
    ]


def campaign(
    adapters: Sequence[Adapter], points: int = POINTS, progress: Callable[[str], None] = lambda what: None
) -> Campaign:
    """Measure here, in every dtype, at the SIMD level that this process has."""
    measured = measure(adapters, points=points, progress=progress)
    return Campaign(datetime.now(UTC).date().isoformat(), model(), simd(), tuple(measured))


def under_every_level() -> list[Campaign]:
    """A campaign under each SIMD level that can be forced here, the highest first, each in a new process."""
    here = simd()
    levels = {here: {}, **{name: settings for name, settings in forced().items() if name != here}}
    return [one for settings in levels.values() for one in _in_a_new_process(settings)]


def _in_a_new_process(settings: dict[str, str]) -> tuple[Campaign, ...]:
    command = [sys.executable, "-m", "backproof.reports.trials.accuracy", "--here"]
    environment = {**os.environ, **settings}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 — our own
    return decoded(done.stdout)


def replaced(old: Sequence[Campaign], new: Sequence[Campaign]) -> list[Campaign]:
    """The old campaigns and the new ones, but for those that a new one repeats: same processor, level and versions."""

    def subject(one: Campaign) -> tuple[str, str, dict[str, str]]:
        return one.processor, one.simd, one.versions

    again = [subject(one) for one in new]
    return [*(one for one in old if subject(one) not in again), *new]


def main() -> None:
    """What the module's docstring says."""
    if sys.argv[1:] == ["--here"]:
        present = [adapter for adapter in known_adapters().values() if adapter.present and adapter.name in IN_THE_ATLAS]
        said = campaign(present, progress=lambda what: print(what, file=sys.stderr))  # noqa: T201
        sys.stdout.write(encoded([said]))
    else:
        ATLAS_FILE.write_text(encoded(replaced(campaigns(), under_every_level())), encoding="utf-8")


if __name__ == "__main__":
    main()
