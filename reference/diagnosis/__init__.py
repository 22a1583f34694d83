"""The diagnosis: which mistake, under which convention, gives exactly the wrong numbers that were seen.

First to read: `search.py`; then `faults.py`, the catalogue, and `explanation.py`, when a fault is proved.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .conventions import BIASES, Convention, candidates, probes
    from .downcasts import DOWNCASTS, OF_FORMATS
    from .explanation import ARRAYS, Diagnosis, Evidence, distances, reproduces, right
    from .faults import FAULTS, faulty_rules
    from .last_layer import likely
    from .reach import BATCHES, FAR, KINDS_OF_DATA, NETWORKS, reaching_probes
    from .relations import one_of_each
    from .search import KINDS, Kind, diagnose, located, of_calls, pairs_of_faults
else:
    __getattr__ = door(__name__)
