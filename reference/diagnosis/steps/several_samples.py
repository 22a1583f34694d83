"""What shows on several samples alone: how they are added up, divided by and left out; limits that one did not reach.

Here nothing is read off. With the edits that single samples showed, the reference is run on a few cases, everything in
scope; where gradients still differ, the highest layer first, formulas are tried until the gradients of that layer come
out. So several samples are searched as single ones are: a step at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from ...case import Case
from ..conventions import Convention
from ..explanation import ARRAYS, Evidence
from .delta_formulas import hidden_errors, output_errors, slopes
from .delta_search import edited_deltas, error_by, errors_by
from .fitting import EVERY, TELLING, delta_by, edit_of, factor_of, fits, formula_of, forward_by, scaled_step, tried
from .forward_formulas import forwards
from .gradient_formulas import bias_gradients, over_samples, weight_gradients
from .scope import Formula, after
from .single_samples import SHORT, SMALLEST, Array, View, alike, tells, view_of
from .slope_search import Deltas, Edits, Sought, in_gradients
from .vocabulary import Entry, as_sure, snapped, solved

Cases = Sequence[tuple[Case, View]]
Admitted = dict[tuple[object, ...], bool]  # whether a single sample admits an edit, by all that is in its scope
Gradient = tuple[str, int]  # "weight_gradients" or "bias_gradients", of a layer

FEW, ALONE = 3, 2  # cases of several samples, and single ones, or more of these, that edits are tried on
RUNS = 40  # of the reference on all of these, until a search ends
BRANCHES = 4  # edits of one step that are followed up
KINDS = ("weight_gradients", "bias_gradients")


def cases_of(seen: Evidence, convention: Convention, roundings: float) -> Cases:
    """A few cases, those of several samples first, the smallest of each batch size; none where one shows none."""
    several = [pair for pair in seen if pair[0].batch > 1]
    distinct = list({case.batch: (case, o) for case, o in reversed(several)}.values())[::-1]
    chosen = [*distinct, *(pair for pair in several if pair not in distinct)][:FEW]
    chosen += [pair for pair in seen if pair[0].batch == 1][: FEW + ALONE - len(chosen)]
    views = [(case, view_of(case, observation, convention, roundings)) for case, observation in chosen]
    known = [(case, view) for case, view in views if view is not None]
    return known if len(known) == len(views) else []


def given(cases: Cases, edits: Edits, convention: Convention) -> Iterator[View]:
    """Each case's view, with all in scope that the reference with these edits computes."""
    for case, view in cases:
        yield replace(view, scope=after(case, edits, convention.rules, ARRAYS))


def wrong_in(view: View) -> list[Gradient]:
    """The gradients that were not seen as they are in scope."""
    wrong = []
    for quantity in KINDS:
        for k in range(len(view.weights)):
            seen = view.gradient(quantity, k)
            if seen is not None and not alike(seen, np.asarray(view.scope.values[quantity, k]), view.near):
                wrong.append((quantity, k))
    return wrong


def consistent(edits: Edits, cases: Cases, convention: Convention) -> bool:
    """Whether these edits give what these cases show, but for roundings."""
    return not any(wrong_in(view) for view in given(cases, edits, convention))


def completed(edits: Edits, cases: Cases, convention: Convention) -> Iterator[Edits]:
    """These edits with others besides, so that all cases' gradients come out; the fewest first."""
    waiting = [edits]
    admitted: Admitted = {}
    for run in range(RUNS):
        if run == len(waiting):
            return
        views = list(given(cases, waiting[run], convention))
        wrong = {place for view in views for place in wrong_in(view)}
        if not wrong:
            yield waiting[run]
        elif len(waiting) < RUNS:
            for way in _ways(views, wrong, convention, waiting[run], admitted):
                waiting += [(*waiting[run], *more) for more in islice(way, BRANCHES)]


def _ways(
    views: Sequence[View], wrong: Collection[Gradient], convention: Convention, edits: Edits, admitted: Admitted
) -> Iterator[Iterator[Edits]]:
    """Where edits may be that put the highest wrong layer right: its δ, a gradient of it, what no single one shows."""
    k = max(k for _, k in wrong)
    own = [quantity for quantity in KINDS if (quantity, k) in wrong]
    ways = [_of_delta(views, k, convention, edits, admitted), _of_gradient(views, k, own[0].removesuffix("s"), edits)]
    if len(own) < len(KINDS) and any(view.biases[k] is not None for view in views):
        ways.reverse()  # the other gradient is right: so may δ be
    yield from ways
    if k == len(views[0].weights) - 1:
        yield _of_forward(views, convention, edits)


def _taken(edits: Edits) -> set[tuple[str, int]]:
    return {(edit.step, edit.layer) for edit in edits}


# ------------------------------------------------------------------------------------------- of the forward pass


def _of_forward(views: Sequence[View], convention: Convention, edits: Edits) -> Iterator[Edits]:
    """Edits of z or a of layers that no single sample shows, and that give the last layer's gradients in all views."""
    last, taken = len(views[0].weights) - 1, _taken(edits)
    formulas = {(edit.step, edit.layer): edit.formula for edit in edits}
    by_biases = ("bias_gradient", last) not in taken and any(view.biases[last] is not None for view in views)
    if not by_biases and ("weight_gradient", last) in taken:
        return
    shown = [array for view in views for array in (view.weights[last], view.biases[last]) if array is not None]
    rounding = views[0].near * SHORT * max((float(np.abs(np.nan_to_num(a)).max()) for a in shown), default=0.0)
    for k in range(last):
        if not unseen(views, k + 1, "weight_gradient") or taken & {("preactivation", k), ("activation", k)}:
            continue

        def passed(entry: Entry, constant: float, k: int = k) -> tuple[Sought, list[Array | None]] | None:
            changed = _passed_by(views, k, entry, constant, formulas)
            sought = None if changed is None else in_gradients(changed, last, not by_biases, by_biases)
            if changed is None or sought is None:
                return None
            errors = [error_by(v, last, True, convention, formulas.get(("output_error", last))) for v in changed]
            slope = formulas.get(("output_delta", last))
            return sought, [delta_by(v, last, "output_delta", e, slope) for v, e in zip(changed, errors, strict=True)]

        for entry in forwards(views[0].scope.layers[k].activation):
            constant: float | None = 0.0
            if entry.starts:

                def off(c: float, entry: Entry = entry) -> Array | None:
                    found = passed(entry, c)
                    return None if found is None else found[0].off(found[1])

                constant = solved(off, entry.starts, rounding)
                constant = None if constant is None else snapped(constant, views[0].near * SHORT)
            found = None if constant is None else passed(entry, constant)
            if found is not None and found[0].are(found[1]):
                yield (edit_of(entry, k, constant),)


def _passed_by(
    views: Sequence[View], k: int, entry: Entry, constant: float, formulas: Mapping[tuple[str, int], Formula]
) -> list[View] | None:
    """z and a from layer k on, with an entry there; None where it has no meaning."""
    changed = forward_by(views, k, entry, constant)
    for view in changed or ():
        for above in range(k + 1, len(view.weights)):
            for step, quantity in (("preactivation", "pre_activations"), ("activation", "activations")):
                value = tried(view.scope, step, above, formulas.get((step, above)))
                if value is None:
                    return None
                view.scope.values[quantity, above] = value
    return changed


# ------------------------------------------------------------------------------------------- of a gradient


def _of_gradient(views: Sequence[View], k: int, step: str, edits: Edits) -> Iterator[Edits]:
    """Edits of one gradient that give it in all views."""
    if (step, k) in _taken(edits):
        return
    shown = [(view, view.gradient(step, k)) for view in views]
    known = [(view, array) for view, array in shown if array is not None]
    if not any(np.isfinite(array).any() for _, array in known):
        return
    views, seen = [view for view, _ in known], [array for _, array in known]
    for entry in over_samples(step):
        if gives(views, k, entry, seen):
            yield (edit_of(entry, k, 0.0),)
    right = [view.scope.values[f"{step}s", k] for view in views]
    if (factor := factor_of(views, right, seen)) is not None:
        yield (scaled_step(step, k, factor, f"the {step.replace('_', ' ')}"),)
    for entry in weight_gradients() if step == "weight_gradient" else bias_gradients():
        if (entry.limit is not None or unseen(views, k, step)) and (
            constant := fits(views, k, entry, seen)
        ) is not None:
            yield (edit_of(entry, k, constant),)


def gives(views: Sequence[View], k: int, entry: Entry, seen: Sequence[Array]) -> bool:
    """Whether an entry without a constant gives what was seen of a layer in all views."""
    for view, array in zip(views, seen, strict=True):
        value = tried(view.scope, entry.step, k, partial(formula_of, entry, 0.0))
        if value is None or not alike(array, np.asarray(value), view.near):
            return False
    return True


def unseen(views: Sequence[View], k: int, step: str) -> bool:
    """Whether single samples show nothing of a gradient: there are none, or it is zero, or no number."""
    alone = [view.gradient(step, k) for view in _alone(views)]
    return not any(array is not None and tells(array) for array in alone)


def _alone(views: Sequence[View]) -> list[View]:
    """The views of a single sample."""
    return [view for view in views if len(np.asarray(view.scope.targets)) == 1]


# ------------------------------------------------------------------------------------------- of δ


def _of_delta(
    views: Sequence[View], k: int, convention: Convention, edits: Edits, admitted: Admitted
) -> Iterator[Edits]:
    """Edits of a layer's δ, or of what it is made of, that give the layer's gradients in all views."""
    last = k == len(views[0].weights) - 1
    taken, formulas = _taken(edits), {(edit.step, edit.layer): edit.formula for edit in edits}
    step = "output_delta" if last else "hidden_delta"
    found = False
    for changed in ("output_error", step) if last else (step,):
        if (changed, k) in taken:
            continue
        for entry in over_samples(changed):
            if all(_comes_out(view, k, changed, step, entry, convention, formulas) for view in views):
                found = True
                yield (edit_of(entry, k, 0.0),)
    if found or taken & {(s, k) for s in ("output_error", "hidden_error", step)}:
        return
    sought = in_gradients(
        views, k, of_weights=("weight_gradient", k) not in taken, of_biases=("bias_gradient", k) not in taken
    )
    if sought is None:
        return
    deltas = np.concatenate([np.ravel(view.scope.values["deltas", k]) for view in views])
    for _, factor in sought.factors(deltas[None]):
        yield (scaled_step(step, k, factor, EVERY if last else "δ"),)
    yield from _limits(views, k, convention, step, sought)
    hidden = unseen(views, k, "weight_gradient") and unseen(views, k, "bias_gradient")
    if edits or hidden or not any((kind, k) in wrong_in(view) for view in _alone(views) for kind in KINDS):
        first = _alone(views)[:1]
        if last or _may_be_edited(first, k, convention, taken, admitted):
            for own, _ in _edited(views, k, convention, sought):
                yield own


def _may_be_edited(
    first: Sequence[View], k: int, convention: Convention, taken: Collection[Gradient], admitted: Admitted
) -> bool:
    """Whether one single sample, if it shows the layer, admits any edit of δ: what it refutes, all samples do."""
    of_weights, of_biases = ("weight_gradient", k) not in taken, ("bias_gradient", k) not in taken
    sought = in_gradients(first, k, of_weights, of_biases)
    if sought is None or np.count_nonzero(np.nan_to_num(sought.wanted)) < TELLING:
        return True
    values = first[0].scope.values
    key = k, of_weights, of_biases, *((place, np.asarray(values[place]).tobytes()) for place in sorted(values))
    if key not in admitted:
        admitted[key] = next(_edited(first, k, convention, replace(sought, least=1)), None) is not None
    return admitted[key]


def _edited(views: Sequence[View], k: int, convention: Convention, sought: Sought) -> Iterator[tuple[Edits, Deltas]]:
    right = [np.asarray(view.scope.values["errors", k]) for view in views]
    return edited_deltas([view.copy() for view in views], k, convention, [sought], right)


def _comes_out(
    view: View,
    k: int,
    changed: str,
    step: str,
    entry: Entry,
    convention: Convention,
    formulas: Mapping[tuple[str, int], Formula],
) -> bool:
    """Whether an entry of ∂E/∂o or δ gives a layer's gradients, with the edits that there are."""
    formula = partial(formula_of, entry, 0.0)
    if changed == step:
        delta = tried(view.scope, step, k, formula)
    else:
        error = error_by(view, k, True, convention, formula)
        delta = delta_by(view, k, step, error, formulas.get((step, k)))
    if delta is None:
        return False
    scope = replace(view.scope, values={**view.scope.values, ("deltas", k): delta})
    for quantity in KINDS:
        seen, rule = view.gradient(quantity, k), quantity.removesuffix("s")
        if seen is None:
            continue
        made = tried(scope, rule, k, formulas.get((rule, k)))
        if made is None or not alike(seen, np.asarray(made), view.near):
            return False
        scope.values[quantity, k] = made
    return True


def _limits(views: Sequence[View], k: int, convention: Convention, step: str, sought: Sought) -> Iterator[Edits]:
    """Clipping of ∂E/∂a, or of δ, whose constant no single sample may have shown."""
    last = k == len(views[0].weights) - 1
    for quantity, entries in (
        ("errors", output_errors() if last else hidden_errors()),
        ("deltas", slopes(step, views[0].scope.layers[k].activation)),
    ):
        for entry in entries:
            if entry.limit is None:
                continue
            values = [np.asarray(view.scope.values[quantity, k]) for view in views]
            scales = [entry.limit(view.scope) for view in views]
            limit = _limit(views, k, step if quantity == "errors" else "", sought, values, scales)
            if limit is None:
                continue
            if quantity == "deltas":
                formula = partial(formula_of, entry, limit)
                deltas = [delta_by(view, k, step, view.scope.values["errors", k], formula) for view in views]
            else:
                errors = errors_by(views, k, last, convention, entry, limit)
                if errors is None:
                    continue
                deltas = [delta_by(view, k, step, e, None) for view, e in zip(views, errors, strict=True)]
            if sought.are(deltas):
                yield (edit_of(entry, k, limit),)


def _limit(
    views: Sequence[View], k: int, step: str, sought: Sought, values: Sequence[Array], scales: Sequence[float]
) -> float | None:
    """The limit that gives what was seen. Between two of the right sizes, gradients are straight lines of it.

    step: from the values to δ;  scales: what each view's values are multiplied by before they are clipped
    """
    value = np.concatenate([v.ravel() for v in values])
    scale = np.concatenate([np.full(v.size, by) for v, by in zip(values, scales, strict=True)])
    size = np.abs(value) * scale
    ends = np.unique(size[np.isfinite(size)])
    if len(ends) < 2:
        return None
    beyond = size[None] > ends[:-1, None]
    with np.errstate(all="ignore"):
        fixed = sought.of(_slope_of(views, k, step, np.where(beyond, 0.0, value), values))
        sloped = sought.of(_slope_of(views, k, step, np.where(beyond, np.sign(value) / scale, 0.0), values))
        left = np.nan_to_num(sought.wanted - fixed)
        limits = (left * sloped).sum(axis=1) / np.maximum((sloped * sloped).sum(axis=1), SMALLEST)
        off = np.abs(left - limits[:, None] * sloped)
        inside = (limits > 0) & (limits >= ends[:-1] * (1 - sought.unit)) & (limits <= ends[1:] * (1 + sought.unit))
        fitting = np.flatnonzero(inside & np.all(off <= sought.near, axis=1))
    return as_sure(float(limits[fitting[0]]), sought.unit * SHORT) if len(fitting) else None


def _slope_of(views: Sequence[View], k: int, step: str, rows: Array, values: Sequence[Array]) -> Array:
    """Rows of all views' ∂E/∂a as rows of δ."""
    if not step:
        return rows
    made, start = [], 0
    for view, value in zip(views, values, strict=True):
        own = rows[:, start : start + value.size].reshape(-1, *value.shape)
        start += value.size
        deltas = [delta_by(view, k, step, row, None) for row in own]
        made.append(np.stack([np.ravel(delta) for delta in deltas if delta is not None]))
    return np.concatenate(made, axis=1)
