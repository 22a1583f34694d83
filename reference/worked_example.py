"""The chapter's worked example: a 2-2-1 net for XOR, implemented as 3-3-1, with the bias as the last input column.

The print lost minus signs. As printed, the numbers do not give the printed results; with the signs restored, they give
every one of them. Both readings are kept, and the print is compared as it was made: by truncation to three decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from .case import Case, Dense, Step
from .numbers import PRECISIONS

INPUTS = ((0.0, 1.0, 1.0),)  # x₀, x₁ and the bias column
TARGETS = ((1.0,),)
LEARNING_RATE = 0.5  # ours; the chapter gives none ("a, usually very small, constant")

OUTPUT_WEIGHTS = ((0.383, -0.327, -0.329),)


@dataclass(frozen=True)
class Reading:
    """One way to read the hidden layer's weights off the page. hidden: 3 units × 3 inputs."""

    name: str
    title: str
    hidden: tuple[tuple[float, float, float], ...]


AS_PRINTED = Reading("as-printed", "as printed", ((0.351, 1.076, 1.116), (0.097, 0.165, 0.542), (0.457, 0.165, 0.331)))
# The printed results force three of these signs; that of 0.097, multiplied by x₀ = 0, follows the original figure.
SIGNS_RESTORED = Reading(
    "signs-restored", "signs restored", ((0.351, 1.076, 1.116), (-0.097, -0.165, 0.542), (0.457, -0.165, -0.331))
)
READINGS = (AS_PRINTED, SIGNS_RESTORED)


@dataclass(frozen=True)
class Printed:
    """The results that the chapter prints, as strings because their three decimals are the point."""

    hidden: tuple[str, str, str] = ("0.899", "0.593", "0.378")
    output: str = "0.506"
    label: int = 1


PRINTED = Printed()


def worked_example(reading: Reading = SIGNS_RESTORED, dtype: str = "float64") -> Case:
    """The example as a case. The weights are the printed decimals, rounded once to the dtype."""
    nearest = PRECISIONS[dtype].nearest
    hidden = tuple(tuple(nearest(w) for w in row) for row in reading.hidden)
    output = tuple(tuple(nearest(w) for w in row) for row in OUTPUT_WEIGHTS)
    return Case(
        name=f"worked-example-{reading.name}",
        layers=(Dense(hidden, None, "sigmoid"), Dense(output, None, "sigmoid")),
        inputs=INPUTS,
        targets=TARGETS,
        learning_rate=LEARNING_RATE,
        dtype=dtype,
        note=f"the chapter's net for (0, 1) → 1, {reading.title}",
    )


def truncated(x: float, decimals: int = 3) -> str:
    """x cut, not rounded, after so many decimals; exact, for all of a float's finite decimal expansion is used."""
    return str(Decimal(x).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN))


def label(output: float) -> int:
    """The step function at 0.5."""
    return 1 if output > 0.5 else 0


def as_the_print_shows(step: Step) -> Printed:
    """A step of the plain reference, in the form of the printed results."""
    hidden, outputs = step.forward.activations
    first, second, third = (truncated(a) for a in hidden[0])
    return Printed((first, second, third), truncated(outputs[0][0]), label(outputs[0][0]))
