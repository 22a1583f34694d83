"""Any network: a program of operations on arrays, and the chain rule over it.

First to read: `program.py`, then `chain_rule.py`; operations stand in `elementwise.py`, `sums.py` and `movement.py`.
The adapters write programs, `rule_check.py` compares their gradients with the chain rule's, `flow.py` explains.
"""

from typing import TYPE_CHECKING

from ..doors import door

if TYPE_CHECKING:
    from .blocks import LARGE, Part, in_parts
    from .bounded_arrays import BOUNDED, bounded, held
    from .bounds import Bounds
    from .captured import SYMMETRIC, WHAT_TO_DO, Border, Captured, NoGraph, Unsupported
    from .chain_rule import Edge, depending, pullback, pushforward
    from .elementwise_bounds import NoBounds
    from .flow import Explanation, Unexplained, explained, unexplained
    from .fourier import of_half, waves
    from .layers import LAYERS, WHOLE
    from .movement import (
        STOP,
        broadcast,
        chosen,
        concatenated,
        joined,
        numbered,
        permuted,
        rearranged,
        reshaped,
        scattered,
        stopped,
        zeros,
    )
    from .ndarrays import FLOATS, Balls, Floats, Numbers
    from .origins import NOWHERE, Origin, of_a_wrapper
    from .perturbed import sizes_of_rounding, spread
    from .program import Program, Value
    from .rule_check import (
        Agreement,
        Outcome,
        agreements,
        check,
        compared,
        largest_difference,
        literals,
        ran_as_captured,
        right_as_stopped,
        rounded_gradients,
    )
    from .running import computes, computing_lines, lines_needed, one_sum, run, starting_lines
    from .sums import contracted, matmul, mean, products, total
    from .surrogates import right
else:
    __getattr__ = door(__name__)
