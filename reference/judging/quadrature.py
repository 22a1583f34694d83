"""A smooth function's integral over [0, 1] from 17 values, with what it may be off by, from the same values.

The integral is Kronrod's rule with 15 nodes; Gauss's with 7 of them is nested in it. For a function that is analytic
around the interval both converge exponentially, so that their difference is far more than the error of the better one.

What is not smooth is measured, too. Ten Legendre polynomials (degrees 0 to 9) are fitted to the values at the 15 nodes
and both ends; what they leave has 7 degrees of freedom and is, of a smooth function, nothing but rounding: its size
tells the standard deviation σ of one value's rounding, and the rule's weights make σ·‖w‖ of it in the integral.

Nor can a kink hide from it: where the function jumps by J anywhere in the interval, the rule is off by at most
2.7 · σ̂·‖w‖ (tests/reference/judging/test_field.py goes over all places; the ends are among the nodes for that, as
rules with inner nodes only do not see a jump near an end). Since `DEVIATIONS` of them are allowed, one jump in a side
is covered even where nobody took it for one. What no rule sees is a jump there and back between two nodes.

Source: the nodes and weights are QUADPACK's `qk15` (Piessens, de Doncker-Kapenga, Überhuber & Kahaner, QUADPACK, 1983).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..numbers import Precision

Array = NDArray[np.float64]

# The positive nodes on [−1, 1] from the outermost one in, and 0; every second one is a node of Gauss's rule.
_NODES = (
    0.991455371120812639206854697526329, 0.949107912342758524526189684047851, 0.864864423359769072789712788640926,
    0.741531185599394439863864773280788, 0.586087235467691130294144691258380, 0.405845151377397166906606412076961,
    0.207784955007898467600689403773245, 0.0,
)  # fmt: skip
_KRONROD = (
    0.022935322010529224963732008058970, 0.063092092629978553290700663189204, 0.104790010322250183839876322541518,
    0.140653259715525918745189590510238, 0.169004726639267902826583426598550, 0.190350578064785409913256402421014,
    0.204432940075298892414161999234649, 0.209482141084727828012999174891714,
)  # fmt: skip
_GAUSS = (
    0.129484966168869693270611432679082, 0.279705391489276667901467771423780, 0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
)  # fmt: skip


def _mirrored(half: Sequence[float], sign: float) -> Array:
    return np.array([*(sign * x for x in half[:-1]), *half[::-1]])


DEGREE = 9  # of the polynomials fitted: the tail that they leave of a smooth side falls as the 10th power of its length
INNER = (_mirrored(_NODES, -1.0) + 1) / 2  # 15, on [0, 1], from left to right
NODES = np.array([0.0, *INNER, 1.0])
KRONROD = np.array([0.0, *_mirrored(_KRONROD, 1.0), 0.0]) / 2
GAUSS = np.zeros(len(NODES))
GAUSS[2:-1:2] = _mirrored(_GAUSS, 1.0) / 2
NORM = float(np.linalg.norm(KRONROD))
FREEDOM = len(NODES) - DEGREE - 1
_BASIS, _ = np.linalg.qr(np.polynomial.legendre.legvander(2 * NODES - 1, DEGREE))

# Student's t with 21 degrees of freedom (three integrals taken together) is beyond ±10.4 once in 10⁹.
LEAST_FREEDOM = 3 * FREEDOM
DEVIATIONS = 10.4

# How many unit roundoffs u of the numbers' format an honest gradient may be off by all along a loop, that is, without
# its being seen as roughness: its formula has constants (a batch's 1/n, GELU's √(2/π)) with ½ ulp each, and kernels of
# functions err to one side by an ulp or two over a stretch of arguments (docs/tolerances.md, "K, the accuracy atlas").
# They are allowed for as if they all had the sign of their term in Σ|gᵢ uᵢ|, which no real ones have.
SYSTEMATIC = 8

# Roughness, of the sum of absolute terms, from which on a side is not taken to be smooth: 2¹⁰ roundings. Sums of n
# terms rounded at random come to √n roundings, so this is a million terms. In formats with less than 20 bits that would
# be anything, and half of the digits is asked for.
ROUGH = 2.0**10


# Why nothing was smooth, in words.
KINKS = "kinks wherever it was looked (fewer samples or float64 help), or rounding coarser than {}'s (then say dtype=)"


def rough(precision: Precision) -> float:
    """Above this part of the sum of absolute terms, values are not smooth: a kink, or no rounding of this format."""
    return min(ROUGH * precision.unit_roundoff, math.sqrt(precision.unit_roundoff))


@dataclass(frozen=True)
class Integral:
    """An integral over [0, 1] of a sum of many terms, Σ gᵢ uᵢ.

    value: Kronrod's;  nested: how far Gauss's is from it
    residual: root of the sum of squares of what the polynomials leave, over `size`
    size: the integral of the sum of the terms' absolute values;  total: of the absolute value of their sum
    reach: Σ|uᵢ|;  jitter: how far it would move if the function answered as differently as it did when asked twice
    usual: the size that a step of this length has in all of the gradient
    """

    value: float
    nested: float
    residual: float
    size: float
    total: float
    reach: float
    jitter: float
    usual: float = 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation of the rounding of a value, over `size`."""
        return self.residual / math.sqrt(FREEDOM)

    def smooth(self, precision: Precision) -> bool:
        """Whether polynomials fit, and both rules agree, to within what rounding may do; False for NaN.

        A gradient that is zero but for rounding (of a bias before a normalisation) has no shape of its own to fit: it
        is to be small enough.
        """
        off = max(self.deviation, self.nested / self.size if self.size else 0.0)
        return self.negligible(precision) or off <= rough(precision)

    def negligible(self, precision: Precision) -> bool:
        """Whether it is small enough for that."""
        return self.size <= rough(precision) * self.usual


def integral(values: Array, sizes: Array, reach: float, jitter: float, usual: float = 0.0) -> Integral:
    """From the values and sums of absolute terms at `NODES`; not smooth where one is not finite."""
    size = float(KRONROD @ sizes)
    with np.errstate(all="ignore"):
        left = unexplained(values)
        return Integral(
            value=float(KRONROD @ values),
            nested=abs(float((KRONROD - GAUSS) @ values)),
            residual=left / size if size else left,
            size=size,
            total=float(KRONROD @ np.abs(values)),
            reach=reach,
            jitter=jitter,
            usual=usual,
        )


def unexplained(values: Array) -> float:
    """The norm of what is left of values at `NODES` when ten Legendre polynomials have been fitted to them."""
    return float(np.linalg.norm(values - _BASIS @ (_BASIS.T @ values)))


def tolerance(parts: Sequence[Integral], deviation: float, precision: Precision) -> float:
    """How far the sum of some integrals of an honest gradient may be from the truth: the rules' difference + rounding.

    deviation: the standard deviation of a value's rounding, over its `size`, from several integrals together: one alone
        has few degrees of freedom. A rougher part has its own
    precision: the format of the gradient's numbers, with which what no fit can see is bounded
    """
    nested = math.fsum(part.nested for part in parts)
    random = DEVIATIONS * NORM * math.hypot(*(max(deviation, part.deviation) * part.size for part in parts))
    systematic = math.fsum(
        SYSTEMATIC * (precision.unit_roundoff * part.size + precision.underflow * part.reach) + part.jitter
        for part in parts
    )
    return nested + random + systematic


def common_deviation(parts: Sequence[Integral], precision: Precision) -> float:
    """The standard deviation of a value's rounding, over its `size`, from what is left of all parts.

    A gradient that is zero but for rounding is rough by all of its size, and tells nothing of the others.
    """
    telling = [part for part in parts if not part.negligible(precision)] or parts
    freedom = max(LEAST_FREEDOM, FREEDOM * len(telling))
    return math.hypot(*(part.residual for part in telling)) / math.sqrt(freedom) if telling else 0.0
