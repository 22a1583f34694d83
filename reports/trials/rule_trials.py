"""The rule check on trial: random right networks and functions, none of which may be called wrong.

A configuration is drawn from its number alone (`torch_networks.py`, `jax_networks.py`), so that an alarm is reproduced
by its number and its framework. A framework more is an entry of FRAMEWORKS.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from time import process_time
from typing import Any

from ...reference.case import InvalidInput
from ...reference.judging import JudgedCall, Verdict
from ...reference.programs import Unsupported
from ..any_network import NumbersReport
from ..journal import Journal
from ..spread import spread
from .right_code.drawn import LARGER, Drawn, manner


def _torch(number: int, numbers: bool, device: str) -> Drawn:
    import torch

    from .right_code.torch_networks import draw

    with torch.device(device):
        return draw(number, LARGER, manner(number)) if numbers else draw(number)


def _jax(number: int, numbers: bool, device: str) -> Drawn:
    import jax

    from .right_code.jax_networks import draw

    jax.config.update("jax_default_device", on("jax", device))  # where the run is to be as well
    return draw(number, LARGER, manner(number)) if numbers else draw(number)


FRAMEWORKS: dict[str, Callable[[int, bool, str], Drawn]] = {"torch": _torch, "jax": _jax}


def on(framework: str, device: str) -> Any:
    """A framework's first device of a kind, such as "cuda". Raises InvalidInput if it has none."""
    try:
        if framework == "jax":
            import jax

            return jax.devices(device)[0]
        import torch

        torch.zeros(1, device=device).item()
        return torch.device(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # PyTorch built without one asserts
        said = str(error).split("\n")[0]
        raise InvalidInput(f"--device {device}: {framework} has none here ({said}).") from None


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
    "cudnn RNN backward can only",
    "x is not contiguous",
    "view size is not compatible",  # of a function that views, and an input that is laid out otherwise
    "are out of bounds for storage",
    "Cannot lower jaxpr with verifier errors",  # JAX, where jax_enable_x64 was changed
    "expected m1 and m2 to have the same dtype",
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


def try_one(number: int, framework: str, numbers: bool = False, device: str = "cpu") -> RuleTrial:
    """Draw configuration `number` and check its rule, or the numbers of a run of it, with larger sizes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frameworks, about unusual sizes
        drawn = FRAMEWORKS[framework](number, numbers, device)
        started = process_time()
        outcome, said = _of_numbers(drawn, framework, device) if numbers else _outcome(drawn)
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


@dataclass(frozen=True)
class Known:
    """A kernel of a framework, on a kind of device and in a format, that is known to be inaccurate.

    holds: whether this is the inaccuracy that is known
    """

    framework: str
    device: str
    dtype: str
    operation: str
    words: str
    holds: Callable[[JudgedCall], bool] = lambda _: True


# docs/tolerances.md tells of each
KNOWN = (
    Known("jax", "cpu", "float64", "log1p", "up to 105 ulps at -0.411"),
    Known("jax", "cpu", "float64", "atanh", "up to 105 ulps at -0.411"),
    Known("jax", "cpu", "float64", "erfc", "up to 426 ulps at 24.6"),
    Known("jax", "cuda", "float16", "logistic", "exp(-x) overflows, and the result is 0", lambda r: r.observed == 0),
    Known("jax", "cpu", "float16", "logistic", "exp(-x) overflows, and the result is 0", lambda r: r.observed == 0),
    Known("torch", "cuda", "float64", "hardsigmoid", "1/6 is float32's"),
    Known("torch", "cuda", "float64", "hardswish", "1/6 is float32's"),
    Known("torch", "cuda", "float64", "weight_norm", "the norm has float32's accuracy"),
)

WHOLE = "compiled: "  # results of compiled code, which come last
OVERWRITTEN = "after the backward, which writes over it"  # seen of PyTorch 2.13's inductor, in 16 bits


def _known(report: NumbersReport, framework: str, device: str) -> str:
    """What is known of all that is not right in a run, with what follows from it when it is compiled; "" if of any it
    is not."""
    said = {OVERWRITTEN: None} if any(note.endswith(OVERWRITTEN) for note in report.run.notes) else {}
    for result in report.run.results:
        if result.verdict in (Verdict.WRONG, Verdict.SUSPECT) and not (said and result.origin.name.startswith(WHOLE)):
            found = [
                f"{known.operation} in {known.dtype}: {known.words}"
                for known in KNOWN
                if (known.framework, known.device, known.dtype) == (framework, device, result.precision)
                and known.operation in result.origin.name
                and known.holds(result)
            ]
            if not found:
                return ""
            said[found[0]] = None
    return "; ".join(said)


def _of_numbers(drawn: Drawn, framework: str, device: str) -> tuple[str, str]:
    assert drawn.numbers is not None
    try:
        report = drawn.numbers()
    except Unsupported as error:
        return "unsupported", str(error)
    except Exception as error:  # counted, and said
        return "unanswered" if _not_there(error) else "failed", f"{type(error).__name__}: {error}"
    known = "" if report.ok else drawn.finding or _known(report, framework, device)
    return ("finding", known) if known else (report.verdict.value, "" if report.ok else str(report))


def trials(
    count: int,
    first: int = 0,
    executor: Executor | None = None,
    frameworks: Sequence[str] = ("torch",),
    numbers: bool = False,
    journal: Journal | None = None,
    device: str = "cpu",
) -> Iterator[RuleTrial]:
    """Try so many configurations from number `first` on, on the frameworks in turn; None as executor runs here."""
    what = ("numbers" if numbers else "rules") + (f" on {device}" if device != "cpu" else "")
    tasks = {
        f"{what} {number}": (number, frameworks[number % len(frameworks)], numbers, device)
        for number in range(first, first + count)
    }
    for _, trial in spread(try_one, tasks, RuleTrial, executor, journal, CHUNK):
        yield trial


CHUNK = 10  # configurations per task
