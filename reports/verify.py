"""The front door: hand over a function, get a verdict, and the name of its bug.

`verify` calls the function on probes (`reference/conventions.py`), finds out which conventions it follows where they
were not declared, judges every number, and diagnoses what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ..adapters.adapter import Unanswered
from ..reference.case import Case, Dense, InvalidInput, one_of
from ..reference.conventions import BIASES, Convention, candidates, probes
from ..reference.diagnosis import diagnose
from ..reference.judge import Verdict, judge
from ..reference.observation import Observation
from ..reference.precision import PRECISIONS
from .assess import assess, because, steps
from .call import ORIENTATIONS, Call, ModifiedInputs, alternatives, answers, as_array, how_to_call
from .report import Report, Subject, WrongGradients

__all__ = ["Report", "WrongGradients", "assert_gradients", "verify"]

RETURNS = ("gradients", "updated", "outputs")
UPDATES = {"batch": False, "online": True}
CASES = ("standard", "few", "many")
BATCHES = {"standard": (4, 1, 2, 1), "few": (4, 1), "many": (4, 1, 2, 1, 8, 1, 16, 1)}


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
    networks = [checked_sizes(sizes)] if sizes is not None else [(3, 4, 2), (3, 3, 3)]
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

    call, problem = how_to_call(function, returns, networks, bias, orientation, dtype, timeout)
    if call is None:
        return Report("unanswered", None, (problem,), None, strict=strict)
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
    subject = Subject(call.returns, _stored(call), call.bias, partial(_once_more, call))
    report = assess(observed, conventions, subject, findings, strict)
    if failures:
        unanswered = tuple(f"{len(failures)} of {len(asked)} probes: {message}" for message in dict.fromkeys(failures))
        report = replace(report, findings=(*report.findings, *unanswered))
    return report


def _once_more(call: Call, case: Case) -> Observation:
    try:
        return call.observe(case)
    except ModifiedInputs as modified:
        raise Unanswered(str(modified)) from modified


def _stored(call: Call) -> str:
    stored = "units × inputs" if call.orientation == "units_by_inputs" else "inputs × units"
    return f"weights stored {stored}, bias: {call.bias if isinstance(call.bias, str) else 'as declared'}"


def checked_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Units per layer, the inputs first. Raises InvalidInput."""
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
        because(diagnosis, convention)
        if (diagnosis := diagnose([(case, observation)], convention)).explanations
        else []
    )
    if judgement.explained_by not in (None, dtype):
        said.append(f"its numbers are those of {judgement.explained_by} arithmetic, not of {dtype}.")
    details = tuple(steps([(case, observation, judgement)]))
    Report("wrong", None, tuple(said), None, diagnosis, False, details).raise_for_wrong()
