"""For the site: links to the repository's own files, which it does not have, lead there if its address is known.

`BACKPROOF_REPOSITORY` is its address, such as the workflow that publishes the site knows it. Without it they become the
files' names.
"""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(  # of the repository, beside the site
    r"\[([^\]]+)\]\((?:\.\./)+(?!\w+\.md|pt/)((?:reference|vectors|examples|adapters|reports|tests|gradbugs|\.ci)[^)]*)\)"
)


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Called by MkDocs for every page."""
    if not config["repo_url"]:
        return OUTSIDE.sub(r"\1", markdown)
    return OUTSIDE.sub(rf"[\1]({config['repo_url'].rstrip('/')}/blob/main/\2)", markdown)
