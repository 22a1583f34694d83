"""Optimizers with state: a function takes several steps in a row, from what it returned, and each is judged.

Nothing is asked before that would spoil its state: the first call that answers is step 1. All steps but the first few
are on another batch, since constants of optimizers hardly show while gradients stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.activations import Activation
from ...reference.case import Case, InvalidInput, network_sizes, one_of
from ...reference.diagnosis import (
    BIASES,
    DECAYS,
    SCALED,
    Convention,
    Evidence,
    Found,
    Variant,
    candidates,
    declared_variant,
    first_step_off,
    linear_first_step,
    optimizer_of,
    probes,
    right_variants,
    rough_steps,
    same_signs,
    simple_variants,
    wrong_variants,
)
from ...reference.judging import Judgement, Observation, StepTaken, Verdict, judge_steps, steps_taken
from ...reference.numbers import PRECISIONS, array_of
from ...reference.update_rules import FAMILIES, Family, family_named, shown
from ..documents import Report
from .call import INFERRED_BIASES, ORIENTATIONS, Call, Elsewhere, ModifiedInputs
from .declared import declared_batch, declared_timeout
from .following import suits
from .reading_answers import Misshapen
from .time_limit import TimeUp

STEPS, ON_FIRST_BATCH = 7, 3
LEARNING_RATE = 0.0625  # where none is declared: a power of two, small enough for any of the rules not to leap away
BATCH = 4
SIZES = (3, 4, 2)
TO_FIND_OUT = "find"

# How many conventions are looked at, the likeliest first; they decide nothing but where to look.
SEARCHED, EXPLAINED = 16, 3
FITS = 50.0  # roundings that a first step may be off


def verify_trajectory(
    function: Call | Callable[..., Any],
    optimizer: str | None = None,
    *,
    sizes: Sequence[int] | None = None,
    activations: Sequence[str | Activation] | str | Activation | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    bias: str | Sequence[bool] | None = None,
    orientation: str | None = None,
    batch: int | None = None,
    dtype: str = "float64",
    learning_rate: float | None = None,
    timeout: float | None = None,
    strict: bool = False,
) -> Report:
    """Judge a function that takes learning steps with a state of its own, seven of them, each from the one before.

    function: f(weights, biases, inputs, targets, learning_rate) -> (weights, biases), see `verify`; or how to call it
    optimizer: a name such as "adam", whose constants are found out, or "adam(0.9, 0.999, 1e-8)", which enforces them
        (see `family_named`); None or "find" to find it out
    sizes: 3-4-2 if None.  batch: 4 if None.  learning_rate: 0.0625 if None;  the others: see `verify`

    Raises InvalidInput for a declaration that makes no sense. Whatever the function does is in the report.
    """
    declared = _declared(optimizer)
    one_of("dtype", dtype, PRECISIONS)
    if orientation is not None:
        one_of("orientation", orientation, ORIENTATIONS)
    if isinstance(bias, str):
        one_of("bias", bias, BIASES)
    network = SIZES if sizes is None else network_sizes(sizes)
    conventions = list(candidates(network, activations, loss, reduction, (False,)))
    if not conventions:
        raise InvalidInput(f"loss {loss} does not go with activation {activations!r} at the output.")
    plan = _Plan(network, declared_batch(batch) or BATCH, dtype, _rate(learning_rate))
    walk = _walk(_ways(function, orientation, bias, declared_timeout(timeout)), plan)
    if walk.call is None or walk.problem:
        return Report("unanswered", None, (walk.problem, *walk.findings), None, strict=strict)
    reports = []
    for call, evidence in _readings(walk.call, walk.evidence, bias):
        suiting = _suiting(conventions, evidence)
        report = _assessed(call, evidence, suiting, declared, walk, strict)
        if report.verdict == "agrees":
            return report
        reports.append(report)
    return reports[0]


def _declared(optimizer: str | None) -> tuple[Family, dict[str, float]] | None:
    if optimizer in (None, TO_FIND_OUT):
        return None
    named = family_named(optimizer) if isinstance(optimizer, str) else None
    if named is None:
        head = str(optimizer).partition("(")[0].strip().lower()
        if head not in FAMILIES:
            raise InvalidInput(f"optimizer: expected one of {', '.join((*FAMILIES, TO_FIND_OUT))}; got {optimizer!r}.")
        order = ", ".join(name for name, _ in FAMILIES[head].constants)
        others = [name for name in FAMILIES[head].known if name not in order.split(", ")]
        raise InvalidInput(
            f"optimizer: expected {head}({order}), all of them optional, and by name {', '.join(others)}; "
            f"got {optimizer!r}."
        )
    return named


def _rate(given: float | None) -> float:
    from .declared import declared_learning_rate

    return LEARNING_RATE if given is None else declared_learning_rate(given)


# ------------------------------------------------------------------------------------------- the steps


@dataclass(frozen=True)
class _Plan:
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
class _Walk:
    """What came of asking. problem: why there are not enough steps; empty if there are"""

    call: Call | None
    evidence: list[tuple[Case, Observation]]
    problem: str
    findings: tuple[str, ...]


def _ways(
    function: Any,
    orientation: str | None,
    bias: str | Sequence[bool] | None,
    timeout: float | None,
) -> Iterator[Call]:
    if isinstance(function, Call):
        yield replace(function, returns="updated")
        return
    if not callable(function) and not isinstance(function, Elsewhere):
        raise InvalidInput(f"function: expected one to call, got {type(function).__name__}.")
    for arrays in ("numpy", "list", "torch"):
        for where in (orientation,) if orientation else ORIENTATIONS:
            for form in (bias,) if bias is not None else INFERRED_BIASES:
                yield Call(function, "updated", where, form, arrays, timeout)


def _walk(ways: Iterator[Call], plan: _Plan) -> _Walk:
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
    return _Walk(None, [], str(said), ())


def _walked(call: Call, case: Case, later: Case, seen: Observation, findings: list[str]) -> _Walk:
    evidence = [(case, seen)]
    for number in range(2, STEPS + 1):
        if not _finite(seen):
            break  # there is no going on from there
        data = case if number <= ON_FIRST_BATCH else later
        given = replace(_moved(evidence[-1][0], seen), inputs=data.inputs, targets=data.targets, name=f"step {number}")
        try:
            seen = _observed(call, given, findings)
        except Unanswered as error:
            return _Walk(call, evidence, f"step {number} of {STEPS}: {error}", tuple(findings))
        evidence.append((given, seen))
    return _Walk(call, evidence, "", tuple(dict.fromkeys(findings)))


def _observed(call: Call, case: Case, findings: list[str]) -> Observation:
    try:
        return call.observe(case)
    except ModifiedInputs as modified:
        said = f"it changes its arguments in place: {modified}. Its caller's arrays are not what they were."
        findings += [said] if said not in findings else []
        return modified.observation


def _finite(seen: Observation) -> bool:
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


def _readings(
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


# --------------------------------------------------------------------------------------- what they are


@dataclass(frozen=True)
class _Meant:
    """The steps as one convention means them."""

    convention: Convention
    taken: tuple[StepTaken, ...]


def _assessed(
    call: Call,
    evidence: Evidence,
    conventions: Sequence[Convention],
    declared: tuple[Family, dict[str, float]] | None,
    walk: _Walk,
    strict: bool,
) -> Report:
    linear = linear_first_step(_rough(evidence, conventions[0])) if len(conventions) == 1 else None
    chosen = conventions if len(conventions) == 1 else _likely(evidence, conventions) or conventions[:EXPLAINED]
    likely = [_meant(evidence, convention) for convention in chosen]
    variants = list(_declared_variants(declared)) if declared else None
    found = _first_found(likely, [variants] if variants else _tiers(linear))
    if found is not None:
        return _agrees(call, evidence, found, _alike(likely, found), walk, strict)
    judged = _as_declared(likely, declared)
    if judged is not None and judged[1].verdict is Verdict.UNDECIDED:
        said = "no step could be decided: the bounds are as wide as the steps."
        return Report("undecided", str(judged[0].convention), (said, *walk.findings), None, strict=strict)
    return _wrong(call, evidence, conventions, likely, declared, judged, walk, strict)


def _suiting(conventions: Sequence[Convention], evidence: Evidence) -> list[Convention]:
    """Those whose loss may be asked for these targets, which is a matter of the loss alone."""
    first = {convention.loss: convention for convention in conventions}
    suiting = {loss for loss, convention in first.items() if suits(convention, evidence[:1])}
    return [convention for convention in conventions if convention.loss in suiting]


def _rough(evidence: Evidence, convention: Convention) -> tuple[StepTaken, ...]:
    applied = [(convention.applied(case), seen) for case, seen in evidence]
    return rough_steps(applied, convention.rules())


def _meant(evidence: Evidence, convention: Convention) -> _Meant:
    applied = [(convention.applied(case), seen) for case, seen in evidence]
    return _Meant(convention, steps_taken(applied, convention.rules()))


def _likely(evidence: Evidence, conventions: Sequence[Convention], surely: bool = False) -> list[Convention]:
    """The conventions under which the first step is one of a known kind, the customary ones first.

    surely: not also those under which the signs alone fit
    """
    linear, adaptive, signs = list[Convention](), list[Convention](), list[Convention]()
    for convention in conventions:
        rough = _rough(evidence[:1], convention)
        if linear_first_step(rough):
            linear.append(convention)
        elif same_signs(rough) >= MOST_SIGNS:
            signs.append(convention)
            if first_step_off(rough) < FITS:
                adaptive.append(convention)
    return (linear or adaptive or ([] if surely else signs))[:SEARCHED]


MOST_SIGNS = 0.75  # of the weights that an adaptive step moves against the gradient; decay may turn some


def _declared_variants(declared: tuple[Family, dict[str, float]]) -> Iterator[Variant]:
    """What was declared; whether biases decay with the weights is found out."""
    variant = declared_variant(*declared)
    yield variant
    if declared[0].decoupled or any(declared[1].get(name) for name in DECAYS):
        yield replace(variant, biases_decay=False)


def _tiers(linear: bool | None) -> list[list[Variant]]:
    """Optimizers to try, the simple ones under every convention first."""
    return [list(simple_variants(linear)), list(right_variants(linear))]


STARTS, MOST_STARTS = (4, 1), 24  # of fits, by tier: few optimizers are looked for harder, a declared one hardest


def _first_found(likely: Sequence[_Meant], tiers: Sequence[Sequence[Variant]]) -> tuple[_Meant, Found] | None:
    """The first optimizer that gives all steps; of conventions that go with it alike, with the customary constants."""
    for tier, starts in zip(tiers, STARTS if len(tiers) > 1 else (MOST_STARTS,), strict=True):
        for number, meant in enumerate(likely):
            kept = _of_kind(tier, meant)
            found = optimizer_of(meant.taken, kept, starts)
            if found is None:
                continue
            best = (meant, found)
            if found.customary != len(found.constants):
                for other in likely[number + 1 :]:
                    again = optimizer_of(other.taken, [found.variant])
                    if again is not None and again.customary > best[1].customary:
                        best = (other, again)
            return best
    return None


def _alike(likely: Sequence[_Meant], found: tuple[_Meant, Found]) -> list[Convention]:
    """Other conventions under which the same optimizer gives these steps: of Adam, factors of the loss hardly show."""
    if linear_first_step(found[0].taken):
        return []
    others = [meant for meant in likely if meant is not found[0]]
    rule_for = found[1].rule_for
    return [meant.convention for meant in others if judge_steps(meant.taken, rule_for).verdict is Verdict.AGREES]


def _of_kind(variants: Sequence[Variant], meant: _Meant) -> Sequence[Variant]:
    """Those whose first step is of the kind that was seen."""
    if len(variants) <= 2:
        return variants
    linear = linear_first_step(meant.taken)
    if linear is None:
        return variants
    kind = {(v.family.name, v.free) for v in right_variants(linear)}
    return [v for v in variants if (v.family.name, v.free) in kind]


def _as_declared(
    likely: Sequence[_Meant], declared: tuple[Family, dict[str, float]] | None
) -> tuple[_Meant, Any] | None:
    """The steps judged as what was declared, with customary constants, under the convention that goes farthest."""
    if declared is None:
        return None
    family, given = declared
    judged = [(meant, judge_steps(meant.taken, lambda place: family.rule(given))) for meant in likely]
    return max(judged, key=lambda pair: pair[1].first_wrong or STEPS + 1)


# -------------------------------------------------------------------------------------------- reports


def _agrees(
    call: Call,
    evidence: Evidence,
    found: tuple[_Meant, Found],
    alike: Sequence[Convention],
    walk: _Walk,
    strict: bool,
) -> Report:
    meant, optimizer = found
    numbers = optimizer.judgement.counted(lambda comparison: comparison.elements)
    undecided = optimizer.judgement.counted(lambda comparison: comparison.undecided)
    said = [f"{len(evidence)} steps in a row, each from the one before: {numbers:,} numbers, {_stored(call)}."]
    if undecided:
        said.append(f"{undecided:,} of them could not be decided: their bounds are as wide as the steps.")
    if alike:
        said.append(f"not told apart by these steps, which agree with them too: {' · '.join(map(str, alike))}.")
    words = f"{optimizer.words}; {meant.convention}"
    return Report(
        "agrees", words, (*walk.findings, *said), optimizer.judgement.digits, None, strict,
        probes=_verdicts(optimizer.judgement.steps),
    )  # fmt: skip


def _verdicts(steps: Sequence[Judgement]) -> tuple[tuple[str, str], ...]:
    return tuple((f"step {number}", step.verdict.value) for number, step in enumerate(steps, start=1))


def _stored(call: Call) -> str:
    stored = "units × inputs" if call.orientation == "units_by_inputs" else "inputs × units"
    return f"weights stored {stored}, bias: {call.bias if isinstance(call.bias, str) else 'as declared'}"


def _wrong(
    call: Call,
    evidence: Evidence,
    conventions: Sequence[Convention],
    likely: Sequence[_Meant],
    declared: tuple[Family, dict[str, float]] | None,
    judged: tuple[_Meant, Any] | None,
    walk: _Walk,
    strict: bool,
) -> Report:
    """What is known of steps that are not those that were declared, or of no right optimizer."""
    said: list[str] = []
    found = _explained(likely[:EXPLAINED], declared)
    needed = found is None or found[1].mistake == SCALED
    other = _under_another(evidence, conventions, declared) if needed else None
    rate = evidence[0][0].learning_rate or 1.0
    assumed = judged[0].convention if judged else likely[0].convention
    if other is not None:
        said.append(f"it computes {other[0].convention}, exactly, by {other[1].words}; that is not what was declared.")
        assumed = other[0].convention
    elif found is not None:
        assumed = found[0].convention
        said.append(instead(found[1], declared, rate) + ".")
        numbers = found[1].judgement.counted(lambda comparison: comparison.elements)
        said.append(f"proved: with it, the reference reproduces all {numbers} numbers of {len(evidence)} steps.")
    else:
        said.append("no known optimizer, and none with a known mistake, takes these steps.")
    finite = all(_finite(seen) for _, seen in evidence)
    open_constants = declared is not None and any(name not in declared[1] for name, _ in declared[0].constants)
    decided = found is not None or other is not None or not finite or (declared is not None and not open_constants)
    if not decided and declared is not None:
        said.append(f"nor were constants of {declared[0].words} found; declare them, such as optimizer="
                    f"{declared[0].rule(declared[1]).name!r}, to have the steps judged by them.")  # fmt: skip
    elif not decided:
        said.append("it may be one that is not known here; declare what it is meant to be, such as optimizer='adam'.")
    details: list[str] = []
    verdicts: tuple[tuple[str, str], ...] = ()
    if judged is not None and declared is not None:
        judgement = judged[1]
        if judgement.first_wrong is not None:
            said.append(f"the first step that is not one of {declared[0].rule(declared[1]).words}: "
                        f"step {judgement.first_wrong} of {len(evidence)}.")  # fmt: skip
            details = _first_wrong(judgement.steps, judgement.first_wrong)
        verdicts = _verdicts(judgement.steps)
    if not finite:
        said.append(f"step {len(evidence)} returned numbers that are not finite; there was no going on from there.")
    said.append(f"assumed: {assumed}; {_stored(call)}.")
    verdict = "wrong" if decided else "unrecognised"
    return Report(verdict, None, (*said, *walk.findings), None, None, strict, tuple(details), verdicts)


def _first_wrong(steps: Sequence[Judgement], number: int) -> list[str]:
    comparison = steps[number - 1].wrong[0]
    lines = [f"first step outside its bounds: step {number}, {comparison.place}; as changes:"]
    lines += [
        f"{list(e.index)}  expected {e.expected!r}  got {e.got!r}  tolerance {e.tolerance:.3g}"
        for e in comparison.worst[:3]
    ]
    return lines


def _under_another(
    evidence: Evidence, conventions: Sequence[Convention], declared: tuple[Family, dict[str, float]] | None
) -> tuple[_Meant, Found] | None:
    """What was declared, under a convention that was not."""
    every = candidates(evidence[0][0].sizes, negative=(False,))
    undeclared = _suiting([convention for convention in every if convention not in conventions], evidence)
    if declared is None or not undeclared or not _finite(evidence[-1][1]):
        return None
    likely = [_meant(evidence, convention) for convention in _likely(evidence, undeclared, surely=True)]
    return _first_found(likely, [list(_declared_variants(declared))])


def _explained(
    likely: Sequence[_Meant], declared: tuple[Family, dict[str, float]] | None
) -> tuple[_Meant, Found] | None:
    """What the steps are instead: the declared optimizer with another constant or a mistake, another optimizer, any."""
    if not all(np.isfinite(array).all() for step in likely[0].taken for array in step.new.values()):
        return None
    for meant in likely:
        linear = linear_first_step(meant.taken)
        kinds: list[Iterator[Variant]] = []
        if declared is not None:
            family, given = declared
            kinds.append(iter(_same_family(family, given)))
            kinds.append(v for v in wrong_variants(family, given, linear) if v.mistake != SCALED)
            kinds.append(right_variants(linear))
        kinds.append(wrong_variants(linear=linear))
        for kind in kinds:
            found = optimizer_of(meant.taken, kind)
            if found is not None:
                return meant, found
    return None


def _same_family(family: Family, given: Mapping[str, float]) -> Iterator[Variant]:
    """The family with all its constants open, and with those beside them that are declared."""
    own = tuple(name for name, _ in family.constants)
    more = tuple(name for name, value in given.items() if name not in own and value)
    yield Variant(family, own)
    if more:
        yield Variant(family, (*own, *more))


def instead(found: Found, declared: tuple[Family, dict[str, float]] | None, rate: float) -> str:
    """What steps are, beside what was declared, in words. rate: the learning rate that the function was given"""
    plain = found.variant.family.said(found.constants)
    if found.mistake == SCALED:
        if abs(found.factor * rate - 1) < NEAR:
            return f"its steps are not multiplied by the learning rate: it is {plain} otherwise"
        if abs(found.factor + 1) < NEAR:
            return f"it goes uphill: it adds what {plain} subtracts"
        return f"its steps are {shown(found.factor)} times those of {plain}"
    if found.mistake:
        return f"{found.mistake}: it is {plain} otherwise"
    if declared is None:
        return f"it is {found.words}"
    family, given = declared
    wanted = {**family.known, **given}
    because = _difference(found, family, wanted, rate)
    return f"{because}: it is {found.words}, not {family.said(wanted)}".removeprefix(": ")


def _difference(found: Found, family: Family, wanted: Mapping[str, float], rate: float) -> str:
    """What makes the difference between an optimizer and the one that was declared, if that has a name."""
    asked, came = _decay(family, wanted), _decay(found.variant.family, found.constants)
    betas = [tuple(constants.get(name) for name in ("beta1", "beta2")) for constants in (found.constants, wanted)]
    names = {
        "ε is inside the root": found.variant.family.name == f"{family.name}-epsilon-inside",
        "its weight decay has the wrong sign": min(came) < 0,
        "weight decay is coupled (added to the gradient), not decoupled": bool(asked[1] and came[0] and not came[1]),
        "weight decay is decoupled, not coupled (added to the gradient)": bool(asked[0] and came[1] and not came[0]),
        "its decay is not multiplied by the learning rate": bool(asked[1])
        and abs(came[1] * rate - asked[1]) < NEAR * asked[1],
        "its weights do not decay": any(asked) and not any(came),
        "β₁ and β₂ are swapped": betas[0] == betas[1][::-1] != betas[1] and None not in betas[0],
    }
    return next((name for name, true in names.items() if true), "")


NEAR = 1e-4  # to which a constant may be fitted and still be called by its name


def _decay(family: Family, constants: Mapping[str, float]) -> tuple[float, float]:
    """Coupled and decoupled."""
    coupled, decoupled = (constants.get(name, 0.0) for name in DECAYS)
    return (0.0, coupled + decoupled) if family.decoupled else (coupled, decoupled)
