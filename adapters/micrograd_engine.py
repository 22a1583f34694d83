"""micrograd: a `Value` for every number, gradients by its `backward`; Python floats.

It knows +, ×, constant powers and ReLU, which is enough for a few activations and losses.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.activations import LEAKY_SLOPE
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parts
from .adapter import Adapter

Values = list[list[Any]]  # rows of micrograd's numbers
LOSSES = ("half_squared_error", "squared_error", "absolute_error", "hinge")
# `backward` calls itself once for each operation on the longest way to a weight. Each of its calls takes memory.
DEEPEST = 10_000


def cannot(case: Case) -> str | None:
    """The activation or loss that it has no operations for."""
    for layer in case.layers:
        if parts(layer.activation)[0] not in ("identity", "relu", "leaky_relu"):
            return f"activation {layer.activation}"
    if case.loss not in LOSSES:
        return f"loss {case.loss}"
    return None


def observe(case: Case) -> Observation:
    """One learning step. Raises NotImplementedError for what `cannot` says."""
    if why := cannot(case):
        raise NotImplementedError(f"micrograd has no {why}")
    from importlib.metadata import version

    from micrograd.engine import Value

    def values(rows: Any) -> Values:
        return [[Value(float(x)) for x in row] for row in rows]

    weights = [values(layer.weights) for layer in case.layers]
    biases = [None if layer.biases is None else values([layer.biases]) for layer in case.layers]
    inputs, targets = values(case.inputs), values(case.targets)
    received = Received(_data(weights), _rows(_data(biases)), *_numbers([inputs, targets], "data"))

    zs: list[Values] = []
    activations = [inputs]
    for layer, w, b in zip(case.layers, weights, biases, strict=True):
        z = [[_sum([x * y for x, y in zip(row, unit, strict=True)]) for unit in w] for row in activations[-1]]
        zs.append(z if b is None else [[x + y for x, y in zip(row, b[0], strict=True)] for row in z])
        activations.append([[_activation(layer.activation, x) for x in row] for row in zs[-1]])
    pairs = zip(chain(*activations[-1]), chain(*targets), strict=True)
    loss = _sum([_error(case.loss, o, t) for o, t in pairs])
    loss = loss / case.batch if case.reduction == "mean" else loss
    with _deep_recursion():
        loss.backward()

    observation = Observation(
        adapter=ADAPTER.name,
        version=version("micrograd"),
        device="cpu",
        precision="float64",
        received=received,
        pre_activations=_data(zs),
        activations=_data(activations[1:]),
        loss=np.array(float(loss.data)),
        deltas=_numbers(zs, "grad"),
        weight_gradients=_numbers(weights, "grad"),
        bias_gradients=_rows(_numbers(biases, "grad")),
    )
    if case.learning_rate is None:
        return observation
    for row in chain(*weights, *(b for b in biases if b is not None)):
        for value in row:
            value.data -= case.learning_rate * value.grad
    return replace(observation, updated_weights=_data(weights), updated_biases=_rows(_data(biases)))


@contextmanager
def _deep_recursion() -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def _sum(terms: Sequence[Any]) -> Any:
    """In pairs: one after the other would make a graph as deep as there are terms."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return _sum(terms[:half]) + _sum(terms[half:])


def _activation(activation: Any, z: Any) -> Any:
    match parts(activation):
        case "identity", ():
            return z + 0  # a Value of its own: what is shown as z is then not the activation's
        case "relu", ():
            return z.relu()
        case "leaky_relu", slope:
            return z.relu() - (slope[0] if slope else LEAKY_SLOPE) * (-z).relu()
    raise NotImplementedError(f"activation {activation}")


def _error(loss: str, o: Any, t: Any) -> Any:
    match loss:
        case "half_squared_error":
            return (o - t) ** 2 / 2
        case "squared_error":
            return (o - t) ** 2
        case "absolute_error":
            return (o - t).relu() + (t - o).relu()
        case "hinge":
            return (1 - t * o).relu()
    raise NotImplementedError(f"loss {loss}")


def _data(matrices: Sequence[Values | None]) -> tuple[NDArray[Any] | None, ...]:
    return _numbers(matrices, "data")


def _numbers(matrices: Sequence[Values | None], which: str) -> tuple[Any, ...]:
    """The `data` or the `grad` of each value."""
    return tuple(
        None if rows is None else np.array([[float(getattr(value, which)) for value in row] for row in rows])
        for rows in matrices
    )


def _rows(matrices: Sequence[NDArray[Any] | None]) -> tuple[NDArray[Any] | None, ...]:
    return tuple(None if matrix is None else matrix[0] for matrix in matrices)


ADAPTER = Adapter(
    "micrograd",
    "micrograd: a Value for every number",
    package="micrograd",
    run=observe,
    rank=4,
    dtypes=("float64",),
    limits="identity, relu and leaky_relu; squared errors, absolute error and hinge",
    cannot=cannot,
)
