"""Somebody's gradient function, asked with care: copies go in; what comes out is checked and added up in float64.

Nothing is known of its network; only of its numbers: which format they are in, and whether it repeats itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..case import InvalidInput, one_of
from ..numbers import FLOAT64, PRECISIONS, Precision, narrowed
from .pytrees import Structure, read, shape_words, structure
from .quadrature import INNER, NODES, Integral, integral, rough

Array = NDArray[np.float64]
Point = list[Array]  # an array for each leaf


@dataclass(frozen=True)
class Answer:
    """What came for one point. gradient: an array for each leaf; value: the loss, where it is asked for (else 0)."""

    gradient: Point
    value: float = 0.0

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and all(bool(np.isfinite(g).all()) for g in self.gradient)


class Asked:
    """A function and what is known of its numbers.

    precision: the coarsest format of its gradients; value_precision: of its values
    jitter: |first answer − second| at the starting point, None where they are the same; value_jitter likewise
    unusable: why nothing can be decided, "" where it can
    scales: for each leaf, a size of its numbers, by which they are moved
    first: the answer at the starting point;  size: the sum of its absolute values, each times its leaf's scale
    """

    def __init__(
        self, function: Callable[..., Any], at: Any, root: str, *, valued: bool, dtype: str | None, seed: int
    ) -> None:
        if not callable(function):
            raise InvalidInput(f"expected a function first, then where to call it; got {type(function).__name__}.")
        if dtype is not None:
            one_of("dtype", dtype, PRECISIONS)
        self.structure: Structure = structure(at, root)
        self.function, self.valued, self.calls = function, valued, 0
        self.rng = np.random.default_rng(seed)
        self.point = self.structure.numbers()
        self.scales = _scales(self.point)
        self._formats: list[Precision] = []
        self._value_format = FLOAT64
        self.precision = self.value_precision = FLOAT64
        self._look_around(PRECISIONS[dtype] if dtype else None)

    def _look_around(self, declared: Precision | None) -> None:
        """Asks twice at the starting point, and once at two others, whose numbers are generic."""
        self.first, again = self(self.point), self(self.point)
        others = [self(self.moved(2.0**-4)) for _ in range(2)]
        numbers = np.concatenate([g.ravel() for other in others for g in other.gradient])
        declared_by_dtype = max(self._formats, key=lambda p: p.unit_roundoff)
        self.precision = declared or held_in(numbers, declared_by_dtype)
        values = np.array([other.value for other in others])
        self.value_precision = declared or held_in(values, self._value_format)
        with np.errstate(invalid="ignore"):
            difference = [np.abs(a - b) for a, b in zip(self.first.gradient, again.gradient, strict=True)]
        self.jitter = difference if any(d.any() for d in difference) else None
        self.value_jitter = abs(self.first.value - again.value)
        self.size = self._weighed(self.first.gradient)
        self.unusable = self._why_not(difference)

    def _weighed(self, gradient: Point) -> float:
        """Σ|gᵢ|, each times the scale of its leaf: what a step of that size has for a sum of absolute terms."""
        return math.fsum(s * float(np.abs(g).sum()) for s, g in zip(self.scales, gradient, strict=True))

    def _why_not(self, difference: Point) -> str:
        if not self.first.finite:
            return "at the very point that was given, its answer is not finite (NaN or infinite)"
        scale = zip(self.scales, difference, self.first.gradient, strict=True)
        apart, size = (
            math.fsum(x) for x in zip(*((s * d.sum(), s * np.abs(g).sum()) for s, d, g in scale), strict=True)
        )
        repeats = apart <= rough(self.precision) * size
        repeats &= self.value_jitter <= rough(self.value_precision) * abs(self.first.value)
        if repeats:
            return ""
        by = f"by {apart / size:.1e} of the gradient" if size and apart else "in its value"
        return f"it is not deterministic: asked twice at the same point, its answers differ {by} (fix its random seed)"

    def __call__(self, point: Sequence[Array]) -> Answer:
        """Its answer at a point, which is given as new arrays, so that it may do to them what it likes.

        Raises InvalidInput for answers of another structure, shape or kind.
        """
        self.calls += 1
        answer = self.function(self.structure.filled(point))
        value = 0.0
        what = "the gradient"
        if self.valued:
            if not isinstance(answer, (list, tuple)) or len(answer) != 2:
                raise InvalidInput(
                    f"the function: expected a pair, (value, gradient); got {type(answer).__name__}."
                    " JAX: jax.value_and_grad(loss)."
                )
            loss, answer = answer
            numbers, self._value_format = read("the value", loss)
            if numbers.size != 1:
                raise InvalidInput(f"the value: expected one number, got {shape_words(numbers.shape)}. Sum it up.")
            value = float(numbers.reshape(()))
        gradient = []
        for k, name, leaf in self.structure.matched(answer, what):
            numbers, precision = read(name, leaf)
            if numbers.shape != self.structure.shapes[k]:
                raise InvalidInput(
                    f"{name}: expected {shape_words(self.structure.shapes[k])}, as {self.structure.names[k]} has; "
                    f"got {shape_words(numbers.shape)}."
                )
            gradient.append(numbers)
            if self.calls == 1 and leaf is not None:
                self._formats.append(precision)
        return Answer(gradient, value)

    def held(self, point: Sequence[Array]) -> Point:
        """The nearest point that the arrays, and the format of the answers, can hold.

        Ends of sides must be: between them only some numbers move, and what is added to the others by rounding would
        open the loop by the same amount at every node, where no fit can see it.
        """
        rounded = self.structure.filled([narrowed(x, self.precision) for x in point])
        return [read(name, leaf)[0] for _, name, leaf in self.structure.matched(rounded, "the point")]

    def moved(self, size: float) -> Point:
        """A random point near the starting point: `size` is relative to the scale of each leaf."""
        return [x + size * s * self.rng.standard_normal(x.shape) for x, s in zip(self.point, self.scales, strict=True)]

    def direction(self, size: float, leaves: Sequence[int]) -> Point:
        """A random direction in which the given leaves are moved, the others not at all."""
        return [
            size * s * self.rng.standard_normal(x.shape) if k in leaves else np.zeros_like(x)
            for k, (x, s) in enumerate(zip(self.point, self.scales, strict=True))
        ]

    def along(self, start: Point, end: Point, first: Answer, last: Answer) -> tuple[Integral, Array]:
        """∫ g·dl on the straight line from start to end, and the loss at its nodes; 15 calls.

        first, last: the answers at its ends
        """
        step = {k: b - a for k, (a, b) in enumerate(zip(start, end, strict=True)) if not np.array_equal(a, b)}
        with np.errstate(all="ignore"):
            answers = [first]
            answers += [
                self([a + s * step[k] if k in step else a for k, a in enumerate(start)]) for s in map(float, INNER)
            ]
            answers.append(last)
            values, sizes = np.empty(len(NODES)), np.empty(len(NODES))
            for n, answer in enumerate(answers):
                products = [answer.gradient[k] * d for k, d in step.items()]
                values[n] = math.fsum(p.sum() for p in products) if answer.finite else math.nan
                sizes[n] = math.fsum(np.abs(p).sum() for p in products) if answer.finite else math.nan
            reach = math.fsum(np.abs(d).sum() for d in step.values())
            jitter = math.fsum((self.jitter[k] * np.abs(d)).sum() for k, d in step.items()) if self.jitter else 0.0
            width = math.fsum(self.scales[k] * d.size for k, d in step.items())
            usual = self.size * reach / width if width else 0.0
        return integral(values, sizes, reach, jitter, usual), np.array([answer.value for answer in answers])


def first_size(precision: Precision) -> float:
    """How far numbers are moved at first, relative to their scale: as far as ten polynomials follow in this format.

    With the nearest singularity about one scale away, the coefficients of a side of length h fall as (4/h)⁻ⁿ, and the
    tenth is to be rounding: h = 4·u^(1/10), 0.10 for float64; at most ½.
    """
    return min(0.5, 4 * precision.unit_roundoff**0.1)


def last_size(precision: Precision) -> float:
    """√u: half of the digits of the numbers that are moved are left for what is in between."""
    return math.sqrt(precision.unit_roundoff)


def held_in(numbers: Array, declared: Precision) -> Precision:
    """The coarsest format that these numbers fit: what a bfloat16 pass handed on as float32 is still bfloat16.

    Only where they need most of that format's bits: ones and zeros fit any.
    """
    mantissas, _ = np.frexp(numbers[np.isfinite(numbers) & (numbers != 0)])
    if not mantissas.size:
        return declared
    whole = np.abs(np.ldexp(mantissas, FLOAT64.digits)).astype(np.int64)
    needed = FLOAT64.digits - int(np.log2((whole & -whole).min()))
    for precision in sorted(PRECISIONS.values(), key=lambda precision: precision.digits):
        if precision.digits >= declared.digits:
            return declared
        if precision.digits // 2 < needed <= precision.digits:
            return precision
    return declared


LEAST_SCALE = 2.0**-5  # of a leaf, relative to all: biases near zero are moved by more than their own size


def _scales(point: Point) -> list[float]:
    """The root mean square of each leaf; of one that is (nearly) zero, a part of that of all; 1 where all are zero."""

    def size(arrays: Sequence[Array]) -> float:
        count = sum(a.size for a in arrays)
        return math.hypot(*(float(np.linalg.norm(a)) for a in arrays)) / math.sqrt(max(count, 1))

    whole = size(point) or 1.0
    return [max(size([a]) or whole, LEAST_SCALE * whole) for a in point]
