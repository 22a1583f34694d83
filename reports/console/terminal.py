"""What commands share: showing a report, progress, and processes that end with this one, however it ends."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .escaping import printable_lines
from .wrapping import columns, fitted, table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor


def say(text: str) -> None:
    """A line on stdout; what a terminal would obey is shown instead."""
    sys.stdout.write(fitted(printable_lines(text), sys.stdout) + "\n")


def note(text: str) -> None:
    """A line on stderr, for the person who waits: no part of the report."""
    sys.stderr.write(fitted(printable_lines(text), sys.stderr) + "\n")
    sys.stderr.flush()


def show_table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> None:
    """A table as a report on stdout, at the width there."""
    show_report(table_of(rows, headers, columns(sys.stdout)))


class EndedBySignal(SystemExit):
    """SIGTERM or SIGHUP came. Raised where the program stands, so that it cleans up; the exit code is 128 + n."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise EndedBySignal in the body; a second one ends the process at once.

    Not where they are ignored, as under nohup, or handled already, nor in another thread than the main one.
    """
    import signal
    import threading

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise EndedBySignal(number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    handled = [number for number in known if main and signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def processes(jobs: int) -> Iterator[Executor]:
    """A pool of processes that end at once and without a word when this one does, even while they start.

    An interrupt, SIGTERM and SIGHUP end them, and they notice when this process is killed.
    """
    import signal
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import active_children, get_context

    # spawn, not fork: frameworks hold threads and locks that a forked child would inherit half-way
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=prepare_worker)
    with ended_by_signals(), pool as executor:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the processes inherit
        try:
            for _ in range(jobs):  # starts them all: each task a process, as none is idle yet
                executor.submit(int)
        finally:
            signal.signal(signal.SIGINT, handler)
        try:
            yield executor
        except (KeyboardInterrupt, EndedBySignal):
            for child in active_children():
                child.terminate()
            raise


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[str], None]]:
    """On stderr, a bar where that is a terminal; elsewhere a line now and then, for a log.

    Yields what to call with the name of each part as it is finished.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines_of_progress(total)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=total, rate="")

        def done(what: str) -> None:
            speed = bar.tasks[task].speed
            bar.update(task, advance=1, description=what, rate=f"{speed:.3g}/s" if speed else "")

        yield done


SECONDS_BETWEEN_LINES = 10.0


def lines_of_progress(total: int | None) -> Callable[[str], None]:
    """On stderr, a line every ten seconds: how many, how fast, how long yet. Returns what `progress` yields."""
    from time import monotonic

    started = last = monotonic()
    count = 0

    def done(what: str) -> None:
        nonlocal last, count
        count += 1
        now = monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last, rate = now, count / (now - started)
            left = "" if total is None else f" of {total}, {(total - count) / rate:.0f} s left"
            note(f"{count}{left}, {rate:.3g} per second: {what}")

    return done


def prepare_worker() -> None:
    """One thread each for arithmetic: the processes share the cores. And an end when there is nobody to work for."""
    from threading import Thread

    Thread(target=_end_with_parent, daemon=True).start()
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _end_with_parent() -> None:
    """kill -9 of the parent closes its end of a pipe; on every system."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_COLOURS = {
    "agrees": "green",
    "undecided": "yellow",
    "suspect": "bold yellow",
    "unanswered": "magenta",
    "unrecognised": "magenta",
    "wrong": "bold red",
}


def show_report(report: str, plain: bool = False) -> None:
    """The report on stdout; on a terminal wrapped between words and, if it wants them, with the verdicts in colour.

    plain: it is another view than a terminal's, which was escaped in its own way
    """
    report = report if plain else fitted(printable_lines(report), sys.stdout)
    if plain or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        sys.stdout.write(report)
        sys.stdout.flush()
        return
    from rich.console import Console
    from rich.text import Text

    text = Text(report.removesuffix("\n"))
    for verdict, style in _COLOURS.items():
        text.highlight_words([verdict], style)
    Console().print(text, soft_wrap=True)
