"""Frameworks side by side: every case on every adapter. First to read: `matrix.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .commands import COMMANDS
    from .matrix import compare
else:
    __getattr__ = door(__name__)
