"""Does a gradient add up to the loss that it is said to be of? For any network, framework and size.

E(b) − E(a) = ∫ g·dl along the straight line from a to b, by the rule of `quadrature.py`: its error falls exponentially,
and no difference by a small step cancels anything. What no loop can show (`field.py`), a factor on all of the gradient
or the gradient of another loss, is seen here, along the directions that are tried.

Directions. Two are random, and one for everything and one for each block goes down the gradient itself, number by
number (−sign gᵢ, with random lengths): there the terms gᵢ uᵢ do not cancel, and a wrong factor shows most.

Kinks. A piece of the path on which the integrand is not smooth is halved, and only smooth pieces are compared. What
passes for smooth and is not (a unit that is switched on and off between two nodes) is why a difference counts only if
both halves of its piece show it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np

from ..case import InvalidInput
from .gradient_function import Asked, Point, first_size
from .pieces import Piece, Rounding, halves, looked_at, walked
from .pytrees import blocks_of, read, shape_words, structure
from .quadrature import KINKS

RIGHT, WRONG, UNDECIDED = "agrees", "wrong", "undecided"
EVERYTHING = "everything"

RANDOM_PATHS = 2
TELLING = 0.25  # a path agrees only if an error of this part of the change would have been seen along it
PARTS = 4  # of the only path, where its end is given: the rounding is estimated from three parts or more


@dataclass(frozen=True)
class Path:
    """One straight path. name: the block that was moved.

    Attributes:
        change: E(b) − E(a), added up over its smooth pieces
        integral: ∫ g·dl over the same
        tolerance: how far they may be apart
        share: the part of the path's length that the smooth pieces are
        verdict: agrees, wrong, or undecided, where no piece is smooth or rounding hides everything
    """

    name: str
    verdict: str
    change: float
    integral: float
    tolerance: float
    share: float
    reason: str = ""

    @property
    def error(self) -> float:
        """|change − integral| over |change|, or over |integral| where that is larger."""
        size = max(abs(self.change), abs(self.integral))
        return abs(self.change - self.integral) / size if size else 0.0

    @property
    def power(self) -> float:
        """The smallest such error that is sure to be seen: in both halves of a path."""
        size = max(abs(self.change), abs(self.integral))
        return 2 * self.tolerance / size if size else math.inf

    @property
    def ratio(self) -> float | None:
        """By what the gradient would have to be multiplied along this path; None where rounding hides it."""
        return self.change / self.integral if abs(self.integral) > 2 * self.tolerance else None


@dataclass(frozen=True)
class PathCheck:
    """What `check_path` found.

    Attributes:
        agrees: whether the gradient adds up to the loss along all decided paths; None where nothing was decided
        error: of the path that sees most (of the one furthest out, if the gradient is wrong): how far the integral is
            from the change, relative to them
        power: the smallest such error that is sure to be seen on it
        precision: the format that gradients were taken to be in
        value_precision: the format that values were taken to be in
        calls: of the function
    """

    agrees: bool | None
    error: float
    power: float
    paths: tuple[Path, ...]
    precision: str
    value_precision: str
    calls: int
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.agrees is True

    @property
    def verdict(self) -> str:
        return {True: RIGHT, False: WRONG, None: UNDECIDED}[self.agrees]

    def __str__(self) -> str:
        how = f"{self.precision}, {self.calls:,} calls"
        if self.agrees is None:
            return fill(f"undecided: {self.reason} ({how})", 80)
        if self.agrees:
            said = (
                f"agrees: along {len(self.paths)} paths the gradient adds up to the loss's change; an error of "
                f"{self.power:.1e} would have been seen ({how})"
            )
            return "\n".join([fill(said, 80), *([fill(f"not decided: {self.reason}", 80)] if self.reason else [])])
        found = [fill(said, 80, initial_indent="  ", subsequent_indent="    ") for said in self.findings]
        return "\n".join([f"wrong: this is not the gradient of that loss ({how})", *found])

    @property
    def factor(self) -> float | None:
        """By what the gradient would be right along all paths; None where no factor is, or nothing is wrong."""
        decided = [path for path in self.paths if path.verdict != UNDECIDED]
        if self.agrees is not False or len(decided) < 2:
            return None
        factor = min(decided, key=lambda path: path.power).ratio
        if factor is None:
            return None
        explained = all(
            abs(path.change - factor * path.integral) <= 2 * path.tolerance * max(1.0, abs(factor)) for path in decided
        )
        return factor if explained else None

    @property
    def findings(self) -> list[str]:
        """Where it is wrong, the clearest path of each name, a sentence each; and where it is right."""
        if self.factor is not None:
            return [f"along all paths the loss changes {self.factor:.9g} times as much as it adds up to"]
        wrong = sorted(
            (path for path in self.paths if path.verdict == WRONG), key=lambda path: -path.error / path.power
        )
        found = []
        for path in {path.name: path for path in reversed(wrong)}.values():
            ratio = f", {path.ratio:.12g} times as much" if path.ratio is not None else ""
            found.append(
                f"along {path.name} the loss changes by {path.change:.12g}{ratio}; the gradient adds up to "
                f"{path.integral:.12g}; rounding: {path.tolerance:.0e}"
            )
        right = [path.name for path in self.paths if path.verdict == RIGHT and path.name != EVERYTHING]
        return [*found, *(["right along " + ", ".join(right)] if right else [])]


def check_path(
    value_and_gradient: Callable[[Any], Any],
    start: Any,
    end: Any = None,
    *,
    blocks: Any = None,
    dtype: str | None = None,
    seed: int = 0,
) -> PathCheck:
    """Whether a gradient adds up to its loss along straight paths: E(end) − E(start) = ∫ g·dl.

    Costs 4 calls and 16 for each path, if it is smooth; with `end`, 65.
    Source: the gradient theorem; ∂E/∂w is what its name says only if it adds up to E.

    Args:
        value_and_gradient: takes what `start` is, and returns the loss, one number, and its gradient, of the same
            structure. It must be deterministic: with dropout, fix the mask (a seed) in it
        start: an array, a number, or a list, tuple or dict (in one another) of NumPy, PyTorch or JAX arrays; None
            skipped
        end: where the path goes, of the same structure; if not given, paths go down the gradient, for everything and
            each block, and in two random directions
        blocks: as of `check_field`
        dtype: as of `check_field`
        seed: as of `check_field`

    Raises:
        InvalidInput: where `start` or `end` is unusable, and for answers of another structure.
    """
    asked = Asked(value_and_gradient, start, "start", valued=True, dtype=dtype, seed=seed)
    chosen = blocks_of(asked.structure.names, blocks)
    target = None if end is None else _end(asked, end)
    if asked.unusable:
        return _result(asked, (), asked.unusable)
    if target is not None:
        named = [(EVERYTHING, walked(asked, target, PARTS))]
    else:
        every = tuple(range(len(asked.point)))
        directions = [(EVERYTHING, asked.direction(first_size(asked.precision), every)) for _ in range(RANDOM_PATHS)]
        directions.append((EVERYTHING, _downhill(asked, every)))
        if len(chosen) > 1:
            directions += [(block.name, _downhill(asked, block.leaves)) for block in chosen]
        named = [
            (name, walked(asked, [w + x for w, x in zip(asked.point, step, strict=True)], 1))
            for name, step in directions
        ]
    common = Rounding.of(asked, [piece for _, pieces in named for piece in pieces if piece.usable])
    paths = tuple(_judged(asked, name, pieces, common) for name, pieces in named)
    return _result(asked, paths)


def _end(asked: Asked, end: Any) -> Point:
    goal = structure(end, "end")
    found = list(asked.structure.matched(end, "end"))
    for k, name, _ in found:
        if goal.shapes[k] != asked.structure.shapes[k]:
            raise InvalidInput(
                f"{name}: expected the shape of `start`, {shape_words(asked.structure.shapes[k])}; "
                f"got {shape_words(goal.shapes[k])}."
            )
    point = [read(name, leaf)[0] for _, name, leaf in found]
    if all(np.array_equal(a, b) for a, b in zip(asked.point, point, strict=True)):
        raise InvalidInput("end: expected another point than `start`; it is the same.")
    return point


def _downhill(asked: Asked, leaves: Sequence[int]) -> Point:
    """Every number of these leaves goes the way that its gradient says will lower the loss; without one, any way."""
    return [
        np.where(g == 0, x, -np.sign(g) * np.abs(x))
        for x, g in zip(asked.direction(first_size(asked.precision), leaves), asked.first.gradient, strict=True)
    ]


def _result(asked: Asked, paths: tuple[Path, ...], reason: str = "") -> PathCheck:
    decided = [path for path in paths if path.verdict != UNDECIDED]
    open_ = [path for path in paths if path.verdict == UNDECIDED]
    agrees: bool | None = None
    if any(path.verdict == WRONG for path in paths):
        agrees = False
    elif any(path.name == EVERYTHING for path in decided) or (decided and not open_):
        agrees = True
    if open_:
        reason = f"{open_[0].name}: {open_[0].reason}"
        reason += f"; and {len(open_) - 1} more paths" if len(open_) > 1 else ""
    formats = (asked.precision.name, asked.value_precision.name)
    if agrees is False:
        shown = max((path for path in decided if path.verdict == WRONG), key=lambda path: path.error / path.power)
    elif decided:
        shown = min(decided, key=lambda path: path.power)
    else:
        return PathCheck(None, 0.0, math.inf, paths, *formats, asked.calls, reason)
    return PathCheck(agrees, shown.error, shown.power, paths, *formats, asked.calls, reason)


def _judged(asked: Asked, name: str, pieces: Sequence[Piece], common: Rounding) -> Path:
    """A path's pieces compared one by one; it is wrong where a piece is, and both its halves."""
    usable = [piece for piece in pieces if piece.usable]
    if not usable:
        finite = all(np.isfinite(piece.integral.size) for piece in pieces)
        reason = KINKS.format(asked.precision.name)
        return Path(name, UNDECIDED, 0.0, 0.0, math.inf, 0.0, reason if finite else "answers that are not finite")
    share = math.fsum(piece.length for piece in usable)
    outside = [piece for piece in usable if common.refuses(asked, piece)]
    for piece in outside:
        again = [looked_at(asked, *ends) for ends in halves(asked, piece)]
        if all(half.usable and common.refuses(asked, half) for half in again):
            return Path(name, WRONG, *common.sums(asked, [piece]), share)
    change, integral, allowed = common.sums(asked, usable)
    reason = ""
    if outside:
        reason = "a difference that one half of the path shows, and not the other: a kink between two nodes, it may be"
    elif 2 * allowed > TELLING * max(abs(change), abs(integral)) and any(piece.integral.size for piece in usable):
        reason = "rounding hides all that the loss changes by"
    return Path(name, UNDECIDED if reason else RIGHT, change, integral, allowed, share, reason)
