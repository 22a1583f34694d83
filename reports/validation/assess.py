"""From an implementation's answers to a report: is anything wrong, under which convention, and why?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case, InvalidInput
from ...reference.diagnosis import (
    ARRAYS,
    KINDS,
    OF_FORMATS,
    Convention,
    Diagnosis,
    Evidence,
    Kind,
    candidates,
    diagnose,
    distances,
    likely,
    located,
    of_calls,
    one_of_each,
    pairs_of_faults,
    reproduces,
    right,
)
from ...reference.judging import SEVERITY, Observation, Place, UnusableAnswer, Verdict, as_matrix, judge
from ...reference.judging import observed as shown
from ...reference.numbers import PRECISIONS, PROFILES
from .asking import Repeat
from .reach import Judged, condition, covered
from .report import Report, Subject
from .smallest import witness

Array = NDArray[Any]

RANKED_BY_DIGITS, LIKELY = 6, 24  # conventions that a wrong answer is diagnosed under
NETWORKS_RANKED = 2  # that conventions are ranked by: what a mean divides by may be the same in one of them
NEARLY_RIGHT, ROUNDINGS = 1e-3, 8  # of an array's largest number; in formats of few digits
UNDECLARED_DIAGNOSED = 2  # conventions beside them, against what was declared


def assess(
    observed: Evidence,
    conventions: Sequence[Convention],
    subject: Subject,
    findings: Sequence[str],
    strict: bool,
    repeats: Sequence[Repeat] = (),
) -> Report:
    """The report on answers to probes: under the first convention that they follow, or a diagnosis.

    observed: those whose case has a note were asked to reach further (`reaching_probes.py`): they decide, but neither
        conventions nor faults are looked for in them unless all others are right
    conventions: those that may be followed, which is what was declared
    repeats: what was asked again; other numbers there are a finding only if they are wrong
    """
    generic = [pair for pair in observed if not pair[0].note] or list(observed)
    further = [pair for pair in observed if pair[0].note]
    conditional: tuple[Convention, Judged, Judged] | None = None
    for convention, judged in _followed(conventions, generic):
        beyond = _judged(convention, [pair for pair in further if _suits(convention, [pair])])
        if not _any_wrong(beyond):
            return _right(convention, [*judged, *beyond], subject, list(findings), strict, repeats)
        conditional = conditional or (convention, judged, beyond)
    if conditional is not None:
        convention, judged, beyond = conditional
        remembered = _remembered(convention, repeats)
        return _wrong_at_times(convention, [*judged, *beyond], subject, [*remembered, *findings], strict)
    changing = [repeat.finding for repeat in repeats if not repeat.same and repeat.of_other_numbers]
    return _wrong(conventions, generic, further, subject, [*findings, *dict.fromkeys(changing)], strict)


def _any_wrong(judged: Judged) -> bool:
    return any(judgement.verdict is Verdict.WRONG for *_, judgement in judged)


def _remembered(convention: Convention, repeats: Sequence[Repeat]) -> list[str]:
    """A finding for each probe whose answer is wrong when it is asked again, and was right before."""
    wrong = [r for r in repeats if not r.same and _any_wrong(_judged(convention, [(r.case, r.again)]))]
    return list(dict.fromkeys(repeat.finding for repeat in wrong))


def _evidence(convention: Convention, observed: Evidence) -> list[tuple[Case, Observation]]:
    return [(convention.for_layers(len(case.layers)).applied(case), observation) for case, observation in observed]


def _suits(convention: Convention, observed: Evidence) -> bool:
    """Whether the convention's loss may be asked for these targets; probes suit every loss, given cases need not."""
    try:
        _evidence(convention, observed)
    except InvalidInput:
        return False
    return True


def _followed(conventions: Sequence[Convention], observed: Evidence) -> Iterator[tuple[Convention, Judged]]:
    """The conventions under which the right algorithm gives every number, from end to end and step by step.

    Of few digits, end to end admits much, other conventions and faults among it.
    """
    for convention in conventions:
        first = reproduces(right(convention), _evidence(convention, observed[:1]))
        if first and reproduces(right(convention), _evidence(convention, observed)):
            judged = _judged(convention, observed)
            if not _any_wrong(judged):
                yield convention, judged


def _judged(convention: Convention, observed: Evidence) -> Judged:
    judged = []
    for case, observation in _evidence(convention, observed):
        try:
            judged.append((case, observation, judge(case, observation, rules=convention.rules())))
        except UnusableAnswer as error:
            raise InvalidInput(str(error)) from error
    return judged


def _right(
    convention: Convention,
    judged: Judged,
    subject: Subject,
    findings: list[str],
    strict: bool,
    repeats: Sequence[Repeat],
) -> Report:
    verdicts = {judgement.verdict for *_, judgement in judged}
    verdict = next(v for v in SEVERITY if v in verdicts)
    digits: dict[Place, float] = {}  # each array's best probe counts, and of those the weakest
    for *_, judgement in judged:
        for c in judgement.comparisons:
            digits[c.place] = max(digits.get(c.place, 0.0), c.digits or 0.0)
    details = steps(judged) if verdict is Verdict.SUSPECT else []
    if remembered := _remembered(convention, repeats):
        verdict, findings = Verdict.WRONG, [*remembered, *findings]
    elif not all(repeat.same for repeat in repeats):
        findings = [*findings, ROUNDED_OTHERWISE]
    numbers = sum(c.elements for *_, judgement in judged for c in judgement.comparisons)
    said = [f"{numbers:,} numbers on {len(judged)} probes, {subject.stored}.", *covered(judged, convention)]
    weakest = min(digits.values(), default=None)
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    return Report(verdict.value, words, (*findings, *said), weakest, None, strict, tuple(details), _verdicts(judged))


ROUNDED_OTHERWISE = (
    "note: asked again, it rounds otherwise (the order of its sums changes: threads, sets, atomics); both answers are "
    "inside the bounds."
)


def _wrong_at_times(
    convention: Convention, judged: Judged, subject: Subject, findings: list[str], strict: bool
) -> Report:
    """What is known of an implementation that is right on some numbers, and wrong under some condition."""
    wrong = [entry for entry in judged if entry[2].verdict is Verdict.WRONG]
    wrong.sort(key=lambda entry: entry[0].batch * sum(entry[0].sizes))
    said = [f"it is right on {len(judged) - len(wrong)} of {len(judged)} probes, and wrong on {len(wrong)}."]
    when = condition(judged, convention)
    if when and not findings:
        said.insert(0, f"it is wrong with {when}, and there alone.")
    diagnosis = None
    if not findings:
        depth = len(wrong[0][0].layers)  # of one network at a time
        evidence = [(case, o) for case, o, _ in wrong if len(case.layers) == depth][:CONDITIONAL_DIAGNOSED]
        diagnosis = diagnose(evidence, convention.for_layers(depth))
        said += [f"there, {line}" for line in because(diagnosis, convention)] if diagnosis.explanations else []
        said += _peculiar(evidence)
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    said.append(f"else: {words}; {subject.stored}.")
    kind = [f"kind of data: {wrong[0][0].note}"] if wrong[0][0].note else []
    details = (*kind, *steps(wrong))
    return Report("wrong", None, (*findings, *said), None, diagnosis, strict, details, _verdicts(judged))


CONDITIONAL_DIAGNOSED = 4  # probes that are wrong, the smallest


def _verdicts(judged: Judged) -> tuple[tuple[str, str], ...]:
    return tuple((case.name, judgement.verdict.value) for case, _, judgement in judged)


def _partly_followed(conventions: Sequence[Convention], observed: Evidence) -> Convention | None:
    """The convention under which the right algorithm gives most answers, one to several samples among them, if any.

    Of single samples alone, all reductions are the same.
    """
    found: list[tuple[int, Convention]] = []
    for convention in conventions:
        followed = [p for p in observed if reproduces(right(convention), _evidence(convention, [p]))]
        if any(case.batch > 1 for case, _ in followed):
            found.append((len(followed), convention))
    return max(found, key=lambda entry: entry[0])[1] if found else None


def _wrong(
    conventions: Sequence[Convention],
    observed: Evidence,
    further: Evidence,
    subject: Subject,
    findings: list[str],
    strict: bool,
) -> Report:
    """What is known of wrong numbers, the surest first: an undeclared convention, a fault, a precision, two faults.

    further: answers that are looked at only if some of the numbers are right
    """
    ranked = _worth_diagnosing(conventions, observed)
    convention, diagnosis, said = ranked[0], None, list(findings)
    signs = (False, True) if subject.returns in ("gradients", "any") else (False,)
    online = (False, True) if subject.returns == "updated" else (False,)
    every = [*candidates(observed[0][0].sizes, negative=signs, online=online)]
    suiting = {loss: _suits(c, observed) for loss, c in {c.loss: c for c in every}.items()}  # a matter of targets
    undeclared = [c for c in every if c not in conventions and suiting[c.loss]]
    other = next(_followed(undeclared, observed), None)
    changing = [finding for finding in findings if "not deterministic" in finding]
    if changing:  # numbers that change from call to call are nobody's, unless they follow from the call before
        following = ((c, of_calls(_evidence(c, observed), c)) for c in conventions)
        convention, diagnosis = next((pair for pair in following if pair[1].explanations), (convention, None))
        if diagnosis is not None:
            said = [*because(diagnosis, convention), *(finding for finding in said if finding not in changing)]
    elif other is not None:
        said.insert(0, f"it computes {other[0]}, exactly; that is not what was declared.")
    else:
        convention, diagnosis = _diagnosed(ranked, observed, KINDS)
        if not diagnosis.explanations and (at_times := _partly_followed(ranked, observed)) is not None:
            suiting_it = [pair for pair in further if _suits(at_times, [pair])]
            return _wrong_at_times(at_times, _judged(at_times, [*observed, *suiting_it]), subject, findings, strict)
        if not diagnosis.explanations and undeclared:
            others = _worth_diagnosing(undeclared, observed)[:UNDECLARED_DIAGNOSED]
            undeclared_one, under_it = _diagnosed(others, observed, KINDS)
            if under_it.explanations:
                convention, diagnosis = undeclared_one, under_it
                said.insert(0, f"besides, it computes {convention}; that is not what was declared.")
        if not diagnosis.explanations:
            convention, diagnosis = _diagnosed(ranked[:1], observed, [pairs_of_faults])
        said = [*because(diagnosis, convention), *said] if diagnosis.explanations else said
        if not diagnosis.explanations:
            said.append(
                "no known fault, pair of faults, factor or precision gives these numbers. Where they are wrong:"
            )
            maps = (located(case, observation, convention) for case, observation in _evidence(convention, observed))
            said += [found for found in maps if found][:1]
            said += [*_peculiar(observed), *_not_among(conventions)]
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    said.append(f"assumed: {words}; {subject.stored}.")
    judged = _judged(convention, observed)
    details = (*steps(judged), *witness(subject, convention, observed[0][0].dtype))
    return Report("wrong", None, tuple(said), None, diagnosis, strict, details, _verdicts(judged))


def _peculiar(observed: Evidence) -> list[str]:
    """What can be said of numbers that nothing explains."""
    numbers = np.concatenate([array.astype(float).ravel() for _, o in observed for _, array in shown(o)])
    if not np.isfinite(numbers).all():
        return [f"{np.count_nonzero(~np.isfinite(numbers))} of {numbers.size} numbers are NaN or infinite."]
    if (numbers == np.rint(numbers)).all():
        return ["all numbers are whole: integer division, or an integer array, is on the way."]
    return []


def _not_among(conventions: Sequence[Convention]) -> list[str]:
    """What an undeclared convention may be, if it is none of those that were tried."""
    if len({convention.activations for convention in conventions}) == 1:
        return []
    hidden = dict.fromkeys(name for convention in conventions for name in convention.activations)
    losses = dict.fromkeys(convention.loss.replace("_", " ") for convention in conventions)
    return [
        f"tried: {', '.join(hidden)} (the same in all hidden layers) with {', '.join(losses)}. If yours has another "
        "activation or loss, this verdict says no more than that; if layers differ, declare `activations`."
    ]


def _worth_diagnosing(conventions: Sequence[Convention], observed: Evidence) -> list[Convention]:
    """The likeliest: by digits, and where no array is right, those that the last layer leads to."""
    ranked = sorted(conventions, key=lambda c: -_explained(c, observed))
    kinds = [[c for c in ranked if c.online == online][:RANKED_BY_DIGITS] for online in (ranked[0].online, True, False)]
    by_digits = list(dict.fromkeys(chain.from_iterable(kinds)))  # of updates, the likelier kind first
    if _right_arrays(by_digits[0], observed):
        return by_digits
    return list(dict.fromkeys((*likely(conventions, observed)[:LIKELY], *by_digits)))


def _diagnosed(
    conventions: Sequence[Convention], observed: Evidence, kinds: Sequence[Kind]
) -> tuple[Convention, Diagnosis]:
    """A convention and what explains the numbers under it, by the first kind of explanation that fits.

    Of several, one under which most arrays are right already, and of those one that leaves fewest explanations.
    """
    right_ones = {convention: _right_arrays(convention, observed) for convention in conventions}
    ordered = sorted(conventions, key=lambda convention: -right_ones[convention])
    for kind in kinds:
        for _, alike in groupby(ordered, key=right_ones.__getitem__):
            found = []
            for convention in alike:
                diagnosis = diagnose(_evidence(convention, observed), convention, [kind])
                if diagnosis.proved:
                    return convention, diagnosis
                if diagnosis.explanations:
                    found.append((convention, diagnosis))
            if found:
                return min(found, key=lambda entry: len(entry[1].explanations))
    return conventions[0], Diagnosis((), 0)


def _right_arrays(convention: Convention, observed: Evidence) -> int:
    """How many arrays of each network are nearly those of the right algorithm; it ranks, no more."""
    far = distances(right(convention), _evidence(convention, one_of_each(observed)[:NETWORKS_RANKED]))
    near = max(NEARLY_RIGHT, ROUNDINGS * PROFILES[observed[0][1].precision].storage.unit_roundoff)
    return sum(off < near for off in far.values())


def because(diagnosis: Diagnosis, convention: Convention) -> list[str]:
    """What a diagnosis says: each explanation, how one comes to write that, and how sure it is."""
    lines = []
    for explanation in diagnosis.explanations[:4]:
        where = (
            ""
            if explanation.layer is None or len(convention.activations) < 2
            else f", in layer {explanation.layer + 1}"
        )
        name = f" (fault {', '.join(f'`{n}`' for n in explanation.names)})" if explanation.names else ""
        how = f" How that comes: {explanation.mistake}." if explanation.mistake else ""
        lines.append(f"it {explanation.words}{where}{name}.{how}")
    if diagnosis.proved and set(diagnosis.names) <= OF_FORMATS and diagnosis.names:
        lines.append(
            f"with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds, nearer than with "
            "any other format or place; the right algorithm does not, and no other known fault does."
        )
        meant = diagnosis.names[0].removeprefix("everything-in-")
        lines += [f"if {meant} is what you mean, declare it: dtype={meant!r}."] if meant in PRECISIONS else []
    elif diagnosis.proved:
        lines.append(
            f"proved: with it, the reference reproduces all {diagnosis.numbers} numbers within its bounds; the right "
            "algorithm does not, and no other known fault does."
        )
    else:
        lines.append(f"each of these reproduces all {diagnosis.numbers} numbers: no probe tells them apart.")
    return lines


def _explained(convention: Convention, observed: Evidence) -> float:
    """How many digits of each array of each network the convention gives, in the mean: it ranks, no more."""
    digits = 0.0
    for case, observation in _evidence(convention, one_of_each(observed)[:NETWORKS_RANKED]):
        floats = right(convention)(case, ARRAYS) or {}
        with np.errstate(all="ignore"):
            for place, array in shown(observation):
                moved = np.abs(floats[place] - _before(case, place)).max()  # of updates, what counts is the change
                errors = np.abs(as_matrix(place, array).astype(float) - floats[place]) / moved
                digits += float(np.clip(-np.log10(np.where(np.isnan(errors), 1, errors)), 0, 16).mean())
    return digits


def _before(case: Case, place: Place) -> Array:
    """What a weight was before the update; nothing, of gradients."""
    layer = case.layers[place.layer or 0]
    if place.quantity == "updated_weights":
        return np.array(layer.weights, float)
    return np.array([layer.biases], float) if place.quantity == "updated_biases" else np.zeros(())


def steps(judged: Judged) -> list[str]:
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
