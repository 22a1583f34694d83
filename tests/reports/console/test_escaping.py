"""Any text in any field of a results document or of a verification: shown in every view, obeyed in none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("hypothesis")
pytest.importorskip("markdown_it")  # which rich brings

import msgspec
from backproof.reports.comparison.difference import changes
from backproof.reports.comparison.matrix import compare
from backproof.reports.console.escaping import json_text, markdown_block, markdown_code, markdown_text, printable_lines
from backproof.reports.documents.report import Report
from backproof.reports.documents.results import Absent, BlasResult, Results, encoded
from backproof.reports.options import Format
from backproof.reports.verify import _verification
from backproof.reports.views.junit import junit
from backproof.reports.views.pages import html
from backproof.reports.views.render import markdown, terminal
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from planted import CASES, NUMPY, doubled, planted, raises

HARMFUL = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</style>", "<!--", "-->", "&lt;", "&#60;b&#62;", "<b", "]]>",
    "![x](http://a.example/x.png)", "[click](javascript:alert(1))", "[x]: http://a.example", "[x][y]", "<http://a.example>",
    "http://a.example/", "www.a.example", "mailto:a@b.example", "xmpp:a@b.example", "a@b.example", "@octocat", "#1", "GH-1", "a/b#2",
    "`", "``", "```", "````", "~~~", "\n```\n", "|", "\\|", "\\", "\\\\", "*", "**", "_", "__", "~~", "$x$", "$$",
    "# ", "## x", "- ", "+ ", "1. ", "2) ", "> ", "---", "***", "===", "    ", "\t", "- [ ] ", ":-:", "{{ 1 }}", "{% x %}", "[^1]",
    "\x1b[31m", "\x1b]0;x\x07", "\x9b2J", "\x7f", "\x00", "\x85", "\r", "\r\n", "\n", "\x0b", "\u2028", "\u2029",
    "\u202a", "\u202e", "\u2066", "\u2069", "\u200b", "\ufeff", "\ud800", "\udfff", "\ufffe", "\U0001ffff", "\U000e0041", "é", "日本", "😀",
)  # fmt: skip
ANY = st.characters() | st.characters(categories=["Cs", "Cc", "Cf", "Cn", "Zl", "Zp", "Po", "Sm"])
EXAMPLES = settings().max_examples  # of the profile: fewer in a quick run
TEXTS = st.lists(st.sampled_from(HARMFUL) | st.text(ANY, max_size=4) | st.text("ab1", max_size=3), max_size=6).map(
    "".join
)
LONG = "".join(HARMFUL)

READ = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What GitHub looks for in the text that Markdown has left: mentions, numbers, addresses, links without brackets.
ALIVE = re.compile(r"@\w|#\w|\bGH-\d|://|\bwww\.|\b(?:mailto|xmpp):", re.IGNORECASE)
OBEYED = {"link_open", "image", "html_inline", "html_block", "blockquote_open", "ordered_list_open", "hr", "code_block",
          "em_open", "s_open", }  # fmt: skip


def is_shown(text: str) -> bool:
    return text.replace("\n", "").isprintable()


def tokens(page: str) -> Iterator[Token]:
    for token in READ.parse(page):
        yield token
        yield from token.children or ()


def check_markdown(page: str) -> None:
    assert is_shown(page)
    for token in tokens(page):
        assert token.type not in OBEYED, (token, page)
        assert token.type != "text" or not ALIVE.search(token.content), (token, page)


def read_back(line: str) -> str:
    """What one line of Markdown shows."""
    return "".join(token.content for token in tokens(line) if token.type in ("text", "code_inline", "text_special"))


def plain(text: str) -> str:
    """The text as it is to be shown on one line. Spaces at its ends are not seen."""
    return printable_lines(text).replace("\n", " ").strip()


# --------------------------------------------------------------------------------------------- the functions


@given(TEXTS)
@example(LONG)
@example("1. x")
@example("- x")
@example("@`")
@example("`@`@#1://``")
def test_markdown_text_shows_the_text_and_nothing_else(text: str) -> None:
    for page in (markdown_text(text), f"- {markdown_text(text)}", f"| a |\n|---|\n| {markdown_text(text)} |\n"):
        check_markdown(page)
    assert read_back(markdown_text(text)).strip() == plain(text)
    cell = read_back(f"| a |\n|---|\n| {markdown_text(text)} |\n").removeprefix("a")
    assert cell.strip() == plain(text)


@given(TEXTS)
@example("`")
@example(LONG)
def test_code_in_markdown_is_not_ended_by_what_is_in_it(text: str) -> None:
    inline = [token for token in tokens(f"x {markdown_code(text)} y") if token.type != "inline"]
    assert [token.type for token in inline] == ["paragraph_open", "text", "code_inline", "text", "paragraph_close"]
    assert inline[2].content.strip() == plain(text)
    (block,) = READ.parse(markdown_block(text))
    assert (block.type, block.content) == ("fence", printable_lines(text) + "\n")


@given(st.dictionaries(TEXTS, TEXTS, max_size=3))
@example({LONG: LONG})
def test_json_with_escapes_is_the_same_json(value: dict[str, str]) -> None:
    text = json_text(json.dumps(value, ensure_ascii=False))
    assert is_shown(text)
    assert joined(json.loads(text)) == joined(value)


def joined(value: dict[str, str]) -> str:
    """With halves of surrogate pairs that happen to stand together as the one character that they are."""
    text = "".join(f"{key}\0{said}\0" for key, said in value.items())
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


# ------------------------------------------------------------------------------------- the results document

BASE = msgspec.structs.replace(
    compare(CASES[:2], [NUMPY, planted("doubled", doubled), planted("raises", raises)]), absent=[Absent("x", "y")]
)
WORDS = {"schema", "verdict", "quantity"}  # those that are words of ours, decoding sees to it; a quantity is told apart


def everywhere(text: str) -> Results:
    """The document with this text in every field, in names together with what tells them apart."""
    numbers: dict[tuple[str, str], int] = {}

    def replaced(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {k: replaced(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [replaced(item, key) for item in value]
        if not isinstance(value, str) or key in WORDS:
            return value
        if key in ("case", "name", "adapter"):
            kind = "case" if key == "name" else key
            return f"{numbers.setdefault((kind, value), len(numbers))}{text}" if len(text) % 2 else (
                f"{text}{numbers.setdefault((kind, value), len(numbers))}")  # fmt: skip
        return text

    document = msgspec.to_builtins(BASE)
    changed: Results = msgspec.convert(replaced(document), Results)
    environment = msgspec.structs.replace(
        changed.environment, processor=text, simd=text, commit=text, command=text, blas=BlasResult(text, text, 1, text)
    )
    runs = [
        msgspec.structs.replace(
            run, version=text, device=text, precision=text, explained_by=text + "2", message=text,
            diagnosis=[text, f"    {text}", text],
            comparisons=[
                msgspec.structs.replace(c, quantity=f"{text}{k}" if k % 2 else c.quantity)
                for k, c in enumerate(run.comparisons)
            ],
        )
        for run in changed.runs
    ]  # fmt: skip
    return msgspec.structs.replace(changed, environment=environment, runs=runs)


# What of it is not shown in a view may still not break it.
VIEWS: dict[str, Callable[[Results], str]] = {"terminal": terminal, "junit": junit, "json": encoded}


@pytest.mark.usefixtures("slow")
@settings(max_examples=max(5, EXAMPLES // 6))  # of views that cost
@given(TEXTS)
@example(LONG)
@example("\ud800")
@example("")
def test_no_text_of_a_document_is_obeyed_by_terminal_markdown_junit_or_json(text: str) -> None:
    results = everywhere(text)
    for render in VIEWS.values():
        assert is_shown(render(results)), render
    root = ET.fromstring(junit(results))  # noqa: S314 — our own
    assert len(root.findall(".//testcase")) == len(results.runs)
    document = json.loads(encoded(results))
    assert len(document["runs"]) == len(results.runs)
    page = markdown(results)
    check_markdown(page)
    headings = [token.tag for token in tokens(page) if token.type == "heading_open"]
    wrong = sum(run.verdict == "wrong" for run in results.runs)
    assert headings == ["h1", "h2", "h2", *["h3"] * wrong, "h2", "h2"]
    assert len([token for token in tokens(page) if token.type == "fence"]) == wrong
    for table_format in ("github", "simple_outline"):
        said = changes(results, msgspec.structs.replace(BASE, absent=[]), table_format)
        assert is_shown(said)
        if table_format == "github":
            check_markdown(said.replace("\n", "\n\n"))


class Tags(HTMLParser):
    """Every element of a page with the names of its attributes, and every address in it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, ...]] = set()
        self.addresses: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add((tag, *sorted(name for name, _ in attrs)))
        self.addresses |= {value or "" for name, value in attrs if name.endswith(("href", "src", "action"))}

    def handle_comment(self, data: str) -> None:
        self.seen.add(("a comment", data))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def tags(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    parser.close()
    return parser


@cache
def harmless() -> Tags:
    return tags(html(everywhere("harmless")))


def check_page(text: str) -> None:
    page = html(everywhere(text))
    assert is_shown(page)
    found = tags(page)
    assert found.seen - harmless().seen == set()
    assert all(address.startswith("#") for address in found.addresses)
    if 0 < len(plain(text)) < 100:
        said = " ".join(" ".join(found.texts).split())
        lines = printable_lines(text).strip().split("\n")  # the end of a line is shown as such, or is a space
        assert any(" ".join(end.join(lines).split()) in said for end in ("\\n", " ")), text


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "\r\n<script>alert(1)</script>", LONG, "\ud800"])
def test_no_harmful_text_of_a_document_is_html(text: str) -> None:
    check_page(text)


@pytest.mark.usefixtures("slow")
@settings(max_examples=max(1, EXAMPLES // 25))  # of pages that cost more
@given(TEXTS)
def test_no_text_of_a_document_is_html(text: str) -> None:
    check_page(text)


# ------------------------------------------------------------------------------------------- a verification


@given(TEXTS, st.sampled_from(["agrees", "suspect", "wrong", "undecided", "unanswered"]), st.booleans())
@example(LONG, "wrong", True)
@example("\x07Evil\n```\n<b>", "unanswered", False)
def test_no_text_of_a_verification_is_obeyed_in_any_view(text: str, verdict: str, strict: bool) -> None:
    conventions = text if len(text) % 2 else None
    probes = ((text, "agrees"), (text + "2", "undecided"))
    report = Report(verdict, conventions, (text, text), 3.0, None, strict, (text,), probes)
    views = {name: _verification(report, name) for name in Format if name is not Format.html}
    for view in (*views.values(), str(report)):
        assert is_shown(view)
    (block,) = READ.parse(views[Format.markdown])
    assert (block.type, block.content) == ("fence", str(report) + "\n")
    root = ET.fromstring(views[Format.junit])  # noqa: S314 — our own
    assert len(root.findall(".//testcase")) >= len(report.probes)
    assert bool(root.findall(".//failure") + root.findall(".//error")) == (
        verdict in ("wrong", "unanswered") or (verdict == "suspect" and strict)
    )
    assert json.loads(views[Format.json])["verdict"] == verdict


@pytest.mark.parametrize("harm", [
    "![x](http://a.example)", "[x](y)", "<b>x</b>", "<http://a.example>", "<!-- x -->", "> x", "1. x", "***", "    x", "*x*",
    "~~x~~", "@octocat", "x #1", "GH-1", "http://a.example", "www.a.example", "mailto:x", "\x1b[31m", "\u202e", "&#64;octocat",
    "[x]: http://a.example\n\n[x]",
])  # fmt: skip
def test_the_check_of_markdown_fails_where_it_should(harm: str) -> None:
    with pytest.raises(AssertionError):
        check_markdown(harm)
    check_markdown(markdown_text(harm))
