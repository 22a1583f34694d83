"""Declarations that several doors take, checked once; what makes no sense is refused in words."""

from __future__ import annotations

import math
from typing import Any

from ...reference.case import InvalidInput

LEARNING_RATE = 0.5  # where none is declared: a power of two, so that the product with a gradient is exact


def declared_learning_rate(given: Any) -> float:
    """A learning rate, or the default for None. Raises InvalidInput."""
    if given is None:
        return LEARNING_RATE
    if not _is_number(given) or not math.isfinite(given) or given <= 0:
        raise InvalidInput(f"learning_rate: expected a positive finite number, got {given!r}.")
    return float(given)


def declared_timeout(given: Any) -> float | None:
    """Seconds; None, as infinity, for no limit. Raises InvalidInput."""
    if given is None:
        return None
    if not _is_number(given) or not given > 0:
        raise InvalidInput(f"timeout: expected seconds, a number above 0, or None for no limit; got {given!r}.")
    return None if math.isinf(given) else float(given)


def declared_batch(given: Any) -> int | None:
    """Samples per probe; None for several sizes. Raises InvalidInput."""
    if given is not None and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise InvalidInput(f"batch: expected a positive whole number, or None for several; got {given!r}.")
    return given


def _is_number(given: Any) -> bool:
    return isinstance(given, (int, float)) and not isinstance(given, bool)
