"""The HTML page and JUnit's XML: right, safe, small, quick, and usable; the last in a real browser, where there is one."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html import unescape
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import InvalidInput
from backproof.reports.chapter.entry import HOLDS, Entry
from backproof.reports.chapter.ledger import html as ledger_html
from backproof.reports.comparison.matrix import compare
from backproof.reports.documents.checked import decoded
from backproof.reports.documents.results import ORDER, Results, encoded
from backproof.reports.views.figures import Point, curves, error_against_bound, networks
from backproof.reports.views.junit import junit
from backproof.reports.views.pages import SHOWN_FAILURES, bugs, html
from backproof.reports.views.render import FORMATS, markdown, terminal
from backproof.reports.views.tables import failures
from chromium import CHROMIUM, said, shown, with_scripts
from planted import CASES, NUMPY, doubled, planted, raises

HOSTILE = '<script>alert("x")</script>\x1b[2J\x07|' + "long" * 200


@cache
def everything() -> Results:
    """What agrees, what is wrong, what gave no answer, and names that are out to do harm."""
    names = ("plain", "numpy")
    adapters = [known_adapters()[name] for name in names] + [planted("doubled", doubled), planted("raises", raises)]
    results = compare(CASES, adapters, [known_adapters()["jax"]])
    runs = [
        msgspec.structs.replace(run, adapter=HOSTILE, message=HOSTILE) if run.adapter == "raises" else run
        for run in results.runs
    ]
    return msgspec.structs.replace(results, runs=runs)


@cache
def whole_page() -> str:
    return html(everything())


@pytest.mark.usefixtures("slow")
def test_the_page_says_everything_and_loads_nothing() -> None:
    page = whole_page()
    for text in (">wrong</span>", "Error against bound", "Digits agreed, by layer", "What the checks could see", "unanswered",
                 "unit 0, input 0", "softplus in float64", "Forward, signs restored", "python -m pip install jax"):  # fmt: skip
        assert text in page, text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert not set("\x1b\x07") & set(page)
    assert "<script>alert" not in page
    assert "@import" not in page
    assert "url(http" not in page


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "html"])  # whose page is above
def test_hostile_names_are_harmless_in_every_view(name: str) -> None:
    render, _ = FORMATS[name]
    text = render(everything())
    assert "\x1b" not in text
    assert "\x07" not in text
    if name in ("junit", "markdown"):
        assert "<script>alert" not in text


@pytest.mark.usefixtures("slow")
def test_texts_are_cut_to_a_bearable_length() -> None:
    assert max(map(len, terminal(everything()).splitlines())) < 1000
    assert "long" * 150 not in markdown(everything())


@pytest.mark.usefixtures("slow")
def test_a_bug_is_told_once_and_every_run_that_shows_it_is_counted() -> None:
    failed = failures(everything())
    told = bugs(failed)
    assert 0 < len(told) < len(failed)
    assert len({(bug.verdict, bug.adapter, bug.headline) for bug in told}) == len(told)
    assert sum(1 + len(bug.others) + bug.more for bug in told) == len(failed)
    many = bugs([replace(failure, diagnosis=("it is off.",)) for failure in failed * 100])
    assert [len(bug.others) + 1 for bug in many] == [SHOWN_FAILURES]
    assert many[0].more == len(failed) * 100 - SHOWN_FAILURES


@pytest.mark.usefixtures("slow")
def test_what_does_not_agree_comes_first() -> None:
    (matrix,) = re.findall(r'id="matrix-rows".*?<tbody>(.*?)</tbody>', whole_page(), re.DOTALL)
    verdicts = [re.findall(r"<td>(.*?)</td>", row)[2].strip() for row in matrix.split("</tr>")[:-1]]
    assert verdicts == sorted(verdicts, key=ORDER.index, reverse=True)
    assert verdicts[0] == "wrong"


def test_every_point_says_what_it_is() -> None:
    svg = error_against_bound(
        [Point(1e-15, 1e-16, "xor: loss <1>", "agrees"), Point(1e-3, 1e-2, "y", "wrong")], "t", "p"
    )
    assert "<title>xor: loss &lt;1&gt;</title>" in svg
    assert svg.count("<title>") == 2
    assert "currentColor" in svg
    assert "#0" not in re.sub(r'"url\(#[^)]*\)"|href="#[^"]*"', "", svg)  # no colour of its own


@pytest.mark.usefixtures("slow")
def test_ids_are_unique_in_the_page() -> None:
    ids = re.findall(r'\bid="([^"]+)"', whole_page())
    assert len(ids) == len(set(ids)), sorted(i for i in ids if ids.count(i) > 1)[:5]


def test_what_is_no_finite_number_is_drawn_at_the_edge() -> None:
    inf, nan = float("inf"), float("nan")
    points = [Point(x, y, "p", "wrong") for x in (0.0, 1e-300, 1.0, inf, nan) for y in (0.0, 1e-7, 1e300, inf, nan)]
    lines = [("diverges", [0, 1, 2, 3], [1.0, 1e200, inf, nan]), ("stays at 0", [0, 1, 2, 3], [0.0] * 4)]
    for svg in (
        error_against_bound(points, "t", "p"),
        error_against_bound([], "t", "p"),
        curves(lines, "t", ("x", "y")),
    ):
        places = [
            float(number)
            for number in re.findall(r"translate\(([\d.]+),|([\d.]+),[\d.]+ ", svg)
            for number in number
            if number
        ]
        assert all(0 <= place <= 700 for place in places)
        assert "nan" not in svg
        assert "inf" not in svg


def test_the_worked_example_is_drawn_in_both_readings() -> None:
    drawn = {title: forward + backward for title, forward, backward in networks()}
    assert set(drawn) == {"as printed", "signs restored"}
    assert "0.5065" in drawn["signs restored"]
    assert "0.4803" in drawn["as printed"]


@pytest.mark.usefixtures("slow")
def test_junit_is_what_ci_servers_read() -> None:
    root = ET.fromstring(junit(everything()))  # noqa: S314 — our own
    assert root.tag == "testsuites"
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(everything().runs)
    assert len(root.findall(".//failure")) == sum(run.verdict == "wrong" for run in everything().runs)
    assert len(root.findall(".//error")) == sum(run.verdict == "unanswered" for run in everything().runs)
    for suite in root.findall("testsuite"):
        assert int(suite.get("tests", "0")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "0")) == len(suite.findall("testcase/failure"))
    assert all((failure.text or "").startswith("wrong: doubled") for failure in root.findall(".//failure"))


def test_a_document_is_rendered_again_from_its_file(tmp_path: Path, quick: bool) -> None:
    path = tmp_path / "results.json"
    path.write_text(encoded(everything()), encoding="utf-8")
    again = decoded(path)
    views = [render for name, (render, _) in FORMATS.items() if not (quick and name == "html")]
    assert all(render(again) == render(everything()) for render in views)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other/1"}', "null", "\x00", "[" * 10_000])
def test_a_truncated_or_foreign_document_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="expected a results document"):
        decoded(path)
    path.write_text(encoded(everything())[:-40])
    with pytest.raises(InvalidInput, match="expected a results document"):
        decoded(path)
    with pytest.raises(InvalidInput, match="cannot be read: No such file"):
        decoded(tmp_path / "none.json")


@pytest.mark.usefixtures("slow")
def test_a_large_document_makes_a_bearable_page(quick: bool) -> None:
    """100,000 comparisons; how long it takes is for `bench` to say, that the page does not grow is for this."""
    results = compare(CASES, [NUMPY])
    times = (2_000 if quick else 100_000) // sum(len(run.comparisons) for run in results.runs)
    large = msgspec.structs.replace(results, runs=results.runs * times)
    page = html(large)
    assert len(page.encode()) < 5 * 2**20


# -------------------------------------------------------------------------------------- in a real browser

AXE = [Path(folder) / "axe-core" / "axe.min.js" for folder in ("node_modules", "build/node_modules")]


@cache
def axe_core() -> str | None:
    """The text of axe-core, fetched by npm into build/ if it is not there; None where it cannot be."""
    root = Path(__file__).parents[3]
    for path in AXE:
        if (root / path).exists():
            return (root / path).read_text(encoding="utf-8")
    if shutil.which("npm") is None:
        return None
    (root / "build").mkdir(exist_ok=True)
    fetch = [
        "npm",
        "install",
        "--silent",
        "--no-save",
        "--fetch-retries=0",
        "--prefix",
        str(root / "build"),
        "axe-core@4",
    ]
    try:
        subprocess.run(fetch, capture_output=True, check=True, timeout=60)
        return (root / AXE[1]).read_text(encoding="utf-8")
    except (OSError, subprocess.SubprocessError):
        return None


@pytest.mark.usefixtures("slow")
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_the_page_is_accessible_in_a_real_browser(
    scheme: int, width: int, tmp_path: Path, sampled: Callable[[int, int], None]
) -> None:
    """Contrast, names, structure, keyboard: axe-core's rules for WCAG 2 A and AA, in Chromium."""
    sampled(2 * scheme + (width == 390), 4)
    if (source := axe_core()) is None:
        pytest.skip("axe-core cannot be fetched: npm is absent, or has no registry within reach")
    report = """window.addEventListener("load", async () => {
      document.body.style.width = "WIDTHpx";  // Chromium's own windows are no narrower than 500
      for (const part of document.querySelectorAll("details")) part.open = true;
      const found = await axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]});
      const said = found.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html.slice(0, 120)).join(" | "));
      const wide = document.body.offsetWidth, overflow = document.body.scrollWidth - wide;
      const cells = [...document.querySelectorAll("#matrix-rows td.verdict")];
      const verdict = Math.max(...cells.map((cell) => cell.getBoundingClientRect().right));
      document.body.innerHTML = "<pre>" + JSON.stringify({said, overflow, seen: wide - verdict, passes: found.passes.length}).replaceAll("<", "‹") + "</pre>";
    });"""
    page = with_scripts(whole_page(), source, report.replace("WIDTH", str(width)))
    size, colours = f"--window-size={max(width, 500)},900", f"--blink-settings=preferredColorScheme={scheme}"
    found = said(shown(page, tmp_path, size, colours))
    assert found["said"] == []
    assert found["passes"] > 15
    assert found["seen"] >= 0  # the column of verdicts, without scrolling
    assert found["overflow"] <= 0  # nothing sticks out of the page


# What a reader does: look for rows, sort by a column. Then what the page has become, and what its policy refused.
READER = """
  const refused = [];
  document.addEventListener("securitypolicyviolation", (event) => refused.push(event.violatedDirective));
  window.addEventListener("load", async () => {
    const rows = () => [...document.querySelectorAll("#matrix ~ .scroll tbody tr")];
    const filter = document.getElementById("filter"), all = rows().length;
    if (filter) { filter.value = "doubled float64"; filter.dispatchEvent(new Event("input")); }
    const left = rows().filter((row) => !row.hidden).map((row) => row.cells[0].textContent.trim());
    for (let k = 0; k < 2 && filter; k++) document.querySelector("#matrix ~ .scroll th button").click();
    const first = rows().map((row) => row.cells[0].textContent.trim());
    await new Promise((resolve) => setTimeout(resolve, 500));
    document.body.innerHTML = "<pre></pre>";
    document.querySelector("pre").textContent = JSON.stringify({all, left, first, refused, stolen: window.stolen ?? null});
  });"""
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
POLICY = "Content Security Policy"


@pytest.mark.usefixtures("slow")
@needs_chromium
def test_the_policy_lets_the_pages_own_script_work(tmp_path: Path) -> None:
    finished = shown(with_scripts(whole_page(), READER), tmp_path)
    found = said(finished)
    assert found["left"] == ["doubled"]
    assert found["all"] == 8
    assert found["first"] == sorted(found["first"], reverse=True)
    assert found["refused"] == []
    assert POLICY not in finished.stderr


@needs_chromium
@pytest.mark.parametrize("harm", [
    "<script>window.stolen = 1</script>", '<img src="x:" onerror="window.stolen = 1">',
    '<img src="https://example.invalid/x.png">', '<link rel="stylesheet" href="https://example.invalid/x.css">',
    '<iframe src="https://example.invalid/"></iframe>',
])  # fmt: skip
@pytest.mark.usefixtures("slow")
def test_the_policy_refuses_what_escaping_might_have_missed(harm: str, tmp_path: Path) -> None:
    page = with_scripts(whole_page(), READER).replace('<section aria-labelledby="power">', harm + "<section>")
    finished = shown(page, tmp_path)
    assert said(finished)["stolen"] is None
    assert POLICY in finished.stderr


@needs_chromium
@pytest.mark.usefixtures("slow")
def test_the_claims_page_has_nothing_that_its_policy_refuses(tmp_path: Path) -> None:
    curve = ("plain <b>", [1.0, 10.0, 1000.0], [1e-9, 1e-3, 1.0])
    entry = Entry(1, "<script>a claim</script>", HOLDS, "it does", (("a", "b"), ("1", "<i>")), (curve,), ("x", "y"))
    finished = shown(with_scripts(ledger_html([entry], ["plain"]), READER), tmp_path)
    assert said(finished)["refused"] == []
    assert POLICY not in finished.stderr


@pytest.mark.usefixtures("slow")
def test_each_page_has_a_policy_and_the_script_is_the_one_that_it_names() -> None:
    page = whole_page()
    (policy,) = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert unescape(policy).split("; ") == [
        "default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "base-uri 'none'", "form-action 'none'",
        f"script-src 'sha256-{digest}'",
    ]  # fmt: skip
    claims = ledger_html([], ["plain"])
    assert "default-src &#39;none&#39;; style-src" in claims
    assert "script" not in claims


@pytest.mark.parametrize("longest", [5, 20, 43, 90])
def test_a_legend_s_names_stand_beside_each_other(longest: int) -> None:
    lines = [("n" * longest, [1.0, 2.0], [1.0, 2.0]), *((name, [1.0], [1.0]) for name in "abcde")]
    figure = ET.fromstring(curves(lines, "t", ("x", "y")))  # noqa: S314 — our own
    names = {"n" * longest, *"abcde"}
    texts = [text for text in figure.iter() if text.tag.endswith("text") and text.text in names]
    placed = [(float(text.get("x", 0)), float(text.get("y", 0)), text.text) for text in texts]
    assert len(placed) == 6
    assert float(figure.get("viewBox", "").split()[3]) >= max(y for _, y, _ in placed)
    for x, y, name in placed:
        beside = [other for other, there, _ in placed if there == y and other > x]
        assert x + 6 * len(name or "") < min(beside, default=float("inf")) - 34
