"""Where a gradient is another at a point than everywhere beside it: no kink of the function, but of its operations.

softplus as max(x, 0) + log(1 + exp(−|x|)) has the gradient ½ at 0, and what its two kinks take there adds up to 0. Each
takes what it may, so the rule is right; the number is not, and that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...reference.programs import Captured
from .guarded import captured_at
from .points import beside

if TYPE_CHECKING:
    from .rule import Seen, Subject

Array = NDArray[Any]
JUMP = 1e-3  # of the gradient's size, over a distance of 1e-7: no slope that a smooth function has
DIRECTIONS = 8  # to both sides of each: of pieces that meet at a point, two are met
COARSE = JUMP / 64  # roundoff of a format in which rounding alone may look like a jump


def jump_at(subject: Subject, found: Seen) -> str:
    """In words, if the gradient that ran at the point is one that it has on no side of it; empty otherwise."""
    if found.captured.roundoff > COARSE:
        return ""
    here, around = _gradients(found.captured), list[list[Array]]()
    for k in range(2 * DIRECTIONS):
        there = captured_at(subject, beside(found.point, k // 2, 1 - 2 * (k % 2)).values, found.seed)
        if isinstance(there, str):
            return ""
        around.append(_gradients(there))
        if not _alike(around[0], around[-1]) or _alike(here, around[-1]):
            return ""
    gaps = [np.abs(a - b) for a, b in zip(here, around[0], strict=True)]
    k = int(np.argmax([gap.max(initial=0.0) for gap in gaps]))
    at = np.unravel_index(int(gaps[k].argmax()), gaps[k].shape)
    return (
        f"{found.point.name}: the gradient of {subject.names[k]} at {[int(i) for i in at]} is {here[k][at]:.6g} there, "
        f"by what its operations take at their kinks, and {around[0][k][at]:.6g} beside it, to all sides"
    )


def _gradients(captured: Captured) -> list[Array]:
    """The numbers that ran."""
    ran = captured.ran[len(captured.outputs) :]
    return [np.zeros(x.shape) if g is None else np.asarray(g) for g, x in zip(ran, captured.inputs, strict=True)]


def _alike(one: list[Array], other: list[Array]) -> bool:
    for a, b in zip(one, other, strict=True):
        size = max(float(np.abs(x).max(initial=0.0)) for x in (a, b))
        if not float(np.abs(a - b).max(initial=0.0)) <= JUMP * size:
            return False
    return True
