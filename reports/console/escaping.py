"""Where text leaves: what a terminal, Markdown, JSON or XML would obey is shown instead.

Names and messages come from frameworks, from children and from files; none of them is to colour a terminal, turn the
reading direction, open a link, load an image, call somebody or end a block. HTML is escaped by jinja2 and tabulate.
"""

from __future__ import annotations

import re

from markupsafe import Markup


def printable_lines(text: str) -> str:
    """Text in which no control character but the line's end is left: others are shown as escapes.

    What Unicode calls not printable goes with them: bidirectional controls, lone surrogates, non-characters.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def json_text(text: str) -> str:
    """JSON in which such characters are escaped in JSON's own way, which leaves the document what it is."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _json_escape(c) for c in text)


def _json_escape(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[k] << 8 | units[k + 1]:04x}" for k in range(0, len(units), 2))


# What GitHub and others look for in the text after Markdown was read, where a backslash is gone: mentions, addresses,
# numbers of issues, links without brackets. As code they are themselves, and nothing else.
_LOOKED_FOR = r"(?:@|#(?=\w)|:(?=//)|(?<=GH)-(?=\d)|(?<=www)\.|(?<=mailto):|(?<=xmpp):)+"
_SPECIAL = r"[\\`*\[\]|~#$]|(?<![^\W_])_|_(?![^\W_])"
_ENTITY = r"[&<>]"
_LEADING = r"\A\s*(?:[-+](?=[\s+-]|\Z)|=(?==*\s*\Z)|\d{1,9}[.)](?=\s|\Z))"  # a list, a heading's line, a rule
_MARKDOWN = re.compile(
    f"(?P<leading>{_LEADING})|(?P<looked_for>{_LOOKED_FOR})|(?P<special>{_SPECIAL})|(?P<entity>{_ENTITY})",
    re.IGNORECASE,
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_text(text: object) -> Markup:
    """One line of text that Markdown shows as it stands: no link, image, mention, HTML, heading, list or code in it."""
    if isinstance(text, Markup):
        return text
    line = printable_lines(str(text)).replace("\n", " ").lstrip()  # four spaces before it would make it code
    return Markup(_MARKDOWN.sub(_escaped, line))  # noqa: S704 — Markdown, and made safe here


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    match found.lastgroup:
        case "looked_for":
            return f"`{text}`"
        case "entity":
            return _ENTITIES[text]
        case "leading":
            return text[:-1] + "\\" + text[-1]
    return "\\" + text


def markdown_code(text: str) -> Markup:
    """One line as code inside a paragraph, between more backticks than it has."""
    line = printable_lines(text).replace("\n", " ") or " "
    ticks = "`" * (1 + _longest_run(line))
    room = " " if line[0] in "` " or line[-1] in "` " else ""
    return Markup(f"{ticks}{room}{line}{room}{ticks}")  # noqa: S704 — Markdown, and nothing in code is obeyed


def markdown_block(text: str) -> Markup:
    """Lines as a block of code, in a fence that none of them ends."""
    fence = "`" * max(3, 1 + _longest_run(text))
    return Markup(f"{fence}\n{printable_lines(text)}\n{fence}")  # noqa: S704 — as above


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
