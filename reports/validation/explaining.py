"""Numbers that follow no convention that they may: what explains them, and if nothing does, what can be said at all.

Nothing here calls a network wrong because it is not known: see `unrecognised`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ...reference.diagnosis import (
    KINDS,
    REDUCTIONS,
    Convention,
    Declared,
    Diagnosis,
    Dropped,
    Evidence,
    Explanation,
    Kind,
    candidates,
    diagnose,
    distances,
    dropped_units,
    first_step_of,
    first_step_off,
    formulas_by_name,
    forward_read_off,
    likely,
    located,
    nearly_read_off,
    once,
    read_off,
    reproduces,
    right,
    rough_steps,
    tried,
    wrong_formulas,
)
from ...reference.judging import QUANTITIES, FieldCheck
from ...reference.judging import observed as shown
from ..documents import Report, Subject
from .approximated import approximated
from .field_of_function import field_further_out, field_of
from .following import any_wrong, digits_seen, evidence_under, followed, judged_under, suiting, suits
from .nearly_right import half_right, nearly_right, printed_short
from .no_gradient import no_gradient
from .predictions import Predictions
from .ranking import diagnosed, worth_diagnosing
from .smallest import witness
from .stored_short import stored_short
from .wording import because, field_words, in_steps, peculiar, steps, untold, verdict_of_each

Found = tuple[Convention, Diagnosis | None, list[str], str]  # with what is said of it, and the verdict

BASES = 9  # conventions under which mistakes are looked for
NAMED = 3  # of the conventions under which one formula explains everything, those where it is looked up by name
LIKELY = 3  # where single samples show none
RANKED = 4  # of those that an adaptive first step goes with


def explained(
    conventions: Sequence[Convention],
    observed: Evidence,
    further: Evidence,
    subject: Subject,
    declared: Declared,
    bases_found: Callable[[], list[Convention]],
) -> Found | None:
    """The first explanation that reproduces every number, from the plainest kind on; None for none.

    further: answers that another convention, which was not declared, has to give as well
    bases_found: `bases_of`, which is asked for only where numbers do not follow another convention
    """
    if said := no_gradient(observed):
        return conventions[0], None, said, "wrong"
    if (other := _not_declared(conventions, observed, further, declared)) is not None:
        said = [f"it computes {other}, exactly; that is not what was declared."]
        return max(conventions, key=lambda c: _in_common(c, other)), None, said, "wrong"
    if (stored := stored_short(conventions, observed)) is not None:
        return stored[0], None, stored[1], "wrong"
    if (printed := printed_short(conventions, observed)) is not None:
        return printed[0], None, printed[1], "wrong"
    bases = bases_found()
    shows_activations = bool(forward_read_off(observed, declared))
    masked = None if shows_activations else dropped_units(observed, [*bases, *conventions])
    if masked is not None:
        explaining = next(c for c in (*bases, *conventions) if c.activations == masked.activations)
        return _of_dropout(masked, explaining, observed, subject)
    by_steps = once(wrong_formulas)
    formulas = partial(formulas_by_name, steps=by_steps)
    one, several = list[tuple[Convention, Diagnosis]](), list[tuple[Convention, Diagnosis]]()
    certain = declared.complete or nearly_read_off(observed, declared)  # these are the conventions, and no guesses
    for base in [*bases, *_but_for_a_factor(bases, declared)]:
        if one and certain and not _only_by_a_factor(base, one[0][0]):
            continue
        convention, diagnosis = _by_formulas(base, observed, declared, by_steps, formulas)
        if not diagnosis.explanations:
            continue
        if diagnosis.explanations[0].several:
            several.append((convention, diagnosis))
            continue
        one.append((convention, diagnosis))
        named = diagnose(evidence_under(convention, observed), convention, [formulas]) if len(one) <= NAMED else None
        if named is not None and named.names:
            return _said(convention, named, observed, subject, declared)
    if one:
        return _said(*one[0], observed, subject, declared)
    return _by_other_kinds(conventions, observed, subject, declared, bases, formulas, several)


HALVES = {"squared_error": "half_squared_error", "half_squared_error": "squared_error"}


def _but_for_a_factor(bases: Sequence[Convention], declared: Declared) -> list[Convention]:
    """The same with a ½ more or less, or not negated, which is read off numbers that are wrong: the mistake may be one
    of either.
    """
    others = list[Convention]()
    if declared.loss is None:
        others += [replace(base, loss=HALVES[base.loss]) for base in bases if base.loss in HALVES]
    if declared.negative is None:
        others += [replace(base, negative=False) for base in bases if base.negative]
    return [other for other in dict.fromkeys(others) if other not in bases]


def _only_by_a_factor(one: Convention, other: Convention) -> bool:
    """Whether they differ by that."""
    halved = one.loss in HALVES and replace(one, loss=HALVES[one.loss]) == other
    return halved or replace(one, negative=not one.negative) == other


def _by_other_kinds(
    conventions: Sequence[Convention],
    observed: Evidence,
    subject: Subject,
    declared: Declared,
    bases: Sequence[Convention],
    formulas: Kind,
    several: Sequence[tuple[Convention, Diagnosis]],
) -> Found | None:
    """Where no one formula explains everything: faults by name, approximations, relations, several formulas, formats.

    several: what more than one formula explains, with its convention
    """
    _, *others, formats = KINDS
    of_updates: tuple[Kind, ...] = (_first_steps,) if subject.returns == "updated" else ()
    for kind in (*others[:1], *of_updates, *others[1:], formats):
        if kind is others[1]:
            near = _of_approximation(bases, observed, subject, declared)
            if found := near or _besides(conventions, observed, subject, declared, formulas):
                return found
        if kind is formats and several:
            fewest = min(several, key=lambda pair: sum(e.mistakes for e in pair[1].explanations))
            return _said(*fewest, observed, subject, declared)
        convention, diagnosis = diagnosed(bases, observed, [kind])
        if diagnosis.explanations:
            return _said(convention, diagnosis, observed, subject, declared, kind is _first_steps)
    return None


def _besides(
    conventions: Sequence[Convention], observed: Evidence, subject: Subject, declared: Declared, formulas: Kind
) -> Found | None:
    """A single mistake under another loss or reduction than was declared."""
    if declared.loss is None and declared.reduction is None:
        return None
    if any(half_right(convention, observed) for convention in conventions):
        return None  # they are nearly those that were declared, and no other's
    others = bases_of(conventions, observed, Declared(declared.activations), Predictions())
    if declared.loss is not None:  # a mistake in ∂E/∂o leaves nothing of the loss to be seen: the declared one is meant
        others = [replace(other, loss=declared.loss) for other in others] + others
    for convention in dict.fromkeys(others):
        if convention in conventions or not suits(convention, observed):
            continue
        if not any(array.any() for _, o in observed for _, array in shown(o)):
            return None  # zeros show no loss
        diagnosis = diagnose(evidence_under(convention, observed), convention, [formulas])
        if diagnosis.explanations and not diagnosis.explanations[0].several:
            other, found, said, verdict = _said(convention, diagnosis, observed, subject, declared)
            return other, found, [f"besides, it computes {convention}; that is not what was declared.", *said], verdict
    return None


def _in_common(one: Convention, other: Convention) -> int:
    """How much two conventions have in common: of those that were declared, the one to show numbers under."""
    names = ("activations", "loss", "reduction", "negative", "online", "decay", "decay_over_samples")
    return sum(getattr(one, name) == getattr(other, name) for name in names)


def _by_formulas(
    base: Convention, observed: Evidence, declared: Declared, by_steps: Kind, formulas: Kind
) -> tuple[Convention, Diagnosis]:
    """What formulas explain under a convention; an undeclared reduction is part of that, and no mistake."""
    diagnosis = diagnose(evidence_under(base, observed), base, [by_steps])
    if declared.reduction is None and any(OVER_SAMPLES in e.words for e in diagnosis.explanations):
        averaged = replace(base, reduction=OF_SAMPLES[0])
        named = diagnose(evidence_under(averaged, observed), averaged, [formulas])
        if named.names:
            return averaged, named
        for reduction in OF_SAMPLES:
            other = replace(base, reduction=reduction)
            again = diagnose(evidence_under(other, observed), other, [by_steps])
            if again.explanations and not any(OVER_SAMPLES in e.words for e in again.explanations):
                return other, again
    return base, diagnosis


OVER_SAMPLES = "the number of samples"
OF_SAMPLES = ("mean", "sum")


def _said(
    convention: Convention,
    diagnosis: Diagnosis,
    observed: Evidence,
    subject: Subject,
    declared: Declared,
    of_first_steps: bool = False,
) -> Found:
    """The verdict on what is explained. Where the network was not declared and some loss has this gradient, it may be
    meant: a factor of the whole loss, an activation that is known in both passes, an optimizer.
    """
    said = because(diagnosis, convention)
    undeclared = not declared.complete
    if of_first_steps:
        adaptive = "Adam" in diagnosis.explanations[0].words
        words = [*diagnosis_words(diagnosis), OF_FIRST_STEPS]
        return convention, diagnosis, words, "unrecognised" if adaptive else "wrong"
    matching = MATCHING if "squared_error" in convention.loss else None
    of_loss = declared.loss is None and all(e.of_loss or e.names == matching for e in diagnosis.explanations)
    known_mistake = not of_loss and any(e.names or e.mistake for e in diagnosis.explanations)
    if undeclared and not known_mistake and subject.returns != "outputs":
        field = field_of(subject, observed)
        undecided = field is None or field.symmetric is None
        sharp = field is not None and field.symmetric is True and _sees(field, convention, observed)
        another = declared.activations is None and all(e.forward for e in diagnosis.explanations)
        if sharp or ((of_loss or another) and (undecided or (field is not None and field.symmetric is True))):
            told = [*diagnosis_words(diagnosis), REPRODUCED.format(diagnosis.numbers), *untold(diagnosis)]
            return convention, diagnosis, [*told, *field_words(field), MAY_BE_MEANT], "unrecognised"
        said = [*said, *field_words(field)]
    return convention, diagnosis, said, "wrong"


# δ = o − t. Of any increasing activation there is a loss with that delta, as cross-entropy is the sigmoid's: Auer,
# Herbster & Warmuth, Exponentially many local minima for single neurons, NIPS 8 (1996), "matching loss".
MATCHING = ("output-delta-without-derivative",)


def _sees(field: FieldCheck, convention: Convention, observed: Evidence) -> bool:
    """Whether a field test would have seen a mistake as large as what is off: a loop shows a small part of it."""
    if field.precision == "float64":
        return True
    effect = max(distances(right(convention), evidence_under(convention, observed)).values(), default=0.0)
    return field.power < SEEN_OF_IT * min(effect, 1.0)


SEEN_OF_IT = 1e-5


def _of_approximation(
    bases: Sequence[Convention], observed: Evidence, subject: Subject, declared: Declared
) -> Found | None:
    """An activation that is nearly the one meant; where none was declared, another may be that has this gradient."""
    for convention in bases:
        words = approximated(subject, observed, convention)
        if not words:
            continue
        if declared.activations is not None:
            return convention, None, words, "wrong"
        field = field_of(subject, observed)
        asymmetric = field is not None and field.symmetric is False
        said = [*words, *field_words(field), *([] if asymmetric else [MAY_BE_MEANT])]
        return convention, None, said, "wrong" if asymmetric else "unrecognised"
    return None


def _of_dropout(masked: Dropped, convention: Convention, observed: Evidence, subject: Subject) -> Found | None:
    """Dropped units in both passes are right, if some loss has this gradient; in one alone they are a mistake."""
    field = field_of(subject, observed)
    if masked.backward and (field is None or field.symmetric is not False):
        return convention, None, [masked.words, DROPOUT_OFF, *field_words(field)], "unrecognised"
    return convention, None, [masked.words, *field_words(field)], "wrong"


def diagnosis_words(diagnosis: Diagnosis) -> list[str]:
    """What explanations say, without the claim of a mistake."""
    return [f"it {explanation.words}." for explanation in diagnosis.explanations]


REPRODUCED = "with it, the reference reproduces all {} numbers within its bounds."
MAY_BE_MEANT = "this may be meant: declare activations and loss, and it is judged by them."
OF_FIRST_STEPS = "each call was judged as a first step; to have it judged as an optimizer, declare optimizer=…."


def _first_steps(evidence: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    found = first_step_of(evidence, convention)
    if found is not None:
        yield found


def _not_declared(
    conventions: Sequence[Convention], observed: Evidence, further: Evidence, declared: Declared
) -> Convention | None:
    """A convention that is followed exactly, and seen to be, against what was declared."""
    updates = observed[0][1].updated_weights is not None
    declared_updates = updates and len({convention.online for convention in conventions}) == 1
    if replace(declared, negative=None, bare=False) == Declared() and not declared_updates:
        return None
    read: list[Convention] = []
    for part in (
        replace(declared, reduction=None, negative=None, decay=None, decay_over_samples=False),
        Declared(declared.activations),
        Declared(),
    ):
        found = read_off(observed, part)
        if found is None:  # single samples show nothing: everything customary is tried
            online = (False, True) if observed[0][1].updated_weights is not None else (False,)
            found = list(candidates(observed[0][0].sizes, online=online))
        read += found
    others = [c for c in dict.fromkeys(read) if c not in conventions and suits(c, observed)]
    for convention, judged in followed(others, observed):
        beyond = [pair for pair in further if suits(convention, [pair])]
        if digits_seen(judged) >= 1 and not any_wrong(judged_under(convention, beyond)):
            return convention
    return None


def bases_of(
    conventions: Sequence[Convention], observed: Evidence, declared: Declared, predictions: Predictions
) -> list[Convention]:
    """Under which conventions to look for mistakes: what single samples show of them, else the likeliest."""
    read = [c for c in nearly_read_off(observed, declared) if suits(c, observed) and not c.online]
    for power in OTHER_POWERS if not read and observed[0][1].updated_weights is not None else ():
        powers = [(replace(case, learning_rate=(case.learning_rate or 1.0) ** power), o) for case, o in observed]
        read += [c for c in nearly_read_off(powers, declared) if suits(c, observed) and not c.online]
    if not read:
        guessed = [c for c in forward_read_off(observed, declared) if suits(c, observed)]
        stepping = observed[0][1].updated_weights is not None
        first = _by_first_steps(conventions, observed) if stepping else likely(guessed, observed)[:LIKELY]
        read = [*first, *guessed]
    one_by_one = [c for c in conventions if c.online]
    if all(c.online for c in conventions):
        read = []
    elif one_by_one:
        read = [*read[:BASES], *worth_diagnosing(one_by_one, observed, predictions)[:LIKELY]]
    found = list(dict.fromkeys(read))[: BASES + LIKELY] or worth_diagnosing(conventions, observed, predictions)[:LIKELY]
    if declared.decay is not None:
        found = [replace(c, decay=declared.decay, decay_over_samples=declared.decay_over_samples) for c in found]
    found = _told_apart(found, observed, predictions)
    found = _by_last_layer(found, observed, declared, predictions) or found
    return sorted(found, key=lambda c: c.negative)  # minus the gradient is the less likely


def _by_last_layer(
    conventions: Sequence[Convention], observed: Evidence, declared: Declared, predictions: Predictions
) -> list[Convention]:
    """Those that make the last layer right, or one number of times right: under these alone a mistake further down is
    looked for. How samples are added up is no matter where it was not declared.
    """
    times = {c: predictions.last_layer(c, observed) for c in conventions}
    if right := [c for c in conventions if times[c] == 1]:
        return right
    if declared.reduction is None:
        others = (replace(c, reduction=r) for c in conventions if not c.online for r in REDUCTIONS)
        times |= {c: predictions.last_layer(c, observed) for c in others if c not in times}
    return [c for c in times if times[c] is not None]


def _told_apart(conventions: Sequence[Convention], observed: Evidence, predictions: Predictions) -> list[Convention]:
    """Without those of the same reduction that give the same numbers on every probe as one before, such as Huber's loss
    of small errors: a mistake is looked for under one of them.
    """
    kept: list[Convention] = []
    for convention in conventions:
        like = [c for c in kept if (c.reduction, c.negative) == (convention.reduction, convention.negative)]
        if not any(predictions.same(convention, other, observed) for other in like):
            kept.append(convention)
    return kept


def _by_first_steps(conventions: Sequence[Convention], observed: Evidence) -> list[Convention]:
    """Conventions under which probes' steps are nearest to an adaptive optimizer's first."""
    fitting = [c for c in suiting(conventions, observed) if not c.online and _off(c, observed[:1]) < FITS]
    return sorted(fitting, key=lambda c: _off(c, observed[:PROBES_RANKED]))[:RANKED]


def _off(convention: Convention, observed: Evidence) -> float:
    """By how many roundings steps are off from a known first step, at most."""
    return max(first_step_off(rough_steps(evidence_under(convention, [pair]), convention.rules())) for pair in observed)


OTHER_POWERS = (0, 2)  # of the learning rate: perhaps it is left out, or comes twice
FITS = 50.0  # roundings; it decides nothing but where to look
PROBES_RANKED = 4


def unrecognised(
    observed: Evidence,
    subject: Subject,
    declared: Declared,
    findings: list[str],
    strict: bool,
    bases: Sequence[Convention],
) -> Report:
    """Nothing explains the numbers. No loss has this gradient: wrong. Some has: wrong only if all was declared."""
    convention = bases[0]
    odd = peculiar(observed)
    field = None if in_steps(observed) else field_of(subject, observed, by_layer=True)
    asymmetric = field is not None and field.symmetric is False
    maps = [
        found for case, o in evidence_under(convention, observed) for found in [located(case, o, convention)] if found
    ][:1]
    unknown = f"tried: {tried(declared.loss is None)}; {SHAPE} If yours has another, declare it: activations=[bp.Activation(…)]."  # noqa: E501
    plain = field is not None and field.ok and declared.complete  # a step along the gradient of something
    adaptive = subject.returns == "updated" and not plain
    if asymmetric and not adaptive:
        said = [
            *field_words(field),
            "no known formula of a single step gives these numbers. Where they are wrong:",
            *maps,
        ]
        verdict = "wrong"
    elif declared.complete and not adaptive:
        of_some = (
            ["it is the gradient of some loss, but not of what was declared.", *field_words(field)]
            if field and field.ok
            else []
        )
        if _right_gradients(convention, observed):
            of_some = ["its gradients are those of what was declared; what else it returns is not."]
        said = [
            *of_some,
            "no known mistake of a step, factor or format gives these numbers. Where they are wrong:",
            *maps,
        ]
        verdict = "wrong"
    else:
        of_some = []
        if field and field.ok:
            elsewhere = field_further_out(subject, observed)  # clipped on purpose, perhaps: no reason to accuse it
            of_some = ["it is the gradient of some loss, but of none that is known."]
            if elsewhere is not None and elsewhere.symmetric is False:
                of_some = [FURTHER_OUT, *field_words(elsewhere), "Nearer it is one:"]
        if adaptive:
            of_some = [NO_PLAIN_STEP]
        said = [*of_some, *field_words(field), unknown]
        verdict = "unrecognised"
    near = [] if odd or subject.returns == "updated" else nearly_right(bases, observed)
    return reported(verdict, convention, Diagnosis((), 0), [*odd, *near, *said, *findings], observed, subject, strict)


def _right_gradients(convention: Convention, observed: Evidence) -> bool:
    """Whether gradients are shown, and right, so that it is something beside them that is wrong."""
    kept = {"weight_gradients", "bias_gradients"}
    others: dict[str, Any] = {quantity: None for quantity in QUANTITIES if quantity not in kept}
    alone = [(case, replace(seen, **others)) for case, seen in observed if seen.weight_gradients is not None]
    return bool(alone) and reproduces(right(convention), evidence_under(convention, alone))


FURTHER_OUT = (
    "with weights four times as large no loss has this gradient: something is clipped, or units that are saturated or "
    "cut off get a wrong derivative there."
)
NO_PLAIN_STEP = (
    "it is no plain step along the gradient of a known network and loss. If it is an optimizer's, declare optimizer=…."
)
DROPOUT_OFF = "else it is right, as far as single samples show it; with dropout switched off, all of it can be judged."
SHAPE = "the same activation in all units of a layer."


def reported(
    verdict: str,
    convention: Convention,
    diagnosis: Diagnosis | None,
    said: Sequence[str],
    observed: Evidence,
    subject: Subject,
    strict: bool,
) -> Report:
    """The report on numbers that are not right under any convention that they may follow."""
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    assumed = f"assumed: {words}; {subject.stored}."
    judged = judged_under(convention, observed)
    details: tuple[str, ...] = ()
    if verdict == "wrong":
        details = (*steps(judged), *witness(subject, convention, observed[0][0].dtype))
    names = verdict_of_each(judged) if verdict == "wrong" else ()
    return Report(verdict, None, (*said, assumed), None, diagnosis, strict, details, names)
