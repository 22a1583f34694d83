"""What JAX compiles for the matrix, kept from run to run: compiling is three quarters of a matrix that has to do it.

It is JAX's own persistent cache. JAX keys what it keeps by program, version and flags; the processor is in the folder's
name, for the folder may be on several machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from ..documents import model, simd

# Also what compiles quickly, and is small: all of the matrix is.
SETTINGS = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
FOLDER = "JAX_COMPILATION_CACHE_DIR"


@contextmanager
def kept_compilations() -> Iterator[None]:
    """For a JAX that is first imported in the body, or in a process that is started there.

    Not where the user has set JAX's cache, or a folder cannot be made.
    """
    folder = None if FOLDER in os.environ else _folder()
    if folder is None:
        yield
        return
    before = dict(os.environ)
    os.environ.update({FOLDER: str(folder), **{name: os.environ.get(name, value) for name, value in SETTINGS.items()}})
    try:
        yield
    finally:
        for name in (FOLDER, *SETTINGS):
            if name not in before:
                del os.environ[name]


def _folder() -> Path | None:
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches / "backproof" / f"jax-{crc32(f'{model()} {simd()}'.encode()):08x}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder if os.access(folder, os.W_OK) else None
