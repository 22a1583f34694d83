"""The pytest plugin: the fixture `backproof`, and a marker that declares conventions for it.

    @pytest.mark.backproof(sizes=(2, 3, 1), loss="squared_error")
    def test_gradients(backproof):
        backproof(my_backprop)

The test fails unless the whole report is ok, as `verify` says it; its text is the report: one bug is one failure, in
however many probes it shows. With --backproof-each every probe is a subtest besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..any_network import RuleAndNumbers, RuleReport
    from ..documents import Report

MARKER = "backproof"


def pytest_addoption(parser: pytest.Parser) -> None:
    """One bug is one failure; who wants to see every probe asks for it."""
    parser.addoption(
        "--backproof-each", action="store_true", help="with the fixture `backproof`: each probe as a subtest as well"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(**options): what the fixture of that name declares; options of backproof.verify",
    )


@pytest.fixture
def backproof(request: pytest.FixtureRequest) -> Callable[..., Report | RuleReport | RuleAndNumbers]:
    """Call it with a function, and options of `backproof.verify`; it fails the test with the diagnosis.

    With a module, or any function of tensors or arrays, and inputs: it fails with the report of the rule check.
    """
    marker = request.node.get_closest_marker(MARKER)
    declared: dict[str, Any] = {} if marker is None else dict(marker.kwargs)

    def check(function: Callable[..., Any], inputs: Any = None, **options: Any) -> Report | RuleReport | RuleAndNumbers:
        from ...reference.case import InvalidInput
        from ...reference.programs import Unsupported
        from .front_door import verify

        if marker is not None and marker.args:
            pytest.fail(f"@pytest.mark.{MARKER}: expected options by name, got {marker.args!r}", pytrace=False)
        wanted = {**declared, **options}
        try:
            report: Report | RuleReport | RuleAndNumbers = verify(function, inputs, **wanted)
        except (InvalidInput, Unsupported) as error:
            pytest.fail(str(error), pytrace=False)
        if request.config.getoption("--backproof-each"):
            _each(request, report)
        if not report.ok:
            pytest.fail(str(report), pytrace=False)
        return report

    return check


def _each(request: pytest.FixtureRequest, report: Report | RuleReport | RuleAndNumbers) -> None:
    """A subtest for each probe, which fails where it is wrong."""
    if not request.config.pluginmanager.hasplugin("subtests"):
        pytest.fail("--backproof-each: needs pytest 9 or newer, or pytest-subtests", pytrace=False)
    subtests = request.getfixturevalue("subtests")
    for name, verdict in report.rows():
        with subtests.test(name):
            if verdict == "wrong":
                pytest.fail(report.text.partition("\n")[0], pytrace=False)
