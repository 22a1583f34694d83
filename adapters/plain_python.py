"""The reference itself, on Python floats. It computes in float64 whatever the case's dtype, and is judged as such."""

from __future__ import annotations

import math
import platform
from itertools import islice

import numpy as np

from ..reference.backprop import RULES, Rules
from ..reference.case import Case, Dense, run
from ..reference.judging import Observation, Received
from ..reference.more_activations import MEASURED
from ..reference.numbers import PLAIN, PRECISIONS, PlainMatrix
from ..reference.training import train as train_by_rules
from .adapter import OF_PROGRAMS, Adapter, Trajectory


def observe(case: Case, rules: Rules = RULES) -> Observation:
    """One learning step of the reference, or of a faulty one."""
    step = run(case, PLAIN, rules)
    forward, backward, updated = step.forward, step.backward, step.updated
    return Observation(
        adapter=ADAPTER.name,
        version=f"Python {platform.python_version()}",
        device="cpu",
        precision="float64",
        received=Received(
            weights=tuple(_array(PLAIN.lift(layer.weights)) for layer in case.layers),
            biases=tuple(None if layer.biases is None else _row(PLAIN.lift([layer.biases])) for layer in case.layers),
            inputs=_array(PLAIN.lift(case.inputs)),
            targets=_array(PLAIN.lift(case.targets)),
        ),
        pre_activations=tuple(_array(z) for z in forward.pre_activations),
        activations=tuple(_array(a) for a in forward.activations),
        loss=_array(backward.loss),
        deltas=tuple(_array(delta) for delta in backward.deltas),
        weight_gradients=tuple(_array(gradient) for gradient in backward.weight_gradients),
        bias_gradients=tuple(_row(gradient) for gradient in backward.bias_gradients),
        updated_weights=None if updated is None else tuple(_array(layer.weights) for layer in updated),
        updated_biases=None if updated is None else tuple(_row(layer.biases) for layer in updated),
    )


def train(case: Case, rule: str, updates: int) -> Trajectory:
    """The reference's own training."""
    epochs = list(islice(train_by_rules(case, rule), updates))
    layers = tuple(
        Dense(x.weights, None if x.biases is None else x.biases[0], old.activation)
        for x, old in zip(epochs[-1].layers, case.layers, strict=True)
    )
    return Trajectory(tuple(epoch.loss[0][0] for epoch in epochs), layers)


def evaluate(function: str, x: np.ndarray) -> np.ndarray:
    """A function of the reference, on floats."""
    functions = PLAIN.functions
    if function in MEASURED:
        value = MEASURED[function].value
        return np.array([value(number, functions) for number in x.tolist()])
    if function in OF_PROGRAMS:
        return np.array([_of_math(function, number) for number in x.tolist()])
    return np.array([getattr(functions, function)(number) for number in x.tolist()])


def _of_math(function: str, x: float) -> float:
    """Python's own; infinite where it overflows."""
    try:
        return math.pow(x, x) if function == "pow" else float(getattr(math, function)(x))
    except OverflowError:
        return math.inf


def _array(matrix: PlainMatrix) -> np.ndarray:
    return np.array(matrix, dtype=np.float64)


def _row(matrix: PlainMatrix | None) -> np.ndarray | None:
    return None if matrix is None else _array(matrix)[0]


ADAPTER = Adapter(
    "plain",
    "the reference: plain Python floats",
    package=None,
    run=observe,
    rank=0,
    dtypes=tuple(PRECISIONS),
    evaluate=evaluate,
    plant=observe,
    train=train,
)
