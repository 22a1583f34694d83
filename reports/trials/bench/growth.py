"""How the time of a check grows with the network, from 10² to 10⁷ parameters, by pyperf: `bench --growth`.

pyperf starts this module again for each measurement, in processes of its own: nothing is made before it is asked for.
A check that grows with the square of the parameters is asked as far as it ends in seconds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ....adapters.jax_grad import enable_x64
from ....adapters.numpy_vectorised import observe
from ....reference.case import Case, InvalidInput
from ....reference.judging import judge
from .judging import backpropagation, loss_in_jax, loss_in_torch, network

WIDTHS = {10**2: 7, 10**3: 22, 10**4: 71, 10**5: 224, 10**6: 707, 10**7: 2236}  # parameters: 2 · width², about
BATCH = 16
# Of the plot as a file of its own: what the report's page says of its figures.
STYLE = (
    "<style>svg { background: #fff; color: #1a1a1a; font: 13px system-ui, sans-serif } .small { font-size: 11px } "
    ".middle { text-anchor: middle } .end { text-anchor: end } .grid { stroke: #d5dae1 } .curve { fill: none; "
    "stroke: currentColor; stroke-width: 2 } .agrees { color: #1a7f4b } .undecided { color: #6b7280 } "
    ".suspect { color: #b7791f } .wrong { color: #c0392b } .unanswered { color: #6d4bb5 }</style>"
)
LEAST, MOST = min(WIDTHS), max(WIDTHS)


def _judged(case: Case) -> Callable[[], object]:
    return partial(judge, case, replace(observe(case), received=None))


def _torch(case: Case, fast: bool) -> Callable[[], object]:
    import torch

    return partial(torch.autograd.gradcheck, *loss_in_torch(case), fast_mode=fast, raise_exception=False)


def _jax(case: Case) -> Callable[[], object]:
    import jax
    from jax import test_util

    with enable_x64(True):
        loss, weights = loss_in_jax(case)
    compiled = jax.jit(loss)

    def once() -> bool:
        with enable_x64(True):
            try:
                test_util.check_grads(compiled, weights, order=1, modes=["rev"])
            except AssertionError:
                return False
        return True

    return once


def _scipy(case: Case) -> Callable[[], object]:
    from scipy.optimize import check_grad

    shapes = [np.shape(layer.weights) for layer in case.layers]
    split = np.cumsum([a * b for a, b in shapes])[:-1]
    x, t = np.asarray(case.inputs), np.asarray(case.targets)

    def passed(flat: Any) -> list[Any]:
        activations = [x]
        for part, shape in zip(np.split(flat, split), shapes, strict=True):
            activations.append(np.tanh(activations[-1] @ part.reshape(shape).T))
        return activations

    def loss(flat: Any) -> float:
        return float(((passed(flat)[-1] - t) ** 2).sum() / 2)

    def gradient(flat: Any) -> Any:
        given = [part.reshape(shape) for part, shape in zip(np.split(flat, split), shapes, strict=True)]
        activations, found = passed(flat), []
        delta = (activations[-1] - t) * (1 - activations[-1] ** 2)
        for k in range(len(given) - 1, -1, -1):
            found.append((delta.T @ activations[k]).ravel())
            delta = (delta @ given[k]) * (1 - activations[k] ** 2)
        return np.concatenate(found[::-1])

    return partial(check_grad, loss, gradient, np.concatenate([np.ravel(layer.weights) for layer in case.layers]))


@dataclass(frozen=True)
class Check:
    """needs: an import name;  most: the largest network that it is asked about, in parameters

    make: of a network, the check of its right gradients, which gives False where it refuses them
    """

    needs: str
    most: int
    make: Callable[[Case], Callable[[], object]]


CHECKS = {
    "one backpropagation in NumPy": Check("numpy", MOST, backpropagation),
    "backproof judge, every number of every step": Check("numpy", MOST, _judged),
    "torch gradcheck": Check("torch", 10**4, partial(_torch, fast=False)),
    "torch gradcheck, fast_mode": Check("torch", MOST, partial(_torch, fast=True)),
    "jax check_grads, one direction": Check("jax", MOST, _jax),
    "scipy check_grad": Check("scipy", 10**4, _scipy),
}


@dataclass(frozen=True)
class Measured:
    """median and spread (the median absolute deviation), in seconds.  refused: whether it refused right gradients"""

    check: str
    parameters: int
    median: float
    spread: float
    refused: bool = False


def measured(folder: Path) -> list[Measured]:
    """All checks that are installed, on all networks, in processes of pyperf's.

    folder: where growth.json, pyperf's own (every value, and the machine), and growth.svg are written
    Raises InvalidInput without pyperf.
    """
    if find_spec("pyperf") is None:
        raise InvalidInput("bench --growth: expected pyperf to be installed: pip install pyperf.")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "growth.json"
    kept.unlink(missing_ok=True)  # pyperf writes over nothing
    command = [sys.executable, "-m", __name__, "-o", str(kept)]
    ended = subprocess.run(command, stdout=sys.stderr)  # noqa: S603, PLW1510 — our own; what it says is on stderr
    if ended.returncode:
        raise InvalidInput(f"bench --growth: pyperf ended with {ended.returncode}; what it had measured is in {kept}.")
    found = [replace(m, refused=_refuses(m)) for m in read(kept)]
    (folder / "growth.svg").write_text(drawn(found), encoding="utf-8")
    return found


def _refuses(of: Measured) -> bool:
    width = WIDTHS[of.parameters]
    return CHECKS[of.check].make(network((width, width, width), BATCH, "float64"))() is False


def read(kept: Path) -> list[Measured]:
    """What a file of pyperf's says."""
    import pyperf

    found = []
    for benchmark in pyperf.BenchmarkSuite.load(str(kept)):
        check, _, parameters = benchmark.get_name().rpartition(", ")
        found.append(Measured(check, int(parameters), benchmark.median(), benchmark.median_abs_dev()))
    return found


def rows(found: list[Measured]) -> list[list[str]]:
    """A row a check, a column a network."""
    sizes = sorted({m.parameters for m in found})
    cells = {
        (m.check, m.parameters): f"{_seconds(m.median)} ± {_seconds(m.spread)}{', refused' * m.refused}" for m in found
    }
    checks = list(dict.fromkeys(m.check for m in found))
    return [[check, *(cells.get((check, size), "") for size in sizes)] for check in checks]


def headers(found: list[Measured]) -> list[str]:
    """The first row."""
    return ["parameters", *(f"{size:,}" for size in sorted({m.parameters for m in found}))]


def drawn(found: list[Measured]) -> str:
    """The plot, as an SVG of its own."""
    from ...views import curves

    lines = []
    for check in dict.fromkeys(m.check for m in found):
        of = sorted((m.parameters, m.median) for m in found if m.check == check)
        lines.append((check, [x for x, _ in of], [y for _, y in of]))
    figure = curves(lines, "Seconds of a check over the network's parameters", ("parameters", "seconds"))
    return figure.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(">", f">{STYLE}", 1)


def _seconds(x: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if x >= size:
            return f"{x / size:.3g} {unit}"
    return f"{x / 1e-6:.3g} µs"


def _run() -> None:
    """What pyperf runs again in each process: one of these."""
    import pyperf

    runner: Any = pyperf.Runner(
        program_args=("-m", __spec__.name),
        processes=3, values=3, warmups=1, min_time=0.05,
        add_cmdline_args=lambda command, args: command.extend(["--most", str(args.most)]),
    )  # fmt: skip
    runner.argparser.add_argument("--most", type=int, default=MOST)
    arguments = runner.parse_args()
    for size, width in WIDTHS.items():
        for name, check in CHECKS.items():
            if size <= min(check.most, arguments.most) and find_spec(check.needs):
                runner.bench_time_func(f"{name}, {size}", partial(_timed, check, width))


def _timed(check: Check, width: int, loops: int) -> float:
    import pyperf

    work = check.make(network((width, width, width), BATCH, "float64"))
    work()
    start = pyperf.perf_counter()
    for _ in range(loops):
        work()
    return float(pyperf.perf_counter() - start)


if __name__ == "__main__":
    _run()
