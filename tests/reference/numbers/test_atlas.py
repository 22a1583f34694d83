"""The accuracy atlas: what was measured, and what the judge allows because of it."""

from __future__ import annotations

from datetime import date

import pytest
from backproof.reference.activations import ACTIVATIONS
from backproof.reference.numbers.atlas import (
    ATLAS_FILE,
    EXACT,
    GROSS,
    MARGIN,
    campaigns,
    decoded,
    encoded,
    gross,
    recorded,
    ulps,
)
from backproof.reference.numbers.precision import FLOAT64, PRECISIONS, TF32, Precision

FUNCTIONS = sorted({m.function for m in recorded()})
LATER = {  # measured since, on another processor than the AVX-512 one
    "erf", "expm1", "gelu_gate", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh",
    "erfc", "erfinv", "cbrt", "pow",
}  # fmt: skip
LACKING = {("erfc", "numpy"), ("erfinv", "numpy"), ("erfinv", "plain"), ("cbrt", "torch")}


def test_every_activation_and_function_was_measured_in_every_format() -> None:
    assert {*ACTIVATIONS, "exp", "log", "log1p", *LATER} - {*EXACT} == set(FUNCTIONS)
    assert {(m.function, m.precision) for m in recorded()} == {(f, p) for f in FUNCTIONS for p in PRECISIONS}
    assert {m.adapter for m in recorded()} == {"plain", "numpy", "torch", "jax"}
    assert all(m.version and m.arguments > 3900 for m in recorded())


def test_it_was_measured_at_every_level_from_sse_to_avx_512() -> None:
    assert {c.simd for c in campaigns()} >= {"SSE4.2", "AVX2", "AVX-512"}
    for campaign in campaigns():
        assert campaign.processor
        assert date.fromisoformat(campaign.date) >= date(2026, 11, 24)
        then = set(FUNCTIONS) - (LATER if campaign.simd == "AVX-512" else set())
        assert {(m.function, m.adapter) for m in campaign.measurements} == {
            (function, adapter) for function in then for adapter in campaign.versions
        } - LACKING


def test_what_is_recorded_is_read_again() -> None:
    assert ATLAS_FILE.read_text(encoding="utf-8") == encoded(campaigns())
    assert decoded(encoded(campaigns())) == campaigns()


@pytest.mark.parametrize("precision", PRECISIONS.values(), ids=lambda p: p.name)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_k_is_twice_what_was_measured_without_the_findings(function: str, precision: Precision) -> None:
    name = precision.name
    honest = [m.ulps for m in recorded() if (m.function, m.precision) == (function, name) and m.ulps <= GROSS]
    assert MARGIN * max(honest) <= ulps(function, precision) < MARGIN * max(honest) + 1


def test_gross_inaccuracies_are_findings_and_not_allowed_for() -> None:
    found = [(m.adapter, m.version, m.function, m.precision) for m in gross()]
    assert ("torch", "softplus", "float64") in {(adapter, *rest) for adapter, _, *rest in found}
    assert len(set(found)) == len(found), "once each, whatever the number of processors"
    assert all(
        m.ulps
        == max(
            o.ulps
            for o in recorded()
            if (o.function, o.adapter, o.version, o.precision) == (m.function, m.adapter, m.version, m.precision)
        )
        for m in gross()
    )
    assert ulps("softplus", FLOAT64) < GROSS


def test_exact_functions_have_no_error_and_unmeasured_ones_are_refused() -> None:
    assert ulps("relu", FLOAT64) == 0
    with pytest.raises(KeyError, match=r"zeta in float64 is not in atlas\.json"):
        ulps("zeta", FLOAT64)
    with pytest.raises(KeyError, match="tanh in tf32"):
        ulps("tanh", TF32)
