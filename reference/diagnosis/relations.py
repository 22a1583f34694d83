"""Wrong numbers as something simple made of the right ones: a factor, another order, zeros, another sample's or call's.

Each relation is read off the first case, and is an explanation only if it reproduces all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Objective, Rules
from ..case import Case, run_in_turn
from ..judging import Observation, Place, as_matrix, computed, evidence, observed
from ..numbers import PROFILES, Arithmetic, Matrix
from .catalogue.wrong_rules import layers_called
from .conventions import Convention
from .explanation import ARRAYS, ROUNDINGS, Evidence, Explanation, Prediction, by_rules, right
from .steps.vocabulary import CHANCE

Array = NDArray[np.float64]
Sizes = tuple[int, ...]

LARGEST_DENOMINATOR = 4096  # of a constant factor
FEW_ROUNDINGS = 4  # that a factor is off, as it is read off
LISTED = 8  # units that are listed one by one


@dataclass(frozen=True)
class Change:
    """What was done to one array of gradients. words: with {} for which one;  make: the wrong array of the right."""

    words: str
    make: Callable[[Matrix, Arithmetic], Matrix]


SAME = Change("", lambda matrix, ar: matrix)


def relations(evidence: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Everything that may be worth trying, the simplest first."""
    yield from _changes(evidence, convention)
    yield from _exchanged_layers(evidence, convention)
    yield from _samples(evidence, convention)
    yield from calls(evidence, convention)
    yield from _sample_factors(evidence, convention)


# ------------------------------------------------------------------------------ changes of single arrays


def _changes(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Each array of gradients changed in a way of its own, or all in the same. Read off one case of each network."""
    changes: dict[Sizes, dict[Place, Change]] = {}
    for case, observation in one_of_each(seen):
        wanted, unit = _wanted(case, convention), PROFILES[observation.precision].storage.unit_roundoff
        found = {place: _change(got, wanted[place], unit) for place, got in _gradients(case, observation).items()}
        changes[case.sizes] = {place: change for place, change in found.items() if change is not None}
        if len(changes[case.sizes]) < len(found):
            return
    prediction = by_rules(lambda case: _changed_rules(changes[case.sizes], case), convention)
    for known in changes.values():
        wrong = [(place, change) for place, change in known.items() if change is not SAME]
        if wrong:
            words = " and ".join(change.words.format(where) for where, change in _named(wrong, known))
            yield Explanation((), words, "", None, prediction)
            return


def one_of_each(seen: Evidence) -> Evidence:
    """The first case of each network: of several samples, if there is one."""
    first: dict[Sizes, tuple[Case, Observation]] = {}
    for case, observation in sorted(seen, key=lambda pair: pair[0].batch == 1):
        first.setdefault(case.sizes, (case, observation))
    return list(first.values())


def _named(wrong: Sequence[tuple[Place, Change]], known: Mapping[Place, Change]) -> Iterator[tuple[str, Change]]:
    """Which gradients each change is about: all, a layer's, or one array."""
    kinds = {change.words for _, change in wrong}
    if len(kinds) == 1 and len(wrong) == len(known):
        yield "every gradient", wrong[0][1]
        return
    for layer in sorted({place.layer or 0 for place, _ in wrong}):
        own = [(place, change) for place, change in wrong if place.layer == layer]
        every = [place for place in known if place.layer == layer]
        if len(own) == len(every) and len({change.words for _, change in own}) == 1:
            yield f"the gradients of layer {layer + 1}", own[0][1]
            continue
        for place, change in own:
            yield f"the {place.quantity.removesuffix('s').replace('_', ' ')} of layer {layer + 1}", change


def _changed_rules(changes: Mapping[Place, Change], case: Case) -> Rules:
    weights, biases = iter(layers_called(case, "weight_gradient")), iter(layers_called(case, "bias_gradient"))

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        change = changes.get(Place("weight_gradients", next(weights)), SAME)
        return change.make(RULES.weight_gradient(delta, inputs, ar), ar)

    def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
        change = changes.get(Place("bias_gradients", next(biases)), SAME)
        return change.make(RULES.bias_gradient(delta, ar), ar)

    return replace(RULES, weight_gradient=weight_gradient, bias_gradient=bias_gradient)


def _wanted(case: Case, convention: Convention | None) -> dict[Place, Array]:
    places = right(convention)(case, ARRAYS)
    assert places is not None
    return {place: np.array(matrix, float) for place, matrix in places.items()}


def _gradients(case: Case, observation: Observation) -> dict[Place, Array]:
    """The gradients that are shown, or that the updates come from."""
    profile = PROFILES[observation.precision]
    shown = {place: as_matrix(place, array).astype(float) for place, array in observed(observation)}
    seen = {place: s.value for place, s in evidence(case, observation, profile).items()}
    return {place: array for place, array in (seen | shown).items() if place.quantity.endswith("_gradients")}


def _change(got: Array, wanted: Array, unit_roundoff: float) -> Change | None:
    """What made this of that; None if nothing known did."""
    if got.shape != wanted.shape or not (np.isfinite(got).all() and np.isfinite(wanted).all()):
        return None
    near = ROUNDINGS * unit_roundoff * float(np.abs(wanted).max())

    def alike(one: Array, other: Array) -> bool:
        return bool((np.abs(one - other) <= near).all())

    if alike(got, wanted):
        return SAME
    return _factor(got, wanted, alike, unit_roundoff) or _zeros(got, wanted, alike) or _order(got, wanted, near)


def _factor(got: Array, wanted: Array, alike: Callable[[Array, Array], bool], unit: float) -> Change | None:
    """One constant factor, or one per unit."""
    if not np.abs(wanted).max(axis=-1).all():
        return None
    at = np.unravel_index(int(np.argmax(np.abs(wanted))), wanted.shape)
    factor = _simple(float(got[at] / wanted[at]), unit)
    if factor and alike(got, wanted * float(factor)):
        return Change(f"multiplies {{}} by {factor}", lambda m, ar: _times(m, [[factor] * wanted.shape[1]], ar))
    by_unit = wanted.shape[0] == 1  # biases: each element is a unit's
    columns = np.arange(wanted.shape[1]) if by_unit else np.abs(wanted).argmax(axis=1)
    rows = 0 if by_unit else np.arange(wanted.shape[0])
    with np.errstate(all="ignore"):
        factors = [_simple(float(f), unit) for f in got[rows, columns] / wanted[rows, columns]]
    units = np.array([float(f) for f in factors])
    if not units.all() or not alike(got, wanted * (units if by_unit else units[:, None])):
        return None
    listed = ", ".join(str(f) for f in factors[:LISTED]) + (", …" if len(factors) > LISTED else "")
    table = [factors] if by_unit else [[f] * wanted.shape[1] for f in factors]
    return Change(f"multiplies the units of {{}} by {listed}", lambda m, ar: _times(m, table, ar))


def _simple(factor: float, unit: float) -> Fraction:
    """The simple fraction that is nearest; zero where, in these roundings, almost any number is near such a one."""
    nearest = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR) if np.isfinite(factor) else Fraction(0)
    return nearest if nearest.denominator**2 * 2 * FEW_ROUNDINGS * unit < CHANCE else Fraction(0)


def _times(matrix: Matrix, factors: Sequence[Sequence[Fraction]], ar: Arithmetic) -> Matrix:
    """Elementwise; a fraction may be one rounded factor, or a product and a division."""
    rows, columns = ar.shape(matrix)
    table = [factors[i % len(factors)] for i in range(rows)]
    above = ar.lift([[float(f.numerator) for f in row[:columns]] for row in table])
    below = ar.lift([[float(f.denominator) for f in row[:columns]] for row in table])
    return ar.elementwise(lambda x, n, d, fn: x * n / d, matrix, above, below)


def _zeros(got: Array, wanted: Array, alike: Callable[[Array, Array], bool]) -> Change | None:
    """Whole rows or columns at zero, everything else right."""
    rows, columns = ~got.any(axis=1) & wanted.any(axis=1), ~got.any(axis=0) & wanted.any(axis=0)
    kept = np.outer(~rows, ~columns)
    if kept.all() or not alike(got, np.where(kept, wanted, 0)):
        return None
    if not kept.any():
        said = "leaves {} at zero"
    else:
        across = "element" if len(wanted) == 1 else "column"
        empty: list[tuple[str, NDArray[np.bool_]]] = [("row", np.asarray(rows)), (across, np.asarray(columns))]
        lines = [f"{kind} {_numbers(which)}" for kind, which in empty if which.any()]
        said = f"leaves {' and '.join(lines)} of {{}} at zero"
    factors = [[Fraction(int(k)) for k in row] for row in kept]
    return Change(said, lambda matrix, ar: _times(matrix, factors, ar))


def _numbers(which: NDArray[np.bool_]) -> str:
    return ", ".join(str(k + 1) for k in np.flatnonzero(which))


def _order(got: Array, wanted: Array, near: float) -> Change | None:
    """The right elements at other places."""
    order = np.empty(got.size, int)  # which of the right elements stands at each place
    order[np.argsort(got, axis=None, kind="stable")] = np.argsort(wanted, axis=None, kind="stable")
    if not (np.abs(got.reshape(-1) - wanted.reshape(-1)[order]) <= near).all():
        return None
    positions = order.reshape(got.shape)
    words = _of_order(positions)
    return Change(words, lambda matrix, ar: ar.rearranged(matrix, positions.tolist()))


def _of_order(positions: NDArray[Any]) -> str:
    """What an order is called."""
    rows, columns = positions.shape
    own = np.arange(rows * columns).reshape(rows, columns)
    for axis, line in ((0, "rows"), (1, "elements" if rows == 1 else "columns")):
        count = positions.shape[axis]
        if np.array_equal(positions, np.flip(own, axis)):
            return f"has the {line} of {{}} in reverse order"
        for by in range(1, count):
            if np.array_equal(positions, np.roll(own, by, axis)):
                return f"has the {line} of {{}} shifted by {by}"
        first = positions[:, 0] // columns if axis == 0 else positions[0] % columns
        if np.array_equal(positions, np.take(own, first, axis)):
            return f"has the {line} of {{}} in the order {', '.join(str(k + 1) for k in first)}"
    if rows == columns and np.array_equal(positions, own.T):
        return "has {} transposed"
    if np.array_equal(positions, own.reshape(-1).reshape((rows, columns), order="F")):
        return "fills {} column by column with what comes row by row"
    if np.array_equal(positions, own.reshape(-1, order="F").reshape(rows, columns)):
        return "fills {} row by row with what comes column by column"
    return "has the elements of {} in another order"


# ------------------------------------------------------------------------- other layers', samples', calls'


def _exchanged_layers(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """The gradients of layers of equal shape in each other's place."""
    sources = {case.sizes: _sources(case, observation, convention) for case, observation in one_of_each(seen)}
    given = right(convention)

    def prediction(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix]:
        places = given(case, ar)
        assert places is not None
        return {place: places[source] for place, source in (sources[case.sizes] or {}).items()}

    if None in sources.values():
        return
    pairs = {(place.layer, source.layer) for found in sources.values() for place, source in (found or {}).items()}
    wrong = sorted((b or 0, a or 0) for a, b in pairs if a != b)
    if wrong:
        words = " and ".join(f"has layer {source + 1}'s gradients in layer {layer + 1}" for source, layer in wrong)
        yield Explanation((), words, "layers counted from the other end, or an index", None, prediction)


def _sources(case: Case, observation: Observation, convention: Convention | None) -> dict[Place, Place] | None:
    """Which layer's right gradients each shown array holds; None where one is nobody's."""
    wanted = _wanted(case, convention)
    unit = PROFILES[observation.precision].storage.unit_roundoff
    sources: dict[Place, Place] = {}
    for place, array in observed(observation):
        got = as_matrix(place, array).astype(float)
        fitting = [other for other, w in wanted.items() if other.quantity == place.quantity and w.shape == got.shape
                   and (np.abs(got - w) <= ROUNDINGS * unit * np.abs(w).max()).all()]  # fmt: skip
        if not fitting or not place.quantity.endswith("_gradients"):
            return None
        sources[place] = place if place in fitting else fitting[0]
    return sources


def _samples(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """One sample's gradients for all, or all but one's."""
    batch = max(case.batch for case, _ in seen)
    for row in range(1, batch - 1):
        yield Explanation(
            (), f"uses sample {row + 1} alone", "an index", None, by_rules(_weighted(row, alone=True), convention)
        )
    for row in range(batch - 1):
        yield Explanation(
            (), f"leaves sample {row + 1} out", "an index", None, by_rules(_weighted(row, alone=False), convention)
        )


def _sample_factors(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Each sample's gradients times a factor of its own, read off by least squares, case by case."""
    factors: dict[str, list[Fraction]] = {}
    for case, observation in seen:
        got = _gradients(case, observation)
        if not got:
            return
        alone = [_wanted_of(case, convention, row, list(got)) for row in range(case.batch)]
        whole = np.concatenate([array.ravel() for array in got.values()])
        if not (np.isfinite(whole).all() and all(np.isfinite(a).all() for a in alone)):
            return
        found, *_ = np.linalg.lstsq(np.stack(alone, axis=1), whole, rcond=None)
        unit = PROFILES[observation.precision].storage.unit_roundoff
        factors[case.name] = [_simple(float(f), unit) for f in found]
    first = max(seen, key=lambda pair: pair[0].batch)[0]
    own = factors[first.name]
    if len(set(own)) == 1 or (set(own) == {0, 1} and 1 in (own.count(Fraction(0)), own.count(Fraction(1)))):
        return  # one factor for all; or one sample alone, or left out, which is said as such

    def rules(case: Case) -> Rules:
        own = factors[case.name]

        def output_error(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
            error = RULES.output_error(objective, outputs, targets, ar)
            return _times(error, [[f] * ar.shape(error)[1] for f in own], ar)

        return replace(RULES, output_error=output_error)

    listed = ", ".join(str(f) for f in factors[first.name][:LISTED])
    yield Explanation((), f"weights samples by {listed}", "sample weights", None, by_rules(rules, convention))


def _wanted_of(case: Case, convention: Convention | None, row: int, places: Sequence[Place]) -> Array:
    """One sample's part of the gradients, as a vector."""
    given = by_rules(_weighted(row, alone=True) if case.batch > 1 else lambda c: RULES, convention)(case, ARRAYS)
    assert given is not None
    return np.concatenate([np.array(given[place], float).ravel() for place in places])


def _weighted(row: int, alone: bool) -> Callable[[Case], Rules]:
    """Rules that use one sample of a batch alone, or leave it out, where the batch has it and another."""

    def output_error(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
        error = RULES.output_error(objective, outputs, targets, ar)
        batch, units = ar.shape(error)
        if batch <= row or batch == 1:
            return error
        kept = ar.lift([[float((i == row) is alone)] * units for i in range(batch)])
        return ar.elementwise(lambda e, k, fn: e * k, error, kept)

    return lambda case: replace(RULES, output_error=output_error)


def calls(seen: Evidence, convention: Convention | None) -> Iterator[Explanation]:
    """Another call's gradients, or those added up; one step too many."""
    before = {case.name: earlier for earlier, (case, _) in pairwise(seen)}
    given = right(convention)

    def stale(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix] | None:
        earlier = before.get(case.name)
        if earlier is None or earlier[0].sizes != case.sizes:
            return None
        own, late = given(case, ar), given(earlier[0], ar)
        assert own is not None
        assert late is not None
        return {**own, **{place: matrix for place, matrix in late.items() if _is_gradient(place)}}

    def added(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix] | None:
        earlier = before.get(case.name)
        if earlier is None or earlier[0].sizes != case.sizes:
            return None
        own = given(case, ar)
        assert own is not None
        was = {p: ar.lift(as_matrix(p, array).astype(float)) for p, array in observed(earlier[1]) if _is_gradient(p)}
        summed = {p: ar.elementwise(lambda x, y, fn: x + y, own[p], matrix) for p, matrix in was.items()}
        return {**own, **summed}

    if seen[0][1].weight_gradients is not None and len(seen) > 1:
        yield Explanation((), "adds its gradients to those of the call before", ZERO_GRAD, None, added)
        yield Explanation((), "returns the gradients of the call before", "they are computed too late", None, stale)
    if seen[0][1].updated_weights is not None:
        yield Explanation((), "takes two steps instead of one", "a loop that runs twice", None, _two_steps(convention))


def _is_gradient(place: Place) -> bool:
    """What does not depend on how many samples there are, as outputs do."""
    return place.quantity in ("weight_gradients", "bias_gradients")


ZERO_GRAD = "gradients are not set to zero first (seen: llm.c pull request 548, tt-blacksmith pull request 711)"


def _two_steps(convention: Convention | None) -> Prediction:
    rules = RULES if convention is None else convention.rules()

    def prediction(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix]:
        return computed(run_in_turn([case, case], ar, lambda again: rules))

    return prediction
