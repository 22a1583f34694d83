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
    from ..any_network import RuleReport
    from ..documents import Report

MARKER = "backproof"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**options): what the fixture of that name declares; options of backproof.verify",
    )


@pytest.fixture
def backproof(request: pytest.FixtureRequest) -> Callable[..., Report | RuleReport]:
    """Call it with a function, and options of `backproof.verify`; it fails the test with the diagnosis.

    With a module, or any function of tensors or arrays, and inputs: it fails with the report of the rule check.
    """
    marker = request.node.get_closest_marker(MARKER)
    declared: dict[str, Any] = {} if marker is None else dict(marker.kwargs)

    def check(function: Callable[..., Any], inputs: Any = None, **options: Any) -> Report | RuleReport:
        from ...reference.case import InvalidInput
        from ...reference.programs import Unsupported
        from .front_door import verify

        if marker is not None and marker.args:
            pytest.fail(f"@pytest.mark.{MARKER}: expected options by name, got {marker.args!r}", pytrace=False)
        try:
            report: Report | RuleReport = verify(function, inputs, **{**declared, **options})
        except (InvalidInput, Unsupported) as error:
            pytest.fail(str(error), pytrace=False)
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return check
