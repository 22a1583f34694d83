"""Plain Python: matrices are lists of rows of floats. Standard library only.

The same class works on any Python number that has the operators: tests run it on `fractions.Fraction` (exact) and on
complex numbers (complex-step differentiation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import mul
from typing import TYPE_CHECKING

from .arithmetic import Formula, Functions, Number, Rows

if TYPE_CHECKING:
    from .arithmetic import Curve
    from .precision import Precision

PlainMatrix = list[list[Number]]


class FloatFunctions:
    """The functions of `math`, with IEEE 754's answers where `math` raises."""

    def constant(self, value: float) -> float:
        return value

    def pi(self) -> float:
        return math.pi

    def exp(self, x: float) -> float:
        try:
            return math.exp(x)
        except OverflowError:
            return math.inf

    def expm1(self, x: float) -> float:
        try:
            return math.expm1(x)
        except OverflowError:
            return math.inf

    def log(self, x: float) -> float:
        if x > 0:
            return math.log(x)
        return -math.inf if x == 0 else math.nan

    def log1p(self, x: float) -> float:
        if x > -1:
            return math.log1p(x)
        return -math.inf if x == -1 else math.nan

    def tanh(self, x: float) -> float:
        return math.tanh(x)

    def erf(self, x: float) -> float:
        return math.erf(x)

    def sqrt(self, x: float) -> float:
        return math.sqrt(x) if x >= 0 else math.nan

    def absolute(self, x: float) -> float:
        return abs(x)

    def maximum(self, x: float, y: float) -> float:
        return max(x, y)

    def minimum(self, x: float, y: float) -> float:
        return min(x, y)

    def step(self, x: float) -> int:
        return 1 if x > 0 else 0

    def activated(self, activation: Curve, z: float) -> float:
        return activation.value(z, self)

    def either(self, first: float, second: float) -> float:
        return first

    def by_way_of(self, result: float, step: float) -> float:
        return result

    def undivided(self, quotient: float, divisor: float) -> float:
        return quotient


class PlainArithmetic:
    """Lists of rows. `number` makes an element from a float; `functions` belong to that kind of number."""

    def __init__(self, number: Callable[[float], Number] = float, functions: Functions | None = None) -> None:
        self.number = number
        self.functions: Functions = FloatFunctions() if functions is None else functions

    def lift(self, rows: Rows) -> PlainMatrix:
        return [[self.number(x) for x in row] for row in rows]

    def around(self, value: Rows, error: Rows) -> PlainMatrix:
        return self.lift(value)  # a float holds no uncertainty

    def ones(self, rows: int, columns: int) -> PlainMatrix:
        return [[self.number(1) for _ in range(columns)] for _ in range(rows)]

    def shape(self, matrix: PlainMatrix) -> tuple[int, int]:
        return len(matrix), len(matrix[0])

    def transpose(self, matrix: PlainMatrix) -> PlainMatrix:
        return [list(column) for column in zip(*matrix, strict=True)]

    def matmul(self, left: PlainMatrix, right: PlainMatrix) -> PlainMatrix:
        columns = self.transpose(right)
        return [[sum(map(mul, row, column)) for column in columns] for row in left]

    def weighted_sums(self, inputs: PlainMatrix, weights: PlainMatrix, biases: PlainMatrix | None) -> PlainMatrix:
        start = [0] * len(weights) if biases is None else biases[0]
        return [[sum(map(mul, sample, unit)) + b for unit, b in zip(weights, start, strict=True)] for sample in inputs]

    def column_sums(self, matrix: PlainMatrix) -> PlainMatrix:
        return [[sum(column) for column in zip(*matrix, strict=True)]]

    def elementwise(self, formula: Formula, *matrices: PlainMatrix) -> PlainMatrix:
        return [
            [self._value(formula, numbers) for numbers in zip(*rows, strict=True)]
            for rows in zip(*matrices, strict=True)
        ]

    def activate(self, activation: Curve, z: PlainMatrix) -> PlainMatrix:
        return self.elementwise(activation.value, z)

    def softmax(self, z: PlainMatrix) -> PlainMatrix:
        exponentials = [[self.functions.exp(x - self._largest(row)) for x in row] for row in z]
        return [[e / sum(row) for e in row] for row in exponentials]

    def log_softmax(self, z: PlainMatrix) -> PlainMatrix:
        result = []
        for row in z:
            shifted = [x - self._largest(row) for x in row]
            log_sum = self.functions.log(sum(self.functions.exp(x) for x in shifted))
            result.append([x - log_sum for x in shifted])
        return result

    def total(self, matrix: PlainMatrix) -> PlainMatrix:
        return [[sum(sum(row) for row in matrix)]]

    def rearranged(self, matrix: PlainMatrix, positions: Sequence[Sequence[int]]) -> PlainMatrix:
        elements = [x for row in matrix for x in row]
        return [[elements[p] for p in row] for row in positions]

    def narrow(self, matrix: PlainMatrix, precision: Precision, roundings: int = 1) -> PlainMatrix:
        return [[precision.nearest(x) for x in row] for row in matrix]

    def _largest(self, row: list[Number]) -> Number:
        largest = row[0]
        for x in row:
            largest = self.functions.maximum(largest, x)
        return largest

    def _value(self, formula: Formula, numbers: tuple[Number, ...]) -> Number:
        try:
            return formula(*numbers, self.functions)
        except ZeroDivisionError:
            return math.nan  # Python raises where IEEE 754 has no finite answer; the judge handles NaN


PLAIN = PlainArithmetic()
