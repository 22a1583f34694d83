"""Prose at a terminal's width: a line that is too long goes on below, and no word is broken.

In a pipe or a file, lines stay as they are: whoever reads them there looks for a whole one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from textwrap import wrap
from typing import Protocol

NARROWEST = 20  # columns; below, there is no room for words
HANGING = "  "  # what goes on below stands deeper
OF_TABLES = "┌├│└╞╘╭╰|+"  # how their lines begin


class Stream(Protocol):
    """As much of a stream as is asked here."""

    def isatty(self) -> bool: ...


def fitted(text: str, stream: Stream) -> str:
    """The text as it is to be shown there: wrapped at the width of a terminal, elsewhere as it is."""
    return wrapped(text, shutil.get_terminal_size().columns) if stream.isatty() else text


def wrapped(text: str, width: int) -> str:
    """The text with its long lines wrapped between words, under their own indentation.

    Tables keep their lines, and so does what stands deeper below a line that ends with a colon: a program to copy.
    """
    if width < NARROWEST:
        return text
    ending = "\n" if text.endswith("\n") else ""
    return "\n".join(_lines(text.removesuffix("\n").split("\n"), width)) + ending


def _lines(lines: list[str], width: int) -> Iterator[str]:
    announced: int | None = None  # the indentation of a line that ends with a colon, as long as deeper ones follow
    for line in lines:
        words = line.lstrip(" ")
        depth = len(line) - len(words)
        quoted = announced is not None and depth > announced
        if not quoted:
            announced = depth if line.endswith(":") else None
        if len(line) <= width or quoted or words.startswith(tuple(OF_TABLES)):
            yield line
            continue
        indent = line[:depth]
        yield from wrap(
            words, width, initial_indent=indent, subsequent_indent=indent + HANGING, break_long_words=False,
            break_on_hyphens=False,
        )  # fmt: skip
