"""`backproof layers`: a dense net in files, too large for memory, judged a layer at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import show_report
from .options import EXIT_CODES


def layers(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="With inputs.npy, targets.npy and, for each layer, 0.weights.npy, 0.deltas.npy, …: docs/machines.md.",
        ),
    ],
    activations: Annotated[str, typer.Option(help="One for all layers, or one per layer, by commas.")],
    loss: Annotated[str, typer.Option(help="Such as mse, or 'huber(0.5)'.")] = "half_squared_error",
    reduction: Annotated[str, typer.Option(help="sum or mean.")] = "sum",
    precision: Annotated[
        str | None, typer.Option(help="What was computed in, such as tf32; default: the weight gradients' format.")
    ] = None,
    probabilistic: Annotated[
        bool, typer.Option("--probabilistic", help="Weight gradients by Freivalds' check; its chances are said.")
    ] = False,
) -> None:
    """Judge every number of a dense net's forward and backward pass, from arrays mapped from files."""
    import numpy as np

    from ..reference.case import InvalidInput
    from ..reference.judging import judge_layers, layers_in
    from .options import separate_names

    rows = {}
    for name in ("inputs", "targets"):
        try:
            rows[name] = np.load(folder / f"{name}.npy")
        except (OSError, ValueError, EOFError) as error:
            said = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise InvalidInput(f"{folder / name}.npy: expected an array as numpy.save writes it; {said}.") from error
    names = separate_names(activations) or ""
    if isinstance(names, str):
        names = [names] * len(list(folder.glob("*.weights.npy")))
    judgement = judge_layers(
        layers_in(folder, names), **rows, loss=loss, reduction=reduction, precision=precision,
        probabilistic=probabilistic,
    )  # fmt: skip
    show_report(f"{judgement}\n")
    raise typer.Exit(EXIT_CODES[judgement.verdict.value])
