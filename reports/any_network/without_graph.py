"""Where a function has no graph (NumPy inside, a callback, somebody's kernel): its numbers are asked by themselves.

Along paths the gradient that runs must add up to the function that runs (`reference/judging/path.py`), and around loops
to nothing (`reference/judging/field.py`). The report says that these answer, and how much they would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.judging import FieldCheck, PathCheck, check_field, check_path
from .asked_in_part import asked_in_part
from .guarded import in_a_line
from .rule import RuleReport, Subject
from .what_ran import FORMATS

Array = NDArray[Any]
ValueAndGradient = Callable[[Sequence[Array]], tuple[float, list[Array]]]


@dataclass(frozen=True)
class Numbers:
    """What runs. value_and_gradient: of Σ c · output with fixed random c;  roundoff: of the format.

    what: is asked: a gradient, or tangents in forward mode
    """

    name: str
    names: Sequence[str]
    start: Sequence[Array]
    roundoff: float
    value_and_gradient: ValueAndGradient
    what: str = "gradient"


def without_graph(subject: Subject, left: str = "", stops: str = "") -> RuleReport:
    """The verdict on a gradient by its numbers alone.

    left: where the graph ends, in words
    stops: where the code itself stops a gradient, in words: what does not add up may then be meant
    """
    meant = f"the code itself stops a gradient{stops}" if stops else ""
    if subject.surrogates:
        meant = f"{', '.join(sorted(subject.surrogates))} is declared a surrogate"
    numbers = Numbers(subject.name, subject.names, subject.start, subject.roundoff, subject.value_and_gradient)
    report = by_numbers_alone(numbers, left, meant)
    return asked_in_part(subject, report) if report.ok else report


def by_numbers_alone(numbers: Numbers, left: str, meant: str = "") -> RuleReport:
    """The same of anything that gives numbers. meant: why a gradient that does not add up may be right."""
    where = f"no graph to be had{': ' if left else ''}{left}"
    report = RuleReport("undecided", numbers.name, tuple(numbers.names), (), what=numbers.what)
    if numbers.roundoff not in FORMATS or not any(x.size for x in numbers.start):
        return replace(report, reason=f"{where}, and the path test has nothing to ask in this format or size")
    try:
        path, field = _tested(numbers)
    except InvalidInput:
        raise
    except (Exception, SystemExit) as error:  # at a point nearby the function may do what it likes
        return replace(report, reason=f"{where}, and the path test has no answer: near this point {in_a_line(error)}")
    if path.agrees is False or (field is not None and field.symmetric is False):
        if meant:
            return replace(report, reason=f"{where}, and it does not add up along paths, as {meant}")
        found = [*(path.findings if path.agrees is False else field.findings if field else [])]
        return replace(report, verdict="wrong", notes=(f"{where}; {_power(path, field)}", *found), path=path)
    if not path.agrees or not math.isfinite(path.power):
        why = path.reason or "nothing changes along any path"
        return replace(report, reason=f"{where}, and the path test cannot tell: {why}")
    return replace(report, verdict="agrees", notes=(f"{where}; {_power(path, field)}",), path=path)


def _power(path: PathCheck, field: FieldCheck | None) -> str:
    seen = f"the path test answers, which sees an error of {path.power:.1g} of the change"
    if field is None or field.symmetric is None:
        return seen
    return f"{seen}, and the field test, which sees {field.power:.1g} of what a loop's sides add up to"


def _tested(numbers: Numbers) -> tuple[PathCheck, FieldCheck | None]:
    """Along paths for everything and for each input; where that accuses nobody, around a loop."""
    start = dict(zip(numbers.names, numbers.start, strict=True))

    def asked(point: dict[str, Any]) -> tuple[float, dict[str, Array]]:
        total, gradients = numbers.value_and_gradient([np.asarray(point[name]) for name in numbers.names])
        return total, dict(zip(numbers.names, gradients, strict=True))

    precision = FORMATS[numbers.roundoff]
    path = check_path(asked, start, dtype=precision)
    if path.agrees is False:
        return path, None
    return path, check_field(lambda point: asked(point)[1], start, blocks={"all": list(start)}, dtype=precision)
