"""Random edits, planted and diagnosed: is every one refused, and does what is said of it hold on data never seen?

An explanation is judged by what it predicts, not by its words: on new probes, it must give the planted function's
numbers within its bounds. So a diagnosis can describe what nobody has catalogued, and cannot pass by a lucky name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import (
    ARRAYS,
    OF_FORMATS,
    Convention,
    Diagnosis,
    Evidence,
    Explanation,
    diagnose,
    distances,
    reproduces,
    right,
)
from ...reference.judging import Observation, Place, Verdict, judge
from ...reference.numbers import PRECISIONS, PROFILES
from ..journal import Journal
from ..spread import spread
from .handwritten_network import Edit, Network, Quantities, run
from .random_edits import Edited, draw

Array = NDArray[Any]

NEW = ((1, 3, 5), (3, 1, 5))  # batches of the probes that the diagnosis has not seen
SEVERAL_ROUNDINGS = 64  # of an array's largest number; a change that small is no fault

# invisible: the edit changes no number by more than that;  within bounds: it does, but any right implementation may
# give these numbers;  false: what is said of it fails on new probes;  failed: something was raised
UNSEEN = ("invisible", "within bounds")  # outcomes of edits that change nothing that can be seen
OUTCOMES = ("described", "not described", "false", "undetected", "failed", "within bounds", "invisible")
SIXTEEN_BITS = ("float16", "bfloat16")


@dataclass(frozen=True)
class EditTrial:
    """What became of one number.

    kind: of the edit;  planted: the edits in words, with the network;  outcome: one of `OUTCOMES`
    said: each explanation in words, the first one first; of a failure, what was raised
    others: explanations beside the first that fail on new probes
    off: how far the first prediction is from the planted numbers on new probes, in units of each array's largest
    change: how far the edit takes the numbers from the right ones, in roundings of each array's largest
    seconds: processor time of the diagnosis
    """

    number: int
    kind: str
    dtype: str
    planted: str
    outcome: str
    said: tuple[str, ...] = ()
    others: int = 0
    off: float = 0.0
    change: float = 0.0
    seconds: float = 0.0

    @property
    def missed(self) -> bool:
        """Whether it is a failure of backproof; 16-bit bounds do not see everything, and that is no failure."""
        return self.outcome in ("false", "failed") or (self.outcome == "undetected" and self.dtype not in SIXTEEN_BITS)


def shown(network: Network, quantities: Quantities) -> Observation:
    """The gradients, as an implementation returns them."""
    layers = range(network.last + 1)
    return Observation(
        adapter="edited",
        version="",
        device="cpu",
        precision=network.dtype,
        weight_gradients=tuple(quantities.weight_gradients[k] for k in layers),
        bias_gradients=tuple(quantities.bias_gradients.get(k) for k in layers),
    )


def evidence_of(network: Network, cases: Sequence[Case], edits: Sequence[Edit] = ()) -> Evidence:
    """What the network gives for these cases."""
    return [(case, shown(network, run(network, case, edits))) for case in cases]


def try_one(number: int) -> EditTrial:
    """Draw edit `number`, plant it, ask for a diagnosis and try that on new probes."""
    edited = draw(number)
    network, convention = edited.network, edited.network.convention
    evidence = evidence_of(network, edited.cases, edited.edits)
    planted = f"{'; '.join(map(str, edited.edits))} · {network}"
    change = largest_change(evidence, evidence_of(network, edited.cases))

    def became(outcome: str, **found: Any) -> EditTrial:
        return EditTrial(number, edited.kind, network.dtype, planted, outcome, change=change, **found)

    if change <= SEVERAL_ROUNDINGS:
        return became("invisible")
    edited = replace(edited, edits=_visible(edited, evidence))
    started = process_time()
    try:
        if not refused(evidence, convention):
            return became("within bounds" if reproduces(right(convention), evidence) else "undetected")
        started = process_time()
        diagnosis = diagnose(evidence, convention)
    except Exception as error:  # counted, and said
        return became("failed", said=(f"{type(error).__name__}: {error}",))
    seconds = process_time() - started
    return became(**tried_on_new_probes(edited, diagnosis), seconds=seconds)


def _visible(edited: Edited, evidence: Evidence) -> tuple[Edit, ...]:
    """The edits without one that, beside the other, changes no number that is shown, as of a dead unit."""
    for edit in edited.edits if len(edited.edits) > 1 else ():
        others = tuple(other for other in edited.edits if other is not edit)
        if largest_change(evidence, evidence_of(edited.network, edited.cases, others)) == 0:
            return others
    return edited.edits


def tried_on_new_probes(edited: Edited, diagnosis: Diagnosis) -> dict[str, Any]:
    """Whether the first explanation describes what was planted, and how many others do not.

    One that says nothing of new data (such as a factor of its own for every case) describes nothing.
    """
    if not diagnosis.explanations:
        return {"outcome": "not described"}
    network = edited.network
    new = [
        pair
        for turn, batches in enumerate(NEW, 1)
        for pair in evidence_of(network, network.cases(batches, 10**9 + turn), edited.edits)
    ]
    if network.dtype in SIXTEEN_BITS:  # where o rounds to 1, what is divided by 1 − o is no number by rounding alone
        new = [pair for pair in new if all(np.isfinite(array).all() for array in _gradients(pair[1]))]
    said = tuple(map(_in_words, diagnosis.explanations))
    claiming = [explanation for explanation in diagnosis.explanations if _claims(explanation, new)]
    first = diagnosis.explanations[0]
    if first not in claiming:
        return {"outcome": "not described", "said": said}
    assert first.prediction is not None
    holds = [_holds(explanation, new, edited.edits) for explanation in claiming]
    told = [(case, _without(diagnosis.nowhere, o)) for case, o in new]  # what the diagnosis says nothing of left out
    partly = bool(diagnosis.nowhere) and _holds(first, told, edited.edits)
    return {
        "outcome": "described" if holds[0] else "not described" if partly else "false",
        "said": said,
        "others": holds[1:].count(False),
        "off": max(distances(first.prediction, new).values()),
    }


def _claims(explanation: Explanation, new: Evidence) -> bool:
    """Whether an explanation says anything of these cases; one may be of those alone that it was found on."""
    if explanation.prediction is None:
        return False
    try:
        predicted = [explanation.prediction(case, ARRAYS) for case, _ in new]
    except LookupError:
        return False
    return predicted.count(None) < len(predicted)


def _holds(explanation: Explanation, new: Evidence, edits: Sequence[Edit]) -> bool:
    """Whether it reproduces the planted numbers; a format must be as fine as the one planted, and must be planted."""
    fineness = {PROFILES[edit.format].multiply.digits for edit in edits if edit.format}
    formats = [name.rpartition("-in-")[2] for name in explanation.names if name in OF_FORMATS]
    if any(PROFILES[format].multiply.digits not in fineness for format in formats):
        return False
    return explanation.prediction is not None and reproduces(explanation.prediction, new)


def _without(places: Sequence[Place], observation: Observation) -> Observation:
    def kept(quantity: str, arrays: Sequence[Array | None]) -> tuple[Array | None, ...]:
        return tuple(None if Place(quantity, k) in places else array for k, array in enumerate(arrays))

    return replace(
        observation,
        weight_gradients=kept("weight_gradients", observation.weight_gradients or ()),
        bias_gradients=kept("bias_gradients", observation.bias_gradients or ()),
    )


def _in_words(explanation: Explanation) -> str:
    names = f" ({', '.join(explanation.names)})" if explanation.names else ""
    layer = "" if explanation.layer is None else f" [layer {explanation.layer}]"
    return f"{explanation.words}{names}{layer}"


def refused(evidence: Evidence, convention: Convention) -> bool:
    """Whether the judge calls any number wrong."""
    rules = convention.rules()
    return any(
        judge(case, observation, rules=rules, coarser=False).verdict is Verdict.WRONG for case, observation in evidence
    )


def largest_change(edited: Evidence, honest: Evidence) -> float:
    """How far the gradients are apart, in roundings of each array's largest number."""
    farthest = 0.0
    for (_, one), (_, other) in zip(edited, honest, strict=True):
        arrays = zip(_gradients(one), _gradients(other), strict=True)
        farthest = max(farthest, *(_roundings(a, b) for a, b in arrays))
    return farthest


def _gradients(observation: Observation) -> list[Array]:
    found = (*(observation.weight_gradients or ()), *(observation.bias_gradients or ()))
    return [array for array in found if array is not None]


def _roundings(got: Array, wanted: Array) -> float:
    largest = float(np.abs(wanted.astype(float)).max())
    with np.errstate(all="ignore"):
        off = float(np.abs(got.astype(float) - wanted.astype(float)).max())
    if off == 0 or not largest or not np.isfinite(off):
        return 0.0 if off == 0 else np.inf
    return off / largest / PRECISIONS[wanted.dtype.name].unit_roundoff


def trials(
    count: int, first: int = 0, executor: Executor | None = None, journal: Journal | None = None
) -> Iterator[EditTrial]:
    """Try so many edits from number `first` on, in the order in which they finish; None as executor runs here."""
    tasks = {f"edits {number}": (number,) for number in range(first, first + count)}
    for _, trial in spread(try_one, tasks, EditTrial, executor, journal, CHUNK):
        yield trial


CHUNK = 5  # edits per task
