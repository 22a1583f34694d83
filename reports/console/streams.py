"""stdout and stderr as they may be: closed, full, with nobody who reads, or in an encoding of a few letters.

What cannot be delivered on stdout is `Undeliverable`, which is no OSError: typer and rich have exits of their own for
those. What cannot be said on stderr is dropped, as there is nowhere left to say so.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

LEGIBLE = "backproof.legible"  # the name of the error handler

# What an encoding without them shows in their place; most are as wide, so that tables stay tables.
IN_ASCII = {
    **dict.fromkeys("─━═╴╶╌┄", "-"), **dict.fromkeys("│┃║╷╵", "|"), **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯╞╡╪┏┓┗┛┡┩╇", "+"),
    "×": "x", "·": "-", "–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "±": "+-",
    "½": "1/2", "²": "^2", "“": '"', "”": '"', "‘": "'", "’": "'", "Σ": "sum", "σ": "sigma", "δ": "delta", "∂": "d",
    "∞": "inf", "\xa0": " ",
}  # fmt: skip


class Undeliverable(Exception):
    """The report cannot be written to stdout."""

    def __init__(self, error: OSError | None) -> None:
        super().__init__("it is closed" if error is None else str(error.strerror or error))
        self.unread = error is not None and error.errno in (errno.EPIPE, errno.ESHUTDOWN)


def _legible(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(IN_ASCII.get(c, c.encode("ascii", "backslashreplace").decode()) for c in missing), error.end


codecs.register_error(LEGIBLE, _legible)


class Stream:
    """A text stream whose writes end in Undeliverable, or, where `dropped`, in nothing; the rest is the stream's own.

    stream: None where it is closed
    """

    def __init__(self, stream: TextIO | None, dropped: bool) -> None:
        self._stream, self._dropped = stream, dropped

    def write(self, text: str) -> int:
        """How many characters were written."""
        if self._stream is None:
            return self._failed(None, len(text))
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: closed
            return self._failed(error if isinstance(error, OSError) else None, len(text))

    def flush(self) -> None:
        """Deliver what is still held."""
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._failed(error if isinstance(error, OSError) else None, 0)

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        if self._stream is None and name in ("encoding", "errors"):
            return {"encoding": "utf-8", "errors": LEGIBLE}[name]
        return getattr(self._stream, name)

    def _failed(self, error: OSError | None, length: int) -> int:
        if self._stream is not None:
            _discard(self._stream)
        if self._dropped:
            return length
        raise Undeliverable(error)


def _discard(stream: TextIO) -> None:
    """What the stream still holds goes nowhere: Python would try again, and complain, as it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    with suppress(OSError, ValueError):
        stream.flush()


@contextmanager
def guarded_streams() -> Iterator[None]:
    """In the body, sys.stdout and sys.stderr are such streams, and encode what they can, legibly what they cannot."""
    _occupy_standard_descriptors()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=LEGIBLE)
    # typed as text streams always, but Python sets None for closed ones
    sys.stdout = cast("TextIO", Stream(cast("TextIO | None", before[0]), dropped=False))
    sys.stderr = cast("TextIO", Stream(cast("TextIO | None", before[1]), dropped=True))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _occupy_standard_descriptors() -> None:
    """Else the next file that is opened would be standard output, and be written to by what means to speak."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
            if opened == descriptor:
                os.set_inheritable(descriptor, True)
