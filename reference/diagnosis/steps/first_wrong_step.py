"""Which step is the first that single samples show to be wrong: what changes none of its rules explains nothing.

Bounds are dear, and a catalogue is long. But where the steps before are right, whatever explains the numbers must
change that step; a fault of another step need not be run at all. What is only a little off is left to closer looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..conventions import Convention
from ..explanation import Evidence
from .delta_search import error_by, seen_deltas
from .fitting import delta_by, tried
from .scope import done
from .single_samples import Array, View, alike, left_factor, views_of

FORWARD = {"preactivation", "activation"}
GRADIENTS = {"weight_gradient", "bias_gradient"}


@dataclass(frozen=True)
class FirstWrongStep:
    """rules: of which one is wrong;  off: how far what was seen is off, of each array's largest, in the median."""

    rules: frozenset[str]
    off: float


def first_wrong_step(seen: Evidence, convention: Convention | None) -> FirstWrongStep | None:
    """The first step that is far from right; None where single samples show none, or no step at all."""
    if convention is None:
        case = seen[0][0]
        convention = Convention(tuple(layer.activation for layer in case.layers), case.loss, case.reduction)
    alone = [(replace(case, online=False), o) for case, o in seen if case.batch == 1]  # one after another, if online
    views = views_of(alone, convention)
    if not views or any(array is None for view in views for array in view.weights):
        return None
    last = len(views[0].weights) - 1
    for k in range(last + 1):
        for view in views:
            view.scope.values["pre_activations", k] = done(view.scope, "preactivation", k)
            view.scope.values["activations", k] = done(view.scope, "activation", k)
        if k < last and (found := _of_activations(views, k)) is not None:
            return found
    for k in range(last, -1, -1):
        if (found := _of_delta(views, k, last, convention)) is not None:
            return found
    return None


def _far(view: View) -> float:
    """What is farther off than this is wrong, however a step cancels: much more than what is looked at closer."""
    return float(np.sqrt(view.near))


def _of_activations(views: Sequence[View], k: int) -> FirstWrongStep | None:
    """The forward pass, or what shows it: the weight gradient of the layer above is no multiple of a."""
    off = []
    for view in views:
        gradient, a = view.weights[k + 1], np.asarray(view.scope.values["activations", k])
        if gradient is None or not a.any() or not gradient.any() or not np.isfinite(gradient).all():
            continue
        if left_factor(gradient, a, _far(view), np.asarray(view.scope.layers[k + 1].weights)) is None:
            along = gradient @ a.T / float((a * a).sum())
            off.append(_off(gradient, along @ a))
    return _found(FORWARD | GRADIENTS, off)


def _of_delta(views: Sequence[View], k: int, last: int, convention: Convention) -> FirstWrongStep | None:
    """δ of a layer, and the gradients that are made of it; what was seen of it is in scope for the next."""
    step = "output_delta" if k == last else "hidden_delta"
    errors = [error_by(view, k, k == last, convention, None) for view in views]
    expected = [delta_by(view, k, step, error, None) for view, error in zip(views, errors, strict=True)]
    right = [delta for delta in expected if delta is not None]
    options = seen_deltas(views, k, right) if len(right) == len(views) else []
    if not options:
        return None
    of_delta = {"output_error", "output_delta", *FORWARD} if k == last else {"hidden_error", "hidden_delta"}
    rules = of_delta | GRADIENTS  # both gradients may be made of another δ
    wrong = [
        [_off(s, r) for s, r, v in zip(seen, right, views, strict=True) if not alike(s, r, _far(v))] for seen in options
    ]
    if all(wrong):
        return _found(rules, min(wrong, key=len))
    seen = options[next(number for number, off in enumerate(wrong) if not off)]
    for view, delta, error in zip(views, seen, errors, strict=True):
        view.scope.values["deltas", k], view.scope.values["errors", k] = delta, error
    off = []
    for rule in ("weight_gradient", "bias_gradient"):
        for view in views:
            shown, made = view.gradient(rule, k), tried(view.scope, rule, k)
            if shown is not None and made is not None and not alike(shown, np.asarray(made), _far(view)):
                off.append(_off(shown, np.asarray(made)))
    return _found(GRADIENTS, off)


def _off(seen: Array, right: Array) -> float:
    with np.errstate(all="ignore"):
        off = float(np.abs(seen - right).max() / max(float(np.abs(right).max()), np.finfo(float).tiny))
    return off if np.isfinite(off) else np.inf


def _found(rules: set[str], off: Sequence[float]) -> FirstWrongStep | None:
    return FirstWrongStep(frozenset(rules), float(np.median(off))) if off else None
