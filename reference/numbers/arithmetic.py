"""What the chain rule needs of a kind of number.

`backprop.py` is written once. An `Arithmetic` says what its matrices are made of: floats (`plain.py`), values with
bounds (`bounded.py`), certified balls (`certified.py`). A formula for one element, such as `a * (1 - a)`, is ordinary
Python on one of those numbers; functions that Python has no operator for come from `Functions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .precision import Precision

# The two types that differ between kinds of number, and that the chain rule never looks into.
Matrix = Any  # rows × columns; batch rows are samples
Number = Any  # one element of a Matrix (or all of them at once, for arithmetics that work on arrays)

Rows: TypeAlias = "Sequence[Sequence[float]] | NDArray[Any]"  # a matrix from outside
Formula = Callable[..., Number]  # (number, …, functions) → number


class Uncertain(float):
    """A constant that was found out, and is known up to `unsure` alone: bounds are of all that it may be."""

    unsure: float

    def __new__(cls, value: float, unsure: float) -> Uncertain:
        """The constant, with how far it may be off."""
        constant = super().__new__(cls, value)
        constant.unsure = unsure
        return constant

    def __neg__(self) -> Uncertain:
        """As uncertain, with the other sign."""
        return Uncertain(-float(self), self.unsure)

    def __reduce__(self) -> tuple[type[Uncertain], tuple[float, float]]:
        """Both, where it goes to another process."""
        return Uncertain, (float(self), self.unsure)


class Curve(Protocol):
    """What a kind of number needs to know of an activation function: `activations.Activation` is one.

    value(z, functions);  derivative(z, value(z), functions)
    steepest: the z where the derivative is largest; on either side it only falls, or stays, and the value never falls
        as z rises. None where that is not so: all that is known of it is then its formula
    """

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Formula: ...
    @property
    def derivative(self) -> Formula: ...
    @property
    def steepest(self) -> float | None: ...


class Functions(Protocol):
    """Elementary functions of one kind of number. Every argument and result is one `Number`."""

    def constant(self, value: float) -> Number:
        """A number that the format may have to round, such as 0.01. (Small integers need no `constant`.)"""

    def pi(self) -> Number:
        """π, as `constant` would have it, or exactly where that can be."""

    def exp(self, x: Number) -> Number: ...
    def expm1(self, x: Number) -> Number: ...
    def log(self, x: Number) -> Number: ...
    def log1p(self, x: Number) -> Number: ...
    def tanh(self, x: Number) -> Number: ...
    def erf(self, x: Number) -> Number: ...
    def sqrt(self, x: Number) -> Number: ...
    def absolute(self, x: Number) -> Number: ...
    def maximum(self, x: Number, y: Number) -> Number: ...
    def minimum(self, x: Number, y: Number) -> Number: ...

    def step(self, x: Number) -> Number:
        """0 below zero, 1 above; at zero 0 where one value must be chosen, all of [0, 1] where a set can be held."""

    def activated(self, activation: Curve, z: Number) -> Number:
        """An activation inside another formula, as libraries have it: a bound allows for their measured ulps."""

    def either(self, first: Number, second: Number) -> Number:
        """Two ways to compute one number, which differ only in rounding. Floats take the first, a bound covers both."""

    def by_way_of(self, result: Number, step: Number) -> Number:
        """The result; an implementation may come to it through `step`, and overflow there. Only a bound minds."""

    def undivided(self, quotient: Number, divisor: float) -> Number:
        """The quotient; an implementation may divide later, and overflow until then. Only a bound minds."""


class Arithmetic(Protocol):
    """Matrices of one kind of number. Shapes that do not fit are the caller's mistake; `Case` has checked them."""

    def lift(self, rows: Rows) -> Matrix:
        """Exact numbers from outside, as this arithmetic's matrix of the same shape."""

    def around(self, value: Rows, error: Rows) -> Matrix:
        """Exact numbers that are known to be within `error` of `value`, elementwise, where a matrix can hold that."""

    def ones(self, rows: int, columns: int) -> Matrix: ...
    def shape(self, matrix: Matrix) -> tuple[int, int]: ...
    def transpose(self, matrix: Matrix) -> Matrix: ...

    def matmul(self, left: Matrix, right: Matrix) -> Matrix:
        """rows × inner times inner × columns gives rows × columns."""

    def weighted_sums(self, inputs: Matrix, weights: Matrix, biases: Matrix | None) -> Matrix:
        """Σ weight · input + bias for every sample and unit, as one sum: batch × units.

        inputs: batch × inputs;  weights: units × inputs;  biases: 1 × units, or None for no bias.
        One operation, not two, because the bias may be added first, last or in between.
        """

    def column_sums(self, matrix: Matrix) -> Matrix:
        """The sum of each column: 1 × columns."""

    def elementwise(self, formula: Formula, *matrices: Matrix) -> Matrix:
        """`formula(x, …, functions)` on the corresponding elements of matrices of one shape."""

    def activate(self, activation: Curve, z: Matrix) -> Matrix:
        """The activation's value at every element of z. Softmax has a method of its own."""

    def softmax(self, z: Matrix) -> Matrix:
        """exp(z) / Σ exp(z) along each row."""

    def log_softmax(self, z: Matrix) -> Matrix:
        """z − log Σ exp(z) along each row."""

    def total(self, matrix: Matrix) -> Matrix:
        """The sum of all elements, 1 × 1."""

    def rearranged(self, matrix: Matrix, positions: Sequence[Sequence[int]]) -> Matrix:
        """A matrix made of another's elements, each by its position in that, counted row by row from 0."""

    def narrow(self, matrix: Matrix, precision: Precision, roundings: int = 1) -> Matrix:
        """Each number rounded to a narrower format. A bound covers so many roundings of that size, either way."""
