"""Whether what was found is proved by more numbers than it was found by, so that another formula would not do.

An edit may reproduce all that was seen, and still not be what was done: a limit that was reached in one place, a sample
that may be the second or the last. Each question here is about one kind of rival; where it is open, nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from ...activations import SOFTMAX
from ..conventions import Convention
from .delta_formulas import hidden_errors, output_errors
from .fitting import delta_by, tried
from .gradient_formulas import over_samples
from .scope import RESULTS, Edit
from .several_samples import KINDS, Cases, given, gives, unseen
from .single_samples import SMALLEST, Array, View, alike
from .slope_search import Edits

KINKED = ("identity", "relu", "relu6", "hardtanh")  # the derivative is 0 or 1 everywhere: it does not matter which
MOST_SAMPLES = 9
BITS = 20  # of a million formulas and products of them, one would be right by chance
STEPS = ("weight_gradient", "bias_gradient")


def determined(edits: Edits, cases: Cases, convention: Convention) -> bool:
    """Whether what was found is proved by more numbers than it was found by, so that another formula would not do.

    A constant shows in more numbers than the one that it may be read off; a formula in enough of them, of so many
    digits, that none of all that are tried would give them by chance; and in numbers that tell its operands apart.
    """
    views = list(given(cases, edits, convention))
    bits = -math.log2(views[0].near)
    return all(
        (not edit.fitted or sum(_showing(edit, view) for view in views) > 1)
        and sum(_changed(edit, view) for view in views) * bits >= BITS
        and _operands_told_apart(edit, views)
        and _single_told(edit, edits, cases, convention)
        and _samples_told_apart(edit, views)
        and _derivative_seen(edit, views)
        and _limit_told_apart(edit, views)
        and _clipped_told_apart(edit, views)
        for edit in edits
    )


def _single_told(edit: Edit, edits: Edits, cases: Cases, convention: Convention) -> bool:
    """Whether it is known if a single sample is left out: it shows a gradient, or would without the edit."""
    if edit.entry is None or edit.entry.kept is None:
        return True
    alone = [(case, view) for case, view in cases if case.batch == 1]
    if not alone or not all(unseen([view for _, view in alone], edit.layer, step) for step in STEPS):
        return True
    without = given(alone, tuple(other for other in edits if other is not edit), convention)
    return any(np.asarray(view.scope.values[q, edit.layer]).any() for view in without for q in KINDS)


def _samples_told_apart(edit: Edit, views: Sequence[View]) -> bool:
    """Whether it is known which sample is left out: others may be the same one in these cases, or have no gradient."""
    own = None if edit.entry is None else edit.entry.kept
    if own is None:
        return True
    made = [np.asarray(view.scope.values[RESULTS[edit.step], edit.layer]) for view in views]
    seen = {len(array) for array in (np.asarray(view.scope.targets) for view in views)} - {1}
    batches = range(1, MOST_SAMPLES) if len(seen) > 1 else seen  # one number of samples is a declared one
    return not any(
        entry.kept is not None
        and any(list(entry.kept(n)) != list(own(n)) for n in batches)
        and gives(views, edit.layer, entry, made)
        for entry in over_samples(edit.step)
    )


def _limit_told_apart(edit: Edit, views: Sequence[View]) -> bool:
    """Whether it is known what is clipped: before a division by the number of samples or after it is one, for one."""
    own = None if edit.entry is None else edit.entry.limit
    batches = {len(np.asarray(view.scope.targets)) for view in views}
    if own is None or len(batches) == 1:
        return True
    clipped = [view for view in views if _changed(edit, view)]
    others = [entry.limit for entry in (*output_errors(), *hidden_errors()) if entry.step == edit.step and entry.limit]
    for other in others:
        everywhere, shown = ({other(v.scope) / own(v.scope) for v in these} for these in (views, clipped))
        if len(everywhere) > 1 >= len(shown):
            return False
    return True


def _clipped_told_apart(edit: Edit, views: Sequence[View]) -> bool:
    """Whether it is known which is clipped, ∂E/∂a or δ: where all that is clipped has the derivative 1, both may be."""
    k = edit.layer
    of_errors = RESULTS[edit.step] == "errors"
    own = views[0].scope.layers[k].activation
    if edit.entry is None or edit.entry.limit is None or not (of_errors or RESULTS[edit.step] == "deltas"):
        return True
    if own is SOFTMAX or own.name in KINKED or not isinstance(edit.formula, partial):
        return True
    step = "output_delta" if k == len(views[0].weights) - 1 else "hidden_delta"
    for view in views:
        found = tried(view.scope, edit.step, k) if of_errors else view.scope.values["errors", k]
        error = np.asarray(found, np.float64)
        slope = None if found is None else delta_by(view, k, step, np.ones(error.shape), None)
        if slope is None:
            return True
        limit = float(edit.formula.args[-1]) / edit.entry.limit(view.scope)
        one, other = np.clip(error, -limit, limit) * slope, np.clip(error * slope, -limit, limit)
        if not alike(one, other, view.near):
            return True
    return False


def _derivative_seen(edit: Edit, views: Sequence[View]) -> bool:
    """Whether a hidden layer's other activation shows in its δ too: else its derivative may be the old one."""
    if edit.step != "activation" or edit.layer == len(views[0].weights) - 1:
        return True
    deltas = (np.asarray(view.scope.values["deltas", edit.layer]) for view in views)
    return any((np.isfinite(delta) & (delta != 0)).any() for delta in deltas)


def _changed(edit: Edit, view: View) -> int:
    """How many numbers of a step an edit changes, by more than roundings come to."""
    made, right = view.scope.values[RESULTS[edit.step], edit.layer], tried(view.scope, edit.step, edit.layer)
    if right is None or np.shape(made) != np.shape(right):
        return int(np.size(made))
    with np.errstate(all="ignore"):
        off = np.abs(np.asarray(made) - right)
        return int(np.count_nonzero(~(off <= view.near * np.abs(right).max(initial=SMALLEST))))


def _operands_told_apart(edit: Edit, views: Sequence[View]) -> bool:
    """Whether z and a are told apart, where δ was multiplied by either: of ReLU, above zero, they are the same.

    Where nothing below is seen, z² and a² are one formula, and there are others of which nothing is seen below.
    """
    k = edit.layer
    own = views[0].scope.layers[k].activation
    if own is SOFTMAX or own.name == "identity" or edit.step not in ("hidden_error", "hidden_delta", "output_delta"):
        return True
    ratios: list[Array] = []
    for view in views:
        values = view.scope.values
        base = tried(view.scope, edit.step, k) if edit.step == "hidden_error" else values["errors", k]
        z, a, made = (np.asarray(values[q, k]) for q in ("pre_activations", "activations", RESULTS[edit.step]))
        if base is None or np.any((z != a) & (np.asarray(base) != 0)):
            return True
        ratios.append(
            np.divide(made, base, out=np.zeros_like(made), where=np.asarray(base) != 0)[np.asarray(base) != 0]
        )
    known = np.concatenate(ratios)
    return bool(np.ptp(known) <= views[0].near * np.abs(known).max()) if known.size else True


def _showing(edit: Edit, view: View) -> int:
    """In how many numbers of a step an edit's constant shows; rows, where they follow from as many of δ.

    A limit shows in those that it leaves as they are, too: none is larger. ∂E/∂a shows where there is a δ.
    """
    made, right = view.scope.values[RESULTS[edit.step], edit.layer], tried(view.scope, edit.step, edit.layer)
    shows = np.asarray(made) != 0
    if right is not None and np.shape(made) == np.shape(right) and not (edit.entry and edit.entry.limit):
        shows &= np.asarray(made) != right
    if RESULTS[edit.step] == "errors":
        shows &= np.asarray(view.scope.values["deltas", edit.layer]) != 0
    return int(np.count_nonzero(shows.any(axis=1) if edit.scales and edit.step == "weight_gradient" else shows))
