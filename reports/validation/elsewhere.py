"""Do further probes bear out what explains the generic ones? A name is of all numbers, or it is said where not."""

from __future__ import annotations

import math

import numpy as np

from ...reference.case import Case
from ...reference.diagnosis import ARRAYS, Convention, Diagnosis, Evidence, Prediction
from ...reference.judging import Observation, as_matrix
from ...reference.judging import observed as shown
from ...reference.numbers import PROFILES
from .following import evidence_under, suits

NAMED = 3  # kinds of data


def elsewhere(diagnosis: Diagnosis, convention: Convention, further: Evidence) -> list[str]:
    """What is said where further probes of as many layers refute an explanation of the generic ones."""
    predictions = [e.prediction for e in diagnosis.explanations[:1] if e.prediction is not None]
    alike = [pair for pair in further if len(pair[0].layers) == len(convention.activations)]
    asked = evidence_under(convention, [pair for pair in alike if suits(convention, [pair])])
    refuting = [case for prediction in predictions for case, o in asked if _refutes(prediction, case, o)]
    if not refuting:
        return []
    kinds = list(dict.fromkeys(case.note or "other generic numbers" for case in refuting))
    named = ", ".join(kinds[:NAMED]) + ", …" * (len(kinds) > NAMED)
    return [f"not so on {len(refuting)} of {len(asked)} further probes ({named}): there it is something else, or more."]


def _refutes(prediction: Prediction, case: Case, observation: Observation) -> bool:
    """Whether the numbers are others than predicted, beyond half of the format's digits: a constant is fitted, and far
    out roundings are large. What is not finite refutes nothing: a mistake may overflow there.
    """
    with np.errstate(all="ignore"):
        try:
            predicted = prediction(case, ARRAYS) or {}
        except (LookupError, ArithmeticError, TypeError, ValueError):
            return False  # it was read off other networks, and has no meaning for the shapes of this one
        pairs = [(as_matrix(place, x).astype(float), np.asarray(predicted[place])) for place, x in shown(observation)]
        size = max((float(np.abs(wanted).max(initial=0.0)) for _, wanted in pairs), default=0.0)
        off = max((float(np.abs(got - wanted).max(initial=0.0)) for got, wanted in pairs), default=0.0)
    unit = PROFILES[observation.precision].storage.unit_roundoff
    return math.isfinite(off) and math.isfinite(size) and off > math.sqrt(unit) * size
