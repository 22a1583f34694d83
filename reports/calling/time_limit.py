"""A limit on how long somebody else's function may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .declared import declared_timeout

LONGEST = 10.0**8  # seconds, three years: what every system's timer takes
AGAIN = 0.05  # seconds until what has caught TimeUp gets another


class TimeUp(BaseException):
    """The time is up. Not an Exception: a function that catches those does not catch this."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeUp in the body after so many seconds, and again if that is caught; None is no limit.

    By the interval timer of POSIX, in the main thread: it interrupts Python code at its next instruction. Elsewhere
    (Windows, other threads, a C function that never returns) it has no effect; `isolated=True` and the command line
    therefore run the function in a process of its own, which is killed.

    Raises InvalidInput for a number that is no time.
    """
    seconds = declared_timeout(seconds)
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def up(*_: object) -> None:
        if running:
            raise TimeUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST), AGAIN)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
