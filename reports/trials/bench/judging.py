"""How long judging takes, as ratios within one run: machines differ, and are noisy. Medians of several.

- gradients of a float32 net: truth, tolerance and verdict on all of them, against one float64 backprop in NumPy
- a float64 net in certified balls, against the plain-Python reference
- what a check by finite differences costs beside it, and how that grows with the number of parameters
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from ....adapters.jax_grad import enable_x64
from ....adapters.numpy_vectorised import observe
from ....reference.case import Case, Dense, run
from ....reference.judging import Observation, judge, truth_of
from ....reference.numbers import PLAIN, PROFILES, BoundedArithmetic

SMALL, LARGE = ((784, 128, 10), 32), ((2048,) * 5, 256)


def network(sizes: Sequence[int], batch: int, dtype: str) -> Case:
    """tanh layers without biases, generic numbers."""
    rng = np.random.default_rng(0)
    layers = tuple(
        Dense((rng.standard_normal((units, inputs)) / inputs**0.5).astype(dtype), None, "tanh")
        for inputs, units in pairwise(sizes)
    )
    inputs, targets = (rng.standard_normal((batch, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
    return Case("-".join(str(n) for n in sizes), layers, inputs, targets, dtype=dtype)


def backpropagation(case: Case) -> Callable[[], Any]:
    """The least that NumPy can do for the case's gradients in float64: the unit that times are given in."""
    weights = [np.asarray(layer.weights, np.float64) for layer in case.layers]
    x, t = np.asarray(case.inputs, np.float64), np.asarray(case.targets, np.float64)

    def once() -> list[Any]:
        activations = [x]
        for w in weights:
            activations.append(np.tanh(activations[-1] @ w.T))
        delta = (activations[-1] - t) * (1 - activations[-1] ** 2)
        gradients = [delta.T @ activations[-2]]
        for k in range(len(weights) - 2, -1, -1):
            delta = (delta @ weights[k + 1]) * (1 - activations[k + 1] ** 2)
            gradients.append(delta.T @ activations[k])
        return gradients

    return once


def median_seconds(work: Callable[[], Any], times: int) -> float:
    """The median of so many runs, after one that is not counted."""
    work()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def gradients_only(case: Case) -> Observation:
    """What an implementation shows that returns nothing but gradients."""
    honest = observe(case)
    return Observation("numpy", honest.version, "cpu", case.dtype, weight_gradients=honest.weight_gradients)


def bench(large: bool = True) -> Iterator[list[str]]:
    """One row per measurement: what, seconds, in units of what, ratio."""
    for (sizes, batch), times in ((SMALL, 31), *(((LARGE, 5),) if large else ())):
        case = network(sizes, batch, "float32")
        observation = gradients_only(case)
        unit = median_seconds(backpropagation(case), 3 * times)
        name = f"{case.name}, batch {batch}"
        yield _row(f"{name}: one float64 backprop in NumPy", unit, unit)
        bounds = median_seconds(partial(run, case, BoundedArithmetic(PROFILES["float32"])), times)
        yield _row(f"{name}: truth and tolerance of every float32 gradient", bounds, unit)
        whole = median_seconds(partial(judge, case, observation), times)
        yield _row(f"{name}: and the verdict on them", whole, unit)
        yield [
            f"{name}: memory at most, in units of the network's own arrays",
            "",
            f"{_memory(case, observation):.1f} ×",
        ]

    case = network(*SMALL, "float64")
    unit = median_seconds(lambda: run(case, PLAIN), 3)
    yield _row(f"{case.name}, batch {case.batch}: the plain-Python reference", unit, unit)
    yield _row("… certified in balls, float64", median_seconds(lambda: truth_of(case, PROFILES["float64"]), 3), unit)
    observation = observe(case)
    yield _row(
        "… and every step of an implementation judged", median_seconds(lambda: judge(case, observation), 3), unit
    )

    for width in (4, 8, 16, 32):
        yield from _finite_differences(width)
    yield from _rendering()


def _row(what: str, seconds: float, unit: float) -> list[str]:
    return [what, f"{seconds * 1e3:.4g} ms", f"{seconds / unit:.2f} ×"]


def _memory(case: Case, observation: Observation) -> float:
    """Peak memory while judging / weights, inputs, gradients and activations of the network in its dtype."""
    own = 2 * sum(np.asarray(layer.weights).nbytes for layer in case.layers)
    own += 2 * case.batch * sum(case.sizes) * np.asarray(case.inputs).itemsize
    tracemalloc.start()
    judge(case, observation)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / own


def _rendering() -> Iterator[list[str]]:
    """The HTML page of 100,000 comparisons, against the matrix that it shows."""
    from ....adapters.adapter import known_adapters
    from ....reference.cases import standard_cases
    from ...comparison import compare
    from ...views import html

    start = time.perf_counter()
    results = compare(standard_cases(("float64",)), [known_adapters()["numpy"]])
    unit = time.perf_counter() - start
    times = 100_000 // sum(len(run.comparisons) for run in results.runs) + 1
    large = msgspec.structs.replace(results, runs=results.runs * times)
    yield _row("61 cases on NumPy, judged", unit, unit)
    yield _row("the HTML page of 100,000 comparisons", median_seconds(partial(html, large), 3), unit)


def _finite_differences(width: int) -> Iterator[list[str]]:
    """The frameworks' own gradient checks on width-width-2, float64, beside ours on the same net."""
    case = network((width, width, 2), 4, "float64")
    net = f"{width * width + 2 * width} parameters"
    ours = median_seconds(partial(judge, case, replace(observe(case), received=None)), 5)
    yield _row(f"{net}: backproof, every step", ours, ours)
    if find_spec("torch"):
        yield _row(f"{net}: torch.autograd.gradcheck", _gradcheck(case), ours)
    if find_spec("jax"):
        yield _row(f"{net}: jax check_grads, one random direction", _check_grads(case), ours)


def _gradcheck(case: Case) -> float:
    import torch

    return median_seconds(partial(torch.autograd.gradcheck, *loss_in_torch(case)), 3)


def _check_grads(case: Case) -> float:
    import jax
    from jax import test_util

    with enable_x64(True):
        loss, weights = loss_in_jax(case)
        return median_seconds(lambda: test_util.check_grads(jax.jit(loss), weights, order=1, modes=["rev"]), 3)


def loss_in_torch(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """The loss of a tanh net as a function of its weights, and these."""
    import torch

    weights = [torch.tensor(np.asarray(layer.weights), requires_grad=True) for layer in case.layers]
    x, t = (torch.tensor(np.asarray(rows)) for rows in (case.inputs, case.targets))

    def loss(*weights: Any) -> Any:
        a = x
        for w in weights:
            a = torch.tanh(a @ w.T)
        return ((a - t) ** 2).sum() / 2

    return loss, weights


def loss_in_jax(case: Case) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The same in JAX, in the width that is switched on."""
    import jax.numpy as jnp

    weights = tuple(jnp.asarray(layer.weights) for layer in case.layers)
    x, t = (jnp.asarray(rows) for rows in (case.inputs, case.targets))

    def loss(*weights: Any) -> Any:
        a = x
        for w in weights:
            a = jnp.tanh(a @ w.T)
        return jnp.sum((a - t) ** 2) / 2

    return loss, weights
