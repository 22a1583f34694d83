"""Many cases of one shape at once: every number is an array with an element for each case.

The plain reference runs on them as it is: its numbers may be anything with operators, and these are values with bounds.
So thousands of small cases cost no more steps of Python than one does. The bounds are those from end to end; what is
outside them is for the judge to look at, step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Layer, Rules, backward, delta_rule, forward
from ..case import Case, Step, layers_of
from ..numbers import (
    OUTWARD,
    PROFILES,
    TRUTH,
    WORST,
    Bounded,
    BoundedArithmetic,
    Curve,
    Model,
    PlainArithmetic,
    PlainMatrix,
    Profile,
    exactly,
)
from .observation import Observation, Place, computed, observed
from .stepwise import as_matrix

LEAST_DIGITS = 2.0  # that the check must see in every array for it to count; else the judge looks


class SideBySide(PlainArithmetic):
    """Lists of rows of `Bounded` numbers, each 1 × cases. Sums are bounded for any order of their terms."""

    def __init__(self, profile: Profile) -> None:
        self.bounded = BoundedArithmetic(profile)
        super().__init__(lambda x: exactly([[x]], self.bounded.model), self.bounded.functions)
        self.model: Model = self.bounded.model

    def matmul(self, left: PlainMatrix, right: PlainMatrix) -> PlainMatrix:
        columns = self.transpose(right)
        return [[self._sum_of_products(row, column, []) for column in columns] for row in left]

    def weighted_sums(self, inputs: PlainMatrix, weights: PlainMatrix, biases: PlainMatrix | None) -> PlainMatrix:
        added = [[] for _ in weights] if biases is None else [[b] for b in biases[0]]
        return [
            [self._sum_of_products(sample, unit, bias) for unit, bias in zip(weights, added, strict=True)]
            for sample in inputs
        ]

    def activate(self, activation: Curve, z: PlainMatrix) -> PlainMatrix:
        return [[self.functions.activated(activation, x) for x in row] for row in z]

    def softmax(self, z: PlainMatrix) -> PlainMatrix:
        return [self._by_rows(self.bounded.softmax, row) for row in z]

    def log_softmax(self, z: PlainMatrix) -> PlainMatrix:
        return [self._by_rows(self.bounded.log_softmax, row) for row in z]

    def _by_rows(self, function: Callable[[Bounded], Bounded], row: list[Bounded]) -> list[Bounded]:
        """A function of rows, on the row of every case: cases × units there."""
        count = max(x.value.shape[1] for x in row)
        values = np.stack([np.broadcast_to(x.value, (1, count))[0] for x in row], axis=1)
        errors = [np.broadcast_to(x.errors, (self.model.channels, 1, count))[:, 0] for x in row]
        result = function(Bounded(values, np.stack(errors, axis=2), self.model))
        spread = np.broadcast_to(result.errors, (self.model.channels, *values.shape))
        return [Bounded(result.value[None, :, k], spread[:, None, :, k], self.model) for k in range(len(row))]

    def column_sums(self, matrix: PlainMatrix) -> PlainMatrix:
        return [[self._plain_sum(list(column)) for column in zip(*matrix, strict=True)]]

    def total(self, matrix: PlainMatrix) -> PlainMatrix:
        return [[self._plain_sum([x for row in matrix for x in row], summands=2)]]

    def _sum_of_products(self, xs: Sequence[Bounded], ys: Sequence[Bounded], more: Sequence[Bounded]) -> Bounded:
        """γₙ Σ |x||y| and what comes with the operands, as in `bounded.py`, for sums of a few terms."""
        products = [(x.value * y.value, x.reach * y.reach, x.reach * y.errors + x.errors * y.reach) for x, y in
                    zip(xs, ys, strict=True)]  # fmt: skip
        products += [(b.value, b.reach, b.errors) for b in more]
        terms = len(products)
        size = sum(reach for _, reach, _ in products)
        errors = (sum(e for _, _, e in products) + self.model.sums(terms) * size) * OUTWARD + self.model.lost_in_sum(
            terms
        )
        models = [x.model for x in (*xs, *ys)]
        return self._settled(sum(value for value, _, _ in products), errors, size, models)

    def _plain_sum(self, numbers: Sequence[Bounded], summands: int = 1) -> Bounded:
        terms = summands * len(numbers)
        size = summands * sum(x.reach for x in numbers)
        errors = (sum(x.errors for x in numbers) + self.model.reductions(terms) * size) * OUTWARD
        models = [x.model for x in numbers]
        return self._settled(sum(x.value for x in numbers), errors + self.model.lost_in_sum(terms), size, models)

    def _settled(self, value: Any, errors: Any, size: Any, models: Sequence[Model]) -> Bounded:
        model = max(models, key=lambda model: model.put_off)
        largest = min(model.largest, model.largest_sum)
        errors = errors + self.model.lost
        lost = ~(size + errors[WORST] < largest)
        return Bounded(np.asarray(value), np.where(lost, np.inf, errors), model)


def within(cases: Sequence[Case], observations: Sequence[Observation], rules: Rules = RULES) -> list[float | None]:
    """For each case, the digits that its numbers were checked to if all are inside their bounds, else None.

    cases: of one shape, loss, reduction, learning rate and dtype; observations: that show the same quantities
    """
    model = SideBySide(PROFILES[observations[0].precision])
    with np.errstate(all="ignore"):
        expected = computed(_run(cases, model, rules))
        inside = np.ones(len(cases), bool)
        digits = np.full(len(cases), np.inf)
        shown = [dict(observed(o)) for o in observations]
        for place in shown[0]:
            got = np.stack([as_matrix(place, s[place]).astype(float) for s in shown], axis=-1)
            value, tolerance = _stacked(expected[place], len(cases))
            inside &= (np.abs(got - value) <= tolerance).all(axis=(0, 1))
            digits = np.minimum(digits, -np.log10(tolerance.max(axis=(0, 1)) / np.abs(value).max(axis=(0, 1))))
    return [float(d) if ok and d >= LEAST_DIGITS else None for ok, d in zip(inside, digits, strict=True)]


def alike(case: Case, observation: Observation) -> tuple[Any, ...]:
    """What cases and their observations have in common that can be looked at together."""
    biased = tuple(layer.biases is not None for layer in case.layers)
    names = tuple(layer.activation for layer in case.layers)
    places: tuple[Place, ...] = tuple(place for place, _ in observed(observation))
    return (case.sizes, case.batch, biased, names, case.loss, case.reduction, case.learning_rate, case.dtype, places)


def _run(cases: Sequence[Case], model: SideBySide, rules: Rules) -> Step:
    """The reference on the cases; inputs and parameters are stacked, element by element."""
    first = cases[0]

    def stacked(matrices: Sequence[Any]) -> PlainMatrix:
        block = np.stack([np.array(m, np.float64, ndmin=2) for m in matrices], axis=-1)
        return [[_exact(element, model.model) for element in row] for row in block]

    layers = tuple(
        Layer(
            stacked([case.layers[k].weights for case in cases]),
            None if layer.biases is None else stacked([[case.layers[k].biases] for case in cases]),
            known.activation,
        )
        for k, (layer, known) in enumerate(zip(first.layers, layers_of(first, model), strict=True))
    )
    inputs, targets = stacked([case.inputs for case in cases]), stacked([case.targets for case in cases])
    objective = first.objective
    passed = forward(layers, inputs, model, rules)
    gradients = backward(layers, inputs, targets, passed, objective, model, rules)
    rate = first.learning_rate
    updated = None if rate is None else delta_rule(layers, gradients, rate, model, rules)
    return Step(passed, gradients, updated)


def _exact(numbers: NDArray[np.float64], model: Model) -> Bounded:
    """A number that everyone has, in each case; a subnormal one may be read as zero."""
    value = numbers[None, :]
    errors = np.zeros((model.channels, *value.shape))
    below = np.abs(value) < model.flushed_below[WORST]
    errors[WORST] = np.where(below, np.abs(value), 0.0)
    return Bounded(value, errors, model)


def _stacked(matrix: PlainMatrix, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, and how far an honest implementation may be from them: rows × columns × cases."""

    def block(part: Any) -> NDArray[np.float64]:
        return np.array([[np.broadcast_to(part(x), (1, count))[0] for x in row] for row in matrix])

    return block(lambda x: x.value), block(lambda x: x.errors[WORST] + x.errors[TRUTH])
