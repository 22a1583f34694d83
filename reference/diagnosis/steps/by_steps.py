"""Explains each wrong step by itself, from the numbers that it had.

One sample shows everything: the bias gradient is δ, and the weight gradient δ · aᵀ shows the activations below. So each
step's own operands are known, and what it made of them: a formula of `vocabulary.py` either gives that or does not. Two
wrong steps are two searches, one after the other, and not the product of both.

What is found is no explanation yet: the reference with these edits has to reproduce every number, several samples
included, within its bounds (`explanation.reproduces`); constants are fitted on single samples and proved on all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from ...numbers import PROFILES
from ..conventions import Convention
from ..explanation import Evidence, Explanation, by_rules, reproduces
from .delta_search import SOLVED_ON, deltas_of
from .determined import determined
from .fitting import EVERY, edit_of, factor_of, fits, forward_by, scaled_step, tried
from .forward_formulas import forwards
from .gradient_formulas import bias_gradients, weight_gradients
from .refining import refined
from .scope import done, edited, together
from .several_samples import Cases, cases_of, completed, consistent
from .single_samples import (
    BLURRED,
    NEAR,
    SHORT,
    Array,
    View,
    alike,
    beside,
    shown_activations,
    shows,
    shows_exactly,
    tells,
    views_of,
)
from .slope_search import Edits
from .vocabulary import Entry, snapped, solved

BRANCHES = 4  # formulas that a step is tried with, where several give its numbers
CANDIDATES = 24  # sets of edits that are looked at on several samples
PROOFS = 4  # of them, to which edits are added that show on several samples alone
WHOLE = 4  # sets that each of these is completed to
SHARP = 2.0**5  # roundings, where `NEAR` is too many to see that a step is wrong at all
FINE = 2.0**-30  # how near `NEAR` must be for that not to be asked: constants that people write are not nearer to 1


def wrong_formulas(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """The first set of edits of single steps that reproduces everything; nothing where none does."""
    if any(case.online for case, _ in seen):
        return
    if convention is None:
        case = seen[0][0]
        convention = Convention(tuple(layer.activation for layer in case.layers), case.loss, case.reduction)
    seen = sorted(seen, key=lambda pair: pair[0].batch)  # the smallest first: most sets of edits fail there
    unit = PROFILES[seen[0][1].precision].storage.unit_roundoff
    least = min(NEAR, BLURRED / unit)  # of formats of few digits, fewer roundings are looked at closer
    for roundings in (least, SHARP) if NEAR * unit > FINE and least > SHARP else (least,):
        found = _first(seen, convention, roundings)
        if found is not None:
            yield found
            return


def _first(seen: Evidence, convention: Convention, roundings: float) -> Explanation | None:
    """The first explanation, where numbers are the same that are nearer than so many roundings."""
    cases = cases_of(seen, convention, roundings)
    if not cases:
        return None
    views = views_of(seen, convention, roundings)
    tried: dict[tuple[tuple[str, int, str], ...], Edits] = {}
    for found in islice(_edits(views, convention) if views else (), CANDIDATES):
        edits = refined(found, cases, convention)
        known = tuple((edit.step, edit.layer, edit.words) for edit in edits)
        if edits and known not in tried and (proved := _proved(edits, seen, convention, cases)) is not None:
            return proved
        tried.setdefault(known, edits)
    unscaled = (tuple(edit for edit in edits if not edit.scales) for edits in tried.values())
    either = chain.from_iterable(zip(tried.values(), unscaled, strict=True))
    begun = [*islice((edits for edits in dict.fromkeys(either) if edits), PROOFS - 1), ()]
    for edits in begun if () not in tried else reversed(begun):
        for found in islice(completed(edits, cases, convention), WHOLE):
            whole = refined(found, cases, convention)
            if whole and whole != edits and (proved := _proved(whole, seen, convention, cases)) is not None:
                return proved
    return None


def _proved(whole: Edits, seen: Evidence, convention: Convention, cases: Cases) -> Explanation | None:
    """The explanation that these edits are, if the reference with them reproduces every number."""
    if not (consistent(whole, cases, convention) and determined(whole, cases, convention)):
        return None
    prediction = by_rules(edited(whole), convention)
    if not reproduces(prediction, seen):
        return None
    names = tuple(name for edit in whole for name in edit.names)
    mistakes = "; ".join(dict.fromkeys(edit.mistake for edit in whole if edit.mistake))
    of_loss = all(edit.step == "output_error" or EVERY in edit.words for edit in whole)
    alone = whole[0].layer if len(whole) == 1 and not of_loss else None
    words = whole[0].words if len(whole) == 1 else together(whole, len(seen[0][0].layers))
    if convention is not None and convention.reduction.startswith("sum"):  # nothing is to be divided there
        words = re.sub(
            r"does not divide (.*?) by the number of samples", r"multiplies \1 by the number of samples", words
        )
    different = len({edit.words for edit in whole})
    several = different > 1 or any(", number " in edit.words for edit in whole)
    forward = all(edit.step in ("preactivation", "activation") for edit in whole)
    return Explanation(names, words, mistakes, alone, prediction, several, of_loss, forward, True, different)


# ------------------------------------------------------------------------------------------- the walk


def _edits(views: Sequence[View], convention: Convention) -> Iterator[Edits]:
    """Sets of edits that give what single samples show."""
    for edits, forward in _forward([view.copy() for view in views], 0, ()):
        yield from _backward(forward, len(views[0].weights) - 1, convention, edits)


def _forward(views: list[View], k: int, edits: Edits) -> Iterator[tuple[Edits, list[View]]]:
    """Phase 1: z and a of each layer, right where the next layer's weight gradient has that a in it."""
    last = len(views[0].weights) - 1
    if k > last:
        yield edits, views
        return
    right = [view.copy() for view in views]
    for view in right:
        view.scope.values["pre_activations", k] = done(view.scope, "preactivation", k)
        view.scope.values["activations", k] = done(view.scope, "activation", k)
    direction = k == last or shows(right, k)
    if k == last or (direction and shows_exactly(right, k)):
        yield from _forward(right, k + 1, edits)
        return
    if direction:  # the weight gradient above may have a factor; or the activations have one
        yield from _forward(right, k + 1, edits)
    found = 0
    for entry in forwards(views[0].scope.layers[k].activation):
        for constant in _constants(views, k, entry):
            changed = forward_by(views, k, entry, constant)
            if changed and (shows_exactly(changed, k) if direction else shows(changed, k)):
                yield from _forward(changed, k + 1, (*edits, edit_of(entry, k, constant)))
                found += 1
        if found == BRANCHES:
            break
    if not direction:
        yield from _forward(right, k + 1, edits)


def _constants(views: Sequence[View], k: int, entry: Entry) -> Iterator[float]:
    """The entry's constants that give the activations which the layer above's gradients show; 0 for one without.

    With the biases' δ they show as they are, and without it, or where that is another δ, in their direction.
    """
    if not entry.starts:
        yield 0.0
        return
    alive = [view for view in views if (gradient := view.weights[k + 1]) is not None and gradient.any()]
    known = [(view, a) for view in alive if (a := shown_activations(view, k)) is not None][:SOLVED_ON]
    if known:
        yield from _solved(known, k, entry, lambda view, wanted, a: a - wanted)
    shown = [(view, np.asarray(view.weights[k + 1])) for view in alive][:SOLVED_ON]
    for constant in _solved(shown, k, entry, lambda view, gradient, a: beside(gradient, a)) if shown else ():
        yield from (constant, -constant)  # of an odd activation, both have one direction


def _solved(
    shown: Sequence[tuple[View, Array]], k: int, entry: Entry, off_of: Callable[[View, Array, Array], Array]
) -> Iterator[float]:
    """The constant at which the activations are least off. shown: each view, with what it shows of them"""
    views = [view for view, _ in shown]

    def off(constant: float) -> Array | None:
        changed = forward_by(views, k, entry, constant)
        if changed is None:
            return None
        made = [np.asarray(view.scope.values["activations", k]) for view in changed]
        with np.errstate(all="ignore"):
            return np.concatenate([off_of(v, a, m).ravel() for (v, a), m in zip(shown, made, strict=True)])

    largest = max(float(np.abs(array).max()) for _, array in shown)
    found = solved(off, entry.starts, views[0].near * SHORT * largest)
    if found is not None:
        yield snapped(found, views[0].near * SHORT)


def _backward(views: Sequence[View], k: int, convention: Convention, edits: Edits) -> Iterator[Edits]:
    """Phase 2: δ of each layer, the last first; then its gradients, each from the δ that was seen."""
    if k < 0:
        yield edits
        return
    for own, deltas in islice(deltas_of(views, k, convention), BRANCHES):
        known = [view.copy() for view in views]
        for view, (delta, error) in zip(known, deltas, strict=True):
            view.scope.values["deltas", k], view.scope.values["errors", k] = delta, error
        for edit in _gradient_edits(known, k, "weight_gradient"):
            for view in known:
                view.scope.values["weight_gradients", k] = view.weights[k]
            for other in _gradient_edits(known, k, "bias_gradient"):
                yield from _backward(known, k - 1, convention, (*edits, *own, *edit, *other))


def _gradient_edits(views: Sequence[View], k: int, step: str) -> list[Edits]:
    """Nothing, where the right rule gives what was seen, or it does not show; else what does; empty if nothing does."""
    seen = [array for view in views if (array := view.gradient(step, k)) is not None]
    if len(seen) < len(views) or not any(map(tells, seen)):
        return [()]  # what is zero shows nothing: several samples tell whether one is left out, or all
    right = [tried(view.scope, step, k) for view in views]
    if all(r is not None and alike(s, np.asarray(r), v.near) for r, s, v in zip(right, seen, views, strict=True)):
        return [()]
    found: list[Edits] = []
    if (factor := factor_of(views, right, seen)) is not None:
        found.append((scaled_step(step, k, factor, f"the {step.replace('_', ' ')}"),))
        if sum(bool(array.any()) for array in seen) > 1:
            return found  # of one sample alone, it may be something of that sample
    for entry in weight_gradients() if step == "weight_gradient" else bias_gradients():
        constant = fits(views, k, entry, seen)
        if constant is not None:
            found.append((edit_of(entry, k, constant),))
            if len(found) == BRANCHES:
                break
    return found
