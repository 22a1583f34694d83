"""Somebody's implementation on trial: a function, a process, a test. First to read: `verify.py`, then `assess.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .assess import because
    from .commands import COMMANDS
    from .report import Report, Subject, WrongGradients
    from .verify import assert_gradients, verify
    from .verify_process import Asked, judged
    from .witness import witness
else:
    __getattr__ = door(__name__)
