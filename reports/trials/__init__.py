"""backproof on trial: no correct implementation accused, every planted fault seen. First to read: `selftest.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .commands import COMMANDS
else:
    __getattr__ = door(__name__)
