"""The accuracy atlas: how many ulps the elementary functions of real frameworks are off. Standard library only.

`atlas.json` holds what `backproof adapters --accuracy` measured against certified balls: for each framework, format and
function the largest error in units in the last place, where it is, and the versions and the day of the measurement.
The judge allows every implementation `MARGIN` times the largest of them, findings left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .precision import Precision

ATLAS_FILE = Path(__file__).with_name("atlas.json")

MARGIN = 2  # a finite sample does not meet the worst argument, and other libraries round differently
GROSS = 64  # ulps; a function further off than this is inaccurate, a finding to report and not an error to allow for
EXACT = ("identity", "relu")  # they return their argument or zero


@dataclass(frozen=True)
class Measurement:
    """One function of one framework in one format: the largest error found, in ulps, and the argument it is at."""

    adapter: str
    version: str
    precision: str
    function: str
    ulps: float
    at: float
    arguments: int

    @property
    def gross(self) -> bool:
        """Too far off to be rounding: a finding."""
        return not self.ulps <= GROSS


@cache
def recorded() -> tuple[Measurement, ...]:
    """The measurements that the judge's K come from."""
    return tuple(Measurement(**entry) for entry in _document()["measurements"])


def recorded_on() -> str:
    """The day of the recorded measurement, ISO 8601."""
    day: str = _document()["date"]
    return day


@cache
def ulps(function: str, precision: Precision) -> float:
    """K: how far from the exact result an honest implementation of the function may be, in ulps of the format.

    Raises KeyError for a function that was never measured: measure it with `backproof adapters --accuracy`.
    """
    if function in EXACT:
        return 0.0
    largest = [
        measured.ulps
        for measured in recorded()
        if (measured.function, measured.precision) == (function, precision.name) and not measured.gross
    ]
    if not largest:
        raise KeyError(f"{function} in {precision.name} is not in {ATLAS_FILE.name}")
    return float(math.ceil(MARGIN * max(largest)))


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ATLAS_FILE.read_text(encoding="utf-8"))
    return document
