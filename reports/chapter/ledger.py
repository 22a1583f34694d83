"""The claims' ledger: every claim of the chapter that can be run, run; as text, Markdown, HTML and JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

import msgspec
from tabulate import tabulate

from ...adapters.adapter import Adapter
from ..console import table_of
from ..views import curves, drawn, page, table
from . import claims, claims_of_learning
from .entry import HOLDS, LIMIT, TOO_STRONG, Entry, Frameworks

CLASSES = {HOLDS: "agrees", LIMIT: "undecided", TOO_STRONG: "wrong"}


CHECKS = (*claims.CHECKS, *claims_of_learning.CHECKS)


def ledger(adapters: Sequence[Adapter], progress: Callable[[str], None] = lambda what: None) -> list[Entry]:
    """All entries, in the chapter's order. adapters: those that can train take part"""
    frameworks = Frameworks(tuple(adapter for adapter in adapters if adapter.train))
    entries = []
    for check in CHECKS:
        entry = check(frameworks)
        entries.append(entry)
        progress(f"claim {entry.number}")
    return entries


def summary(entries: Sequence[Entry]) -> str:
    """How many claims came out how."""
    counts = Counter(entry.result for entry in entries)
    said = {HOLDS: "hold", LIMIT: "hold with a limit", TOO_STRONG: "too strong"}
    return ", ".join(f"{counts[result]} {word}" for result, word in said.items() if counts[result])


def terminal(entries: Sequence[Entry], width: int | None = None) -> str:
    """Each claim, what became of it, and its table. width: to which tables are fitted"""
    return _text(entries, "", lambda rows: table_of(rows[1:], rows[0], width).removesuffix("\n"))


def markdown(entries: Sequence[Entry]) -> str:
    """The same as a Markdown page."""
    return "# The chapter's claims\n\n" + _text(entries, "## ", _markdown_table)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    made: str = tabulate(rows[1:], rows[0], "github", disable_numparse=True)
    return made


def _text(entries: Sequence[Entry], heading: str, table_of_rows: Callable[[Sequence[Sequence[str]]], str]) -> str:
    parts = []
    for entry in entries:
        lines = [f"{heading}{entry.number}. {entry.claim}", "", f"{entry.result}: {entry.because}."]
        if entry.rows:
            lines += ["", table_of_rows(entry.rows)]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, summary(entries)]) + "\n"


def html(entries: Sequence[Entry], names: Sequence[str]) -> str:
    """A page with the plots."""
    with_figures = [
        (
            entry,
            table([list(row) for row in entry.rows[1:]], entry.rows[0]),
            drawn(curves(entry.curves, f"Claim {entry.number}: {entry.claim}", entry.axes)) if entry.curves else None,
        )
        for entry in entries
    ]
    return page(
        "claims.html.jinja", entries=entries, entries_with_figures=with_figures, summary=summary(entries),
        names=", ".join(names), classes=CLASSES,
    )  # fmt: skip


def as_json(entries: Sequence[Entry]) -> str:
    """The entries as JSON."""
    return msgspec.json.format(msgspec.json.encode([asdict(entry) for entry in entries]), indent=1).decode() + "\n"
