"""Probes that reach where mistakes hide: other sizes, batches and depths, special values, both ends of activations.

`conventions.probes` gives generic numbers, from which conventions and faults are told. Many mistakes show only under a
condition (a batch of more than 4, an input of exactly 0, a saturated unit), so these cover kinds of data, batch sizes
and networks pairwise: every two of them meet in some probe, without the product of all three.

All changes to generic numbers are by powers of two, by signs or to exact values: the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, groupby, product

import numpy as np
from numpy.typing import NDArray

from ..case import Case, Dense
from .conventions import probes

Array = NDArray[np.float64]

BATCHES = (1, 2, 3, 5, 17, 33)
# Of each depth from 1 to 4: sizes 1, 2, 3, 17 and 33, single inputs and outputs, and square weights.
NETWORKS = (
    (1, 1), (2, 1), (3, 3), (17, 2), (33, 3),
    (2, 2, 1), (2, 3, 1), (2, 2, 2), (1, 17, 2), (3, 33, 3), (3, 1, 17),
    (3, 2, 3, 1), (3, 3, 3, 3), (17, 2, 33, 3), (2, 17, 1, 2),
    (1, 2, 3, 1, 2), (3, 3, 3, 3, 3), (2, 17, 3, 5, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """How far a format bears to go, as powers of two.

    saturating: on weights of every layer, which brings |z| to 40 and beyond where the format has such exponentials
    spread: on the last layer's, or on a row that is added to them all: the exponential of a positive logit overflows
    tiny, large: on inputs, whose gradients then lie below 1e-6 or above 5
    """

    saturating: int
    spread: int
    tiny: int
    large: int


LIMITS = {
    "float64": Limits(saturating=5, spread=10, tiny=-34, large=8),
    "float32": Limits(saturating=5, spread=8, tiny=-34, large=8),
    "bfloat16": Limits(saturating=5, spread=8, tiny=-34, large=8),
    "float16": Limits(saturating=2, spread=4, tiny=-8, large=4),
}


@dataclass(frozen=True)
class Numbers:
    """What a kind of data may change of a probe.

    weights: units × inputs each;  inputs: batch × inputs, without a column of ones
    biases: one per unit, or None;  targets: batch × outputs
    """

    weights: tuple[Array, ...]
    biases: tuple[Array | None, ...]
    inputs: Array
    targets: Array


def _scaled(numbers: Numbers, power: int, layers: Sequence[int]) -> Numbers:
    """Weights and biases of some layers (from 0; −1 is the last) times a power of two."""
    chosen = {k % len(numbers.weights) for k in layers}
    factors = [2.0**power if k in chosen else 1.0 for k in range(len(numbers.weights))]
    return replace(
        numbers,
        weights=tuple(w * f for w, f in zip(numbers.weights, factors, strict=True)),
        biases=tuple(None if b is None else b * f for b, f in zip(numbers.biases, factors, strict=True)),
    )


def _zeros(n: Numbers, _: Limits) -> Numbers:
    """A third of the inputs and of the weights is exactly 0 (never the first of a row), and so is every bias."""

    def sparse(array: Array) -> Array:
        rows, columns = np.indices(array.shape)
        return np.where((rows + columns) % 3 == 1, 0.0, array)

    biases = tuple(None if b is None else np.zeros_like(b) for b in n.biases)
    return replace(n, weights=tuple(map(sparse, n.weights)), biases=biases, inputs=sparse(n.inputs))


def _ends(n: Numbers, _: Limits) -> Numbers:
    """Targets at the ends of their range: one-hot, or 0 and 1 in turn for a single output."""
    return replace(n, targets=_one_hot(n.targets))


def _one_hot(like: Array) -> Array:
    """In each row a single 1, its place in turn; 1 and 0 in turn for a single column."""
    rows, columns = np.indices(like.shape)
    hit = (rows + 1) % 2 == 1 if like.shape[1] == 1 else columns == rows % like.shape[1]
    return hit.astype(np.float64)


def _without_weights(n: Numbers, _: Limits) -> Numbers:
    """A layer in the middle whose weights are all 0."""
    middle = len(n.weights) // 2
    return replace(n, weights=tuple(np.zeros_like(w) if k == middle else w for k, w in enumerate(n.weights)))


def _large_inputs(n: Numbers, limits: Limits) -> Numbers:
    """Inputs in the hundreds, under weights so small that no unit saturates."""
    weights = (n.weights[0] * 2.0**-limits.large, *n.weights[1:])
    return replace(n, inputs=n.inputs * 2.0**limits.large, weights=weights)


def _duplicates(n: Numbers, _: Limits) -> Numbers:
    """Every sample twice (the last of an odd number once)."""
    first = np.arange(len(n.inputs)) // 2
    return replace(n, inputs=n.inputs[first], targets=n.targets[first])


def _shifted(n: Numbers, limits: Limits) -> Numbers:
    """Outputs of a sample near one another and far from 0, which a shift by another sample's largest does not undo."""
    factor = 2.0**limits.spread
    w, b = n.weights[-1], n.biases[-1]
    weights = (*n.weights[:-1], w + factor * w[:1])
    return replace(n, weights=weights, biases=(*n.biases[:-1], None if b is None else b + factor * b[:1]))


Change = Callable[[Numbers, Limits], Numbers]

# By the words in which a report says what was covered.
KINDS_OF_DATA: dict[str, Change] = {
    "generic numbers": lambda n, _: n,
    "exact zeros (inputs, weights, all biases)": _zeros,
    "inputs all zero": lambda n, _: replace(n, inputs=np.zeros_like(n.inputs)),
    "inputs of 0 and 1": lambda n, _: replace(n, inputs=(n.inputs > 0).astype(np.float64)),
    "one-hot inputs": lambda n, _: replace(n, inputs=_one_hot(n.inputs)),
    "a layer without weights": _without_weights,
    "equal weights in each layer": lambda n, _: replace(n, weights=tuple(np.full_like(w, w[0, 0]) for w in n.weights)),
    "targets at the ends of their range": _ends,
    "targets all zero": lambda n, _: replace(n, targets=np.zeros_like(n.targets)),
    "targets all one": lambda n, _: replace(n, targets=np.ones_like(n.targets)),
    "inputs in the hundreds": _large_inputs,
    "inputs near zero": lambda n, limits: replace(n, inputs=n.inputs * 2.0**limits.tiny),
    "inputs of one sign": lambda n, _: replace(n, inputs=np.abs(n.inputs)),
    "negative inputs": lambda n, _: replace(n, inputs=-np.abs(n.inputs)),
    "equal samples": _duplicates,
    "saturated units": lambda n, limits: _scaled(n, limits.saturating, range(len(n.weights))),
    "outputs far apart": lambda n, limits: _scaled(n, limits.spread, (-1,)),
    "outputs far from zero": _shifted,
}

Row = tuple[str, int, tuple[int, ...]]  # a kind of data, a batch size, a network

FAR = ("outputs far apart", "outputs far from zero")  # where exponentials overflow
FAR_ONLINE = (*FAR, "inputs in the hundreds")  # and where they do after a sample's step, which these make large


def reaching_probes(
    networks: Sequence[tuple[int, ...]],
    batches: Sequence[int],
    bias: str | Sequence[bool],
    dtype: str,
    rounds: int = 1,
) -> Iterator[Case]:
    """Probes that cover kinds of data × batch sizes × networks pairwise, `rounds` times with other numbers.

    Their notes are the names of `KINDS_OF_DATA`; they are in the order of their networks' depth.
    """
    for number in range(rounds):
        rows = sorted(_pairwise(tuple(networks), tuple(batches)), key=lambda row: (len(row[2]), row[2]))
        depths = groupby(enumerate(rows), key=lambda numbered: len(numbered[1][2]))
        ordered = [numbered for _, group in depths for numbered in _apart(list(group))]
        for k, (kind, batch, sizes) in ordered:
            (case,) = probes(sizes, (batch,), bias, dtype, 1000 * (number + 1) + k)
            yield replace(_changed(case, kind, bias, dtype), name=f"further-{number}-{k}", note=kind)


def _apart(rows: list[tuple[int, Row]]) -> list[tuple[int, Row]]:
    """With those far out between the others: a process that overflows at each does not always fail."""
    others, far = ([row for row in rows if (row[1][0] in FAR) is out] for out in (False, True))
    step, spread = max(1, len(others) // (len(far) + 1)), []
    for number, row in enumerate(others, 1):
        spread += [row, *([far.pop(0)] if far and number % step == 0 else [])]
    return spread + far


@cache
def _pairwise(
    networks: tuple[tuple[int, ...], ...], batches: tuple[int, ...]
) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
    """Rows in which every two of kind, batch, depth, and one or more outputs of one or more samples meet, and every
    network is; greedily.

    Source: Cohen, Dalal, Fredman & Patton, The AETG System, IEEE Trans. Software Engineering 23 (1997), §3.
    """

    def pairs(row: tuple[str, int, tuple[int, ...]]) -> set[tuple[object, object]]:
        kind, batch, sizes = row
        outputs = "one output" if sizes[-1] == 1 else "several outputs"  # of one, a distribution says nothing
        together = f"{outputs}, {'one sample' if batch == 1 else 'several samples'}"
        return {*combinations((kind, batch, f"depth {len(sizes) - 1}", together), 2), (sizes, sizes)}

    covers = {row: pairs(row) for row in product(KINDS_OF_DATA, batches, networks)}
    wanted = set().union(*covers.values())
    chosen = []
    while wanted:
        best = max(covers, key=lambda row: len(covers[row] & wanted))
        wanted -= covers[best]
        chosen.append(best)
    return tuple(chosen)


def _changed(case: Case, kind: str, bias: str | Sequence[bool], dtype: str) -> Case:
    column = slice(None)  # of the inputs: all but a column of ones, which stays
    if bias == "column-first":
        column = slice(1, None)
    elif bias == "column-last":
        column = slice(None, -1)
    weights = tuple(np.array(layer.weights, np.float64) for layer in case.layers)
    biases = tuple(None if layer.biases is None else np.array(layer.biases, np.float64) for layer in case.layers)
    given, targets = np.array(case.inputs, np.float64), np.array(case.targets, np.float64)
    changed = KINDS_OF_DATA[kind](Numbers(weights, biases, given[:, column], targets), LIMITS[dtype])
    given[:, column] = changed.inputs
    of_format = np.array(case.inputs).dtype
    layers = tuple(
        Dense(w.astype(of_format), None if b is None else tuple(map(float, b.astype(of_format))), layer.activation)
        for layer, w, b in zip(case.layers, changed.weights, changed.biases, strict=True)
    )
    return replace(case, layers=layers, inputs=given.astype(of_format), targets=changed.targets.astype(of_format))
