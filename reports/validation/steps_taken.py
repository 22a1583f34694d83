"""Optimizers with state: a function takes several steps in a row, from what it returned, and each is judged.

Nothing is asked before that would spoil its state: the first call that answers is step 1. All steps but the first few
are on another batch, since constants of optimizers hardly show while gradients stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...reference.activations import Activation
from ...reference.case import InvalidInput, network_sizes, one_of
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
    right_variants,
    rough_steps,
    same_signs,
    same_signs_with_decay,
    simple_variants,
    wrong_variants,
)
from ...reference.judging import StepTaken, Verdict, judge_steps, steps_taken
from ...reference.numbers import PRECISIONS
from ...reference.update_rules import FAMILIES, Family, family_named
from ..calling import (
    ORIENTATIONS,
    STEPS,
    Call,
    Plan,
    Walk,
    declared_batch,
    declared_learning_rate,
    declared_timeout,
    finite,
    readings,
    take_steps,
    ways,
)
from ..documents import Report
from .following import suits
from .steps_in_words import first_wrong, instead, step_verdicts

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
    plan = Plan(network, declared_batch(batch) or BATCH, dtype, _rate(learning_rate))
    walk = take_steps(ways(function, orientation, bias, declared_timeout(timeout)), plan)
    if walk.call is None or walk.problem:
        return Report("unanswered", None, (walk.problem, *walk.findings), None, strict=strict)
    reports = []
    for call, evidence in readings(walk.call, walk.evidence, bias):
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
    return LEARNING_RATE if given is None else declared_learning_rate(given)


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
    walk: Walk,
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
    linear, adaptive, signs, decaying = (list[Convention]() for _ in range(4))
    for convention in conventions:
        rough = _rough(evidence[:1], convention)
        if linear_first_step(rough):
            linear.append(convention)
        elif same_signs(rough) >= MOST_SIGNS:
            signs.append(convention)
            if first_step_off(rough) < FITS:
                adaptive.append(convention)
        if same_signs_with_decay(rough) == 1:
            decaying.append(convention)
    return (linear or adaptive or ([] if surely else list(dict.fromkeys([*decaying, *signs]))))[:SEARCHED]


MOST_SIGNS = 0.75  # of the weights that an adaptive step moves against the gradient; with decay, it is all


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
    walk: Walk,
    strict: bool,
) -> Report:
    meant, optimizer = found
    numbers = optimizer.judgement.counted(lambda comparison: comparison.elements)
    undecided = optimizer.judgement.counted(lambda comparison: comparison.undecided)
    said = [f"{len(evidence)} steps in a row, each from the one before: {numbers:,} numbers, {call.stored}."]
    if undecided:
        said.append(f"{undecided:,} of them could not be decided: their bounds are as wide as the steps.")
    if alike:
        said.append(f"not told apart by these steps, which agree with them too: {' · '.join(map(str, alike))}.")
    words = f"{optimizer.words}; {meant.convention}"
    return Report(
        "agrees", words, (*walk.findings, *said), optimizer.judgement.digits, None, strict,
        probes=step_verdicts(optimizer.judgement.steps),
    )  # fmt: skip


def _wrong(
    call: Call,
    evidence: Evidence,
    conventions: Sequence[Convention],
    likely: Sequence[_Meant],
    declared: tuple[Family, dict[str, float]] | None,
    judged: tuple[_Meant, Any] | None,
    walk: Walk,
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
    all_finite = all(finite(seen) for _, seen in evidence)
    open_constants = declared is not None and any(name not in declared[1] for name, _ in declared[0].constants)
    as_declared = declared is not None and not open_constants and len(conventions) == 1
    decided = found is not None or other is not None or not all_finite or as_declared
    if not decided and declared is not None and not open_constants:
        said.append("it may be of a network that is not known here: declare activations, loss and reduction as well.")
    elif not decided and declared is not None:
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
            details = first_wrong(judgement.steps, judgement.first_wrong)
        verdicts = step_verdicts(judgement.steps)
    if not all_finite:
        said.append(f"step {len(evidence)} returned numbers that are not finite; there was no going on from there.")
    said.append(f"assumed: {assumed}; {call.stored}.")
    verdict = "wrong" if decided else "unrecognised"
    return Report(verdict, None, (*said, *walk.findings), None, None, strict, tuple(details), verdicts)


def _under_another(
    evidence: Evidence, conventions: Sequence[Convention], declared: tuple[Family, dict[str, float]] | None
) -> tuple[_Meant, Found] | None:
    """What was declared, under a convention that was not."""
    every = candidates(evidence[0][0].sizes, negative=(False,))
    undeclared = _suiting([convention for convention in every if convention not in conventions], evidence)
    if declared is None or not undeclared or not finite(evidence[-1][1]):
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
