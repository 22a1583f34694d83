"""backproof on trial: thousands of correct implementations, none of which may be accused.

A configuration is drawn from its number alone: framework, format, eager or compiled, order of summation, network, data.
So an alarm is reproduced by its number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...adapters import numpy_vectorised
from ...adapters.adapter import known_adapters
from ...reference.activations import ACTIVATIONS
from ...reference.case import Case, Dense
from ...reference.judging import Judgement, Observation, UnusableAnswer, Verdict, judge
from ...reference.losses import LOSSES
from ...reference.numbers import PRECISIONS, numpy_dtype
from ..journal import Journal
from ..spread import spread
from .accuracy import IN_THE_ATLAS

Array = NDArray[Any]

DEPTH, WIDTH, BATCH = 12, 512, 512  # the largest, each drawn log-uniformly
DATA = ("ordinary", "saturated", "tiny", "huge", "sparse", "duplicated", "integers", "positive", "one-hot")
VISIBLE = {
    "everything": None,
    "gradients": ("weight_gradients", "bias_gradients"),
    "outputs and gradients": ("activations", "loss", "weight_gradients", "bias_gradients"),
    "updates": ("updated_weights", "updated_biases"),
}


@dataclass(frozen=True)
class Alarm:
    """A correct implementation that was accused, and of what."""

    number: int
    configuration: str
    verdict: str
    places: str


@dataclass(frozen=True)
class Trial:
    """What became of one configuration. `unanswered`: the implementation itself failed."""

    number: int
    framework: str
    dtype: str
    verdict: str
    alarm: Alarm | None


def outcome(trials: Iterable[Trial]) -> str:
    """What became of a campaign.

    wrong: an implementation was accused;  unanswered: one failed, or there was none;  agrees: neither
    """
    tried = list(trials)
    if any(trial.verdict in ("wrong", "suspect") for trial in tried):
        return "wrong"
    return "unanswered" if not tried or any(trial.verdict == "unanswered" for trial in tried) else "agrees"


# ------------------------------------------------------------------------------------ orders of summation


def _permuted(rng: np.random.Generator) -> numpy_vectorised.Product:
    def product(left: Array, right: Array) -> Array:
        order = rng.permutation(left.shape[1])
        return numpy_vectorised.product(left[:, order], right[order])

    return product


def _in_blocks(rng: np.random.Generator) -> numpy_vectorised.Product:
    def product(left: Array, right: Array) -> Array:
        size = int(rng.integers(1, 65))
        wide = numpy_vectorised.wide_dtype(left.dtype)
        total = np.zeros((left.shape[0], right.shape[1]), wide)
        for start in range(0, left.shape[1], size):
            block = slice(start, start + size)
            total = total + left[:, block].astype(wide) @ right[block].astype(wide)
        return total.astype(left.dtype)

    return product


def _one_by_one(_: np.random.Generator) -> numpy_vectorised.Product:
    """The textbook's loop: each product rounded, then added."""

    def product(left: Array, right: Array) -> Array:
        wide = numpy_vectorised.wide_dtype(left.dtype)
        total = np.zeros((left.shape[0], right.shape[1]), wide)
        for column, row in zip(left.T.astype(wide), right.astype(wide), strict=True):
            total += np.multiply.outer(column, row)
        return total.astype(left.dtype)

    return product


def _pairwise(_: np.random.Generator) -> numpy_vectorised.Product:
    def product(left: Array, right: Array) -> Array:
        if left.shape[1] <= 8:
            return numpy_vectorised.product(left, right)
        half = left.shape[1] // 2
        wide = numpy_vectorised.wide_dtype(left.dtype)
        parts = [
            numpy_vectorised.product(left[:, part].astype(wide), right[part].astype(wide))
            for part in (slice(half), slice(half, None))
        ]
        return np.asarray(parts[0] + parts[1]).astype(left.dtype)

    return product


ORDERS: dict[str, Callable[[np.random.Generator], numpy_vectorised.Product]] = {
    "permuted": _permuted,
    "in blocks": _in_blocks,
    "one by one": _one_by_one,
    "pairwise": _pairwise,
}


# ------------------------------------------------------------------------------------ configurations


# Where a framework is known to be inaccurate: findings of the atlas and of tests/adapters/test_findings.py.
INACCURATE = {
    ("torch", "float64"): {"softplus"},  # linear beyond its threshold of 20
    # its sigmoid is 0 below 1.5e-5, where exp(−z) overflows; so does (Σ exp)² in softmax's gradient over 256 classes
    ("jax", "float16"): {"sigmoid", "softmax"},
    ("jax", "float64"): {"binary_cross_entropy"},  # log1p is off by 104 ulps at −0.41
}


def draw_case(rng: np.random.Generator, dtype: str, framework: str) -> tuple[Case, str]:
    """A random network with a batch, without what the framework is known to be inaccurate in; and its data's kind."""
    kind = str(rng.choice(DATA))
    depth = _log_uniform(rng, DEPTH)
    sizes = [_log_uniform(rng, WIDTH) for _ in range(depth + 1)]
    batch = 1 if rng.random() < 0.15 else _log_uniform(rng, BATCH)
    known = INACCURATE.get((framework, dtype), set())
    activations = [name for name in ACTIVATIONS if name not in known]
    losses = [loss for loss in LOSSES.values() if not known & {loss.name, loss.output_activation}]
    if framework == "torch":  # its binary_cross_entropy clamps o(1 − o), so saturated outputs learn nothing
        losses = [loss for loss in losses if loss.name != "binary_cross_entropy" or kind == "ordinary"]
    loss = losses[int(rng.integers(len(losses)))]
    hidden = [str(rng.choice(activations)) for _ in range(depth - 1)]
    outputs = [name for name in (*activations, "softmax") if name not in known]
    output = loss.output_activation or str(rng.choice(outputs))
    names = [*hidden, output]
    scale = {"saturated": 30.0, "tiny": 1e-3, "huge": 30.0}.get(kind, 1.5)
    if dtype == "float16":
        scale = min(scale, 4.0)  # it overflows soon
    layers = tuple(
        Dense(
            _numbers(rng, (units, inputs), scale / inputs**0.5, kind, dtype),
            None if rng.random() < 0.2 else _numbers(rng, (1, units), 0.5, "ordinary", dtype)[0].tolist(),
            name,
        )
        for inputs, units, name in zip(sizes[:-1], sizes[1:], names, strict=True)
    )
    inputs = _numbers(rng, (batch, sizes[0]), 1.0, kind, dtype)
    if kind == "duplicated":
        inputs = inputs[rng.integers(0, max(1, batch // 4), size=batch)]
    targets = _numbers(rng, (batch, sizes[-1]), 1.0, "ordinary", dtype)
    if "softmax" in loss.name:
        targets = np.eye(sizes[-1])[rng.integers(0, sizes[-1], size=batch)].astype(targets.dtype)
    elif "binary" in loss.name:
        targets = (targets > 0).astype(targets.dtype)
    reduction = str(rng.choice(["sum", "mean"]))
    rate = float(2.0 ** rng.integers(-6, 3))
    return Case("drawn", layers, inputs, targets, loss.name, reduction, rate, dtype), kind


adapters_by_name = cache(known_adapters)  # reading the entry points takes as long as a small case


def _log_uniform(rng: np.random.Generator, largest: int) -> int:
    return round(float(np.exp(rng.uniform(0, np.log(largest)))))


def _numbers(rng: np.random.Generator, shape: tuple[int, int], size: float, kind: str, dtype: str) -> Array:
    numbers = rng.uniform(-size, size, shape)
    match kind:
        case "tiny":
            numbers *= 10.0 ** -rng.integers(0, 3 if dtype == "float16" else 12)
        case "sparse":
            numbers *= rng.random(shape) < 0.1
        case "integers":
            numbers = np.rint(numbers * 4 / size) / 4
        case "positive":
            numbers = np.abs(numbers)
        case "one-hot":
            numbers = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])] * size
    return numbers.astype(numpy_dtype(dtype))


def _implementation(rng: np.random.Generator, framework: str) -> tuple[str, Callable[[Case], Observation]]:
    """One way to run a case on the framework: eager or compiled, in one order of summation or another."""
    adapter = adapters_by_name()[framework]
    if framework == "numpy" and rng.random() < 0.8:
        order = str(rng.choice(list(ORDERS)))
        product = ORDERS[order](rng)
        return f"numpy, {order}", lambda case: numpy_vectorised.observe(case, product)
    if framework == "jax" and rng.random() < 0.05:  # compiles each operation for each shape: seconds
        import jax

        def eager(case: Case) -> Observation:
            with jax.disable_jit():
                return adapter.run(case)

        return "jax, eager", eager
    return framework, adapter.run


def configuration(number: int, frameworks: Sequence[str]) -> tuple[str, Case, str, Callable[[Case], Observation], str]:
    """Everything about configuration `number`: framework, case, words, how to run it, and what of it is to be seen."""
    rng = np.random.default_rng([number, 20])
    # one of JAX takes as long as ten of the others, to compile; plain Python, long where it is large
    weights = np.array([{"jax": 0.15, "plain": 0.4}.get(name, 1.0) for name in frameworks])
    framework = str(rng.choice(list(frameworks), p=weights / weights.sum()))
    adapter, case = adapters_by_name()[framework], None
    while case is None or adapter.refusal(case):  # another, where it has no way to run this one
        case, kind = draw_case(rng, str(rng.choice(list(PRECISIONS))), framework)
    if framework == "plain" and case.batch * sum(case.sizes) > 4000:
        framework = "numpy"  # plain Python would take minutes
    how, run = _implementation(rng, framework)
    visible = str(rng.choice(list(VISIBLE), p=[0.55, 0.2, 0.15, 0.1]))
    sizes = "-".join(str(n) for n in case.sizes)
    names = ", ".join(str(layer.activation) for layer in case.layers)
    words = f"{how} {case.dtype} · {sizes}, batch {case.batch} · {names} · {case.loss}, {case.reduction} · {kind}"
    words += f" · {visible} shown"
    return framework, case, words, run, visible


def try_one(number: int, frameworks: Sequence[str]) -> Trial:
    """Run configuration `number` and judge it."""
    framework, case, words, run, visible = configuration(number, frameworks)
    _prepare(framework, number)
    try:
        observation = run(case)
    except Exception as error:  # the framework's failure is not backproof's, but it is said
        said = f"{type(error).__name__}: {error}"
        return Trial(number, framework, case.dtype, "unanswered", Alarm(number, words, "unanswered", said))
    try:
        judgement = judge(case, _shown(observation, visible))
    except UnusableAnswer as error:
        return Trial(number, framework, case.dtype, "unanswered", Alarm(number, words, "unanswered", str(error)))
    verdict = judgement.verdict.value
    accused = judgement.verdict in (Verdict.WRONG, Verdict.SUSPECT)
    alarm = Alarm(number, words, verdict, _accusation(judgement)) if accused else None
    return Trial(number, framework, case.dtype, verdict, alarm)


def _shown(observation: Observation, visible: str) -> Observation:
    kept = VISIBLE[visible]
    if kept is None:
        return observation
    hidden: dict[str, Any] = {
        quantity: None
        for quantity in ("pre_activations", "activations", "loss", "deltas", "weight_gradients", "bias_gradients",
                         "updated_weights", "updated_biases")
        if quantity not in kept
    }  # fmt: skip
    if "activations" in kept and observation.activations is not None:
        hidden["activations"] = (*[None] * (len(observation.activations) - 1), observation.activations[-1])
    return replace(observation, **hidden)


def _accusation(judgement: Judgement) -> str:
    words = []
    for comparison in (*judgement.wrong, *judgement.suspect):
        said = f"{comparison.place}: {comparison.wrong} wrong, {comparison.suspect} suspect of {comparison.elements}"
        if comparison.worst:
            worst = comparison.worst[0]
            said += f", {worst.index} expected {worst.expected!r} got {worst.got!r} tolerance {worst.tolerance:.3g}"
        said += "".join(f", {a.direction} {a.ratio:.3g}" for a in comparison.aggregates)
        words.append(said)
    return "; ".join(words[:4])


def measured_frameworks() -> list[str]:
    """Those installed whose functions the atlas has measured: what another's are off by is no alarm of the judge's."""
    return [name for name, adapter in known_adapters().items() if adapter.present and name in IN_THE_ATLAS]


def clean(
    count: int,
    first: int = 0,
    executor: Executor | None = None,
    frameworks: Sequence[str] | None = None,
    journal: Journal | None = None,
) -> Iterator[Trial]:
    """Try so many configurations from number `first` on, in the order in which they finish.

    executor: any `concurrent.futures` executor; None runs here
    frameworks: names of adapters; by default `measured_frameworks`
    """
    names = frameworks or measured_frameworks()
    tasks = {f"clean {number}": (number, names) for number in range(first, first + count)}
    for _, trial in spread(try_one, tasks, Trial, executor, journal, CHUNK):
        yield trial


CHUNK = 20  # configurations per task


def _prepare(framework: str, number: int) -> None:
    """PyTorch on one thread, or on OMP_NUM_THREADS; JAX without what it has compiled, now and then."""
    if framework == "torch":
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if framework == "jax" and number % CHUNK == 0:
        import jax

        jax.clear_caches()  # every case is compiled anew, and would be kept
