"""The diagnosis: which mistake, under which convention, gives exactly the wrong numbers that were seen.

First to read: `search.py`; then `explanation.py`, when a mistake is proved, and the folders: `steps` explains wrong
steps, `catalogue` lists known mistakes, `optimizers` reads updates.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .catalogue.faults import FAULTS, faulty_rules
    from .conventions import BIASES, REDUCTIONS, Convention, candidates, output_of, probes
    from .downcasts import DOWNCASTS, OF_FORMATS
    from .dropout import Dropped, dropped_units
    from .explanation import (
        ARRAYS,
        Diagnosis,
        Evidence,
        Explanation,
        Prediction,
        by_rules,
        distances,
        reproduces,
        right,
    )
    from .last_layer import likely
    from .optimizers.finding import Found, optimizer_of
    from .optimizers.first_steps import (
        first_step_of,
        first_step_off,
        linear_first_step,
        rough_steps,
        same_signs,
        same_signs_with_decay,
    )
    from .optimizers.variants import (
        DECAYS,
        FACTOR,
        LINEAR,
        SCALED,
        Variant,
        declared_variant,
        right_variants,
        simple_variants,
        wrong_variants,
    )
    from .reach import BATCHES, FAR, FAR_ONLINE, KINDS_OF_DATA, NETWORKS, reaching_probes
    from .reading_off import OPEN, Declared, beyond_customary, forward_read_off, nearly_read_off, read_off, tried
    from .relations import one_of_each
    from .search import KINDS, Kind, diagnose, formulas_by_name, located, nowhere_finite, of_calls, once, single_faults
    from .steps.by_steps import wrong_formulas
else:
    __getattr__ = door(__name__)
