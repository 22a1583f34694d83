"""Random edits of a backpropagation written by hand: mistakes that nobody has chosen, drawn from their number alone.

`handwritten_network.run` is the algorithm; `kinds_of_edits.MAKERS` are the kinds of edits; `draw` makes a network with
one edit in it, or with two in different layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...reference.case import Case
from .handwritten_network import Edit, Network, run
from .kinds_of_edits import FAMILY, HIDDEN, MAKERS, Drawing

BATCHES = (4, 1, 2, 1)  # of the probes, as validation has them
FORMATS = {"float64": 0.46, "float32": 0.46, "float16": 0.04, "bfloat16": 0.04}
TWO = 0.3  # share of networks with two edits, in different layers


@dataclass(frozen=True)
class Edited:
    """A network with its edits, and the probes that it is tried on."""

    network: Network
    cases: tuple[Case, ...]
    edits: tuple[Edit, ...]

    @property
    def kind(self) -> str:
        """The edit's kind; of two, their families."""
        if len(self.edits) == 1:
            return self.edits[0].kind
        return "two: " + " + ".join(sorted(FAMILY[edit.kind] for edit in self.edits))


def draw(number: int) -> Edited:
    """Everything about edit `number`."""
    rng = np.random.default_rng([number, 71])
    two = bool(rng.random() < TWO)
    network = _network(rng, int(rng.integers(2, 4)) if two else int(rng.integers(1, 4)))
    cases = network.cases(BATCHES, number)
    drawing = Drawing(rng, network, [run(network, case) for case in cases], alone=not two)
    layers = rng.choice(network.last + 1, size=1 + two, replace=False)
    return Edited(network, cases, tuple(_edit(drawing, int(k)) for k in layers))


def _network(rng: np.random.Generator, depth: int) -> Network:
    widths = rng.integers(2, 7, depth + 1)
    sizes = tuple(int(n) for n in (np.full(depth + 1, widths[0]) if rng.random() < 0.3 else widths))
    loss = str(rng.choice(["half_squared_error", "squared_error", "binary_cross_entropy", "softmax_cross_entropy"]))
    output = {"binary_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}.get(loss, str(rng.choice(HIDDEN)))
    biased = {
        "all": (True,) * depth,
        "none": (False,) * depth,
        "hidden": (*(True,) * (depth - 1), False),
    }[str(rng.choice(["all", "none", "hidden"], p=[0.7, 0.15, 0.15]))]
    return Network(
        sizes,
        (*(str(name) for name in rng.choice(HIDDEN, depth - 1)), output),
        loss,
        str(rng.choice(["sum", "mean"])),
        biased,
        str(rng.choice(list(FORMATS), p=list(FORMATS.values()))),
        bool(rng.random() < 0.5),
    )


def _edit(drawing: Drawing, k: int) -> Edit:
    """An edit of layer k, of a kind that makes sense there."""
    kinds = list(MAKERS)
    shares = np.array([MAKERS[kind][1] for kind in kinds])
    while True:
        kind = str(drawing.rng.choice(kinds, p=shares / shares.sum()))
        made = MAKERS[kind][2](drawing, k)
        if made is not None:
            return Edit(kind, *made)
