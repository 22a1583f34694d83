"""The judge: is what an implementation was seen to compute within what rounding may do?

First to read: `judgement.py`; then `expected.py`, what should have come, and `stepwise.py`, step by step.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .expected import expectations, truth_of
    from .judgement import UnusableAnswer, judge
    from .observation import Observation, Place, Received, computed, observed
    from .side_by_side import alike, within
    from .stepwise import as_matrix, evidence
    from .truth import certified
    from .verdict import SEVERITY, Comparison, Element, Judgement, Verdict
else:
    __getattr__ = door(__name__)
