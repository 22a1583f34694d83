"""Text at a terminal's width: prose goes on below between words, tables are fitted, and no word is broken.

In a pipe or a file, lines stay as they are: whoever reads them there looks for a whole one. COLUMNS in the environment
is a width that somebody asks for, wherever the text goes: `COLUMNS=80 backproof … | less`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from io import StringIO
from textwrap import wrap
from typing import Protocol

NARROWEST = 20  # columns; below, there is no room for words
HANGING = "  "  # what goes on below stands deeper
OF_TABLES = "┌├│└╞╘╭╰|+"  # how their lines begin


class Stream(Protocol):
    """As much of a stream as is asked here."""

    def isatty(self) -> bool: ...


def columns(stream: Stream | None) -> int | None:
    """The width to which what is written there is fitted; None where lines stay as they are. stream: None if closed"""
    shown = stream is not None and stream.isatty()
    # COLUMNS and LINES together are what GNU readline leaves to the children of any Python that has loaded it, such as
    # pytest: nobody asked for them
    asked = "" if "LINES" in os.environ else os.environ.get("COLUMNS", "")
    width = shutil.get_terminal_size().columns if shown or (asked.isdecimal() and int(asked)) else None
    return width if width is not None and width >= NARROWEST else None


def fitted(text: str, stream: Stream | None) -> str:
    """The text as it is to be shown there: wrapped at that width, or as it is."""
    width = columns(stream)
    return text if width is None else wrapped(text, width)


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
        yield from _below(words, line[:depth], width)


def _below(words: str, indent: str, width: int) -> list[str]:
    """Lines of it; a short piece of code between backticks, which is to be copied, stays in one."""
    held = re.sub(r"`[^`]{1,40}`", lambda code: code[0].replace(" ", HELD), words)
    lines = wrap(
        held, width, initial_indent=indent, subsequent_indent=indent + HANGING, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(HELD, " ") for line in lines]


HELD = "\ue000"  # of Unicode's private use: no text has it that was made printable


def table_of(
    rows: Sequence[Sequence[object]],
    headers: Sequence[str],
    width: int | None = None,
    align: Sequence[str] | None = None,
) -> str:
    """A table for a terminal, by tabulate; where it is wider than `width`, by rich, which breaks cells between words.

    Where even words have no room, the last columns are told below: a line for each row, under its first cell.
    align: "left" or "right" for each column
    """
    from tabulate import tabulate

    made: str = tabulate(
        rows, headers, "simple_outline", colalign=align if rows else None, disable_numparse=True,
    ) + "\n"  # fmt: skip
    if width is None or width < NARROWEST or _fits(made, width):
        return made
    align = align or ["left"] * len(headers)
    texts = [[str(cell) for cell in row] for row in rows]
    for kept in range(len(headers), 0, -1):
        squeezed = _squeezed([row[:kept] for row in texts], headers[:kept], width, align)
        if squeezed is not None:
            return squeezed + "".join(_told_below(texts, headers, kept, width))
    return "".join(_told_below(texts, headers, 0, width))


def _fits(text: str, width: int) -> bool:
    return all(len(line) <= width for line in text.splitlines())


def _squeezed(rows: Sequence[Sequence[str]], headers: Sequence[str], width: int, align: Sequence[str]) -> str | None:
    """The table in so many columns; None where a word would have to be broken."""
    from rich.box import SQUARE
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    to = StringIO()
    console = Console(file=to, width=width, color_system=None, force_terminal=False, legacy_windows=False)
    cells = [[Text(cell) for cell in row] for row in (headers, *rows)]
    measured = [
        [Measurement.get(console, console.options, cell) for cell in column] for column in zip(*cells, strict=True)
    ]
    words = [max(m.minimum for m in column) for column in measured]
    widths = [max(m.maximum for m in column) for column in measured]
    room = width - BETWEEN * len(headers) - 1
    if sum(words) > room:
        return None
    while sum(widths) > room:  # the widest that can give way does
        widths[max(range(len(widths)), key=lambda k: (widths[k] > words[k], widths[k]))] -= 1
    table = Table(box=SQUARE, header_style="", safe_box=False)
    for header, w, side in zip(cells[0], widths, align, strict=False):
        table.add_column(header, width=w, justify="right" if side == "right" else "left")
    for row in cells[1:]:
        table.add_row(*row)
    console.print(table)
    return to.getvalue()


BETWEEN = 3  # characters that a column costs beside its own: a line, and a blank on either side


def _told_below(rows: Sequence[Sequence[str]], headers: Sequence[str], kept: int, width: int) -> Iterator[str]:
    """What has no column, a row at a time: `torch float64: version 2.13.0, verdict agrees`."""
    if kept == len(headers):
        return
    named = range(1, max(kept, 1) + 1)  # by so many first cells, at best all rows are told from each other
    first = next((n for n in named if len({tuple(row[:n]) for row in rows}) == len(rows)), 1)
    for row in rows:
        cells = zip(headers[max(kept, 1) :], row[max(kept, 1) :], strict=True)
        said = ", ".join(f"{' '.join(header.split())} {cell}" for header, cell in cells if cell)
        yield "\n".join(_below(f"{' '.join(row[:first])}: {said}", "", width)) + "\n"
