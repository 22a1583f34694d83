"""A small net, drawn: its numbers are the reference's, its lines meet, and its SVG is well formed and harmless."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from backproof.reference.case import Case, Dense, run
from backproof.reference.numbers import PLAIN
from backproof.reference.worked_example import SIGNS_RESTORED, worked_example
from backproof.reports.chapter.train import network
from backproof.reports.views.drawing import Picture, as_svg, in_lines, pictures

Command = Callable[..., subprocess.CompletedProcess[str]]
CHAPTER = worked_example(SIGNS_RESTORED)


def of_sizes(*sizes: int) -> Case:
    return Case("net", network(sizes, "tanh", 3), [[0.5] * sizes[0]], [[0.25] * sizes[-1]])


def both(case: Case) -> tuple[Picture, Picture]:
    drawn = pictures(case)
    assert drawn is not None
    return drawn


def test_the_chapter_s_net_is_drawn_forward_and_backward() -> None:
    forward, backward = both(CHAPTER)
    assert in_lines(forward) == (
        "forward: activations:\n\n"
        "  input     hidden     output\n"
        "    0   ─┬─ 0.8995 ─┐\n"
        "         │          │\n"
        "    1   ─┼─ 0.5931 ─┼─ 0.5065\n"
        "         │          │\n"
        "    1   ─┴─ 0.3785 ─┘\n"
    )
    step = run(CHAPTER, PLAIN)
    for k, deltas in enumerate(step.backward.deltas):
        assert backward.nodes[k + 1] == tuple(f"{d:.4f}" for d in deltas[0])
    assert backward.edges[1][0] == tuple(f"{g:.3g}" for g in step.backward.weight_gradients[1][0])


UP, DOWN, LEFT, RIGHT = "│┼┤├┴┘└", "│┼┤├┬┐┌", "─┼┤┬┴┐┘", "─┼├┬┴┌└"


@pytest.mark.parametrize(
    "sizes", [(1, 1), (2, 2, 1), (1, 4, 1), (4, 1, 4), (2, 4, 3, 2), (3, 5, 1), (8, 8), (1, 2, 7, 8)]
)
def test_all_lines_meet(sizes: tuple[int, ...]) -> None:
    for picture in pictures(of_sizes(*sizes)) or ():
        lines = in_lines(picture, 200).splitlines()[3:]
        assert lines
        at = {(y, x): c for y, line in enumerate(lines) for x, c in enumerate(line)}
        for (y, x), c in at.items():
            if c in UP:
                assert at[y - 1, x] in DOWN
            if c in DOWN:
                assert at[y + 1, x] in UP
            if c in LEFT:
                assert at[y, x - 1] in RIGHT + " "
        for text in (text for layer in picture.nodes for text in layer):
            assert any(text in line for line in lines)


def test_what_is_too_large_is_not_drawn() -> None:
    assert pictures(of_sizes(9, 1)) is None
    assert pictures(of_sizes(1, 1, 1, 1, 1, 1, 1)) is None
    forward, _ = both(of_sizes(2, 4, 3, 2))
    assert in_lines(forward, 30) == ""


def test_the_svg_has_every_number_once_and_obeys_nobody() -> None:
    forward, _ = both(CHAPTER)
    root = ET.fromstring(as_svg(forward))  # noqa: S314 — our own
    texts = [x.text or "" for x in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == sorted(
        [*forward.names, *sum(forward.nodes, ()), *(e for layer in forward.edges for row in layer for e in row)]
    )
    evil = Picture('<script>"&', ("<b>", "<b>"), (("<i>",), ('"><script>',)), ((("</svg>",),),))
    root = ET.fromstring(as_svg(evil))  # noqa: S314 — our own
    assert {x.tag.rpartition("}")[2] for x in root.iter()} == {"svg", "title", "style", "line", "text", "circle"}


def test_one_of_ones_own_layers_is_drawn_with_an_activation_of_any_kind() -> None:
    case = Case("c", (Dense([[1.0], [2.0]], [0.0, 0.5], "softmax"),), [[1.0]], [[1.0, 0.0]], loss="cross_entropy")
    assert all(in_lines(picture) for picture in pictures(case) or ())


def test_example_and_train_draw_the_net_and_write_it(command: Command, tmp_path: Path) -> None:
    finished = command("train", "--epochs", "2", "--out", str(tmp_path / "new"))
    assert finished.returncode == 0, finished.stderr
    assert "backward: δ" in finished.stdout
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"forward.svg", "backward.svg"}
    assert "forward: activations" in command("example", "--adapter", "plain").stdout
    large = command("train", "--sizes", "2,9,1", "--epochs", "2", "--out", str(tmp_path / "large"))
    assert "too large to be drawn" in large.stderr
    assert not (tmp_path / "large").exists()
