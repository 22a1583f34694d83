"""A run of JAX, judged equation by equation: every primitive's own numbers against what its operands allow.

`reports/any_network/numbers.py` asks for it. Each equation is run by itself, uncompiled, on what the one before gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...reference.judging import JudgedCall, judged_call
from ...reference.numbers import PRECISIONS, PROFILES
from ...reference.programs import Value
from ...reference.programs.special import identity
from . import control_flow
from .interpreter import Interpreter, bound
from .seen import Seen, Work


class JudgingInterpreter(Interpreter):
    """Reads a jaxpr and judges its equations. judged: a verdict on each result, in order.

    taken: results that the program has as the run's own numbers (random numbers), which nothing was asked of
    """

    def __init__(
        self,
        generator: np.random.Generator,
        traced: Callable[[], AbstractContextManager[Any]],
        surrogates: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(generator, traced, surrogates)
        self.looks_at_borders = False
        self.ran: dict[int, NDArray[Any]] = {}
        self.judged: list[JudgedCall] = []
        self.taken: list[str] = []

    def input(self, aval: Any, array: Any) -> Seen:
        seen = super().input(aval, array)
        self.ran.update(self.given)
        return seen

    def equation(self, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
        results = super().equation(eqn, operands)
        if eqn.primitive.name in control_flow.TABLE:
            return results
        work = Work(bound(eqn), operands)
        for place, x in enumerate(results):
            x.work, x.place = work, place
        written = [x for x in results if x.real and x.line is not None]
        asked = [x for x in written if not _constant(x.value)]
        self.taken += [str(x.value.node.origin) for x in written if _constant(x.value)]
        if asked:
            real = [x for x in (*operands, *asked) if x.real]
            narrowest = min((PRECISIONS[str(x.aval.dtype)] for x in real), key=lambda p: p.digits)
            self.judged += judged_call(
                [x.value for x in asked],
                self.ran,
                [_array(x) for x in asked],
                [PRECISIONS[str(x.aval.dtype)] for x in asked],
                PROFILES[narrowest.name],
            )
        for x in asked:
            x.become(identity(x.value), x.varies)  # a line of its own: the other may be that of an operand
            self.ran[x.value.index] = _array(x)
        return results


def _array(x: Seen) -> NDArray[Any]:
    return x.array.astype(np.float64)


def _constant(value: Value) -> bool:
    """Whether the program has the run's numbers here, or the same in every run."""
    nodes, line = value.program.nodes, value.index
    while nodes[line].operation.name in ("reshape", "identity", "rearrange", "stop"):
        line = nodes[line].operands[0]
    return nodes[line].operation.name == "constant"
