"""What an explanation of wrong numbers is, and what it takes to be one: it must reproduce every one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case, run, run_online
from ..judging import Observation, Place, as_matrix, computed, observed
from ..numbers import PLAIN, PROFILES, Arithmetic, ArrayArithmetic, ArrayFunctions, BoundedArithmetic, Matrix, erf
from .conventions import Convention

Array = NDArray[np.float64]
Evidence = Sequence[tuple[Case, Observation]]
RulesFor = Callable[[Case], Rules]  # made anew for every run: some remember what they saw
# What an implementation would give for a case; None where the explanation claims nothing about that one.
Prediction = Callable[[Case, Arithmetic], Mapping[Place, Matrix] | None]
# A case whose floats are near what is predicted: how far in units of that, and what was shown, with what is a number.
_Near = tuple[float, Case, Observation, list[tuple[tuple[Place, NDArray[Any]], NDArray[np.bool_]]]]

# How near (of an array's largest number) plain floats must be for bounds to be worth computing. It decides nothing but
# where to look: what is farther off than this is no rounding in any format.
NEARBY = 0.15
FEW_MULTIPLICATIONS = 500  # below which plain floats are done before NumPy has begun
ROUNDINGS = 256  # of the largest number, that what should cancel to nothing may be off
NOISE = 4  # roundings of the data's largest number, of which all may be where everything cancels
SMALLEST = 1e-300  # in place of zero, where it would be divided by
CASES_NEEDED = 2  # that an explanation which claims nothing about some must be right about


class _Functions(ArrayFunctions):
    """NumPy's functions of float64, with constants as they are."""

    def erf(self, x: Array) -> Array:
        return erf(x)


class _Float64(ArrayArithmetic):
    """Arrays of float64 without ceremony: searches run rules ten thousand times, on a few numbers each."""

    floats = _Functions(np)

    def elementwise(self, formula: Callable[..., Any], *matrices: Array) -> Array:
        with np.errstate(all="ignore"):
            result = formula(*matrices, self.floats)
            if getattr(result, "shape", None) == matrices[0].shape and result.dtype == np.float64:
                whole: Array = result
                return whole
            return np.broadcast_to(np.asarray(result, np.float64), matrices[0].shape)

    def matmul(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            return left @ right

    def weighted_sums(self, inputs: Array, weights: Array, biases: Array | None) -> Array:
        with np.errstate(all="ignore"):
            sums = inputs @ weights.T
            return sums if biases is None else sums + biases


ARRAYS = _Float64("float64")


@dataclass(frozen=True)
class Explanation:
    """Something that reproduces every observed number.

    names: of the catalogued faults, none for a relation such as a constant factor
    words: completing "the implementation …";  mistake: how one comes to write that, if known
    layer: the only one in which it happens; None for wherever it applies
    prediction: what it would give; None where the explanation has left the process that found it
    several: whether it changes more than one step, or a part of an array: then a plainer one is looked for
    of_loss: whether it changes ∂E/∂o alone, so that another loss would be right with it
    forward: whether it changes the forward pass alone, so that it may be another network
    proved: whether whoever found it has seen it reproduce all of the evidence, and nobody need ask again
    mistakes: how many different ones it consists of
    """

    names: tuple[str, ...]
    words: str
    mistake: str
    layer: int | None = None
    prediction: Prediction | None = None
    several: bool = False
    of_loss: bool = False
    forward: bool = False
    proved: bool = False
    mistakes: int = 1


@dataclass(frozen=True)
class Diagnosis:
    """What explains wrong numbers. explanations: all that remain, more than one where no data tried tells them apart.

    numbers: how many observed numbers each of them reproduces: all of them
    nowhere: what was shown and is finite in no case: NaN from above is NaN, whatever else is done to it there
    """

    explanations: tuple[Explanation, ...]
    numbers: int
    nowhere: tuple[Place, ...] = ()

    @property
    def proved(self) -> bool:
        """Whether one explanation is left, and all known others do not fit."""
        return len(self.explanations) == 1

    def in_words(self) -> Diagnosis:
        """The same without the functions, which cannot go from one process to another."""
        return replace(self, explanations=tuple(replace(e, prediction=None) for e in self.explanations))

    @property
    def names(self) -> list[str]:
        """The names of the faults in the explanations, in order."""
        return [name for explanation in self.explanations for name in explanation.names]


def by_rules(rules_for: RulesFor, convention: Convention | None = None) -> Prediction:
    """What the reference with these rules gives, under a convention (the case's own if None)."""

    def rules(case: Case) -> Rules:
        planted = rules_for(case)
        return planted if convention is None else convention.rules(planted)

    def prediction(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix]:
        return computed(run_online(case, ar, rules) if case.online else run(case, ar, rules(case)))

    return prediction


def right(convention: Convention | None = None) -> Prediction:
    """What the right algorithm gives."""
    return by_rules(lambda case: RULES, convention)


def reproduces(prediction: Prediction, evidence: Evidence, of_formats: bool = False) -> bool:
    """Whether every number of every observation is inside the bounds of what is predicted.

    of_formats: whether the weights themselves may be rounded to a narrower format, by more than a step moves them

    What is no number (0/0, or 1/(n − 1) of a single sample) must be predicted to be none, and nothing else may be.
    """
    claimed, near = 0, list[_Near]()
    for case, observation in sorted(evidence, key=lambda pair: pair[0].batch):  # the cheapest first: most fail there
        shown = [(place, as_matrix(place, array)) for place, array in observed(observation)]
        numbers = [np.isfinite(array.astype(float)) for _, array in shown]
        floats = _in_floats(prediction, case, plain=all(finite.all() for finite in numbers))
        if floats is None:
            continue
        wanted = [np.array(floats[place], float) for place, _ in shown]
        if not all(np.array_equal(finite, np.isfinite(w)) for finite, w in zip(numbers, wanted, strict=True)):
            return False  # bounds of what is no number hold everything
        claimed += any(finite.any() for finite in numbers)
        unit = PROFILES[observation.precision].storage.unit_roundoff
        before = [None if of_formats else _moved_from(case, place) for place, _ in shown]
        scale = float(max(np.abs(np.array(rows, float)).max() for rows in (case.inputs, case.targets)))
        off = _off_beyond([(got, w, was) for (_, got), w, was in zip(shown, wanted, before, strict=True)], unit, scale)
        if off > 1:
            return False
        near.append((off, case, observation, list(zip(shown, numbers, strict=True))))
    for _, case, observation, pairs in sorted(near, key=lambda entry: -entry[0]):  # bounds are dear: the farthest first
        bounds = prediction(case, BoundedArithmetic(PROFILES[observation.precision]))
        assert bounds is not None
        if not all((bounds[place].holds(array) | ~finite).all() for (place, array), finite in pairs):
            return False
    return claimed >= min(CASES_NEEDED, len(evidence))


def _in_floats(prediction: Prediction, case: Case, plain: bool) -> Mapping[Place, Matrix] | None:
    """A prediction in plain floats or arrays, whichever is faster; plain ones stop at a division by zero."""
    few = plain and case.batch * sum(a * b for a, b in pairwise(case.sizes)) < FEW_MULTIPLICATIONS
    try:
        return prediction(case, PLAIN if few else ARRAYS)
    except ZeroDivisionError:
        return prediction(case, ARRAYS)


def distances(prediction: Prediction, evidence: Evidence) -> dict[Place, float]:
    """How far, at most, a prediction in float64 arrays is from what was observed, in units of each array's largest.

    Nothing is judged by it.
    """
    farthest: dict[Place, float] = {}
    for case, observation in evidence:
        floats = prediction(case, ARRAYS) or {}
        for place, array in observed(observation):
            if place in floats:
                farthest[place] = max(farthest.get(place, 0.0), _off(as_matrix(place, array), floats[place]))
    return farthest


def within(prediction: Prediction, evidence: Evidence, near: float) -> bool:
    """Whether those distances are at most that; what claims nothing about a case is not near to it either way."""
    for case, observation in evidence:
        floats = prediction(case, ARRAYS) or {}
        for place, array in observed(observation):
            if place in floats:
                got, wanted = as_matrix(place, array), floats[place]
                if got.shape != np.shape(wanted) or _off(got, wanted) > near:
                    return False
    return True


def as_near(prediction: Prediction, evidence: Evidence) -> bool:
    """Whether it is about as near to what was observed as it is to itself, done in the very format.

    Bounds of formats of few digits hold much that was not done; where there are more digits, they are the proof.
    """
    for case, observation in evidence:
        storage = PROFILES[observation.precision].storage
        exact = prediction(case, ARRAYS) if storage.digits <= FEW_DIGITS else None
        if exact is None:
            continue
        with np.errstate(all="ignore"):
            rounded = prediction(case, ArrayArithmetic(storage.name)) or {}
        for place, array in observed(observation):
            own = _off(np.asarray(rounded[place]), exact[place])
            if _off(as_matrix(place, array), exact[place]) > AS_FAR * (own + storage.unit_roundoff):
                return False
    return True


FEW_DIGITS = 11  # as float16 has
# How many times as far off an implementation's roundings may be as the reference's in the same format: it decides what
# is said of wrong numbers, not which are.
AS_FAR = 16.0


def remembered(prediction: Prediction) -> Prediction:
    """The same, computed once for every case and arithmetic."""
    known: dict[tuple[int, int], tuple[Case, Mapping[Place, Matrix] | None]] = {}

    def found(case: Case, ar: Arithmetic) -> Mapping[Place, Matrix] | None:
        key = id(case), id(ar)
        if key not in known:
            known[key] = case, prediction(case, ar)
        return known[key][1]

    return found


def apart(one: Prediction, other: Prediction, evidence: Evidence) -> dict[Place, float]:
    """How far two predictions are from each other, at most, where something was observed."""
    farthest: dict[Place, float] = {}
    for case, observation in evidence:
        first, second = one(case, ARRAYS) or {}, other(case, ARRAYS) or {}
        for place, _ in observed(observation):
            if place in first and place in second:
                farthest[place] = max(farthest.get(place, 0.0), _off(first[place], second[place]))
    return farthest


def _off(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    with np.errstate(all="ignore"):
        off = np.abs(got.astype(float) - wanted).max() / max(np.abs(wanted).max(), np.finfo(float).tiny)
    return float(off) if np.isfinite(off) else np.inf


def _moved_from(case: Case, place: Place) -> Array | None:
    """What an update begins at: beside it every step is small, and so is what is wrong with one. None of the others."""
    if place.layer is None or not place.quantity.startswith("updated"):
        return None
    layer = case.layers[place.layer]
    if place.quantity == "updated_biases" and layer.biases is None:
        return None
    return np.array(layer.weights if place.quantity == "updated_weights" else [layer.biases], float)


def _off_beyond(
    triples: Sequence[tuple[NDArray[Any], Array, Array | None]], unit_roundoff: float, scale: float
) -> float:
    """How far the arrays are from what is wanted, in what is near; of sums that cancel to nothing, beside the largest.

    triples: with what the array was before, where it is the change that has to be near
    scale: of the data, beside which everything may have canceled to nothing
    """
    if any(got.shape != wanted.shape for got, wanted, _ in triples):
        return math.inf
    with np.errstate(all="ignore"):
        largest = max(float(np.abs(wanted).max()) for _, wanted, _ in triples)
        if not np.isfinite(largest) or largest <= NOISE * unit_roundoff * scale:
            return 0.0  # it is for the bounds to say
        return max(
            float(np.abs(got.astype(float) - wanted).max())
            / max(
                NEARBY * float(np.abs(wanted if before is None else wanted - before).max()),
                ROUNDINGS * unit_roundoff * largest,
                SMALLEST,
            )
            for got, wanted, before in triples
        )
