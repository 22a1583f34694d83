"""`backproof train`: the chapter's net, or a given one, learns; weights are saved as JSON, a truth table is printed."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from ...adapters.adapter import Adapter
from ...adapters.protocol import printable
from ...reference.activations import SOFTMAX
from ...reference.case import Case, Dense, InvalidInput, known_activation, network_sizes, one_of, run
from ...reference.cases import XOR_INPUTS, XOR_TARGETS
from ...reference.numbers import PLAIN
from ...reference.training import train as train_by_rules
from ..console import table_of
from ..views import Picture, pictures

LONGEST_TABLE = 16  # samples that are printed


class SavedLayer(msgspec.Struct, frozen=True):
    """A layer in a file of weights."""

    weights: list[list[float]]
    biases: list[float] | None
    activation: str


def network(sizes: Sequence[int], activation: str, seed: int, biases: str = "hidden") -> tuple[Dense, ...]:
    """A random start: weights uniform in ±1, as is each bias; biases everywhere, in hidden layers only, or nowhere."""
    if known_activation("--activation", activation) is SOFTMAX:
        raise InvalidInput("--activation: softmax is for the output layer only; these are all layers.")
    one_of("--bias", biases, ("separate", "hidden", "none"))
    sizes = network_sizes(sizes, "--sizes")
    rng = Random(seed)
    layers = []
    for k, (inputs, units) in enumerate(pairwise(sizes)):
        weights = tuple(tuple(rng.uniform(-1, 1) for _ in range(inputs)) for _ in range(units))
        has = biases == "separate" or (biases == "hidden" and k + 2 < len(sizes))
        layers.append(Dense(weights, tuple(rng.uniform(-1, 1) for _ in range(units)) if has else None, activation))
    return tuple(layers)


def samples(path: Path | None, inputs: int, outputs: int) -> tuple[Any, Any]:
    """XOR, or a CSV file's rows: first the inputs, then the targets; a first row of names is skipped.

    Raises InvalidInput with the line where a row is not that.
    """
    if path is None:
        if (inputs, outputs) != (2, 1):
            raise InvalidInput(f"--sizes: XOR has 2 inputs and 1 output, got {inputs} and {outputs}. Give your --data.")
        return XOR_INPUTS, XOR_TARGETS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(k, row) for k, row in enumerate(csv.reader(file), start=1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"--data {path}: cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if rows and not any(_number(cell) is not None for cell in rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise InvalidInput(f"--data {path}: expected rows of numbers, found none.")
    x, t = [], []
    for line, row in rows:
        if len(row) != inputs + outputs:
            raise InvalidInput(
                f"--data {path}, line {line}: expected {inputs + outputs} numbers "
                f"({inputs} inputs, {outputs} targets), got {len(row)}."
            )
        numbers = [_number(cell) for cell in row]
        if None in numbers:
            bad = row[numbers.index(None)]
            raise InvalidInput(f"--data {path}, line {line}: expected finite numbers, got {printable(bad, 40)!r}.")
        known = [n for n in numbers if n is not None]
        x.append(tuple(known[:inputs]))
        t.append(tuple(known[inputs:]))
    return tuple(x), tuple(t)


def _number(cell: str) -> float | None:
    try:
        x = float(cell)
    except ValueError:
        return None
    return x if math.isfinite(x) else None


def loaded(path: Path) -> tuple[Dense, ...]:
    """Layers from a file that `saved` wrote. Raises InvalidInput."""
    shown = printable(str(path))
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[SavedLayer])
    except OSError as error:
        raise InvalidInput(f"--load {shown}: cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        said = printable(str(error))
        raise InvalidInput(f"--load {shown}: expected weights that `train --save` wrote: {said}") from error
    layers = tuple(
        Dense(tuple(map(tuple, x.weights)), None if x.biases is None else tuple(x.biases), x.activation) for x in found
    )
    try:
        _check(layers)
    except InvalidInput as error:
        raise InvalidInput(f"--load {shown}: {error}") from error
    return layers


def _check(layers: tuple[Dense, ...]) -> None:
    """Raises InvalidInput unless they are a network: as a case's they must fit each other, whatever the samples are."""
    inputs = len(layers[0].weights[0]) if layers and layers[0].weights else 1
    outputs = len(layers[-1].weights) if layers else 1
    Case("loaded", layers, ((0.0,) * max(inputs, 1),), ((0.0,) * max(outputs, 1),))


def saved(layers: Sequence[Dense]) -> str:
    """Layers as JSON; every number is read back as it was."""
    document = [
        SavedLayer(
            [[float(w) for w in row] for row in x.weights], None if x.biases is None else [float(b) for b in x.biases],
            str(x.activation),
        )
        for x in layers
    ]  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def learn(
    case: Case, rule: str, epochs: int, adapter: Adapter, progress: Callable[[int, float], None]
) -> tuple[tuple[float, ...], tuple[Dense, ...]]:
    """Losses, and the layers in the end. progress: called with the epoch and its loss, in plain Python as it goes on"""
    if adapter.name != "plain":
        assert adapter.train is not None
        trained = adapter.train(case, rule, epochs)
        progress(epochs, trained.losses[-1])
        return trained.losses, trained.layers
    losses = []
    for epoch in islice(train_by_rules(case, rule), epochs):
        losses.append(epoch.loss[0][0])
        progress(epoch.number, losses[-1])
        if not math.isfinite(losses[-1]):
            raise InvalidInput(f"epoch {epoch.number}: the loss is {losses[-1]}: the rate is too high. Lower --rate.")
    layers = tuple(
        Dense(x.weights, None if x.biases is None else x.biases[0], old.activation)
        for x, old in zip(epoch.layers, case.layers, strict=True)
    )
    return tuple(losses), layers


def truth_table(case: Case, layers: Sequence[Dense], width: int | None = None) -> str:
    """What the net says for each sample, beside what it should. width: to which the table is fitted"""
    step = run(replace(case, layers=tuple(layers), learning_rate=None), PLAIN)
    rows = [
        [" ".join(f"{x:g}" for x in given), " ".join(f"{t:g}" for t in target), " ".join(f"{o:.4f}" for o in output)]
        for given, target, output in zip(case.inputs, case.targets, step.forward.outputs, strict=True)
    ]
    more = f"… and {len(rows) - LONGEST_TABLE} more samples\n" if len(rows) > LONGEST_TABLE else ""
    table = table_of(rows[:LONGEST_TABLE], ["inputs", "target", "output"], width)
    return f"{table}{more}loss {step.backward.loss[0][0]:.6g}\n"


def drawn_at_its_worst(case: Case, layers: Sequence[Dense]) -> tuple[int, tuple[Picture, Picture] | None]:
    """The sample whose output is off most, and the net on it; None for a net that is too large to be drawn."""
    trained = replace(case, layers=tuple(layers), learning_rate=None)
    outputs = run(trained, PLAIN).forward.outputs
    off = [sum(abs(o - t) for o, t in zip(*pair, strict=True)) for pair in zip(outputs, case.targets, strict=True)]
    worst = off.index(max(off))
    return worst, pictures(trained, worst)
