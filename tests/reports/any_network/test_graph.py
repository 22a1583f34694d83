"""The picture of a run: every result in its place, what is wrong told without colours, safe, and of bearable size."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.reference.judging import JudgedCall, JudgedRun, Verdict
from backproof.reference.programs import Origin
from backproof.reports.any_network import NumbersReport
from backproof.reports.any_network.graph import ABREAST, BLOCKS, LINES, blocks, graph, worst_first
from backproof.reports.any_network.picture import picture
from chromium import CHROMIUM, said, shown, with_scripts


def chain(n: int, line_of: Any = lambda k: 1 + k // 4, name: str = "mul") -> tuple[JudgedCall, ...]:
    """n results, each computed from the one before; the second half is the way back of the first, in reverse."""
    half = n // 2
    made = []
    for k in range(n):
        forward = k if k < half else n - 1 - k
        origin = Origin(name, "/home/who/net.py", line_of(forward), k, "", -1 if k < half else forward)
        call = JudgedCall(
            origin, 0, (2, 3), "float32", Verdict.AGREES, ratio=0.5, allowed=1e-7, error=1e-7, largest=1.0
        )
        made.append(replace(call, line=2 * k, operands=(2 * k - 2,) if k else (), backward=k >= half))
    return tuple(made)


def texts(svg: str) -> list[str]:
    tree = ET.fromstring(svg)  # noqa: S314 — our own
    return ["".join(x.itertext()) for x in tree.iter("{http://www.w3.org/2000/svg}text")]


def parsed(results: tuple[JudgedCall, ...]) -> ET.Element:
    return ET.fromstring(picture(graph(results)))  # noqa: S314 — our own


def boxes(results: tuple[JudgedCall, ...]) -> list[tuple[str, str, str]]:
    """Of each box its title, its class and the text in it."""
    spaced = "{http://www.w3.org/2000/svg}"
    found = []
    for group in parsed(results).iter(f"{spaced}g"):
        title, rect, text = (group.find(f"{spaced}{kind}") for kind in ("title", "rect", "text"))
        assert title is not None
        assert rect is not None
        assert text is not None
        found.append((title.text or "", rect.get("class") or "", text.text or ""))
    return found


def test_each_result_stands_under_its_line_beside_its_way_back() -> None:
    results = graph(chain(16))
    found = blocks(results)
    assert [block.title for block in found] == ["net.py:1", "net.py:2"]
    assert [(line.forward, line.backward) for line in found[0].lines] == [([k], [15 - k]) for k in range(4)]
    assert results[3].operands == (2,)


def test_a_box_says_digits_verdict_line_and_bound_without_colours() -> None:
    calls = list(chain(4))
    calls[0] = replace(calls[0], error=0.0, ratio=0.0)
    calls[1] = replace(calls[1], verdict=Verdict.WRONG, error=10**-2.96, ratio=800.0)
    calls[2] = replace(calls[2], verdict=Verdict.SUSPECT, error=10**-6.4, likely=1.5)
    calls[3] = replace(calls[3], verdict=Verdict.UNDECIDED, error=float("nan"), reason="lgamma has no error bound yet")
    found = {kind: (title, text) for title, kind, text in boxes(tuple(calls))}
    assert [found[kind][1] for kind in ("agrees", "wrong", "suspect", "undecided")] == ["=", "✕3.0", "!6.4", "?"]
    assert (
        found["wrong"][0]
        == "mul (net.py:1), 2 × 3 float32: wrong, 3.0 digits, largest error 8e+02 of its bound ± 1e-07"
    )
    assert found["agrees"][0].endswith("agrees, exact")
    assert "lgamma" in found["undecided"][0]
    assert worst_first(graph(tuple(calls)))[0] == (found["wrong"][0], "wrong")


def test_what_a_result_was_computed_from_is_drawn_to_it() -> None:
    groups = list(parsed(chain(4)).iter("{http://www.w3.org/2000/svg}g"))
    paths = [group.find("{http://www.w3.org/2000/svg}path") for group in groups]
    assert [path is not None for path in paths].count(False) == 1  # the first has nothing before it


def test_one_operation_on_many_tensors_is_a_line() -> None:
    calls = tuple(replace(call, backward=False) for call in chain(80, lambda k: 3))
    (block,) = blocks(graph(calls))
    assert [len(line.forward) for line in block.lines] == [80]
    found = boxes(calls)
    assert len(found) == ABREAST
    assert found[-1][2] == f"+{80 - ABREAST + 1}"
    assert "more results, none worse than agrees, 7.0 digits or more" in found[-1][0]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("line_of", [lambda k: k, lambda k: 1 + k // 100, lambda k: 1], ids=["own", "hundreds", "one"])
def test_16_000_results_are_folded_and_the_wrong_one_stays(line_of: Any) -> None:
    calls = list(chain(16_000, line_of))
    calls[7777] = replace(calls[7777], verdict=Verdict.WRONG, error=0.1, ratio=9.0)
    results = graph(tuple(calls))
    found = blocks(results)
    assert len(found) <= BLOCKS
    assert sum(len(block.lines) for block in found) <= LINES + BLOCKS
    assert sorted(k for block in found for k in block.all()) == list(range(16_000))
    svg = picture(results)
    assert len(svg) < 1_500_000
    assert svg.count('class="wrong"') == 2  # beside the legend's
    assert "16000 results: 1 wrong, 15999 agrees" in svg
    page = NumbersReport("large", JudgedRun(tuple(calls))).to_html()
    assert "and 15500 more" in page


def test_names_from_outside_are_harmless(tmp_path: Path) -> None:
    hostile = '</title><script>alert("x")</script>\x1b[2J'
    (tmp_path / "a<b>.py").write_text('x = "</text><script>"\n')
    origin = Origin(hostile, str(tmp_path / "a<b>.py"), 1, 0)
    call = replace(chain(2)[0], origin=origin, reason=hostile, verdict=Verdict.UNDECIDED)
    page = NumbersReport(hostile, JudgedRun((call,))).to_html()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=", page)
    assert any("a<b>.py:1" in text for text in texts(picture(graph((call,)))))


def test_nothing_to_draw_is_no_picture() -> None:
    assert picture(()) == ""
    assert "<svg" not in NumbersReport("f", JudgedRun(())).to_html()


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_can_be_read_on_a_phone(tmp_path: Path, width: int) -> None:
    page = NumbersReport("net", JudgedRun(chain(60))).to_html()
    script = """
    const box = document.querySelector("svg.graph").getBoundingClientRect(), text = document.querySelector("svg .digits");
    const pre = document.createElement("pre");
    pre.textContent = JSON.stringify({right: box.right, wide: document.documentElement.clientWidth,
      scrolls: document.documentElement.scrollWidth, letters: text.getBoundingClientRect().height});
    document.body.append(pre);
    """
    seen = said(shown(with_scripts(page, script), tmp_path, f"--window-size={width},900"))
    assert seen["right"] <= seen["wide"]
    assert seen["scrolls"] <= seen["wide"]
    assert seen["letters"] >= 8
