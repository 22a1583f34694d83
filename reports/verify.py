"""The front door: hand over a function, get a verdict, and the name of its bug.

`verify` calls the function on probes (`reference/conventions.py`), finds out which conventions it follows where they
were not declared, judges every number, and diagnoses what is wrong.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.case import Case, Dense, InvalidInput, one_of
from ..reference.conventions import BIASES, Convention, candidates, probes
from ..reference.diagnosis import diagnose, located, of_calls
from ..reference.downcasts import OF_FORMATS
from ..reference.explanation import ARRAYS, Diagnosis, Evidence, reproduces, right
from ..reference.judge import Judgement, UnusableAnswer, Verdict, judge
from ..reference.observation import Observation, Place
from ..reference.observation import observed as shown
from ..reference.precision import PRECISIONS
from ..reference.stepwise import as_matrix
from .call import ORIENTATIONS, Call, ModifiedInputs, Unanswered, alternatives, answers, as_array, how_to_call

Array = NDArray[Any]

RETURNS = ("gradients", "updated", "outputs")
UPDATES = {"batch": False, "online": True}
CASES = ("standard", "few", "many")
BATCHES = {"standard": (4, 1, 2, 1), "few": (4, 1), "many": (4, 1, 2, 1, 8, 1, 16, 1)}
CANDIDATES_DIAGNOSED = 6  # conventions that a wrong answer is diagnosed under


class WrongGradients(AssertionError):
    """`Report.raise_for_wrong` and `assert_gradients` raise it; its text is the report."""


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    verdict: agrees, suspect, wrong, undecided or unanswered
    conventions: what the function was found, or declared, to compute; None where that is not known
    findings: everything else that there is to say, the most important first
    digits: decimal digits that the weakest gradient was checked to
    probes: the name and the verdict of every probe that was answered
    """

    verdict: str
    conventions: str | None
    findings: tuple[str, ...]
    digits: float | None
    diagnosis: Diagnosis | None = None
    strict: bool = False
    details: tuple[str, ...] = ()
    probes: tuple[tuple[str, str], ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, nor, if strict, suspect."""
        return self.verdict == "agrees" or (self.verdict == "suspect" and not self.strict)

    def __str__(self) -> str:
        head, findings = self.verdict, self.findings
        if self.verdict == "agrees" and self.digits is not None:
            head += f", to {math.floor(self.digits)} digits"
        if self.conventions:
            head += f": {self.conventions}"
        elif findings:
            head, findings = f"{head}: {findings[0]}", findings[1:]
        lines = [head, *(f"  {line}" for finding in findings for line in finding.splitlines())]
        lines += [f"    {line}" for detail in self.details for line in detail.splitlines()]
        return "\n".join(lines)

    def raise_for_wrong(self) -> None:
        """Raise WrongGradients, with the report as its text, unless `ok`."""
        if not self.ok:
            raise WrongGradients(str(self))

    def to_json(self) -> str:
        """The report as a JSON object."""
        names = [] if self.diagnosis is None else self.diagnosis.names
        return json.dumps(
            {"verdict": self.verdict, "ok": self.ok, "conventions": self.conventions, "findings": list(self.findings),
             "digits": self.digits, "faults": names, "details": list(self.details), "probes": dict(self.probes)},
            ensure_ascii=False, indent=1,
        )  # fmt: skip


def verify(
    function: Callable[..., Any],
    *,
    returns: str = "gradients",
    sizes: Sequence[int] | None = None,
    activations: Sequence[str] | str | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    bias: str | Sequence[bool] | None = None,
    orientation: str | None = None,
    batch: int | None = None,
    dtype: str = "float64",
    learning_rate: float | None = None,
    cases: str = "standard",
    timeout: float | None = None,
    strict: bool = False,
    updates: str | None = None,
) -> Report:
    """Judge a function that computes gradients, a step of the delta rule, or outputs; diagnose it where it is wrong.

    function: for `returns`
        "gradients":  f(weights, biases, inputs, targets) -> (weight_gradients, bias_gradients)
        "updated":    f(weights, biases, inputs, targets, learning_rate) -> (weights, biases)
        "outputs":    f(weights, biases, inputs, targets) -> outputs
        weights: a matrix per layer, units × inputs; biases: a vector per layer, or None; inputs, targets: a row per
        sample. NumPy arrays, or, where the function wants them, lists or torch tensors; any of these may come back.
    sizes: units per layer, the inputs first; 3-4-2 and 3-3-3 if None
    activations, loss, reduction, bias, orientation: declared conventions. What is None is found out, and said
    batch: samples per probe; several sizes if None.  learning_rate: a power of two is best; 0.5 if None
    updates: of returns="updated": "batch" for one step on all samples, "online" for one per sample; found out if None
    cases: "few", "standard" or "many" probes;  timeout: seconds per call;  strict: suspect numbers are not ok

    Raises InvalidInput for a declaration that makes no sense. Whatever the function does is in the report.
    """
    one_of("returns", returns, RETURNS)
    one_of("dtype", dtype, PRECISIONS)
    one_of("cases", cases, CASES)
    if orientation is not None:
        one_of("orientation", orientation, ORIENTATIONS)
    if isinstance(bias, str):
        one_of("bias", bias, BIASES)
    networks = [_checked_sizes(sizes)] if sizes is not None else [(3, 4, 2), (3, 3, 3)]
    if updates is not None:
        one_of("updates", updates, UPDATES)
    signs = (False, True) if returns == "gradients" else (False,)
    online = tuple(UPDATES[name] for name in ([updates] if updates else UPDATES)) if returns == "updated" else (False,)
    if returns == "outputs":
        loss, reduction = loss or "half_squared_error", reduction or "sum"  # they do not show
    conventions = list(candidates(networks[0], activations, loss, reduction, signs, online))
    if not conventions:
        raise InvalidInput(
            f"loss {loss} does not go with activation {activations!r} at the output, or with {networks[0][-1]} outputs."
        )
    batches = BATCHES[cases] if batch is None else (batch,) * len(BATCHES[cases])

    call, problems = how_to_call(function, returns, networks, bias, orientation, dtype, timeout)
    if call is None:
        return Report("unanswered", None, tuple(problems), None, strict=strict)
    asked = [
        replace(case, learning_rate=(learning_rate or 0.5) if returns == "updated" else None)
        for seed, network in enumerate(networks)
        for case in probes(network, batches, call.bias, dtype, seed)
    ]
    reports = []
    for way in alternatives(call, bias):
        report = _reported(way, asked, conventions, strict)
        if report.ok:
            return report
        reports.append(report)
    return min(reports, key=lambda report: not (report.diagnosis and report.diagnosis.explanations))


def _reported(call: Call, asked: Sequence[Case], conventions: Sequence[Convention], strict: bool) -> Report:
    observed, findings, failures = answers(call, asked)
    if not observed:
        return Report("unanswered", None, tuple(dict.fromkeys(failures)), None, strict=strict)
    found = _following(conventions, observed)
    if found is None:
        report = _wrong(conventions, observed, call, findings, strict)
    else:
        report = _right(found, observed, call, findings, strict)
    if failures:
        unanswered = tuple(f"{len(failures)} of {len(asked)} probes: {message}" for message in dict.fromkeys(failures))
        report = replace(report, findings=(*report.findings, *unanswered))
    return report


def _checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    if len(sizes) < 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise InvalidInput(
            f"sizes: expected at least two positive whole numbers, the inputs first; got {list(sizes)!r}."
        )
    return tuple(sizes)


def assert_gradients(
    network: Sequence[Dense],
    inputs: Any,
    targets: Any,
    weight_gradients: Sequence[Any],
    bias_gradients: Sequence[Any] | None = None,
    *,
    loss: str = "half_squared_error",
    reduction: str = "sum",
) -> None:
    """In place of assert_allclose: raise WrongGradients unless these are the gradients, by the bounds of their format.

    network: the layers, first to last;  inputs: batch × inputs;  targets: batch × outputs
    weight_gradients: per layer, units × inputs, in the format that they were computed in (bias_gradients: one per unit)
    """
    arrays = [as_array(f"weight_gradients[{k}]", g) for k, g in enumerate(weight_gradients)]
    biases = (
        None
        if bias_gradients is None
        else tuple(
            None if g is None else as_array(f"bias_gradients[{k}]", g).reshape(-1) for k, g in enumerate(bias_gradients)
        )
    )
    dtype = arrays[0].dtype.name if arrays else "float64"
    case = Case("given", tuple(network), inputs, targets, loss=loss, reduction=reduction, dtype=dtype)
    observation = Observation("given", "", "cpu", dtype, weight_gradients=tuple(arrays), bias_gradients=biases)
    judgement = judge(case, observation)
    if judgement.verdict is not Verdict.WRONG:
        return
    names = tuple(layer.activation for layer in case.layers)
    convention = Convention(names, loss, reduction)
    said = (
        _because(diagnosis, convention)
        if (diagnosis := diagnose([(case, observation)], convention)).explanations
        else []
    )
    if judgement.explained_by not in (None, dtype):
        said.append(f"its numbers are those of {judgement.explained_by} arithmetic, not of {dtype}.")
    steps = tuple(_steps([(case, observation, judgement)]))
    Report("wrong", None, tuple(said), None, diagnosis, False, steps).raise_for_wrong()


# --------------------------------------------------------------------------------------------- judging it


def _evidence(convention: Convention, observed: Evidence) -> list[tuple[Case, Observation]]:
    return [(convention.applied(case), observation) for case, observation in observed]


def _following(conventions: Sequence[Convention], observed: Evidence) -> Convention | None:
    """The first convention under which the right algorithm gives every number, from end to end."""
    for convention in conventions:
        if reproduces(right(convention), _evidence(convention, observed[:1])) and reproduces(
            right(convention), _evidence(convention, observed)
        ):
            return convention
    return None


def _judged(convention: Convention, observed: Evidence) -> list[tuple[Case, Observation, Judgement]]:
    judged = []
    for case, observation in _evidence(convention, observed):
        try:
            judged.append((case, observation, judge(case, observation, rules=convention.rules())))
        except UnusableAnswer as error:
            raise InvalidInput(str(error)) from error
    return judged


def _right(convention: Convention, observed: Evidence, call: Call, findings: list[str], strict: bool) -> Report:
    judged = _judged(convention, observed)
    verdicts = {judgement.verdict for *_, judgement in judged}
    order = (Verdict.WRONG, Verdict.SUSPECT, Verdict.AGREES, Verdict.UNDECIDED)
    verdict = next(v for v in order if v in verdicts)
    digits: dict[Place, float] = {}  # each array's best probe counts, and of those the weakest
    for *_, judgement in judged:
        for c in judgement.comparisons:
            digits[c.place] = max(digits.get(c.place, 0.0), c.digits or 0.0)
    details = _steps(judged) if verdict in (Verdict.WRONG, Verdict.SUSPECT) else []
    if verdict is Verdict.AGREES and findings:
        verdict = Verdict.WRONG if any("state" in f or "not deterministic" in f for f in findings) else verdict
    numbers = sum(c.elements for *_, judgement in judged for c in judgement.comparisons)
    said = f"{numbers} numbers on {len(judged)} probes, {_stored(call)}."
    weakest = min(digits.values(), default=None)
    words = convention.of_outputs() if call.returns == "outputs" else str(convention)
    return Report(verdict.value, words, (*findings, said), weakest, None, strict, tuple(details), _verdicts(judged))


def _verdicts(judged: Sequence[tuple[Case, Observation, Judgement]]) -> tuple[tuple[str, str], ...]:
    return tuple((case.name, judgement.verdict.value) for case, _, judgement in judged)


def _stored(call: Call) -> str:
    stored = "units × inputs" if call.orientation == "units_by_inputs" else "inputs × units"
    return f"weights stored {stored}, bias: {call.bias if isinstance(call.bias, str) else 'as declared'}"


def _wrong(
    conventions: Sequence[Convention], observed: Evidence, call: Call, findings: list[str], strict: bool
) -> Report:
    """What is known of wrong numbers, the surest first: an undeclared convention, a fault, a precision, two faults."""
    ranked = sorted(conventions, key=lambda c: -_explained(c, observed))[:CANDIDATES_DIAGNOSED]
    convention, diagnosis, said = ranked[0], None, list(findings)
    signs = (False, True) if call.returns == "gradients" else (False,)
    online = (False, True) if call.returns == "updated" else (False,)
    every = candidates(observed[0][0].sizes, negative=signs, online=online)
    undeclared = [c for c in every if c not in conventions]
    other = _following(undeclared, observed)
    changing = [finding for finding in findings if "not deterministic" in finding]
    if changing:  # numbers that change from call to call are nobody's, unless they follow from the call before
        following = ((c, of_calls(_evidence(c, observed), c)) for c in conventions)
        convention, diagnosis = next((pair for pair in following if pair[1].explanations), (convention, None))
        if diagnosis is not None:
            said = [*_because(diagnosis, convention), *(finding for finding in said if finding not in changing)]
    elif other is not None:
        said.insert(0, f"it computes {other}, exactly; that is not what was declared.")
    else:
        convention, diagnosis = _diagnosed(ranked, observed, pairs=False)
        if not diagnosis.explanations:
            convention, diagnosis = _diagnosed(ranked[:1], observed, pairs=True)
        said = [*_because(diagnosis, convention), *said] if diagnosis.explanations else said
        if not diagnosis.explanations:
            case, observation, _ = next(e for e in _judged(convention, observed) if e[2].wrong)
            said.append(
                "no known fault, pair of faults, factor or precision gives these numbers. Where they are wrong:"
            )
            said.append(located(case, observation, convention))
            said += _peculiar(observed)
    words = convention.of_outputs() if call.returns == "outputs" else str(convention)
    said.append(f"assumed: {words}; {_stored(call)}.")
    judged = _judged(convention, observed)
    details = (*_steps(judged), *_witness(call, convention))
    return Report("wrong", None, tuple(said), None, diagnosis, strict, details, _verdicts(judged))


def _peculiar(observed: Evidence) -> list[str]:
    """What can be said of numbers that nothing explains."""
    numbers = np.concatenate([array.astype(float).ravel() for _, o in observed for _, array in shown(o)])
    if not np.isfinite(numbers).all():
        return [f"{np.count_nonzero(~np.isfinite(numbers))} of {numbers.size} numbers are NaN or infinite."]
    if (numbers == np.rint(numbers)).all():
        return ["all numbers are whole: integer division, or an integer array, is on the way."]
    return []


def _diagnosed(ranked: Sequence[Convention], observed: Evidence, pairs: bool) -> tuple[Convention, Diagnosis]:
    """The convention under which fewest explanations remain, and those."""
    tried = []
    for convention in ranked:
        diagnosis = diagnose(_evidence(convention, observed), convention, pairs)
        if diagnosis.proved:
            return convention, diagnosis
        tried.append((convention, diagnosis))
    return min(tried, key=lambda entry: len(entry[1].explanations) or math.inf)


def _witness(call: Call, convention: Convention) -> list[str]:
    """The smallest network and data, in quarters, on which the function is wrong too: to be checked by hand."""
    layers = len(convention.activations)
    for units, batch in ((1, 1), (1, 2), (2, 1), (2, 2)):
        sizes = (units,) * layers + (1 if convention.activations[-1] != "softmax" else 2,)
        (probe,) = probes(sizes, (batch,), call.bias, "float64", 7)
        case = _in_quarters(convention.applied(replace(probe, learning_rate=0.5)))
        try:
            observation = call.observe(replace(case, loss="half_squared_error"))
            wrong = judge(case, observation, rules=convention.rules()).wrong
        except (Unanswered, ModifiedInputs, UnusableAnswer):
            return []
        if wrong:
            worst = wrong[0].worst[0]
            parts = [f"    weights = {[np.array(layer.weights).tolist() for layer in case.layers]!r}"]
            parts.append(f"    biases = {[None if x.biases is None else list(x.biases) for x in case.layers]!r}")
            parts.append(
                f"    inputs, targets = {np.array(case.inputs).tolist()!r}, {np.array(case.targets).tolist()!r}"
            )
            said = f"expected {worst.expected!r}, got {worst.got!r}"
            return ["smallest network that shows it:", *parts, f"    {wrong[0].place}{list(worst.index)}: {said}"]
    return []


def _in_quarters(case: Case) -> Case:
    def rounded(row: Sequence[float]) -> tuple[float, ...]:
        return tuple((round(4 * x) or (1 if x > 0 else -1)) / 4 for x in row)

    layers = tuple(
        replace(x, weights=tuple(map(rounded, x.weights)), biases=None if x.biases is None else rounded(x.biases))
        for x in case.layers
    )
    return replace(case, layers=layers, inputs=tuple(map(rounded, case.inputs)))


def _because(diagnosis: Diagnosis, convention: Convention) -> list[str]:
    lines = []
    for explanation in diagnosis.explanations[:4]:
        where = (
            ""
            if explanation.layer is None or len(convention.activations) < 2
            else f", in layer {explanation.layer + 1}"
        )
        name = f" (fault {', '.join(f'`{n}`' for n in explanation.names)})" if explanation.names else ""
        lines.append(f"it {explanation.words}{where}{name}. How that comes: {explanation.mistake}.")
    if diagnosis.proved and set(diagnosis.names) <= OF_FORMATS and diagnosis.names:
        lines.append(
            f"with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds, nearer than with "
            "any other format or place; the right algorithm does not, and no other known fault does."
        )
    elif diagnosis.proved:
        lines.append(
            f"proved: with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds; the right "
            "algorithm does not, and no other known fault does."
        )
    else:
        lines.append(f"each of these reproduces all {diagnosis.numbers} numbers: on this network they are the same.")
    return lines


def _explained(convention: Convention, observed: Evidence) -> float:
    """How many digits of each array of the first probe the convention gives, in the mean: it ranks, no more."""
    ((case, observation),) = _evidence(convention, observed[:1])
    floats = right(convention)(case, ARRAYS) or {}
    with np.errstate(all="ignore"):
        errors = []
        for place, array in shown(observation):
            moved = np.abs(floats[place] - _before(case, place)).max()  # of updates, what counts is the change
            errors.append(np.abs(as_matrix(place, array).astype(float) - floats[place]) / moved)
        return float(sum(np.clip(-np.log10(np.where(np.isnan(e), 1, e)), 0, 16).mean() for e in errors))


def _before(case: Case, place: Place) -> Array:
    """What a weight was before the update; nothing, of gradients."""
    layer = case.layers[place.layer or 0]
    if place.quantity == "updated_weights":
        return np.array(layer.weights, float)
    return np.array([layer.biases], float) if place.quantity == "updated_biases" else np.zeros(())


def _steps(judged: Sequence[tuple[Case, Observation, Judgement]]) -> list[str]:
    """The first step outside its bounds, with its worst numbers."""
    for case, _, judgement in judged:
        comparisons = judgement.wrong or judgement.suspect
        if not comparisons:
            continue
        first = comparisons[0]
        sizes = "-".join(str(n) for n in case.sizes)
        lines = [f"first step outside its bound: {first.place}, on {sizes} with {case.batch} samples"]
        lines += [
            f"{list(e.index)}  expected {e.expected!r}  got {e.got!r}  tolerance {e.tolerance:.3g}"
            for e in first.worst[:3]
        ]
        lines += [f"{a.direction}: {a.ratio:.3g} × what roundings add up to" for a in first.aggregates]
        return lines
    return []
