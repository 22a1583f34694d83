"""Whether two captures are of the same program: at another point, or in another format. Asked by `rule.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...reference.programs import Captured

# No tolerance on a result: it tells a number of the code, rounded to any format (to 2⁻⁹ in bfloat16), from another one.
ROUNDED = 2.0**-6


def same_rule(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether the lines of two programs are the same operations on the same lines, with the same numbers that stand in
    the code. What differs then is what the run decided, such as the side of a kink that an element is on, and numbers
    beside a kink may be rounded onto it."""
    if len(first) != len(second):
        return False
    for a, b in zip(first, second, strict=True):
        if a.operation is not b.operation or a.operands != b.operands:
            return False
        if a.operation.name != "constant":
            continue
        x, y = a.parameters["array"], b.parameters["array"]
        stands = not any(x.strides) and not any(y.strides) and x.size and y.size  # one number for all elements
        if stands and not np.isclose(x.flat[0], y.flat[0], rtol=ROUNDED, atol=0, equal_nan=True):
            return False
    return True


def same_lines(one: Captured, other: Captured) -> bool:
    """Whether both took the same branches: an edit of one is then an edit of the other."""
    first, second = (max((v.index for v in c.outputs), default=0) for c in (one, other))
    return first == second and all(
        a.operation is b.operation and a.operands == b.operands
        for a, b in zip(one.program.nodes[: first + 1], other.program.nodes[: first + 1], strict=True)
    )
