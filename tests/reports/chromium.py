"""A real browser for tests of pages: Chromium without a window, where it is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
)  # fmt: skip


def with_scripts(page: str, *scripts: str) -> str:
    """The page with these at its end, which its policy is made to allow as well: it stays otherwise what it is."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    own = "script-src " if "script-src " in page else "default-src "
    page = page.replace(own, f"script-src {allowed}{' ' if own == 'script-src ' else '; default-src '}", 1)
    return page.replace("</body>", "".join(f"<script>{script}</script>" for script in scripts) + "</body>")


def shown(page: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The page after its scripts have run, as HTML on stdout; what the console said on stderr."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    assert CHROMIUM is not None
    profile = f"--user-data-dir={folder / 'profile'}"
    return subprocess.run(
        [CHROMIUM, *QUIET, profile, *options, "--virtual-time-budget=60000", "--dump-dom",
         f"file://{folder / 'page.html'}"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def said(finished: subprocess.CompletedProcess[str]) -> Any:
    """What a script of the test left behind: JSON in the page's one `pre` that begins with a brace."""
    matched = re.search(r"<pre>(\{.*?\})</pre>", finished.stdout, re.DOTALL)
    assert matched, finished.stderr[-2000:]
    return json.loads(matched[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
