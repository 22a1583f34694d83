"""Several learning steps in a row: is each such as an update rule may take from where the implementation stood before?

Step t starts from the weights that were observed after step t − 1: exact numbers, so that errors do not add up along a
trajectory. The gradient there is computed in bounds, and what the rule remembers is carried on in bounds, from the
gradients of all steps before. What is judged is the step, new − old, not the weight: its digits are those that count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..backprop import RULES, Rules
from ..case import Case, InvalidInput, run
from ..numbers import PROFILES, U64, Bounded, BoundedArithmetic, Profile
from ..update_rules import Memory, UpdateRule
from .comparing import compared
from .expected import Expected
from .observation import Observation, Place, computed
from .verdict import SEVERITY, Comparison, Judgement, Verdict

Array = NDArray[np.float64]
RuleFor = Callable[[Place], UpdateRule]  # of biases, it may be another than of weights


@dataclass(frozen=True, eq=False)
class StepTaken:
    """One observed step. By the place of what was updated: where it started, the gradient there, where it ended.

    rate: the learning rate that it was given
    """

    profile: Profile
    rate: float
    old: Mapping[Place, Array]
    gradients: Mapping[Place, Bounded]
    new: Mapping[Place, Array]


@dataclass(frozen=True)
class TrajectoryJudgement:
    """A judgement of each step, the first step first."""

    steps: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        verdicts = {step.verdict for step in self.steps}
        return next(verdict for verdict in SEVERITY if verdict in verdicts)

    @property
    def first_wrong(self) -> int | None:
        """The number of the first wrong step, from 1."""
        return next((t for t, step in enumerate(self.steps, start=1) if step.verdict is Verdict.WRONG), None)

    @property
    def digits(self) -> float | None:
        """Decimal digits that each array's step was checked to at its best, of the weakest array."""
        best: dict[Place, float] = {}
        for step in self.steps:
            for comparison in step.comparisons:
                if comparison.digits is not None:
                    best[comparison.place] = max(best.get(comparison.place, 0.0), comparison.digits)
        return min(best.values(), default=None)

    def counted(self, what: Callable[[Comparison], int]) -> int:
        """The sum over all arrays of all steps, such as of their elements."""
        return sum(what(comparison) for step in self.steps for comparison in step.comparisons)


def steps_taken(evidence: Sequence[tuple[Case, Observation]], rules: Rules = RULES) -> tuple[StepTaken, ...]:
    """What update rules are judged by: observed steps, each with the gradient, in bounds, where it began.

    evidence: per step, the case that the implementation was given (its weights are where it stood) and what it returned
    rules: under which the gradient is meant, such as another convention's

    Raises InvalidInput for a case without a learning rate, or an observation without updated weights.
    """
    taken = []
    for case, observation in evidence:
        profile = PROFILES[observation.precision]
        taken.append(taken_from(case, observation, computed(run(case, BoundedArithmetic(profile), rules))))
    return tuple(taken)


def taken_from(case: Case, observation: Observation, found: Mapping[Place, Bounded]) -> StepTaken:
    """One observed step, with the gradients that are given, by their places. Raises InvalidInput, see `steps_taken`."""
    if case.learning_rate is None or observation.updated_weights is None:
        raise InvalidInput("a step is judged from updated weights, and with a learning rate; one of them is missing.")
    old: dict[Place, Array] = {}
    new: dict[Place, Array] = {}
    gradients: dict[Place, Bounded] = {}
    biases = observation.updated_biases or (None,) * len(case.layers)
    for k, (layer, w, b) in enumerate(zip(case.layers, observation.updated_weights, biases, strict=True)):
        for kind, before, after in (("weight", layer.weights, w), ("bias", layer.biases, b)):
            if before is None or after is None:
                continue
            place = Place(UPDATED[kind], k)
            old[place] = np.array(before, np.float64, ndmin=2)
            new[place] = np.asarray(after, np.float64).reshape(old[place].shape)
            gradients[place] = found[Place(f"{kind}_gradients", k)]
    return StepTaken(PROFILES[observation.precision], case.learning_rate, old, gradients, new)


UPDATED = {"weight": "updated_weights", "bias": "updated_biases"}


def judge_trajectory(
    evidence: Sequence[tuple[Case, Observation]], rule: UpdateRule, rules: Rules = RULES
) -> TrajectoryJudgement:
    """Whether every step is one that the rule may take, given all steps before.

    evidence: see `steps_taken`, the first step of the rule first;  rules: under which the gradient is meant
    Raises InvalidInput where there is nothing to judge.
    """
    return judge_steps(steps_taken(evidence, rules), lambda place: rule)


def judge_steps(taken: Sequence[StepTaken], rule_for: RuleFor) -> TrajectoryJudgement:
    """The same for steps whose gradients are known; each array may have a rule of its own."""
    memories: dict[Place, Memory] = {}
    judgements = []
    for number, step in enumerate(taken, start=1):
        ar = BoundedArithmetic(step.profile)
        comparisons = []
        for place, gradient in step.gradients.items():
            rule, old = rule_for(place), step.old[place]
            if place not in memories:
                memories[place] = (ar.lift(np.zeros(old.shape)),) * rule.remembers
            with np.errstate(all="ignore"):
                new, memories[place] = rule.step(ar.lift(old), gradient, memories[place], step.rate, number, ar)
            comparisons.append(_compared(place, old, new, step.new[place]))
        judgements.append(Judgement(tuple(comparisons), step.profile.name, None))
    return TrajectoryJudgement(tuple(judgements))


def _compared(place: Place, old: Array, new: Bounded, got: Array) -> Comparison:
    """The step that was taken with the one that may be; both differences are rounded once, in float64."""
    with np.errstate(all="ignore"):
        expected, came = new.value - old, got - old
        error = new.error + 2 * U64 * (np.abs(expected) + np.abs(came))
        error = np.where(np.isnan(error), np.inf, error)
        error[~np.isfinite(got)] = new.error[~np.isfinite(got)]  # what is not finite is no rounding
        nothing = np.zeros((1, 1))
        unit = new.model.profile.storage.unit_roundoff
        expected = np.where(np.isfinite(expected), expected, 0.0)  # its error is infinite
        error = np.where(np.isfinite(new.value), error, np.inf)
        return compared(place, came, Expected(expected, nothing, nothing, error, unit_roundoff=unit), None)


def step_errors(step: StepTaken, place: Place) -> Array:
    """About how far an observed step is from the rule's own, by rounding: for fits, which nothing is decided by."""
    unit = step.profile.storage.unit_roundoff
    old, new, gradient = step.old[place], step.new[place], step.gradients[place]
    with np.errstate(all="ignore"):
        share = np.nan_to_num(gradient.error / np.abs(gradient.value), nan=1.0, posinf=1.0)
        moved = np.abs(new - old)
        return np.asarray(unit * (np.abs(new) + np.abs(old)) + moved * np.minimum(share + 4 * unit, 1.0) + 1e-300)
