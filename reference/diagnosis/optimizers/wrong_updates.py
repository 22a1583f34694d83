"""Wrong optimizers: families of update rules with a mistake in them, and mistakes that any rule can be made with."""

from __future__ import annotations

from dataclasses import replace

from ...numbers import Arithmetic, Functions, Matrix, Number
from ...update_rules import (
    BETAS,
    FAMILIES,
    MU,
    SMALL,
    Constants,
    Direction,
    Family,
    Memory,
    UpdateRule,
    adagrad_dividing,
    adam_dividing,
    over_root,
    rmsprop_dividing,
)

# ------------------------------------------------------------------------------------- in one family


def _subtracted(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """Nesterov's with g − μ v in place of g + μ v."""
    mu = constants["mu"]
    velocity = ar.elementwise(lambda v, g, fn: fn.constant(mu) * v + g, memory[0], gradient)
    return ar.elementwise(lambda v, g, fn: g - fn.constant(mu) * v, velocity, gradient), (velocity,)


def _velocity_added(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """Nesterov's as (1 + μ) v + μ u in place of (1 + μ) v − μ u, u the velocity before."""
    mu = constants["mu"]
    velocity = ar.elementwise(lambda u, g, fn: fn.constant(mu) * u + g, memory[0], gradient)
    moved = ar.elementwise(lambda v, u, fn: fn.constant(1 + mu) * v + fn.constant(mu) * u, velocity, memory[0])
    return moved, (velocity,)


def _velocity_subtracted(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """v = g − μ v."""
    velocity = ar.elementwise(lambda v, g, fn: g - fn.constant(constants["mu"]) * v, memory[0], gradient)
    return velocity, (velocity,)


def _stale(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """Moves by the velocity before it is brought up to date."""
    velocity = ar.elementwise(lambda v, g, fn: fn.constant(constants["mu"]) * v + g, memory[0], gradient)
    return memory[0], (velocity,)


def over_square(x: Number, squares: Number, epsilon: float, fn: Functions) -> Number:
    """x / (s + ε)."""
    return x / (squares + fn.constant(epsilon))


def _of_sizes(beta: str, rest: Direction) -> Direction:
    """A second moment that averages |g| and not g²: Adam or RMSprop otherwise."""

    def direction(
        gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
    ) -> tuple[Matrix, Memory]:
        kept = constants[beta]
        sizes = ar.elementwise(
            lambda s, g, fn: fn.constant(kept) * s + fn.constant(1 - kept) * fn.absolute(g), memory[-1], gradient
        )
        moved, (*means, _) = rest(gradient, memory, constants, rate, number, ar)
        if means:
            first = constants["beta1"]
            less, less_of_sizes = 1 - first**number, 1 - kept**number
            moved = ar.elementwise(
                lambda m, s, fn: over_root(m / less, s / less_of_sizes, constants["epsilon"], fn), means[0], sizes
            )
        else:
            moved = ar.elementwise(lambda g, s, fn: over_root(g, s, constants["epsilon"], fn), gradient, sizes)
        return moved, (*means, sizes)

    return direction


def _summed_squares(
    gradient: Matrix, memory: Memory, constants: Constants, rate: float, number: int, ar: Arithmetic
) -> tuple[Matrix, Memory]:
    """RMSprop whose squares are added up, with nothing to make an average of them."""
    squares = ar.elementwise(lambda s, g, fn: fn.constant(constants["alpha"]) * s + g * g, memory[-1], gradient)
    moved = ar.elementwise(lambda g, s, fn: over_root(g, s, constants["epsilon"], fn), gradient, squares)
    return moved, (squares,)


def _family(name: str, of: str, words: str, direction: Direction, constants: tuple[tuple[str, float], ...]) -> Family:
    right = FAMILIES[of]
    return Family(name, words, direction, constants, right.remembers, right.usual_rate)


ADAM, RMSPROP, ADAGRAD = (*BETAS, SMALL), FAMILIES["rmsprop"].constants, FAMILIES["adagrad"].constants

# Of which right family each is a mistake; what is wrong, in words.
WRONG_FAMILIES: tuple[tuple[str, str, Family], ...] = tuple(
    (of, words, _family(f"{of}-{name}", of, FAMILIES[of].words, direction, constants))
    for of, name, words, direction, constants in (
        ("adam", "uncorrected", "the bias corrections are missing", adam_dividing(over_root, False, False), ADAM),
        ("adam", "mean-uncorrected", "β₁'s bias correction is missing", adam_dividing(over_root, False), ADAM),
        ("adam", "squares-uncorrected", "β₂'s bias correction is missing", adam_dividing(over_root, True, False), ADAM),
        ("adam", "without-root", "it divides by ŝ + ε, without the root", adam_dividing(over_square), ADAM),
        ("adam", "of-sizes", "it averages |g|, not g²", _of_sizes("beta2", adam_dividing(over_root)), ADAM),
        ("rmsprop", "without-root", "it divides by s + ε, without the root", rmsprop_dividing(over_square), RMSPROP),
        ("rmsprop", "of-sizes", "it averages |g|, not g²", _of_sizes("alpha", rmsprop_dividing(over_root)), RMSPROP),
        ("rmsprop", "summed", "it adds g² up without its share 1 − α, s = α s + g²", _summed_squares, RMSPROP),
        ("adagrad", "without-root", "it divides by s + ε, without the root", adagrad_dividing(over_square), ADAGRAD),
        ("nesterov", "subtracted", "it moves by g − μ v, where g + μ v is right", _subtracted, (MU,)),
        ("nesterov", "added", "it adds μ times the velocity before, where − μ is right", _velocity_added, (MU,)),
        ("momentum", "subtracted", "its velocity is g − μ v, where g + μ v is right", _velocity_subtracted, (MU,)),
        ("momentum", "stale", "it moves by the velocity of the step before", _stale, (MU,)),
    )
)
WRONG_FAMILIES = tuple(
    (of, words, replace(family, extras=FAMILIES["adagrad"].extras) if of == "adagrad" else family)
    for of, words, family in WRONG_FAMILIES
)


# ---------------------------------------------------------------------------------------- of any rule


def reset(rule: UpdateRule) -> UpdateRule:
    """Each step is a first step."""

    def step(
        old: Matrix, gradient: Matrix, memory: Memory, rate: float, number: int, ar: Arithmetic
    ) -> tuple[Matrix, Memory]:
        rows, columns = ar.shape(old)
        nothing = ar.lift([[0.0] * columns] * rows)
        new, _ = rule.step(old, gradient, (nothing,) * rule.remembers, rate, 1, ar)
        return new, memory

    return replace(rule, step=step)


def always_first(rule: UpdateRule) -> UpdateRule:
    """The memory is carried on, but every step is taken for number 1."""
    return replace(rule, step=lambda old, g, memory, rate, number, ar: rule.step(old, g, memory, rate, 1, ar))


def one_ahead(rule: UpdateRule) -> UpdateRule:
    """Steps are counted from 2."""
    return replace(rule, step=lambda old, g, memory, rate, number, ar: rule.step(old, g, memory, rate, number + 1, ar))


def times(factor: float, rule: UpdateRule) -> UpdateRule:
    """Every step is so many times as large."""
    return replace(
        rule, step=lambda old, g, memory, rate, number, ar: rule.step(old, g, memory, rate * factor, number, ar)
    )


# What is wrong, in words; how; the families in which it shows.
WRONG_IN_ANY = (
    ("its state is not carried on: each step is a first step", reset, None),
    (
        "every step is taken for the first one in the bias correction",
        always_first,
        ("adam", "adamw", "adam-epsilon-hat"),
    ),
    ("the bias correction counts steps from 2", one_ahead, ("adam", "adamw", "adam-epsilon-hat")),
)
