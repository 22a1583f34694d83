"""The pytest plugin: the fixture `backproof`, and a marker that makes one test item per probe.

    @pytest.mark.backproof(sizes=(2, 3, 1), loss="squared_error")
    def test_gradients(backproof):
        backproof(my_backprop)

Without the marker, one item covers all probes. A failure's text is the diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .verify import Report

MARKER = "backproof"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**options): verify a function's gradients, one item per probe; options of backproof.verify",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item per probe for a marked test that uses the fixture."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is not None and MARKER in metafunc.fixturenames:
        from .verify import BATCHES

        batches = BATCHES[marker.kwargs.get("cases", "standard")]
        networks = 1 if "sizes" in marker.kwargs else 2
        names = [f"probe-{network}-{number}" for network in range(networks) for number in range(len(batches))]
        metafunc.parametrize(MARKER, names, indirect=True)


@pytest.fixture
def backproof(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Call it with a function, and options of `backproof.verify`; it fails the test with the diagnosis."""
    probe: str | None = getattr(request, "param", None)
    marker = request.node.get_closest_marker(MARKER)
    declared: dict[str, Any] = {} if marker is None else dict(marker.kwargs)

    def check(function: Callable[..., Any], **options: Any) -> Report:
        from .verify import verify

        report = verify(function, **{**declared, **options})
        verdict = dict(report.probes).get(probe, report.verdict) if probe is not None else report.verdict
        if verdict in ("wrong", "unanswered") or (verdict == "suspect" and report.strict):
            pytest.fail(str(report), pytrace=False)
        return report

    return check
