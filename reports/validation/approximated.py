"""Activations that are approximated, by a table or a formula: their values are read off, one sample at a time.

What an activation gives shows in gradients: a layer's weight gradient is δ · aᵀ, and its bias gradient is δ. So a
network is asked whose first layer is given its z, and one whose outputs are. If that is nearly the activation, and all
other steps are right with the values that were read off, the values are what is wrong: no table need be known for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import Unanswered
from ...reference.activations import SOFTMAX, Activation, activate
from ...reference.backprop import RULES, Layer, Rules
from ...reference.case import Case, Dense, known_activation
from ...reference.diagnosis import ARRAYS, Convention, Evidence, by_rules
from ...reference.judging import as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES, Arithmetic, Matrix, array_of, narrowed
from ..documents import Subject
from .following import evidence_under

Array = NDArray[np.float64]
Read = Callable[[Array], Array]  # z -> what the implementation makes of it

REACH, POINTS = 4.0, 24  # |z| that values are read off at, and how many
NEAR = 1 / 8  # of what the activation ranges over, how far off an approximation may be
ROUNDINGS = 64  # of the largest number, within which every other step has to be right
TELLING = 8  # times that, which values must be off: less could be another step's
PROBES = 4  # on which the other steps are looked at


class _Unreadable(Exception):
    """What a network shows does not tell the values of its activations."""


def approximated(subject: Subject, observed: Evidence, convention: Convention) -> list[str]:
    """What is said of activations that are nearly those of the convention, or nothing."""
    if subject.observe is None or subject.returns != "gradients" or convention.online:
        return []
    probes = evidence_under(convention, observed)
    case = next((case for case, _ in probes if case.batch == 1), None)
    if case is None:
        return []
    last = len(case.layers) - 1
    try:
        reads: dict[bool, Read] = {}  # by whether it is the outputs
        off: dict[bool, float] = {}
        for outputs in (False, True) if last else (True,):
            activation = _activation(case, outputs)
            if activation is SOFTMAX or activation.name == "identity":
                continue
            read = partial(_outputs_at if outputs else _hidden_at, subject, case)
            found = _off(read, activation, case)
            if found is not None:
                reads[outputs], off[outputs] = read, found
        if not reads or not _rest_is_right(reads, probes, convention, max(off.values())):
            return []
        words = [_in_words(case, outputs, off[outputs], reads[outputs]) for outputs in reads]
    except (Unanswered, _Unreadable):
        return []
    return [*words, REST.format(min(PROBES, len(probes)))]


REST = "with the values that it has there, every other step is right, on {} probes."


def _activation(case: Case, outputs: bool) -> Activation:
    return known_activation("activation", case.layers[-1 if outputs else 0].activation)


def _unit(case: Case) -> float:
    return PROFILES[case.dtype].storage.unit_roundoff


def _value(activation: Activation, z: Array) -> Array:
    return np.asarray(activate(activation, z, ARRAYS))


# ------------------------------------------------------------------------------------------- reading


def _hidden_at(subject: Subject, case: Case, z: Array) -> Array:
    """The first layer's activations: its weights are z, of one input that is 1. They are shown by the layer above."""
    first, above, *more = case.layers
    units, inputs = np.shape(first.weights)
    read: list[Array] = []
    for part in _in_parts(z, units):
        weights = np.zeros((units, inputs))
        weights[:, 0] = part
        layers = (_dense(first, weights, np.zeros(units), case), above, *more)
        asked = replace(case, layers=layers, inputs=array_of([[1.0] + [0.0] * (inputs - 1)], case.dtype))
        of_weights, delta = _shown(subject, asked, 1)
        largest = int(np.argmax(np.abs(delta)))
        if not delta[largest]:
            raise _Unreadable
        read.append(of_weights[largest] / delta[largest])
    return np.concatenate(read)[: len(z)]


def _outputs_at(subject: Subject, case: Case, z: Array) -> Array:
    """The outputs: the last layer has z for its biases alone. Of every loss here, δ is zero where the target is o."""
    *below, last = case.layers
    units, inputs = np.shape(last.weights)
    read: list[Array] = []
    for part in _in_parts(z, units):
        weights, given = np.zeros((units, inputs)), case
        if last.biases is None:
            if below:
                raise _Unreadable
            weights[:, 0] = part
            given = replace(case, inputs=array_of([[1.0] + [0.0] * (inputs - 1)], case.dtype))
        layers = (*below, _dense(last, weights, part, case))
        deltas = []
        for target in (0.0, 1.0):
            asked = replace(given, layers=layers, targets=array_of([[target] * units], case.dtype))
            of_weights, delta = _shown(subject, asked, len(below))
            deltas.append(of_weights[:, 0] if last.biases is None else delta)
        if not (deltas[0] != deltas[1]).all():
            raise _Unreadable
        read.append(deltas[0] / (deltas[0] - deltas[1]))
    return np.concatenate(read)[: len(z)]


def _in_parts(z: Array, units: int) -> Iterator[Array]:
    for start in range(0, len(z), units):
        part = z[start : start + units]
        yield np.concatenate([part, np.full(units - len(part), 0.5)])


def _dense(layer: Dense, weights: Array, biases: Array, case: Case) -> Dense:
    own = None if layer.biases is None else array_of([biases], case.dtype)[0].tolist()
    return Dense(array_of(weights, case.dtype), own, layer.activation)


def _shown(subject: Subject, case: Case, k: int) -> tuple[Array, Array]:
    """A layer's weight gradient, and its δ: the bias gradient, or zeros where there is none."""
    assert subject.observe is not None
    seen = subject.observe(case)
    shown = None if seen.weight_gradients is None else seen.weight_gradients[k]
    if shown is None or not np.isfinite(weights := shown.astype(float)).all():
        raise _Unreadable
    biases = None if seen.bias_gradients is None else seen.bias_gradients[k]
    return weights, np.zeros(len(weights)) if biases is None else biases.astype(float).reshape(-1)


# ------------------------------------------------------------------------------------------- judging


def _off(read: Read, activation: Activation, case: Case) -> float | None:
    """How far the values are off at most, where they are those of an approximation; None where they are not.

    A narrower format of a or z is none: it is told by its own evidence.
    """
    unit = _unit(case)
    z = np.asarray(array_of([np.random.default_rng(14).uniform(-REACH, REACH, POINTS)], case.dtype)[0], float)
    right, seen = _value(activation, z), read(z)
    if not np.isfinite(seen).all():
        return None
    off, largest = np.abs(seen - right), float(np.abs(right).max())
    if not TELLING * ROUNDINGS * unit * largest < off.max() <= NEAR * float(np.ptp(right)):
        return None
    for profile in PROFILES.values():
        if profile.storage.unit_roundoff > unit:
            in_format = np.abs(narrowed(seen, profile.storage) - seen) <= 4 * unit * np.abs(seen)
            of_format = np.abs(_value(activation, narrowed(z, profile.storage)) - seen) <= ROUNDINGS * unit * largest
            if in_format.all() or of_format.all():
                return None
    return float(off.max())


def _rest_is_right(reads: dict[bool, Read], probes: Evidence, convention: Convention, off: float) -> bool:
    """Whether the reference with these values gives the gradients; derivatives are of them, or of the right ones."""
    return any(
        all(_fits(reads, case, answer, convention, own, off) for case, answer in probes[:PROBES])
        for own in (True, False)
    )


def _fits(reads: dict[bool, Read], case: Case, answer: Any, convention: Convention, own: bool, off: float) -> bool:
    last = len(case.layers) - 1

    def rules(_: Case) -> Rules:
        layers = iter(range(last + 1))

        def activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
            read = reads.get(next(layers) == last)
            return RULES.activation(layer, z, ar) if read is None else read(np.ravel(z)).reshape(np.shape(z))

        def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
            rule = RULES.output_delta if layer.activation is SOFTMAX else RULES.hidden_delta
            return rule(layer, z, a if own else RULES.activation(layer, z, ar), error, ar)

        return replace(RULES, activation=activation, hidden_delta=delta, output_delta=delta)

    places = by_rules(rules, convention)(case, ARRAYS) or {}
    near = min(ROUNDINGS * _unit(case), off / TELLING)
    for place, array in shown(answer):
        wanted = np.asarray(places[place])
        if not np.abs(as_matrix(place, array).astype(float) - wanted).max() <= near * np.abs(wanted).max():
            return False
    return True


# ------------------------------------------------------------------------------------------- in words


def _in_words(case: Case, outputs: bool, off: float, read: Read) -> str:
    activation = _activation(case, outputs)
    where = "at the output" if outputs else "in hidden layers"
    how = _manner(read, activation, _unit(case))
    return f"it approximates {activation.name} {where}: its values are off by up to {off:.2g} or more, {how}."


def _manner(read: Read, activation: Activation, unit: float) -> str:
    """In steps, in straight pieces or smoothly: by points that are ever nearer to some others."""
    z = np.random.default_rng(15).uniform(-2, 2, 8)
    here = read(z)
    for width in WIDTHS:
        there = read(z + width)
        changes = np.abs(_value(activation, z + width) - _value(activation, z)) > ROUNDINGS * unit
        flat = np.abs(there - here) <= 4 * unit * np.abs(here)
        if np.count_nonzero(flat & changes) >= len(z) / 2:
            return (
                f"in steps about {_step(read, float(z[np.argmax(flat)]), width, unit):.2g} wide, as in a lookup table"
            )
    for width in WIDTHS:
        bent = _second(partial(_value, activation), z, width) > 2 * ROUNDINGS * unit
        straight = _second(read, z, width) <= 8 * unit
        if np.count_nonzero(straight & bent) >= len(z) / 2:
            return "in straight pieces, as in a lookup table with interpolation"
    return "smoothly, as by a formula that is nearly it"


WIDTHS = tuple(2.0**-k for k in range(1, 18))


def _second(f: Read, z: Array, width: float) -> Array:
    return np.abs(f(z - width) - 2 * f(z) + f(z + width))


def _step(read: Read, z: float, width: float, unit: float) -> float:
    """How wide the step is that z is on, by bisection to either side."""
    here = float(read(np.array([z]))[0])
    ends = []
    for side in (-1, 1):
        inside, outside = 0.0, 4 * width
        for _ in range(BISECTIONS):
            middle = (inside + outside) / 2
            same = abs(float(read(np.array([z + side * middle]))[0]) - here) <= 4 * unit * abs(here)
            inside, outside = (middle, outside) if same else (inside, middle)
        ends.append(inside)
    return sum(ends)


BISECTIONS = 12
