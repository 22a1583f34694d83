"""Constants of an optimizer, by least squares from some of its steps. A fit decides nothing but where to look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...judging import Place, RuleFor, StepTaken, step_errors
from ...numbers import ArrayArithmetic, ArrayFunctions, Matrix
from .variants import DECAYS, FACTOR, SHARES, Variant

Array = NDArray[np.float64]

# Where fits start, as many as there are products of these; they decide nothing but where to look.
STARTS: dict[str, tuple[float, ...]] = {
    "mu": (0.9, 0.5, 0.99),
    "alpha": (0.99, 0.9, 0.5),
    "beta1": (0.9, 0.5, 0.999),
    "beta2": (0.999, 0.9, 0.5),
    "epsilon": (1e-8, 1e-3),
    "initial": (0.1,),
    "dampening": (0.1,),
    "weight_decay": (0.01,),
    "decoupled_weight_decay": (0.01,),
    FACTOR: (1.0,),
}
DIFFERENCES = dict.fromkeys(STARTS, 1e-6) | {"epsilon": 1e-9, "initial": 1e-7}  # by which slopes are taken
MOST_ITERATIONS, MOST_DAMPINGS = 30, 12
WORTH_GOING_ON = 0.02  # of what is left over, that an iteration gains: much more where there is nothing left in the end
ROUNDINGS_OFF = 50.0  # root mean square of what a fit leaves over, in roundings, for bounds to be worth computing


@dataclass(frozen=True)
class Block:
    """All weights, or all biases, as one row per step: where they were, the gradient, where they went, how exactly.

    place: of one of its arrays
    """

    place: Place
    steps: tuple[tuple[Array, Array, Array, Array], ...]
    rates: tuple[float, ...]


class _Quick(ArrayArithmetic):
    """NumPy's float64 without ceremony: fits run rules ten thousand times, on one row each."""

    values = ArrayFunctions(np)

    def elementwise(self, formula: Formula, *matrices: Array) -> Array:
        result: Array = formula(*matrices, self.values)
        return result


QUICK = _Quick("float64")
Formula = Callable[..., Any]
WEIGHTS, BIASES = ("updated_weights",), ("updated_biases",)


def blocks_of(taken: Sequence[StepTaken], apart: bool = True) -> list[Block]:
    """apart: weights and biases in a block each, else all in one."""
    blocks = []
    for quantities in (WEIGHTS, BIASES) if apart else (WEIGHTS + BIASES,):
        if not any(place.quantity in quantities for place in taken[0].gradients):
            continue
        steps = []
        for step in taken:
            places = [place for place in step.gradients if place.quantity in quantities]
            arrays = [[step.old[p], step.gradients[p].value, step.new[p], step_errors(step, p)] for p in places]
            old, gradient, new, errors = (
                np.concatenate([a.reshape(1, -1) for a in parts], axis=1) for parts in zip(*arrays, strict=True)
            )
            steps.append((old, gradient, new, errors))
        blocks.append(Block(Place(quantities[0], 0), tuple(steps), tuple(step.rate for step in taken)))
    return blocks


def _off(blocks: Sequence[Block], count: int, rule_for: RuleFor) -> Array:
    """How far the rule's first steps are from those that were seen, in roundings."""
    parts = []
    for block in blocks:
        rule = rule_for(block.place)
        memory: tuple[Matrix, ...] = (np.zeros_like(block.steps[0][0]),) * rule.remembers
        for number, (old, gradient, new, errors) in enumerate(block.steps[:count], start=1):
            moved, memory = rule.step(old, gradient, memory, block.rates[number - 1], number, QUICK)
            parts.append(((moved - new) / errors).ravel())
    off = np.concatenate(parts)
    return np.clip(np.nan_to_num(off, nan=FARTHEST, posinf=FARTHEST, neginf=-FARTHEST), -FARTHEST, FARTHEST)


FARTHEST = 1e18


@dataclass(frozen=True)
class Fit:
    """values, uncertainties: of the free constants;  off: root mean square of what is left over, in roundings."""

    values: Array
    uncertainties: Array
    off: float


def fitted(blocks: Sequence[Block], count: int, variant: Variant, most_starts: int = 1) -> Fit:
    """Least squares by Levenberg's and Marquardt's method, from the best of the starting points."""
    free = variant.free
    lowest = np.array([-1.0 if name in (*DECAYS, FACTOR) else 0.0 for name in free])
    lowest[[name == FACTOR for name in free]] = -1e6
    highest = np.array([1 - 1e-9 if name in SHARES else 1e6 for name in free])

    def off(values: Array) -> Array:
        with np.errstate(all="ignore"):
            return _off(blocks, count, variant.rule_for(dict(zip(free, values.tolist(), strict=True))))

    starts = [np.array(start) for start in product(*(STARTS[name] for name in free))]
    starts.sort(key=lambda start: float(np.sum(off(start) ** 2)))
    if not free:
        return Fit(starts[0], starts[0], size_of(off(starts[0])))
    differences = np.array([DIFFERENCES[name] for name in free])
    best = Fit(starts[0], starts[0], np.inf)
    for start in starts[:most_starts]:
        fit = _descended(off, start, (lowest, highest), differences)
        best = min(best, fit, key=lambda f: f.off)
        if best.off < ROUNDINGS_OFF:
            break
    return best


def _descended(off: Callable[[Array], Array], start: Array, limits: tuple[Array, Array], differences: Array) -> Fit:
    """Least squares from one starting point; slopes are taken by these differences."""
    values, now, damping = start, off(start), 1e-3
    one = np.eye(len(start))
    normal = one
    for _ in range(MOST_ITERATIONS):
        steps = np.where(values + differences < limits[1], differences, -differences)
        slopes = np.stack([(off(values + one[i] * h) - now) / h for i, h in enumerate(steps)], axis=1)
        normal, towards = slopes.T @ slopes, slopes.T @ now
        scale = np.diag(np.diag(normal) + np.finfo(float).tiny)
        for _ in range(MOST_DAMPINGS):
            try:
                change = np.linalg.solve(normal + damping * scale, -towards)
            except np.linalg.LinAlgError:
                change = np.zeros_like(values)
            tried = np.clip(values + change, *limits)
            then = off(tried)
            gained = float(np.sum(now * now) - np.sum(then * then))
            if gained > 0:
                break
            damping *= 10
        if not gained > 0:
            break
        values, now, damping = tried, then, max(damping / 30, 1e-15)
        if gained <= WORTH_GOING_ON * np.sum(now * now):
            break
    return Fit(values, _uncertainties(normal), size_of(now))


def _uncertainties(normal: Array) -> Array:
    """Of least squares with these normal equations, in roundings; infinite where a constant makes no difference."""
    scale = np.sqrt(np.diag(normal))
    if not (np.isfinite(normal).all() and scale.all()):
        return np.full(len(scale), np.inf)
    inverse = np.linalg.pinv(normal / np.outer(scale, scale), hermitian=True)
    return np.asarray(np.sqrt(np.abs(np.diag(inverse))) / scale)


def size_of(off: Array) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(off * off)))
