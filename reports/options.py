"""What commands share: options, exit codes, and how a report is printed."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

AGREES, WRONG, UNANSWERED = 0, 1, 3
UNRECOGNISED = UNANSWERED  # neither right nor wrong can be said: see the report for what to declare
EXIT_CODES = {
    "agrees": AGREES, "undecided": AGREES, "suspect": AGREES, "wrong": WRONG, "unanswered": UNANSWERED,
    "unrecognised": UNRECOGNISED,
}  # fmt: skip


class Format(StrEnum):
    """How a report is printed."""

    terminal = "terminal"
    markdown = "markdown"
    html = "html"
    junit = "junit"
    json = "json"


VIEWS = "What is printed: terminal, markdown, html, junit or json."

AdapterNames = Annotated[
    list[str] | None, typer.Option("--adapter", help="Only this one; may be repeated. Default: all that are installed.")
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="A suspect number is exit code 1, as a wrong one is; what is found out, not declared, 3."
    ),
]
ONE_PER_CORE = 0
Jobs = Annotated[int, typer.Option(min=ONE_PER_CORE, max=1024, help="Processes; 0 for one per core.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="tcp://HOST:PORT", help="Dask's: its workers run everything, instead of processes here."),
]
JournalFile = Annotated[
    Path | None, typer.Option("--journal", metavar="FILE", help="Keep each run there as soon as it is done.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in the journal.")]


def check_spread(jobs: int, scheduler: str | None, journal: Path | None, resume: bool) -> None:
    """Raises BadParameter for options that contradict each other."""
    if scheduler is not None and jobs != ONE_PER_CORE:
        raise typer.BadParameter("--jobs counts processes here; with --scheduler, its workers run everything.")
    if resume and journal is None:
        raise typer.BadParameter("--resume goes on with a journal: name it with --journal FILE.")


def processes_for(jobs: int) -> int:
    """How many processes an option means."""
    return os.cpu_count() or 1 if jobs == ONE_PER_CORE else jobs


def separate_names(activations: str | None) -> list[str] | str | None:
    """One name, or one per layer; commas inside parentheses are between constants."""
    if activations is None:
        return None
    names = re.split(r",(?![^(]*\))", activations)  # at commas that are in no parentheses
    return names if len(names) > 1 else activations


def whole_numbers(text: str | None) -> list[int] | None:
    """What `--sizes` means. Raises InvalidInput."""
    from ..adapters.protocol import printable
    from ..reference.case import InvalidInput

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        shown = printable(text, 60)
        raise InvalidInput(f"--sizes: expected whole numbers by commas, such as 2,3,1; got {shown!r}.") from None
