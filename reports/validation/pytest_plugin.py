"""The pytest plugin: the fixture `backproof`, and a marker that declares conventions for it.

    @pytest.mark.backproof(sizes=(2, 3, 1), loss="squared_error")
    def test_gradients(backproof):
        backproof(my_backprop)

The test fails unless the whole report is ok, as `verify` says it; its text is the report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .front_door import Report

MARKER = "backproof"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**options): what the fixture of that name declares; options of backproof.verify",
    )


@pytest.fixture
def backproof(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Call it with a function, and options of `backproof.verify`; it fails the test with the diagnosis."""
    marker = request.node.get_closest_marker(MARKER)
    declared: dict[str, Any] = {} if marker is None else dict(marker.kwargs)

    def check(function: Callable[..., Any], **options: Any) -> Report:
        from ...reference.case import InvalidInput
        from .front_door import verify

        if marker is not None and marker.args:
            pytest.fail(f"@pytest.mark.{MARKER}: expected options by name, got {marker.args!r}", pytrace=False)
        try:
            report = verify(function, **{**declared, **options})
        except InvalidInput as error:
            pytest.fail(str(error), pytrace=False)
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return check
