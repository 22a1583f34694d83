"""For the site: links to the repository's own files, which it does not have, become their names."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(  # of the repository, beside the site
    r"\[([^\]]+)\]\((?:\.\./)+(?!\w+\.md|pt/)(?:reference|vectors|examples|adapters|reports|tests|gradbugs)[^)]*\)"
)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for every page."""
    return OUTSIDE.sub(r"\1", markdown)
