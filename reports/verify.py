"""`backproof verify`: a function, a program, or a file of answers. Imports inside it keep --help quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import note, show_report
from .options import AGREES, UNANSWERED, VIEWS, WRONG, Format, Strict, separate_names, whole_numbers

if TYPE_CHECKING:
    from .any_network import Told
    from .documents import Report


def verify(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:FUNCTION]", help="Such as mynet.backprop:gradients or ./mynet.py:gradients."),
    ] = None,
    command: Annotated[
        str | None, typer.Option(help="Instead: a program in any language that speaks protocol 1 (docs/protocol.md).")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Instead: a file of answers to the published test vectors.")
    ] = None,
    returns: Annotated[str, typer.Option(help="gradients, updated or outputs: see backproof.verify.")] = "gradients",
    sizes: Annotated[str | None, typer.Option(help="Units per layer, the inputs first, such as 2,3,1.")] = None,
    activations: Annotated[str | None, typer.Option(help="One for all layers, or one per layer, by commas.")] = None,
    loss: Annotated[str | None, typer.Option(help="Declared loss; found out by default.")] = None,
    reduction: Annotated[
        str | None, typer.Option(help="sum, mean or 'mean over outputs'; found out by default.")
    ] = None,
    bias: Annotated[
        str | None, typer.Option(help="separate, none, hidden, weights-first, …: see docs/validate.md.")
    ] = None,
    orientation: Annotated[str | None, typer.Option(help="units_by_inputs or inputs_by_units.")] = None,
    updates: Annotated[str | None, typer.Option(help="Of updated weights: batch or online (per sample).")] = None,
    sign: Annotated[str | None, typer.Option(help="positive, or negative for minus the gradient.")] = None,
    decay: Annotated[
        str | None, typer.Option(help="Of a penalty decay/2 · Σw² in the loss, or 0.1/n; 0 for none.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Of updated weights: adam, 'momentum(0.9)', …; find to find out which.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per probe.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32, float16 or bfloat16.")] = "float64",
    learning_rate: Annotated[float | None, typer.Option(help="Of updated weights.")] = None,
    cases: Annotated[str, typer.Option(help="few, standard or many probes; for a command also a number.")] = "standard",
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds per call or answer.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Start the command anew for every case.")] = False,
    hello: Annotated[bool, typer.Option("--hello", help="Ask the command first what it can do.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of the command at a time.")] = 1,
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Of a network: judge each operation's numbers as well (docs/numbers.md).")
    ] = False,
    strict: Strict = False,
    format: Annotated[Format, typer.Option(metavar="VIEW", help=VIEWS)] = Format.terminal,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write every view there.")] = None,
) -> None:
    """Judge somebody's backpropagation, and name its bug. The function runs in a process of its own."""
    from ..reference.case import InvalidInput
    from .views import prepare, write_pages

    if (target is not None) + (command is not None) + (answers is not None) != 1:
        raise InvalidInput("verify: expected one of MODULE:FUNCTION, --command and --answers.")
    _refuse_what_is_not_taken(context, "MODULE:FUNCTION" if target else "--command" if command else "--answers")
    options = {
        "returns": returns, "sizes": whole_numbers(sizes), "activations": separate_names(activations), "loss": loss,
        "reduction": reduction, "bias": bias, "orientation": orientation, "batch": batch, "dtype": dtype,
        "learning_rate": learning_rate, "updates": updates, "cases": cases, "timeout": timeout, "strict": strict,
        "sign": sign, "decay": decay, "optimizer": optimizer, "numbers": numbers,
    }  # fmt: skip
    if out is not None:
        prepare(out)
    started = monotonic()
    report = _verified(target, command, answers, options, {"once": once, "hello": hello, "jobs": jobs})
    seconds = monotonic() - started
    failure = None
    if out is not None:
        try:
            for path in write_pages(
                out, {file: _verification(report, view, seconds, True) for view, file in FILES.items()}
            ):
                note(f"wrote {path}")
        except InvalidInput as error:  # which is said after the result
            failure = error
    show_report(_verification(report, format, seconds), plain=format is not Format.terminal)
    if failure is not None:
        raise failure
    if report.ok:
        raise typer.Exit(AGREES)
    raise typer.Exit(WRONG if report.verdict in ("wrong", "suspect") else UNANSWERED)


def _verified(
    target: str | None, command: str | None, answers: Path | None, options: dict[str, Any], process: dict[str, Any]
) -> Report | Told:
    if target is not None:
        from .validation import verify_by_name

        return verify_by_name(target, options)
    if answers is not None:
        from .vectors import verify_answers

        return verify_answers(answers, strict=options["strict"])
    from .validation import verify_command

    assert command is not None
    of_functions = ("returns", "orientation", "sign", "decay", "optimizer", "numbers")
    return verify_command(
        command, **{k: v for k, v in options.items() if k not in of_functions}, **process, watched=True
    )


NOT_TAKEN = {
    "MODULE:FUNCTION": ("once", "hello", "jobs"),
    "--command": ("returns", "orientation", "sign", "decay", "optimizer", "targets", "numbers"),
}


TAKEN_WITH_ANSWERS = ("answers", "strict", "format", "out")


def _refuse_what_is_not_taken(context: typer.Context, door: str) -> None:
    """An option that would have no effect is refused, not dropped."""
    from ..reference.case import InvalidInput

    for name in context.params:
        source = context.get_parameter_source(name)
        given = source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
        if given and (name not in TAKEN_WITH_ANSWERS if door == "--answers" else name in NOT_TAKEN[door]):
            raise InvalidInput(f"--{name.replace('_', '-')} says nothing with {door}; leave it out.")


# The files that --out writes.
FILES = {
    Format.terminal: "verification.txt",
    Format.markdown: "verification.md",
    Format.html: "verification.html",
    Format.junit: "junit.xml",
    Format.json: "verification.json",
}


def _verification(report: Report | Told, format: Format, seconds: float | None = None, in_file: bool = False) -> str:
    from .console import json_text, markdown_block
    from .documents import Report
    from .views import junit_of, junit_of_network

    match format:
        case Format.json:
            return json_text(report.to_json()) + "\n"
        case Format.junit:
            return junit_of(report, seconds) if isinstance(report, Report) else junit_of_network(report, seconds)
        case Format.markdown:
            return markdown_block(report.text) + "\n"
        case Format.html:
            return report.to_html()
    return f"{report.text}\n" if in_file else f"{report}\n"


COMMANDS: dict[str, Callable[..., None]] = {"verify": verify}
