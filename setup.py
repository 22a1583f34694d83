"""The links of the package, which depend on where its repository is published; all else is in pyproject.toml.

`BACKPROOF_REPOSITORY` is its address, as the release workflow knows it. With it the README's links are absolute, and
the project has URLs; without it a link is its text and there are no pictures: on an index page relative ones lead
nowhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from setuptools import setup  # type: ignore[import-untyped]

PICTURE = re.compile(r"!\[([^\]]*)\]\((?!\w+:)([^)]+)\)\n*")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!\w+:|#)([^)]+)\)")


def described(readme: str, repository: str) -> str:
    """The README for an index page. repository: its address, or nothing."""
    if not repository:
        return LINK.sub(r"\1", PICTURE.sub("", readme))
    pictures = PICTURE.sub(rf"![\1]({repository}/raw/main/\2)\n\n", readme)
    return LINK.sub(rf"[\1]({repository}/blob/main/\2)", pictures)


def urls(repository: str) -> dict[str, str]:
    """The project's links beside its description. repository: its address, or nothing."""
    places = {
        "Homepage": "",
        "Documentation": "/blob/main/docs/index.md",
        "Changelog": "/blob/main/CHANGELOG.md",
        "Issues": "/issues",
    }
    return {name: repository + place for name, place in places.items()} if repository else {}


if __name__ == "__main__":
    address = os.environ.get("BACKPROOF_REPOSITORY", "").rstrip("/")
    setup(
        long_description=described(Path("README.md").read_text(encoding="utf-8"), address),
        long_description_content_type="text/markdown",
        project_urls=urls(address),
    )
