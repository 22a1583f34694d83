"""What tests share: the adapters to test. A missing framework skips its tests, unless the environment demands it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Generator
from importlib.util import find_spec
from typing import Any

import pytest

# What this run may not go without: set by tox, so that an environment named "torch" cannot pass without PyTorch.
REQUIRED = tuple(filter(None, os.environ.get("BACKPROOF_TEST_REQUIRES", "").split(",")))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what a developer's inner loop leaves out")


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether slow tests are to be left out."""
    return not request.config.getoption("--slow")


@pytest.fixture
def slow(quick: bool) -> None:
    """For a test that a developer's quick run leaves out, where quicker ones look at the same."""
    if quick:
        pytest.skip(SLOW)


@pytest.fixture
def sampled(quick: bool) -> Callable[[int, int], None]:
    """Call it with a test's number and n: a developer's quick run takes every n-th and skips the others."""

    def skip_unless_sampled(number: int, every: int) -> None:
        if quick and number % every:
            pytest.skip(SLOW)

    return skip_unless_sampled


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [] if config.getoption("--slow") else ["quick tests: --slow runs all of them, as tox does once"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is slow and what `sampled` leaves out. A case that is named on the command line is the only one,
    and runs; slow tests alone are told that they are."""
    slow = config.getoption("--slow") or all("slow" in getattr(item, "fixturenames", ()) for item in items)
    cases = Counter(item.nodeid.partition("[")[0] for item in items)
    numbers: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        every, first = 1, 0
        if cases[test] > 1 and (marker := item.get_closest_marker("sampled")):
            every, first = (*marker.args, 0)[:2]
            every = marker.kwargs.get("slow", 1) if slow else every
        left_out = not slow and "slow" in getattr(item, "fixturenames", ())
        (left if left_out or (numbers[test] - first) % every else kept).append(item)
        numbers[test] += not left_out
    items[:] = kept
    config.hook.pytest_deselected(items=left)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call it with a command's arguments: it runs in this process, as starting Python costs more than most commands."""
    from commands import in_process

    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = in_process(monkeypatch, *arguments)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


SLOW = "slow: tox runs it, and so does pytest --slow"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "sampled(n, first=0, slow=1): of its cases, quick runs take this one and every n-th, slow ones every slow-th",
    )
    # A shell's background jobs ignore Ctrl-C, under nohup the end of a session too, and so would the processes whose
    # answer to these is tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if find_spec("hypothesis"):
        from hypothesis import settings

        # no deadline: it would be a claim about speed, which a busy machine refutes; and the same examples everywhere
        examples = 100 if config.getoption("--slow") else 10
        settings.register_profile("backproof", deadline=None, max_examples=examples, derandomize=True)
        settings.load_profile("backproof")
    absent = [package for package in REQUIRED if find_spec(package) is None]
    if absent:
        raise pytest.UsageError(f"BACKPROOF_TEST_REQUIRES names packages that are not installed: {', '.join(absent)}")


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    """Without F16C (or held to SSE4.2), JAX has no float16, and says so in its ways: nothing can be tested of it there."""
    try:
        return (yield)
    except Exception as error:
        if type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError") and any(w in str(error) for w in NO_FLOAT16):
            from backproof.reports.documents.processor import simd

            if simd() == "SSE4.2" or "SSE4_2" in os.environ.get("XLA_FLAGS", ""):
                pytest.skip("JAX has no float16 on a processor without F16C, or held to SSE4.2")
        raise


NO_FLOAT16 = ("Failed to materialize symbols", "Failed to find compiled symbol for kernel convert")

ADAPTERS = [
    pytest.param("plain"),
    pytest.param("numpy"),
    pytest.param("torch", marks=needs("torch")),
    pytest.param("jax", marks=needs("jax")),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `adapter_name` runs once for each of our adapters."""
    if "adapter_name" in metafunc.fixturenames:
        metafunc.parametrize("adapter_name", ADAPTERS)
