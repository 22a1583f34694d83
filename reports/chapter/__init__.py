"""The chapter, run: its worked example, its claims as a ledger, its net in training. First to read: `example.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .commands import COMMANDS
else:
    __getattr__ = door(__name__)
