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

from ..numbers import PRECISIONS, Matrix, Number
from .scope import Scope

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A formula for a step. words: completing "the implementation …", with {c} for a fitted constant

    formula: of what is in scope and the constant. Raises KeyError, or gives None, where it has no meaning
    fit: the constant, from what is in scope (float64 arrays) and what was seen; None for an entry without one
    linear: whether the result is ∂E/∂a times something, for an entry of δ
    starts: of a forward step, constants from which the one that gives what was seen is searched; none without one
    """

    step: str
    words: str
    formula: Callable[[Scope, float], Matrix | None]
    fit: Callable[[Scope, Array], float] | None = None
    mistake: str = ""
    linear: bool = True
    starts: tuple[float, ...] = ()


Elementwise = Callable[..., Number]  # (z, a, e, functions)


@dataclass(frozen=True)
class Placed:
    """A factor, and where it belongs: flat position, row or column."""

    at: int
    factor: float


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


def times(matrix: Matrix, factor: float, scope: Scope) -> Matrix:
    """A matrix times a constant."""
    return scope.ar.elementwise(lambda x, fn: fn.constant(factor) * x, matrix)


MOST_STEPS = 20  # of the search for a constant


def solved(off: Callable[[float], Array | None], starts: Sequence[float]) -> float | None:
    """The constant at which `off` is nearest to zero, by Gauss's and Newton's method from each start; None for none."""
    best: tuple[float, float] | None = None
    for start in starts:
        constant, now, before = start, off(start), math.inf
        for _ in range(MOST_STEPS):
            if now is None or not np.isfinite(now).all():
                break
            step = 1e-7 * max(abs(constant), 1e-3)
            then = off(constant + step)
            if then is None:
                break
            slope = (then - now) / step
            size = float(slope @ slope)
            if not size > 0:
                break
            change = -float(slope @ now) / size
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
                best = constant, size
    return None if best is None else best[0]


def ratio(seen: Array, right: Array) -> float:
    """The constant that is nearest to seen / right, by least squares; NaN where nothing tells it."""
    with np.errstate(all="ignore"):
        return float(np.divide(seen.ravel() @ right.ravel(), right.ravel() @ right.ravel()))


def snapped(constant: float, nearly: float) -> float:
    """The shortest decimal, or simple fraction, that is nearly this constant: 0.1, 1/3, 1.0001.

    nearly: the relative distance that is allowed; what is not near a short number stays as it is
    """
    if not math.isfinite(constant):
        return 0.0
    for digits in range(1, 10):
        short = float(f"{constant:.{digits}g}")
        if abs(short - constant) <= nearly * abs(constant):
            return short
    for below in range(3, 65):
        above = round(constant * below)
        if above and abs(above / below - constant) <= nearly * abs(constant):
            return above / below
    return constant
