"""An entry of the ledger of claims, who takes part, and the networks that several claims are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random
from typing import Any

from ...adapters.adapter import Adapter
from ...reference.case import Case, Dense, run
from ...reference.cases import XOR_INPUTS, XOR_TARGETS
from ...reference.numbers import PLAIN

LUCKY = 8  # a start from which 2-2-1 learns XOR; claim 12 says how rare they are
HOLDS, LIMIT, TOO_STRONG = "holds", "holds with a limit", "too strong"
Curve = tuple[str, Sequence[float], Sequence[float]]  # what, x, y


@dataclass(frozen=True)
class Entry:
    """A claim, what became of it, and why. rows: a table, its headers first;  curves: for a plot of y over x"""

    number: int
    claim: str
    result: str
    because: str
    rows: tuple[tuple[str, ...], ...] = ()
    curves: tuple[Curve, ...] = ()
    axes: tuple[str, str] = ("update", "loss")


@dataclass(frozen=True)
class Frameworks:
    """Those that take part, plain Python first."""

    adapters: tuple[Adapter, ...]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(adapter.name for adapter in self.adapters))

    def train(self, case: Case, rule: str, updates: int) -> list[Any]:
        """The trajectory of each."""
        return [adapter.train(case, rule, updates) for adapter in self.adapters if adapter.train]


def xor_case(seed: int, hidden: int = 2, size: float = 1.0, sizes: Sequence[int] | None = None) -> Case:
    """XOR with biases in the hidden layers, from a random start; sigmoid."""
    rng = Random(f"claims {seed}")
    layers = []
    widths = sizes or (2, hidden, 1)
    for k, (inputs, units) in enumerate(pairwise(widths)):
        weights = tuple(tuple(rng.uniform(-size, size) for _ in range(inputs)) for _ in range(units))
        biases = (
            tuple(rng.uniform(-size, size) for _ in range(units)) if k < len(widths) - 2 or len(widths) == 2 else None
        )
        layers.append(Dense(weights, biases, "sigmoid"))
    return Case("xor", tuple(layers), XOR_INPUTS, XOR_TARGETS)


def chain(weights: Sequence[float]) -> Case:
    """One unit per layer: input 1, target 0, sigmoid."""
    layers = tuple(Dense(((w,),), None, "sigmoid") for w in weights)
    return Case("chain", layers, ((1.0,),), ((0.0,),), learning_rate=0.5)


def outputs(case: Case, layers: Sequence[Dense]) -> list[float]:
    """The first output unit's value for each sample."""
    return [row[0] for row in run(replace(case, layers=tuple(layers), learning_rate=None), PLAIN).forward.outputs]


def right(case: Case, layers: Sequence[Dense]) -> int:
    """How many samples are on the right side of ½."""
    return sum((o > 0.5) == (t[0] > 0.5) for o, t in zip(outputs(case, layers), case.targets, strict=True))


def updates_until(losses: Sequence[float], below: float) -> int | None:
    """How many updates it takes until a loss is below; None if it never is."""
    return next((k for k, loss in enumerate(losses) if loss < below), None)
