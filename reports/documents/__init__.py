"""What came of a run, as data: results, a verification's report, where it ran. First to read: `results.py`."""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .checked import decoded
    from .processor import forced, model, simd
    from .provenance import command, commit
    from .report import Report, Subject, WrongGradients
    from .results import (
        ORDER,
        Absent,
        AggregateResult,
        CaseResult,
        ComparisonResult,
        ElementResult,
        Environment,
        Results,
        RunResult,
        case_result,
        comparison_results,
        encoded,
        environment,
        made_safe,
        overall,
        worst,
    )
    from .shown import Shown
else:
    __getattr__ = door(__name__)
