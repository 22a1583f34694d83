"""What is said of learning steps: which they are, and how they differ from those that were declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...reference.diagnosis import DECAYS, SCALED, Found
from ...reference.judging import Judgement
from ...reference.update_rules import Family, shown


def step_verdicts(steps: Sequence[Judgement]) -> tuple[tuple[str, str], ...]:
    """Each step's name and verdict."""
    return tuple((f"step {number}", step.verdict.value) for number, step in enumerate(steps, start=1))


def first_wrong(steps: Sequence[Judgement], number: int) -> list[str]:
    """Step `number`'s first array outside its bounds, with its worst numbers."""
    comparison = steps[number - 1].wrong[0]
    lines = [f"first step outside its bounds: step {number}, {comparison.place}; as changes:"]
    lines += [
        f"{list(e.index)}  expected {e.expected!r}  got {e.got!r}  tolerance {e.tolerance:.3g}"
        for e in comparison.worst[:3]
    ]
    return lines


def instead(found: Found, declared: tuple[Family, dict[str, float]] | None, rate: float) -> str:
    """What steps are, beside what was declared, in words. rate: the learning rate that the function was given"""
    plain = found.variant.family.said(found.constants)
    if found.mistake == SCALED:
        if abs(found.factor * rate - 1) < NEAR:
            return f"its steps are not multiplied by the learning rate: it is {plain} otherwise"
        if abs(found.factor - rate) < NEAR * rate:
            return f"its steps are multiplied by the learning rate twice: it is {plain} otherwise"
        if abs(found.factor + 1) < NEAR:
            return f"it goes uphill: it adds what {plain} subtracts"
        return f"its steps are {shown(found.factor)} times those of {plain}"
    if found.mistake:
        return f"{found.mistake}: it is {plain} otherwise"
    if declared is None:
        return f"it is {found.words}"
    family, given = declared
    wanted = {**family.known, **given}
    because = _difference(found, family, wanted, rate)
    return f"{because}: it is {found.words}, not {family.said(wanted)}".removeprefix(": ")


def _difference(found: Found, family: Family, wanted: Mapping[str, float], rate: float) -> str:
    """What makes the difference between an optimizer and the one that was declared, if that has a name."""
    asked, came = _decay(family, wanted), _decay(found.variant.family, found.constants)
    betas = [tuple(constants.get(name) for name in ("beta1", "beta2")) for constants in (found.constants, wanted)]
    names = {
        "ε is inside the root": found.variant.family.name == f"{family.name}-epsilon-inside",
        "its weight decay has the wrong sign": min(came) < 0,
        "weight decay is coupled (added to the gradient), not decoupled": bool(asked[1] and came[0] and not came[1]),
        "weight decay is decoupled, not coupled (added to the gradient)": bool(asked[0] and came[1] and not came[0]),
        "its decay is not multiplied by the learning rate": bool(asked[1])
        and abs(came[1] * rate - asked[1]) < NEAR * asked[1],
        "its weights do not decay": any(asked) and not any(came),
        "β₁ and β₂ are swapped": betas[0] == betas[1][::-1] != betas[1] and None not in betas[0],
    }
    return next((name for name, true in names.items() if true), "")


NEAR = 1e-4  # to which a constant may be fitted and still be called by its name


def _decay(family: Family, constants: Mapping[str, float]) -> tuple[float, float]:
    """Coupled and decoupled."""
    coupled, decoupled = (constants.get(name, 0.0) for name in DECAYS)
    return (0.0, coupled + decoupled) if family.decoupled else (coupled, decoupled)
