"""Why a gradient is not the chain rule's: which of the flows that add up to it is missing, doubled, or another's.

The right gradient is a sum over the edges of the forward program. A mistake in somebody's backward is an *edit* of it:
an edge that carries nothing, the negative, a multiple; a factor taken from another value; a cotangent that is dropped,
or summed over too little. Each is tried in floats at one point and proved in balls at another, on numbers that it was
not found with. `rule_check.py` says that there is something to explain; `edits.py` has the list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .captured import Border, Captured
from .chain_rule import depending, pullback
from .ndarrays import FLOATS, Array
from .origins import Origin
from .program import Value
from .rule_check import Agreement, Outcome, agreements
from .running import lines_needed, run

ROUNDED = 1e-12  # relative: what floats are off by themselves
ALIKE = 1e-7  # relative: floats that an edit is looked for with; what decides is the proof in balls
AS_FITTED = 7  # digits to which an edit with a fitted constant has to agree at another point
BETTER = 2  # digits that it has to agree better than the right gradient, which may be as near as that
WORK = 400_000  # lines that may be run while looking


@dataclass(frozen=True)
class Segment:
    """A part of what was captured whose backward is judged by itself: one custom function, or everything.

    arrived: the cotangents of the outputs;  seen: the gradients given back, None for none
    base: the first line of the chain rule's gradient, once that has been written down
    """

    captured: Captured
    border: Border | None
    outputs: tuple[Value, ...]
    arrived: tuple[Value | None, ...]
    inputs: tuple[Value, ...]
    seen: tuple[Value | None, ...]
    base: int = 0

    def prepared(self) -> tuple[Segment, list[Value | None]]:
        """With the chain rule's gradient written down: the segment that knows where, and the gradient."""
        there = replace(self, base=len(self.captured.program.nodes))
        return there, there.right()

    def value(self, line: int) -> Value:
        """A line by its number; from −1 down, those of the chain rule's gradient, which stands elsewhere in each."""
        return self.captured.program.value(line if line >= 0 else self.base - 1 - line)

    def right(self) -> list[Value | None]:
        """The chain rule's gradients of the inputs, for the cotangents that arrived."""
        there = [(o, c) for o, c in zip(self.outputs, self.arrived, strict=True) if c is not None]
        if not there:
            return [None] * len(self.inputs)
        return pullback([o for o, _ in there], [c for _, c in there], self.inputs)


@dataclass(frozen=True)
class Edit:
    """A wrong gradient, as an edit of the right one.

    text: what is wrong, in words;  origin: of the operation it concerns
    gradients(segment): what the inputs' gradients would be
    repairs: they are the right ones then, made of those seen; and not those seen, made of the right ones
    """

    text: str
    gradients: Callable[[Segment], Sequence[Value | None]]
    origin: Origin | None = None
    fitted: bool = False
    repairs: bool = False


@dataclass(frozen=True)
class Explanation:
    """inputs: the numbers of those it explains;  border: the custom function at fault, None for the whole."""

    text: str
    border: Border | None
    inputs: tuple[int, ...]
    origin: Origin | None


@dataclass(frozen=True)
class Unexplained:
    """A custom function whose own backward is wrong, and the numbers of the inputs whose gradients no edit gives."""

    border: Border
    inputs: tuple[int, ...]


def segments(captured: Captured) -> list[Segment]:
    """The custom functions, the last one first, as the backward meets them; then the whole."""
    parts = [
        Segment(captured, b, b.outputs, b.arrived, b.inputs, b.gradients)
        for b in reversed(captured.borders)
        if b.seen and b.inputs and b.name not in captured.surrogates
    ]
    if captured.surrogates:  # as a whole it is not to be the chain rule's
        return parts
    whole = Segment(captured, None, captured.outputs, captured.cotangents, captured.inputs, captured.gradients)
    return [*parts, whole]


def first_wrong(captured: Captured, roundoff: float = 0.0) -> list[tuple[Segment, tuple[int, ...]]]:
    """The custom functions whose own backward is wrong, with the numbers of the inputs; where none is, the whole.

    roundoff: of the format that it ran in, as of `check`
    """
    found: list[tuple[Segment, tuple[int, ...]]] = []
    for segment in segments(captured):
        if segment.border is None and found:
            break
        results = agreements(captured, segment.right(), segment.seen, segment.inputs, roundoff)
        asked = _asked(segment)
        wrong = tuple(k for k, a in enumerate(results) if a.outcome is Outcome.DIFFERENT and k in asked)
        if wrong:
            found.append((segment, wrong))
    return found


def _asked(segment: Segment) -> set[int]:
    """The inputs whose gradients somebody needs: not of a mask, say, that is made of constants, and gets none."""
    between = depending(segment.inputs, segment.captured.inputs)
    return {
        k
        for k, (x, seen) in enumerate(zip(segment.inputs, segment.seen, strict=True))
        if seen is not None or x.index in between
    }


def explained(captured: Captured, elsewhere: Captured, *more: Captured, roundoff: float = 0.0) -> list[Explanation]:
    """One explanation for each custom function that is wrong, or several where its inputs are wrong in different ways.

    elsewhere: the same calls at another point, to prove it on, and at more; by chance two masks may be alike at two
    points. An input that nothing explains is in none of them.
    """
    from .edits import edits

    found: list[Explanation] = []
    places = [
        {id(s.border): t for s, t in zip(segments(captured), segments(there), strict=False)}
        for there in (elsewhere, *more)
    ]
    for segment, wrong in first_wrong(captured, roundoff):
        others = [counterparts.get(id(segment.border)) for counterparts in places]
        proofs = [t for t in others if t is not None and len(t.inputs) == len(segment.inputs)]
        if len(proofs) < len(others):
            continue
        trial = Trial(segment, wrong)
        left = set(wrong)
        for edit in edits(trial):
            meets = trial.met(edit)
            new = tuple(sorted(left.intersection(meets)))
            if new and all(_proved(edit, there, new, roundoff) for there in proofs):
                found.append(Explanation(edit.text, segment.border, new, edit.origin))
                left -= set(new)
            if not left:
                break
    return found


def unexplained(
    captured: Captured, elsewhere: Captured, found: Sequence[Explanation], roundoff: float = 0.0
) -> list[Unexplained]:
    """The custom functions whose own backward is wrong at both points, in a way that nothing that was found gives."""
    counterparts = {id(s.border): t for s, t in zip(segments(captured), segments(elsewhere), strict=False)}
    located = []
    for segment, wrong in first_wrong(captured, roundoff):
        told = {k for explanation in found if explanation.border is segment.border for k in explanation.inputs}
        other = counterparts.get(id(segment.border))
        if segment.border is None or other is None or told.issuperset(wrong):
            continue
        there = agreements(elsewhere, other.right(), other.seen, other.inputs, roundoff)
        left = tuple(k for k in wrong if k not in told and there[k].outcome is Outcome.DIFFERENT)
        if left:
            located.append(Unexplained(segment.border, left))
    return located


class Trial:
    """A segment in floats: what is needed to try one edit after another without running the forward again."""

    def __init__(self, segment: Segment, wrong: Sequence[int]) -> None:
        program = segment.captured.program
        segment, right = segment.prepared()
        self.segment, self.wrong = segment, tuple(wrong)
        self.right_values = right
        self.backward: list[int] | None = None
        self.candidates: list[int | None] | None = None
        self.names: dict[int, str] = {}  # of lines of the backward
        self.forward_lines = set(lines_needed(segment.outputs))
        forward = [program.value(k) for k in self._needed(right)]
        self.known: dict[int, Array] = dict(segment.captured.given)
        self.known |= dict(zip((v.index for v in forward), run(forward, segment.captured.given, FLOATS), strict=True))
        self.right = self.numbers(right)
        self.seen = self.numbers(segment.seen)
        self.work = 0

    def _needed(self, right: Sequence[Value | None]) -> list[int]:
        roots = [v for v in (*right, *self.segment.seen, *self.segment.outputs) if v is not None]
        return lines_needed(roots)

    def numbers(self, gradients: Sequence[Value | None]) -> list[Array]:
        """The gradients in floats, zeros for None."""
        there = [g for g in gradients if g is not None]
        results = iter(run(there, self.known, FLOATS)) if there else iter(())
        return [
            np.zeros(x.shape) if g is None else next(results)
            for g, x in zip(gradients, self.segment.inputs, strict=True)
        ]

    def met(self, edit: Edit) -> set[int]:
        """The wrong inputs whose gradients the edit gives."""
        numbers = self.tried(edit.gradients)
        wanted = self.right if edit.repairs else self.seen
        return {k for k in self.wrong if alike(numbers[k], wanted[k]) and self._tells(k, numbers[k], wanted[k])}

    def _tells(self, k: int, numbers: Array, wanted: Array) -> bool:
        """Whether it is nearer than what is to be explained: a gradient may be off by less than floats are alike."""
        apart = np.abs(self.right[k] - self.seen[k]).max(initial=0.0)
        size = np.abs(wanted).max(initial=0.0)
        return bool(np.abs(numbers - wanted).max(initial=0.0) <= max(apart * 10.0**-BETTER, ROUNDED * size))

    def tried(self, gradients: Callable[[Segment], Sequence[Value | None]]) -> list[Array]:
        """The numbers that an edit would give. Its lines are taken off the program again: there will be many."""
        nodes = self.segment.captured.program.nodes
        before = len(nodes)
        numbers = self.numbers(gradients(self.segment))
        self.work += len(nodes) - before
        del nodes[before:]
        return numbers

    @property
    def exhausted(self) -> bool:
        return self.work > WORK

    def between(self) -> set[int]:
        """The lines of the forward that carry a gradient."""
        return depending(self.segment.outputs, self.segment.inputs)


def alike(x: Array, y: Array) -> bool:
    """Whether two gradients are the same up to float64's rounding, by the size of their largest element."""
    if x.shape != y.shape:
        return False
    size = max(np.abs(x).max(initial=0.0), np.abs(y).max(initial=0.0))
    return bool(np.all(np.isfinite(x) & np.isfinite(y)) and np.abs(x - y).max(initial=0.0) <= ALIKE * size)


def _proved(edit: Edit, elsewhere: Segment, inputs: Sequence[int], roundoff: float) -> bool:
    """Whether the edit gives the gradients seen at another point as well, in balls."""
    elsewhere, right = elsewhere.prepared()
    gradients = edit.gradients(elsewhere)
    wanted = right if edit.repairs else elsewhere.seen
    places = [elsewhere.inputs[k] for k in inputs]

    def compared(ours: Sequence[Value | None], theirs: Sequence[Value | None]) -> list[Agreement]:
        return agreements(elsewhere.captured, [ours[k] for k in inputs], [theirs[k] for k in inputs], places, roundoff)

    results = compared(gradients, wanted)
    good = {Outcome.EQUAL, Outcome.LITERALS, Outcome.KINK}
    if all(a.outcome in good for a in results):
        return True
    return edit.fitted and all(
        a.outcome in good or a.digits >= max(AS_FITTED, r.digits + BETTER)
        for a, r in zip(results, compared(right, elsewhere.seen), strict=True)
    )
