"""Edits of the Jacobian as a whole: its diagonal alone, itself for its transpose, that of a kernel turned round.

`edits.py` has them in its list. They need no part of the program by name, and see it through pullbacks alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from . import repairs
from .chain_rule import pullback, pushforward
from .flow import Edit, Segment, Trial
from .movement import numbered, rearranged
from .program import Value

LONGEST = 16  # axis that is taken apart, element by element


def of_the_diagonal(trial: Trial) -> Iterator[Edit]:
    """Each element of an input gets the gradient of the result that stands in its own place, and of no other."""
    shapes = {o.shape for o, c in zip(trial.segment.outputs, trial.segment.arrived, strict=True) if c is not None}
    for shape in {trial.segment.inputs[k].shape for k in trial.wrong} & shapes:
        for axis in (axis for axis, n in enumerate(shape) if 1 < n <= LONGEST):
            yield Edit(
                f"every element gets the gradient of its own result alone: those of the others along axis {axis} are "
                "missing",
                partial(_of_its_own, shape=shape, axis=axis),
            )


def _of_its_own(segment: Segment, shape: tuple[int, ...], axis: int) -> list[Value | None]:
    there = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    length = next((o.shape[axis] for o, _ in there if len(o.shape) == len(shape)), 0)
    if any(o.shape[axis : axis + 1] != (length,) for o, _ in there):
        return segment.right()
    added: list[Value | None] = [None] * len(segment.inputs)
    for place in range(length):
        own = [(o, only_at(c, axis, place)) for o, c in there]
        gradients = pullback([o for o, _ in own], [c for _, c in own], segment.inputs)
        for k, gradient in enumerate(gradients):
            if gradient is None or gradient.shape[axis : axis + 1] != (length,):
                continue
            share, before = only_at(gradient, axis, place), added[k]
            added[k] = share if before is None else before + share
    return added


def of_the_transpose(trial: Trial) -> Iterator[Edit]:
    """The derivative is applied to what arrives, not its transpose: a rotation forward again, a sum from the left."""
    arrived = [o for o, c in zip(trial.segment.outputs, trial.segment.arrived, strict=True) if c is not None]
    for k in trial.wrong:
        if len(arrived) == 1 and arrived[0].shape == trial.segment.inputs[k].shape:
            yield Edit(
                f"the derivative by input {k} is applied to the incoming gradient, and not its transpose",
                partial(_pushed_forward, number=k),
            )


def _pushed_forward(segment: Segment, number: int) -> list[Value | None]:
    pairs = [(o, c) for o, c in zip(segment.outputs, segment.arrived, strict=True) if c is not None]
    if len(pairs) != 1 or pairs[0][0].shape != segment.inputs[number].shape:
        return segment.right()
    (output, cotangent), value = pairs[0], segment.inputs[number]
    pushed = pushforward([output], [value], [cotangent])[0]
    return [pushed if k == number else g for k, g in enumerate(segment.right())]


def of_a_reversed_input(trial: Trial) -> Iterator[Edit]:
    """The gradient is as it would be with another input reversed: a kernel that is turned, or is not."""
    for k, value in enumerate(trial.segment.inputs):
        rank = len(value.shape)
        for axes in [(axis,) for axis in range(rank)] + [tuple(range(first, rank)) for first in range(rank - 1)]:
            if all(value.shape[axis] > 1 for axis in axes) and trial.wrong != (k,):
                yield Edit(
                    f"it is computed with input {k} reversed along {'axis' if len(axes) == 1 else 'axes'} "
                    f"{' and '.join(map(str, axes))}",
                    partial(_with_reversed, number=k, axes=axes),
                )


def _with_reversed(segment: Segment, number: int, axes: tuple[int, ...]) -> list[Value | None]:
    value = segment.inputs[number]
    return repairs.redone(segment.right(), value.index, rearranged(value, np.flip(numbered(value.shape), axes)))


def only_at(x: Value, axis: int, chosen: int) -> Value:
    """Zero, but at one place along an axis."""
    positions = np.full(x.shape, -1)
    place = [slice(None)] * len(x.shape)
    place[axis] = slice(chosen, chosen + 1)
    positions[tuple(place)] = numbered(x.shape)[tuple(place)]
    return rearranged(x, positions)
