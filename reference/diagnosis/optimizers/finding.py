"""Which optimizer, with which constants, gives the steps that were seen.

Constants are fitted to some steps, rounded to simple decimals where those fit as well, and then proved like any other
explanation: every number of every step has to be inside the bounds of the rule with these constants. A fit decides
nothing but where to look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...judging import RuleFor, StepTaken, TrajectoryJudgement, Verdict, judge_steps
from ...update_rules import shown
from .fits import ROUNDINGS_OFF, Block, blocks_of, fitted
from .variants import DECAYS, FACTOR, SHARES, Variant

Array = NDArray[np.float64]

KEPT_BACK = 2  # steps at the end of a trajectory that no constant is fitted to
DEVIATIONS = 8.0  # how far a simple decimal may be from the fitted constant, in its own uncertainties
MOST_DIGITS = 13


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
    apart, joined = blocks_of(taken), blocks_of(taken, apart=False)
    for variant in variants:
        found = _proved(taken, joined if variant.biases_decay else apart, variant, starts)
        if found is not None:
            return found
    return None


def _proved(taken: Sequence[StepTaken], blocks: Sequence[Block], variant: Variant, starts: int) -> Found | None:
    """The variant with the constants that fit, if all steps are inside the bounds of that."""
    count = max(1, len(taken) - KEPT_BACK) if len(taken) > KEPT_BACK + 1 else len(taken)
    fit = fitted(blocks, count, variant, starts)
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
