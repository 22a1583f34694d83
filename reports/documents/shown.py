"""How a report of a verification is shown: as lines where it is printed, as HTML in a notebook and on a page."""

from __future__ import annotations

import sys
from typing import ClassVar

from ..console import columns, printable_lines, wrapped

WIDEST = 100  # of a report of a network, in a pipe or a file


class Shown:
    """What reports have in common. They bring `text`: the verdict first, each sentence a line, code indented."""

    lines_at_most: ClassVar[int | None] = WIDEST
    rows_are: ClassVar[str] = "probe"

    @property
    def text(self) -> str:
        """The whole of it."""
        raise NotImplementedError

    def __str__(self) -> str:
        width = min(filter(None, (columns(sys.stdout), self.lines_at_most)), default=None)
        return self.text if width is None else wrapped(self.text, width)

    def to_html(self) -> str:
        """A page that needs nothing else: no network, no script. All text is escaped."""
        return _rendered(PAGE, self.text, self.rows(), self.rows_are, self.picture())

    def rows(self) -> tuple[tuple[str, str], ...]:
        """What was asked, and what came of it: a table below the text."""
        return ()

    def picture(self) -> str:
        """An SVG below the text, its texts escaped; empty for none."""
        return ""

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return _rendered(PART, self.text, self.rows(), self.rows_are, self.picture())


def _rendered(template: str, text: str, rows: tuple[tuple[str, str], ...], rows_are: str, picture: str) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    headline, _, rest = printable_lines(text).partition("\n")
    verdict, colon, said = headline.partition(":")
    kind = verdict.partition(",")[0]
    return environment.from_string(template).render(
        verdict=verdict, colon=colon, said=said, rest=rest, rows=[tuple(map(printable_lines, row)) for row in rows],
        kind=kind if kind in KINDS else "undecided", rows_are=rows_are,
        picture=Markup(picture),  # noqa: S704 — who draws it escapes what is in it
    )  # fmt: skip


KINDS = ("agrees", "suspect", "wrong", "undecided", "unrecognised", "unanswered")

PART = """\
<div class="backproof {{ kind }}">
<style>
.backproof { max-width: 60rem; padding: .25rem 1rem; border-left: .3rem solid #8a6d00; overflow-x: auto }
.backproof.agrees { border-color: #1a7f37 }
.backproof.wrong { border-color: #b3261e }
.backproof p { font-size: 1.05rem; margin: .5rem 0 }
.backproof pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; background: none }
.backproof table { border-collapse: collapse }
.backproof td, .backproof th { padding: .1rem .8rem .1rem 0; text-align: left; overflow-wrap: anywhere }
.backproof td + td { overflow-wrap: normal }
</style>
<p><strong>{{ verdict }}</strong>{{ colon }}{{ said }}</p>
{% if rest %}
<pre>{{ rest }}</pre>
{% endif %}
{{ picture }}
{% if rows %}
<details>
<summary>{{ rows | length }} {{ rows_are }}s</summary>
<table>
<thead><tr><th scope="col">{{ rows_are }}</th><th scope="col">verdict</th></tr></thead>
<tbody>
{% for name, found in rows %}
<tr><td>{{ name }}</td><td>{{ found }}</td></tr>
{% endfor %}
</tbody>
</table>
</details>
{% endif %}
</div>
"""

PAGE = (
    """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>backproof: {{ verdict }}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 62rem }
pre { font: .9rem/1.45 ui-monospace, monospace }
@media (max-width: 30rem) { body { padding: 0 .4rem } .backproof { padding: .25rem .5rem } }
:root { color-scheme: light dark }
</style>
</head>
<body>
<h1>backproof</h1>
"""
    + PART
    + "</body>\n</html>\n"
)
