"""Views of the results document: terminal, Markdown, HTML, JUnit, JSON. All tables by tabulate, pages by jinja2."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from tabulate import tabulate

from ..reference.case import InvalidInput
from .escaping import markdown_block, markdown_code, markdown_text
from .html import html
from .junit import junit
from .results import Results, encoded, made_safe
from .tables import MATRIX_HEADERS, POWER_HEADERS, failures, matrix_rows, power_rows, provenance, summary, unanswered


def terminal(results: Results) -> str:
    """Text for a terminal or a log."""
    return _page(made_safe(results), "report.txt", "simple_outline", str, str)


def markdown(results: Results) -> str:
    """A Markdown page, such as a pull request's comment takes; nothing in it is obeyed that came from elsewhere."""
    return _page(made_safe(results), "report.md", "github", markdown_text, markdown_code)


# Format by name: how to render it, and the file that --out writes.
FORMATS: dict[str, tuple[Callable[[Results], str], str]] = {
    "terminal": (terminal, "report.txt"),
    "markdown": (markdown, "report.md"),
    "html": (html, "report.html"),
    "junit": (junit, "junit.xml"),
    "json": (encoded, "results.json"),
}


def _page(
    results: Results, template: str, table_format: str, text: Callable[[object], str], code: Callable[[str], str]
) -> str:
    """A template with its parts, each of them made safe by `text`, whatever the template prints."""
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True, finalize=text
    )
    source = files(__package__).joinpath("templates", f"{template}.jinja").read_text(encoding="utf-8")
    headers = MATRIX_HEADERS if table_format != "github" else [header.replace("\n", " ") for header in MATRIX_HEADERS]
    align = ["left"] * 4 + ["right"] * 6 + ["left"]

    def table(rows: list[list[str]], headers: Sequence[str], colalign: Sequence[str] | None = None) -> Markup:
        cells = [[str(text(cell)) for cell in row] for row in rows]
        made = tabulate(cells, headers, table_format, colalign=colalign if rows else None, disable_numparse=True)
        return Markup(made)  # noqa: S704 — its cells are escaped

    return environment.from_string(source).render(
        results=results,
        summary=summary(results),
        matrix=table(matrix_rows(results), headers, align),
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
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _unwritable(out, error) from error
    finally:
        for folder in missing:
            if folder.is_dir():
                folder.rmdir()


def write(results: Results, out: Path) -> list[Path]:
    """Write every view into the folder `out`, each file whole or not at all. Returns the files.

    Raises InvalidInput where they cannot be written.
    """
    pages = {out / name: render(results) for render, name in FORMATS.values()}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, page in pages.items():
            replace_file(path, page)
    except OSError as error:
        raise _unwritable(out, error) from error
    return list(pages)


def replace_file(path: Path, text: str) -> None:
    """Write beside the old file and put it in its place in one step."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unwritable(out: Path, error: OSError) -> InvalidInput:
    reason = (
        "a file is in the way" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror or error
    )
    return InvalidInput(f"--out {out}: expected a folder that can be written to; {reason}. Name another one.")
