"""From an implementation's answers to a report: is anything wrong, under which convention, and why?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from ...reference.diagnosis import (
    Convention,
    Declared,
    Evidence,
    beyond_customary,
    of_calls,
    read_off,
)
from ...reference.judging import SEVERITY, Verdict
from ...reference.numbers import PROFILES
from ..calling import Repeat
from ..documents import Report, Subject
from .conditional import COARSEST, wrong_at_times
from .elsewhere import elsewhere
from .explaining import bases_of, explained, reported, unrecognised
from .following import any_wrong, digits_seen, evidence_under, followed, judged_under, partly_followed, suiting, suits
from .nearly_right import half_right
from .predictions import Predictions
from .ranking import nearest
from .reach import Judged, covered
from .stored_short import computed_wider
from .wording import because, inferred_words, steps, verdict_of_each

FEW = 4  # conventions, that are tried before anything is read off


def assess(
    observed: Evidence,
    conventions: Sequence[Convention],
    subject: Subject,
    findings: Sequence[str],
    strict: bool,
    repeats: Sequence[Repeat] = (),
    declared: Declared | None = None,
    explain: bool = True,
) -> Report:
    """The report on answers to probes: under the first convention that they follow, or a diagnosis.

    observed: those whose case has a note were asked to reach further (`reaching_probes.py`): they decide, but neither
        conventions nor faults are looked for in them unless all others are right
    conventions: those that may be followed, which is what was declared
    repeats: what was asked again; other numbers there are a finding only if they are wrong
    declared: what of the conventions was declared; everything that they have in common if None
    explain: whether wrong numbers are to be explained, which takes most of the time; else they are only not right
    """
    known = in_common(conventions) if declared is None else declared
    generic = [pair for pair in observed if not pair[0].note] or list(observed)
    further = [pair for pair in observed if pair[0].note]
    conditional: tuple[Convention, Judged, Judged] | None = None
    for convention, judged in _followed(conventions, generic, known):
        if conditional is not None and _wrong_there_too(convention, conditional[2]):
            continue  # the first one's numbers are as good to show
        beyond = judged_under(convention, [pair for pair in further if suits(convention, [pair])])
        if not any_wrong(beyond):
            return _right(convention, [*judged, *beyond], subject, list(findings), strict, repeats, known)
        conditional = conditional or (convention, judged, beyond)
    wider = computed_wider(conventions if conditional is None else [conditional[0]], observed)
    if wider is not None:
        return _right(*wider, subject, [*findings, WIDER], strict, repeats, known)
    rounded = _otherwise_rounded(conventions if conditional is None else [conditional[0]], observed, subject)
    if rounded is not None and rounded[0].in_turn and _coarse(observed):
        return Report("undecided", str(rounded[0]), (AS_ROUNDED, *findings), None, None, strict)
    if rounded is not None:
        return _right(*rounded, subject, list(findings), strict, repeats, known)
    if not explain:
        return Report("unrecognised", None, (), None, None, strict)
    if conditional is not None:
        convention, judged, beyond = conditional
        remembered = _remembered(convention, repeats)
        return wrong_at_times(convention, [*judged, *beyond], subject, [*remembered, *findings], strict, known)
    changing = [repeat.finding for repeat in repeats if not repeat.same and repeat.of_other_numbers]
    return _wrong(conventions, generic, further, subject, [*findings, *dict.fromkeys(changing)], strict, known)


WIDER = "computed in float64: each number that is shown is the right one, rounded once."
AS_ROUNDED = (
    "its numbers are those of a right step that rounds as often, which in 16 bits may hide a mistake: ask in float32, "
    "or for gradients."
)


def _coarse(observed: Evidence) -> bool:
    return any(PROFILES[o.precision].storage.unit_roundoff > COARSEST for _, o in observed)


def _otherwise_rounded(
    conventions: Sequence[Convention], observed: Evidence, subject: Subject
) -> tuple[Convention, Judged] | None:
    """The convention that gives all if it may round more than is usual, and which is right to half of the digits.

    Each sample's share may be subtracted from the weights by itself, and activations near zero may have lost digits.
    """
    first, predictions = observed[:1], Predictions()
    for convention in conventions:
        if not suits(convention, first) or predictions.far(convention, *first[0]) or not half_right(convention, first):
            continue
        ways = [replace(convention, cancelling=True)]
        if subject.returns == "updated" and not convention.online:
            ways = [replace(way, in_turn=True) for way in (convention, *ways)] + ways
        for way in ways:
            judged = judged_under(way, [pair for pair in observed if suits(convention, [pair])])
            if not any_wrong(judged):
                return way, judged
    return None


def _wrong_there_too(convention: Convention, judged: Judged) -> bool:
    """Whether a probe that is wrong under one convention is wrong under another; each is looked at until one is."""
    wrong = [[(case, o)] for case, o, judgement in judged if judgement.verdict is Verdict.WRONG]
    return any(any_wrong(judged_under(convention, pair)) for pair in wrong if suits(convention, pair))


def in_common(conventions: Sequence[Convention]) -> Declared:
    """What all conventions have in common, as if it had been declared."""
    first = conventions[0]

    def shared(name: str) -> Any:
        values = {getattr(convention, name) for convention in conventions}
        return getattr(first, name) if len(values) == 1 else None

    return Declared(*map(shared, ("activations", "loss", "reduction", "negative")))


def _followed(
    conventions: Sequence[Convention], observed: Evidence, declared: Declared
) -> Iterator[tuple[Convention, Judged]]:
    """The conventions that are followed, of those that can be read off single samples; without these, of the customary.

    Whoever declares a loss declares all of it: a penalty that was not declared is no part of it.
    """
    if len(conventions) <= FEW:
        yield from followed(conventions, observed)
    read = read_off(observed, declared)
    if read is None:
        yield from followed(conventions if len(conventions) > FEW else (), observed)
        others = beyond_customary(conventions, declared, observed[0][0].sizes[-1] > 1)
        asked = [] if declared.complete else suiting(others, observed)
        yield from followed(nearest(asked, observed, Predictions()), observed)
        return
    penalty = declared.loss is None or declared.decay is not None
    online = {convention.online for convention in conventions}
    order = {convention: number for number, convention in enumerate(conventions)}
    allowed = [c for c in read if c in order or _beyond(c, declared, penalty, online)]
    allowed.sort(key=lambda c: order.get(c, len(order)))
    yield from followed([c for c in allowed if suits(c, observed)], observed)


def _beyond(convention: Convention, declared: Declared, penalty: bool, online: Collection[bool]) -> bool:
    """Whether a convention that is no customary one may be followed."""
    return (
        (penalty or not convention.decay)
        and convention.online in online
        and declared.decays_as(convention)
        and declared.reduction in (None, convention.reduction)
        and declared.loss in (None, convention.loss)
    )


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
    declared: Declared,
) -> Report:
    verdicts = {judgement.verdict for *_, judgement in judged}
    verdict = next(v for v in SEVERITY if v in verdicts)
    details = steps(judged) if verdict is Verdict.SUSPECT else []
    if remembered := _remembered(convention, repeats):
        verdict, findings = Verdict.WRONG, [*remembered, *findings]
    elif not all(repeat.same for repeat in repeats):
        findings = [*findings, ROUNDED_OTHERWISE]
    numbers = sum(c.elements for *_, judgement in judged for c in judgement.comparisons)
    said = [f"{numbers:,} numbers on {len(judged)} probes, {subject.stored}.", *covered(judged, convention)]
    weakest = digits_seen(judged) if numbers else None
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    names = verdict_of_each(judged)
    missing = declared.missing(convention, subject.returns)
    said = [*inferred_words(missing), *said]
    refused = dict(missing) if strict else {k: v for k, v in missing.items() if k == "sign"}
    if verdict in (Verdict.AGREES, Verdict.SUSPECT) and refused:
        plain = str(replace(convention, negative=False))
        first = [f"minus the gradient of {plain}" if convention.negative else words]
        to_do = ", ".join(f"{name}={value!r}" for name, value in refused.items())
        why = SIGN if "sign" in refused else STRICT
        return Report(
            "unrecognised",
            None,
            (*first, f"{why} {to_do}", *findings, *said),
            weakest,
            None,
            strict,
            tuple(details),
            names,
        )
    return Report(verdict.value, words, (*findings, *said), weakest, None, strict, tuple(details), names)


SIGN = "a step against it goes uphill: wrong, unless that is what you mean. Then declare it:"
STRICT = "these numbers agree, but strict refuses what was found out and not declared. Declare it:"


ROUNDED_OTHERWISE = (
    "note: asked again, it rounds otherwise (the order of its sums changes: threads, sets, atomics); both answers are "
    "inside the bounds."
)


OF_A_STATE = (
    "the same probe moves the weights otherwise each time: by a state of its own, as an optimizer has (declare "
    "optimizer=…, or optimizer='find'), or by random numbers (dropout)."
)


def _wrong(
    conventions: Sequence[Convention],
    observed: Evidence,
    further: Evidence,
    subject: Subject,
    findings: list[str],
    strict: bool,
    declared: Declared,
) -> Report:
    """What is known of wrong numbers: another convention, a mistake of some step, or that only some probes are wrong.

    further: answers that are looked at only if some of the numbers are right
    """
    changing = [finding for finding in findings if "not deterministic" in finding]
    if changing:  # numbers that change from call to call are nobody's, unless they follow from the call before
        following = ((c, of_calls(evidence_under(c, observed), c)) for c in conventions)
        convention, diagnosis = next((pair for pair in following if pair[1].explanations), (conventions[0], None))
        said = list(findings)
        if diagnosis is not None:
            said = [*because(diagnosis, convention), *(finding for finding in said if finding not in changing)]
        elif subject.returns == "updated":  # a right optimizer's steps change as well
            said = [OF_A_STATE, *(finding for finding in said if finding not in changing)]
            return Report("unrecognised", None, tuple(said), None, None, strict)
        return reported("wrong", convention, diagnosis, said, observed, subject, strict)
    predictions = Predictions()
    bases = cache(lambda: bases_of(conventions, observed, declared, predictions))
    found = explained(conventions, observed, further, subject, declared, bases)
    partly = found is not None and found[3] == "unrecognised" and subject.returns == "gradients"
    if found is not None and not (partly and partly_followed(conventions, observed, predictions) is not None):
        convention, diagnosis, said, verdict = found
        if diagnosis is not None and (refuted := elsewhere(diagnosis, convention, further)):
            said = [*(line.replace("proved: with it", "on generic numbers, with it") for line in said), *refuted]
        return reported(verdict, convention, diagnosis, [*said, *findings], observed, subject, strict)
    if (at_times := partly_followed(conventions, observed, predictions)) is not None:
        suiting_it = [pair for pair in further if suits(at_times, [pair])]
        judged = judged_under(at_times, [*observed, *suiting_it])
        return wrong_at_times(at_times, judged, subject, findings, strict, declared)
    return unrecognised(observed, subject, declared, findings, strict, bases())
