"""The judge: is what an implementation was seen to compute within what rounding may do?

First to read: `judgement.py`; then `expected.py`, what should have come, and `stepwise.py`, step by step.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .calls import JudgedCall, JudgedRun, judged_call, judged_whole, undecided_by_choice
    from .expected import expectations, truth_of
    from .field import FieldCheck, check_field
    from .judgement import UnusableAnswer, judge
    from .layer_by_layer import LayersJudgement, ShownLayer, judge_layers, layers_in
    from .layer_gradient import LayerGradientCheck, check_layer_gradient
    from .observation import QUANTITIES, Observation, Place, Received, computed, observed
    from .path import PathCheck, check_path
    from .side_by_side import alike, within
    from .stepwise import as_matrix, evidence
    from .trajectory import (
        RuleFor,
        StepTaken,
        TrajectoryJudgement,
        judge_steps,
        judge_trajectory,
        step_errors,
        steps_taken,
        taken_from,
    )
    from .truth import certified
    from .verdict import SEVERITY, Comparison, Element, Judgement, Verdict
else:
    __getattr__ = door(__name__)
