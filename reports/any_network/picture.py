"""The graph of a run as a picture: an SVG of our own, narrow enough for a phone, without a script.

Down the left the way forward, beside it the way back, under the line of the user's code that they come from. A box is
a result: its digits stand in it and give it its colour, and pointing at it shows the rest and what it was computed
from. Verdicts are signs and borders as well, so that no colour has to be told from another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from ...adapters.protocol import printable
from .graph import Block, Result, abreast, blocks
from .wording import counted

WIDTH, BOX, HIGH, PITCH, ROW, HEAD = 380, 27, 15, 30, 20, 17  # in pixels of a phone
LABEL, FORWARD, BACKWARD = 4, 106, 232  # where columns begin
ACROSS = {False: (BACKWARD - FORWARD) // PITCH, True: (WIDTH - BACKWARD) // PITCH}  # boxes of a column
EDGES = 2000  # lines between boxes, at most
# Up to so many digits: viridis, whose steps differ in lightness as well; on dark ones letters are white.
# Source: van der Walt & Smith, A better default colormap for Matplotlib, SciPy 2015.
STEPS = ((1, "#440154"), (2, "#414487"), (4, "#2a788e"), (6, "#22a884"), (8, "#7ad151"), (99, "#fde725"))
DARK = 3
SIGNS = {"wrong": "✕", "suspect": "!", "undecided": "?", "agrees": ""}


def picture(results: Sequence[Result]) -> str:
    """The SVG; empty where there is nothing to draw."""
    if not results:
        return ""
    drawn = _Drawn()
    parts = [part for block in blocks(results) for part in drawn.block(results, block)]
    boxes = drawn.boxes(results)
    height = drawn.y + 6
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(_told(results))}">'
    )
    return "\n".join([head, STYLE, *_legend(), *parts, *boxes, "</svg>\n"])


class _Drawn:
    """Where things are. y: below what is drawn so far;  at: the places of boxes, with what each stands for."""

    def __init__(self) -> None:
        self.y = 66
        self.at: list[tuple[int, int, Result, tuple[int, ...]]] = []
        self.often: set[tuple[int, int]] = set()  # boxes of one operation on many tensors, such as an optimizer's

    def block(self, results: Sequence[Result], block: Block) -> Iterator[str]:
        self.y += 6
        yield f'<path class="rule" d="M{LABEL},{self.y}H{WIDTH - LABEL}"/>'
        title = printable(block.title, 26)
        code = escape(printable(block.code, 60 - len(title)))
        yield f'<text x="{LABEL}" y="{self.y + 12}"><tspan class="place">{escape(title)}</tspan> {code}</text>'
        self.y += HEAD
        for line in block.lines:
            yield f'<text x="{LABEL}" y="{self.y + 11}">{escape(printable(line.name, 16))}</text>'
            forward = self._column(results, line.forward, FORWARD, wide=not line.backward)
            backward = self._column(results, line.backward, BACKWARD)
            self.y += ROW * max(1, forward, backward)

    def _column(self, results: Sequence[Result], among: Sequence[int], left: int, wide: bool = False) -> int:
        """Places boxes; in how many rows."""
        across = (WIDTH - left) // PITCH if wide else ACROSS[left == BACKWARD]
        boxes = list(abreast(results, among))
        for k, (result, those) in enumerate(boxes):
            x, y = left + PITCH * (k % across), self.y + ROW * (k // across)
            self.at.append((x, y, result, those))
            if len(boxes) > across:
                self.often.add((x, y))
        return -(-len(boxes) // across)

    def boxes(self, results: Sequence[Result]) -> Iterator[str]:
        """All boxes, each with the lines that lead to it."""
        places = {k: (x, y) for x, y, _, those in self.at for k in those}
        left = EDGES
        for x, y, result, those in self.at:
            operands = [places[k] for n in those[:ABREAST_EDGES] for k in results[n].operands if k in places]
            sources = [at for at in dict.fromkeys(operands) if at != (x, y)][:left]
            left -= len(sources)
            yield _box(x, y, result, sources, (x, y) in self.often)


ABREAST_EDGES = 8  # of results that are drawn as one, so many are followed


def _box(x: int, y: int, result: Result, sources: Sequence[tuple[int, int]], often: bool) -> str:
    edges = "".join(_edge(a, b, x, y) for a, b in sources)
    lines = f'<path class="edge{" often" if often else ""}" d="{edges}"/>' if edges else ""
    kind = result.verdict if result.verdict in SIGNS else "undecided"
    sign, digits = SIGNS.get(result.verdict, "?"), result.digits
    colour, dark = _colour(digits) if result.verdict != "undecided" else ("none", False)
    text = result.name if result.name.startswith("+") else sign if sign == "?" else f"{sign}{_short(digits)}"
    return (
        f"<g><title>{escape(printable(result.says))}</title>{lines}"
        f'<rect class="{kind}" x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="3" fill="{colour}"/>'
        f'<text class="digits{" light" if dark else ""}" x="{x + BOX / 2:g}" y="{y + 11}">{escape(text)}</text></g>'
    )


def _edge(x1: int, y1: int, x2: int, y2: int) -> str:
    """From one box to another: down, up, or along a row."""
    if y1 == y2:
        start, end = (x1 + BOX, x2) if x1 < x2 else (x1, x2 + BOX)
        return f"M{start},{y1 + HIGH // 2}H{end}"
    start, end = (y1 + HIGH, y2) if y1 < y2 else (y1, y2 + HIGH)
    middle, a, b = (start + end) // 2, x1 + BOX // 2, x2 + BOX // 2
    return f"M{a},{start}C{a},{middle} {b},{middle} {b},{end}"


def _colour(digits: float | None) -> tuple[str, bool]:
    k = len(STEPS) - 1 if digits is None else next((k for k, (most, _) in enumerate(STEPS) if digits < most), -1)
    return STEPS[k][1], k < DARK


def _short(digits: float | None) -> str:
    return "=" if digits is None else f"{digits:.1f}" if digits < 10 else f"{digits:.0f}"


def _legend() -> Iterator[str]:
    """What colours, numbers and signs are."""
    yield f'<text x="{LABEL}" y="11">digits agreed</text>'
    below = 0
    for k, (most, colour) in enumerate(STEPS):
        x = FORWARD + 45 * k
        said = f"{below}+" if k == len(STEPS) - 1 else f"{below}–{most}"
        yield f'<rect x="{x}" y="0" width="38" height="{HIGH}" rx="3" fill="{colour}"/>'
        yield f'<text class="digits{" light" if k < DARK else ""}" x="{x + 19}" y="11">{said}</text>'
        below = most
    signs = (
        ("agrees", "=", "exact"),
        ("undecided", "?", "undecided"),
        ("suspect", "!", "suspect"),
        ("wrong", "✕", "wrong"),
    )
    for k, (kind, sign, said) in enumerate(signs):
        x = (LABEL, 90, 190, 285)[k]
        fill = STEPS[-1][1] if kind == "agrees" else "none"
        yield f'<rect class="{kind}" x="{x}" y="23" width="{BOX}" height="{HIGH}" rx="3" fill="{fill}"/>'
        yield f'<text class="digits{"" if kind == "agrees" else " plain"}" x="{x + BOX / 2:g}" y="34">{sign}</text>'
        yield f'<text x="{x + BOX + 5}" y="34">{said}</text>'
    for x, said in ((LABEL, "operation"), (FORWARD, "forward ↓"), (BACKWARD, "backward ↑")):
        yield f'<text class="place" x="{x}" y="62">{said}</text>'


def _told(results: Sequence[Result]) -> str:
    """For who does not see it."""
    verdicts = Counter(r.verdict for r in results)
    counts = ", ".join(f"{verdicts[v]} {v}" for v in SIGNS if verdicts[v])
    return f"The graph of the run: {counted(len(results), 'result')}: {counts}"


STYLE = """\
<style>
.graph { display: block; width: 100%; height: auto; max-width: 34rem; --graph-line: #d5d8dc; --graph-bad: #b3141f }
.graph text { font: 10px ui-monospace, monospace; fill: currentColor; white-space: pre }
.graph .place { font-weight: 700 }
.graph .digits { text-anchor: middle; fill: #111; font-size: 9.5px }
.graph .light { fill: #fff }
.graph .plain { fill: currentColor }
.graph .rule { stroke: var(--graph-line) }
.graph .edge { fill: none; stroke: currentColor; stroke-width: .7; opacity: .22 }
.graph .often { opacity: 0 }
.graph g:hover .edge { stroke-width: 2; opacity: 1 }
.graph g:hover rect { stroke: currentColor; stroke-width: 2 }
.graph .undecided { stroke: currentColor; stroke-dasharray: 2 2 }
.graph .undecided + text { fill: currentColor }
.graph .suspect { stroke: currentColor; stroke-width: 2; stroke-dasharray: 4 2 }
.graph .wrong { stroke: var(--graph-bad); stroke-width: 3 }
@media (prefers-color-scheme: dark) { .graph { --graph-line: #3a3d43; --graph-bad: #ff8a8f } }
</style>"""
