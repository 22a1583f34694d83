"""Every catalogued fault, planted in real arithmetic: is it seen, and is it named?

`planted` in plain Python's floats, and in NumPy, in each of the formats. Where a fault changes no number of a network
(softmax's Jacobian in a net without softmax), it is invisible there and not counted against anyone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.arithmetic import Arithmetic
from ..reference.arrays import ArrayArithmetic
from ..reference.backprop import RULES, Rules
from ..reference.case import Case, run
from ..reference.conventions import Convention, probes
from ..reference.diagnosis import diagnose
from ..reference.explanation import Diagnosis
from ..reference.faults import FAULTS, Fault, faulty_rules
from ..reference.judge import Verdict, judge
from ..reference.observation import Observation
from ..reference.plain import PLAIN

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """What the faults are planted in."""

    activations: tuple[str, ...]
    loss: str
    sizes: tuple[int, ...]


NETWORKS = (
    Network(("sigmoid", "sigmoid"), "half_squared_error", (3, 4, 4)),
    Network(("tanh", "tanh", "identity"), "squared_error", (3, 3, 3, 1)),
    Network(("relu", "sigmoid"), "binary_cross_entropy", (3, 8, 1)),
    Network(("tanh", "softmax"), "softmax_cross_entropy", (3, 5, 4)),
    Network(("leaky_relu", "relu", "softplus"), "half_squared_error", (3, 8, 8, 4)),
    Network(("tanh", "sigmoid", "tanh", "sigmoid"), "half_squared_error", (4, 4, 4, 4, 4)),
)


@dataclass(frozen=True)
class FaultTrial:
    """One fault in one network: was it seen, and what was it called?

    visible: whether it changes any number by more than the arithmetic may;  diagnosis: None where it was not seen
    """

    fault: Fault
    network: Network
    where: str
    dtype: str
    visible: bool
    diagnosis: Diagnosis | None

    @property
    def named(self) -> str:
        """ "alone", "among" those that no data tried tells apart, "otherwise", "not", or "invisible"."""
        if not self.visible:
            return "invisible"
        if self.diagnosis is None or not self.diagnosis.explanations:
            return "not"
        if self.fault.name not in self.diagnosis.names:
            return "otherwise"
        return "alone" if self.diagnosis.names == [self.fault.name] else "among"


def shown_by(step: Any, updates: bool) -> Observation:
    """What an implementation returns: gradients, or updated weights."""

    def arrays(matrices: Any) -> tuple[Array | None, ...]:
        return tuple(None if m is None else np.asarray(m) for m in matrices)

    def rows(matrices: Any) -> tuple[Array | None, ...]:
        return tuple(None if m is None else np.asarray(m).reshape(-1) for m in matrices)

    precision = np.asarray(step.backward.weight_gradients[0]).dtype.name
    if updates:
        return Observation(
            "planted", "", "cpu", precision,
            updated_weights=arrays(layer.weights for layer in step.updated),
            updated_biases=rows(layer.biases for layer in step.updated),
        )  # fmt: skip
    return Observation(
        "planted", "", "cpu", precision,
        weight_gradients=arrays(step.backward.weight_gradients), bias_gradients=rows(step.backward.bias_gradients),
    )  # fmt: skip


def trials(
    dtypes: Sequence[str] = ("float64", "float32"), networks: Sequence[Network] = NETWORKS, plain: bool = True
) -> Iterator[FaultTrial]:
    """Every fault in every network, in NumPy in each dtype, and in plain Python floats."""
    kinds: list[tuple[str, str, Arithmetic]] = [("plain", "float64", PLAIN)] if plain else []
    kinds += [("numpy", dtype, ArrayArithmetic(dtype)) for dtype in dtypes]
    for network in networks:
        convention = Convention(network.activations, network.loss, "mean")
        for where, dtype, arithmetic in kinds:
            cases = [convention.applied(c) for c in probes(network.sizes, (4, 1, 2, 1), "separate", dtype, 0)]
            for fault in FAULTS:
                yield _trial(fault, network, where, dtype, cases, arithmetic)


def _trial(
    fault: Fault, network: Network, where: str, dtype: str, cases: Sequence[Case], arithmetic: Arithmetic
) -> FaultTrial:
    changed = [f.name for f in fields(Rules) if getattr(fault.rules(cases[0]), f.name) is not getattr(RULES, f.name)]
    updates = changed == ["update"]
    evidence = [(case, shown_by(run(case, arithmetic, faulty_rules(fault, case)), updates)) for case in cases]
    right = [shown_by(run(case, arithmetic), updates) for case in cases]
    visible = any(not _same(observation, honest) for (_, observation), honest in zip(evidence, right, strict=True))
    seen = visible and any(judge(case, observation).verdict is Verdict.WRONG for case, observation in evidence)
    return FaultTrial(fault, network, where, dtype, visible, diagnose(evidence) if seen else None)


def _same(one: Observation, other: Observation) -> bool:
    """Whether every number is the same but for a few roundings: a change that small is no fault."""
    pairs = [(getattr(one, q), getattr(other, q)) for q in
             ("weight_gradients", "bias_gradients", "updated_weights", "updated_biases")]  # fmt: skip
    arrays = [
        (a, b) for first, second in pairs for a, b in zip(first or (), second or (), strict=True) if a is not None
    ]
    return all(
        bool((np.abs(a.astype(float) - b.astype(float)) <= 64 * _roundoff(a) * np.abs(b.astype(float)).max()).all())
        for a, b in arrays
    )


def _roundoff(array: Array) -> float:
    from ..reference.precision import PRECISIONS

    return PRECISIONS[array.dtype.name].unit_roundoff
