"""Names the bug: which of the known faults, planted in the reference, gives the observed numbers?

A fault is *proved* when the faulty reference reproduces every observed number within its own bounds on every case, when
the right one does not, and when nothing else known does. Beyond the catalogue: other formulas of single steps, simple
relations to the right numbers, a narrower format in one place. What fits nothing is located: the first wrong step, and
a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial

import numpy as np

from ..backprop import RULES, Rules
from ..case import Case, Dense, run
from ..judging import Observation, Place, Verdict, as_matrix, computed, judge, observed
from ..numbers import FLOAT64, PROFILES, BoundedArithmetic, narrowed
from .catalogue.faults import FAULTS, Fault, faulty_rules, touched_layers
from .conventions import Convention
from .downcasts import DOWNCASTS, OF_FORMATS
from .explanation import (
    ARRAYS,
    AS_FAR,
    ROUNDINGS,
    Diagnosis,
    Evidence,
    Explanation,
    Prediction,
    apart,
    as_near,
    by_rules,
    distances,
    remembered,
    reproduces,
    right,
    within,
)
from .relations import calls, relations
from .steps.by_steps import wrong_formulas
from .steps.first_wrong_step import first_wrong_step

Kind = Callable[[Evidence, Convention | None], Iterator[Explanation]]


def diagnose(
    evidence: Evidence, convention: Convention | None = None, kinds: Sequence[Kind] | None = None
) -> Diagnosis:
    """Try the catalogue, then other formulas of each step, then relations, then formats; the first that fits is kept.

    evidence: observations of one implementation; what the right algorithm explains needs no other explanation
    convention: under which they were meant; the cases' own if None
    kinds: what to try instead of `KINDS`
    """
    numbers = sum(array.size for _, observation in evidence for _, array in observed(observation))
    coarse = reproduces(right(convention), evidence)  # then so does every fault that changes nothing here
    if coarse and not _refused(evidence, convention):
        return Diagnosis((), numbers)
    for kind in KINDS if kinds is None else kinds:
        formats = kind is downcasts
        found = ((e, e.prediction) for e in kind(evidence, convention) if e.prediction)
        fitting = [e for e, prediction in found if e.proved or reproduces(prediction, evidence, formats)]
        if not formats:  # which are told by other evidence
            fitting = [e for e in fitting if e.prediction and as_near(e.prediction, evidence)]
        # what changes nothing may fit all the same, where kinks' bounds hold everything
        fitting = [e for e in fitting if _changes_something(e, evidence, convention)]
        if fitting:
            return Diagnosis(_distinct(fitting, evidence), numbers, nowhere_finite(evidence))
    return Diagnosis((), numbers)


def nowhere_finite(evidence: Evidence) -> tuple[Place, ...]:
    """What is shown, and is NaN or infinite in all of it in every case."""
    finite: dict[Place, bool] = {}
    for _, observation in evidence:
        for place, array in observed(observation):
            finite[place] = finite.get(place, False) or bool(np.isfinite(array.astype(float)).any())
    return tuple(place for place, some in finite.items() if not some)


def once(kind: Kind) -> Kind:
    """The kind on one implementation's answers, asked once for every convention."""
    known: dict[Convention | None, list[Explanation]] = {}

    def found(evidence: Evidence, convention: Convention | None) -> Iterator[Explanation]:
        if convention not in known:
            known[convention] = list(kind(evidence, convention))
        yield from known[convention]

    return found


def _refused(evidence: Evidence, convention: Convention | None) -> bool:
    """Whether the judge, whose bounds from step to step are the sharper ones, calls anything wrong."""
    rules = RULES if convention is None else convention.rules()
    return any(
        judge(case, observation, rules=rules, coarser=False).verdict is Verdict.WRONG for case, observation in evidence
    )


def _changes_something(explanation: Explanation, evidence: Evidence, convention: Convention | None) -> bool:
    """Whether it gives other numbers than the right algorithm, by more than roundings of float64."""
    assert explanation.prediction is not None
    roundings = ROUNDINGS * FLOAT64.unit_roundoff
    return max(apart(explanation.prediction, right(convention), evidence).values(), default=1.0) > roundings


def of_calls(evidence: Evidence, convention: Convention | None = None) -> Diagnosis:
    """Only whether numbers follow from the calls before, for implementations that never say the same twice."""
    numbers = sum(array.size for _, observation in evidence for _, array in observed(observation))
    fitting = [e for e in calls(evidence, convention) if e.prediction and reproduces(e.prediction, evidence)]
    return Diagnosis(tuple(fitting), numbers)


def formulas_by_name(
    evidence: Evidence, convention: Convention | None, steps: Kind = wrong_formulas
) -> Iterator[Explanation]:
    """What single steps were found to do instead, by its everyday name where the catalogue has one.

    steps: what finds that
    """
    for found in steps(evidence, convention):
        assert found.prediction is not None
        off = max(distances(found.prediction, evidence).values(), default=0.0)
        yield from _by_name(found, evidence, convention, max(NEARLY_AS_NEAR * off, NEAREST)) or [found]


def _by_name(found: Explanation, evidence: Evidence, convention: Convention | None, near: float) -> list[Explanation]:
    """What has a name, or is plainer, is as near to what was seen, and reproduces everything as well.

    In formats of few digits, bounds hold more than one explanation.
    """

    def as_good(explanations: Iterator[Explanation]) -> list[Explanation]:
        nearest = (e for e in explanations if e.prediction and within(e.prediction, evidence, near))
        return [replace(e, proved=True) for e in nearest if e.prediction and reproduces(e.prediction, evidence)]

    named = as_good(single_faults(evidence, convention))
    return named if named or not found.several else as_good(relations(evidence, convention))


def single_faults(evidence: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Every fault wherever it applies, and in each layer alone; those of the first wrong step, where it shows."""
    case = evidence[0][0]
    wrong = first_wrong_step(evidence, convention)
    updates = {"update"} if evidence[0][1].updated_weights is not None else set()
    faults = [fault for fault in FAULTS if wrong is None or _changed(fault.rules(case)) & (wrong.rules | updates)]
    for fault in faults:
        layers = touched_layers(fault, case)
        yield _explanation(fault, convention, layers[0] if len(layers) == 1 else None, alone=False)
    for fault in faults:
        layers = touched_layers(fault, case)
        if len(layers) > 1 and len(_changed(fault.rules(case))) == 1:
            yield from (_explanation(fault, convention, layer, alone=True) for layer in layers)


def _explanation(fault: Fault, convention: Convention | None, layer: int | None, alone: bool) -> Explanation:
    rules = partial(_rules, fault, layer if alone else None)
    of_loss = OF_LOSS.get(fault.name, False)
    return Explanation(
        (fault.name,), fault.description, fault.mistake, layer, by_rules(rules, convention), of_loss=of_loss
    )


def _changed(rules: Rules) -> set[str]:
    return {field.name for field in fields(Rules) if getattr(rules, field.name) is not getattr(RULES, field.name)}


ANY_CASE = Case("any", (Dense([[1.0]], [1.0], "sigmoid"),) * 2, [[1.0]], [[1.0]])
OF_LOSS = {fault.name: _changed(fault.rules(ANY_CASE)) == {"output_error"} for fault in FAULTS}


def _rules(fault: Fault, layer: int | None, case: Case) -> Rules:
    return faulty_rules(fault, case, layer)


def downcasts(evidence: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Narrower formats, in one layer or in all; of those that fit, the ones whose own rounding comes nearest.

    Their bounds are no proof of the format: a coarser one holds what a finer one does, and much else. But done in the
    very format, the reference is about as far from the right numbers as the implementation was.
    """
    case, observation = evidence[0]
    declared = PROFILES[observation.precision]
    wrong = first_wrong_step(evidence, convention)
    if wrong is not None and wrong.off > FORMATS_REACH:
        return
    honest = remembered(right(convention))
    off = distances(honest, evidence)
    fitting: list[tuple[float, Explanation]] = []
    held = min((PROFILES[name].storage.digits for name in DOWNCASTS if _in_format(evidence, name)), default=None)
    for name, kinds in DOWNCASTS.items():
        if PROFILES[name].multiply.digits >= declared.multiply.digits:
            continue
        if held is not None and PROFILES[name].storage.digits > held:
            continue  # it stores no numbers as short as all of these are
        narrower = PROFILES[name].storage.digits < declared.storage.digits
        all_of_it = narrower and _in_format(evidence, name)
        for fault in kinds:
            touched = touched_layers(fault, case)
            layers = [k for k in touched if _may_show(evidence, fault, k, name)]
            places = [None] if len(layers) == len(touched) > 1 else []
            for layer in places if all_of_it else [*layers, *places]:
                alone = layer is not None and len(touched) > 1
                e = _explanation(fault, convention, layer, alone)
                assert e.prediction is not None
                if (
                    _as_far(off, apart(e.prediction, honest, evidence), declared.storage.unit_roundoff)
                    and reproduces(e.prediction, evidence, of_formats=True)
                    and (all_of_it or _correlated(e.prediction, honest, evidence) > CORRELATED)
                    and _steps_agree(evidence, convention, fault, layer if alone else None)
                ):
                    fitting.append((max(distances(e.prediction, evidence).values()), e))
    nearest = min((far for far, _ in fitting), default=0.0)
    near = [e for far, e in fitting if far <= NEARLY_AS_NEAR * nearest]
    everything = [e for e in near if e.names[0].startswith("everything")]
    in_one_layer = {e.names for e in near if e.layer is not None}
    yield from everything[:1] or [e for e in near if e.layer is not None or e.names not in in_one_layer]


def _correlated(one: Prediction, other: Prediction, evidence: Evidence) -> float:
    """How far the reference's errors in a format are those observed: 1 for the same, 0 for others, or other sizes."""
    ours, theirs = [], []
    for case, observation in evidence:
        narrow, exact = one(case, ARRAYS) or {}, other(case, ARRAYS) or {}
        for place, array in observed(observation):
            scale = max(float(np.abs(exact[place]).max()), np.finfo(float).tiny)
            ours.append(((narrow[place] - exact[place]) / scale).ravel())
            theirs.append(((as_matrix(place, array).astype(float) - exact[place]) / scale).ravel())
    mine, seen = np.concatenate(ours), np.concatenate(theirs)
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(2 * (mine @ seen) / (mine @ mine + seen @ seen)))


FORMATS_REACH = 2.0**-3  # of an array's largest, that a step in a format of 8 digits is off, in the median of samples
# Of independent numbers a tenth would be chance, but what few factors have in common may come to more than half of it;
# honest code rounds most operands as the reference does.
CORRELATED = 0.8


def _as_far(off: dict[Place, float], predicted: dict[Place, float], unit_roundoff: float) -> bool:
    """Whether every array is about as far from the right numbers as the explanation has it, and is right where that is.

    An implementation may happen to be nearer than the reference; seldom much, of several arrays.
    """
    floor = ROUNDINGS * unit_roundoff
    return all(
        far <= AS_FAR * predicted[place] + floor and predicted[place] <= AS_FAR**2 * far + floor
        for place, far in off.items()
    )


NEAREST = ROUNDINGS * FLOAT64.unit_roundoff  # is no nearer than
NEARLY_AS_NEAR = 3.0  # what counts as equally near; it does not decide about right or wrong


def _steps_agree(evidence: Evidence, convention: Convention | None, fault: Fault, layer: int | None) -> bool:
    """Whether every step agrees with the fault in that layer: in the others, as sharply as with the right algorithm.

    Where gradients themselves are narrower there is no more to see: steps are judged from gradients.
    """
    if "weight_gradient" in _changed(fault.rules(evidence[0][0])):
        return True
    for case, observation in evidence:
        rules = faulty_rules(fault, case, layer)
        rules = rules if convention is None else convention.rules(rules)
        if judge(case, observation, rules=rules, coarser=False).verdict is Verdict.WRONG:
            return False
    return True


def _may_show(evidence: Evidence, fault: Fault, layer: int, name: str) -> bool:
    """Whether a layer's gradients are numbers of the format, where the fault computes them in it."""
    narrow = {f"{rule}s" for rule in _changed(fault.rules(evidence[0][0])) & {"weight_gradient", "bias_gradient"}}
    storage = PROFILES[name].storage
    gradients = [
        array.astype(float)
        for _, observation in evidence
        for place, array in observed(observation)
        if place.layer == layer and place.quantity in narrow
    ]
    return all(np.array_equal(narrowed(g, storage), g, equal_nan=True) for g in gradients)


def _in_format(evidence: Evidence, name: str) -> bool:
    """Whether all numbers that are shown are numbers of the format."""
    storage = PROFILES[name].storage
    return all(
        np.array_equal(narrowed(array.astype(float), storage), array.astype(float), equal_nan=True)
        for _, observation in evidence
        for _, array in observed(observation)
    )


KINDS: tuple[Kind, ...] = (formulas_by_name, single_faults, relations, downcasts)  # the surest first


def _distinct(explanations: Sequence[Explanation], evidence: Evidence) -> tuple[Explanation, ...]:
    """Without a fault in one layer where the fault wherever it applies fits as well.

    Of updates alone, faults of the update come first: they say the same in fewer steps.
    """
    everywhere = {e.names for e in explanations if e.layer is None and e.names and e.names[0] not in OF_FORMATS}
    kept = [e for e in explanations if e.layer is None or e.names not in everywhere]
    if all(observation.weight_gradients is None for _, observation in evidence):
        case = evidence[0][0]
        of_update = {fault.name for fault in FAULTS if _changed(fault.rules(case)) == {"update"}}
        kept.sort(key=lambda e: not (e.names and set(e.names) <= of_update))
    return tuple(kept)


def located(case: Case, observation: Observation, convention: Convention | None = None) -> str:
    """For what fits nothing: a map of each wrong array, a character per element. · right, # wrong, 0 wrongly zero."""
    rules = RULES if convention is None else convention.rules()
    bounds = computed(run(case, BoundedArithmetic(PROFILES[observation.precision]), rules))
    lines = []
    for place, array in observed(observation):
        got = as_matrix(place, array).astype(float)
        right = bounds[place].holds(got)
        if right.all():
            continue
        lines.append(f"{place}: {int((~right).sum())} of {right.size} elements")
        symbols = np.where(right, "·", np.where(got == 0, "0", "#"))
        lines += ["  " + "".join(row[:WIDEST_MAP]) for row in symbols[:TALLEST_MAP]]
    return "\n".join(lines)


WIDEST_MAP, TALLEST_MAP = 64, 16
