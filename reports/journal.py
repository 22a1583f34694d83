"""A journal of what is done: a line a run, kept through whatever ends the program, so that it can go on.

Each line is JSON, {"crc32": …, "run": …}, where the checksum is that of the bytes after `"run":`. The first line says
what the runs are of. One process writes at a time: it holds a lock on the file, which goes when the process does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import msgspec

from ..adapters.protocol import printable
from ..reference.case import InvalidInput

if TYPE_CHECKING:
    from ..adapters.adapter import Adapter

FORMAT = "backproof-journal/1"


@dataclass
class Journal:
    """The runs that are done, by the names of their tasks, and the file that more are added to."""

    path: Path
    descriptor: int
    runs: dict[str, Any]

    def read(self, run: Any, kind: Any) -> Any:
        """A run as the kind that it was. Raises InvalidInput."""
        try:
            return msgspec.convert(run, kind)
        except msgspec.ValidationError as error:
            raise InvalidInput(
                f"{_shown(self.path)}: a run in it is not as this version writes it: {error}."
            ) from error

    def add(self, task: str, run: Any) -> None:
        """Raises InvalidInput where the file cannot be written, such as on a full disk; what is in it stays."""
        plain = msgspec.to_builtins(run, enc_hook=_of_numpy)
        end = os.fstat(self.descriptor).st_size
        try:
            _write(self.descriptor, _line({"task": task, "result": plain}))
        except OSError as error:
            os.ftruncate(self.descriptor, end)  # to whole lines
            raise InvalidInput(
                f"{_shown(self.path)}: {error.strerror}. {len(self.runs)} runs are in it; when it can be written, "
                "--resume goes on after them."
            ) from error
        self.runs[task] = plain


@contextmanager
def journal(path: Path, resume: bool, of: Mapping[str, str]) -> Iterator[Journal]:
    """The journal in a file, locked. With `resume`, it goes on with what is there; else there may be nothing yet.

    of: what its runs depend on, such as the command and the versions of frameworks: all must be as when it was begun
    Raises InvalidInput where it cannot be read, is being written by another process, or is of something else.
    """
    where = _shown(path)
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{where}: expected a file for the journal, or a name that is free.")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except (OSError, ValueError) as error:  # ValueError: a path with a null byte
        raise InvalidInput(f"{where}: {error.strerror if isinstance(error, OSError) else error}.") from error
    try:
        _lock(descriptor, where)
        yield Journal(path, descriptor, _begun(descriptor, where, resume, of))
    finally:
        os.close(descriptor)


def journal_of(
    command: str, adapters: Sequence[Adapter], path: Path | None, resume: bool
) -> AbstractContextManager[Journal | None]:
    """The journal of a command's runs on these adapters, or none where there is no path."""
    if path is None:
        return nullcontext()
    here = versions()
    named = ", ".join(f"{adapter.name} {adapter.version or here['python']}" for adapter in adapters)
    return journal(path, resume, {"command": command, "backproof": here["backproof"], "adapters": named})


def versions() -> dict[str, str]:
    """What the outcome of a run may depend on: backproof, its commit, Python, and the frameworks that are there."""
    from importlib.metadata import version
    from platform import python_version

    from ..adapters.adapter import known_adapters
    from .documents import commit

    here = commit()
    found = {"backproof": version("backproof") + (f" ({here})" if here else ""), "python": python_version()}
    for name, adapter in known_adapters().items():
        if adapter.present and adapter.version:
            found[name] = adapter.version
    return found


def _begun(descriptor: int, where: str, resume: bool, of: Mapping[str, str]) -> dict[str, Any]:
    """The runs in it; of none, the first line is written."""
    text = _everything(descriptor)
    head = _line({"journal": FORMAT, "of": dict(of)})
    if not head.startswith(text):  # what holds less than the first line was ended while it was begun
        *lines, rest = text.split(b"\n")
        _check_head(lines[:1], where, of)
        if not resume:
            raise InvalidInput(f"{where}: there is a journal already. --resume goes on with it.")
        return _runs(descriptor, where, lines[1:], len(text) - len(rest))
    if text == head:
        return {}
    try:
        os.ftruncate(descriptor, 0)
        _write(descriptor, head)
    except OSError as error:
        raise InvalidInput(f"{where}: {error.strerror}.") from error
    return {}


def _check_head(lines: list[bytes], where: str, of: Mapping[str, str]) -> None:
    head = _read(lines[0]) if lines else None
    if not isinstance(head, dict) or head.get("journal") != FORMAT or not isinstance(head.get("of"), dict):
        raise InvalidInput(f"{where}: there is a file already, and it is no journal of this version ({FORMAT}).")
    began = head["of"]
    for name in dict.fromkeys([*of, *began]):
        if began.get(name) != of.get(name):
            then, now = printable(str(began.get(name, "none"))), of.get(name, "none")
            raise InvalidInput(f"{where}: it was begun with {name} {then}, and this is {now}. Name another file.")


def _runs(descriptor: int, where: str, lines: list[bytes], end: int) -> dict[str, Any]:
    """The runs in whole lines. Their torn rest, if any, is taken off; damaged ones are said and stay unread."""
    from .console import note

    read = [_read(line) for line in lines]
    good = [run for run in read if isinstance(run, dict) and isinstance(run.get("task"), str) and "result" in run]
    torn = os.fstat(descriptor).st_size - end
    if torn:
        os.ftruncate(descriptor, end)
    damaged = len(lines) - len(good) + bool(torn)
    runs = {run["task"]: run["result"] for run in reversed(good)}  # of a task that is there twice, the first
    note(f"{where}: {len(runs)} runs taken from it.")
    if damaged:
        note(f"{where}: {damaged} damaged or cut off; what {'they' if damaged > 1 else 'it'} held is done again.")
    return runs


def _line(run: Mapping[str, Any]) -> bytes:
    # json, not msgspec: it reads again what it writes, also infinities, NaN and lone surrogates
    return _checked(json.dumps(run, separators=(",", ":")).encode())


def _checked(text: bytes) -> bytes:
    return b'{"crc32":"%08x","run":%b}\n' % (crc32(text), text)


def _read(line: bytes) -> Any:
    """What a line says; None where it is not as it was written."""
    text = line[len(_checked(b"")) - len(b"}\n") : -1]
    if line + b"\n" != _checked(text):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def _everything(descriptor: int) -> bytes:
    parts = []
    at = 0
    while part := os.pread(descriptor, 1 << 20, at):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _write(descriptor: int, line: bytes) -> None:
    while line:
        line = line[os.write(descriptor, line) :]


def _lock(descriptor: int, where: str) -> None:
    try:
        import fcntl
    except ImportError:
        raise InvalidInput(f"{where}: this system has no flock, which keeps a journal to one process.") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InvalidInput(
            f"{where}: another process is writing this journal. Wait for its end, or name another file."
        ) from None
    except OSError as error:
        raise InvalidInput(f"{where}: it cannot be locked: {error.strerror}. Name a file elsewhere.") from error


def _of_numpy(number: Any) -> Any:
    return number.item()


def _shown(path: Path) -> str:
    return f"--journal {printable(str(path))}"
