"""The built site, in a real browser from the file system: `tox run -e docs` builds it into build/site and then runs this."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from chromium import CHROMIUM, QUIET

SITE = Path(__file__).parents[1] / "build" / "site"

pytestmark = pytest.mark.skipif(not (SITE / "index.html").exists(), reason="build/site is not there: tox run -e docs")


def pages() -> list[Path]:
    return sorted(SITE.rglob("*.html"))


def test_no_page_loads_anything_from_elsewhere() -> None:
    assert len(pages()) > 20
    for page in pages():
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="?(https?:[^" >]+)', page.read_text(encoding="utf-8"))
        loaded += re.findall(
            r'<link[^>]* rel="?stylesheet"?[^>]* href="?(https?:[^" >]+)', page.read_text(encoding="utf-8")
        )
        assert loaded == [], page


def test_the_interface_has_its_parameters_with_types() -> None:
    page = (SITE / "api.html").read_text(encoding="utf-8")
    assert page.count("Parameters:") > 10
    assert page.count("Raises:") > 10
    assert "units per layer, the inputs first" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize(("page", "word", "found"), [
    ("index.html", "gradcheck", "any-network.html"), ("pt/tutorial.html", "sigmoid", "tutorial.html"),
    ("frameworks/keras.html", "professores", "professores.html"),
])  # fmt: skip
def test_the_search_finds_from_the_file_system(page: str, word: str, found: str, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    finished = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={tmp_path}", "--virtual-time-budget=30000", "--dump-dom",
         f"file://{SITE / page}?q={word}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    results = re.findall(
        r'href="([^"]+)"[^>]* class="md-search-result__link|class="md-search-result__link" href="([^"]+)"',
        finished.stdout,
    )
    assert any(found in link for pair in results for link in pair), finished.stderr[-1000:]
