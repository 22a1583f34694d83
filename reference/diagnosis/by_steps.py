"""Explains each wrong step by itself, from the numbers that it had.

One sample shows everything: the bias gradient is δ, and the weight gradient δ · aᵀ shows the activations below. So each
step's own operands are known, and what it made of them: a formula of `vocabulary.py` either gives that or does not. Two
wrong steps are two searches, one after the other, and not the product of both.

What is found is no explanation yet: the reference with these edits has to reproduce every number, several samples
included, within its bounds (`explanation.reproduces`); constants are fitted on single samples and proved on all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice

import numpy as np

from ..judging import Place
from ..numbers import PROFILES
from .conventions import Convention
from .delta_search import SOLVED_ON, Edits, deltas_of
from .explanation import ARRAYS, Evidence, Explanation, by_rules, reproduces
from .fitting import EVERY, edit_of, factor_of, fits, formula_of, forward_by, scaled_step, tried
from .forward_formulas import forwards
from .gradient_formulas import bias_gradients, over_samples, weight_gradients
from .scope import Edit, done, edited, together
from .single_samples import NEAR, SHORT, Array, View, alike, gradients_of, shown_activations, shows, views_of
from .vocabulary import Entry, snapped, solved

BRANCHES = 4  # formulas that a step is tried with, where several give its numbers
CANDIDATES = 24  # sets of edits that are looked at on several samples
PROOFS = 4  # of them, to which edits are added that show on several samples alone


def wrong_formulas(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """The first set of edits of single steps that reproduces everything; nothing where none does."""
    if convention is None:
        case = seen[0][0]
        convention = Convention(tuple(layer.activation for layer in case.layers), case.loss, case.reduction)
    views = views_of(seen)
    if not views:
        return
    layers = len(views[0].weights)
    seen = sorted(seen, key=lambda pair: pair[0].batch)  # the smallest first: most sets of edits fail there
    tried: dict[tuple[tuple[str, int, str], ...], Edits] = {}
    for edits in islice(chain([()], _edits(views, convention)), CANDIDATES):
        known = tuple((edit.step, edit.layer, edit.words) for edit in edits)
        if edits and known not in tried and (found := _proved(edits, seen, convention, layers)) is not None:
            yield found
            return
        tried.setdefault(known, edits)
    for edits in islice(tried.values(), PROOFS):
        whole = _with_samples(edits, seen, convention)
        if whole and whole != edits and (found := _proved(whole, seen, convention, layers)) is not None:
            yield found
            return


def _proved(whole: Edits, seen: Evidence, convention: Convention, layers: int) -> Explanation | None:
    """The explanation that these edits are, if the reference with them reproduces every number."""
    if _wrong_places(whole, seen, convention, any_one=True):
        return None
    prediction = by_rules(edited(whole), convention)
    if not reproduces(prediction, seen):
        return None
    names = tuple(name for edit in whole for name in edit.names)
    mistakes = "; ".join(dict.fromkeys(edit.mistake for edit in whole if edit.mistake))
    of_loss = all(edit.step == "output_error" or EVERY in edit.words for edit in whole)
    alone = whole[0].layer if len(whole) == 1 and not of_loss else None
    words = whole[0].words if len(whole) == 1 else together(whole, layers)
    several = len({edit.words for edit in whole}) > 1 or any(", number " in edit.words for edit in whole)
    return Explanation(names, words, mistakes, alone, prediction, several, of_loss)


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
    if k < last and not shows(right, k):
        found = 0
        for entry in forwards(views[0].scope.layers[k].activation):
            constant = _solved_by_activations(views, k, entry) if entry.starts else 0.0
            changed = None if constant is None else forward_by(views, k, entry, constant)
            if changed and shows(changed, k):
                yield from _forward(changed, k + 1, (*edits, edit_of(entry, k, constant)))
                found += 1
                if found == BRANCHES:
                    break
    yield from _forward(right, k + 1, edits)


def _solved_by_activations(views: Sequence[View], k: int, entry: Entry) -> float | None:
    """The entry's constant that gives the activations which the layer above's gradients show."""
    views = views[:SOLVED_ON]
    shown = [shown_activations(view, k) for view in views]
    if any(a is None for a in shown):
        return None
    wanted = np.concatenate([a.ravel() for a in shown if a is not None])

    def off(constant: float) -> Array | None:
        changed = forward_by(views, k, entry, constant)
        if changed is None:
            return None
        return np.concatenate([np.ravel(v.scope.values["activations", k]) for v in changed]) - wanted

    found = solved(off, entry.starts)
    return None if found is None else snapped(found, views[0].near * SHORT)


def _backward(views: Sequence[View], k: int, convention: Convention, edits: Edits) -> Iterator[Edits]:
    """Phase 2: δ of each layer, the last first; then its gradients, each from the δ that was seen."""
    if k < 0:
        yield edits
        return
    for own, deltas in islice(deltas_of(views, k, convention), BRANCHES):
        known = [view.copy() for view in views]
        for view, (delta, error) in zip(known, deltas, strict=True):
            view.scope.values["deltas", k], view.scope.values["errors", k] = delta, error
        of_weights = _gradient_edits(known, k, "weight_gradient", [view.weights[k] for view in known])
        for edit in of_weights:
            for view in known:
                view.scope.values["weight_gradients", k] = view.weights[k]
            biases = [bias for view in known if (bias := view.biases[k]) is not None]
            shown = len(biases) == len(known)
            of_biases: list[Edits] = _gradient_edits(known, k, "bias_gradient", biases) if shown else [()]
            for other in of_biases:
                yield from _backward(known, k - 1, convention, (*edits, *own, *edit, *other))


def _gradient_edits(views: Sequence[View], k: int, step: str, seen: Sequence[Array]) -> list[Edits]:
    """Nothing, where the right rule gives what was seen; else what does; empty where nothing does."""
    right = [tried(view.scope, step, k) for view in views]
    if all(r is not None and alike(s, r, v.near) for r, s, v in zip(right, seen, views, strict=True)):
        return [()]
    found: list[Edits] = []
    if (factor := factor_of(views, right, seen)) is not None:
        what = f"the {step.replace('_', ' ')}"
        return [(scaled_step(step, k, factor, what),)]
    for entry in weight_gradients() if step == "weight_gradient" else bias_gradients():
        constant = fits(views, k, entry, seen)
        if constant is not None:
            found.append((edit_of(entry, k, constant),))
            if len(found) == BRANCHES:
                break
    return found


# ------------------------------------------------------------------------------------ several samples


def _with_samples(edits: Edits, seen: Evidence, convention: Convention) -> Edits | None:
    """The edits, and those that show on several samples alone; None where these are not explained."""
    several = seen  # single samples among them: they are dropped, and divided by, as others are
    wrong = _wrong_places(edits, several, convention)
    if not wrong:
        return edits
    last = max(place.layer or 0 for place in wrong)
    candidates: list[tuple[str, int]] = [("output_error", last), ("output_delta", last)]
    candidates += [("hidden_delta", k) for k in range(last, -1, -1)]
    layers = len(several[0][0].layers)
    for step, k in candidates:
        if (step == "hidden_delta") == (k == layers - 1) or any((e.step, e.layer) == (step, k) for e in edits):
            continue
        for entry in over_samples(step):
            more = (*edits, Edit(step, k, entry.words, partial(formula_of, entry, 0.0), (), entry.mistake))
            if not _wrong_places(more, several, convention, any_one=True):
                return more
    for place in sorted(wrong, key=lambda p: (-(p.layer or 0), p.quantity)):
        step = place.quantity.removesuffix("s")
        taken = any((e.step, e.layer) == (step, place.layer) for e in edits)
        for entry in () if taken else over_samples(step):
            more = (
                *edits,
                Edit(step, place.layer or 0, entry.words, partial(formula_of, entry, 0.0), (), entry.mistake),
            )
            if place not in _wrong_places(more, several, convention):
                edits = more
                break
    return None if _wrong_places(edits, several, convention) else edits


def _wrong_places(edits: Edits, several: Evidence, convention: Convention, any_one: bool = False) -> set[Place]:
    """The gradients that these edits do not give; if `any_one`, those of the first answer that has such."""
    prediction = by_rules(edited(edits), convention)
    wrong: set[Place] = set()
    for case, observation in several:
        if any_one and wrong:
            break
        places = prediction(case, ARRAYS) or {}
        near = NEAR * PROFILES[observation.precision].storage.unit_roundoff
        for place, array in gradients_of(case, observation).items():
            if observation.weight_gradients is None:
                largest = float(np.abs(np.asarray(case.layers[place.layer or 0].weights, float)).max())
                near = max(near, near * largest / max(float(np.abs(array).max()), 1e-300) / (case.learning_rate or 1))
            with np.errstate(all="ignore"):
                if not alike(array, np.asarray(places[place]), near):
                    wrong.add(place)
    return wrong
