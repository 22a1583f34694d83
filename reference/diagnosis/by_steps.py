"""Explains each wrong step by itself, from the numbers that it had.

One sample shows everything: the bias gradient is δ, and the weight gradient δ · aᵀ shows the activations below. So each
step's own operands are known, and what it made of them: a formula of `vocabulary.py` either gives that or does not. Two
wrong steps are two searches, one after the other, and not the product of both.

What is found is no explanation yet: the reference with these edits has to reproduce every number, several samples
included, within its bounds (`explanation.reproduces`); constants are fitted on single samples and proved on all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import chain, islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, SOFTMAX, Activation
from ..backprop import RULES, Layer, Objective
from ..case import Case, known_loss, layers_of
from ..judging import Observation, Place, as_matrix, evidence, observed
from ..more_activations import MORE_ACTIVATIONS
from ..numbers import PROFILES, Matrix
from .conventions import Convention
from .delta_formulas import FACTORS, MOST_FACTORS, hidden_errors, output_errors, product_of_powers, slopes
from .explanation import ARRAYS, Evidence, Explanation, by_rules, reproduces
from .forward_formulas import forwards
from .gradient_formulas import bias_gradients, over_samples, weight_gradients
from .scope import Edit, Scope, done, edited, together
from .vocabulary import Entry, Placed, ratio, snapped, solved, times

Array = NDArray[np.float64]
Edits = tuple[Edit, ...]

NEAR = 2.0**12  # roundings of the largest number, within which a step is looked at closer; it decides nothing
BLURRED = 2.0**-5  # formats in which that is as much as this show no formulas
BRANCHES = 6  # formulas that a step is tried with, where several give its numbers
EVERY = "every gradient"
TELLING = 3  # numbers, of which fewer do not show a constant ratio
SHORT = 2.0**-10  # of that, how near a constant must be to a short number that people write, to be taken for it
SOLVED_ON = 2  # views that a constant of the forward pass is searched on; it has to hold on all
CANDIDATES = 96  # sets of edits that are looked at on several samples
PROOFS = 6  # of them, to which edits are added that show on several samples alone


@dataclass
class View:
    """What one sample shows: the network in scope, its gradients, and how near numbers must be."""

    scope: Scope
    weights: list[Array]
    biases: list[Array | None]
    near: float

    def copy(self) -> View:
        """The same with values of its own."""
        return replace(self, scope=replace(self.scope, values=dict(self.scope.values)))


def wrong_formulas(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """The first set of edits of single steps that reproduces everything; nothing where none does."""
    if convention is None:
        case = seen[0][0]
        convention = Convention(tuple(layer.activation for layer in case.layers), case.loss, case.reduction)
    views = views_of(seen)
    if not views:
        return
    layers = len(views[0].weights)
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
    if _wrong_places(whole, seen, convention):
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


# ------------------------------------------------------------------------------------------- what is seen


def views_of(seen: Evidence) -> list[View]:
    """A view of each answer to a single sample, cases as a convention has them; none in formats of few digits."""
    views = []
    for case, observation in seen:
        if case.batch > 1 or case.online:
            continue
        gradients = _gradients(case, observation)
        count = range(len(case.layers))
        if any(Place("weight_gradients", k) not in gradients for k in count):
            return []
        near = NEAR * PROFILES[observation.precision].storage.unit_roundoff
        if observation.weight_gradients is None:  # recovered from a difference of weights
            largest = max(float(np.abs(np.asarray(layer.weights, float)).max()) for layer in case.layers)
            step = max(float(np.abs(array).max()) for array in gradients.values()) * (case.learning_rate or 1.0)
            near *= 1 + largest / max(step, np.finfo(float).tiny)
        weights = [gradients[Place("weight_gradients", k)] for k in count]
        biases = [gradients.get(Place("bias_gradients", k)) for k in count]
        if near > BLURRED or not all(np.isfinite(array).all() for array in gradients.values()):
            return []
        views.append(View(_scope(case), weights, biases, near))
    return views


def _scope(case: Case) -> Scope:
    layers = dict(enumerate(layers_of(case, ARRAYS)))
    inputs, targets = ARRAYS.lift(case.inputs), ARRAYS.lift(case.targets)
    objective = Objective(known_loss("loss", case.loss), case.reduction)
    return Scope(ARRAYS, layers=layers, objective=objective, targets=targets, values={("activations", -1): inputs})


def _gradients(case: Case, observation: Observation) -> dict[Place, Array]:
    profile = PROFILES[observation.precision]
    shown = {place: as_matrix(place, array).astype(float) for place, array in observed(observation)}
    worked = {place: s.value for place, s in evidence(case, observation, profile).items()}
    return {place: array for place, array in (worked | shown).items() if place.quantity.endswith("_gradients")}


def alike(one: Array, other: Array, near: float) -> bool:
    """Whether two arrays are the same but for roundings."""
    if one.shape != other.shape:
        return False
    with np.errstate(all="ignore"):
        return bool(np.abs(one - other).max() <= near * max(float(np.abs(other).max()), 1e-300))


def left_factor(gradient: Array, received: Array, near: float, weights: Array) -> tuple[Array, float] | None:
    """δ of δ · aᵀ, given a, where the gradient is that, and the multiple of the weights that was added to it."""
    with np.errstate(all="ignore"):
        size = float((received * received).sum())
        if not size > 0:
            return None
        delta = gradient @ received.T / size
        left = gradient - delta @ received
        scale = float(np.abs(gradient).max())
        if np.abs(left).max() <= near * scale:
            return np.asarray(delta.T), 0.0
        of_weights = weights - weights @ received.T / size @ received
        share = snapped(
            float((left * of_weights).sum() / max(float((of_weights * of_weights).sum()), 1e-300)), near * SHORT
        )
        if np.abs(left - share * of_weights).max() <= near * scale and len(gradient) * (gradient.shape[1] - 1) > 1:
            return np.asarray(((gradient - share * weights) @ received.T / size).T), share
    return None


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
            changed = None if constant is None else _forward_by(views, k, entry, constant)
            if changed and shows(changed, k):
                yield from _forward(changed, k + 1, (*edits, _edit(entry, k, constant)))
                found += 1
                if found == BRANCHES:
                    break
    yield from _forward(right, k + 1, edits)


def _solved_by_activations(views: Sequence[View], k: int, entry: Entry) -> float | None:
    """The entry's constant that gives the activations which the layer above's gradients show."""
    views = views[:SOLVED_ON]
    shown = [_shown_activations(view, k) for view in views]
    if any(a is None for a in shown):
        return None
    wanted = np.concatenate([a.ravel() for a in shown if a is not None])

    def off(constant: float) -> Array | None:
        changed = _forward_by(views, k, entry, constant)
        if changed is None:
            return None
        return np.concatenate([np.ravel(v.scope.values["activations", k]) for v in changed]) - wanted

    found = solved(off, entry.starts)
    return None if found is None else snapped(found, views[0].near * SHORT)


def _shown_activations(view: View, k: int) -> Array | None:
    delta, gradient = view.biases[k + 1], view.weights[k + 1]
    if delta is None or not delta.any():
        return None
    return np.asarray(delta @ gradient / float((delta * delta).sum()))


def _forward_by(views: Sequence[View], k: int, entry: Entry, constant: float = 0.0) -> list[View] | None:
    changed = [view.copy() for view in views]
    for view in changed:
        for step, quantity in (("preactivation", "pre_activations"), ("activation", "activations")):
            formula = partial(_formula, entry, constant) if step == entry.step else None
            value = _tried(view.scope, step, k, formula)
            if value is None:
                return None
            view.scope.values[quantity, k] = value
    return changed


def shows(views: Sequence[View], k: int) -> bool:
    """Whether the weight gradients of the layer above are multiples of this layer's activations, row by row.

    A multiple of the weights may have been added, the same in all views.
    """
    shares = []
    for view in views:
        a = view.scope.values["activations", k]
        if not a.any():
            continue  # a dead layer shows nothing
        found = left_factor(view.weights[k + 1], a, view.near, np.asarray(view.scope.layers[k + 1].weights))
        if found is None:
            return False
        shares.append(found[1])
    return not shares or max(shares) - min(shares) <= views[0].near * max(map(abs, shares))


def _formula(entry: Entry, constant: Any, scope: Scope) -> Matrix:
    return entry.formula(scope, constant)


def _tried(scope: Scope, step: str, k: int, formula: Any = None) -> Matrix | None:
    with np.errstate(all="ignore"):
        try:
            return done(scope, step, k, formula)
        except KeyError:
            return None


def _backward(views: Sequence[View], k: int, convention: Convention, edits: Edits) -> Iterator[Edits]:
    """Phase 2: δ of each layer, the last first; then its gradients, each from the δ that was seen."""
    if k < 0:
        yield edits
        return
    for own, deltas in islice(_deltas(views, k, convention), BRANCHES):
        known = [view.copy() for view in views]
        for view, (delta, error) in zip(known, deltas, strict=True):
            view.scope.values["deltas", k], view.scope.values["errors", k] = delta, error
        of_weights = _gradient_edits(known, k, "weight_gradient", [view.weights[k] for view in known])
        for edit in of_weights:
            for view in known:
                view.scope.values["weight_gradients", k] = view.weights[k]
            of_biases: list[Edits] = [()]
            if all(view.biases[k] is not None for view in known):
                of_biases = _gradient_edits(known, k, "bias_gradient", [view.biases[k] for view in known])  # type: ignore[misc]
            for other in of_biases:
                yield from _backward(known, k - 1, convention, (*edits, *own, *edit, *other))


def _gradient_edits(views: Sequence[View], k: int, step: str, seen: Sequence[Array]) -> list[Edits]:
    """Nothing, where the right rule gives what was seen; else what does; empty where nothing does."""
    right = [_tried(view.scope, step, k) for view in views]
    if all(r is not None and alike(s, r, v.near) for r, s, v in zip(right, seen, views, strict=True)):
        return [()]
    found: list[Edits] = []
    if (factor := _factor(views, right, seen)) is not None:
        what = f"the {step.replace('_', ' ')}"
        return [(_scaled(step, k, factor, what),)]
    for entry in weight_gradients() if step == "weight_gradient" else bias_gradients():
        constant = _fits(views, k, entry, seen)
        if constant is not None:
            found.append((_edit(entry, k, constant),))
            if len(found) == BRANCHES:
                break
    return found


def _factor(views: Sequence[View], right: Sequence[Matrix | None], seen: Sequence[Array]) -> float | None:
    """One constant factor between what was seen and what should have been, in all views; not 1."""
    if any(r is None or r.shape != s.shape for r, s in zip(right, seen, strict=True)):
        return None
    one = np.concatenate([s.ravel() for s in seen])
    other = np.concatenate([np.asarray(r).ravel() for r in right])
    factor = snapped(ratio(one, other), views[0].near * SHORT)
    if factor in (0.0, 1.0) or np.count_nonzero(one) < TELLING:
        return None
    fits = all(alike(s, factor * np.asarray(r), v.near) for r, s, v in zip(right, seen, views, strict=True))
    return factor if fits else None


def _scaled(step: str, k: int, factor: float, what: str) -> Edit:
    return Edit(step, k, f"multiplies {what} by {as_fraction(factor)}", lambda s: times(s.right(), factor, s))


def as_fraction(factor: float) -> str:
    """A factor as a simple fraction, where it is one, else in digits."""
    simple = Fraction(factor).limit_denominator(SIMPLE)
    return str(simple).replace("-", "−") if float(simple) == factor else shown(factor)


SIMPLE = 64  # denominators of fractions that people read


def shown(constant: float) -> str:
    """A constant in few digits."""
    return f"{constant:.9g}".replace("-", "−")


def _edit(entry: Entry, k: int, constant: Any) -> Edit:
    if isinstance(constant, Placed):
        words = entry.words.format(at=f"number {constant.at + 1}", c=shown(constant.factor))
    else:
        words = entry.words.format(c=shown(constant)) if entry.fit or entry.starts else entry.words
    return Edit(entry.step, k, words, partial(_formula, entry, constant), (), entry.mistake)


def _fits(views: Sequence[View], k: int, entry: Entry, seen: Sequence[Array]) -> Any:
    """The entry's constant (0 for none) under which it gives what was seen in all views; None if it does not."""
    constant: Any = 0.0
    if entry.fit is not None:
        found = [_constant(view, k, entry, s) for view, s in zip(views, seen, strict=True)]
        constant = _agreed(found, "clips" in entry.words, views[0].near)
        if constant is None:
            return None
    for view, s in zip(views, seen, strict=True):
        value = _tried(view.scope, entry.step, k, partial(_formula, entry, constant))
        if value is None or not alike(s, np.asarray(value), view.near):
            return None
    return constant


def _constant(view: View, k: int, entry: Entry, seen: Array) -> Any:
    fit = entry.fit
    assert fit is not None
    return _tried(view.scope, entry.step, k, lambda scope: fit(scope, seen))


def _agreed(found: Sequence[Any], largest: bool, near: float) -> Any:
    """One constant of those that each view gives."""
    if any(f is None for f in found):
        return None
    if isinstance(found[0], Placed):
        places = {f.at for f in found}
        return (
            Placed(places.pop(), snapped(float(np.median([f.factor for f in found])), near * SHORT))
            if len(places) == 1
            else None
        )
    numbers = [f for f in found if np.isfinite(f) and f != 0] or [0.0]
    return snapped(float(max(numbers) if largest else np.median(numbers)), near * SHORT)


# ------------------------------------------------------------------------------------------- deltas

Deltas = list[tuple[Array, Array]]  # δ and ∂E/∂a, a pair for each view


def _deltas(views: Sequence[View], k: int, convention: Convention) -> Iterator[tuple[Edits, Deltas]]:
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
        if (factor := _factor(views, expected, seen)) is not None:
            yield (_scaled(step, k, factor, EVERY if last else "δ"),), list(zip(seen, right, strict=True))
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
                    yield (_edit(entry, k, constant),), list(zip(seen, other, strict=True))
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
    return [((_edit(entry, k, 0.0),), errors) for entry, errors in made if errors is not None]


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
                yield (_edit(entry, k, 0.0),), list(zip(seen, errors, strict=True))
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
        return (_edit(slope, k, constant),)
    if slope is None:
        return () if factor == 1 else (_scaled(step, k, factor, "δ"),)
    own = slope.words.format(c=shown(constant)) if slope.fit else slope.words
    words = f"{own}, and multiplies δ by {as_fraction(factor)}"
    inner = partial(_formula, slope, constant)
    return (Edit(step, k, words, lambda s: times(inner(s), factor, s), (), slope.mistake),)


def _slope_vector(
    views: Sequence[View], k: int, step: str, slope: Entry | None, errors: Sequence[Array], constant: Any
) -> Array | None:
    formula = None if slope is None else partial(_formula, slope, constant)
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
        found.append(_constant(replace(view, scope=scope), k, slope, s))
    constant: float | None = _agreed(found, "clips" in slope.words, views[0].near)
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
        found.append(_constant(view, k, entry, wanted))
    constant: float | None = _agreed(found, "clips" in entry.words, views[0].near)
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
        return _tried(view.scope, "hidden_error", k, formula)
    found = _tried(view.scope, "output_error", k, formula)
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
    found = _tried(scope, step, k, formula)
    return None if found is None else np.asarray(found)


def _errors_by(
    views: Sequence[View], k: int, last: bool, convention: Convention, entry: Entry, constant: Any
) -> list[Array] | None:
    """The entry's ∂E/∂a in all views; None where it has no meaning."""
    errors = [_error(view, k, last, convention, partial(_formula, entry, constant)) for view in views]
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
            changed = None if constant is None else _forward_by(views, k, entry, constant)
            if changed is None:
                continue
            errors, deltas = _last_deltas(changed, k, convention)
            if _all_alike(views, seen, deltas):
                edit = _edit(entry, k, constant)
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
        forward = Edit("activation", k, words, lambda s, other=other: s.ar.activate(other, s.arguments[1]))
        slope = Edit("output_delta", k, words, partial(_through, other))
        changed = [view.copy() for view in views]
        for view in changed:
            view.scope.values["activations", k] = _tried(view.scope, "activation", k, forward.formula)
        errors = [_error(view, k, True, convention, None) for view in changed]
        deltas = [_delta(view, k, "output_delta", e, slope.formula) for view, e in zip(changed, errors, strict=True)]
        for seen in options:
            if _all_alike(views, seen, deltas):
                for view, that in zip(views, changed, strict=True):
                    view.scope.values.update(that.scope.values)
                yield (forward, slope), [(s, e) for s, e in zip(seen, errors, strict=True) if e is not None]
                return


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
        changed = _forward_by(views, k, entry, constant)
        if changed is None:
            return None
        _, deltas = _last_deltas(changed, k, convention)
        known = [np.ravel(delta) for delta in deltas if delta is not None]
        return np.concatenate(known) - wanted if len(known) == len(views) else None

    found = solved(off, entry.starts)
    return None if found is None else snapped(found, views[0].near * SHORT)


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
            more = (*edits, Edit(step, k, entry.words, partial(_formula, entry, 0.0), (), entry.mistake))
            if not _wrong_places(more, several, convention):
                return more
    for place in sorted(wrong, key=lambda p: (-(p.layer or 0), p.quantity)):
        step = place.quantity.removesuffix("s")
        taken = any((e.step, e.layer) == (step, place.layer) for e in edits)
        for entry in () if taken else over_samples(step):
            more = (*edits, Edit(step, place.layer or 0, entry.words, partial(_formula, entry, 0.0), (), entry.mistake))
            if place not in _wrong_places(more, several, convention):
                edits = more
                break
    return None if _wrong_places(edits, several, convention) else edits


def _wrong_places(edits: Edits, several: Evidence, convention: Convention) -> set[Place]:
    """The gradients that these edits do not give."""
    prediction = by_rules(edited(edits), convention)
    wrong: set[Place] = set()
    for case, observation in several:
        places = prediction(case, ARRAYS) or {}
        near = NEAR * PROFILES[observation.precision].storage.unit_roundoff
        for place, array in _gradients(case, observation).items():
            if observation.weight_gradients is None:
                largest = float(np.abs(np.asarray(case.layers[place.layer or 0].weights, float)).max())
                near = max(near, near * largest / max(float(np.abs(array).max()), 1e-300) / (case.learning_rate or 1))
            with np.errstate(all="ignore"):
                if not alike(array, np.asarray(places[place]), near):
                    wrong.add(place)
    return wrong


__all__ = ["Layer", "View", "left_factor", "views_of", "wrong_formulas"]
