"""A small net, drawn, forward and backward: each unit with its number, in lines of a terminal and as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from ...reference.case import Case, Step, run
from ...reference.numbers import PLAIN

LARGEST_LAYER, MOST_LAYERS = 8, 5  # units and layers of what is drawn
PAGE = 80  # columns of a terminal where none is asked for


@dataclass(frozen=True)
class Picture:
    """title: of it;  names: of the layers, the inputs first;  nodes: a text per unit of each;  edges: of each layer, a
    text per unit and input."""

    title: str
    names: tuple[str, ...]
    nodes: tuple[tuple[str, ...], ...]
    edges: tuple[tuple[tuple[str, ...], ...], ...]


def pictures(case: Case, sample: int = 0) -> tuple[Picture, Picture] | None:
    """One sample on its way forward, with the weights, and backward, with ∂E/∂w; None for a net that is too large."""
    if max(case.sizes) > LARGEST_LAYER or len(case.layers) > MOST_LAYERS:
        return None
    one = slice(sample, sample + 1)
    alone = replace(case, inputs=case.inputs[one], targets=case.targets[one], learning_rate=None, online=False)
    step = run(alone, PLAIN)
    hidden = [f"hidden {k + 1}" for k in range(len(case.layers) - 1)] if len(case.layers) > 2 else ["hidden"]
    names = ("input", *hidden[: len(case.layers) - 1], "output")
    inputs = tuple(f"{x:g}" for x in alone.inputs[0])
    return _forward(alone, step, names, inputs), _backward(step, names, inputs)


def _forward(case: Case, step: Step, names: tuple[str, ...], inputs: tuple[str, ...]) -> Picture:
    nodes = (inputs, *(tuple(map(_four, a[0])) for a in step.forward.activations))
    edges = tuple(tuple(tuple(map(_three, row)) for row in layer.weights) for layer in case.layers)
    return Picture("forward: activations", names, nodes, edges)


def _backward(step: Step, names: tuple[str, ...], inputs: tuple[str, ...]) -> Picture:
    nodes = (inputs, *(tuple(map(_four, d[0])) for d in step.backward.deltas))
    edges = tuple(tuple(tuple(map(_three, row)) for row in layer) for layer in step.backward.weight_gradients)
    return Picture(
        "backward: δ, from the output to the inputs", (names[0], *(f"δ {n}" for n in names[1:])), nodes, edges
    )


def _four(x: float) -> str:
    return f"{float(x) + 0.0:.4f}"  # + 0.0: a zero has no sign for the reader


def _three(x: float) -> str:
    return f"{float(x) + 0.0:.3g}"


# ------------------------------------------------------------------------------------------------- in a terminal

# By what leads to it: a line from the left, to the right, above, below.
CROSSINGS = {
    "    ": " ", "lr  ": "─", "  ud": "│", "lrud": "┼", "l ud": "┤", " rud": "├", "lr d": "┬", "lru ": "┴",
    "l  d": "┐", "l u ": "┘", " r d": "┌", " ru ": "└", "l   ": "─", " r  ": "─",
}  # fmt: skip


def in_lines(picture: Picture, width: int | None = None) -> str:
    """Units in columns, each layer's in the middle, joined by what all of one layer lead to all of the next by.

    Empty where that is wider than `width`.
    """
    height = 2 * max(map(len, picture.nodes)) - 1
    rows = [[height // 2 - (len(layer) - 1) + 2 * k for k in range(len(layer))] for layer in picture.nodes]
    cells = [max(map(len, (*layer, name))) for layer, name in zip(picture.nodes, picture.names, strict=True)]
    lines = [_line(picture, rows, cells, y) for y in range(height)]
    names = "     ".join(name.center(cell) for name, cell in zip(picture.names, cells, strict=True))
    drawing = [f"{picture.title}:", "", f"  {names}".rstrip(), *(f"  {line}".rstrip() for line in lines)]
    fits = max(map(len, drawing)) <= (PAGE if width is None else width)
    return "\n".join(drawing) + "\n" if fits else ""


def _line(picture: Picture, rows: Sequence[Sequence[int]], cells: Sequence[int], y: int) -> str:
    parts = []
    for k, (layer, cell) in enumerate(zip(picture.nodes, cells, strict=True)):
        here = y in rows[k]
        parts.append(layer[rows[k].index(y)].center(cell) if here else " " * cell)
        if k + 1 < len(cells):
            there, both = y in rows[k + 1], (*rows[k], *rows[k + 1])
            sides = (
                "l" if here else " ",
                "r" if there else " ",
                "u" if y > min(both) else " ",
                "d" if y < max(both) else " ",
            )
            outside = not min(both) <= y <= max(both)
            parts.append(
                (" ─" if here else "  ") + (" " if outside else CROSSINGS["".join(sides)]) + ("─ " if there else "  ")
            )
    return "".join(parts)


# --------------------------------------------------------------------------------------------------------- as SVG

ACROSS, DOWN, RADIUS, EDGE = 240, 96, 30, 60  # between columns and units, of a unit, around it all


def as_svg(picture: Picture) -> str:
    """The same as a file of its own, with a number on each edge, for the light and the dark."""
    tallest = max(map(len, picture.nodes))
    width, height = 2 * EDGE + ACROSS * (len(picture.nodes) - 1), 2 * EDGE + DOWN * (tallest - 1) + 24
    places = [
        [(EDGE + ACROSS * k, EDGE + 24 + DOWN * (i + (tallest - len(layer)) / 2)) for i in range(len(layer))]
        for k, layer in enumerate(picture.nodes)
    ]
    lines, labels, units = [], [], []
    for k, layer in enumerate(picture.edges):
        for i, row in enumerate(layer):
            for j, said in enumerate(row):
                (x1, y1), (x2, y2) = places[k][j], places[k + 1][i]
                share = 0.73  # near the unit that it leads to, where edges are apart
                lines.append(f'<line x1="{x1}" y1="{y1:g}" x2="{x2}" y2="{y2:g}"/>')
                labels.append(_text(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share + 3, said, "edge"))
    for column, texts in zip(places, picture.nodes, strict=True):
        for (x, y), text in zip(column, texts, strict=True):
            units += [f'<circle cx="{x}" cy="{y:g}" r="{RADIUS}"/>', _text(x, y + 4, text, "unit")]
    names = [_text(EDGE + ACROSS * k, 18, name, "name") for k, name in enumerate(picture.names)]
    told = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in zip(picture.names, picture.nodes, strict=True))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
        f'height="{height:g}" role="img" aria-label="{escape(f"{picture.title}. {told}")}">'
    )
    return "\n".join(
        [head, f"<title>{escape(picture.title)}</title>", STYLE, *lines, *labels, *units, *names, "</svg>\n"]
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>'


STYLE = """\
<style>
svg { background: #fff; color: #1a1a1a; font-family: system-ui, sans-serif }
text { text-anchor: middle; fill: currentColor; font-size: 13px }
line { stroke: #9aa4b2; stroke-width: 1.2 }
circle { fill: #eef3fb; stroke: #3b6fb6; stroke-width: 1.5 }
.edge { font-size: 11px; paint-order: stroke; stroke: #fff; stroke-width: 4px }
.name { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  svg { background: #15181d; color: #e8eaed }
  circle { fill: #1f2a3a; stroke: #7fb0ee }
  .edge { stroke: #15181d }
}
</style>"""
