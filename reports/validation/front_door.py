"""The front door: hand over a function, get a verdict, and the name of its bug.

`verify` calls the function on probes (`reference/diagnosis/conventions.py`, `reach.py`), finds out which conventions it
follows where they were not declared, judges every number, and diagnoses what is wrong.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from inspect import signature
from itertools import pairwise
from typing import Any, Literal, overload

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.activations import Activation
from ...reference.case import Case, InvalidInput, known_loss, network_sizes, one_of
from ...reference.diagnosis import BATCHES as BATCHES_REACHED
from ...reference.diagnosis import (
    BIASES,
    NETWORKS,
    Convention,
    Declared,
    Diagnosis,
    candidates,
    output_of,
    probes,
    reaching_probes,
)
from ...reference.judging import Observation
from ...reference.losses import DISTRIBUTION
from ...reference.numbers import PRECISIONS
from ..any_network import RuleAndNumbers, RuleReport, refuse_without_inputs, verify_network
from ..calling import (
    ORIENTATIONS,
    Call,
    ModifiedInputs,
    Question,
    alternatives,
    ask,
    declared_batch,
    declared_learning_rate,
    declared_timeout,
    how_to_call,
    in_its_own_process,
    name_of,
)
from ..documents import Report, Subject, WrongGradients
from .assess import assess, in_common
from .steps_taken import verify_trajectory

__all__ = ["Report", "WrongGradients", "verify"]

RETURNS = ("gradients", "updated", "outputs")
TARGETS = {"rows": False, "classes": True}
TAKES_CLASSES = "it takes the largest target of each row, so that it was asked with one-hot targets alone."
SIGNS = {"positive": False, "negative": True}
UPDATES = {"batch": False, "online": True}
NOT_OPTIONS = ("function", "inputs", "unknown")
CASES = ("standard", "few", "many")
BATCHES = {"standard": (4, 1, 2, 1), "few": (4, 1), "many": (4, 1, 2, 1, 8, 1, 16, 1)}  # of generic probes
ROUNDS = {"few": 0, "standard": 1, "many": 3}  # of those that reach further


@overload
def verify(
    function: Callable[..., Any],
    inputs: None = None,
    *,
    returns: str = ...,
    sizes: Sequence[int] | None = ...,
    activations: Sequence[str | Activation] | str | Activation | None = ...,
    loss: str | None = ...,
    reduction: str | None = ...,
    bias: str | Sequence[bool] | None = ...,
    orientation: str | None = ...,
    batch: int | None = ...,
    dtype: str = ...,
    learning_rate: float | None = ...,
    cases: str = ...,
    timeout: float | None = ...,
    strict: bool = ...,
    updates: str | None = ...,
    isolated: bool = ...,
    sign: str | None = ...,
    decay: float | str | None = ...,
    optimizer: str | None = ...,
    targets: str | None = ...,
) -> Report: ...


@overload
def verify(
    function: Callable[..., Any],
    inputs: Any,
    *,
    loss: Callable[[Any], Any] | None = ...,
    keywords: Mapping[str, Any] | None = ...,
    stopped: bool = ...,
    surrogate: Any = ...,
    reference: Callable[..., Any] | None = ...,
    numbers: Literal[False] = ...,
) -> RuleReport: ...


@overload
def verify(
    function: Callable[..., Any],
    inputs: Any,
    *,
    loss: Callable[[Any], Any] | None = ...,
    keywords: Mapping[str, Any] | None = ...,
    stopped: bool = ...,
    surrogate: Any = ...,
    reference: Callable[..., Any] | None = ...,
    numbers: Literal[True],
) -> RuleAndNumbers: ...


def verify(
    function: Callable[..., Any],
    inputs: Any = None,
    *,
    returns: str = "gradients",
    sizes: Sequence[int] | None = None,
    activations: Sequence[str | Activation] | str | Activation | None = None,
    loss: Any = None,
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
    isolated: bool = False,
    sign: str | None = None,
    decay: float | str | None = None,
    optimizer: str | None = None,
    targets: str | None = None,
    keywords: Mapping[str, Any] | None = None,
    stopped: bool = False,
    surrogate: Any = (),
    reference: Callable[..., Any] | None = None,
    numbers: bool = False,
    **unknown: Any,
) -> Report | RuleReport | RuleAndNumbers:
    """Judge a function that computes gradients, a step of the delta rule, or outputs; diagnose it where it is wrong.

    Args:
        function: of (weights, biases, inputs, targets): units × inputs and a vector or None per layer, a row per
            sample; NumPy arrays, lists or tensors. With `inputs`, a module or any function: see `verify_network`
        returns: "gradients", "updated" (with a learning_rate as fifth argument), a pair each, or "outputs"
        sizes: units per layer, the inputs first; networks of one to four layers if None
        activations: names, as "leaky_relu(0.2)", or a `bp.Activation`. What is None of these is found out, and said
        loss: such as "half_squared_error"
        reduction: "sum" or "mean", over samples
        bias: "separate", "none", "column-last", …; or whether each layer has one
        orientation: of the weights: "units_by_inputs" or "inputs_by_units"
        targets: "rows", or "classes" for the number of each sample's class; found out if None
        sign: "positive", or "negative" where minus the gradient is meant, which is never taken for granted
        decay: of a penalty decay/2 · Σw² in the loss; "0.1/n" for 0.1/(2n) · Σw², for n samples; 0 for none
        optimizer: of returns="updated": steps are judged as its: "adam", "momentum(0.9)", …; "find" to find out which
        batch: samples per probe; several sizes if None
        learning_rate: a power of two is best; 0.5 if None
        updates: of returns="updated": "batch" for one step on all samples, "online" for one each; found out if None
        cases: "few", "standard" or "many" probes
        timeout: seconds per call
        strict: suspect numbers are not ok, nor is any convention that was found out and not declared
        isolated: call it in a process of its own, which imports it by its name: it may hang, crash or eat all memory

    Raises:
        InvalidInput: for a declaration that makes no sense. Whatever the function does is in the report.
    """
    _refuse_unknown(unknown)
    if inputs is not None:
        declared: Any = {"keywords": keywords, "stopped": stopped, "surrogate": surrogate, "reference": reference}
        return verify_network(function, inputs, loss=loss, numbers=numbers, **declared)
    refuse_without_inputs(function, keywords, stopped, surrogate, reference, numbers)
    _check_names(returns, dtype, cases, orientation, bias, updates)
    _check_of_loss(targets, sign)
    declared_decay, over_samples, biases_too = _decay_of(decay)
    declared_timeout(timeout)
    rate = _rate_of(returns, learning_rate)
    loss = None if loss is None else known_loss("loss", loss, output_of(activations)).name
    if optimizer is not None:
        return _of_optimizer(
            function,
            optimizer,
            returns,
            sizes,
            activations,
            loss,
            reduction,
            bias,
            orientation,
            batch,
            dtype,
            learning_rate,
            timeout,
            strict,
            isolated,
        )
    networks = [network_sizes(sizes)] if sizes is not None else [(3, 4, 2), (3, 3, 3)]
    signs = (False, True) if returns == "gradients" else (False,)
    if sign is not None:
        signs = (SIGNS[sign],)
    online = tuple(UPDATES[name] for name in ([updates] if updates else UPDATES)) if returns == "updated" else (False,)
    if returns == "outputs":
        loss = "half_squared_error" if loss is None else loss  # they do not show
        reduction = "sum" if reduction is None else reduction
    conventions = list(candidates(networks[0], activations, loss, reduction, signs, online))
    if not conventions:
        raise InvalidInput(
            f"loss {loss} does not go with activation {activations!r} at the output, or with {networks[0][-1]} outputs."
        )
    conventions = _with_decay(conventions, declared_decay, over_samples, biases_too)
    common = in_common(conventions)
    said = Declared(
        common.activations if activations is not None else None,
        loss,
        reduction,
        SIGNS[sign] if sign is not None else None if returns == "gradients" else False,
        declared_decay,
        over_samples,
        bare=True,
        decays_biases=biases_too,
    )
    declared = declared_batch(batch)
    others = others_than(networks, sizes is not None, bias, activations)
    if all(map(_of_distributions, conventions)):
        others = _of_several_outputs(others)
    with _where(function, isolated, timeout) as asked:
        of_classes = TARGETS.values() if targets is None else (TARGETS[targets],)
        call, problem = how_to_call(asked, returns, networks, bias, orientation, dtype, timeout, tuple(of_classes))
        if call is None:
            return Report("unanswered", None, (problem,), None, strict=strict)
        # of several rates, a step that leaves the rate out is told from one that has a factor
        rates = [rate] if learning_rate is not None else [rate, rate / 2, rate / 4]

        def report_by(way: Call, classes: bool, explain: bool = True) -> Report:
            """Under which conventions it agrees; where these are of distributions, on networks of several outputs."""

            def under(allowed: Sequence[Convention], others: Sequence[tuple[int, ...]]) -> Report:
                questions = [
                    replace(q, case=replace(q.case, learning_rate=rates[k % len(rates)]))
                    if returns == "updated" else q
                    for k, q in enumerate(questions_for(networks, others, declared, way.bias, dtype, cases))
                ]  # fmt: skip
                questions = [replace(q, case=one_hot(q.case)) for q in questions] if classes else questions
                return _reported(way, questions, allowed, strict, said, explain)

            report, several = under(conventions, others), _of_several_outputs(others)
            found = [c for c in conventions if _of_distributions(c) and str(c) == report.conventions]
            return under(found, several) if report.ok and found and len(several) < len(others) else report

        reports = []
        for way in alternatives(call, bias):
            report = report_by(way, call.classes)
            if report.ok:
                return report
            reports.append(report)
        if targets is None and not call.classes and _may_take_classes(reports[0], conventions):
            report = report_by(call, classes=True, explain=False)
            if report.ok:
                return replace(report, findings=(TAKES_CLASSES, *report.findings))
    return min(reports, key=lambda report: not (report.diagnosis and report.diagnosis.explanations))


def _of_distributions(convention: Convention) -> bool:
    """Whether targets are distributions, of which a single output says nothing: it is always 1."""
    return known_loss("loss", convention.loss).targets == DISTRIBUTION


def _of_several_outputs(networks: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    return tuple(network for network in networks if network[-1] > 1)


def one_hot(case: Case) -> Case:
    """The case with 1 for the largest target of each row, and 0 for the others; of one output as it is."""
    rows = np.array(case.targets)
    if rows.shape[1] == 1:
        return case
    hot = np.zeros_like(rows)
    hot[np.arange(len(rows)), rows.astype(float).argmax(axis=1)] = 1
    return replace(case, targets=hot)


def _may_take_classes(report: Report, conventions: Sequence[Convention]) -> bool:
    """Whether numbers that nothing explains may be those of a function that takes classes."""
    unexplained = report.diagnosis is not None and report.diagnosis == Diagnosis((), 0)
    return report.verdict in ("wrong", "unrecognised") and unexplained and any(map(_of_distributions, conventions))


def others_than(
    networks: Sequence[tuple[int, ...]],
    declared: bool,
    bias: str | Sequence[bool] | None,
    activations: Sequence[str | Activation] | str | Activation | None,
) -> tuple[tuple[int, ...], ...]:
    """The networks that probes are to reach beside those that have to be taken: none, where sizes are declared."""
    if declared:
        return tuple(networks)
    by_layer = not (isinstance(bias, (str, type(None))) and isinstance(activations, (str, Activation, type(None))))
    return tuple(network for network in NETWORKS if not by_layer or len(network) == len(networks[0]))


def _where(
    function: Callable[..., Any], isolated: bool, timeout: float | None
) -> AbstractContextManager[Callable[..., Any]]:
    if not isolated:
        return nullcontext(function)
    return in_its_own_process(name_of(function), sys.path, timeout)


def _rate_of(returns: str, learning_rate: float | None) -> float:
    rate = declared_learning_rate(learning_rate)
    if learning_rate is not None and returns != "updated":
        raise InvalidInput("learning_rate: only for returns='updated'; gradients and outputs do not depend on it.")
    return rate


def questions_for(
    networks: Sequence[tuple[int, ...]],
    others: Sequence[tuple[int, ...]],
    batch: int | None,
    bias: str | Sequence[bool],
    dtype: str,
    cases: str,
) -> list[Question]:
    """Generic probes of the networks, which have to be answered; then those that reach further.

    others: networks that a function need not take, but for those as deep as `networks`
    batch: samples per probe, as declared; single samples are asked for besides, where a function takes them
    Large networks are asked less, unless cases is "many": each kind of data comes with fewer batches.
    """
    large = all(_parameters(network) > LARGE for network in others)
    batches = BATCHES[cases]
    if batch is not None:
        batches = tuple(1 if k % 2 else batch for k in range(len(batches)))
    asked = [case for seed, network in enumerate(networks) for case in probes(network, batches, bias, dtype, seed)]
    sizes_of_batch = BATCHES_REACHED if batch is None else tuple(dict.fromkeys((batch, 1)))
    if large and cases != "many":
        batches, sizes_of_batch = batches[:2], LARGE_BATCHES if batch is None else (batch,)
    asked += reaching_probes(others, sizes_of_batch, bias, dtype, ROUNDS[cases]) if ROUNDS[cases] else ()

    def scope(case: Case) -> str | None:
        if len(case.sizes) != len(networks[0]):
            count = len(case.layers)
            return "networks of 1 layer" if count == 1 else f"networks of {count} layers"
        return "batches of 1" if case.batch == 1 != batch and batch is not None else None

    return [Question(case, scope(case)) for case in asked]


LARGE, LARGE_BATCHES = 50_000, (3, 17)  # weights and biases; samples, where no number of them is declared


def _parameters(network: Sequence[int]) -> int:
    return sum((inputs + 1) * units for inputs, units in pairwise(network))


def _with_decay(
    conventions: Sequence[Convention], decay: float | None, over_samples: bool, biases_too: bool
) -> list[Convention]:
    """The conventions with a declared penalty: on all parameters, or, where that is not said, also on weights alone."""
    if not decay:
        return list(conventions)
    declared = [replace(c, decay=decay, decay_over_samples=over_samples) for c in conventions]
    return [replace(c, decays_biases=biases) for c in declared for biases in ((True,) if biases_too else (False, True))]


WITH_BIASES = "with biases"


def _decay_of(declared: float | str | None) -> tuple[float | None, bool, bool]:
    """The declared decay, whether it is over the number of samples, and whether of biases too. Raises InvalidInput."""
    if declared is None:
        return None, False, False
    text = str(declared).strip()
    biases_too = text.endswith(WITH_BIASES)
    number, over, rest = text.removesuffix(WITH_BIASES).replace(" ", "").partition("/n")
    try:
        decay = float(number)
    except ValueError:
        decay = math.nan
    if isinstance(declared, bool) or not math.isfinite(decay) or rest:
        raise InvalidInput(
            f"decay: expected a finite number, as 0.1, 0.1/n, or '0.1 {WITH_BIASES}'; 0 for none; got {declared!r}."
        )
    return decay, bool(over), biases_too


def _check_of_loss(targets: str | None, sign: str | None) -> None:
    if targets is not None:
        one_of("targets", targets, TARGETS)
    if sign is not None:
        one_of("sign", sign, SIGNS)


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    for option in options:
        if "tol" in option or option == "eps":
            raise InvalidInput(f"verify: it takes no {option!r}: tolerances are derived, and there is none to choose.")
        one_of("verify: options", option, [n for n in signature(verify).parameters if n not in NOT_OPTIONS])


def _check_names(
    returns: str,
    dtype: str,
    cases: str,
    orientation: str | None,
    bias: str | Sequence[bool] | None,
    updates: str | None,
) -> None:
    one_of("returns", returns, RETURNS)
    one_of("dtype", dtype, PRECISIONS)
    one_of("cases", cases, CASES)
    if orientation is not None:
        one_of("orientation", orientation, ORIENTATIONS)
    if isinstance(bias, str):
        one_of("bias", bias, BIASES)
    elif bias is not None and not (isinstance(bias, Sequence) and all(isinstance(b, bool) for b in bias)):
        raise InvalidInput(f"bias: expected one of {', '.join(BIASES)}, or a truth value per layer; got {bias!r}.")
    if updates is not None:
        one_of("updates", updates, UPDATES)
        if returns != "updated":
            raise InvalidInput("updates: only for returns='updated'; a gradient is of the whole batch.")


def _of_optimizer(
    function: Callable[..., Any],
    optimizer: str,
    returns: str,
    sizes: Sequence[int] | None,
    activations: Sequence[str | Activation] | str | Activation | None,
    loss: str | None,
    reduction: str | None,
    bias: str | Sequence[bool] | None,
    orientation: str | None,
    batch: int | None,
    dtype: str,
    learning_rate: float | None,
    timeout: float | None,
    strict: bool,
    isolated: bool,
) -> Report:
    if returns != "updated":
        raise InvalidInput("optimizer: only for returns='updated'; a gradient is the same under every optimizer.")
    with _where(function, isolated, timeout) as asked:
        return verify_trajectory(
            asked, optimizer, sizes=sizes, activations=activations, loss=loss, reduction=reduction, bias=bias,
            orientation=orientation, batch=batch, dtype=dtype, learning_rate=learning_rate, timeout=timeout,
            strict=strict,
        )  # fmt: skip


def _reported(
    call: Call,
    questions: Sequence[Question],
    conventions: Sequence[Convention],
    strict: bool,
    declared: Declared,
    explain: bool = True,
) -> Report:
    """explain: whether to say why numbers are wrong; if not, it matters only whether they are right."""
    found = ask(call, questions)
    if not found.observed:
        return Report("unanswered", None, tuple(dict.fromkeys(found.failures)), None, strict=strict)
    rate = next((q.case.learning_rate for q in questions if q.case.learning_rate is not None), 0.5)
    subject = Subject(call.returns, call.stored, call.bias, partial(_once_more, call), rate)
    report = assess(found.observed, conventions, subject, found.findings, strict, found.repeats, declared, explain)
    findings = [*report.findings]
    for message in dict.fromkeys(found.not_taken.values()):
        scopes = [scope for scope, why in found.not_taken.items() if why == message]
        findings.append(f"not covered, as it does not take them: {', '.join(scopes)} ({message}).")
    if not found.failures:
        return replace(report, findings=tuple(findings))
    unanswered = [f"{found.failures.count(m)} of {len(questions)} probes: {m}" for m in dict.fromkeys(found.failures)]
    if report.verdict in ("wrong", "unrecognised"):
        return replace(report, findings=(*findings, *unanswered))
    rest = f"the other {len(report.probes)} probes: {report.verdict}, {report.conventions}"
    return replace(report, verdict="unanswered", conventions=None, findings=(*unanswered, rest, *findings))


def _once_more(call: Call, case: Case) -> Observation:
    try:
        return call.observe(case)
    except ModifiedInputs as modified:
        raise Unanswered(str(modified)) from modified
