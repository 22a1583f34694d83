"""Figures of the HTML report: small SVG, written here, made to be part of the page.

Their lines and letters take the page's colours (`currentColor`, variables), so that they are right in the light and in
the dark; each point carries what it is, for the mouse and for a screen reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from math import ceil, floor, isfinite, log10

from ...reference.case import Case, Step, run
from ...reference.numbers import PLAIN
from ...reference.worked_example import AS_PRINTED, SIGNS_RESTORED, Reading, worked_example

COLOURS = ("agrees", "undecided", "suspect", "wrong", "unanswered")
DASHES = ("none", "7 3", "2 3", "8 3 2 3", "12 4", "1 4", "6 2 1 2 1 2", "4 5")
SHAPES = (  # of the adapters, in order; 6 units across
    "M-3,0a3,3 0 1,0 6,0a3,3 0 1,0 -6,0",
    "M-2.7,-2.7h5.4v5.4h-5.4z",
    "M0,-3.4 3.4,2.6h-6.8z",
    "M0,-3.8 3.8,0 0,3.8 -3.8,0z",
    "M-3.4,-2.6h6.8L0,3.4z",
)
CROSS = "M-4.5,-4.5 4.5,4.5M4.5,-4.5-4.5,4.5"
LEAST = 1e-19  # what is less counts as zero


@dataclass(frozen=True)
class Point:
    """x, y: numbers from 0 on;  says: what it is;  verdict: its colour;  group: its shape, such as an adapter."""

    x: float
    y: float
    says: str
    verdict: str
    group: str = ""


@dataclass(frozen=True)
class _Axis:
    """From numbers to places, in logarithms or as they are. low, high: at the places `start` and `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = True

    def place(self, value: float) -> float:
        if not isfinite(value):
            return self.end
        if self.logarithmic:
            value = log10(max(value, 10**self.low))
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """At most seven places with what stands there."""
        if self.logarithmic:
            step = max(1, ceil((self.high - self.low) / 6))
            for power in range(ceil(self.low), floor(self.high) + 1, step):
                yield self.place(10.0**power), "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        else:
            for k in range(5):
                value = self.low + (self.high - self.low) * k / 4
                yield self.place(value), f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def error_against_bound(points: Sequence[Point], title: str, prefix: str) -> str:
    """Log–log: the largest error of a step against its bound, zoomed on the points, with the line where both are equal.

    prefix: makes the ids in the page unique
    """
    across, up = _logarithmic([p.x for p in points], 56, 446), _logarithmic([p.y for p in points], 316, 14)
    inside = f'clip-path="url(#{prefix}-inside)"'
    parts = [
        f'<clipPath id="{prefix}-inside"><rect x="56" y="14" width="390" height="302"/></clipPath>',
        *_frame(across, up, "bound, relative to the largest element", "largest error"),
    ]
    low, high = min(across.low, up.low), max(across.high, up.high)
    line = [(across, up, power) for power in (low, high)]
    (x1, y1), (x2, y2) = ((_beyond(a, power), _beyond(u, power)) for a, u, power in line)
    parts.append(f'<path class="outside" {inside} d="M{x1:.0f},{y1:.0f}L{x2:.0f},{y2:.0f}V-999H{x1:.0f}z"/>')
    parts.append(f'<path class="equal" {inside} d="M{x1:.0f},{y1:.0f}L{x2:.0f},{y2:.0f}"/>')
    groups = list(dict.fromkeys(p.group for p in points))
    for point in sorted(points, key=lambda p: p.verdict in ("suspect", "wrong")):  # what matters is on top
        bad = point.verdict in ("suspect", "wrong")
        shape = CROSS if bad else SHAPES[groups.index(point.group) % len(SHAPES)]
        at = f"{across.place(point.x):.1f},{up.place(point.y):.1f}"
        kind = f"mark {'cross ' if bad else ''}{point.verdict}"
        parts.append(
            f'<path class="{kind}" transform="translate({at})" d="{shape}"><title>{escape(point.says)}</title></path>'
        )
    parts.append('<text x="64" y="28" class="small">outside the bound</text>')
    parts.append('<text x="438" y="306" class="small end">inside</text>')
    return _svg(parts + _legend(groups), title, 460, 384 if any(groups) else 366)


def curves(
    lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str, axes_names: tuple[str, str]
) -> str:
    """Lines of positive y over x, log–log where x spans decades; dashes tell them apart where colours cannot."""
    every_x = [x for _, xs, _ in lines for x in xs] or [0.0, 1.0]
    every_y = [y for _, _, ys in lines for y in ys]
    up = _logarithmic(every_y, 266, 14)
    if min(every_x) > 0 and max(every_x) / min(every_x) > 100:
        across = _logarithmic(every_x, 56, 686, room=0)
    else:
        across = _Axis(min(every_x), max(*every_x, min(every_x) + 1e-9), 56, 686, logarithmic=False)
    parts = _frame(across, up, *axes_names)
    longest = max((len(name) for name, _, _ in lines), default=0)
    columns = max(1, min(3, 630 // (50 + 6 * longest)))  # of the legend; a letter is some 6 wide
    for k, (name, xs, ys) in enumerate(lines):
        points = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in zip(xs, ys, strict=True))
        style = f'class="curve {COLOURS[k % len(COLOURS)]}" stroke-dasharray="{DASHES[k % len(DASHES)]}"'
        x, y = 56 + 630 // columns * (k % columns), 326 + 18 * (k // columns)
        parts.append(f'<polyline {style} points="{points}"><title>{escape(name)}</title></polyline>')
        parts.append(
            f'<path {style} d="M{x},{y - 4}h28"/><text class="small" x="{x + 34}" y="{y}">{escape(name)}</text>'
        )
    return _svg(parts, title, 700, 326 + 18 * -(-len(lines) // columns))


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
    values = [list(case.inputs[0]), step.forward.activations[0][0], step.forward.activations[1][0]]
    texts = [[_short(x) for x in layer] for layer in values]
    edges = [[[f"{w:g}" for w in row] for row in layer.weights] for layer in case.layers]
    title = (
        f"Forward, {reading.title}: inputs {', '.join(texts[0])}; hidden {', '.join(texts[1])}; output {texts[2][0]}"
    )
    return _net(texts, edges, ["x", "hidden", "output"], title)


def _backward(step: Step, reading: Reading) -> str:
    deltas = [["", "", ""], *([_short(d) for d in layer[0]] for layer in step.backward.deltas)]
    gradients = [[[_short(g) for g in row] for row in layer] for layer in step.backward.weight_gradients]
    title = f"Backward, {reading.title}: hidden deltas {', '.join(deltas[1])}; output delta {deltas[2][0]}"
    return _net(deltas, gradients, ["", "δ", "δ"], title)


def _net(
    nodes: Sequence[Sequence[str]], edges: Sequence[Sequence[Sequence[str]]], names: Sequence[str], title: str
) -> str:
    """Nodes in columns with their numbers, edges with theirs, near where they begin, where they are apart."""
    places = [
        [(60.0 + 250 * k, 195.0 + 110 * (i - (len(layer) - 1) / 2)) for i in range(len(layer))]
        for k, layer in enumerate(nodes)
    ]
    lines, labels, circles = [], [], []
    for k, layer in enumerate(edges):
        share = 0.27 if len(places[k + 1]) > 1 else 0.45
        for i, (x2, y2) in enumerate(places[k + 1]):
            for j, (x1, y1) in enumerate(places[k]):
                lines.append(f'<path class="edge" d="M{x1:.0f},{y1:.0f}L{x2:.0f},{y2:.0f}"/>')
                at = f'x="{x1 + share * (x2 - x1):.0f}" y="{y1 + share * (y2 - y1) + 4:.0f}"'
                labels.append(f'<text class="halo middle" {at}>{escape(layer[i][j])}</text>')
    for column, layer, name in zip(places, nodes, names, strict=True):
        labels.append(f'<text class="small middle" x="{column[0][0]:.0f}" y="20">{escape(name)}</text>')
        for (x, y), text in zip(column, layer, strict=True):
            circles.append(f'<circle class="node" cx="{x:.0f}" cy="{y:.0f}" r="36"/>')
            circles.append(f'<text class="middle strong" x="{x:.0f}" y="{y + 4:.0f}">{escape(text)}</text>')
    return _svg([*lines, *labels, *circles], title, 620, 350)


def _short(x: float) -> str:
    return f"{float(x) + 0.0:.4g}"


def _logarithmic(values: Sequence[float], start: float, end: float, room: float = 0.2) -> _Axis:
    """An axis over the positive ones of these numbers, with so many decades of room, and at least two decades.

    The least fiftieth may be beyond its end, where it is drawn: it would push the others together.
    """
    positive = sorted(value for value in values if value > LEAST and isfinite(value)) or [1.0]
    low, high = floor(log10(positive[len(positive) // 50]) - room), ceil(log10(positive[-1]) + room)
    return _Axis(low, max(high, low + 2), start, end)


def _beyond(axis: _Axis, power: float) -> float:
    """The place of 10^power, outside of the axis as well."""
    return axis.start + (power - axis.low) / (axis.high - axis.low) * (axis.end - axis.start)


def _frame(across: _Axis, up: _Axis, x_name: str, y_name: str) -> list[str]:
    """The grid, what stands at its lines, and the names of the axes."""
    left, right, bottom, top = across.start, across.end, up.start, up.end
    parts = []
    for x, text in across.ticks():
        parts.append(f'<path class="grid" d="M{x:.1f},{top}V{bottom}"/>')
        parts.append(f'<text class="small middle" x="{x:.1f}" y="{bottom + 16:.0f}">{text}</text>')
    for y, text in up.ticks():
        parts.append(f'<path class="grid" d="M{left},{y:.1f}H{right}"/>')
        parts.append(f'<text class="small end" x="{left - 6:.0f}" y="{y + 4:.1f}">{text}</text>')
    middle, height = (left + right) / 2, (top + bottom) / 2
    parts.append(f'<text class="middle" x="{middle:.0f}" y="{bottom + 36:.0f}">{escape(x_name)}</text>')
    parts.append(f'<text class="middle" transform="translate(12,{height:.0f}) rotate(-90)">{escape(y_name)}</text>')
    return parts


def _legend(groups: Sequence[str]) -> list[str]:
    parts = []
    for k, group in enumerate(groups if any(groups) else ()):
        x = 64 + 96 * k
        parts.append(f'<path class="mark" transform="translate({x},374)" d="{SHAPES[k % len(SHAPES)]}"/>')
        parts.append(f'<text class="small" x="{x + 8}" y="378">{escape(group[:14])}</text>')
    return parts


def _svg(parts: Sequence[str], title: str, width: int, height: int) -> str:
    """The figure as an element of a page, in the page's colours, with a title for those who cannot see it."""
    head = (
        f'<svg role="img" aria-label="{escape(title)}" viewBox="0 0 {width} {height}" width="100%" fill="currentColor">'
    )
    return head + "".join(parts) + "</svg>"
