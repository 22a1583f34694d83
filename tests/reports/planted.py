"""Adapters that do wrong in one way each, and the cases that tests of reports run them on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from backproof.adapters.adapter import Adapter, known_adapters
from backproof.adapters.numpy_vectorised import observe
from backproof.reference.case import Case
from backproof.reference.judging.observation import Observation
from standard import CASES as STANDARD

CASES = [
    case
    for case in STANDARD.values()
    if case.dtype in ("float64", "float32") and case.name in ("xor-hidden", "hidden-tanh", "weights-of-1e30")
]
NUMPY = known_adapters()["numpy"]


def doubled(case: Case) -> Observation:
    """The deltas are right; every weight gradient of the first layer is twice what it should be."""
    honest = observe(case)
    first, *rest = honest.weight_gradients or ()
    assert first is not None
    return replace(honest, adapter="doubled", weight_gradients=(2 * first, *rest))


def infinite(case: Case) -> Observation:
    honest = observe(case)
    return replace(honest, adapter="infinite", loss=np.array(np.inf, case.dtype))


def raises(case: Case) -> Observation:
    raise RuntimeError("the device is on fire\nand a second line")


def dies(case: Case) -> Observation:
    import os

    os._exit(7)


def planted(name: str, run: Any) -> Adapter:
    return Adapter(name, "planted", package=None, run=run)
