"""An implementation that is right on some probes and not on others: a mistake under a condition, or another function.

An activation or a loss that nobody declared may be a known one near zero, and part from it farther out: clip(z, −4, 4)
is the identity on small numbers. So other numbers under a condition accuse nobody by themselves. What speaks against an
implementation is what no activation and no loss explains: numbers that are not finite, a condition on shapes, on calls
or on exact values, a batch that is not the sum of its samples; and that no loss has this gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import Unanswered
from ...reference.case import Case
from ...reference.diagnosis import Convention, Declared, Diagnosis, Explanation, diagnose, reproduces
from ...reference.judging import FieldCheck, Observation, Place, Verdict
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES, array_of
from ..documents import Report, Subject
from .clipping import clipped_by_norm
from .field_of_function import field_of
from .following import any_wrong, judged_under
from .nearly_right import half_right
from .reach import Condition, Judged, condition
from .wording import because, clipped, field_words, peculiar, steps, verdict_of_each

NEEDED = 3  # probes, for an explanation or a condition on shapes to be one: fewer prove little
DIAGNOSED = 4  # probes that are wrong, the smallest
TESTED = 8  # probes that are wrong whose field is looked at: one of each kind of data, then the smallest

Array = NDArray[Any]


@dataclass(frozen=True)
class _Parted:
    """What is known of a function where it parts from the known one.

    against: what no other activation or loss explains, in a line; empty where nothing speaks against it
    field: the test that says most: one that is not symmetric, else one that is
    """

    against: str
    field: FieldCheck | None = None

    @property
    def some_loss_has_it(self) -> bool:
        """Whether that was seen, and nothing speaks against it."""
        return not self.against and self.field is not None and self.field.symmetric is True


def wrong_at_times(
    convention: Convention, judged: Judged, subject: Subject, findings: list[str], strict: bool, declared: Declared
) -> Report:
    """What is known of an implementation that is right on some numbers, and gives others under some condition.

    findings: of calls that do not give the same twice; then nothing else is looked for
    """
    wrong = [entry for entry in judged if entry[2].verdict is Verdict.WRONG]
    wrong.sort(key=lambda entry: entry[0].batch * sum(entry[0].sizes))
    when = condition(judged, convention)
    if when is not None and when.of == "calls" and not _of_calls(judged, convention, subject):
        when = None
    words = convention.of_outputs() if subject.returns == "outputs" else str(convention)
    shortened = [] if findings else clipped_by_norm(wrong, convention)
    parted = _Parted(findings[0] if findings else "")
    if not findings and not shortened and not declared.complete:
        right = [entry for entry in judged if entry[2].verdict is not Verdict.WRONG]
        parted = _parted(wrong, right, convention, subject, when)
    accused = bool(findings or shortened) or declared.complete or bool(parted.against)
    diagnosis = None
    if not findings and not shortened and not parted.some_loss_has_it:
        depth = len(wrong[0][0].layers)  # of one network at a time
        evidence = [(case, o) for case, o, _ in wrong if len(case.layers) == depth][:DIAGNOSED]
        if len(evidence) >= NEEDED:
            diagnosis = _of_all(diagnose(evidence, convention.for_layers(depth)), wrong, depth)
    known_mistake = diagnosis is not None and any(e.names or e.mistake for e in diagnosis.explanations)
    if not accused and not known_mistake:
        return _unrecognised(words, judged, len(wrong), when, parted, subject, strict)
    said = [f"it is right on {len(judged) - len(wrong)} of {len(judged)} probes, and wrong on {len(wrong)}."]
    if not findings:
        if when:
            said.insert(0, f"it is wrong with {when.words}, and there alone.")
        if parted.against:
            said.append(parted.against)
        if diagnosis is not None and diagnosis.explanations:
            said += [f"there, {line}" for line in because(diagnosis, convention)]
        said += shortened or clipped(wrong) or peculiar([(case, o) for case, o, _ in wrong])
    said.append(f"else: {words}; {subject.stored}.")
    kind = [f"kind of data: {wrong[0][0].note}"] if wrong[0][0].note else []
    details = (*kind, *steps(wrong))
    return Report("wrong", None, (*findings, *said), None, diagnosis, strict, details, verdict_of_each(judged))


def _of_all(diagnosis: Diagnosis, wrong: Judged, depth: int) -> Diagnosis:
    """The explanations of a few wrong answers that explain all of them of that depth."""
    every = [(case, o) for case, o, _ in wrong if len(case.layers) == depth]

    def explains(explanation: Explanation) -> bool:
        try:
            return explanation.prediction is not None and reproduces(explanation.prediction, every)
        except KeyError:  # it was read off other networks, and says nothing of this one
            return False

    kept = [explanation for explanation in diagnosis.explanations if explains(explanation)]
    return Diagnosis(tuple(kept), sum(array.size for _, o in every for _, array in shown(o)))


def _unrecognised(
    words: str, judged: Judged, count: int, when: Condition | None, parted: _Parted, subject: Subject, strict: bool
) -> Report:
    """Nothing speaks against it: an activation or a loss that is the known one on most numbers may be meant."""
    said = [
        f"on {len(judged) - count} of {len(judged)} probes it computes {words}; on {count} it gives other numbers.",
        *([f"it parts from that with {when.words}, and there alone."] if when else []),
        *(f"there, {line}" for line in field_words(parted.field)),
        LIKE_A_KNOWN_ONE,
        f"{subject.stored}.",
    ]
    return Report("unrecognised", None, tuple(said), None, None, strict, (), verdict_of_each(judged))


LIKE_A_KNOWN_ONE = (
    "an activation or a loss that is like a known one on some numbers alone would be right. Declare them, and it is "
    "judged by them: activations=[bp.Activation(…)], loss=…."
)


# ------------------------------------------------------------------------------- what speaks against it


def _parted(wrong: Judged, right: Judged, convention: Convention, subject: Subject, when: Condition | None) -> _Parted:
    if not all(np.isfinite(array.astype(float)).all() for _, o, _ in wrong for _, array in shown(o)):
        return _Parted(NOT_FINITE)
    if when is not None and (when.of == "calls" or (when.of == "shapes" and len(wrong) >= NEEDED)):
        return _Parted(f"no activation and no loss depends on {ON[when.of]}.")
    chosen = [(case, seen) for case, seen, _ in _varied(wrong)]
    for case, seen in chosen:
        if not _of_its_samples(case, seen, convention, subject):
            return _Parted(NO_SUM.format(case.batch))
        if not half_right(convention, [(case, seen)]) and _exactly_there(case, seen, convention, subject):
            return _Parted(EXACTLY)
    best: FieldCheck | None = None
    for case, seen in (*chosen, *_farther_out(right)):
        field = field_of(subject, [(case, seen)], by_layer=True)
        if field is not None and field.symmetric is False:
            return _Parted(f"there, {' '.join(field_words(field))}", field)
        if best is None or (field is not None and field.symmetric is True):
            best = field
    return _Parted("", best)


NOT_FINITE = "there, numbers are NaN or infinite, which no activation and no loss explains."
NO_SUM = "there, a batch of {} does not give what its samples give by themselves."
EXACTLY = (
    "there, it is right as soon as weights, biases and inputs are moved a little: no activation and no loss does that."
)
ON = {"calls": "the number of the call", "shapes": "how large a network or a batch is"}


def _varied(wrong: Judged) -> Judged:
    """One wrong probe of each kind of data and depth, and then others, the smallest first."""
    first = {(case.note, len(case.layers)): (case, o, j) for case, o, j in reversed(wrong)}
    others = [entry for entry in wrong if not any(entry[0] is case for case, *_ in first.values())]
    return [*first.values(), *others][:TESTED]


def _of_calls(judged: Judged, convention: Convention, subject: Subject) -> bool:
    """Whether an answer that was right is another now, after all the other calls, or cannot be asked for again."""
    case = next(case for case, _, judgement in judged if judgement.verdict is not Verdict.WRONG)
    try:
        return subject.observe is None or any_wrong(judged_under(convention, [(case, subject.observe(case))]))
    except Unanswered:
        return True


def _of_its_samples(case: Case, seen: Observation, convention: Convention, subject: Subject) -> bool:
    """Whether a batch gives what one sample and the rest give, and a single sample twice what it gives once.

    That is how a loss is made of its samples. It decides nothing where the function does not take such batches, nor in
    16 bits: what is below half of a format's digits may be rounding.
    """
    unit = PROFILES[seen.precision].storage.unit_roundoff
    if subject.observe is None or case.online or unit > COARSEST:
        return True
    rows, targets = np.array(case.inputs), np.array(case.targets)
    if case.batch == 1:
        rows, targets = np.repeat(rows, 2, axis=0), np.repeat(targets, 2, axis=0)
    try:
        whole, one, rest = (
            _summed(subject.observe(replace(case, inputs=rows[part], targets=targets[part])), case, convention)
            for part in (slice(None), slice(0, 1), slice(1, None))
        )
    except Unanswered:
        return True

    def added_up(shares: tuple[float, float]) -> bool:
        for place, together in whole.items():
            if place.quantity == "activations":
                added = np.concatenate([one[place], rest[place]])
            else:
                added = shares[0] * one[place] + shares[1] * rest[place]
            sizes = [np.abs(array).max() for array in (together, one[place], rest[place])]
            if not np.abs(together - added).max() <= unit**0.5 * max(sizes):
                return False
        return True

    return added_up((1.0, 1.0)) or added_up((1 / len(rows), 1 - 1 / len(rows)))  # a sum, or a mean


COARSEST = 2.0**-24  # unit roundoff of float32


def _exactly_there(case: Case, seen: Observation, convention: Convention, subject: Subject) -> bool:
    """Whether a probe nearby gives the known function's numbers: a condition on exact values, such as a bias of 0."""
    unit = PROFILES[seen.precision].storage.unit_roundoff
    if subject.observe is None or unit > COARSEST:
        return False
    rng, size = np.random.default_rng(0), unit**0.4

    def moved(numbers: Any) -> Array:
        array = np.array(numbers, float)
        by = size * max(float(np.abs(array).max()), size) * rng.uniform(0.5, 1.0, array.shape)
        return array_of(np.atleast_2d(array + by).tolist(), case.dtype).reshape(array.shape)

    layers = tuple(
        replace(
            layer,
            weights=moved(layer.weights),
            biases=None if layer.biases is None else tuple(map(float, moved(layer.biases))),
        )
        for layer in case.layers
    )
    nearby = replace(case, layers=layers, inputs=moved(case.inputs))
    try:
        return not any_wrong(judged_under(convention, [(nearby, subject.observe(nearby))]))
    except Unanswered:
        return False


def _farther_out(right: Judged) -> Iterator[tuple[Case, Observation]]:
    """A probe with one layer's numbers larger: saturated units below others that are not, and the other way round."""
    several = [(case, o) for case, o, _ in right if case.batch > 1 and len(case.layers) > 1]
    for case, seen in several[:1]:
        for k, factor in product(range(len(case.layers)), FARTHER):
            layer = case.layers[k]
            larger = replace(
                layer,
                weights=np.array(layer.weights) * np.array(factor, np.array(layer.weights).dtype),
                biases=None if layer.biases is None else tuple(factor * b for b in layer.biases),
            )
            yield replace(case, layers=(*case.layers[:k], larger, *case.layers[k + 1 :])), seen


FARTHER = (4.0, 16.0)


def _summed(seen: Observation, case: Case, convention: Convention) -> dict[Place, Array]:
    """What is a sum over samples: of gradients all but a penalty's, of updates what weights moved by."""
    found: dict[Place, Array] = {}
    for place, array in shown(seen):
        number = np.asarray(array, float)
        if place.layer is not None and place.quantity != "activations":
            layer = case.layers[place.layer]
            of_weights = place.quantity.endswith(("weights", "weight_gradients"))
            before = np.array(layer.weights if of_weights else layer.biases, float).reshape(number.shape)
            decay = convention.penalty(case.batch) if of_weights or convention.decays_biases else 0.0
            if place.quantity.startswith("updated"):
                number = (before - number) / (case.learning_rate or 1.0)
            number = number - decay * before
        found[place] = number
    return found
