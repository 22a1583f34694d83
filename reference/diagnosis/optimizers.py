"""Which optimizer, with which constants, gives the steps that were seen.

Constants are fitted to some steps, rounded to simple decimals where those fit as well, and then proved like any other
explanation: every number of every step has to be inside the bounds of the rule with these constants. A fit decides
nothing but where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case, InvalidInput, run
from ..judging import (
    Place,
    RuleFor,
    StepTaken,
    TrajectoryJudgement,
    Verdict,
    computed,
    judge_steps,
    step_errors,
    steps_taken,
    taken_from,
)
from ..numbers import PROFILES, Arithmetic, ArrayArithmetic, ArrayFunctions, Bounded, BoundedArithmetic, Matrix
from ..update_rules import FAMILIES, Family, UpdateRule, shown
from .conventions import Convention
from .explanation import ARRAYS, Evidence, Explanation, by_rules
from .wrong_updates import WRONG_FAMILIES, WRONG_IN_ANY, reset, times

Array = NDArray[np.float64]

KEPT_BACK = 2  # steps at the end of a trajectory that no constant is fitted to
SHARES = ("mu", "alpha", "beta1", "beta2")
DECAYS = ("weight_decay", "decoupled_weight_decay")
FACTOR = "factor"  # that every step is multiplied by

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
DEVIATIONS = 8.0  # how far a simple decimal may be from the fitted constant, in its own uncertainties
MOST_DIGITS = 13


@dataclass(frozen=True)
class Variant:
    """A way in which steps may come about, with open constants.

    free: the names of the constants to be found;  fixed: the others that are not customary
    mistake: in words, empty for a right rule;  planted: how any rule is made with it
    biases_decay: whether weight decay is of biases, too
    """

    family: Family
    free: tuple[str, ...]
    fixed: Mapping[str, float] = field(default_factory=dict)
    mistake: str = ""
    planted: Callable[[UpdateRule], UpdateRule] | None = None
    biases_decay: bool = True

    def rule(self, constants: Mapping[str, float]) -> UpdateRule:
        """With these constants, and those that are fixed."""
        values = {**self.fixed, **constants}
        factor = values.pop(FACTOR, 1.0)
        rule = self.family.rule(values)
        rule = rule if self.planted is None else self.planted(rule)
        return rule if factor == 1 else times(factor, rule)

    def rule_for(self, constants: Mapping[str, float]) -> RuleFor:
        """The rule of each array."""
        everywhere = self.rule(constants)
        if self.biases_decay:
            return lambda place: everywhere
        without = replace(self, fixed={**self.fixed, **dict.fromkeys(DECAYS, 0.0)}).rule(
            {name: value for name, value in constants.items() if name not in DECAYS}
        )
        return lambda place: without if place.quantity == "updated_biases" else everywhere


@dataclass(frozen=True, eq=False)
class Found:
    """An optimizer that gives every step that was seen, as far as the bounds can tell.

    constants: all of its family's;  unseen: those that no step shows, each with what it is known to be below
    """

    variant: Variant
    constants: Mapping[str, float]
    judgement: TrajectoryJudgement
    unseen: Mapping[str, float]

    @property
    def mistake(self) -> str:
        """What is wrong with it; empty for a right optimizer."""
        return self.variant.mistake

    @property
    def factor(self) -> float:
        """That every step is multiplied by."""
        return self.constants.get(FACTOR, 1.0)

    @property
    def words(self) -> str:
        """What it is, such as Adam with β₁ 0.9, β₂ 0.999, ε 1e-8."""
        own = {name: value for name, value in self.constants.items() if name != FACTOR}
        words = self.variant.family.said(own)
        if not self.variant.biases_decay and any(own[name] for name in DECAYS):
            words += " (of weights only)"
        if self.factor != 1:
            words += f", every step times {shown(self.factor)}"
        for name, below in self.unseen.items():
            words += f" ({SYMBOL[name]} does not show: below {below:.1g})"
        return words

    @property
    def rule_for(self) -> RuleFor:
        """The rule of each array, with the constants found."""
        own = {name: value for name, value in self.constants.items() if name not in self.variant.fixed}
        return self.variant.rule_for(own)

    @property
    def customary(self) -> int:
        """How many of its constants are the customary ones."""
        return sum(self.variant.family.known.get(name) == value for name, value in self.constants.items())


SYMBOL = {"epsilon": "ε", "initial": "the initial sum", "weight_decay": "weight decay",
          "decoupled_weight_decay": "weight decay", "dampening": "dampening"}  # fmt: skip


# ------------------------------------------------------------------------------------------- the search


def optimizer_of(
    taken: Sequence[StepTaken], variants: Iterator[Variant] | Sequence[Variant], starts: int = 1
) -> Found | None:
    """The first variant that, with constants of its own, gives all steps.

    taken: see `steps_taken`;  starts: from how many points constants are looked for, where there are no better
    """
    apart, joined = _blocks(taken), _blocks(taken, apart=False)
    for variant in variants:
        found = _proved(taken, joined if variant.biases_decay else apart, variant, starts)
        if found is not None:
            return found
    return None


def declared_variant(family: Family, given: Mapping[str, float]) -> Variant:
    """What a name declares: constants that it gives are fixed, its family's others are to be found."""
    return Variant(family, tuple(name for name, _ in family.constants if name not in given), dict(given))


def simple_variants(linear: bool | None = None) -> Iterator[Variant]:
    """Every family without decay and extras: the first of `right_variants`."""
    for family in FAMILIES.values():
        if linear in (None, family.name in LINEAR) and not family.decoupled:
            yield Variant(family, _own(family))


def right_variants(linear: bool | None = None) -> Iterator[Variant]:
    """Every right optimizer, the simplest first.

    linear: whether steps are linear in gradients and weights, as `linear_first_step` says; None for either
    """
    families = [f for f in FAMILIES.values() if linear in (None, f.name in LINEAR)]
    undecaying = [f for f in families if not f.decoupled]
    yield from simple_variants(linear)
    for family in undecaying:
        for extra, _ in family.extras:
            yield Variant(family, (*_own(family), extra))
    for biases_decay in (True, False):
        for family in families:
            if family.decoupled:
                yield Variant(family, _own(family), biases_decay=biases_decay)
                continue
            yield Variant(family, (*_own(family), "weight_decay"), biases_decay=biases_decay)
            if family.remembers and family.name != "adam":  # Adam's decoupled decay is AdamW
                yield Variant(family, (*_own(family), "decoupled_weight_decay"), biases_decay=biases_decay)
    for family in undecaying:
        for extra, _ in family.extras:
            yield Variant(family, (*_own(family), extra, "weight_decay"))


LINEAR = ("sgd", "momentum", "nesterov", "averaged-momentum")


def _own(family: Family) -> tuple[str, ...]:
    return tuple(name for name, _ in family.constants)


def wrong_variants(
    declared: Family | None = None, given: Mapping[str, float] | None = None, linear: bool | None = None
) -> Iterator[Variant]:
    """Every optimizer with a known mistake: those of the declared family first.

    given: constants that are declared, which a mistake that hides them takes as they are
    """
    families = [f for f in FAMILIES.values() if linear in (None, f.name in LINEAR)]
    families.sort(key=lambda family: family is not declared)
    known = given or {}
    for family in families:
        fixed = dict(known) if family is declared else {}
        if declared in (None, family) and family.remembers:
            for words, planted, shows_in in WRONG_IN_ANY:
                if shows_in is None:  # then nothing of what is remembered shows
                    free = tuple(name for name in _own(family) if name not in (*SHARES, *fixed))
                    free = free if family.name not in ("nesterov", "rmsprop") else _own(family)
                    yield Variant(family, free, fixed, words, planted)
                elif family.name in shows_in:
                    yield Variant(family, _own(family), {}, words, planted)
        for of, words, wrong in WRONG_FAMILIES:
            kin = family.name in (of, *(("adamw",) if of == "adam" else ()))
            if kin and not (family.decoupled and declared is not family):
                yield Variant(wrong, _own(wrong), {}, words)
                if family.decoupled:
                    yield Variant(wrong, (*_own(wrong), "decoupled_weight_decay"), {}, words)
    for family in families:
        if not family.decoupled or declared is family:
            yield Variant(family, (*_own(family), FACTOR), {}, SCALED)


SCALED = "its steps have a factor"


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
    old, gradient, new, errors = (a[0] for a in _blocks(taken[:1])[0].steps[0])
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
    return _size(goal - scaled @ found)


def same_signs(taken: Sequence[StepTaken]) -> float:
    """The share of weights that the first step moves against their gradient."""
    old, gradient, new, _ = _blocks(taken[:1])[0].steps[0]
    return float(np.mean(np.sign(old - new) == np.sign(gradient)))


def linear_first_step(taken: Sequence[StepTaken]) -> bool | None:
    """Whether the first step of the weights is a factor times the gradient, and another times the weights.

    None where too few weights move to tell.
    """
    old, gradient, new, errors = (a[0] for a in _blocks(taken[:1])[0].steps[0])
    with np.errstate(all="ignore"):
        if np.count_nonzero(np.abs(old - new) > errors * ROUNDINGS_OFF) < FEW_MOVING:
            return None
        return _line_off(old - new, errors, [gradient, old]) < ROUNDINGS_OFF


FEW_MOVING = 4  # weights, of which two would fit anything


# ------------------------------------------------------------------------------------------- fitting


@dataclass(frozen=True)
class _Block:
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


def _blocks(taken: Sequence[StepTaken], apart: bool = True) -> list[_Block]:
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
        blocks.append(_Block(Place(quantities[0], 0), tuple(steps), tuple(step.rate for step in taken)))
    return blocks


def _off(blocks: Sequence[_Block], count: int, rule_for: RuleFor) -> Array:
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
class _Fit:
    """values, uncertainties: of the free constants;  off: root mean square of what is left over, in roundings."""

    values: Array
    uncertainties: Array
    off: float


def _fitted(blocks: Sequence[_Block], count: int, variant: Variant, most_starts: int = 1) -> _Fit:
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
        return _Fit(starts[0], starts[0], _size(off(starts[0])))
    differences = np.array([DIFFERENCES[name] for name in free])
    best = _Fit(starts[0], starts[0], np.inf)
    for start in starts[:most_starts]:
        fit = _descended(off, start, (lowest, highest), differences)
        best = min(best, fit, key=lambda f: f.off)
        if best.off < ROUNDINGS_OFF:
            break
    return best


def _descended(off: Callable[[Array], Array], start: Array, limits: tuple[Array, Array], differences: Array) -> _Fit:
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
    return _Fit(values, _uncertainties(normal), _size(now))


def _uncertainties(normal: Array) -> Array:
    """Of least squares with these normal equations, in roundings; infinite where a constant makes no difference."""
    scale = np.sqrt(np.diag(normal))
    if not (np.isfinite(normal).all() and scale.all()):
        return np.full(len(scale), np.inf)
    inverse = np.linalg.pinv(normal / np.outer(scale, scale), hermitian=True)
    return np.asarray(np.sqrt(np.abs(np.diag(inverse))) / scale)


def _size(off: Array) -> float:
    return float(np.sqrt(np.mean(off * off)))


def _proved(taken: Sequence[StepTaken], blocks: Sequence[_Block], variant: Variant, starts: int) -> Found | None:
    """The variant with the constants that fit, if all steps are inside the bounds of that."""
    count = max(1, len(taken) - KEPT_BACK) if len(taken) > KEPT_BACK + 1 else len(taken)
    fit = _fitted(blocks, count, variant, starts)
    if variant.free and not fit.off < ROUNDINGS_OFF:
        return None
    spread = DEVIATIONS * fit.uncertainties * max(1.0, fit.off)
    tried = []
    for constants in (_simple(variant, fit.values, spread), dict(zip(variant.free, fit.values.tolist(), strict=True))):
        if constants in tried:
            continue
        tried.append(constants)
        judgement = judge_steps(taken, variant.rule_for(constants))
        if judgement.verdict is Verdict.AGREES:
            known = {**variant.family.known, **variant.fixed, **constants}
            unseen = {
                name: float(value + off)
                for name, value, off in zip(variant.free, fit.values, spread, strict=True)
                if name in SYMBOL and abs(value) <= off
            }
            if constants.get("mu") == 0:
                return None  # a friction of nothing is another variant
            return Found(variant, known, judgement, {n: below for n, below in unseen.items() if n == "epsilon"})
    return None


def _simple(variant: Variant, values: Array, spread: Array) -> dict[str, float]:
    """The customary constants where they are near enough, else the simplest decimals that are."""
    found = {}
    for name, value, off in zip(variant.free, values.tolist(), spread.tolist(), strict=True):
        customary = variant.family.known.get(name, 1.0)
        if abs(customary - value) <= off and name not in DECAYS:
            found[name] = customary
        else:
            found[name] = simplest(value, off, decimals=name in SHARES)
    return found


def simplest(value: float, off: float, decimals: bool = False) -> float:
    """The number of fewest digits that is at most so far off: significant ones, or, for shares like 0.999, decimals."""
    if abs(value) <= off:
        return 0.0
    for digits in range(MOST_DIGITS):
        rounded = round(value, digits) if decimals else float(f"{value:.{digits}e}")
        if abs(rounded - value) <= off and not (decimals and rounded >= 1):
            return rounded
    return value


# ------------------------------------------------------------------------------- what a first step tells


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
    try:
        taken = steps_taken(usable, rules)
    except InvalidInput:
        return None
    if not all(np.isfinite(array).all() for step in taken for array in step.new.values()):
        return None
    linear = linear_first_step(taken)
    variants = [v for kind in (True, False) if linear in (None, kind) for v in _first_steps(kind)]
    found = optimizer_of(taken, variants, starts=4)
    if found is None:
        return None
    return Explanation((), _first_words(found), "", None, by_rules(lambda case: _first_rules(found, case), convention))


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
