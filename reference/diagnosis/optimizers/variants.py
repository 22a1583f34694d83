"""The ways in which steps may come about: every right optimizer, and those with a known mistake, the simplest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ...judging import RuleFor
from ...update_rules import FAMILIES, Family, UpdateRule
from .wrong_updates import WRONG_FAMILIES, WRONG_IN_ANY, times

SHARES = ("mu", "alpha", "beta1", "beta2")
DECAYS = ("weight_decay", "decoupled_weight_decay")
FACTOR = "factor"  # that every step is multiplied by


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
