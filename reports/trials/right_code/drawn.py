"""What the trials of the rule check draw, whichever framework runs it: `rule_trials.py` checks each and counts.

Everything about a configuration is drawn from its number alone, so that an alarm is reproduced by its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...any_network import NumbersReport, RuleReport

T = TypeVar("T")

FAMILIES = ("MLP", "CNN", "RNN", "transformer", "loss", "custom function", "composition")
PRIMES = (2, 3, 5)  # sizes that tell axes apart, and that balls are quick with
LARGER = (7, 16, 33, 64)  # where many roundings meet
DTYPES = {"float64": 0.5, "float32": 0.35, "bfloat16": 0.15}
NETWORKS = ("MLP", "CNN", "RNN", "transformer")  # which take inputs of any size


@dataclass(frozen=True)
class Drawn:
    """One right function.

    words: what it is made of;  report: the rule check of it, when it is called;  numbers: of a run of it
    finding: an inaccuracy of the framework itself that is known to be in it, and may be told
    """

    family: str
    dtype: str
    words: str
    report: Callable[[], RuleReport]
    finding: str = ""
    numbers: Callable[[], NumbersReport] | None = None


@dataclass(frozen=True)
class Dice:
    """Random choices, in order. sizes: of the axes."""

    rng: np.random.Generator
    sizes: tuple[int, ...] = PRIMES

    def one_of(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def flag(self, chance: float = 0.5) -> bool:
        return bool(self.rng.random() < chance)

    def whole(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def size(self) -> int:
        return self.one_of(self.sizes)

    def batch(self) -> int:
        """One sample a third of the time."""
        return self.one_of((1, 2, 3))

    def several(self, options: Sequence[T], count: int) -> list[T]:
        """So many different ones, in random order."""
        return [options[int(k)] for k in self.rng.permutation(len(options))[:count]]

    def dtype(self) -> str:
        return str(self.rng.choice(list(DTYPES), p=list(DTYPES.values())))

    def numbers(self, shape: Sequence[int]) -> NDArray[Any]:
        return self.rng.standard_normal(tuple(shape))


@dataclass(frozen=True)
class Manner:
    """How the run is run whose numbers are judged, beside what is drawn for the rule check.

    half: in float16, whatever format was drawn;  scale: what a network's inputs are multiplied by
    compiler: PyTorch's backend, "" for none;  autocast: products in bfloat16
    """

    half: bool = False
    scale: float = 1.0
    threads: int = 1
    compiler: str = ""
    autocast: bool = False

    @property
    def words(self) -> str:
        """What is not as usual of it, to stand behind a configuration's words; "" if nothing."""
        said = [f"{self.threads} threads" * (self.threads > 1), f"inputs × {self.scale:g}" * (self.scale != 1)]
        said += [f"compiled by {self.compiler}" * bool(self.compiler), "autocast" * self.autocast]
        return "".join(f", {words}" for words in said if words)


USUAL = Manner()


def manner(number: int) -> Manner:
    """Of configuration `number`; drawn apart, so that the network is the same in whatever manner it runs."""
    thrown = dice(number, 41)
    return Manner(
        half=thrown.flag(0.15),
        scale=thrown.one_of((1.0, 1.0, 1.0, 1e-3, 30.0)),
        threads=thrown.one_of((1, 1, 2, 4)),
        compiler=str(thrown.rng.choice(list(COMPILERS), p=list(COMPILERS.values()))),
        autocast=thrown.flag(0.05),
    )


COMPILERS = {"": 0.9, "eager": 0.02, "aot_eager": 0.06, "inductor": 0.02}


def dice(number: int, stream: int, sizes: tuple[int, ...] = PRIMES) -> Dice:
    """Of configuration `number` of one kind of trial."""
    return Dice(np.random.default_rng([number, stream]), sizes)
