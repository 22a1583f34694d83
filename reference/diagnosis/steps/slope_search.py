"""Which slope, times which ∂E/∂a, comes to the δ that was seen: all products at once, as rows of one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...activations import SOFTMAX
from .delta_formulas import FACTORS, MOST_FACTORS, factors_in, product_of_powers
from .fitting import (
    TELLING,
    as_fraction,
    edit_of,
    fitted_to_delta,
    formula_of,
    scaled_step,
    shown,
    tried,
    with_error,
)
from .scope import Edit
from .single_samples import SHORT, SMALLEST, Array, View
from .vocabulary import Entry, snapped, times

Flags = NDArray[np.bool_]
Edits = tuple[Edit, ...]
Deltas = list[tuple[Array, Array]]  # δ and ∂E/∂a, a pair for each view
Product = tuple[tuple[int, int, int], Edits, Sequence[Array]]  # its rank, the edits, and ∂E/∂a in each view
Errors = Sequence[tuple[Edits, Sequence[Array]]]  # ∂E/∂a of all views, and the edits that give it

FACTOR = 2  # changes that a constant factor counts for


@dataclass(frozen=True)
class Sought:
    """What the δ of a layer has to come to: itself, where single samples show it, or the gradients that are made of it.

    wanted, near: all views' numbers in a row, and how near each has to be
    of: rows of what is compared, from rows of the δ of all views;  seen: δ itself in each view, where it is known
    unit: how near numbers are, relatively;  least: of δ, numbers that show a factor: one is a multiple of any other
    """

    wanted: Array
    near: Array
    of: Callable[[Array], Array]
    unit: float
    seen: Sequence[Array] | None = None
    least: int = 2

    def factors(self, deltas: Array) -> list[tuple[int, float]]:
        """The rows of δ that come to what was seen, up to a constant factor, with that: 1 where they are the same."""
        with np.errstate(all="ignore"):
            made = self.of(deltas)
            blank = ~np.isfinite(self.wanted)
            if blank.any():  # what is no number must be made none
                made = np.where((np.isfinite(made) == ~blank).all(axis=1, keepdims=True), made, np.nan)
                made = np.where(blank, 0.0, made)
            wanted = np.where(blank, 0.0, self.wanted)
            same: Flags = np.all(np.abs(made - wanted) <= self.near, axis=1)
            if np.count_nonzero(wanted) < TELLING:
                return [(int(row), 1.0) for row in np.flatnonzero(same)]
            ratios = made @ wanted / np.maximum((made * made).sum(axis=1), SMALLEST)
            scaled: Flags = np.all(np.abs(ratios[:, None] * made - wanted) <= self.near, axis=1) & (ratios != 0)
            scaled &= np.count_nonzero(deltas, axis=1) >= self.least
            found = []
            for row in np.flatnonzero(same | scaled):
                factor = 1.0 if same[row] else snapped(float(ratios[row]), self.unit * SHORT)
                near = same[row] or (np.abs(factor * made[row] - wanted) <= self.near).all()
                found.append((int(row), factor if near else float(ratios[row])))
            return found

    def are(self, deltas: Sequence[Array | None]) -> bool:
        """Whether these δ come to what was seen."""
        known = [np.ravel(delta) for delta in deltas if delta is not None]
        if len(known) < len(deltas):
            return False
        row = np.concatenate(known)[None]
        if self.seen is not None and row.shape[1] != len(self.wanted):
            return False
        return any(factor == 1 for _, factor in self.factors(row))

    def off(self, deltas: Sequence[Array | None]) -> Array | None:
        """How far these δ are from that; None where one is missing."""
        known = [np.ravel(delta) for delta in deltas if delta is not None]
        if len(known) < len(deltas):
            return None
        with np.errstate(all="ignore"):
            made = self.of(np.concatenate(known)[None])[0]
            return np.asarray(np.where(np.isfinite(self.wanted), made - self.wanted, 0.0))

    def pairs(self, errors: Sequence[Array | None]) -> Deltas:
        """The δ that was seen with ∂E/∂a; none where δ itself was not seen."""
        if self.seen is None:
            return []
        return [(s, e) for s, e in zip(self.seen, errors, strict=True) if e is not None]


def itself(views: Sequence[View], seen: Sequence[Array]) -> Sought:
    """δ as it was seen."""
    return Sought(*_joined(views, seen), lambda deltas: deltas, views[0].near, seen)


def in_gradients(views: Sequence[View], k: int, of_weights: bool, of_biases: bool) -> Sought | None:
    """The gradients of a layer that are made of its δ, which of several samples alone show; None for none, or NaN."""
    shown: list[Array] = []
    makers: list[tuple[View, bool, bool]] = []
    for view in views:
        weights, biases = view.weights[k] if of_weights else None, view.biases[k] if of_biases else None
        shown += [array for array in (weights, biases) if array is not None]
        makers.append((view, weights is not None, biases is not None))
    if not any(np.isfinite(array).any() for array in shown):
        return None

    def of(deltas: Array) -> Array:
        parts, start = [], 0
        for view, weights, biases in makers:
            received = np.asarray(view.scope.values["activations", k - 1])
            samples, units = np.shape(view.scope.values["deltas", k])
            delta = deltas[:, start : start + samples * units].reshape(-1, samples, units)
            start += samples * units
            if weights:
                parts.append(np.einsum("psu,si->pui", delta, received).reshape(len(deltas), -1))
            if biases:
                parts.append(delta.sum(axis=1))
        return np.concatenate(parts, axis=1)

    near = [view.near for view, *known in makers for there in known if there]
    return Sought(*_joined_near(shown, near), of, views[0].near)


def _joined(views: Sequence[View], arrays: Sequence[Array]) -> tuple[Array, Array]:
    return _joined_near(arrays, [view.near for view in views])


def _joined_near(arrays: Sequence[Array], near: Sequence[float]) -> tuple[Array, Array]:
    """All numbers in a row, and how near each has to be."""
    largest = [float(np.abs(a[np.isfinite(a)]).max(initial=SMALLEST)) for a in arrays]
    sizes = [np.full(a.size, n * most) for a, n, most in zip(arrays, near, largest, strict=True)]
    return np.concatenate([np.ravel(a) for a in arrays]), np.concatenate(sizes)


# ------------------------------------------------------------------------------------------- products


def products(
    views: Sequence[View], k: int, step: str, errors: Errors, of_slopes: Sequence[Entry | None], sought: Sought
) -> list[Product]:
    """Every ∂E/∂a with every slope; the fewer changes the better, and a constant factor counts for two."""
    softmax = views[0].scope.layers[k].activation is SOFTMAX
    table = np.stack([np.concatenate([e.ravel() for e in error]) for _, error in errors])
    ones = [with_error(view, k, np.ones_like(e)) for view, e in zip(views, errors[0][1], strict=True)]
    with_errors = [[with_error(v, k, e) for v, e in zip(views, error, strict=True)] for _, error in errors]
    found: list[Product] = []

    def keep(number: int, at: int, factor: float, constant: Any = 0.0) -> None:
        slope, (own, error) = of_slopes[number], errors[at]
        edits = (*own, *_slope_edit(slope, k, step, constant, factor))
        changes = len(own) + (slope is not None) + FACTOR * (factor != 1)
        found.append(((changes, len(own), number), edits, error))

    linear: list[tuple[int, Array]] = []
    others: list[tuple[int, int, Any, Array]] = []
    for number, slope in enumerate(of_slopes):
        if (slope is None and softmax) or (slope is not None and (not slope.linear or slope.fit is not None)):
            for at, constant, delta in _one_by_one(views, k, step, slope, errors, with_errors, sought):
                others.append((number, at, constant, delta))
        elif (row := slope_row(ones, k, step, slope, 0.0)) is not None:
            linear.append((number, row))
    if others:
        for which, factor in sought.factors(np.stack([delta for *_, delta in others])):
            number, at, constant, _ = others[which]
            keep(number, at, factor, constant)
    if linear:
        with np.errstate(all="ignore"):
            made = np.stack([row for _, row in linear])[:, None, :] * table[None]
        for at, factor in sought.factors(made.reshape(-1, table.shape[1])):
            keep(linear[at // len(errors)][0], at % len(errors), factor)
    return found


def _one_by_one(
    views: Sequence[View],
    k: int,
    step: str,
    slope: Entry | None,
    errors: Errors,
    with_errors: Sequence[Sequence[View]],
    sought: Sought,
) -> Iterator[tuple[int, Any, Array]]:
    """δ by a slope that is no factor of ∂E/∂a, with each ∂E/∂a; with the right one, where a constant is fitted."""
    for at, (own, error) in enumerate(errors):
        constant: Any = 0.0
        if slope is not None and slope.fit is not None:
            if own or sought.seen is None:
                return
            constant = fitted_to_delta(views, k, slope, error, sought.seen)
            if constant is None:
                return
        row = slope_row(with_errors[at], k, step, slope, constant)
        if row is not None:
            yield at, constant, row


def slope_row(views: Sequence[View], k: int, step: str, slope: Entry | None, constant: Any) -> Array | None:
    """δ by a slope from the ∂E/∂a in scope, all views' in a row; None where it has no meaning."""
    formula = None if slope is None else partial(formula_of, slope, constant)
    rows = []
    for view in views:
        value = tried(view.scope, step, k, formula)
        if value is None or np.shape(value) != np.shape(view.scope.values["errors", k]):
            return None
        rows.append(np.ravel(value))
    return np.concatenate(rows)


def _slope_edit(slope: Entry | None, k: int, step: str, constant: Any, factor: float) -> Edits:
    if slope is not None and factor == 1:
        return (edit_of(slope, k, constant),)
    if slope is None:
        return () if factor == 1 else (scaled_step(step, k, factor, "δ"),)
    own = slope.words.format(c=shown(constant)) if slope.fit else slope.words
    words = f"{own}, and multiplies δ by {as_fraction(factor)}"
    inner = partial(formula_of, slope, constant)
    return (Edit(step, k, words, lambda s: times(inner(s), factor, s), (), slope.mistake, fitted=True),)


# ------------------------------------------------------------------------------------------- powers


def powers(views: Sequence[View], k: int, step: str, errors: Sequence[Array], sought: Sought) -> Iterator[Product]:
    """A product of powers in place of the slope, up to a constant: after the one formula that is known, before two."""
    activation = views[0].scope.layers[k].activation
    scopes = [(v.scope, v.scope.values["pre_activations", k], v.scope.values["activations", k]) for v in views]
    with np.errstate(all="ignore"):
        by_view = [[np.ravel(c) for c in factors_in(scope, activation, z, a)] for scope, z, a in scopes]
        columns = np.stack([np.concatenate(parts) for parts in zip(*by_view, strict=True)])
        exponents = _exponents(len(FACTORS), MOST_FACTORS)
        made = np.prod(columns[None] ** np.array(exponents)[:, :, None], axis=1)
        made *= np.concatenate([e.ravel() for e in errors])
    for at, factor in sought.factors(made)[:1]:
        entry = product_of_powers(step, exponents[at], factor, activation)
        edit = replace(edit_of(entry, k, 0.0), fitted=factor != 1)
        yield (1 + FACTOR * (factor != 1), 1, 0), (edit,), errors


@cache
def _exponents(count: int, most: int) -> tuple[tuple[int, ...], ...]:
    """Exponents that add up to `most` at most, the smallest sums first."""
    return tuple(sorted((p for p in product(range(most + 1), repeat=count) if sum(p) <= most), key=sum))
