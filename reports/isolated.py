"""`verify` in a process of its own, so that a function may hang, crash or eat all memory and only loses that."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from ..reference.case import InvalidInput
from .verify import Report, verify

GRACE = 2.0  # seconds beyond the limit of a call, for one that Python cannot interrupt
MEMORY_SHARE = 0.8  # of this machine's memory that the function may have


def verify_by_name(target: str, options: dict[str, Any]) -> Report:
    """Verify `package.module:function` in a child process.

    Raises InvalidInput where there is no such function or an option makes no sense.
    """
    if target.count(":") != 1 or not all(target.split(":")):
        raise InvalidInput(f"{target}: expected package.module:function, such as mynet.backprop:gradients.")
    ours, theirs = get_context("spawn").Pipe()
    child = get_context("spawn").Process(target=_child, args=(theirs, target, options), daemon=True)
    child.start()
    theirs.close()
    timeout: float | None = options.get("timeout")
    try:
        return _listen(ours, child, timeout)
    finally:
        child.kill()
        child.join()


def _listen(ours: Connection, child: Any, timeout: float | None) -> Report:
    inside = False  # a call of the function
    while True:
        if not ours.poll(timeout + GRACE if inside and timeout is not None else None):
            said = f"it did not answer within {timeout:g} s, and could not be interrupted; it was killed."
            return Report("unanswered", None, (said,), None)
        try:
            kind, value = ours.recv()
        except EOFError:
            child.join(GRACE)
            said = (
                f"its process died with exit code {child.exitcode} (-9: killed, as when memory runs out; -11: crashed)."
            )
            return Report("unanswered", None, (said,), None)
        if kind == "report":
            report: Report = value
            return report
        if kind == "invalid":
            raise InvalidInput(value)
        inside = kind == "call"


def _child(pipe: Connection, target: str, options: dict[str, Any]) -> None:
    """Import the function, verify it, send the report. What it writes to its standard output is dropped."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    _limit_memory()
    sys.path.insert(0, "")
    try:
        function = _found(target)

        def announced(*arguments: Any) -> Any:
            pipe.send(("call", None))
            try:
                return function(*arguments)
            finally:
                pipe.send(("returned", None))

        report = verify(announced, **options)
        pipe.send(("report", replace(report, diagnosis=report.diagnosis and report.diagnosis.in_words())))
    except InvalidInput as error:
        pipe.send(("invalid", str(error)))


def _found(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # whatever importing it raises is what there is to say
        raise InvalidInput(f"{target}: importing {module} raised {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in dir(found) if not known.startswith("_")]
            near = get_close_matches(part, public, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InvalidInput(f"{target}: {module} has no {name}.{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise InvalidInput(f"{target}: expected a function, got {type(found).__name__}.")
    return found


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not POSIX
        return
    memory = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * MEMORY_SHARE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
