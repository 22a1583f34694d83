"""How far probes reached: what a verdict speaks of, and under which condition numbers are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...reference.case import Case
from ...reference.diagnosis import ARRAYS, KINDS_OF_DATA, Convention, right
from ...reference.judging import Judgement, Observation, Verdict

Judged = Sequence[tuple[Case, Observation, Judgement]]

GENERIC = next(iter(KINDS_OF_DATA))


def covered(judged: Judged, convention: Convention) -> list[str]:
    """What was checked and agrees, in words, and what of the probes could not be decided."""
    agreeing = [case for case, _, judgement in judged if judgement.verdict is Verdict.AGREES]
    if not agreeing:
        return []
    layers = _listed(len(case.layers) for case in agreeing)
    sizes = _listed(n for case in agreeing for n in case.sizes)
    batches = _listed(case.batch for case in agreeing)
    farthest = max(_farthest(case, convention) for case in agreeing)
    seen, asked = ({case.note or GENERIC for case in of} for of in (agreeing, [case for case, *_ in judged]))
    lines = [
        f"covered: layers {layers}; sizes {sizes}; batches {batches}; |z| to {farthest:.2g}; "
        f"{', '.join(kind for kind in KINDS_OF_DATA if kind in seen)}."
    ]
    if missing := [kind for kind in KINDS_OF_DATA if kind in asked - seen]:
        lines.append(f"not covered, as nothing there could be decided: {'; '.join(missing)}.")
    elements = sum(c.elements for *_, judgement in judged for c in judgement.comparisons)
    undecided = sum(c.undecided for *_, judgement in judged for c in judgement.comparisons)
    if undecided:
        lines.append(f"{undecided:,} of {elements:,} numbers could not be decided: their bounds are too wide.")
    return lines


def _listed(values: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(values))))


def _places(case: Case, convention: Convention) -> Mapping[Any, Any]:
    with np.errstate(all="ignore"):
        return right(convention)(case, ARRAYS) or {}


def _farthest(case: Case, convention: Convention) -> float:
    z = [np.abs(array).max() for place, array in _places(case, convention).items() if place[0] == "pre_activations"]
    return float(max(z, default=0.0))


def _largest_gradient(case: Case, convention: Convention) -> float:
    found = [np.abs(a).max() for place, a in _places(case, convention).items() if place[0] == "weight_gradients"]
    return float(max(found, default=0.0))


@dataclass(frozen=True)
class Condition:
    """What all probes with wrong numbers have, and none of those without.

    words: such as "the batch above 4";  of: what is looked at there
    """

    words: str
    of: Literal["data", "shapes", "numbers", "calls"]


def condition(judged: Judged, convention: Convention) -> Condition | None:
    """The condition under which numbers are wrong; None where nothing simple is one.

    judged: in the order in which they were asked
    """
    judged = [entry for entry in judged if entry[2].verdict is Verdict.WRONG or _shows(entry[2])]
    wrong = [judgement.verdict is Verdict.WRONG for *_, judgement in judged]
    cases = [case for case, *_ in judged]
    if all(wrong) or not any(wrong):
        return None
    kinds = [case.note or GENERIC for case in cases]
    of_wrong = {kind for kind, bad in zip(kinds, wrong, strict=True) if bad}
    if not of_wrong & {kind for kind, bad in zip(kinds, wrong, strict=True) if not bad}:
        return Condition(" or ".join(kind for kind in KINDS_OF_DATA if kind in of_wrong), "data")
    for words, measure in _MEASURES:
        values = [float(measure(case)) for case in cases]
        if said := _threshold(words, values, wrong) or _single_value(words, values, wrong):
            return Condition(said, "shapes")
    for words, holds in _PROPERTIES:
        if [holds(case) for case in cases] == wrong:
            return Condition(words, "shapes")
    for words, of_numbers in (("|z|", _farthest), ("a gradient", _largest_gradient)):
        if said := _threshold(words, [of_numbers(case, convention) for case in cases], wrong):
            return Condition(said, "numbers")
    said = _threshold("the number of the call", [float(k + 1) for k in range(len(cases))], wrong)
    return Condition(said, "calls") if said else None


def _shows(judgement: Judgement) -> bool:
    """Whether a probe can have shown a mistake: all was decided, and no array is zero throughout."""
    return all(c.digits is not None and not c.undecided for c in judgement.comparisons)


_MEASURES: tuple[tuple[str, Callable[[Case], int]], ...] = (
    ("the batch", lambda case: case.batch),
    ("the number of layers", lambda case: len(case.layers)),
    ("the widest layer", lambda case: max(case.sizes)),
    ("the narrowest layer", lambda case: min(case.sizes)),
)
_PROPERTIES: tuple[tuple[str, Callable[[Case], bool]], ...] = (
    ("an odd batch above 1", lambda case: case.batch % 2 == 1 < case.batch),
    ("a single output", lambda case: case.sizes[-1] == 1),
    ("a single input", lambda case: case.sizes[0] == 1),
    ("square weights", lambda case: any(a == b > 1 for a, b in zip(case.sizes, case.sizes[1:], strict=False))),
)


def _threshold(words: str, values: Sequence[float], wrong: Sequence[bool]) -> str:
    bad = [value for value, is_wrong in zip(values, wrong, strict=True) if is_wrong]
    good = [value for value, is_wrong in zip(values, wrong, strict=True) if not is_wrong]
    if min(bad) > max(good):
        return f"{words} above {max(good):.3g}"
    if max(bad) < min(good):
        return f"{words} below {min(good):.3g}"
    return ""


def _single_value(words: str, values: Sequence[float], wrong: Sequence[bool]) -> str:
    bad = {value for value, is_wrong in zip(values, wrong, strict=True) if is_wrong}
    good = {value for value, is_wrong in zip(values, wrong, strict=True) if not is_wrong}
    return f"{words} exactly {bad.pop():.3g}" if len(bad) == 1 and not bad & good else ""
