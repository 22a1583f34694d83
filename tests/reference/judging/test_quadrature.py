"""The rule that integrates along paths: exact for polynomials, and its noise is what its fit leaves."""

from __future__ import annotations

import math

import pytest

np = pytest.importorskip("numpy")

from backproof.reference.judging.quadrature import (
    DEVIATIONS,
    FREEDOM,
    GAUSS,
    INNER,
    KRONROD,
    LEAST_FREEDOM,
    NODES,
    NORM,
    integral,
    unexplained,
)


def test_the_rules_are_exact_for_the_polynomials_that_they_promise() -> None:
    for degree in range(23):
        exact = 1 / (degree + 1)
        assert float(KRONROD @ NODES**degree) == pytest.approx(exact, abs=1e-15)
        if degree < 14:
            assert float(GAUSS @ NODES**degree) == pytest.approx(exact, abs=1e-15)
    assert len(INNER) == 15


def test_one_jump_is_covered_by_what_the_fit_leaves_wherever_it_is() -> None:
    """In one of three sides, the others of which are smooth, so that all degrees of freedom are against it."""
    worst = 0.0
    for place in np.linspace(0, 1, 4002)[1:-1]:
        values = (place < NODES).astype(float)
        error = abs(float(KRONROD @ values) - (1 - place))
        worst = max(worst, error / (unexplained(values) / math.sqrt(LEAST_FREEDOM) * NORM))
    assert 2 < worst < 2.7 < DEVIATIONS / 3


def test_the_deviations_allowed_are_student_s_for_a_budget_of_one_in_a_billion() -> None:
    n = LEAST_FREEDOM
    scale = math.gamma((n + 1) / 2) / math.gamma(n / 2) / math.sqrt(n * math.pi)
    s = np.linspace(0, 1, 100_001)[1:]  # t = DEVIATIONS / s
    density = scale * (1 + (DEVIATIONS / s) ** 2 / n) ** (-(n + 1) / 2) * DEVIATIONS / s**2
    assert 0.8e-9 < 2 * float(np.trapezoid(density, s)) < 1e-9


def test_the_noise_is_measured_by_what_the_fit_leaves() -> None:
    rng = np.random.default_rng(0)
    samples, noise = 500, 1e-6
    found = [
        integral(np.sin(NODES) + noise * rng.standard_normal(len(NODES)), np.ones(len(NODES)), 1.0, 0.0).residual ** 2
        for _ in range(samples)
    ]
    # a root mean square of n normal numbers is off by 1/√(2n) of itself, as a standard deviation: five of these
    assert abs(math.sqrt(np.mean(found) / FREEDOM) / noise - 1) < 5 / math.sqrt(2 * samples * FREEDOM)
