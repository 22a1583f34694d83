"""A limit on how long somebody else's function may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TimeUp(BaseException):
    """The time is up. Not an Exception: a function that catches those does not catch this."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises TimeUp in the body after so many seconds; None is no limit.

    By the interval timer of POSIX, in the main thread: it interrupts Python code at its next instruction. Elsewhere
    (Windows, other threads, a C function that never returns) it has no effect; `backproof verify` on the command line
    therefore runs the function in a process of its own.
    """
    if seconds is None or not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def up(*_: object) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
