"""The smallest program of the framework that shows a wrong gradient: few numbers, short ones, one output, one element.

The inputs' dimensions are cut, one length after the other, and their numbers shortened, as long as the gradient is
wrong all the same. Of the outputs the element is taken that shows most. The program is run, so that it prints what is
said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import FLOATS, Captured, Outcome, check, right, run

if TYPE_CHECKING:
    from .rule import Seen, Subject

Array = NDArray[Any]
SMALLEST = (1, 2)  # lengths that a dimension is cut to
LENGTHS = 4  # different ones that are tried
MOST_NUMBERS = 40  # of a program that is shown
MOST_ELEMENTS = 32  # of the outputs that are looked at
WIDTH = 74  # of a line of the program, which is shown indented
DIGITS = 2  # of an input's numbers, where that is enough
SHOWN = 1e-3  # of a number: what is less off is nothing to look at
NEARLY = 1.01  # times as much shows as much: the first element is taken


@dataclass(frozen=True)
class Witness:
    """lines: of the program;  printed: what they print;  right: the chain rule's number"""

    lines: tuple[str, ...]
    printed: str
    right: float


def witness(subject: Subject, wrong: Seen) -> Witness | None:
    """The smallest program found; None where it would be long, or takes more than arrays and plain values."""
    try:
        return _witness(subject, wrong)
    except Exception:  # the function may raise anything on inputs that it was not written for
        return None


def _witness(subject: Subject, wrong: Seen) -> Witness | None:
    values: Sequence[Array] = wrong.point.values
    captured = wrong.captured
    own = subject.start[subject.moved :]  # parameters, which are not in the program
    if not wrong.point.special:
        subject = _cut(subject)
        values = subject.start
        for candidate in ([*map(_short, values[: subject.moved]), *own], values):
            found = _wrong_at(subject, candidate)
            if found is not None:
                values, captured = candidate, found
                break
        else:
            return None
    if sum(x.size for x in values[: subject.moved]) > MOST_NUMBERS:
        return None
    if not all(map(np.array_equal, values[subject.moved :], own)):
        return None
    place = _clearest(captured)
    if place is None:
        return None
    gradient, index, output, at, number = place
    told = subject.witness(values, gradient, index, output, at)
    if told is None or not _differs(told[1], number):
        return None
    return Witness(tuple(part for line in told[0] for part in _wrapped(line)), told[1], number)


def _wrapped(line: str) -> list[str]:
    """A line at a terminal's width: all but its first space is within brackets, where Python goes on."""
    return wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _cut(subject: Subject) -> Subject:
    """The same with dimensions as short as the mistake shows with."""
    lengths = sorted({n for x in subject.start for n in x.shape if n > 1}, reverse=True)
    for length in lengths[:LENGTHS]:
        for shorter in (n for n in SMALLEST if n < length):
            try:
                smaller = subject.resized({length: shorter})
                if smaller is not None and _wrong_at(smaller, smaller.start) is not None:
                    subject = smaller
                    break
            except Exception:  # noqa: S112 -- it is made for its own sizes
                continue
    return subject


def _short(numbers: Array) -> Array:
    """Rounded to a few digits, none of them to zero."""
    return np.array([float(f"{x:.{DIGITS}g}") for x in np.ravel(numbers)]).reshape(numbers.shape)


def _wrong_at(subject: Subject, values: Sequence[Array]) -> Captured | None:
    """What was captured there, if a gradient of it is wrong and everything is finite."""
    captured = subject.capture(values, 0)
    finite = all(x is None or np.isfinite(x).all() for x in captured.ran)
    different = finite and any(a.outcome is Outcome.DIFFERENT for a in check(captured))
    return captured if different else None


def _clearest(captured: Captured) -> tuple[int, tuple[int, ...], int, tuple[int, ...], float] | None:
    """The gradient and the element of it that are off most for one element of an output, with these; and the right one.

    For each element of the outputs, its cotangent is 1 and the others are 0.
    """
    zeros = {c.index: np.zeros_like(captured.given[c.index]) for c in captured.cotangents}
    ours = right(captured)
    wrong = [k for k, a in enumerate(check(captured)) if a.outcome is Outcome.DIFFERENT]
    best, most = None, 0.0
    elements = ((n, at) for n, c in enumerate(captured.cotangents) for at in np.ndindex(c.shape))
    for output, at in islice(elements, MOST_ELEMENTS):
        one = zeros[captured.cotangents[output].index].copy()
        one[at] = 1.0
        given = {**captured.given, **zeros, captured.cotangents[output].index: one}
        for k in wrong:
            expected, seen = (_number(g, captured.inputs[k].shape, given) for g in (ours[k], captured.gradients[k]))
            off = np.abs(seen - expected)
            off[~(off > SHOWN * np.maximum(np.abs(seen), np.abs(expected)))] = 0.0
            if off.size and off.max() > most * NEARLY:
                index = tuple(int(n) for n in np.unravel_index(int(off.argmax()), off.shape))
                best, most = (k, index, output, tuple(at), float(expected[index])), float(off.max())
    return best


def _number(gradient: Any, shape: tuple[int, ...], given: Any) -> Array:
    return np.zeros(shape) if gradient is None else np.asarray(run([gradient], given, FLOATS)[0])


def _differs(printed: str, number: float) -> bool:
    """Whether what is printed is beside the right number, as it was found to be."""
    seen = 0.0 if printed == "None" else float(printed)
    return abs(seen - number) > SHOWN * max(abs(seen), abs(number))
