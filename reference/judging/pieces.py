"""A straight path in pieces: halved where the gradient has kinks, each smooth one with what rounding may make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .gradient_function import Answer, Asked, Point, last_size
from .quadrature import DEVIATIONS, FREEDOM, LEAST_FREEDOM, Integral, common_deviation, tolerance, unexplained

MOST_PIECES = 24  # looked at along one path: enough to halve down to √u in float64
ENOUGH = 0.5  # of a path's length in smooth pieces, or so many of them, and no more are looked for
ENOUGH_PIECES = 4

# Roundings of each value, besides those that the fit of the values shows: of the loss itself, and of its last steps (a
# division by the batch, an added penalty), which are the same for a stretch of values and then step.
VALUE_ROUNDINGS = 4


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of a path, from a to b.

    length: of the whole path's;  integral: ∫ g·dl
    left: norm of what a polynomial leaves of the values;  values: |E| at its ends, added up
    """

    a: Point
    b: Point
    at_a: Answer
    at_b: Answer
    length: float
    integral: Integral
    left: float
    usable: bool

    @property
    def change(self) -> float:
        return self.at_b.value - self.at_a.value

    @property
    def values(self) -> float:
        return abs(self.at_a.value) + abs(self.at_b.value)


@dataclass(frozen=True)
class Rounding:
    """Standard deviations from many pieces together: of the terms of the integral, over their size, and of a value."""

    terms: float
    value: float

    @classmethod
    def of(cls, asked: Asked, pieces: Sequence[Piece]) -> Rounding:
        freedom = max(LEAST_FREEDOM, FREEDOM * len(pieces))
        left = math.hypot(*(piece.left for piece in pieces)) if pieces else 0.0
        return cls(common_deviation([piece.integral for piece in pieces], asked.precision), left / math.sqrt(freedom))

    def tolerance(self, asked: Asked, piece: Piece) -> float:
        """How far a piece's integral and change may be apart: the rounding of the one and of the other."""
        value = max(self.value, piece.left / math.sqrt(FREEDOM))
        own = VALUE_ROUNDINGS * asked.value_precision.unit_roundoff * piece.values
        return (
            tolerance([piece.integral], self.terms, asked.precision)
            + DEVIATIONS * math.sqrt(2) * value
            + own
            + asked.value_jitter
        )

    def refuses(self, asked: Asked, piece: Piece) -> bool:
        """Whether the piece's change and integral are further apart than rounding may put them."""
        return abs(piece.change - piece.integral.value) > self.tolerance(asked, piece)

    def sums(self, asked: Asked, pieces: Sequence[Piece]) -> tuple[float, float, float]:
        """Of all pieces: the loss's change, the integral, and how far they may be apart."""
        numbers = ((piece.change, piece.integral.value, self.tolerance(asked, piece)) for piece in pieces)
        change, integral, tolerated = zip(*numbers, strict=True)
        return math.fsum(change), math.fsum(integral), math.fsum(tolerated)


def walked(asked: Asked, end: Point, parts: int) -> list[Piece]:
    """The pieces of the path to `end` that were looked at, halved where they are not smooth."""
    points = [asked.held(asked.point), asked.held(end)]
    while len(points) <= parts:
        points = [x for a, b in pairwise(points) for x in (a, _middle(asked, a, b))] + [points[-1]]
    answers = [asked(point) for point in points]
    open_ = [
        (points[k], points[k + 1], answers[k], answers[k + 1], 1 / (len(points) - 1)) for k in range(len(points) - 1)
    ]
    pieces: list[Piece] = []
    while open_ and len(pieces) < MOST_PIECES:
        smooth = [piece.length for piece in pieces if piece.usable]
        if len(smooth) < len(pieces) and (math.fsum(smooth) >= ENOUGH or len(smooth) >= ENOUGH_PIECES):
            break
        piece = looked_at(asked, *open_.pop())
        pieces.append(piece)
        if not piece.usable and piece.length > last_size(asked.precision):
            open_ += halves(asked, piece)
    return pieces


Ends = tuple[Point, Point, Answer, Answer, float]


def halves(asked: Asked, piece: Piece) -> list[Ends]:
    """The two halves of a piece; one call, in its middle."""
    middle = _middle(asked, piece.a, piece.b)
    at_middle = asked(middle)
    return [
        (piece.a, middle, piece.at_a, at_middle, piece.length / 2),
        (middle, piece.b, at_middle, piece.at_b, piece.length / 2),
    ]


def _middle(asked: Asked, a: Point, b: Point) -> Point:
    return asked.held([x + (y - x) / 2 for x, y in zip(a, b, strict=True)])


def looked_at(asked: Asked, a: Point, b: Point, at_a: Answer, at_b: Answer, length: float) -> Piece:
    """A piece with its integral; 15 calls."""
    found, values = asked.along(a, b, at_a, at_b)
    with np.errstate(all="ignore"):
        left = unexplained(values)
    usable = found.smooth(asked.precision) and math.isfinite(left)
    return Piece(a, b, at_a, at_b, length, found, left, usable)
