"""Whether enough numbers show an edit: those that its constant was fitted to prove nothing, nor do a few digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..numbers import Matrix
from .conventions import Convention
from .fitting import tried
from .scope import Edit
from .several_samples import Cases, given
from .single_samples import SMALLEST, Array, View
from .slope_search import Edits

# Binary digits that have to come out right: of some thousand formulas that are asked of a step, each gives so many by
# chance once in 65,536 times.
DIGITS = 16


def shown_by_enough(edits: Edits, cases: Cases, convention: Convention) -> Edits:
    """The edits that change enough, and whose constants show in more numbers than the one that each may be read off."""
    views = list(given(cases, edits, convention))
    return tuple(edit for edit in edits if digits_of(edit, views) >= DIGITS)


def digits_of(edit: Edit, views: Sequence[View]) -> float:
    """How many binary digits prove an edit, or its constant if those are fewer. views: with the edit in scope"""
    wrong = [tried(view.scope, edit.step, edit.layer, edit.formula) for view in views]
    right = [tried(view.scope, edit.step, edit.layer) for view in views]
    least = _digits(edit, views, wrong, right).sum()
    if edit.varied is not None:
        varied = [tried(view.scope, edit.step, edit.layer, edit.varied) for view in views]
        shown = _digits(edit, views, wrong, varied)
        least = min(least, shown.sum() - shown.max(initial=0.0))
    return float(least)


def _digits(edit: Edit, views: Sequence[View], one: Sequence[Matrix | None], other: Sequence[Matrix | None]) -> Array:
    """How many digits tell one from the other, number by number."""
    pairs = zip(views, one, other, strict=True)
    return np.concatenate([_digits_in(edit, v, np.asarray(a), np.asarray(b)) for v, a, b in pairs if a is not None])


def _digits_in(edit: Edit, view: View, one: Array, other: Array) -> Array:
    if one.shape != other.shape:  # of another shape: all of it tells
        other = np.zeros_like(one)
    with np.errstate(all="ignore"):
        numbers = np.abs(np.concatenate([one[np.isfinite(one)], other[np.isfinite(other)]]))
        told = np.abs(one - other) / (view.rounding * numbers.max(initial=SMALLEST))
        told = np.where(np.isfinite(one) == np.isfinite(other), np.nan_to_num(told, posinf=0.0), 1 / view.rounding)
    digits = np.log2(np.clip(told, 1.0, 1 / view.rounding)).ravel()
    if edit.scales and edit.step == "weight_gradient":  # the others follow from as many as there are of δ
        return np.sort(digits)[::-1][: np.count_nonzero(view.scope.values["deltas", edit.layer])]
    return digits
