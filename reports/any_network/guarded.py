"""Somebody's function, run under guard: what it raises is told in a line, and a point where it raises is no point.

Called by `rule.py` and the doors. Exceptions of our own are never taken for the function's: what was raised while it
was watched is its own only if it is raised unwatched as well.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...reference.case import InvalidInput
from ...reference.programs import Captured, NoGraph, Unsupported

if TYPE_CHECKING:
    from .rule import Subject

Array = NDArray[Any]
T = TypeVar("T")
RAISED = "it raised"
CALLS = {"itself", "bind"}  # the functions of adapters that make a call of a framework, and do nothing else
LONGEST = 300  # characters of an exception's own words
_OURS = tuple(str(Path(__file__).parents[2] / room) for room in ("adapters", "reference", "reports"))
_LIBRARIES = ("torch", "jax", "jaxlib", "keras", "numpy")


def by_itself(name: str, work: Callable[[], T]) -> T:
    """What `work`, which calls the function unwatched, returns. Raises InvalidInput with what the function raises."""
    try:
        return work()
    except (InvalidInput, Unsupported, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise InvalidInput(f"{name}: it raised {in_a_line(error)}") from error


def captured_at(subject: Subject, values: Sequence[Array], seed: int) -> Captured | str:
    """What was captured at a point, or what the function raises there."""
    try:
        return subject.capture(values, seed)
    except (InvalidInput, Unsupported, MemoryError):
        raise
    except (Exception, SystemExit) as watched:
        try:
            subject.value_and_gradient(values)
        except (Exception, SystemExit) as error:
            return f"{RAISED} {in_a_line(error)}"
        if (nowhere := only_watched(subject.name, watched)) is not None:
            raise nowhere from watched
        raise


def only_watched(name: str, error: BaseException) -> NoGraph | None:
    """What a function is that runs by itself, and raised this while it was watched; None if the fault is our own."""
    codes = [frame.f_code for frame, _ in walk_tb(error.__traceback__)]
    ours_or_users = [code for code in codes if not code.co_filename.startswith((*_libraries(), "<"))]
    innermost = ours_or_users[-1] if ours_or_users else None
    if innermost is None or (innermost.co_filename.startswith(_OURS) and innermost.co_name not in CALLS):
        return None
    return NoGraph(f"{name} runs by itself, but while it is watched it raises {in_a_line(error)}")


def refuse_what_has_no_numbers(names: Sequence[str], start: Sequence[Array]) -> None:
    """Raises InvalidInput for an input that is not finite: nothing can be differentiated by it there."""
    for name, array in zip(names, start, strict=True):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = tuple(bad[0].tolist())
            raise InvalidInput(
                f"{name}: expected finite numbers, to differentiate by, got {array[place]:g} at {list(place)}."
            )


def kinds(leaves: Sequence[Any]) -> str:
    """What came as inputs, in words: int64 of shape 3, str."""
    said = []
    for x in leaves:
        dtype, shape = getattr(x, "dtype", None), getattr(x, "shape", None)
        if dtype is None or shape is None:
            said.append(type(x).__name__)
        else:
            said.append(f"{str(dtype).removeprefix('torch.')} of shape {' × '.join(map(str, shape)) or '()'}")
    return ", ".join(dict.fromkeys(said)) or "nothing"


def in_a_line(error: BaseException) -> str:
    """The kind of an exception, its words, and the line of the function that it comes from."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # an exception's own words may be out of order
        words = "(its message cannot be had)"
    words = words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…"
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    place = _users_place(error.__traceback__)
    return f"{said} ({place})" if place else said


def _libraries() -> list[str]:
    return [f"{Path(str(sys.modules[m].__file__)).parent}{os.sep}" for m in _LIBRARIES if m in sys.modules]


def _pythons(file: str) -> bool:
    """Whether it is in Python's own library."""
    return file.startswith(f"{sysconfig.get_paths()['stdlib']}{os.sep}") and "site-packages" not in file


def _users_place(traceback: TracebackType | None) -> str:
    """File and line of the innermost frame that is neither ours nor a framework's, nor Python's own."""
    libraries = _libraries()
    place = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith((*_OURS, *libraries, "<")) and not _pythons(file):
            place = f"{Path(file).name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
