"""The published test vectors: read, made, proved. First to read: `reading.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .commands import vectors_app
    from .reading import verify_answers
else:
    __getattr__ = door(__name__)
