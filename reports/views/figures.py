"""Figures of the HTML report: SVG by matplotlib, made to be part of the page.

Their lines and letters take the page's colours (`currentColor`), so that they are right in the light and in the dark;
each point carries what it is, for the mouse and for a screen reader.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from ...reference.case import Case, Step, run
from ...reference.numbers import PLAIN
from ...reference.worked_example import AS_PRINTED, SIGNS_RESTORED, Reading, worked_example

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, PAGE, PANEL = (
    "#010203",
    "#040506",
    "#131415",
    "#161718",
)  # stand for the page's colours until the SVG is made
COLOURS = {"agrees": "#070809", "undecided": "#0a0b0c", "suspect": "#0d0e0f", "wrong": "#101112"}
VARIABLES = {
    INK: "currentColor",
    FAINT: "var(--faint)",
    PAGE: "var(--page)",
    PANEL: "var(--panel)",
    **{colour: f"var(--{verdict})" for verdict, colour in COLOURS.items()},
}


@dataclass(frozen=True)
class Point:
    """x, y: positive numbers;  says: what it is;  verdict: which colour it has."""

    x: float
    y: float
    says: str
    verdict: str


def error_against_bound(points: Sequence[Point], title: str, prefix: str) -> str:
    """Log–log: the largest error of a step against its bound, with the line where they are equal.

    prefix: makes the ids in the page unique
    """
    figure, axes = _figure(4.6, 3.6)
    lowest = min((min(p.x, p.y) for p in points), default=1e-16)
    limits = [10 ** (_decade(lowest) - 1), 10.0]
    axes.plot(limits, limits, color=INK, linewidth=1)
    axes.annotate("error = bound", (limits[1], limits[1]), xytext=(-14, -26), textcoords="offset points", ha="right",
                  color=INK, fontsize=8)  # fmt: skip
    for k, point in enumerate(points):
        marker = "o" if point.verdict in ("agrees", "undecided") else "X"
        colour = COLOURS.get(point.verdict, INK)
        x, y = (min(max(value, limits[0]), limits[1]) for value in (point.x, point.y))  # beyond the edge is on it
        (drawn,) = axes.plot([x], [y], marker, color=colour, markersize=4, alpha=0.7)
        drawn.set_gid(f"{prefix}-{k}")
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    axes.set_xlabel("bound, relative to the largest element", color=INK, fontsize=8)
    axes.set_ylabel("largest error", color=INK, fontsize=8)
    svg = _svg(figure, title)

    def titled(found: re.Match[str]) -> str:
        return f"{found[0]}<title>{escape(points[int(found[1])].says)}</title>"

    return re.sub(rf'<g id="{_slug(title)}-{prefix}-(\d+)">', titled, svg)


def curves(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str, axes_names: tuple[str, str]
) -> str:
    """Lines of positive y over x, log–log where x spans decades; dashes tell them apart where colours cannot."""
    figure, axes = _figure(7.0, 3.6)
    dashes = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (5, 1, 1, 1)), (0, (3, 4)))
    for k, (name, xs, ys) in enumerate(lines):
        axes.plot(
            xs,
            ys,
            color=list(COLOURS.values())[k % len(COLOURS)],
            linestyle=dashes[k % len(dashes)],
            linewidth=1.4,
            label=name,
        )
    axes.set_yscale("log")
    if lines and min(lines[0][1]) > 0 and max(lines[0][1]) / min(lines[0][1]) > 100:
        axes.set_xscale("log")
    axes.set_xlabel(axes_names[0], color=INK, fontsize=8)
    axes.set_ylabel(axes_names[1], color=INK, fontsize=8)
    axes.legend(fontsize=7, labelcolor=INK, facecolor=PAGE, edgecolor=FAINT)
    return _svg(figure, title)


def _decade(x: float) -> int:
    from math import floor, log10

    return max(-18, floor(log10(x))) if x > 0 else -18


@cache
def networks() -> list[tuple[str, str, str]]:
    """The worked example's net, in both readings: a title, forward, backward."""
    drawn = []
    for reading in (AS_PRINTED, SIGNS_RESTORED):
        case = worked_example(reading)
        step = run(case, PLAIN)
        drawn.append((reading.title, _forward(case, step, reading), _backward(step, reading)))
    return drawn


def _forward(case: Case, step: Step, reading: Reading) -> str:
    figure, axes = _figure(6.4, 3.8)
    values = [list(case.inputs[0]), step.forward.activations[0][0], step.forward.activations[1][0]]
    texts = [[_short(x) for x in layer] for layer in values]
    labels = (
        [[f"{w:g}" for w in row] for row in case.layers[0].weights],
        [[f"{w:g}" for w in case.layers[1].weights[0]]],
    )
    _net(axes, texts, labels, ["x", "hidden", "output"])
    return _svg(figure, f"Forward, {reading.title}: inputs {', '.join(texts[0])}; hidden {', '.join(texts[1])}; "
                        f"output {texts[2][0]}")  # fmt: skip


def _backward(step: Step, reading: Reading) -> str:
    figure, axes = _figure(6.4, 3.8)
    deltas = [["", "", ""], *([_short(d) for d in layer[0]] for layer in step.backward.deltas)]
    gradients = [[[_short(g) for g in row] for row in layer] for layer in step.backward.weight_gradients]
    _net(axes, deltas, (gradients[0], gradients[1]), ["", "δ", "δ"])
    return _svg(figure, f"Backward, {reading.title}: hidden deltas {', '.join(deltas[1])}; output delta {deltas[2][0]}")


def _net(axes: Axes, nodes: Any, edges: Any, names: Sequence[str]) -> None:
    """Nodes in columns with their numbers, edges with theirs, near the node that they lead to, where they are apart."""
    places = [[(0.0, 1.0 - 0.5 * i) for i in range(3)], [(1.0, 1.0 - 0.5 * i) for i in range(3)], [(2.0, 0.5)]]
    for column in range(2):
        for i, (x2, y2) in enumerate(places[column + 1]):
            for j, (x1, y1) in enumerate(places[column]):
                axes.plot([x1, x2], [y1, y2], color=FAINT, linewidth=1, zorder=1)
                share = (0.64 if i % 2 else 0.76) if column == 0 else 0.5
                axes.text(x1 + (x2 - x1) * share, y1 + (y2 - y1) * share, edges[column][i][j], ha="center",
                          va="center", fontsize=7, color=INK, zorder=3,
                          bbox={"boxstyle": "round,pad=0.1", "facecolor": PAGE, "edgecolor": "none"})  # fmt: skip
    for column, (layer, name) in enumerate(zip(places, names, strict=True)):
        for (x, y), text in zip(layer, nodes[column], strict=True):
            axes.plot([x], [y], "o", color=PANEL, markersize=40, zorder=4, markeredgecolor=INK)
            axes.text(x, y, text, ha="center", va="center", fontsize=7.5, color=INK, zorder=5)
        axes.text(layer[0][0], 1.28, name, ha="center", fontsize=9, color=INK)
    axes.set(xlim=(-0.25, 2.25), ylim=(-0.25, 1.4))
    axes.set_axis_off()


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title).strip("-").lower()


def _short(x: float) -> str:
    return f"{float(x) + 0.0:.4g}"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="tight")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=7, which="both")
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    """The figure as an element of a page, in the page's colours, with a title for those who cannot see it."""
    from matplotlib import rc_context

    written = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title, "font.family": "sans-serif"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    unique = _slug(title)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{unique}-", svg)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
