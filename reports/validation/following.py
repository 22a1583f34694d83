"""Which convention an implementation follows: the judge agrees under it, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...reference.case import Case, InvalidInput
from ...reference.diagnosis import Convention, Evidence, reproduces, right
from ...reference.judging import Observation, Place, UnusableAnswer, Verdict, judge
from .predictions import Predictions
from .reach import Judged


def any_wrong(judged: Judged) -> bool:
    """Whether the judge calls any of them wrong."""
    return any(judgement.verdict is Verdict.WRONG for *_, judgement in judged)


def evidence_under(convention: Convention, observed: Evidence) -> list[tuple[Case, Observation]]:
    """The answers to the probes as the convention means them."""
    return [(convention.for_layers(len(case.layers)).applied(case), observation) for case, observation in observed]


def asks(convention: Convention, case: Case) -> bool:
    """Whether the convention's loss may be asked for these targets: generic probes suit every loss, others need not."""
    try:
        convention.for_layers(len(case.layers)).applied(case)
    except InvalidInput:
        return False
    return True


def suits(convention: Convention, observed: Evidence) -> bool:
    """Whether the convention's loss may be asked for the targets of all of them."""
    return all(asks(convention, case) for case, _ in observed)


def suiting(conventions: Sequence[Convention], observed: Evidence) -> list[Convention]:
    """Those whose losses may be asked for the targets, about which nothing but the loss decides."""
    of_losses = {convention.loss: convention for convention in conventions}
    kept = {loss for loss, convention in of_losses.items() if suits(convention, observed)}
    return [convention for convention in conventions if convention.loss in kept]


def followed(conventions: Sequence[Convention], observed: Evidence) -> Iterator[tuple[Convention, Judged]]:
    """The conventions under which the right algorithm gives every number, from end to end and step by step.

    Of few digits, end to end admits much, other conventions and faults among it.
    """
    for convention in conventions:
        first = reproduces(right(convention), evidence_under(convention, observed[:1]))
        if first and reproduces(right(convention), evidence_under(convention, observed)):
            judged = judged_under(convention, observed)
            if not any_wrong(judged):
                yield convention, judged


def judged_under(convention: Convention, observed: Evidence) -> Judged:
    """Each answer with its judgement. Raises InvalidInput for one that cannot be judged."""
    judged = []
    for case, observation in evidence_under(convention, observed):
        try:
            pure = not convention.decay and not convention.in_turn
            judgement = judge(case, observation, rules=convention.rules(), pure=pure, coarser=False)
            judged.append((case, observation, judgement))
        except UnusableAnswer as error:
            raise InvalidInput(str(error)) from error
    return judged


def digits_seen(judged: Judged) -> float:
    """How many digits were seen to agree: each array's best probe counts, and of those the weakest."""
    digits: dict[Place, float] = {}
    for *_, judgement in judged:
        for c in judgement.comparisons:
            digits[c.place] = max(digits.get(c.place, 0.0), c.digits or 0.0)
    return min(digits.values(), default=0.0)


def partly_followed(
    conventions: Sequence[Convention], observed: Evidence, predictions: Predictions
) -> Convention | None:
    """The convention under which the right algorithm gives most answers, one to several samples among them, if any.

    Of single samples alone, all reductions are the same, and of one number of samples a constant looks like a mean:
    where several numbers were asked for, those of one alone show none. Conventions are looked at if they give the first
    such answer of a network.
    """
    several = len({case.batch for case, _ in observed}) > 1
    firsts = {case.sizes: (case, o) for case, o in reversed(observed) if case.batch > 1}
    found: list[tuple[int, Convention]] = []
    for convention in conventions:
        near = [pair for pair in firsts.values() if not predictions.far(convention, *pair)]
        if not any(reproduces(right(convention), evidence_under(convention, [pair])) for pair in near):
            continue
        followed = [p for p in observed if reproduces(right(convention), evidence_under(convention, [p]))]
        if convention.reduction == "sum" or not several or len({case.batch for case, _ in followed}) > 1:
            found.append((len(followed), convention))
    return max(found, key=lambda entry: entry[0])[1] if found else None
