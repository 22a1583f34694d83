"""Frameworks side by side: every case on every adapter, and the document of what came. First to read: `matrix.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .commands import COMMANDS
    from .difference import changes
    from .matrix import compare
    from .processor import forced, model, simd
    from .results import (
        AggregateResult,
        CaseResult,
        ComparisonResult,
        ElementResult,
        Results,
        RunResult,
        decoded,
        encoded,
        made_safe,
        worst,
    )
else:
    __getattr__ = door(__name__)
