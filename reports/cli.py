"""The command line: every command, in the order of --help. stdout carries the report, stderr progress and messages.

A command lives in its wing's `commands.py`; `verify` and `layers`, which need several or none, in files of theirs.

Exit codes: 0 all agree; 1 something is wrong; 2 bad usage, bad input, or a report that cannot be written; 3 an
implementation gave no usable answer, or the run was ended early; others: see `guard.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from .chapter import COMMANDS as OF_CHAPTER
from .comparison import COMMANDS as OF_COMPARISON
from .console import note, say
from .guard import DEBUG, INTERRUPTED, guarded
from .layers import layers
from .trials import COMMANDS as OF_TRIALS
from .vectors import vectors_app
from .verify import verify


class Interruptible(typer.core.TyperGroup):
    """Commands that say so when Ctrl-C ends them; typer alone ends them without a word."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            note("interrupted.")
            raise typer.Exit(INTERRUPTED) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """click before 8.2 takes a name that begins with no letter for an option, and then for none at all."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}.")
        if args[0] == "verify":
            from .settings import defaults_of_verify

            ctx.default_map = {"verify": defaults_of_verify(Path.cwd())}
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Interruptible,
    help="Tells whether a neural network's gradients are right, under tolerances that nobody picked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        say(f"backproof {version('backproof')}")
        raise typer.Exit


@app.callback()
def backproof(
    version: Annotated[  # noqa: ARG001 — its callback is all
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG, help="Show where an error comes from, as a traceback.")
    ] = False,
) -> None:
    """The program's own options."""
    if debug:
        os.environ[DEBUG] = "1"  # which the guard reads, however far the command got


COMMANDS: dict[str, Callable[..., None]] = {
    **OF_CHAPTER, **OF_COMPARISON, "verify": verify, "layers": layers, **OF_TRIALS,
}  # fmt: skip
for name, command in COMMANDS.items():
    app.command(name)(command)
app.add_typer(vectors_app, name="vectors")


def main() -> None:
    """Entry point."""
    sys.exit(guarded(_run))


def _run() -> Any:
    """The exit code; a shell's question for completions ends itself when it is answered."""
    try:
        return app(standalone_mode=False)
    except SystemExit as end:
        return end.code
