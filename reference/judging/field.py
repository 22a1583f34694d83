"""Is a vector field the gradient of any function at all? For a gradient function of any network, framework and size.

A gradient's Jacobian is symmetric (Schwarz), so its line integral around every loop is zero: no loss goes up all the
way round. Triangles w → w+u → w+u+v → w are walked, with random u and v, and what the gradient adds up to is compared
with what its own rounding may make of it (`quadrature.tolerance`). Nothing needs to be known of the network, and no
difference by a small step cancels anything: loops are as large as the numbers allow.

With u in one block of the parameters and v in another, a loop sees that pair's mixed derivatives alone.

A field may be closed and still be wrong: a common factor, a gradient of another loss, or (where the loss is piecewise
linear in the parameters) a mask that is missing leave no trace on any loop. `path.py` compares with the loss itself.

Kinks. A side on which the integrand is not smooth decides nothing: the loop is shrunk, around another centre nearby,
until all its sides are smooth, or nothing is left. What passes for smooth and is not (a unit that is switched on and
off between two nodes) is why an asymmetry counts only if two loops show it, with other directions elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from textwrap import fill
from typing import Any

import numpy as np

from ..numbers import Precision
from .gradient_function import Answer, Asked, Point, first_size, last_size
from .pytrees import Block, blocks_of
from .quadrature import KINKS, Integral, common_deviation, tolerance

SHRINK = 4.0  # each next loop, where a kink was met
CONFIRMED = 2  # loops that must show an asymmetry
FEW_BLOCKS = 3  # all of whose pairs are no more loops than each block with everything, and a touched one's pairs

# A loop of size h around a field whose Jacobian is as asymmetric as it is large shows about h. That nothing is seen
# says something only where a tenth of that would have been: planted mistakes show less than h/2, and many h/10.
TELLING = 0.1

SYMMETRIC, ASYMMETRIC, UNDECIDED = "symmetric", "not symmetric", "undecided"
EVERYTHING = "everything"


@dataclass(frozen=True)
class Pair:
    """Loops with one direction in one block of the parameters and one in another.

    Attributes:
        asymmetry: |∮ g·dl| over ∮ |g·dl|, of the last loop that was decided
        tolerance: what rounding may make of it
        size: of that loop's sides, relative to the parameters
        reason: why undecided
    """

    first: str
    second: str
    verdict: str
    asymmetry: float
    tolerance: float
    size: float
    reason: str = ""

    @property
    def place(self) -> str:
        """The two blocks, in words."""
        if self.first == self.second:
            return f"all of {self.first}" if self.first != EVERYTHING else EVERYTHING
        return f"{self.first} and {self.second}"


@dataclass(frozen=True)
class FieldCheck:
    """What `check_field` found.

    Attributes:
        symmetric: whether some function has this gradient, as far as the loops see; None where they decide nothing
        asymmetry: the largest that a loop showed, relative to what its sides add up to in absolute value
        power: the smallest such asymmetry that would have been seen, of the weakest pair (of the pair shown, if it is
            not symmetric). Loops of size h around a field whose Jacobian is as asymmetric as it is large show about h
        pairs: everything; each block with everything; and, if something is not symmetric, each block with each
        misfits: the fewest blocks without which the others fit together; several such sets, if there are
        precision: the format that the answers were taken to be in
        calls: of the gradient function
    """

    symmetric: bool | None
    asymmetry: float
    power: float
    pairs: tuple[Pair, ...]
    misfits: tuple[tuple[str, ...], ...]
    precision: str
    calls: int
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.symmetric is True

    @property
    def verdict(self) -> str:
        return {True: SYMMETRIC, False: ASYMMETRIC, None: UNDECIDED}[self.symmetric]

    def __str__(self) -> str:
        how = f"{self.precision}, {self.calls:,} calls"
        if self.symmetric is None:
            return fill(f"undecided: {self.reason} ({how})", 80)
        if self.symmetric:
            said = (
                f"symmetric: around {_loops(len(self.pairs))} it adds up to nothing but rounding, as the gradient of a "
                f"loss does; {self.power:.1e} of what the sides add up to would have been seen ({how})"
            )
            return "\n".join([fill(said, 80), *([fill(f"not decided: {self.reason}", 80)] if self.reason else [])])
        first, *rest = self.findings
        return "\n".join(fill(said, 80) for said in (f"{first} ({how})", *rest))

    @property
    def findings(self) -> list[str]:
        """Where no loss has this gradient, a sentence each."""
        if self.symmetric is not False:
            return []
        worst = self._worst()
        said = (
            f"no loss has this gradient: around a loop in {worst.place} it adds up to {worst.asymmetry:.1e} of what "
            f"its sides do, where {worst.tolerance:.0e} is rounding"
        )
        sets = " or ".join(" with ".join(names) for names in self.misfits)
        return [said, *([f"without {sets}, the rest fits together"] if self.misfits else [])]

    def _worst(self) -> Pair:
        wrong = [pair for pair in self.pairs if pair.verdict == ASYMMETRIC]
        single = [pair for pair in wrong if EVERYTHING not in (pair.first, pair.second)]
        return max(single or wrong, key=lambda pair: pair.asymmetry / pair.tolerance if pair.tolerance else np.inf)


def _loops(count: int) -> str:
    return "a loop" if count == 1 else f"{count} loops"


def check_field(
    gradient: Callable[[Any], Any],
    at: Any,
    *,
    blocks: Any = None,
    dtype: str | None = None,
    seed: int = 0,
    locate: bool = False,
) -> FieldCheck:
    """Whether `gradient` is the gradient of any loss, by its line integrals around loops near `at`.

    Costs 4 calls and 48 for each loop, if the first ones are smooth: one loop for everything and, with two or more
    blocks, one for each (of up to three, where the first is asymmetric, all pairs at once). Every loop that met a kink
    costs 17 to 48 more, and a gradient that is not symmetric 96 for each pair of blocks that shows it. All in float64
    on this machine: as many numbers as `at` has, eight times.
    Source: the symmetry of second derivatives (Schwarz) and Stokes's theorem, ∮ g·dl = ∬ (∂gⱼ/∂wᵢ − ∂gᵢ/∂wⱼ) du dv.

    Args:
        gradient: takes what `at` is, and returns a gradient of the same structure. It must be deterministic: with
            dropout, fix the mask (a seed) in it
        at: an array, a number, or a list, tuple or dict (in one another) of arrays of NumPy, PyTorch or JAX; None
            skipped
        blocks: which arrays to look at together: a list of their names or of lists of them, or a dict of such lists
            by name; at[0], at[1] … in a list, the keys in a dict, joined by dots; the beginning of a name stands for
            all that begin so. If not given, each array; with more than ten, each layer, or ten groups of neighbours
        dtype: the format that it computes in, if coarser than its answers show
        seed: of the directions
        locate: look at blocks only where everything together is asymmetric, to say where: else one loop is enough, and
            the power that of everything together

    Raises:
        InvalidInput: where `at` is unusable, and for answers of another structure.
    """
    asked = Asked(gradient, at, "at", valued=False, dtype=dtype, seed=seed)
    chosen = blocks_of(asked.structure.names, blocks)
    if asked.unusable:
        return _undecided(asked, asked.unusable)
    if sum(x.size for x in asked.point) == 1:
        return _undecided(asked, "any function of a single number is the derivative of some other")
    everything = Block(EVERYTHING, tuple(range(len(asked.point))))
    pairs = [_judged(asked, everything, everything)]
    if len(chosen) > 1 and (pairs[0].verdict == ASYMMETRIC or not locate):
        rows: list[Pair] = []
        touched = {block.name for block in chosen}
        if pairs[0].verdict != ASYMMETRIC or len(chosen) > FEW_BLOCKS:
            rows = [_judged(asked, block, everything) for block in chosen]
            touched = {row.first for row in rows if row.verdict == ASYMMETRIC}
        pairs += rows
        pairs += [
            _judged(asked, one, other)
            for k, one in enumerate(chosen)
            for other in chosen[k:]
            if touched & {one.name, other.name} and (one is not other or _count(asked, one) > 1)
        ]
    return _together(asked, tuple(pairs), tuple(block.name for block in chosen))


def _undecided(asked: Asked, reason: str) -> FieldCheck:
    return FieldCheck(None, 0.0, np.inf, (), (), asked.precision.name, asked.calls, reason)


def _count(asked: Asked, block: Block) -> int:
    return sum(asked.point[k].size for k in block.leaves)


def _together(asked: Asked, pairs: tuple[Pair, ...], names: Sequence[str]) -> FieldCheck:
    """One verdict: any asymmetry counts; symmetry must be seen for everything, or for each block with everything."""
    verdicts = [pair.verdict for pair in pairs]
    decided = [pair for pair in pairs if pair.verdict != UNDECIDED]
    open_ = [pair for pair in pairs if pair.verdict == UNDECIDED]
    reason = ""
    if open_:
        reason = f"{open_[0].place}: {open_[0].reason}"
        reason += f"; and {len(open_) - 1} more loops" if len(open_) > 1 else ""
    common = (pairs, (), asked.precision.name, asked.calls, reason)
    asymmetry = max((pair.asymmetry for pair in decided), default=0.0)
    if ASYMMETRIC in verdicts:
        wrong = [pair for pair in pairs if pair.verdict == ASYMMETRIC]
        power = min(pair.tolerance for pair in wrong)
        worst = max(pair.asymmetry for pair in wrong)
        return FieldCheck(False, worst, power, pairs, _misfits(pairs, names), *common[2:])
    power = max((pair.tolerance for pair in decided), default=np.inf)
    whole = verdicts[0] == SYMMETRIC or (len(verdicts) > 1 and set(verdicts[1:]) == {SYMMETRIC})
    return FieldCheck(True if whole else None, asymmetry, power, *common)


def _misfits(pairs: Sequence[Pair], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The smallest sets of blocks that every asymmetric pair of blocks touches; there are few blocks: all are tried."""
    wrong = [
        {pair.first, pair.second}
        for pair in pairs
        if pair.verdict == ASYMMETRIC and EVERYTHING not in (pair.first, pair.second)
    ]
    if not wrong:
        return ()
    for count in range(1, len(names)):
        covers = [chosen for chosen in combinations(names, count) if all(pair & set(chosen) for pair in wrong)]
        if covers:
            return tuple(covers)
    return ()


# ------------------------------------------------------------------------------------------------ loops


@dataclass(frozen=True)
class _Loop:
    """around: |∮ g·dl|;  total: ∮ |g·dl|;  tolerance: of `around`;  smooth: all three sides;  finite: all answers"""

    around: float
    total: float
    tolerance: float
    smooth: bool
    finite: bool = True


def _judged(asked: Asked, one: Block, other: Block) -> Pair:
    """Loops with a direction in each of two blocks, ever smaller where kinks are met, until the matter is decided."""
    precision = asked.precision
    size = first_size(precision)
    inside: list[Pair] = []
    outside: list[Pair] = []
    reason, centre = "", asked.point
    while size >= last_size(precision):
        loop = _walked(asked, centre, asked.direction(size, one.leaves), asked.direction(size, other.leaves))
        centre = asked.moved(first_size(precision) / 2)
        if not loop.smooth:
            reason = (
                KINKS.format(precision.name)
                if loop.finite
                else "answers that are not finite (NaN or infinite) at points nearby"
            )
            size /= SHRINK
            continue
        total = loop.total or 1.0
        asymmetry, tolerated = loop.around / total, loop.tolerance / total
        wrong = loop.around > loop.tolerance
        if not wrong and loop.total and tolerated > TELLING * size:
            reason = f"rounding in {precision.name} hides what a loop could show"
            break
        found = Pair(one.name, other.name, ASYMMETRIC if wrong else SYMMETRIC, asymmetry, tolerated, size)
        (outside if wrong else inside).append(found)
        if len(outside) == CONFIRMED:
            return min(outside, key=lambda pair: pair.asymmetry)
        if len(inside) > len(outside) or len(inside) == CONFIRMED:
            return inside[-1]
    return Pair(one.name, other.name, UNDECIDED, 0.0, np.inf, size, reason)


def _walked(asked: Asked, centre: Point, u: Point, v: Point) -> _Loop:
    """Once around w → w+u → w+u+v → w. It is given up at the first side that is not smooth."""
    precision: Precision = asked.precision
    corners = [
        asked.held(centre),
        asked.held([w + x for w, x in zip(centre, u, strict=True)]),
        asked.held([w + x + y for w, x, y in zip(centre, u, v, strict=True)]),
    ]
    answers: list[Answer] = []
    sides: list[Integral] = []
    for k in range(3):
        answers += [asked(corners[n]) for n in range(len(answers), min(k + 2, 3))]
        side, _ = asked.along(corners[k], corners[(k + 1) % 3], answers[k], answers[(k + 1) % 3])
        if not side.smooth(precision):
            return _Loop(0.0, 0.0, 0.0, False, bool(np.isfinite(side.size)))
        sides.append(side)
    return _Loop(
        around=abs(sum(side.value for side in sides)),
        total=sum(side.total for side in sides),
        tolerance=tolerance(sides, common_deviation(sides, precision), precision),
        smooth=True,
    )
