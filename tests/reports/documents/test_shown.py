"""Reports as people have them: printed at a terminal's width, in a notebook, as a page, in pytest, in JUnit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import backproof as bp
import pytest
from backproof.reports.documents import Report
from forgetful import FORGETFUL

EVIL = "<script>alert(1)</script> & \x1b[31m <b>"
Command = Callable[..., subprocess.CompletedProcess[str]]


class Read(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def report() -> Report:
    return Report("wrong", None, (EVIL, "a second finding"), None, details=(EVIL,), probes=((EVIL, "wrong"),))


@pytest.mark.parametrize("made", [Report.to_html, Report._repr_html_])
def test_no_text_of_a_report_is_html(made: Callable[[Report], str]) -> None:
    read = Read(made(report()))
    assert not {"script", "b"} & {*read.tags}
    assert read.text.count("<script>alert(1)</script>") == 3
    assert "\x1b" not in read.text
    assert "a second finding" in read.text


def test_a_page_needs_nothing_else() -> None:
    page = report().to_html()
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in page
    assert "<title>backproof: wrong</title>" in page


def test_every_kind_of_report_is_shown_in_a_notebook() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(2, requires_grad=True)
    assert "<strong>agrees</strong>: sin&#39;s gradient is the chain rule" in bp.verify(torch.sin, x)._repr_html_()
    from backproof.torch import check_numbers

    assert "agrees" in check_numbers(torch.sin, x)._repr_html_()


def test_what_is_printed_fits_the_width_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Report("wrong", None, ("word " * 40,), None)
    monkeypatch.delenv("COLUMNS", raising=False)
    assert "\n" not in str(long).strip()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("LINES", raising=False)
    assert max(map(len, str(long).splitlines())) <= 80


@pytest.mark.usefixtures("slow")
def test_one_bug_is_one_failure_in_junit_and_every_view_is_written(tmp_path: Path, command: Command) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL, encoding="utf-8")
    target = f"{tmp_path}/forgetful.py:gradients"
    finished = command("verify", target, "--sizes", "2,3,1", "--cases", "few", "--out", str(tmp_path / "out"))
    assert finished.returncode == 1, finished.stderr
    root = ET.fromstring((tmp_path / "out/junit.xml").read_text())  # noqa: S314 — our own
    (suite,) = root
    assert (suite.get("failures"), suite.get("tests"), suite.get("skipped")) == ("1", "2", "1")
    assert float(suite.get("time") or 0) > 0
    assert len(root.findall(".//failure")) == 1
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"verification.txt", "verification.md", "verification.html", "verification.json", "junit.xml"}
    assert "hidden-delta-without-derivative" in (tmp_path / "out/verification.html").read_text()


@pytest.mark.usefixtures("slow")
def test_one_bug_is_one_failure_in_pytest_and_each_probe_is_an_item_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL, encoding="utf-8")
    test = "from forgetful import gradients\n\ndef test_it(backproof):\n    backproof(gradients, cases='few')\n"
    (tmp_path / "test_net.py").write_text(test, encoding="utf-8")

    def said(*options: str) -> str:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *options]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stdout

    once, each = said(), said("--backproof-each")
    assert "1 failed" in once
    assert once.count("hidden-delta-without-derivative") == 1
    assert "5 failed" in each  # of two networks, two probes each, and the whole
