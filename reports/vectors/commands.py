"""`backproof vectors`: the published test vectors on the command line. Exit codes: see `cli.py`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from ..console import columns, note, say, show_report
from ..options import ONE_PER_CORE, Jobs, Scheduler, check_spread, processes_for

vectors_app = typer.Typer(help="The published test vectors: rebuild, prove or print them.", no_args_is_help=True)
VectorFolder = Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Default: those of this package.")]


@vectors_app.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write them.")],
) -> None:
    """Make the vectors, their schema and their README."""
    from .making import generate as made

    for path in made(folder):
        note(f"wrote {path}")


@vectors_app.command()
def check(folder: VectorFolder = None, jobs: Jobs = 1, scheduler: Scheduler = None) -> None:
    """Prove every number of the vectors against the certified truth."""
    from ..spread import workers
    from .checking import check as disproved
    from .reading import numbered

    here = jobs == 1 and scheduler is None
    check_spread(ONE_PER_CORE if jobs == 1 else jobs, scheduler, None, False)
    with nullcontext() if here else workers(processes_for(jobs), scheduler) as executor:
        problems = disproved(folder, executor)
    for problem in problems:
        say(problem)
    say(f"{len(numbered(folder))} tests, {len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


@vectors_app.command()
def show(number: Annotated[int, typer.Argument(help="Of the test.")]) -> None:
    """Print one test for a person."""
    from .reading import show as shown

    show_report(shown(number, columns(sys.stdout)))
