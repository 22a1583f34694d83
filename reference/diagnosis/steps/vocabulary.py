"""What people write in place of a step's right formula: operands that stand beside the right one, constants, axes.

An `Entry` is one such formula. A constant in it is fitted to what was seen, not listed. Those of each step are in files
of their own, in the order in which they are tried: `forward_formulas.py`, `delta_formulas.py`, `gradient_formulas.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...numbers import PRECISIONS, Matrix, Number, Uncertain
from .scope import Scope

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A formula for a step. words: completing "the implementation …", with {c} for a fitted constant

    formula: of what is in scope and the constant. Raises KeyError, or gives None, where it has no meaning
    fit: the constant, from what is in scope (float64 arrays) and what was seen; None for an entry without one
    linear: whether the result is ∂E/∂a times something, for an entry of δ
    starts: of a forward step, constants from which the one that gives what was seen is searched; none without one
    limit: of clipping, where the constant is what sizes are clipped to: by what a size is multiplied before; else None
    weighed: of a term that is added, what the constant is called, so that those of one name may be one; every view says
        how sure of it it is. Else nothing
    kept: of samples that are left out, what each is multiplied by, of so many
    """

    step: str
    words: str
    formula: Callable[[Scope, float], Matrix | None]
    fit: Callable[[Scope, Array], float | Placed | Weighed] | None = None
    mistake: str = ""
    linear: bool = True
    starts: tuple[float, ...] = ()
    limit: Callable[[Scope], float] | None = None
    weighed: str = ""
    kept: Callable[[int], Sequence[float]] | None = None


@dataclass(frozen=True)
class Weighed:
    """A constant that one view shows, and how much it counts beside those of others: one over its variance."""

    constant: float
    weight: float


Elementwise = Callable[..., Number]  # (z, a, e, functions)


@dataclass(frozen=True)
class Placed:
    """A factor, and where it belongs: flat position, row or column; and how far off it was found, relatively."""

    at: int
    factor: float
    off: float = 0.0


def raw_error(scope: Scope) -> Matrix:
    """o − t, as the objective reduces it. batch × outputs."""
    assert scope.objective is not None
    batch, _ = scope.ar.shape(scope.outputs)
    divisor = batch if scope.objective.reduction == "mean" else 1
    return scope.ar.elementwise(lambda o, t, fn: (o - t) / divisor, scope.outputs, scope.targets)


FORMATS = ("float32", "float16", "bfloat16")  # that one operand of a product may have gone through


def in_format(matrix: Matrix, name: str, scope: Scope) -> Matrix:
    """A matrix rounded to a narrower format."""
    return scope.ar.narrow(matrix, PRECISIONS[name])


def clipped_right(scope: Scope, limit: float) -> Matrix:
    """What the right rule gives, clipped to ±limit."""
    return scope.ar.elementwise(
        lambda x, fn: fn.minimum(fn.maximum(x, -fn.constant(limit)), fn.constant(limit)), scope.right()
    )


def as_it_is(_: Scope) -> float:
    """A size is clipped as it is."""
    return 1.0


def largest(_: Scope, seen: Array) -> float:
    """The limit, where some of what was seen was clipped."""
    return float(np.abs(seen[np.isfinite(seen)]).max(initial=0.0))


def times(matrix: Matrix, factor: float, scope: Scope) -> Matrix:
    """A matrix times a constant."""
    return scope.ar.elementwise(lambda x, fn: fn.constant(factor) * x, matrix)


MOST_STEPS = 20  # of the search for a constant
DEVIATIONS = 4  # how far two fits of one constant may be apart, in what a few roundings make of them


def solved(off: Callable[[float], Array | None], starts: Sequence[float], rounding: float) -> Uncertain | None:
    """The constant at which `off` is nearest to zero, by Gauss's and Newton's method from each start; None for none.

    rounding: how far each number may be off by rounding alone; the constant is as uncertain as that makes it
    """
    best: tuple[Uncertain, float] | None = None
    for start in starts:
        constant, now, before, steepness = start, off(start), math.inf, 0.0
        for _ in range(MOST_STEPS):
            if now is None or not np.isfinite(now).all():
                break
            step = 1e-7 * max(abs(constant), 1e-3)
            then = off(constant + step)
            if then is None:
                break
            slope = (then - now) / step
            steepness = float(slope @ slope)
            if not steepness > 0:
                break
            change = -float(slope @ now) / steepness
            constant, now = constant + change, off(constant + change)
            size = math.inf if now is None else float(np.abs(now).max())
            if not size < before:
                break  # it does not come nearer
            before = size
            if abs(change) <= 1e-15 * abs(constant):
                break
        if now is not None and np.isfinite(now).all():
            size = float(np.abs(now).max())
            if best is None or size < best[1]:
                unsure = DEVIATIONS * max(size, rounding) / steepness**0.5 if steepness > 0 else 0.0
                best = Uncertain(constant, unsure), size
            if size == 0:
                break
    return None if best is None else best[0]


def ratio(seen: Array, right: Array) -> float:
    """The constant that is nearest to seen / right, by least squares; NaN where nothing tells it."""
    one, other = seen.ravel(), right.ravel()
    with np.errstate(all="ignore"):
        size = float(other @ other)
        if not math.isfinite(size) or not np.isfinite(one).all():
            numbers = np.isfinite(one) & np.isfinite(other)
            one, other = one[numbers], other[numbers]
            size = float(other @ other)
        return float(np.divide(one @ other, size))


CHANCE = 0.1  # that any number is near a short one, above which none is taken for that


BEFORE = 32  # roundings of what a term is added to, beside one of the sum: those of all steps before


def coefficient(seen: Array, right: Array, term: Array) -> Weighed:
    """The c of right + c · term, by least squares in the roundings of each number: those near zero show it best."""
    one, other, factors = seen.ravel(), right.ravel(), term.ravel()
    with np.errstate(all="ignore"):
        size = np.abs(one) + BEFORE * np.abs(other)
        counted = np.isfinite(size) & (factors != 0)
        scale = np.maximum(size, np.finfo(float).eps * size[counted].max(initial=0.0))[counted]
        off, by = (one - other)[counted] / scale, factors[counted] / scale
        weight = float(by @ by)
        return Weighed(float(off @ by) / weight if weight else np.nan, weight)


def as_sure(constant: float, nearly: float) -> float:
    """The short number that a constant nearly is; else the constant, as uncertain as roundings make it."""
    short = snapped(constant, nearly)
    return short if short != constant else Uncertain(constant, DEVIATIONS * nearly * abs(constant))


def snapped(constant: float, nearly: float) -> float:
    """The shortest decimal, or simple fraction, that is nearly this constant: 0.1, 1/3, 1.0001.

    nearly: the relative distance that is allowed; what is not near a short number stays as it is, and so does what is
        near one of so many digits, or of so large a denominator, that any number would be: in all, one in ten
    """
    if not math.isfinite(constant):
        return 0.0
    within, chance = 2 * nearly * abs(constant), 0.0
    for digits in range(1, 10):
        short = float(f"{constant:.{digits}g}")
        apart = 10.0 ** (math.floor(math.log10(abs(constant) or 1.0)) + 1 - digits)
        if within > CHANCE * apart:
            break
        chance = within / apart  # decimals of fewer digits are among those of more
        if abs(short - constant) <= nearly * abs(constant):
            return short
    for below in range(3, 65):
        chance += within * (below - 1)  # at most so many new ones between two whole numbers
        if chance > CHANCE:
            break
        above = round(constant * below)
        if above and abs(above / below - constant) <= nearly * abs(constant):
            return above / below
    return constant
