"""What a report came from: the commit of backproof, and the command. No path and no user's name is told."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

from .processor import set_here

CHECKOUT = Path(__file__).parents[2]
PROGRAM = "backproof"


def commit(checkout: Path = CHECKOUT) -> str | None:
    """The commit that is checked out, + where files differ from it; None where this is no checkout, or no git."""
    if not (checkout / ".git").exists():  # as where it is installed, though perhaps inside somebody's own checkout
        return None
    command = [
        "git",
        "--no-optional-locks",
        "-C",
        str(checkout),
        "describe",
        "--always",
        "--exclude=*",
        "--abbrev=12",
        "--dirty=+",
    ]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 — git
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def command(arguments: list[str] | None = None) -> str | None:
    """The command line, to be run again; None where this is no command of backproof's.

    arguments: as of `sys.argv`, which is taken by default
    What holds the libraries to a SIMD level stands before it. Of paths that begin at a root or a home, the last part
    is kept.
    """
    program, *given = sys.argv if arguments is None else arguments
    if PureWindowsPath(program).stem != PROGRAM:  # which understands both kinds of slashes
        return None
    settings = [f"{name}={shlex.quote(value)}" for name, value in set_here().items()]
    return " ".join([*settings, PROGRAM, *(shlex.quote(_without_folders(argument)) for argument in given)])


def _without_folders(argument: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    rooted = PurePosixPath(value).is_absolute() or bool(PureWindowsPath(value).anchor) or value.startswith("~")
    return f"{option}{equals}{PureWindowsPath(value).name}" if rooted else argument
