"""Every catalogued fault, planted in real frameworks: is it seen, and is it named?

Adapters plant them as their users would: in plain Python, in NumPy, in a `torch.autograd.Function`, in JAX's
`custom_vjp`, in each of the formats. Where a fault changes no number of a network (softmax's Jacobian in a net without
softmax), it is invisible there and not counted against anyone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import chosen, known_adapters
from ...reference.backprop import RULES, Rules
from ...reference.case import Case
from ...reference.diagnosis import DOWNCASTS, FAULTS, Convention, diagnose, faulty_rules, probes
from ...reference.judging import Observation, Verdict, judge
from ...reference.numbers import PRECISIONS, PROFILES
from ..journal import Journal
from ..spread import spread

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
    Network(("tanh", "identity"), "softmax_cross_entropy_from_logits", (3, 5, 4)),
    Network(("leaky_relu", "relu", "softplus"), "half_squared_error", (3, 8, 8, 4)),
    Network(("tanh", "sigmoid", "tanh", "sigmoid"), "half_squared_error", (4, 4, 4, 4, 4)),
)


OUTCOMES = ("alone", "among", "not named", "otherwise", "undetected", "invisible")


@dataclass(frozen=True)
class FaultTrial:
    """One fault in one network: was it seen, and what was it called?

    visible: whether it changes any number by more than the arithmetic may;  detected: whether the judge refused it
    explanations: of each, the faults that it names; None where it was not seen
    format: the narrower one that explains all numbers, if nothing else does
    """

    fault: str
    network: Network
    where: str
    dtype: str
    visible: bool
    detected: bool
    explanations: tuple[tuple[str, ...], ...] | None
    format: str | None = None

    @property
    def named(self) -> str:
        """One of `OUTCOMES`; "among" those that no data tried tells apart."""
        if not self.visible:
            return "invisible"
        if not self.detected:
            return "undetected"
        if not self.explanations:
            return "alone" if self.format and self.fault.endswith(f"-in-{self.format}") else "not named"
        if self.fault not in self.names:
            return "otherwise"
        return "alone" if set(self.names) == {self.fault} else "among"

    @property
    def names(self) -> list[str]:
        """The faults that the explanations name, in order."""
        return [name for explanation in self.explanations or () for name in explanation]


def shown_by(observation: Observation, updates: bool) -> Observation:
    """What an implementation returns: gradients, or updated weights."""
    bare = Observation("planted", "", "cpu", observation.precision)
    if updates:
        return replace(bare, updated_weights=observation.updated_weights, updated_biases=observation.updated_biases)
    return replace(bare, weight_gradients=observation.weight_gradients, bias_gradients=observation.bias_gradients)


# Which framework, and in which formats; plain Python computes in float64 whatever the case's dtype.
KINDS = tuple(
    (name, dtype)
    for name, dtypes in {
        "plain": ("float64",),
        "numpy": ("float64", "float32", "bfloat16"),
        "torch": ("float64", "float32", "bfloat16"),
        "jax": ("float64", "float32", "bfloat16"),
    }.items()
    for dtype in dtypes
)


def trials(
    kinds: Sequence[tuple[str, str]] = KINDS,
    networks: Sequence[Network] = NETWORKS,
    executor: Executor | None = None,
    journal: Journal | None = None,
) -> Iterator[FaultTrial]:
    """Every fault, and every downcast, in every network and kind. Frameworks that are absent are left out."""
    present = {adapter.name for adapter in chosen() if adapter.plant}
    tasks = {
        f"faults {network} {where} {dtype}": (network, where, dtype)
        for network in networks
        for where, dtype in kinds
        if where in present
    }
    for _, found in spread(_all_faults, tasks, list[FaultTrial], executor, journal):
        yield from found


def _all_faults(network: Network, where: str, dtype: str) -> list[FaultTrial]:
    convention = Convention(network.activations, network.loss, "mean")
    cases = [convention.applied(c) for c in probes(network.sizes, (4, 1, 2, 1), "separate", dtype, 0)]
    narrower = [name for name in DOWNCASTS if PROFILES[name].multiply.digits < PROFILES[dtype].multiply.digits]
    faults = (*FAULTS, *(fault for name in narrower for fault in DOWNCASTS[name]))
    return [trial(fault.name, network, where, dtype, cases) for fault in faults]


def trial(name: str, network: Network, where: str, dtype: str, cases: Sequence[Case]) -> FaultTrial:
    """One fault, by its name, planted and diagnosed."""
    fault = CATALOGUE[name]
    plant = known_adapters()[where].plant
    assert plant is not None
    changed = [f.name for f in fields(Rules) if getattr(fault.rules(cases[0]), f.name) is not getattr(RULES, f.name)]
    updates = changed == ["update"]
    evidence = [(case, shown_by(plant(case, faulty_rules(fault, case)), updates)) for case in cases]
    right = [shown_by(plant(case, RULES), updates) for case in cases]
    visible = any(not _same(observation, honest) for (_, observation), honest in zip(evidence, right, strict=True))
    judgements = [judge(case, observation) for case, observation in evidence] if visible else []
    detected = any(judgement.verdict is Verdict.WRONG for judgement in judgements)
    found = tuple(tuple(e.names) for e in diagnose(evidence).explanations) if detected else None
    formats = {judgement.explained_by for judgement in judgements} - {dtype}
    told = None if None in formats or len(formats) != 1 else formats.pop()
    return FaultTrial(name, network, where, dtype, visible, detected, found, told)


CATALOGUE = {fault.name: fault for fault in (*FAULTS, *(f for kinds in DOWNCASTS.values() for f in kinds))}


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
    return PRECISIONS[array.dtype.name].unit_roundoff
