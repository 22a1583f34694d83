"""From an implementation's answers to a report: is anything wrong, under which convention, and why?"""

from __future__ import annotations

from collections.abc import Sequence

from ...reference.diagnosis import (
    KINDS,
    Convention,
    Evidence,
    candidates,
    diagnose,
    located,
    of_calls,
    pairs_of_faults,
)
from ...reference.judging import SEVERITY, Place, Verdict
from ..documents import Report, Subject
from .asking import Repeat
from .following import any_wrong, evidence_under, followed, judged_under, partly_followed, suits
from .ranking import diagnosed, worth_diagnosing
from .reach import Judged, condition, covered
from .smallest import witness
from .wording import because, not_among, peculiar, steps, verdict_of_each

UNDECLARED_DIAGNOSED = 2  # conventions beside them, against what was declared
CONDITIONAL_DIAGNOSED = 4  # probes that are wrong, the smallest


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
    for convention, judged in followed(conventions, generic):
        beyond = judged_under(convention, [pair for pair in further if suits(convention, [pair])])
        if not any_wrong(beyond):
            return _right(convention, [*judged, *beyond], subject, list(findings), strict, repeats)
        conditional = conditional or (convention, judged, beyond)
    if conditional is not None:
        convention, judged, beyond = conditional
        remembered = _remembered(convention, repeats)
        return _wrong_at_times(convention, [*judged, *beyond], subject, [*remembered, *findings], strict)
    changing = [repeat.finding for repeat in repeats if not repeat.same and repeat.of_other_numbers]
    return _wrong(conventions, generic, further, subject, [*findings, *dict.fromkeys(changing)], strict)


def _remembered(convention: Convention, repeats: Sequence[Repeat]) -> list[str]:
    """A finding for each probe whose answer is wrong when it is asked again, and was right before."""
    wrong = [r for r in repeats if not r.same and any_wrong(judged_under(convention, [(r.case, r.again)]))]
    return list(dict.fromkeys(repeat.finding for repeat in wrong))


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
    return Report(
        verdict.value, words, (*findings, *said), weakest, None, strict, tuple(details), verdict_of_each(judged)
    )


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
        said += peculiar(evidence)
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    said.append(f"else: {words}; {subject.stored}.")
    kind = [f"kind of data: {wrong[0][0].note}"] if wrong[0][0].note else []
    details = (*kind, *steps(wrong))
    return Report("wrong", None, (*findings, *said), None, diagnosis, strict, details, verdict_of_each(judged))


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
    ranked = worth_diagnosing(conventions, observed)
    convention, diagnosis, said = ranked[0], None, list(findings)
    signs = (False, True) if subject.returns in ("gradients", "any") else (False,)
    online = (False, True) if subject.returns == "updated" else (False,)
    every = [*candidates(observed[0][0].sizes, negative=signs, online=online)]
    suiting = {loss: suits(c, observed) for loss, c in {c.loss: c for c in every}.items()}  # a matter of targets
    undeclared = [c for c in every if c not in conventions and suiting[c.loss]]
    other = next(followed(undeclared, observed), None)
    changing = [finding for finding in findings if "not deterministic" in finding]
    if changing:  # numbers that change from call to call are nobody's, unless they follow from the call before
        following = ((c, of_calls(evidence_under(c, observed), c)) for c in conventions)
        convention, diagnosis = next((pair for pair in following if pair[1].explanations), (convention, None))
        if diagnosis is not None:
            said = [*because(diagnosis, convention), *(finding for finding in said if finding not in changing)]
    elif other is not None:
        said.insert(0, f"it computes {other[0]}, exactly; that is not what was declared.")
    else:
        convention, diagnosis = diagnosed(ranked, observed, KINDS)
        if not diagnosis.explanations and (at_times := partly_followed(ranked, observed)) is not None:
            suiting_it = [pair for pair in further if suits(at_times, [pair])]
            return _wrong_at_times(
                at_times, judged_under(at_times, [*observed, *suiting_it]), subject, findings, strict
            )
        if not diagnosis.explanations and undeclared:
            others = worth_diagnosing(undeclared, observed)[:UNDECLARED_DIAGNOSED]
            undeclared_one, under_it = diagnosed(others, observed, KINDS)
            if under_it.explanations:
                convention, diagnosis = undeclared_one, under_it
                said.insert(0, f"besides, it computes {convention}; that is not what was declared.")
        if not diagnosis.explanations:
            convention, diagnosis = diagnosed(ranked[:1], observed, [pairs_of_faults])
        said = [*because(diagnosis, convention), *said] if diagnosis.explanations else said
        if not diagnosis.explanations:
            said.append(
                "no known fault, pair of faults, factor or precision gives these numbers. Where they are wrong:"
            )
            maps = (
                located(case, observation, convention) for case, observation in evidence_under(convention, observed)
            )
            said += [found for found in maps if found][:1]
            said += [*peculiar(observed), *not_among(conventions)]
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    said.append(f"assumed: {words}; {subject.stored}.")
    judged = judged_under(convention, observed)
    details = (*steps(judged), *witness(subject, convention, observed[0][0].dtype))
    return Report("wrong", None, tuple(said), None, diagnosis, strict, details, verdict_of_each(judged))
