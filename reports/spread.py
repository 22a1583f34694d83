"""Work spread over any `concurrent.futures` executor: each task done once, wherever; and kept in a journal, if there is
one. The executors that commands offer: processes of this machine, or the workers of a Dask scheduler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from ..reference.case import InvalidInput
from .console import processes

if TYPE_CHECKING:
    from .journal import Journal

T = TypeVar("T")

DIED = "the process that ran this case, or one beside it, died"


def spread(
    one: Callable[..., T],
    tasks: Mapping[str, tuple[Any, ...]],
    kind: Any,
    executor: Executor | None = None,
    journal: Journal | None = None,
    chunk: int = 1,
    lost: Callable[[str], T] | None = None,
) -> Iterator[tuple[str, T]]:
    """`one` of each task, with the task's name: first those that the journal has, then the others as they finish.

    one: is sent to the executor by its name, with a task's arguments
    kind: of what it returns, in a form that msgspec reads, for the journal
    executor: any; None runs here, one task after the other
    chunk: so many tasks are sent at a time
    lost: what becomes of a task whose process died; it is not put into the journal. None: InvalidInput is raised when
        the others are done

    Where the caller stops, or is interrupted, what has not begun is cancelled. A task that raises, raises here.
    """
    known = {} if journal is None else {task: journal.runs[task] for task in tasks if task in journal.runs}
    for task, run in known.items():
        assert journal is not None
        yield task, journal.read(run, kind)
    left = [task for task in tasks if task not in known]
    dead = 0
    for done, results in _finished(one, tasks, [left[k : k + chunk] for k in range(0, len(left), chunk)], executor):
        for k, task in enumerate(done):
            if results is not None:
                if journal is not None:
                    journal.add(task, results[k])
                yield task, results[k]
            elif lost is not None:
                yield task, lost(task)
            else:
                dead += 1
    if dead:
        raise InvalidInput(_said_of_death(dead, len(tasks), journal))


def _finished(
    one: Callable[..., T], tasks: Mapping[str, tuple[Any, ...]], chunks: Sequence[list[str]], executor: Executor | None
) -> Iterator[tuple[list[str], list[T] | None]]:
    """Each chunk and its results, as they come; None where its process died."""
    if executor is None:
        for chunk in chunks:
            for task in chunk:
                yield [task], [one(*tasks[task])]
        return
    futures = {executor.submit(_several, one, [tasks[task] for task in chunk]): chunk for chunk in chunks}
    try:
        for future in as_completed(futures):
            try:
                results = future.result()
            except Exception as error:
                if not _died(error):
                    raise
                results = None
            yield futures[future], results
    except BaseException:
        _cancel(executor, futures)
        raise


def _cancel(executor: Executor, futures: Iterable[Future[Any]]) -> None:
    if isinstance(executor, ProcessPoolExecutor):  # whose thread cannot bear a cancelled task when its processes end
        executor.shutdown(wait=False, cancel_futures=True)
    else:
        for future in futures:
            future.cancel()


# Neither warnings' filters nor python-flint's precision belong to a thread: an executor's threads take turns.
_ONE_AT_A_TIME = Lock()


def _several(one: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> list[T]:
    """For one worker."""
    with _ONE_AT_A_TIME:
        return [one(*task) for task in tasks]


def _died(error: Exception) -> bool:
    """Whether it is the process that failed, not the task. KilledWorker is Dask's, imported only where it is used."""
    return isinstance(error, BrokenExecutor | CancelledError) or type(error).__name__ == "KilledWorker"


def _said_of_death(dead: int, count: int, journal: Journal | None) -> str:
    what = f"{dead} of {count} runs are lost: their processes died, perhaps for want of memory, or the scheduler did. "
    return what + ("--resume does them again." if journal else "With --journal FILE, --resume does only these again.")


def workers(jobs: int, scheduler: str | None = None) -> AbstractContextManager[Executor]:
    """So many processes here; or, with a scheduler's address, Dask's workers, which may come and go meanwhile.

    A worker that dies is no loss: the scheduler gives its tasks to another. Raises InvalidInput where no scheduler
    answers, where it has no worker, or one with other versions than there are here.
    """
    return processes(jobs) if scheduler is None else _of_dask(scheduler)


SECONDS_TO_ANSWER = 10


@contextmanager
def _of_dask(scheduler: str) -> Iterator[Executor]:
    from ..adapters.protocol import printable

    where = f"--scheduler {printable(scheduler)}"
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ImportError:
        raise InvalidInput("--scheduler: Dask is not installed: pip install 'backproof[distributed]'.") from None
    try:
        get_address_host_port(scheduler, strict=True)  # a client of no address would wait for it once more as it ends
    except ValueError:
        raise InvalidInput(f"{where}: expected an address such as tcp://10.0.0.1:8786.") from None
    try:
        client = Client(scheduler, timeout=SECONDS_TO_ANSWER, set_as_default=False)
    except OSError as error:
        said = " ".join(str(error).split())
        raise InvalidInput(
            f"{where}: no scheduler answers ({said}). `dask scheduler` starts one, and says its address."
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what ends a run is said here
    with client:
        _check_workers(client, where, scheduler)
        yield client.get_executor(pure=False)


def _check_workers(client: Any, where: str, scheduler: str) -> None:
    """Raises InvalidInput unless there are workers, and what matters is of the same versions there as here."""
    from .journal import versions

    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
    except TimeoutError:
        raise InvalidInput(f"{where}: it has no worker. `dask worker {scheduler}` starts one.") from None
    here = versions()
    for worker, there in client.run(versions, on_error="return").items():
        if isinstance(there, Exception):
            raise InvalidInput(
                f"{where}: worker {worker} has no backproof like this one ({type(there).__name__}: {there})."
            )
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                ours, theirs = here.get(name, "none"), there.get(name, "none")
                raise InvalidInput(f"{where}: worker {worker} has {name} {theirs}; here is {ours}. Install the same.")
