"""Numbers and arguments as Python writes them: what a program that is printed is made of."""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def literal(given: Any) -> str | None:
    """An argument as Python writes it; None for what is no plain value."""
    text = repr(given)
    try:
        return text if ast.literal_eval(text) == given else None
    except (ValueError, SyntaxError, TypeError):
        return None


def numbers(array: NDArray[Any]) -> str:
    """An array's numbers as nested lists, each with as many digits as it takes in its own format."""
    return str(array.astype(object).tolist() if array.dtype.kind in "iub" else _shortest(array))


def _shortest(array: NDArray[Any]) -> Any:
    if array.ndim:
        return [_shortest(row) for row in array]
    return float(str(array[()])) if array.dtype.itemsize >= 2 else float(array)


def element(name: str, index: Sequence[int]) -> str:
    """`g[2, 3]`; the name alone for what has no dimensions."""
    return f"{name}[{', '.join(map(str, index))}]" if len(index) else name


def arguments(positional: Sequence[str], keywords: Mapping[str, Any]) -> str | None:
    """What stands in the parentheses of a call; None where a keyword's value is no plain one."""
    named = {name: literal(value) for name, value in keywords.items()}
    if None in named.values():
        return None
    return ", ".join([*positional, *(f"{name}={value}" for name, value in named.items())])


def name_of(function: Any) -> tuple[str, dict[str, Any]]:
    """What a program calls a function, `f` if it has no name that it can be called by; and that name's meaning."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if isinstance(owner, type) and owner.__name__.isidentifier() and name.isidentifier():
        return f"{owner.__name__}.{name}", {owner.__name__: owner}
    name = name if name.isidentifier() and owner is None else "f"
    return name, {name: function}


def printed_by(lines: Sequence[str], names: Mapping[str, Any]) -> str | None:
    """What these lines print, with these names; None where they raise."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), np.errstate(all="ignore"):
            exec("\n".join(lines), dict(names))  # noqa: S102 -- our own lines, and the function on trial, which ran before
    except Exception:  # it may be made for other inputs
        return None
    return said.getvalue().strip()
