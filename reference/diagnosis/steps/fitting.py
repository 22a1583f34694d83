"""Entries of the vocabulary, tried on what single samples show: with their constants fitted, as edits, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from ...numbers import Matrix, Uncertain
from .scope import Edit, Scope, done
from .single_samples import SHORT, SMALLEST, Array, View, alike
from .vocabulary import DEVIATIONS, Entry, Placed, Weighed, as_sure, ratio, snapped, times

EVERY = "every gradient"
TELLING = 3  # numbers, of which fewer do not show a constant ratio


def formula_of(entry: Entry, constant: Any, scope: Scope) -> Matrix:
    """The entry's formula, its constant in front so that `partial` fills it in."""
    return entry.formula(scope, constant)


def tried(scope: Scope, step: str, k: int, formula: Any = None) -> Matrix | None:
    """A step by a formula, or the right one if None; None where something that it needs is not there."""
    with np.errstate(all="ignore"):
        try:
            return done(scope, step, k, formula)
        except KeyError:
            return None


def factor_of(views: Sequence[View], right: Sequence[Matrix | None], seen: Sequence[Array]) -> float | None:
    """One constant factor between what was seen and what should have been, in all views; not 1."""
    if any(r is None or r.shape != s.shape for r, s in zip(right, seen, strict=True)):
        return None
    one = np.concatenate([s.ravel() for s in seen])
    other = np.concatenate([np.asarray(r).ravel() for r in right])
    numbers = np.isfinite(one) & np.isfinite(other)
    one, other = one[numbers], other[numbers]
    factor = as_sure(ratio(one, other), views[0].near * SHORT)
    if factor in (0.0, 1.0) or np.count_nonzero(one) < TELLING:
        return None
    fits = all(alike(s, factor * np.asarray(r), v.near) for r, s, v in zip(right, seen, views, strict=True))
    return factor if fits else None


def scaled_step(step: str, k: int, factor: float, what: str) -> Edit:
    """The right rule times a constant."""
    words = f"multiplies {what} by {as_fraction(factor)}"
    return Edit(step, k, words, lambda s: times(s.right(), factor, s), scales=True, fitted=True)


def as_fraction(factor: float) -> str:
    """A factor as a simple fraction, where it is one, else in digits."""
    simple = Fraction(factor).limit_denominator(SIMPLE)
    return str(simple).replace("-", "−") if float(simple) == factor else shown(factor)


SIMPLE = 64  # denominators of fractions that people read


def shown(constant: float) -> str:
    """A constant in few digits, and in those alone that are known; one that is nearly whole by what it is off."""
    digits, unsure = DIGITS, constant.unsure if isinstance(constant, Uncertain) else 0.0
    if unsure and constant:
        digits = min(DIGITS, max(1, math.floor(math.log10(abs(constant) / unsure))))
    text = f"{constant:.{digits}g}"
    off = constant - float(text)
    if 0 < abs(constant) < LONG and float(text) and float(text).is_integer() and abs(off) > unsure:
        text += f" {'-' if off < 0 else '+'} {abs(off):.2g}"
    return text.replace("-", "−")


DIGITS = 9
LONG = 1000


def edit_of(entry: Entry, k: int, constant: Any) -> Edit:
    """An entry with its constant, in a layer."""
    if isinstance(constant, Placed):
        words = entry.words.format(at=f"number {constant.at + 1}", c=shown(constant.factor))
    else:
        words = entry.words.format(c=shown(constant)) if entry.fit or entry.starts else entry.words
    fitted = bool(constant.factor if isinstance(constant, Placed) else constant)
    return Edit(entry.step, k, words, partial(formula_of, entry, constant), (), entry.mistake, False, entry, fitted)


def fits(views: Sequence[View], k: int, entry: Entry, seen: Sequence[Array]) -> Any:
    """The entry's constant (0 for none) under which it gives what was seen in all views; None if it does not."""
    constant: Any = 0.0
    if entry.fit is not None:
        usable = [(view, s) for view, s in zip(views, seen, strict=True) if np.isfinite(s).all()]
        found = [constant_of(view, k, entry, s) for view, s in usable]
        if not found:
            return None
        constant = agreed(found, entry.limit is not None, views[0].near)
        if constant is None:
            return None
    for view, s in zip(views, seen, strict=True):
        value = tried(view.scope, entry.step, k, partial(formula_of, entry, constant))
        if value is None or not alike(s, np.asarray(value), view.near):
            return None
    return constant


def constant_of(view: View, k: int, entry: Entry, seen: Array) -> Any:
    """The constant that the entry fits to what was seen in one view."""
    fit = entry.fit
    assert fit is not None
    return tried(view.scope, entry.step, k, lambda scope: fit(scope, seen))


def fitted_to_delta(
    views: Sequence[View], k: int, slope: Entry, errors: Sequence[Array], seen: Sequence[Array]
) -> float | None:
    """The constant of an entry of δ, from the δ that was seen."""
    found = [constant_of(with_error(v, k, e), k, slope, s) for v, e, s in zip(views, errors, seen, strict=True)]
    constant: float | None = agreed(found, slope.limit is not None, views[0].near)
    return constant


def delta_by(view: View, k: int, step: str, error: Array | None, formula: Any) -> Array | None:
    """δ from ∂E/∂a, by the right rule or a formula; None where something that it needs is not there."""
    if error is None:
        return None
    found = tried(with_error(view, k, error).scope, step, k, formula)
    return None if found is None else np.asarray(found)


def with_error(view: View, k: int, error: Array) -> View:
    """The view with another ∂E/∂a of a layer."""
    scope = view.scope
    values = {**scope.values, ("errors", k): error}
    at = Scope(scope.ar, scope.step, scope.layer, scope.arguments, scope.layers, scope.objective, scope.targets, values)
    return View(at, view.weights, view.biases, view.near)


def agreed(found: Sequence[Any], largest: bool, near: float) -> Any:
    """One constant of those that each view gives."""
    if any(f is None for f in found):
        return None
    if isinstance(found[0], Placed):  # where it shows most: elsewhere units may be dead
        surest = max(found, key=lambda f: f.off)
        return Placed(surest.at, snapped(surest.factor, near * SHORT)) if np.isfinite(surest.factor) else None
    if isinstance(found[0], Weighed):
        known = [f for f in found if f.weight > 0 and np.isfinite(f.constant)]
        if not known:
            return None
        weight = sum(f.weight for f in known)
        constant = sum(f.constant * f.weight for f in known) / weight
        unsure = float(near * SHORT / np.sqrt(weight))
        short = snapped(constant, max(near * SHORT, unsure / max(abs(constant), SMALLEST)))
        return short if short != constant else Uncertain(constant, DEVIATIONS * unsure)
    numbers = [f for f in found if np.isfinite(f) and f != 0] or [0.0]
    constant = as_sure(float(max(numbers) if largest else np.median(numbers)), near * SHORT)
    return None if largest and not constant else constant  # nothing is clipped to nothing


def forward_by(views: Sequence[View], k: int, entry: Entry, constant: float = 0.0) -> list[View] | None:
    """z and a of a layer with the entry in one of both; None where it has no meaning."""
    changed = [view.copy() for view in views]
    for view in changed:
        for step, quantity in (("preactivation", "pre_activations"), ("activation", "activations")):
            formula = partial(formula_of, entry, constant) if step == entry.step else None
            value = tried(view.scope, step, k, formula)
            if value is None:
                return None
            view.scope.values[quantity, k] = value
    return changed
