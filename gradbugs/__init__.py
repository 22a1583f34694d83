"""Real wrong gradients from public threads, each with its right twin, and what each check says of both."""

from __future__ import annotations

from .bug import FORMATS, Bug, Entry, entries, entry, names

__all__ = ["FORMATS", "Bug", "Entry", "entries", "entry", "names"]
