"""Views of the results document: terminal, Markdown, HTML, JUnit, JSON. All tables by tabulate, pages by jinja2."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from errno import EISDIR
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from tabulate import tabulate

from ...adapters.protocol import printable
from ...reference.case import InvalidInput
from ..console import markdown_block, markdown_code, markdown_text, table_of
from ..documents import Results, encoded, made_safe
from .junit import junit
from .pages import html
from .tables import (
    FIRST_COLUMNS,
    MATRIX_HEADERS,
    MORE_COLUMNS,
    POWER_HEADERS,
    failures,
    matrix_part,
    matrix_rows,
    power_rows,
    provenance,
    summary,
    unanswered,
)


def terminal(results: Results, width: int | None = None) -> str:
    """Text for a terminal or a log. width: to which tables are fitted"""
    return _page(made_safe(results), "report.txt", str, str, width)


def markdown(results: Results) -> str:
    """A Markdown page, such as a pull request's comment takes; nothing in it is obeyed that came from elsewhere."""
    return _page(made_safe(results), "report.md", markdown_text, markdown_code)


# Format by name: how to render it, and the file that --out writes.
FORMATS: dict[str, tuple[Callable[[Results], str], str]] = {
    "terminal": (terminal, "report.txt"),
    "markdown": (markdown, "report.md"),
    "html": (html, "report.html"),
    "junit": (junit, "junit.xml"),
    "json": (encoded, "results.json"),
}


def _page(
    results: Results,
    template: str,
    text: Callable[[object], str],
    code: Callable[[str], str],
    width: int | None = None,
) -> str:
    """A template with its parts, each of them made safe by `text`, whatever the template prints."""
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True, finalize=text
    )
    source = files(__package__).joinpath("templates", f"{template}.jinja").read_text(encoding="utf-8")

    def table(rows: list[list[str]], headers: Sequence[str], align: Sequence[str] | None = None) -> Markup:
        """Of the Markdown page."""
        cells = [[str(text(cell)) for cell in row] for row in rows]
        flat = [header.replace("\n", " ") for header in headers]
        made = tabulate(cells, flat, "github", colalign=align if rows else None, disable_numparse=True)
        return Markup(made)  # noqa: S704 — its cells are escaped

    def part(columns: Sequence[str]) -> Markup:
        """Of the matrix, in a terminal."""
        rows, headers, align = matrix_part(results, columns)
        return Markup(table_of(rows, headers, width, align).removesuffix("\n"))  # noqa: S704 — plain text

    return environment.from_string(source).render(
        results=results,
        summary=summary(results),
        first=part(FIRST_COLUMNS),
        more=part(MORE_COLUMNS),
        matrix=table(matrix_rows(results), MATRIX_HEADERS, ["left"] * 4 + ["right"] * 6 + ["left"]),
        power=table(power_rows(results), POWER_HEADERS),
        failures=failures(results),
        unanswered=unanswered(results),
        provenance=[Markup(line) for line in provenance(results, text, code)],  # noqa: S704 — its parts are escaped
        block=markdown_block,
        code=code,
    )


def prepare(out: Path) -> None:
    """Make sure, before any work is done, that reports can be written to `out`. Leaves nothing behind.

    Raises InvalidInput where they cannot.
    """
    missing: list[Path] = []
    try:
        missing += [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        _remove(missing)


def prepare_file(option: str, path: Path) -> None:
    """Make sure, before any work is done, that a file can be written. Leaves nothing behind.

    option: what the path was given for
    Raises InvalidInput where it cannot.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, "it is a folder")
        prepare(path.parent)
    except OSError as error:
        raise _unwritable_file(option, path, error) from error
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("--out ", f"{option}: its folder, ", 1)) from error


def write(results: Results, out: Path) -> list[Path]:
    """Write every view into the folder `out`: all of them, or nothing. Returns the files.

    Raises InvalidInput where they cannot be written.
    """
    return write_pages(out, {name: render(results) for render, name in FORMATS.values()})


def write_pages(out: Path, pages: Mapping[str, str]) -> list[Path]:
    """Write texts by the names of their files: all of them are there in full before the first takes its place.

    Raises InvalidInput where they cannot be written; then the folder is as it was.
    """
    missing: list[Path] = []
    try:
        missing += [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        _replace({out / name: text for name, text in pages.items()})
    except BaseException as error:
        _remove(missing)
        if isinstance(error, OSError):
            raise _unwritable(out, error) from error
        raise
    return [out / name for name in pages]


def replace_file(option: str, path: Path, text: str) -> None:
    """Write beside the old file and put it in its place in one step. Raises InvalidInput where it cannot be done."""
    missing: list[Path] = []
    try:
        missing += [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace({path: text})
    except BaseException as error:
        _remove(missing)
        if isinstance(error, OSError):
            raise _unwritable_file(option, path, error) from error
        raise


def _replace(texts: Mapping[Path, str]) -> None:
    temporary: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            if path.is_dir():
                raise IsADirectoryError(EISDIR, f"{printable(path.name, LONGEST_PATH)} is a folder")
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".backproof.")
            temporary[path] = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)  # a full disk may say so only now
            Path(name).chmod(0o644)
        for path, whole in temporary.items():
            whole.replace(path)
    finally:
        for whole in temporary.values():
            whole.unlink(missing_ok=True)


def _remove(folders: Sequence[Path]) -> None:
    """Empty folders that were made for nothing, the innermost first."""
    for folder in folders:
        with suppress(OSError):  # which somebody else uses by now
            folder.rmdir()


LONGEST_PATH = 200  # characters that a message shows


def _unwritable(out: Path, error: OSError) -> InvalidInput:
    shown = printable(str(out), LONGEST_PATH)
    return InvalidInput(f"--out {shown}: expected a folder that can be written to; {_reason(error)}. Name another one.")


def _unwritable_file(option: str, path: Path, error: OSError) -> InvalidInput:
    shown = printable(str(path), LONGEST_PATH)
    return InvalidInput(
        f"{option} {shown}: expected a file that can be written to; {_reason(error)}. Name another one."
    )


def _reason(error: OSError) -> str:
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "a file is in the way"
    return error.strerror or str(error)
