"""Which conventions are worth a diagnosis, when nothing was declared and all numbers are wrong.

A mistake at the outputs spoils every gradient, so that the numbers resemble those of no convention. But the last
layer's own gradient can be had from the forward pass and two rules more, and losses that differ by ½, by a mean or by a
sign give it up to a factor: its direction tells under which activations, and which loss, a fault is to be looked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Forward, Rules, forward
from ..case import Case, Dense, layers_of
from ..judging import Observation
from ..numbers import PROFILES
from .catalogue.faults import FAULTS, Fault
from .conventions import Convention
from .explanation import ARRAYS, Evidence

Array = NDArray[np.float64]

OF_OUTPUTS = ("preactivation", "activation", "output_error", "output_delta")  # rules that the last layer shows
COARSE = 1e-6  # how near (of the largest number) a direction must be; nothing is decided by it but where to look
ROUNDINGS = 8  # the same for formats of few digits


def likely(conventions: Sequence[Convention], evidence: Evidence) -> list[Convention]:
    """The conventions under which the right algorithm, or one fault, gives the last layer's gradient up to a factor.

    Those whose own factor it is come first, of them those whose last layer is right.
    """
    one_by_one = any(convention.online for convention in conventions)  # of one sample, that is no matter
    case, observation = max(evidence, key=lambda pair: ((pair[0].batch > 1) != one_by_one, pair[0].sizes[-1]))
    got = _shown(case, observation)
    if got is None or not np.isfinite(got).all():
        return []
    near = max(COARSE, ROUNDINGS * PROFILES[observation.precision].storage.unit_roundoff)
    found: dict[Convention, tuple[bool, bool, float]] = {}
    for activations, loss in dict.fromkeys((c.activations, c.loss) for c in conventions):
        alike = [c for c in conventions if (c.activations, c.loss) == (activations, loss)]
        of_sums = Convention(activations, loss).applied(case)
        for rules, predicted in _predictions(of_sums, got.size):
            factor = _factor(got, predicted, near)
            for convention in alike if factor else ():
                own = _own_factor(convention, case)
                if factor * own > 0:
                    off = abs(math.log(factor / own))
                    rank = (off > near, rules is not RULES, off)
                    found[convention] = min(rank, found.get(convention, rank))
    return sorted(found, key=lambda convention: found[convention])


def _shown(case: Case, observation: Observation) -> Array | None:
    """The last layer's gradients in one row, the weights' first; of updates, how far the weights moved, without biases.

    Biases that are not updated at all are common, and would spoil the direction.
    """
    if observation.weight_gradients is not None:
        arrays = [observation.weight_gradients[-1], (observation.bias_gradients or [None])[-1]]
        rows = [array.astype(float).ravel() for array in arrays if array is not None]
        return np.concatenate(rows) if rows else None
    if observation.updated_weights is None or case.learning_rate is None:
        return None
    old, new = np.array(case.layers[-1].weights, float), observation.updated_weights[-1]
    return None if new is None else ((old - new.astype(float)) / case.learning_rate).ravel()


def _predictions(case: Case, numbers: int) -> Iterator[tuple[Rules, Array]]:
    """The last layer's gradients by the right rules and by each fault that it shows. numbers: how many are compared"""
    layers, inputs, targets = layers_of(case, ARRAYS), ARRAYS.lift(case.inputs), ARRAYS.lift(case.targets)
    objective, last = case.objective, layers[-1]

    @cache
    def passed_right() -> Forward:
        return forward(layers, inputs, ARRAYS)

    for rules in _rules_of_outputs(case):
        honest = rules.preactivation is RULES.preactivation and rules.activation is RULES.activation
        with np.errstate(all="ignore"):
            passed = passed_right() if honest else forward(layers, inputs, ARRAYS, rules)
            error = rules.output_error(objective, passed.outputs, targets, ARRAYS)
            delta = rules.output_delta(last, passed.pre_activations[-1], passed.outputs, error, ARRAYS)
            received = passed.activations[-2] if len(layers) > 1 else inputs
            of_weights = RULES.weight_gradient(delta, received, ARRAYS)
            gradients = np.concatenate([of_weights.ravel(), RULES.bias_gradient(delta, ARRAYS).ravel()])
        yield rules, gradients[:numbers]


def _rules_of_outputs(case: Case) -> Iterator[Rules]:
    yield RULES
    yield from (fault.rules(case) for fault in _faults_of_outputs(len(case.layers)))


@cache
def _faults_of_outputs(layers: int) -> tuple[Fault, ...]:
    """Those that change a rule of the outputs, which is a matter of how many layers there are."""
    case = Case("any", (Dense([[1.0]], [1.0], "sigmoid"),) * layers, [[1.0]], [[1.0]])
    changed = ((fault, fault.rules(case)) for fault in FAULTS)
    return tuple(f for f, r in changed if any(getattr(r, name) is not getattr(RULES, name) for name in OF_OUTPUTS))


def _factor(got: Array, predicted: Array, near: float) -> float:
    """The factor between two rows of numbers of the same direction; 0 where they have not."""
    with np.errstate(all="ignore"):
        factor = float(np.divide(predicted @ got, predicted @ predicted))
        same = np.abs(got - factor * predicted).max() <= near * np.abs(got).max()
    return factor if same and math.isfinite(factor) else 0.0


def _own_factor(convention: Convention, case: Case) -> float:
    """What the convention multiplies the gradient of a sum by."""
    by = {"sum": 1, "mean": case.batch}.get(convention.reduction, case.batch * case.sizes[-1])
    return (-1 if convention.negative else 1) / by
