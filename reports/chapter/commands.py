"""`backproof example`, `claims` and `train`. Imports inside commands keep --help quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import columns, note, progress, show_report
from ..guard import INTERRUPTED
from ..options import AGREES, WRONG, AdapterNames, whole_numbers

if TYPE_CHECKING:
    from ..views import Picture


Drawings = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Also write forward.svg and backward.svg there.")
]


def example(adapter: AdapterNames = None, out: Drawings = None) -> None:
    """The chapter's worked example: printed, as printed, signs restored; then backward and one delta-rule step."""
    from ...adapters.adapter import chosen, known_adapters
    from ...reference.case import InvalidInput
    from ...reference.worked_example import SIGNS_RESTORED, worked_example
    from ..views import pictures, prepare
    from .example import example as worked

    meant = worked_example(SIGNS_RESTORED)
    present = [each for each in chosen(adapter or ()) if each.refusal(meant) is None]
    if not present:
        raise InvalidInput(f"--adapter: {', '.join(adapter or ())} cannot run the chapter's network.")
    if out is not None:
        prepare(out)
    report, agrees = worked(present, columns(sys.stdout))
    show_report(report)
    _draw(out, pictures(worked_example(SIGNS_RESTORED)))
    absent = [each.name for each in known_adapters().values() if not each.present and not adapter]
    if absent:
        note(f"not installed: {', '.join(absent)}; `backproof adapters` says how to bring each")
    raise typer.Exit(AGREES if agrees else WRONG)


def _draw(out: Path | None, drawn: tuple[Picture, Picture] | None) -> None:
    """The net's pictures as files. Raises InvalidInput where they cannot be written."""
    from ..views import as_svg, write_pages

    if out is None:
        return
    if drawn is None:
        note("the net is too large to be drawn.")
        return
    for path in write_pages(out, dict(zip(("forward.svg", "backward.svg"), map(as_svg, drawn), strict=True))):
        note(f"wrote {path}")


class LedgerFormat(StrEnum):
    """How the ledger is printed."""

    terminal = "terminal"
    markdown = "markdown"
    html = "html"
    json = "json"


def claims(
    adapter: AdapterNames = None,
    format: Annotated[
        LedgerFormat, typer.Option(metavar="VIEW", help="What is printed: terminal, markdown, html or json.")
    ] = LedgerFormat.terminal,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write claims.md, .html and .json there.")
    ] = None,
) -> None:
    """Run the chapter's claims, one by one: what holds, what holds with a limit, what is too strong."""
    from ...adapters.adapter import chosen
    from ...reference.case import InvalidInput
    from ..views import prepare, write_pages
    from . import ledger

    if out is not None:
        prepare(out)
    taking_part = [each for each in chosen(adapter or ()) if each.train]
    if not taking_part:
        raise InvalidInput("--adapter: none of these can train; plain, torch and jax can.")
    names = [each.name for each in taking_part]
    with progress(len(ledger.CHECKS)) as done:
        entries = ledger.ledger(taking_part, done)
    views = {
        "terminal": ledger.terminal(entries, columns(sys.stdout)), "markdown": ledger.markdown(entries),
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
    out: Drawings = None,
) -> None:
    """Train the chapter's net, or a given one, and print what it has learned."""
    from ...adapters.adapter import chosen
    from ...reference.case import Case, InvalidInput, one_of
    from ...reference.update_rules import UPDATE_RULES
    from ..views import in_lines, prepare, prepare_file, replace_file
    from . import train as training

    one_of("--optimizer", optimizer, UPDATE_RULES)
    (by,) = chosen([adapter])
    if by.train is None:
        raise InvalidInput(f"--adapter: {adapter} cannot train; plain, torch and jax can.")
    layers = (
        training.network(whole_numbers(sizes) or [], activation, seed, bias) if load is None else training.loaded(load)
    )
    inputs, targets = training.samples(data, len(layers[0].weights[0]), len(layers[-1].weights))
    case = Case("train", layers, inputs, targets, loss=loss, learning_rate=rate)
    if save is not None:
        prepare_file("--save", save)
    if out is not None:
        prepare(out)
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
        + training.truth_table(case, learned, columns(sys.stdout))
    )
    worst, drawn = training.drawn_at_its_worst(case, learned)
    shown = [in_lines(picture, columns(sys.stdout)) for picture in drawn or ()]
    if all(shown) and shown:
        show_report(f"\non sample {worst + 1}, where it is off most\n\n" + "\n".join(shown))
    if save is not None:
        replace_file("--save", save, training.saved(learned))
        note(f"wrote {save}")
    _draw(out, drawn)


COMMANDS: dict[str, Callable[..., None]] = {"example": example, "claims": claims, "train": train}
