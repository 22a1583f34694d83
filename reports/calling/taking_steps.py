"""Taking learning steps by somebody's function, one after the other, each from what the one before returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.case import Case, InvalidInput
from ...reference.diagnosis import probes
from ...reference.judging import Observation
from ...reference.numbers import array_of
from .call import INFERRED_BIASES, ORIENTATIONS, Call, Elsewhere, ModifiedInputs
from .reading_answers import Misshapen
from .time_limit import TimeUp

STEPS, ON_FIRST_BATCH = 7, 3


@dataclass(frozen=True)
class Plan:
    """What is asked of a function."""

    sizes: tuple[int, ...]
    batch: int
    dtype: str
    rate: float

    def batches(self, bias: str | Sequence[bool]) -> tuple[Case, Case]:
        """Where the first step begins, and the data from which the last ones learn."""
        first, then = probes(self.sizes, (self.batch, self.batch), bias, self.dtype, 0)
        return replace(first, learning_rate=self.rate), replace(then, learning_rate=self.rate)


@dataclass(frozen=True)
class Walk:
    """What came of asking. problem: why there are not enough steps; empty if there are"""

    call: Call | None
    evidence: list[tuple[Case, Observation]]
    problem: str
    findings: tuple[str, ...]


def ways(
    function: Any,
    orientation: str | None,
    bias: str | Sequence[bool] | None,
    timeout: float | None,
) -> Iterator[Call]:
    """How a function may want to be called: as it is declared, or in every way there is.

    Raises InvalidInput for what cannot be called.
    """
    if isinstance(function, Call):
        yield replace(function, returns="updated")
        return
    if not callable(function) and not isinstance(function, Elsewhere):
        raise InvalidInput(f"function: expected one to call, got {type(function).__name__}.")
    for arrays in ("numpy", "list", "torch"):
        for where in (orientation,) if orientation else ORIENTATIONS:
            for form in (bias,) if bias is not None else INFERRED_BIASES:
                yield Call(function, "updated", where, form, arrays, timeout)


def take_steps(ways: Iterator[Call], plan: Plan) -> Walk:
    """All steps, by the first way of calling that answers."""
    problems: list[Unanswered] = []
    for call in ways:
        case, later = plan.batches(call.bias)
        findings: list[str] = []
        try:
            seen = _observed(call, case, findings)
        except Unanswered as error:
            problems.append(error)
            if isinstance(error.__cause__, TimeUp):
                break
            continue
        if problems:
            findings.append(
                f"note: {len(problems)} calls before step 1 did not answer ({problems[0]}). If it counts them, declare "
                "bias= and orientation=."
            )
        return _walked(call, case, later, seen, findings)
    said = next((p for p in problems if isinstance(p, Misshapen)), problems[0])
    return Walk(None, [], str(said), ())


def _walked(call: Call, case: Case, later: Case, seen: Observation, findings: list[str]) -> Walk:
    evidence = [(case, seen)]
    for number in range(2, STEPS + 1):
        if not finite(seen):
            break  # there is no going on from there
        data = case if number <= ON_FIRST_BATCH else later
        given = replace(_moved(evidence[-1][0], seen), inputs=data.inputs, targets=data.targets, name=f"step {number}")
        try:
            seen = _observed(call, given, findings)
        except Unanswered as error:
            return Walk(call, evidence, f"step {number} of {STEPS}: {error}", tuple(findings))
        evidence.append((given, seen))
    return Walk(call, evidence, "", tuple(dict.fromkeys(findings)))


def _observed(call: Call, case: Case, findings: list[str]) -> Observation:
    try:
        return call.observe(case)
    except ModifiedInputs as modified:
        said = f"it changes its arguments in place: {modified}. Its caller's arrays are not what they were."
        findings += [said] if said not in findings else []
        return modified.observation


def finite(seen: Observation) -> bool:
    """Whether there is going on from there."""
    arrays = (*(seen.updated_weights or ()), *(seen.updated_biases or ()))
    return all(a is None or bool(np.isfinite(np.asarray(a, np.float64)).all()) for a in arrays)


def _moved(case: Case, seen: Observation) -> Case:
    """The case with the weights and biases that came back, in its own format."""
    weights, biases = seen.updated_weights, seen.updated_biases
    assert weights is not None
    assert biases is not None
    layers = tuple(
        replace(layer, weights=array_of(w, case.dtype),
                biases=None if layer.biases is None or b is None else array_of([b], case.dtype)[0].tolist())
        for layer, w, b in zip(case.layers, weights, biases, strict=True)
    )  # fmt: skip
    return replace(case, layers=layers)


def readings(
    call: Call, evidence: list[tuple[Case, Observation]], bias: str | Sequence[bool] | None
) -> Iterator[tuple[Call, list[tuple[Case, Observation]]]]:
    """The answers as they were asked for; and, where biases may be the last column of the weights, as that."""
    yield call, evidence
    if bias is None and call.bias == "weights-first":
        yield replace(call, bias="weights-last"), [(_turned_case(case), _turned(seen)) for case, seen in evidence]


def _turned_case(case: Case) -> Case:
    layers = []
    for layer in case.layers:
        joined = np.insert(np.array(layer.weights), 0, np.array(layer.biases), axis=1)
        layers.append(replace(layer, weights=joined[:, :-1], biases=joined[:, -1].tolist()))
    return replace(case, layers=tuple(layers))


def _turned(seen: Observation) -> Observation:
    pairs = zip(seen.updated_weights or (), seen.updated_biases or (), strict=True)
    joined = [np.insert(np.asarray(w), 0, np.asarray(b), axis=1) for w, b in pairs]
    return replace(
        seen, updated_weights=tuple(j[:, :-1] for j in joined), updated_biases=tuple(j[:, -1] for j in joined)
    )
