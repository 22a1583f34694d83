"""What one step tells of its optimizer: of a first one, every momentum is the same, and so is every Adam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backprop import RULES, Rules
from ...case import Case, InvalidInput, run
from ...judging import Observation, Place, StepTaken, computed, steps_taken, taken_from
from ...numbers import PROFILES, Arithmetic, Bounded, BoundedArithmetic, Matrix
from ...update_rules import FAMILIES, shown
from ..conventions import Convention
from ..explanation import ARRAYS, Evidence, Explanation, by_rules
from .finding import Found, optimizer_of
from .fits import ROUNDINGS_OFF, blocks_of, fitted, size_of
from .variants import DECAYS, FACTOR, Variant
from .wrong_updates import reset

Array = NDArray[np.float64]


def rough_steps(evidence: Evidence, rules: Rules = RULES) -> tuple[StepTaken, ...]:
    """Like `steps_taken`, with gradients in float64 and a guess for their bounds: to see which conventions may fit."""
    taken = []
    for case, seen in evidence:
        found, ar = computed(run(case, ARRAYS, rules)), BoundedArithmetic(PROFILES[seen.precision])
        unit = PROFILES[seen.precision].storage.unit_roundoff

        def around(gradient: Array) -> Bounded:
            return ar.around(gradient, np.full(gradient.shape, GUESSED * unit * float(np.abs(gradient).max())))  # noqa: B023

        taken.append(taken_from(case, seen, {place: around(g) for place, g in found.items() if _of_gradient(place)}))
    return tuple(taken)


GUESSED = 16.0  # roundings of the largest gradient


def _of_gradient(place: Place) -> bool:
    return place.quantity in ("weight_gradients", "bias_gradients")


def first_step_off(taken: Sequence[StepTaken]) -> float:
    """How far, in roundings, the first step is from c·g / (|g| + ε), from that with ε inside the root, or with decay.

    All are straight lines: 1/|d| in 1/|g|, 1/d² in 1/g², and, for a small ε, d in sign(g), sign(g)/|g| and w.
    """
    old, gradient, new, errors = (a[0] for a in blocks_of(taken[:1])[0].steps[0])
    with np.errstate(all="ignore"):
        moved, sizes, signs = np.abs(old - new), np.abs(gradient), np.sign(gradient)
        lines = (
            (1 / moved, errors / moved**2, [np.ones_like(sizes), 1 / sizes]),
            (1 / moved**2, 2 * errors / moved**3, [np.ones_like(sizes), 1 / sizes**2]),
            (old - new, errors, [signs, signs / sizes, old]),
        )
        return min(_line_off(*line) for line in lines)


def _line_off(wanted: Array, errors: Array, sides: Sequence[Array]) -> float:
    """Root mean square of what least squares leave over, in these errors."""
    scaled, goal = np.stack(sides, axis=1) / errors[:, None], wanted / errors
    if not (np.isfinite(scaled).all() and np.isfinite(goal).all()):
        return np.inf
    found, *_ = np.linalg.lstsq(scaled, goal, rcond=None)
    return size_of(goal - scaled @ found)


def same_signs(taken: Sequence[StepTaken]) -> float:
    """The share of weights that the first step moves against their gradient."""
    old, gradient, new, _ = blocks_of(taken[:1])[0].steps[0]
    return float(np.mean(np.sign(old - new) == np.sign(gradient)))


def same_signs_with_decay(taken: Sequence[StepTaken]) -> float:
    """The same of g + λ w, for the λ ≥ 0 with which it is largest: decay may turn a step around."""
    old, gradient, new, _ = (a[0] for a in blocks_of(taken[:1])[0].steps[0])
    with np.errstate(all="ignore"):
        turns = -gradient / old  # at these λ a sign changes
    turns = np.sort(turns[np.isfinite(turns) & (turns > 0)])
    ends = np.concatenate([[0.0], turns, [2 * turns[-1] + 1 if turns.size else 1.0]])
    between = (ends[:-1] + ends[1:]) / 2
    pulled = np.sign(gradient + between[:, None] * old)
    return float(np.max(np.mean(np.sign(old - new) == pulled, axis=1)))


def linear_first_step(taken: Sequence[StepTaken]) -> bool | None:
    """Whether the first step of the weights is a factor times the gradient, and another times the weights.

    None where too few weights move to tell.
    """
    old, gradient, new, errors = (a[0] for a in blocks_of(taken[:1])[0].steps[0])
    with np.errstate(all="ignore"):
        if np.count_nonzero(np.abs(old - new) > errors * ROUNDINGS_OFF) < FEW_MOVING:
            return None
        return _line_off(old - new, errors, [gradient, old]) < ROUNDINGS_OFF


FEW_MOVING = 4  # weights, of which two would fit anything


def first_step_of(evidence: Evidence, convention: Convention | None = None) -> Explanation | None:
    """The update rule whose first step each of the observed steps is; None if no known one's.

    evidence: single steps, none of which remembers another: updated weights, and a learning rate in the case
    convention: under which the gradient is meant; the cases' own if None
    """
    rules = RULES if convention is None else convention.rules()
    usable = [
        (case, seen)
        for case, seen in evidence
        if seen.updated_weights is not None and case.learning_rate is not None and not case.online
    ]
    if len(usable) < len(evidence) or not usable:
        return None
    if not all(np.isfinite(array).all() for _, seen in usable for array in _moved(seen)):
        return None
    try:
        few = steps_taken(usable[:FEW_STEPS], rules)
        linear = linear_first_step(few)
        variants = [v for kind in (True, False) if linear in (None, kind) for v in _first_steps(kind)]
        variants = [v for v in variants if _may_be(v, few)]  # what does not give a few steps does not give all
        found = optimizer_of(steps_taken(usable, rules), variants, starts=STARTS) if variants else None
    except InvalidInput:
        return None
    if found is None:
        return None
    return Explanation((), _first_words(found), "", None, by_rules(lambda case: _first_rules(found, case), convention))


FEW_STEPS = 2
NO_LINE = 1e4  # roundings, root mean square, that no line leaves over
STARTS = 4  # points from which constants are looked for


def _moved(seen: Observation) -> list[NDArray[Any]]:
    updated = (*(seen.updated_weights or ()), *(seen.updated_biases or ()))
    return [array for array in updated if array is not None]


def _may_be(variant: Variant, taken: Sequence[StepTaken]) -> bool:
    """Whether some constants give these steps, nearly. Most are ruled out by Adam's straight lines, and not fitted."""
    if variant.family.name != "sgd" and "weight_decay" not in variant.free and first_step_off(taken) > NO_LINE:
        return False
    blocks = blocks_of(taken, apart=not variant.biases_decay)
    return not variant.free or fitted(blocks, len(taken), variant, STARTS).off < ROUNDINGS_OFF


def _first_steps(linear: bool) -> Iterator[Variant]:
    """Families of first steps: of those that are the same, one."""
    sgd, adam = FAMILIES["sgd"], FAMILIES["adam"]
    names: Sequence[tuple[str, ...]]
    if linear:
        names = ((), ("weight_decay",), (FACTOR,), ("weight_decay", FACTOR))
        for free in names:
            for biases_decay in (True, False) if "weight_decay" in free else (True,):
                yield Variant(sgd, free, {}, "", reset, biases_decay)
        return
    for family in (adam, FAMILIES["adam-epsilon-inside"]):
        for free in ((), ("decoupled_weight_decay",), ("weight_decay",), (FACTOR,)):
            for biases_decay in (True, False) if free and free[0] in DECAYS else (True,):
                yield Variant(family, ("epsilon", *free), {}, "", reset, biases_decay)


def _first_words(found: Found) -> str:
    """What a first step says of its optimizer, and what it cannot."""
    constants, factor = found.constants, found.factor
    times_it = f"{shown(factor)} · " if factor != 1 else ""
    of = "" if found.variant.biases_decay else ", of weights and not of biases"
    if found.variant.family.name == "sgd":
        decay = constants["weight_decay"]
        words = f"moves by {times_it}rate · (g + {shown(decay)} · w)" if decay else f"moves by {times_it}rate · g"
        if decay:
            words += f": weight decay {shown(decay)}{of}"
        alike = "momentum of any friction, and decay that is decoupled or not, are the same"
        if factor > 1:
            alike += f"; Nesterov's momentum {shown(factor - 1)} is, too" if factor < 2 else ""
        elif 0 < factor < 1:
            alike += f"; a moving average of gradients that keeps {shown(1 - factor)} is, too"
        return f"{words}. Of a first step, {alike}; give optimizer= for a trajectory"
    epsilon = "√(g² + ε)" if found.variant.family.name == "adam-epsilon-inside" else "(|g| + ε)"
    unseen = f", if not another below {found.unseen['epsilon']:.1g}," if found.unseen else ""
    words = (
        f"moves by {times_it}rate · g / {epsilon} with ε {shown(constants['epsilon'])}{unseen}, as Adam's first step"
    )
    if constants["decoupled_weight_decay"]:
        words += f", and by decoupled weight decay {shown(constants['decoupled_weight_decay'])}{of}"
    if constants["weight_decay"]:
        words += f", with weight decay {shown(constants['weight_decay'])} added to g{of}"
    alike = "Adam of any β₁ and β₂, Adagrad" + (", and RMSprop at another rate" if factor == 1 else "")
    if factor > 1:
        alike += f" at another rate, RMSprop that keeps {shown(round(1 - 1 / factor**2, 9))}"
    return f"{words}. A first step does not tell {alike} apart; give optimizer= for a trajectory"


def _first_rules(found: Found, case: Case) -> Rules:
    """The reference's rules with this first step in place of the delta rule's; made anew for every run."""
    rule_for = found.rule_for
    places = iter(
        [
            Place(quantity, k)
            for k, layer in enumerate(case.layers)
            for quantity in ("updated_weights", "updated_biases")
            if quantity == "updated_weights" or layer.biases is not None
        ]
    )

    def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        new, _ = rule_for(next(places)).step(old, gradient, (), learning_rate, 1, ar)
        return new

    return replace(RULES, update=update)
