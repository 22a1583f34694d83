"""The diagnosis: which mistake, under which convention, gives exactly the wrong numbers that were seen.

First to read: `search.py`; then `faults.py`, the catalogue, and `explanation.py`, when a fault is proved.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .by_steps import wrong_formulas
    from .conventions import BIASES, Convention, candidates, output_of, probes
    from .downcasts import DOWNCASTS, OF_FORMATS
    from .dropout import Dropped, dropped_units
    from .explanation import ARRAYS, Diagnosis, Evidence, Explanation, by_rules, distances, reproduces, right
    from .faults import FAULTS, faulty_rules
    from .first_steps import first_step_of, first_step_off, linear_first_step, rough_steps, same_signs
    from .last_layer import likely
    from .optimizer_variants import (
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
    from .optimizers import Found, optimizer_of
    from .reach import BATCHES, FAR, FAR_ONLINE, KINDS_OF_DATA, NETWORKS, reaching_probes
    from .reading_off import OPEN, Declared, forward_read_off, nearly_read_off, read_off, tried
    from .relations import one_of_each
    from .search import KINDS, Kind, diagnose, formulas_by_name, located, nowhere_finite, of_calls, once, single_faults
else:
    __getattr__ = door(__name__)
