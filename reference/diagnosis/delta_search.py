"""δ of a layer, from what was seen of it: which ∂E/∂a, which slope, which constant; of the last one, which outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from ..activations import ACTIVATIONS, SOFTMAX, Activation
from ..backprop import RULES
from ..more_activations import MORE_ACTIVATIONS
from ..numbers import Matrix
from .conventions import Convention
from .delta_formulas import FACTORS, MOST_FACTORS, hidden_errors, output_errors, product_of_powers, slopes
from .explanation import ARRAYS
from .fitting import (
    EVERY,
    TELLING,
    agreed,
    as_fraction,
    constant_of,
    edit_of,
    factor_of,
    formula_of,
    forward_by,
    scaled_step,
    shown,
    tried,
)
from .forward_formulas import forwards
from .scope import Edit, Scope
from .single_samples import SHORT, Array, View, alike, left_factor
from .vocabulary import Entry, ratio, snapped, solved, times

Edits = tuple[Edit, ...]
Deltas = list[tuple[Array, Array]]  # δ and ∂E/∂a, a pair for each view

SOLVED_ON = 2  # views that a constant of the forward pass is searched on; it has to hold on all


def deltas_of(views: Sequence[View], k: int, convention: Convention) -> Iterator[tuple[Edits, Deltas]]:
    """Edits of a layer's δ, none where it is right, with the δ and ∂E/∂a that they come to."""
    last = k == len(views[0].weights) - 1
    step = "output_delta" if last else "hidden_delta"
    errors = [_error(view, k, last, convention, None) for view in views]
    deltas = [_delta(view, k, step, error, None) for view, error in zip(views, errors, strict=True)]
    right = [error for error in errors if error is not None]
    expected = [delta for delta in deltas if delta is not None]
    if len(right) < len(views) or len(expected) < len(views):
        return
    options = _seen_deltas(views, k, expected)
    for seen in options:
        if _all_alike(views, seen, expected):
            yield (), list(zip(expected, right, strict=True))
            return
    yield from _edited_deltas(views, k, step, last, convention, options, right, expected)
    if any(view.biases[k] is None for view in views) or not options:
        yield (), list(zip(expected, right, strict=True))  # what δ was does not show for sure: it may be right


def _edited_deltas(
    views: Sequence[View], k: int, step: str, last: bool, convention: Convention, options: Sequence[Sequence[Array]],
    right: Sequence[Array], expected: Sequence[Array],
) -> Iterator[tuple[Edits, Deltas]]:  # fmt: skip
    """A constant ratio first; then one operand replaced; then ∂E/∂a and the slope; then what is searched for."""
    for seen in options:
        if (factor := factor_of(views, expected, seen)) is not None:
            yield (scaled_step(step, k, factor, EVERY if last else "δ"),), list(zip(seen, right, strict=True))
            return
    known: list[Callable[[], Iterator[tuple[Edits, Deltas]]]] = [
        lambda: _by_outputs(views, k, convention, options, constants=False) if last else iter(()),
        lambda: _by_formulas(views, k, step, last, convention, options, right),
        lambda: _by_another_activation(views, k, convention, options) if last else iter(()),
        lambda: _by_outputs(views, k, convention, options, constants=True) if last else iter(()),
        lambda: _by_powers(views, k, step, right, options),
    ]
    found = 0
    for number, tries in enumerate(known):
        if found and number > 1:
            return
        for pair in tries():
            found += 1
            yield pair


def _by_formulas(
    views: Sequence[View], k: int, step: str, last: bool, convention: Convention, options: Sequence[Sequence[Array]],
    right: Sequence[Array],
) -> Iterator[tuple[Edits, Deltas]]:  # fmt: skip
    """Every entry of ∂E/∂a, and every one of the slope."""
    entries = list(output_errors() if last else hidden_errors())
    errors: list[tuple[Edits, Sequence[Array]]] = [((), right)]
    errors += _other_errors(views, k, last, convention, entries)
    of_slopes: list[Entry | None] = [None, *slopes(step, views[0].scope.layers[k].activation)]
    for seen in options:
        for entry in entries:
            constant = None if entry.fit is None else _fitted_error(views, k, entry, seen, step)
            other = _errors_by(views, k, last, convention, entry, constant) if constant else None
            if other is not None:
                values = [_delta(view, k, step, error, None) for view, error in zip(views, other, strict=True)]
                if _all_alike(views, seen, values):
                    yield (edit_of(entry, k, constant),), list(zip(seen, other, strict=True))
        yield from _products(views, k, step, errors, of_slopes, seen)


def _by_powers(
    views: Sequence[View], k: int, step: str, right: Sequence[Array], options: Sequence[Sequence[Array]]
) -> Iterator[tuple[Edits, Deltas]]:
    if views[0].scope.layers[k].activation is not SOFTMAX:
        for seen in options:
            yield from _powers(views, k, step, right, seen)


def _other_errors(
    views: Sequence[View], k: int, last: bool, convention: Convention, entries: Sequence[Entry]
) -> list[tuple[Edits, Sequence[Array]]]:
    """∂E/∂a by every entry without a constant."""
    made = [(entry, _errors_by(views, k, last, convention, entry, 0.0)) for entry in entries if entry.fit is None]
    return [((edit_of(entry, k, 0.0),), errors) for entry, errors in made if errors is not None]


def _products(
    views: Sequence[View], k: int, step: str, errors: Sequence[tuple[Edits, Sequence[Array]]],
    of_slopes: Sequence[Entry | None], seen: Sequence[Array],
) -> Iterator[tuple[Edits, Deltas]]:  # fmt: skip
    """Every ∂E/∂a with every slope, the fewest changes first; without a constant factor, then with one."""
    softmax = views[0].scope.layers[k].activation is SOFTMAX
    found: list[tuple[int, int, int, Edits, Sequence[Array]]] = []
    wanted, near, _ = _joined(views, seen, errors[0][1])
    ones = [np.ones_like(s) for s in seen]
    vectors = [np.concatenate([e.ravel() for e in error]) for _, error in errors]
    for number, slope in enumerate(of_slopes):
        alone = softmax or (slope is not None and (not slope.linear or slope.fit is not None))
        slope_vector = None if alone else _slope_vector(views, k, step, slope, ones, 0.0)
        if not alone and slope_vector is None:
            continue
        for (own, error), vector in zip(errors, vectors, strict=True):
            constant: Any = 0.0
            if slope_vector is not None:
                with np.errstate(all="ignore"):
                    made = vector * slope_vector
            else:
                if slope is not None and slope.fit is not None:
                    if own:
                        continue
                    constant = _fitted_slope(views, k, slope, error, seen)
                    if constant is None:
                        continue
                one_by_one = _slope_vector(views, k, step, slope, error, constant)
                if one_by_one is None:
                    continue
                made = one_by_one
            factor = _same_but_for(made, wanted, near, views[0].near)
            if factor is None:
                continue
            own_slope = _slope_edit(slope, k, step, constant, factor)
            found.append(
                (len(own) + (slope is not None) + 2 * (factor != 1), len(own), number, (*own, *own_slope), error)
            )
    for *_, edits, error in sorted(found, key=lambda entry: entry[:3]):
        yield edits, list(zip(seen, error, strict=True))


def _same_but_for(made: Array, wanted: Array, near: Array, unit: float) -> float | None:
    """The constant by which one is the other: 1 where they are the same; None for none."""
    with np.errstate(all="ignore"):
        if (np.abs(made - wanted) <= near).all():
            return 1.0
        exact = ratio(wanted, made) if np.count_nonzero(wanted) >= TELLING else 0.0
        if not (exact and (np.abs(exact * made - wanted) <= near).all()):
            return None
        factor = snapped(exact, unit * SHORT)
        return factor if (np.abs(factor * made - wanted) <= near).all() else exact


def _powers(
    views: Sequence[View], k: int, step: str, errors: Sequence[Array], seen: Sequence[Array]
) -> Iterator[tuple[Edits, Deltas]]:
    """A product of powers in place of the slope, up to a constant."""
    activation = views[0].scope.layers[k].activation
    wanted, near, error = _joined(views, seen, errors)
    z, a = (
        np.concatenate([np.ravel(v.scope.values[q, k]) for v in views])[None]
        for q in ("pre_activations", "activations")
    )
    with np.errstate(all="ignore"):
        columns = [np.broadcast_to(f(z, a, activation, ARRAYS.functions), z.shape)[0] for _, f in FACTORS]
        for powers in _exponents(len(FACTORS), MOST_FACTORS):
            slope = error * np.prod([c**n for c, n in zip(columns, powers, strict=True)], axis=0)
            factor = _same_but_for(slope, wanted, near, views[0].near)
            if factor is not None:
                entry = product_of_powers(step, powers, factor, activation)
                yield (edit_of(entry, k, 0.0),), list(zip(seen, errors, strict=True))
                return


@cache
def _exponents(count: int, most: int) -> tuple[tuple[int, ...], ...]:
    """Exponents that add up to `most` at most, the smallest sums first."""
    return tuple(sorted((p for p in product(range(most + 1), repeat=count) if sum(p) <= most), key=sum))


def _joined(views: Sequence[View], seen: Sequence[Array], errors: Sequence[Array]) -> tuple[Array, Array, Array]:
    """All views' δ in a row, how near each number has to be, and ∂E/∂a."""
    wanted = np.concatenate([s.ravel() for s in seen])
    near = [np.full(s.size, v.near * max(float(np.abs(s).max()), 1e-300)) for s, v in zip(seen, views, strict=True)]
    return wanted, np.concatenate(near), np.concatenate([e.ravel() for e in errors])


def _slope_edit(slope: Entry | None, k: int, step: str, constant: Any, factor: float) -> Edits:
    if slope is not None and factor == 1:
        return (edit_of(slope, k, constant),)
    if slope is None:
        return () if factor == 1 else (scaled_step(step, k, factor, "δ"),)
    own = slope.words.format(c=shown(constant)) if slope.fit else slope.words
    words = f"{own}, and multiplies δ by {as_fraction(factor)}"
    inner = partial(formula_of, slope, constant)
    return (Edit(step, k, words, lambda s: times(inner(s), factor, s), (), slope.mistake),)


def _slope_vector(
    views: Sequence[View], k: int, step: str, slope: Entry | None, errors: Sequence[Array], constant: Any
) -> Array | None:
    formula = None if slope is None else partial(formula_of, slope, constant)
    values = [_delta(view, k, step, error, formula) for view, error in zip(views, errors, strict=True)]
    if any(value is None or value.shape != e.shape for value, e in zip(values, errors, strict=True)):
        return None
    return np.concatenate([value.ravel() for value in values if value is not None])


def _fitted_slope(
    views: Sequence[View], k: int, slope: Entry, errors: Sequence[Array], seen: Sequence[Array]
) -> float | None:
    found = []
    for view, error, s in zip(views, errors, seen, strict=True):
        scope = replace(view.scope, values={**view.scope.values, ("errors", k): error})
        found.append(constant_of(replace(view, scope=scope), k, slope, s))
    constant: float | None = agreed(found, "clips" in slope.words, views[0].near)
    return constant


def _fitted_error(views: Sequence[View], k: int, entry: Entry, seen: Sequence[Array], step: str) -> float | None:
    """A constant of ∂E/∂a, fitted to the δ seen, divided by the slope."""
    found = []
    for view, delta in zip(views, seen, strict=True):
        unit = _delta(view, k, step, np.ones_like(delta), None)
        if unit is None or views[0].scope.layers[k].activation is SOFTMAX:
            return None
        with np.errstate(all="ignore"):
            wanted = np.where(unit != 0, delta / unit, 0.0)
        found.append(constant_of(view, k, entry, wanted))
    constant: float | None = agreed(found, "clips" in entry.words, views[0].near)
    return constant


def _seen_deltas(views: Sequence[View], k: int, expected: Sequence[Array]) -> list[list[Array]]:
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
    received = view.scope.values["activations", k - 1]
    if not received.any():
        return right
    found = left_factor(view.weights[k], received, view.near, np.asarray(view.scope.layers[k].weights))
    return None if found is None else found[0]


def _all_alike(views: Sequence[View], one: Sequence[Array], other: Sequence[Array | None]) -> bool:
    return all(o is not None and alike(a, o, v.near) for a, o, v in zip(one, other, views, strict=True))


def _error(view: View, k: int, last: bool, convention: Convention, formula: Any) -> Array | None:
    """∂E/∂a of a layer, by the right rule or a formula, as the convention reduces it."""
    if not last:
        return tried(view.scope, "hidden_error", k, formula)
    found = tried(view.scope, "output_error", k, formula)
    if found is None:
        return None
    rules = convention.rules(replace(RULES, output_error=lambda *_: found))
    scope = view.scope
    assert scope.objective is not None
    return np.asarray(rules.output_error(scope.objective, scope.outputs, scope.targets, scope.ar))


def _delta(view: View, k: int, step: str, error: Array | None, formula: Any) -> Array | None:
    if error is None:
        return None
    scope = replace(view.scope, values={**view.scope.values, ("errors", k): error})
    found = tried(scope, step, k, formula)
    return None if found is None else np.asarray(found)


def _errors_by(
    views: Sequence[View], k: int, last: bool, convention: Convention, entry: Entry, constant: Any
) -> list[Array] | None:
    """The entry's ∂E/∂a in all views; None where it has no meaning."""
    errors = [_error(view, k, last, convention, partial(formula_of, entry, constant)) for view in views]
    known = [np.asarray(error) for error in errors if error is not None]
    return known if len(known) == len(views) else None


def _by_outputs(
    views: Sequence[View], k: int, convention: Convention, options: Sequence[Sequence[Array]], constants: bool
) -> Iterator[tuple[Edits, Deltas]]:
    """Edits of the last layer's forward pass, which shows in its δ alone: those with a constant, or the others."""
    for entry in forwards(views[0].scope.layers[k].activation):
        if bool(entry.starts) != constants:
            continue
        for seen in options:
            constant: float | None = 0.0
            if entry.starts:
                constant = _solved_by_deltas(views, k, entry, convention, seen)
            changed = None if constant is None else forward_by(views, k, entry, constant)
            if changed is None:
                continue
            errors, deltas = _last_deltas(changed, k, convention)
            if _all_alike(views, seen, deltas):
                edit = edit_of(entry, k, constant)
                for view, other in zip(views, changed, strict=True):
                    view.scope.values.update(other.scope.values)
                yield (edit,), [(s, e) for s, e in zip(seen, errors, strict=True) if e is not None]
                return


def _by_another_activation(
    views: Sequence[View], k: int, convention: Convention, options: Sequence[Sequence[Array]]
) -> Iterator[tuple[Edits, Deltas]]:
    """Another activation of the last layer, in both passes."""
    own = views[0].scope.layers[k].activation
    for other in (*ACTIVATIONS.values(), *MORE_ACTIVATIONS.values()):
        if other.name == own.name:
            continue
        words = f"computes {other.name} and its derivative, where {own.name} belongs"
        forward = Edit("activation", k, words, partial(_activated_by, other))
        slope = Edit("output_delta", k, words, partial(_through, other))
        changed = [view.copy() for view in views]
        for view in changed:
            view.scope.values["activations", k] = tried(view.scope, "activation", k, forward.formula)
        errors = [_error(view, k, True, convention, None) for view in changed]
        deltas = [_delta(view, k, "output_delta", e, slope.formula) for view, e in zip(changed, errors, strict=True)]
        for seen in options:
            if _all_alike(views, seen, deltas):
                for view, that in zip(views, changed, strict=True):
                    view.scope.values.update(that.scope.values)
                yield (forward, slope), [(s, e) for s, e in zip(seen, errors, strict=True) if e is not None]
                return


def _activated_by(activation: Activation, scope: Scope) -> Matrix:
    return scope.ar.activate(activation, scope.arguments[1])


def _through(activation: Activation, scope: Scope) -> Matrix:
    """δ by another activation's derivative."""
    _, z, a, error = scope.arguments
    d = activation.derivative
    return scope.ar.elementwise(lambda z, a, e, fn: e * d(z, a, fn), z, a, error)


def _last_deltas(
    views: Sequence[View], k: int, convention: Convention
) -> tuple[list[Array | None], list[Array | None]]:
    """∂E/∂o and δ of the last layer, from what is in scope."""
    errors = [_error(view, k, True, convention, None) for view in views]
    return errors, [_delta(view, k, "output_delta", error, None) for view, error in zip(views, errors, strict=True)]


def _solved_by_deltas(
    views: Sequence[View], k: int, entry: Entry, convention: Convention, seen: Sequence[Array]
) -> float | None:
    """The constant of the last layer's forward pass that gives the δ that was seen."""
    views, seen = views[:SOLVED_ON], seen[:SOLVED_ON]
    wanted = np.concatenate([s.ravel() for s in seen])

    def off(constant: float) -> Array | None:
        changed = forward_by(views, k, entry, constant)
        if changed is None:
            return None
        _, deltas = _last_deltas(changed, k, convention)
        known = [np.ravel(delta) for delta in deltas if delta is not None]
        return np.concatenate(known) - wanted if len(known) == len(views) else None

    found = solved(off, entry.starts)
    return None if found is None else snapped(found, views[0].near * SHORT)
