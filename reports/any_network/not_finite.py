"""Where a function has no finite value: which operation gives the first number that is none."""

from __future__ import annotations

import numpy as np

from ...reference.programs import FLOATS, Captured, lines_needed, run


def finite(captured: Captured) -> bool:
    """Whether all numbers that ran are finite."""
    return all(x is None or bool(np.isfinite(x).all()) for x in captured.ran)


def not_finite(captured: Captured) -> str:
    """What is not finite in the numbers that ran, and by which line, in words."""
    ends = len(captured.outputs)
    k, numbers = next((k, x) for k, x in enumerate(captured.ran) if x is not None and not np.isfinite(x).all())
    place = np.argwhere(~np.isfinite(numbers))[0]
    what = f"output {k}" if k < ends else f"the gradient of input {k - ends}"
    said = f"a number there is not finite: {what} is {numbers[tuple(place)]:g} at {place.tolist()}"
    line = _first_line(captured)
    return f"{said}, by {line}" if line else said


def _first_line(captured: Captured) -> str:
    """The line whose operands are finite in exact numbers and whose result is not; nothing where there is none."""
    wanted = [v for v in (*captured.outputs, *captured.gradients) if v is not None]
    nodes = captured.program.nodes
    lines = [captured.program.value(k) for k in lines_needed(wanted)]
    for value, numbers in zip(lines, run(lines, captured.given, FLOATS), strict=True):
        if not np.isfinite(numbers).all():
            return str(nodes[value.index].origin)
    return ""
