"""Update rules: the delta rule and those that were found to be faster, each a few lines. Standard library only.

A rule moves one matrix of parameters by its gradient and by what it remembers of earlier ones, its `memory`: matrices
of the same shape that are zero at the start. Constants are the customary ones, PyTorch's defaults where it has any.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .backprop import update
from .numbers import Arithmetic, Functions, Matrix, Number

Memory = tuple[Matrix, ...]
# (old, gradient, memory, learning rate, number of the step from 1, arithmetic) → (new, memory)
Step = Callable[[Matrix, Matrix, Memory, float, int, Arithmetic], tuple[Matrix, Memory]]


@dataclass(frozen=True)
class UpdateRule:
    """remembers: how many matrices its memory has;  usual_rate: a learning rate to begin with, for XOR"""

    name: str
    step: Step
    remembers: int
    usual_rate: float


def _delta_rule(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """w − rate · g: the chapter's."""
    return update(old, gradient, rate, ar), memory


FRICTION = 0.9  # of momentum: the share of the velocity that is kept


def _momentum(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = μ v + g; w − rate · v. Polyak, USSR Computational Mathematics and Mathematical Physics 4(5), 1964."""
    velocity = ar.elementwise(lambda v, g, fn: fn.constant(FRICTION) * v + g, memory[0], gradient)
    return update(old, velocity, rate, ar), (velocity,)


def _nesterov(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = μ v + g; w − rate · (g + μ v). Nesterov 1983, in the form of Sutskever, Martens, Dahl & Hinton, ICML 2013."""
    velocity = ar.elementwise(lambda v, g, fn: fn.constant(FRICTION) * v + g, memory[0], gradient)
    ahead = ar.elementwise(lambda v, g, fn: g + fn.constant(FRICTION) * v, velocity, gradient)
    return update(old, ahead, rate, ar), (velocity,)


def _adagrad(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """s = s + g²; w − rate · g / (√s + ε). Duchi, Hazan & Singer, JMLR 12, 2011."""
    squares = ar.elementwise(lambda s, g, fn: s + g * g, memory[0], gradient)
    scaled = ar.elementwise(lambda g, s, fn: g / (fn.sqrt(s) + fn.constant(1e-10)), gradient, squares)
    return update(old, scaled, rate, ar), (squares,)


def _part_of_square(share: float, g: Number, fn: Functions) -> Number:
    """Share · g²; who squares first may overflow."""
    return fn.by_way_of(fn.constant(share) * g * g, g * g)


def _rmsprop(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """s = α s + (1 − α) g²; w − rate · g / (√s + ε). Tieleman & Hinton, Neural Networks for Machine Learning, 2012."""
    kept, new = 0.99, 1 - 0.99
    squares = ar.elementwise(lambda s, g, fn: fn.constant(kept) * s + _part_of_square(new, g, fn), memory[0], gradient)
    scaled = ar.elementwise(lambda g, s, fn: g / (fn.sqrt(s) + fn.constant(1e-8)), gradient, squares)
    return update(old, scaled, rate, ar), (squares,)


def _adam(
    old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """m = β₁ m + (1 − β₁) g; s = β₂ s + (1 − β₂) g²; w − rate · m̂ / (√ŝ + ε), m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ).

    Source: Kingma & Ba, ICLR 2015, algorithm 1.
    """
    mean_kept, square_kept = 0.9, 0.999
    mean = ar.elementwise(
        lambda m, g, fn: fn.constant(mean_kept) * m + fn.constant(1 - mean_kept) * g, memory[0], gradient
    )
    squares = ar.elementwise(
        lambda s, g, fn: fn.constant(square_kept) * s + _part_of_square(1 - square_kept, g, fn), memory[1], gradient
    )
    of_mean, of_squares = 1 - mean_kept**number, 1 - square_kept**number  # both memories begin at 0

    def scaled(m: Matrix, s: Matrix, fn: Any) -> Matrix:
        return (m / of_mean) / (fn.sqrt(s / of_squares) + fn.constant(1e-8))

    return update(old, ar.elementwise(scaled, mean, squares), rate, ar), (mean, squares)


UPDATE_RULES = {
    rule.name: rule
    for rule in (
        UpdateRule("delta rule", _delta_rule, 0, 2.0),
        UpdateRule("momentum", _momentum, 1, 0.5),
        UpdateRule("nesterov", _nesterov, 1, 0.5),
        UpdateRule("adagrad", _adagrad, 1, 0.5),
        UpdateRule("rmsprop", _rmsprop, 1, 0.05),
        UpdateRule("adam", _adam, 2, 0.1),
    )
}
