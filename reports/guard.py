"""The command line's one guard: whatever happens is an exit code and a line on stderr, never a traceback.

2: bad usage or input, or what else the user can repair, such as a full disk. 70: a fault of backproof's own
(EX_SOFTWARE of BSD's sysexits.h), which is never 1: that means wrong. 128 + n: ended by signal n, 141 among them, where
nobody reads the report to its end.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from typing import Any

from .console import EndedBySignal, Undeliverable, ended_by_signals, fitted, guarded_streams, printable_lines

BAD_INPUT, SOFTWARE, INTERRUPTED, UNREAD = 2, 70, 130, 141
DEBUG = "BACKPROOF_DEBUG"
LONGEST, LONGEST_MESSAGE = 1000, 4000  # characters about an exception; of a message for people, which may list names

LONG_WORD = re.compile(r"(\S{60})\S{300,}(\S{20})")  # no name or path, and what matters may come after it

# What a user can do something about, where it is about a file or the machine.
REPAIRABLE = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EPERM", "EROFS", "ENOENT", "EEXIST", "EISDIR", "ENOTDIR", "ENOTEMPTY", "ELOOP", "ENAMETOOLONG",
        "ENOSPC", "EDQUOT", "EFBIG", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EIO", "ETXTBSY",
    )
    if hasattr(errno, name)
)  # fmt: skip


def guarded(command: Callable[[], Any]) -> int:
    """Run a command; its exit code.

    command: returns the exit code, or None for 0
    """
    with guarded_streams():
        try:
            code = _run(command)
            sys.stdout.flush()
            return code
        except Undeliverable as error:
            if error.unread:
                return UNREAD
            _say(f"standard output: {error}, so the report could not be written.")
            return BAD_INPUT


def _run(command: Callable[[], Any]) -> int:
    try:
        with ended_by_signals():
            code = command()
        return 0 if code is None else int(code)
    except (Undeliverable, EndedBySignal) as error:
        if isinstance(error, EndedBySignal):
            return int(str(error.code))
        raise
    except KeyboardInterrupt:
        _say("interrupted.", kind="")
        return INTERRUPTED
    except BaseException as error:  # SystemExit too: no command of ours ends like this
        return _said(error)


def _said(error: BaseException) -> int:
    """Say in a line what has happened; the exit code."""
    from ..reference.case import InvalidInput

    if os.environ.get(DEBUG):
        import traceback

        sys.stderr.write(printable_lines("".join(traceback.format_exception(error))))
    if isinstance(error, InvalidInput):
        _say(_text(error), longest=LONGEST_MESSAGE)
        return BAD_INPUT
    if _is_usage(error):
        return _usage(error)
    if isinstance(error, MemoryError):
        _say("memory ran out. Ask for less at a time, or for smaller networks.")
        return BAD_INPUT
    if isinstance(error, OSError) and error.errno in REPAIRABLE:
        _say(_about_a_file(error))
        return BAD_INPUT
    what = _one_line(f"{type(error).__name__}: {_text(error)}")
    _say(f"a fault of backproof's own (`backproof --debug …` shows where; please report it): {what}")
    return SOFTWARE


def _is_usage(error: BaseException) -> bool:
    """Exceptions of click, which typer takes from a package of that name or has a copy of."""
    return hasattr(error, "exit_code") and hasattr(error, "format_message")


def _usage(error: Any) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(printable_lines(error.format_message()).rstrip("\n") + "\n")
        return BAD_INPUT
    context = getattr(error, "ctx", None)
    hint = f" See `{context.command_path} --help`." if context is not None else ""
    said = _one_line(error.format_message()).rstrip(".")
    _say(f"{said}.{hint}")
    return BAD_INPUT


def _about_a_file(error: OSError) -> str:
    said = error.strerror or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else error.filename}: {said}."
    try:
        os.getcwd()  # noqa: PTH109 — which may be gone
    except OSError:
        return f"the current folder is gone: {said}. Change to one that exists."
    return f"{said}."


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception's own words may be out of order
        return "which cannot say what it is"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(text: str, kind: str = "error: ", longest: int = LONGEST) -> None:
    text = LONG_WORD.sub(lambda word: f"{word[1]}…{word[2]}", printable_lines(text))
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    sys.stderr.write(fitted(f"{kind}{text}", sys.stderr) + "\n")
