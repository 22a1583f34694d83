"""The command line. stdout carries the report, stderr progress and messages.

Exit codes: 0 all agree; 1 something is wrong; 2 bad usage, bad input, or a report that cannot be written; 3 an
implementation gave no usable answer, or the run was ended early; others: see `guard.py`.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from .cli_vectors import vectors_app
from .guard import DEBUG, INTERRUPTED, guarded
from .terminal import EndedBySignal, note, processes, progress, say, show_report, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..adapters.adapter import Adapter
    from ..reference.case import Case
    from .report import Report
    from .results import Results

AGREES, WRONG, UNANSWERED = 0, 1, 3
EXIT_CODES = {"agrees": AGREES, "undecided": AGREES, "suspect": AGREES, "wrong": WRONG, "unanswered": UNANSWERED}


class Format(StrEnum):
    """How a report is printed."""

    terminal = "terminal"
    markdown = "markdown"
    html = "html"
    junit = "junit"
    json = "json"


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
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Interruptible,
    help="Tells whether a neural network's gradients are right, under tolerances that nobody picked.",
    no_args_is_help=True,
    add_completion=False,
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
    if debug:
        os.environ[DEBUG] = "1"  # which the guard reads, however far the command got


AdapterNames = Annotated[
    list[str] | None, typer.Option("--adapter", help="Only this one; may be repeated. Default: all that are installed.")
]
ONE_PER_CORE = 0
Jobs = Annotated[int, typer.Option(min=ONE_PER_CORE, max=1024, help="Processes; 0 for one per core.")]


def _processes(jobs: int) -> int:
    return os.cpu_count() or 1 if jobs == ONE_PER_CORE else jobs


@app.command()
def example(adapter: AdapterNames = None) -> None:
    """The chapter's worked example: printed, as printed, signs restored; then backward and one delta-rule step."""
    from ..adapters.adapter import chosen, known_adapters
    from .example import example

    present = chosen(adapter or ())
    report, agrees = example(present)
    show_report(report)
    if not adapter:
        for absent in known_adapters().values():
            if not absent.present:
                note(f"not installed: {absent.name}; to bring it: {absent.install}")
    raise typer.Exit(AGREES if agrees else WRONG)


@app.command()
def compare(
    adapter: AdapterNames = None,
    dtype: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated. Default: all.")] = None,
    case: Annotated[
        list[str] | None, typer.Option(help="Only cases of this name or pattern, such as 'xor-*'; may be repeated.")
    ] = None,
    format: Annotated[Format, typer.Option(help="What is printed.")] = Format.terminal,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write every view there.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A suspect number is exit code 1, as a wrong one is.")
    ] = False,
    jobs: Jobs = 0,
    against: Annotated[
        Path | None, typer.Option(metavar="RESULTS.JSON", help="Also say what changed since that run.")
    ] = None,
) -> None:
    """Run every standard case on every adapter and judge every number."""
    from ..adapters.adapter import chosen, known_adapters
    from .changes import changes
    from .render import FORMATS, prepare
    from .results import decoded

    old = None if against is None else decoded(against)
    present = chosen(adapter or ())
    cases = _chosen_cases(case or [], dtype or [])
    _check_dtypes(present, {case.dtype for case in cases})
    if out is not None:
        prepare(out)
    absent = [] if adapter else [other for other in known_adapters().values() if not other.present]
    results, ended = _compared(cases, present, absent, _processes(jobs))
    render, _ = FORMATS[format.value]
    with _also_written(results, out):
        show_report(render(results), plain=format is not Format.terminal)
        if old is not None:
            said = changes(old, results, "github" if format is Format.markdown else "simple_outline")
            _show_changes(said, format)
    if ended is not None:
        note(f"ended early: {len(results.cases)} of {results.planned} cases are in the report.")
    raise typer.Exit(exit_code(results, strict) if ended is None else ended)


def exit_code(results: Results, strict: bool = False) -> int:
    """That of the verdict."""
    return WRONG if strict and results.verdict == "suspect" else EXIT_CODES[results.verdict]


def _show_changes(said: str, format: Format) -> None:
    """On stdout where that is for people, on stderr where it is for a program."""
    if format in (Format.terminal, Format.markdown):
        show_report("\n" + said, plain=format is Format.markdown)
    else:
        note("\n" + said.removesuffix("\n"))


@contextmanager
def _also_written(results: Results, out: Path | None) -> Iterator[None]:
    """Every view in a folder; where that cannot be, the body still shows the result before it is said."""
    from ..reference.case import InvalidInput
    from .render import write

    failure = None
    if out is not None:
        try:
            for path in write(results, out):
                note(f"wrote {path}")
        except InvalidInput as error:
            failure = error
    yield
    if failure is not None:
        raise failure


@app.command("report")
def render_again(
    results: Annotated[Path, typer.Argument(metavar="RESULTS.JSON", help="As `compare --out` writes it.")],
    format: Annotated[Format, typer.Option(help="What is printed.")] = Format.terminal,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Also write every view there.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="A suspect number is exit code 1, as a wrong one is.")
    ] = False,
) -> None:
    """Render an old run again, without running anything. The exit code is that of its runs."""
    from .render import FORMATS, prepare
    from .results import decoded

    document = decoded(results)
    if out is not None:
        prepare(out)
    render, _ = FORMATS[format.value]
    with _also_written(document, out):
        show_report(render(document), plain=format is not Format.terminal)
    raise typer.Exit(exit_code(document, strict))


@app.command("adapters")
def list_adapters(
    adapter: AdapterNames = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="Measure each framework's elementary functions against certified balls.")
    ] = False,
) -> None:
    """The implementations that can be compared, and how to bring those that are absent."""
    from ..adapters.adapter import chosen, known_adapters

    if accuracy:
        from .accuracy import findings, measure, rows

        measured = measure(chosen(adapter or ()), progress=note)
        dtypes = list(dict.fromkeys(m.precision for m in measured))
        show_report(
            table_of(rows(measured), ["function", "adapter", "version", *(f"largest ulps, {d}" for d in dtypes)])
        )
        for finding in findings(measured):
            say(f"finding: {finding}")
        return
    known = known_adapters()
    named = known.values() if not adapter else chosen(adapter)
    rows_ = [
        [
            each.name,
            each.summary,
            ", ".join(each.dtypes),
            each.version or "",
            "yes" if each.present else f"no: {each.install}",
        ]
        for each in named
    ]
    show_report(table_of(rows_, ["adapter", "what it is", "dtypes", "version", "installed"]))


@app.command()
def verify(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Argument(metavar="[MODULE:FUNCTION]", help="Such as mynet.backprop:gradients.")
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
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per probe.")] = None,
    dtype: Annotated[str, typer.Option(help="float64, float32, float16 or bfloat16.")] = "float64",
    learning_rate: Annotated[float | None, typer.Option(help="Of updated weights.")] = None,
    cases: Annotated[str, typer.Option(help="few, standard or many probes; for a command also a number.")] = "standard",
    timeout: Annotated[float, typer.Option(min=0.01, help="Seconds per call or answer.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="Start the command anew for every case.")] = False,
    hello: Annotated[bool, typer.Option("--hello", help="Ask the command first what it can do.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of the command at a time.")] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="A suspect number is exit code 1, as a wrong one is.")
    ] = False,
    format: Annotated[Format, typer.Option(help="terminal, markdown, junit or json.")] = Format.terminal,
) -> None:
    """Judge somebody's backpropagation, and name its bug. The function runs in a process of its own."""
    from ..reference.case import InvalidInput

    if (target is not None) + (command is not None) + (answers is not None) != 1:
        raise InvalidInput("verify: expected one of MODULE:FUNCTION, --command and --answers.")
    if format is Format.html:
        raise InvalidInput("--format: verify reports as terminal, markdown, junit or json; html is of compare.")
    _refuse_what_is_not_taken(context, "MODULE:FUNCTION" if target else "--command" if command else "--answers")
    names = activations.split(",") if activations and "," in activations else activations
    options = {
        "returns": returns, "sizes": _whole_numbers(sizes), "activations": names, "loss": loss,
        "reduction": reduction, "bias": bias, "orientation": orientation, "batch": batch, "dtype": dtype,
        "learning_rate": learning_rate, "updates": updates, "cases": cases, "timeout": timeout, "strict": strict,
    }  # fmt: skip
    report = _verified(target, command, answers, options, {"once": once, "hello": hello, "jobs": jobs})
    show_report(_verification(report, format), plain=format is not Format.terminal)
    if report.ok:
        raise typer.Exit(AGREES)
    raise typer.Exit(WRONG if report.verdict in ("wrong", "suspect") else UNANSWERED)


def _verified(
    target: str | None, command: str | None, answers: Path | None, options: dict[str, Any], process: dict[str, Any]
) -> Report:
    if target is not None:
        from .isolated import verify_by_name

        return verify_by_name(target, options)
    if answers is not None:
        from .vectors import verify_answers

        return verify_answers(answers, strict=options["strict"])
    from .verify_process import verify_command

    assert command is not None
    of_functions = ("returns", "orientation")
    return verify_command(command, **{k: v for k, v in options.items() if k not in of_functions}, **process)


NOT_TAKEN = {"MODULE:FUNCTION": ("once", "hello", "jobs"), "--command": ("returns", "orientation")}
TAKEN_WITH_ANSWERS = ("answers", "strict", "format")


def _refuse_what_is_not_taken(context: typer.Context, door: str) -> None:
    """An option that would have no effect is refused, not dropped."""
    from ..reference.case import InvalidInput

    for name in context.params:
        source = context.get_parameter_source(name)
        given = source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
        if given and (name not in TAKEN_WITH_ANSWERS if door == "--answers" else name in NOT_TAKEN[door]):
            raise InvalidInput(f"--{name.replace('_', '-')} says nothing with {door}; leave it out.")


def _verification(report: Report, format: Format) -> str:
    from .escaping import json_text, markdown_block
    from .junit import junit_of

    match format:
        case Format.json:
            return json_text(report.to_json()) + "\n"
        case Format.junit:
            return junit_of(report)
        case Format.markdown:
            return markdown_block(str(report)) + "\n"
    return f"{report}\n"


def _whole_numbers(text: str | None) -> list[int] | None:
    from ..adapters.protocol import printable
    from ..reference.case import InvalidInput

    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        shown = printable(text, 60)
        raise InvalidInput(f"--sizes: expected whole numbers by commas, such as 2,3,1; got {shown!r}.") from None


app.add_typer(vectors_app, name="vectors")


class LedgerFormat(StrEnum):
    """How the ledger is printed."""

    terminal = "terminal"
    markdown = "markdown"
    html = "html"
    json = "json"


@app.command()
def claims(
    adapter: AdapterNames = None,
    format: Annotated[LedgerFormat, typer.Option(help="What is printed.")] = LedgerFormat.terminal,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write claims.md, .html and .json there.")
    ] = None,
) -> None:
    """Run the chapter's claims, one by one: what holds, what holds with a limit, what is too strong."""
    from ..adapters.adapter import chosen
    from ..reference.case import InvalidInput
    from . import ledger
    from .render import prepare, write_pages

    if out is not None:
        prepare(out)
    taking_part = [each for each in chosen(adapter or ()) if each.train]
    if not taking_part:
        raise InvalidInput("--adapter: none of these can train; plain, torch and jax can.")
    names = [each.name for each in taking_part]
    with progress(len(ledger.CHECKS)) as done:
        entries = ledger.ledger(taking_part, done)
    views = {
        "terminal": ledger.terminal(entries), "markdown": ledger.markdown(entries),
        "html": ledger.html(entries, names), "json": ledger.as_json(entries),
    }  # fmt: skip
    failure = None
    if out is not None:
        files = {"claims.md": "markdown", "claims.html": "html", "claims.json": "json"}
        try:
            for path in write_pages(out, {name: views[view] for name, view in files.items()}):
                note(f"wrote {path}")
        except InvalidInput as error:  # which is said after the result
            failure = error
    show_report(views[format.value], plain=format is not LedgerFormat.terminal)
    if failure is not None:
        raise failure


@app.command()
def train(
    data: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Rows of inputs, then targets; XOR by default.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="Units per layer, the inputs first.")] = "2,2,1",
    activation: Annotated[str, typer.Option(help="Of all layers.")] = "sigmoid",
    bias: Annotated[str, typer.Option(help="separate, hidden (none at the output) or none.")] = "hidden",
    loss: Annotated[
        str, typer.Option(help="Such as half_squared_error or binary_cross_entropy.")
    ] = "half_squared_error",
    optimizer: Annotated[
        str, typer.Option(help="delta rule, momentum, nesterov, adagrad, rmsprop or adam.")
    ] = "delta rule",
    rate: Annotated[float | None, typer.Option(help="Learning rate; a usual one for the optimizer by default.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Updates, each by all samples.")] = 5000,
    seed: Annotated[int, typer.Option(help="Of the random start; many starts are unlucky.")] = 10,
    adapter: Annotated[str, typer.Option(help="plain, torch or jax.")] = "plain",
    load: Annotated[Path | None, typer.Option(metavar="JSON", help="Start from these weights.")] = None,
    save: Annotated[Path | None, typer.Option(metavar="JSON", help="Write the weights there.")] = None,
) -> None:
    """Train the chapter's net, or a given one, and print what it has learned."""
    from ..adapters.adapter import chosen
    from ..reference.case import Case, InvalidInput, one_of
    from ..reference.update_rules import UPDATE_RULES
    from . import train as training
    from .render import prepare_file, replace_file

    one_of("--optimizer", optimizer, UPDATE_RULES)
    (by,) = chosen([adapter])
    if by.train is None:
        raise InvalidInput(f"--adapter: {adapter} cannot train; plain, torch and jax can.")
    layers = (
        training.network(_whole_numbers(sizes) or [], activation, seed, bias) if load is None else training.loaded(load)
    )
    inputs, targets = training.samples(data, len(layers[0].weights[0]), len(layers[-1].weights))
    case = Case("train", layers, inputs, targets, loss=loss, learning_rate=rate)
    if save is not None:
        prepare_file("--save", save)
    try:
        with progress(epochs) as done:
            losses, learned = training.learn(
                case, optimizer, epochs, by, lambda epoch, of: done(f"{optimizer}, loss {of:.6f}")
            )
    except KeyboardInterrupt:
        note("interrupted; nothing was written.")
        raise typer.Exit(INTERRUPTED) from None
    show_report(
        f"loss {losses[0]:.6g} before, {len(losses)} updates by {optimizer}, {adapter}\n"
        + training.truth_table(case, learned)
    )
    if save is not None:
        replace_file("--save", save, training.saved(learned))
        note(f"wrote {save}")


@app.command()
def selftest(
    clean: Annotated[int, typer.Option(min=0, help="So many random correct implementations: none may be accused.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="Number of the first; an alarm is reproduced by its number.")] = 0,
    power: Annotated[bool, typer.Option("--power", help="The smallest errors that are seen, by layer.")] = False,
    faults: Annotated[
        bool, typer.Option("--faults", help="Plant every catalogued fault: is it seen, and named?")
    ] = False,
    adapter: AdapterNames = None,
    jobs: Jobs = 0,
) -> None:
    """backproof on trial: correct implementations must not be accused, small errors must be seen.

    Exit codes: 0 passed; 1 an implementation was accused, or an error was missed; 3 nobody was accused, but a framework
    failed, other than as is known of it on some processors (JAX has no float16 without F16C), or none answered.
    """
    if not clean and not power and not faults:
        raise typer.BadParameter("name a trial: --clean N, --power or --faults")
    from . import trials

    failed, campaign = False, "agrees"
    if clean:
        campaign = trials.clean(clean, first, adapter, _processes(jobs))
    if faults:
        failed = trials.faults(adapter, _processes(jobs)) or failed
    if power:
        from .power import HEADERS, rows

        table = rows()
        show_report(table_of(table, list(HEADERS)))
        failed = failed or any(row[-1] == "NO" for row in table)
    raise typer.Exit(WRONG if failed else EXIT_CODES[campaign])


@app.command()
def bench(
    small: Annotated[bool, typer.Option("--small", help="Without the net of 16.8 million weights.")] = False,
) -> None:
    """How long judging takes, in units of one backpropagation."""
    from .bench import bench as measurements

    show_report(table_of(list(measurements(large=not small)), ["what", "median", "ratio"]))


def _chosen_cases(patterns: Sequence[str], dtypes: Sequence[str]) -> list[Case]:
    from fnmatch import fnmatchcase

    from ..reference.case import one_of
    from ..reference.cases import standard_cases
    from ..reference.precision import PRECISIONS

    for dtype in dtypes:
        one_of("--dtype", dtype, PRECISIONS)
    cases = standard_cases(tuple(dict.fromkeys(dtypes)) or tuple(PRECISIONS))
    names = list(dict.fromkeys(case.name for case in cases))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            one_of("--case", pattern, names)
    return [case for case in cases if not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns)]


def _check_dtypes(adapters: Sequence[Adapter], dtypes: set[str]) -> None:
    """An adapter that runs none of the cases would be missing from the report without a word."""
    from ..reference.case import InvalidInput

    for adapter in adapters:
        if not dtypes & set(adapter.dtypes):
            raise InvalidInput(f"--dtype: adapter {adapter.name} runs {', '.join(adapter.dtypes)} only.")


FEW_CASES = 8  # fewer than this are done before a pool of processes has started


def _compared(
    cases: Sequence[Case], present: Sequence[Adapter], absent: Sequence[Adapter], jobs: int
) -> tuple[Results, int | None]:
    """The matrix, in this process or, for many cases, in several; and the exit code of what ended it early, if it was.

    Raises what ended it where no case was finished by then.
    """
    from .matrix import compare

    kept: list[Results] = []
    try:
        with progress(len(cases)) as advance:

            def done(case: Case) -> None:
                advance(f"{case.name} {case.dtype}")

            if jobs == 1 or len(cases) <= FEW_CASES:
                return compare(cases, present, absent, progress=done, ended_early=kept.append), None
            with processes(min(jobs, len(cases))) as executor:
                return compare(cases, present, absent, executor, done, kept.append), None
    except (KeyboardInterrupt, EndedBySignal) as end:
        code = int(str(end.code)) if isinstance(end, EndedBySignal) else INTERRUPTED
        if not kept:
            note("interrupted; nothing was written.")
            raise typer.Exit(code) from None
        return kept[-1], code


def main() -> None:
    """Entry point."""
    sys.exit(guarded(lambda: app(standalone_mode=False)))
