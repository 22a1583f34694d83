"""A user's own activation, looked at before anything is judged by it: do its formulas run, and belong together?

A derivative that is not its value's would make the right implementation wrong. By the mean value theorem, the slope of
the value between two points is its derivative somewhere between them; a ball around that interval holds all that the
derivative may be there. Where the two do not meet, the derivative is wrong, and no tolerance was needed to say so.
"""

from __future__ import annotations

from flint import arb, ctx

from ..activations import Activation
from ..case import InvalidInput
from ..numbers import (
    BITS,
    FLOAT64,
    PLAIN,
    Arithmetic,
    ArrayArithmetic,
    BallFunctions,
    BoundedArithmetic,
    CertifiedArithmetic,
)

POINTS = (-20.0, -6.5, -2.75, -1.25, -0.375, 0.4375, 1.125, 2.875, 6.75, 20.0)
HALF_WIDTH = 2.0**-10
WRITTEN = (
    "Write it with +, −, ×, ÷ and the functions that it is given, as in lambda z, fn: z / (1 + fn.absolute(z)): they "
    "run on numbers with bounds too."
)


def checked(place: str, activation: Activation) -> None:
    """Raises InvalidInput where the formulas do not run on every kind of number, or do not belong together."""
    for ar in (PLAIN, ArrayArithmetic("float64"), BoundedArithmetic(FLOAT64), CertifiedArithmetic()):
        _run_on(place, activation, ar)
    with ctx.workprec(BITS):
        for point in POINTS:
            _belongs(place, activation, point)


def _run_on(place: str, activation: Activation, ar: Arithmetic) -> None:
    what = "value"
    try:
        z = ar.lift([POINTS])
        a = ar.activate(activation, z)
        what = "derivative"
        ar.elementwise(activation.derivative, z, a)
    except Exception as error:  # it is the user's code
        came = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{place}: the {what} of {activation}: {came}. {WRITTEN}") from error


def _belongs(place: str, activation: Activation, point: float) -> None:
    fn = BallFunctions()

    def value(z: arb) -> arb:
        return arb(activation.value(z, fn))

    slope = (value(arb(point + HALF_WIDTH)) - value(arb(point - HALF_WIDTH))) / (2 * HALF_WIDTH)
    around = arb(point, HALF_WIDTH)
    declared = arb(activation.derivative(around, value(around), fn))
    if not declared.overlaps(slope):
        raise InvalidInput(
            f"{place}: the derivative of {activation} at {point:g} is {float(declared.mid()):.6g}, but its value rises "
            f"there by {float(slope.mid()):.6g} per unit. Correct the one or the other."
        )
