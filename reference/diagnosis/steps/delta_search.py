"""δ of a layer, from what was seen of it: which ∂E/∂a, which slope, which constant; of the last one, which outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ...activations import ACTIVATIONS, SOFTMAX, Activation
from ...more_activations import MORE_ACTIVATIONS
from ...numbers import Matrix
from ..conventions import Convention
from .delta_formulas import hidden_errors, output_errors, slopes
from .fitting import (
    EVERY,
    agreed,
    constant_of,
    delta_by,
    edit_of,
    factor_of,
    formula_of,
    forward_by,
    scaled_step,
    tried,
)
from .forward_formulas import forwards
from .scope import Edit, Scope
from .single_samples import SHORT, Array, View, alike, left_factor, tells
from .slope_search import Deltas, Edits, Sought, itself, powers, products
from .vocabulary import Entry, snapped, solved

SOLVED_ON = 2  # views that a constant of the forward pass is searched on; it has to hold on all


def deltas_of(views: Sequence[View], k: int, convention: Convention) -> Iterator[tuple[Edits, Deltas]]:
    """Edits of a layer's δ, none where it is right, with the δ and ∂E/∂a that they come to."""
    last = k == len(views[0].weights) - 1
    step = "output_delta" if last else "hidden_delta"
    errors = [error_by(view, k, last, convention, None) for view in views]
    deltas = [delta_by(view, k, step, error, None) for view, error in zip(views, errors, strict=True)]
    right = [error for error in errors if error is not None]
    expected = [delta for delta in deltas if delta is not None]
    if len(right) < len(views) or len(expected) < len(views):
        return
    options = seen_deltas(views, k, expected)
    for seen in options:
        if _all_alike(views, seen, expected):
            yield (), list(zip(expected, right, strict=True))
            return
    found = 0
    for seen in options:
        if (factor := factor_of(views, expected, seen)) is not None:
            yield (scaled_step(step, k, factor, EVERY if last else "δ"),), list(zip(seen, right, strict=True))
            found += 1
            break
    alive = any(tells(s) for seen in options for s in seen)
    if not found and alive:
        yield from edited_deltas(views, k, convention, [itself(views, seen) for seen in options], right)
    if any(view.biases[k] is None for view in views) or not alive:
        yield (), list(zip(expected, right, strict=True))  # what δ was does not show for sure: it may be right


def edited_deltas(
    views: Sequence[View], k: int, convention: Convention, options: Sequence[Sought], right: Sequence[Array]
) -> Iterator[tuple[Edits, Deltas]]:
    """One operand replaced; then ∂E/∂a and the slope; then what is searched for."""
    last = k == len(views[0].weights) - 1
    step = "output_delta" if last else "hidden_delta"
    known: list[Callable[[], Iterator[tuple[Edits, Deltas]]]] = [
        lambda: _by_outputs(views, k, convention, options, constants=False) if last else iter(()),
        lambda: _by_formulas(views, k, step, last, convention, options, right),
        lambda: _by_another_activation(views, k, convention, options) if last else iter(()),
        lambda: _by_outputs(views, k, convention, options, constants=True) if last else iter(()),
    ]
    found = 0
    for number, tries in enumerate(known):
        if found and number > 1:
            return
        for pair in tries():
            found += 1
            yield pair


def _by_formulas(
    views: Sequence[View], k: int, step: str, last: bool, convention: Convention, options: Sequence[Sought],
    right: Sequence[Array],
) -> Iterator[tuple[Edits, Deltas]]:  # fmt: skip
    """Every entry of ∂E/∂a, and every one of the slope."""
    entries = list(output_errors() if last else hidden_errors())
    errors: list[tuple[Edits, Sequence[Array]]] = [((), right)]
    errors += _other_errors(views, k, last, convention, entries)
    of_slopes: list[Entry | None] = [None, *slopes(step, views[0].scope.layers[k].activation)]
    for sought in options:
        for entry in entries if sought.seen is not None else ():
            constant = None if entry.fit is None else _fitted_error(views, k, entry, sought.seen or (), step)
            other = errors_by(views, k, last, convention, entry, constant) if constant else None
            if other is not None:
                values = [delta_by(view, k, step, error, None) for view, error in zip(views, other, strict=True)]
                if sought.are(values):
                    yield (edit_of(entry, k, constant),), sought.pairs(other)
        found = [*products(views, k, step, errors, of_slopes, sought), *powers(views, k, step, right, sought)]
        for _, edits, error in sorted(found, key=lambda entry: entry[0]):
            yield edits, sought.pairs(error)


def _other_errors(
    views: Sequence[View], k: int, last: bool, convention: Convention, entries: Sequence[Entry]
) -> list[tuple[Edits, Sequence[Array]]]:
    """∂E/∂a by every entry without a constant."""
    made = [(entry, errors_by(views, k, last, convention, entry, 0.0)) for entry in entries if entry.fit is None]
    shapes = [np.shape(view.scope.values["activations", k]) for view in views]
    return [
        ((edit_of(entry, k, 0.0),), errors)
        for entry, errors in made
        if errors is not None and [e.shape for e in errors] == shapes
    ]


def _fitted_error(views: Sequence[View], k: int, entry: Entry, seen: Sequence[Array], step: str) -> float | None:
    """A constant of ∂E/∂a, fitted to the δ seen, divided by the slope."""
    found = []
    for view, delta in zip(views, seen, strict=True):
        unit = delta_by(view, k, step, np.ones_like(delta), None)
        if unit is None or views[0].scope.layers[k].activation is SOFTMAX:
            return None
        with np.errstate(all="ignore"):
            wanted = np.where(unit != 0, delta / unit, 0.0)
        found.append(constant_of(view, k, entry, wanted))
    constant: float | None = agreed(found, entry.limit is not None, views[0].near)
    return constant


def seen_deltas(views: Sequence[View], k: int, expected: Sequence[Array]) -> list[list[Array]]:
    """What δ may have been: the bias gradient, and the weight gradient's left factor; once, if they are the same."""
    options: list[list[Array]] = []
    for found in (
        [view.biases[k] for view in views],
        [_from_weights(view, k, right) for view, right in zip(views, expected, strict=True)],
    ):
        if all(array is not None for array in found):
            known: list[Array] = [array for array in found if array is not None]
            if not any(_all_alike(views, known, other) for other in options):
                options.append(known)
    return options


def _from_weights(view: View, k: int, right: Array) -> Array | None:
    """δ by the weight gradient; the right one where the layer received nothing, which shows nothing."""
    received, gradient = view.scope.values["activations", k - 1], view.weights[k]
    if not received.any() or gradient is None:
        return right if gradient is not None else None
    found = left_factor(gradient, received, view.near, np.asarray(view.scope.layers[k].weights))
    return None if found is None else found[0]


def _all_alike(views: Sequence[View], one: Sequence[Array], other: Sequence[Array | None]) -> bool:
    return all(o is not None and alike(a, o, v.near) for a, o, v in zip(one, other, views, strict=True))


def error_by(view: View, k: int, last: bool, convention: Convention, formula: Any) -> Array | None:
    """∂E/∂a of a layer, by the right rule or a formula, as the convention reduces it."""
    if not last:
        return tried(view.scope, "hidden_error", k, formula)
    found = tried(view.scope, "output_error", k, formula)
    if found is None:
        return None
    return np.asarray(convention.error(found, view.scope.outputs, view.scope.ar))


def errors_by(
    views: Sequence[View], k: int, last: bool, convention: Convention, entry: Entry, constant: Any
) -> list[Array] | None:
    """The entry's ∂E/∂a in all views; None where it has no meaning."""
    known = []
    for view in views:
        error = error_by(view, k, last, convention, partial(formula_of, entry, constant))
        if error is None:
            return None
        known.append(np.asarray(error))
    return known


def _by_outputs(
    views: Sequence[View], k: int, convention: Convention, options: Sequence[Sought], constants: bool
) -> Iterator[tuple[Edits, Deltas]]:
    """Edits of the last layer's forward pass, which shows in its δ alone: those with a constant, or the others."""
    for entry in forwards(views[0].scope.layers[k].activation):
        if bool(entry.starts) != constants:
            continue
        for sought in options:
            constant: float | None = 0.0
            if entry.starts:
                constant = _solved_by_deltas(views, k, entry, convention, sought)
            changed = None if constant is None else forward_by(views, k, entry, constant)
            if changed is None:
                continue
            errors, deltas = _last_deltas(changed, k, convention)
            if sought.are(deltas):
                with _in_scope(views, changed):
                    yield (edit_of(entry, k, constant),), sought.pairs(errors)
                return


def _by_another_activation(
    views: Sequence[View], k: int, convention: Convention, options: Sequence[Sought]
) -> Iterator[tuple[Edits, Deltas]]:
    """Another activation of the last layer, in both passes."""
    own = views[0].scope.layers[k].activation
    for other in (*ACTIVATIONS.values(), *MORE_ACTIVATIONS.values()):
        if other.name == own.name:
            continue
        changed = [view.copy() for view in views]
        for view in changed:
            view.scope.values["activations", k] = tried(view.scope, "activation", k, partial(_activated_by, other))
        errors = [error_by(view, k, True, convention, None) for view in changed]
        for derivative in (other,) if own is SOFTMAX else (other, own):
            slope = partial(_through, derivative)
            deltas = [delta_by(v, k, "output_delta", e, slope) for v, e in zip(changed, errors, strict=True)]
            if not any(sought.are(deltas) for sought in options):
                continue
            words = f"computes {other.name} and {OF[derivative is own]} derivative, where {own.name} belongs"
            forward = Edit("activation", k, words, partial(_activated_by, other))
            sought = next(sought for sought in options if sought.are(deltas))
            with _in_scope(views, changed):
                yield (forward, Edit("output_delta", k, words, slope)), sought.pairs(errors)
            return


OF = {False: "its", True: "the old"}


@contextmanager
def _in_scope(views: Sequence[View], changed: Sequence[View]) -> Iterator[None]:
    """What an edit of the forward pass computed is what later steps find, as long as it is followed up."""
    before = [dict(view.scope.values) for view in views]
    for view, other in zip(views, changed, strict=True):
        view.scope.values.update(other.scope.values)
    yield
    for view, values in zip(views, before, strict=True):
        view.scope.values.update(values)


def _activated_by(activation: Activation, scope: Scope) -> Matrix:
    return scope.ar.activate(activation, scope.arguments[1])


def _through(activation: Activation, scope: Scope) -> Matrix:
    """δ by an activation's derivative, from its own value."""
    _, z, _, error = scope.arguments
    f, d = activation.value, activation.derivative
    return scope.ar.elementwise(lambda z, e, fn: e * d(z, f(z, fn), fn), z, error)


def _last_deltas(
    views: Sequence[View], k: int, convention: Convention
) -> tuple[list[Array | None], list[Array | None]]:
    """∂E/∂o and δ of the last layer, from what is in scope."""
    errors = [error_by(view, k, True, convention, None) for view in views]
    return errors, [delta_by(view, k, "output_delta", error, None) for view, error in zip(views, errors, strict=True)]


def _solved_by_deltas(
    views: Sequence[View], k: int, entry: Entry, convention: Convention, sought: Sought
) -> float | None:
    """The constant of the last layer's forward pass that gives what was seen."""
    if sought.seen is not None:
        views = views[:SOLVED_ON]
        sought = itself(views, sought.seen[:SOLVED_ON])

    def off(constant: float) -> Array | None:
        changed = forward_by(views, k, entry, constant)
        return None if changed is None else sought.off(_last_deltas(changed, k, convention)[1])

    found = solved(off, entry.starts, float(sought.near.max()) * SHORT)
    return None if found is None else snapped(found, views[0].near * SHORT)
