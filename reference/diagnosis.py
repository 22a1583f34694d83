"""Names the bug: which of the known faults, planted in the reference, gives the observed numbers?

A fault is *proved* when the faulty reference reproduces every observed number within its own bounds on every case, when
the right one does not, and when nothing else known does. Beyond the catalogue: two faults at once, a constant factor,
transposed or zero blocks, other samples' gradients. What fits nothing is located: the first wrong step, and a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Arithmetic, Matrix
from .arrays import ArrayArithmetic
from .backprop import RULES, Rules
from .bounded import BoundedArithmetic
from .case import Case, run
from .conventions import Convention
from .faults import FAULTS, Fault, faulty_rules, touched_layers
from .observation import Observation, Place, computed, observed
from .plain import PLAIN
from .precision import PROFILES
from .stepwise import as_matrix
from .wrong_rules import layers_called, scaled

Array = NDArray[np.float64]
RulesFor = Callable[[Case], Rules]  # made anew for every run: some remember what they saw
Evidence = Sequence[tuple[Case, Observation]]

# How near (of an array's largest number) plain floats must be for bounds to be worth computing. It decides nothing but
# where to look: what is farther off than this is no rounding in any format.
NEARBY = 0.15
FEW_MULTIPLICATIONS = 500  # below which plain floats are done before NumPy has begun
ROUNDINGS = 256  # of the largest number, that what should cancel to nothing may be off
LARGEST_DENOMINATOR = 4096  # of a constant factor


ARRAYS = ArrayArithmetic("float64")


@dataclass(frozen=True)
class Explanation:
    """Something that reproduces every observed number.

    names: of the catalogued faults, none for a relation such as a constant factor
    words: completing "the implementation …";  mistake: how one comes to write that, if known
    layer: the only one in which it happens; None for wherever it applies
    rules: the reference with it; None where the explanation has left the process that found it
    """

    names: tuple[str, ...]
    words: str
    mistake: str
    layer: int | None
    rules: RulesFor | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What explains wrong numbers. explanations: all that remain, more than one where no data tried tells them apart.

    numbers: how many observed numbers each of them reproduces: all of them
    """

    explanations: tuple[Explanation, ...]
    numbers: int

    @property
    def proved(self) -> bool:
        """Whether one explanation is left, and all known others do not fit."""
        return len(self.explanations) == 1

    def in_words(self) -> Diagnosis:
        """The same without the functions, which cannot go from one process to another."""
        return replace(self, explanations=tuple(replace(e, rules=None) for e in self.explanations))

    @property
    def names(self) -> list[str]:
        """The names of the faults in the explanations, in order."""
        return [name for explanation in self.explanations for name in explanation.names]


def diagnose(evidence: Evidence, convention: Convention | None = None, pairs: bool = False) -> Diagnosis:
    """Try the catalogue, then relations to the right numbers; the first kind that fits is kept.

    evidence: observations of one implementation, at least one of them wrong
    convention: under which they were meant; the cases' own if None
    pairs: try two faults at once instead, which takes a hundred times as long
    """
    numbers = sum(array.size for _, observation in evidence for _, array in observed(observation))
    for kind in (_pairs_of_faults,) if pairs else (_single_faults, _relations):
        fitting = [e for e in kind(evidence) if e.rules and reproduces(e.rules, evidence, convention)]
        if fitting:
            return Diagnosis(_distinct(fitting, evidence), numbers)
    return Diagnosis((), numbers)


# ------------------------------------------------------------------------------------------ candidates


def _single_faults(evidence: Evidence) -> Iterator[Explanation]:
    """Every fault wherever it applies, and in each layer alone."""
    case = evidence[0][0]
    for fault in FAULTS:
        layers = touched_layers(fault, case)
        yield _explanation(fault, layers[0] if len(layers) == 1 else None, alone=False)
    for fault in FAULTS:
        layers = touched_layers(fault, case)
        if len(layers) > 1 and len(_changed(fault.rules(case))) == 1:
            yield from (_explanation(fault, layer, alone=True) for layer in layers)


def _explanation(fault: Fault, layer: int | None, alone: bool) -> Explanation:
    rules = partial(_rules, fault, layer if alone else None)
    return Explanation((fault.name,), fault.description, fault.mistake, layer, rules)


def _rules(fault: Fault, layer: int | None, case: Case) -> Rules:
    return faulty_rules(fault, case, layer)


def _pairs_of_faults(evidence: Evidence) -> Iterator[Explanation]:
    """Two faults that replace different rules, at once."""
    case = evidence[0][0]
    changed = {fault.name: _changed(fault.rules(case)) for fault in FAULTS}
    for one, other in combinations(FAULTS, 2):
        if changed[one.name] & changed[other.name]:
            continue
        words, mistakes = f"{one.description}, and {other.description}", f"{one.mistake}; {other.mistake}"
        yield Explanation((one.name, other.name), words, mistakes, None, partial(_both, one, other))


def _changed(rules: Rules) -> set[str]:
    return {field.name for field in fields(Rules) if getattr(rules, field.name) is not getattr(RULES, field.name)}


def _both(one: Fault, other: Fault, case: Case) -> Rules:
    more = other.rules(case)
    changes: dict[str, Any] = {name: getattr(more, name) for name in _changed(more)}
    return replace(one.rules(case), **changes)


def _relations(evidence: Evidence) -> Iterator[Explanation]:
    """A factor on all gradients or on those of one layer, read off the largest element."""
    case, observation = evidence[0]
    right = _floats(computed(run(case, PLAIN)))
    shown = {place: as_matrix(place, array).astype(float) for place, array in observed(observation)}
    gradients = {place: array for place, array in shown.items() if place.quantity.endswith("_gradients")}
    factors = {place: _factor(array, right[place]) for place, array in gradients.items()}
    known = [factor for factor in factors.values() if factor is not None]
    if known and all(factor is not None for factor in factors.values()):
        yield from _scaled_by(known[0], None)
    for layer in sorted({place.layer for place in gradients if place.layer is not None}):
        own = [factors[place] for place in gradients if place.layer == layer]
        if own[0] is not None:
            yield from _scaled_by(own[0], layer)


def _factor(got: Array, right: Array) -> float | None:
    at = np.unravel_index(int(np.argmax(np.abs(right))), right.shape)
    return float(got[at] / right[at]) if right[at] and np.isfinite(got[at]) else None


def _scaled_by(factor: float, layer: int | None) -> Iterator[Explanation]:
    """The simple fraction that is nearest to the factor that was read off."""
    if abs(factor - 1) < 1e-3 or not np.isfinite(factor) or factor == 0:
        return
    simple = Fraction(factor).limit_denominator(LARGEST_DENOMINATOR)
    where = "every gradient" if layer is None else f"the gradients of layer {layer + 1}"
    words = f"multiplies {where} by {simple}"
    yield Explanation((), words, "a constant factor", layer, partial(_scaled_rules, float(simple), layer))


def _scaled_rules(factor: float, layer: int | None, case: Case) -> Rules:
    """The right gradients times a factor."""
    weights, biases = iter(layers_called(case, "weight_gradient")), iter(layers_called(case, "bias_gradient"))

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.weight_gradient(delta, inputs, ar)
        return scaled(right, factor, ar) if next(weights) == layer or layer is None else right

    def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
        right = RULES.bias_gradient(delta, ar)
        return scaled(right, factor, ar) if next(biases) == layer or layer is None else right

    return replace(RULES, weight_gradient=weight_gradient, bias_gradient=bias_gradient)


# ------------------------------------------------------------------------------------------ reproduction


def reproduces(rules: RulesFor, evidence: Evidence, convention: Convention | None = None) -> bool:
    """Whether every number of every observation is inside the bounds of the reference with these rules."""

    def step(case: Case, ar: Arithmetic) -> dict[Place, Any]:
        planted = rules(case)
        return computed(run(case, ar, planted if convention is None else convention.rules(planted)))

    for case, observation in evidence:
        shown = [(place, as_matrix(place, array)) for place, array in observed(observation)]
        few = case.batch * sum(a * b for a, b in pairwise(case.sizes)) < FEW_MULTIPLICATIONS
        floats = step(case, PLAIN if few else ARRAYS)
        unit = PROFILES[observation.precision].storage.unit_roundoff
        if not _near([(array, np.array(floats[place], float)) for place, array in shown], unit):
            return False
        bounds = step(case, BoundedArithmetic(PROFILES[observation.precision]))
        if not all(bounds[place].holds(array).all() for place, array in shown):
            return False
    return True


def _near(pairs: Sequence[tuple[NDArray[Any], Array]], unit_roundoff: float) -> bool:
    """Whether each array is near what is wanted; sums that cancel to nothing are compared with the largest of all."""
    if any(got.shape != wanted.shape for got, wanted in pairs):
        return False
    with np.errstate(all="ignore"):
        largest = max(float(np.abs(wanted).max()) for _, wanted in pairs)
        if not np.isfinite(largest):
            return True  # it is for the bounds to say
        return all(
            float(np.abs(got.astype(float) - wanted).max())
            <= max(NEARBY * float(np.abs(wanted).max()), ROUNDINGS * unit_roundoff * largest)
            for got, wanted in pairs
        )


def _floats(places: dict[Place, Any]) -> dict[Place, Array]:
    return {place: np.array(matrix, float) for place, matrix in places.items()}


def _distinct(explanations: Sequence[Explanation], evidence: Evidence) -> tuple[Explanation, ...]:
    """Without a fault in one layer where the fault wherever it applies fits as well.

    Of updates alone, faults of the update come first: they say the same in fewer steps.
    """
    everywhere = {e.names for e in explanations if e.layer is None}
    kept = [e for e in explanations if e.layer is None or e.names not in everywhere]
    if all(observation.weight_gradients is None for _, observation in evidence):
        kept.sort(key=lambda e: not (e.rules and _changed(e.rules(evidence[0][0])) == {"update"}))
    return tuple(kept)


def located(case: Case, observation: Observation, convention: Convention | None = None) -> str:
    """For what fits nothing: a map of each wrong array, a character per element. · right, # wrong, 0 wrongly zero."""
    rules = RULES if convention is None else convention.rules()
    bounds = computed(run(case, BoundedArithmetic(PROFILES[observation.precision]), rules))
    lines = []
    for place, array in observed(observation):
        got = as_matrix(place, array).astype(float)
        right = bounds[place].holds(got)
        if right.all():
            continue
        lines.append(f"{place}: {int((~right).sum())} of {right.size} elements")
        symbols = np.where(right, "·", np.where(got == 0, "0", "#"))
        lines += ["  " + "".join(row[:WIDEST_MAP]) for row in symbols[:TALLEST_MAP]]
    return "\n".join(lines)


WIDEST_MAP, TALLEST_MAP = 64, 16
