"""The accuracy atlas: how many ulps the elementary functions of real frameworks are off. Standard library only.

`atlas.json` holds what `python -m backproof.reports.trials.accuracy` measured against certified balls, a campaign for
each processor and SIMD level: for each framework, format and function the largest error in units in the last place,
where it is, and the versions and the day. The judge allows every implementation `MARGIN` times the largest of all,
findings left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Campaign:
    """What was measured on one processor at one SIMD level.

    date: ISO 8601;  processor: as the system names it;  simd: such as AVX2
    """

    date: str
    processor: str
    simd: str
    measurements: tuple[Measurement, ...]

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the frameworks, by adapter."""
        return {m.adapter: m.version for m in self.measurements}


@cache
def campaigns() -> tuple[Campaign, ...]:
    """All that is recorded."""
    return decoded(ATLAS_FILE.read_text(encoding="utf-8"))


@cache
def recorded() -> tuple[Measurement, ...]:
    """The measurements that the judge's K come from."""
    return tuple(measured for campaign in campaigns() for measured in campaign.measurements)


@cache
def gross() -> tuple[Measurement, ...]:
    """The findings, each where it was largest: one for each framework, version, format and function."""
    largest: dict[tuple[str, ...], Measurement] = {}
    for m in recorded():
        key = (m.adapter, m.version, m.precision, m.function)
        if m.gross and (key not in largest or m.ulps > largest[key].ulps):
            largest[key] = m
    return tuple(largest.values())


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


def encoded(campaigns: Sequence[Campaign]) -> str:
    """The text of `atlas.json`, a line for each measurement."""
    document = {
        "about": "[largest error found in ulps, its argument, arguments tried]: python -m backproof.reports.trials.accuracy",  # noqa: E501
        "campaigns": [_encoded(campaign) for campaign in campaigns],
    }
    return re.sub(r"\[\s+([^\[\]{]*?),\s+(.*?),\s+(.*?)\s+\]", r"[\1, \2, \3]", json.dumps(document, indent=1)) + "\n"


def _encoded(campaign: Campaign) -> dict[str, Any]:
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for m in campaign.measurements:
        found.setdefault(m.adapter, {}).setdefault(m.precision, {})[m.function] = [m.ulps, m.at, m.arguments]
    return {
        "date": campaign.date,
        "processor": campaign.processor,
        "simd": campaign.simd,
        "versions": campaign.versions,
        "ulps": found,
    }


def _decoded(campaign: dict[str, Any]) -> Campaign:
    measurements = [
        Measurement(adapter, campaign["versions"][adapter], precision, function, ulps, at, arguments)
        for adapter, precisions in campaign["ulps"].items()
        for precision, functions in precisions.items()
        for function, (ulps, at, arguments) in functions.items()
    ]
    return Campaign(campaign["date"], campaign["processor"], campaign["simd"], tuple(measurements))


def decoded(text: str) -> tuple[Campaign, ...]:
    """What a text such as `atlas.json`'s records."""
    return tuple(_decoded(campaign) for campaign in json.loads(text)["campaigns"])
