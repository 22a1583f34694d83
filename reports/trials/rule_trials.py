"""The rule check on trial: random right networks and functions, none of which may be called wrong.

A configuration is drawn from its number alone (`torch_networks.py`, `jax_networks.py`), so that an alarm is reproduced
by its number and its framework. A framework more is an entry of FRAMEWORKS.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import process_time

from ...reference.case import InvalidInput
from ...reference.programs import Unsupported
from ..journal import Journal
from ..spread import spread
from .right_code.drawn import LARGER, PRIMES, Drawn


def _torch(number: int, sizes: tuple[int, ...] = PRIMES) -> Drawn:
    import torch

    from .right_code.torch_networks import draw

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return draw(number, sizes)


def _jax(number: int, sizes: tuple[int, ...] = PRIMES) -> Drawn:
    from .right_code.jax_networks import draw

    return draw(number, sizes)


FRAMEWORKS: dict[str, Callable[..., Drawn]] = {"torch": _torch, "jax": _jax}
# wrong: a right one was accused;  failed: backproof raised;  unanswered: the framework itself cannot run it
# finding: it has an inaccuracy that is known of the framework, and was not called right
OUTCOMES = ("agrees", "finding", "undecided", "unsupported", "unanswered", "suspect", "wrong", "failed")
# what a framework says of an operation that a format has not, or that it has no gradient of
NOT_THERE = (
    "not implemented for",
    "not supported",
    "only implemented if",
    "Unsupported dtype",
    "is not supported",
    "TracerBoolConversion",
    "derivative for aten::",
    "does not accept dtype",
)


@dataclass(frozen=True)
class RuleTrial:
    """What became of one configuration. said: of every outcome but `agrees`, why"""

    number: int
    framework: str
    family: str
    dtype: str
    words: str
    outcome: str
    said: str = ""
    seconds: float = 0.0

    @property
    def alarm(self) -> bool:
        return self.outcome in ("suspect", "wrong", "failed")


def try_one(number: int, framework: str, numbers: bool = False) -> RuleTrial:
    """Draw configuration `number` and check its rule, or the numbers of a run of it, with larger sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frameworks, about unusual sizes
        drawn = FRAMEWORKS[framework](number, LARGER) if numbers else FRAMEWORKS[framework](number)
        started = process_time()
        outcome, said = _of_numbers(drawn) if numbers else _outcome(drawn)
    seconds = process_time() - started
    return RuleTrial(number, framework, drawn.family, drawn.dtype, drawn.words, outcome, said, seconds)


def _outcome(drawn: Drawn) -> tuple[str, str]:
    try:
        report = drawn.report()
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:  # counted, and said
        return "unanswered" if _not_there(error) else "failed", f"{type(error).__name__}: {error}"
    if drawn.finding and not report.ok:
        return "finding", drawn.finding
    return report.verdict, "" if report.ok else report.reason if report.verdict == "undecided" else str(report)


def _not_there(error: Exception) -> bool:
    """Whether it is the framework that cannot; where it raises while it is looked at, that comes as InvalidInput."""
    kinds = NotImplementedError | RuntimeError | TypeError | InvalidInput
    return isinstance(error, kinds) and any(said in str(error) for said in NOT_THERE)


def _of_numbers(drawn: Drawn) -> tuple[str, str]:
    assert drawn.numbers is not None
    try:
        report = drawn.numbers()
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:  # counted, and said
        return "unanswered" if _not_there(error) else "failed", f"{type(error).__name__}: {error}"
    if drawn.finding and not report.ok:
        return "finding", drawn.finding
    return report.verdict.value, "" if report.ok else str(report)


def trials(
    count: int,
    first: int = 0,
    executor: Executor | None = None,
    frameworks: Sequence[str] = ("torch",),
    numbers: bool = False,
    journal: Journal | None = None,
) -> Iterator[RuleTrial]:
    """Try so many configurations from number `first` on, on the frameworks in turn; None as executor runs here."""
    what = "numbers" if numbers else "rules"
    tasks = {
        f"{what} {number}": (number, frameworks[number % len(frameworks)], numbers)
        for number in range(first, first + count)
    }
    for _, trial in spread(try_one, tasks, RuleTrial, executor, journal, CHUNK):
        yield trial


CHUNK = 10  # configurations per task
