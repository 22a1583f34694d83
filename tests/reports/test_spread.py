"""Work on any executor: each task once, whoever dies; processes, threads, and a real Dask scheduler with its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import InvalidInput
from backproof.reports.comparison.matrix import compare
from backproof.reports.journal import journal
from backproof.reports.spread import spread, workers
from backproof.reports.trials import selftest
from msgspec.structs import replace
from planted import CASES, NUMPY

NEEDS_DASK = pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
TASKS = {f"task {n}": (n,) for n in range(23)}


def squared(n: int) -> int:
    return n * n


def test_threads_give_what_one_gives() -> None:
    alone = list(spread(squared, TASKS, int))
    assert alone == [(task, n * n) for task, (n,) in TASKS.items()]
    for chunk in (1, 5, 100):
        with ThreadPoolExecutor(3) as executor:
            assert sorted(spread(squared, TASKS, int, executor, chunk=chunk)) == sorted(alone)


def test_threads_take_turns() -> None:
    """python-flint's precision is one for all threads: judging in two of them would not be safe."""
    inside: list[int] = []

    def one(n: int) -> int:
        inside.append(n)
        sleep(0.001)
        assert inside == [n], "another thread is at work"
        inside.clear()
        return n

    with ThreadPoolExecutor(4) as executor:
        assert len(list(spread(one, TASKS, int, executor))) == len(TASKS)


class Failing(Executor):
    """Two tasks are done; the third fails, if there is an error, and the others, too, or are never done."""

    def __init__(self, error: BaseException | None, all_fail: bool = False) -> None:
        self.error, self.all_fail, self.futures = error, all_fail, list[Future[Any]]()

    def submit(self, function: Any, /, *arguments: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if len(self.futures) < 2:
            future.set_result(function(*arguments))
        elif self.error and (len(self.futures) == 2 or self.all_fail):
            future.set_exception(self.error)
        self.futures.append(future)
        return future


class KilledWorker(Exception):
    """As Dask's is called."""


@pytest.mark.parametrize("error", [BrokenExecutor(), KilledWorker("task", "worker", 3), CancelledError()])
def test_a_death_is_said_in_a_line_after_what_was_done(error: Exception) -> None:
    found = spread(squared, TASKS, int, Failing(error, all_fail=True))
    assert sorted([next(found), next(found)]) == [("task 0", 0), ("task 1", 1)]
    with pytest.raises(InvalidInput, match=r"21 of 23 runs are lost: their processes died.* With --journal FILE"):
        next(found)
    told = dict(spread(squared, TASKS, int, Failing(error, all_fail=True), lost=lambda task: -1))
    assert [told[task] for task in TASKS] == [0, 1] + [-1] * 21


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_what_a_task_raises_raises_here_and_cancels_the_rest(error: BaseException) -> None:
    executor = Failing(error)
    with pytest.raises(type(error)):
        list(spread(squared, TASKS, int, executor))
    assert executor.futures[-1].cancelled()


def test_who_stops_listening_cancels_the_rest() -> None:
    executor = Failing(None)
    found = spread(squared, TASKS, int, executor)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in executor.futures] == [False] * 2 + [True] * 21


# ------------------------------------------------------------------------------------ Dask


@contextmanager
def dask(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "dask", *arguments], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def cluster(folder: Path, count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler's address, and its workers: processes of their own."""
    import json
    from contextlib import ExitStack

    described = folder / "scheduler.json"
    with ExitStack() as stack:
        at = ("--scheduler-file", str(described))
        stack.enter_context(dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", *at))
        await_(described.exists)
        started = [
            stack.enter_context(
                dask("worker", *at, "--no-nanny", "--nthreads", "2", "--no-dashboard", "--local-directory", str(folder))
            )
            for _ in range(count)
        ]
        yield json.loads(described.read_text())["address"], started


def await_(condition: Callable[[], bool]) -> None:
    while not condition():
        sleep(0.05)


@NEEDS_DASK
@pytest.mark.usefixtures("slow")
def test_a_dask_worker_killed_in_mid_run_loses_nothing_and_nothing_counts_twice(tmp_path: Path) -> None:
    tasks = {str(number): (number, ["plain", "numpy"]) for number in range(60)}
    wanted = dict(spread(selftest.try_one, tasks, selftest.Trial))
    found: list[tuple[str, selftest.Trial]] = []
    with cluster(tmp_path, 2) as (address, started), workers(0, address) as executor:
        await_(lambda: len(executor._client.scheduler_info()["workers"]) == 2)  # type: ignore[attr-defined]
        for each in spread(selftest.try_one, tasks, selftest.Trial, executor):
            found.append(each)
            if len(found) == 10:
                started[0].send_signal(signal.SIGKILL)
        assert started[0].poll() == -signal.SIGKILL
        assert started[1].poll() is None
    assert sorted(task for task, _ in found) == sorted(tasks), "nothing lost, nothing twice"
    assert dict(found) == wanted


@NEEDS_DASK
@pytest.mark.usefixtures("slow")
def test_the_matrix_on_dask_is_that_of_one_process(tmp_path: Path) -> None:
    here = compare(CASES, [known_adapters()["plain"], NUMPY])
    with cluster(tmp_path, 1) as (address, _), workers(0, address) as executor:
        there = compare(CASES, [known_adapters()["plain"], NUMPY], executor=executor)
    assert [replace(run, seconds=None) for run in there.runs] == [replace(run, seconds=None) for run in here.runs]
    assert there.environment.command == here.environment.command


@NEEDS_DASK
@pytest.mark.usefixtures("slow")
def test_a_scheduler_that_is_lost_or_has_no_worker_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backproof.reports import spread as module

    monkeypatch.setattr(module, "SECONDS_TO_ANSWER", 1)
    for address, said in (("tcp://127.0.0.1:9", "no scheduler answers"), ("nowhere", "expected an address")):
        with pytest.raises(InvalidInput, match=said), workers(0, address):
            pass
    with (
        cluster(tmp_path, 0) as (address, _),
        pytest.raises(InvalidInput, match="it has no worker. `dask worker"),
        workers(0, address),
    ):
        pass


@NEEDS_DASK
@pytest.mark.usefixtures("slow")
def test_a_scheduler_that_dies_in_mid_run_is_said_and_what_was_done_is_kept(tmp_path: Path) -> None:
    tasks = {f"task {n}": (0.2,) for n in range(200)}
    with (
        cluster(tmp_path, 1) as (address, _),
        workers(0, address) as executor,
        journal(tmp_path / "journal", False, {}) as kept,
    ):
        found = spread(sleep, tasks, None, executor, kept)
        next(found)
        pid = executor._client.run_on_scheduler(os.getpid)  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(InvalidInput, match="runs are lost: .* the scheduler did. --resume does them again"):
            list(found)
    with journal(tmp_path / "journal", True, {}) as kept:
        assert 0 < len(kept.runs) < 200


@NEEDS_DASK
@pytest.mark.usefixtures("slow")
def test_a_worker_of_other_versions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(tmp_path, 1) as (address, _):
        here = {**known_adapters(), "numpy": known_adapters()["torch"]}
        monkeypatch.setattr("backproof.adapters.adapter.known_adapters", lambda: here)
        with pytest.raises(InvalidInput, match=r"has numpy .*; here is .*\. Install the same"), workers(0, address):
            pass


def test_without_dask_the_pip_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidInput, match=r"pip install 'backproof\[distributed\]'"), workers(0, "tcp://host:1"):
        pass
