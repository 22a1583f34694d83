"""Any network: is somebody's gradient the chain rule's? Captured by an adapter, decided without a tolerance.

First to read: `rule.py`; then the doors, `torch_doors.py` and `jax_doors.py`.
"""

from typing import TYPE_CHECKING

from ...reference.doors import door

if TYPE_CHECKING:
    from .both import RuleAndNumbers
    from .built import Told, builds_a_network, verify_built
    from .graph import Result, worst_first
    from .modules import refuse_in_a_file, refuse_without_inputs
    from .networks import subject_of, verify_by_paths, verify_network
    from .numbers import NumbersReport, WrongNumbers, check_numbers
    from .operation import assert_operation
    from .rule import NotDecided, OnlyAlongPaths, RuleReport, Subject, WrongRule, check_rule
else:
    __getattr__ = door(__name__)
