"""What a run of JAX chooses by numbers, as its roundings fall. See `torch_program/choices.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...reference.programs import computes
from . import control_flow
from .interpreter import Interpreter, run_by_jax
from .seen import Seen, Work


class Choices(Interpreter):
    """Runs equation by equation, each result moved at random by up to so many of its roundings.

    choices: digests of the truth values and whole numbers that are made of real ones
    """

    def __init__(
        self,
        generator: np.random.Generator,
        traced: Callable[[], AbstractContextManager[Any]],
        surrogates: frozenset[str] = frozenset(),
        *,
        moving: np.random.Generator,
        roundings: float,
    ) -> None:
        super().__init__(generator, traced, surrogates)
        self.looks_at_borders = False
        self.moving, self.roundings = moving, roundings
        self.choices: list[bytes] = []

    def equation(self, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
        results = super().equation(eqn, operands)
        if eqn.primitive.name in control_flow.TABLE:
            return results
        run_by_jax(eqn, operands, results)
        if any(x.real and x.varies for x in operands):
            chosen = [x.array for x in results if not x.real]
            chosen += [x.array != 0 for x in results if eqn.primitive.name == "select_and_scatter_add"]
            self.choices += [blake2b(array.tobytes(), digest_size=8).digest() for array in chosen]
        for x in results if self.roundings else ():
            if x.real and x.varies and x.line is not None and computes(x.value):
                moved = self.roundings * float(jnp.finfo(x.aval.dtype).eps) / 2
                side = 1 + moved * self.moving.uniform(-1, 1, x.array.shape)
                array = (x.array.astype(np.float64) * side).astype(x.aval.dtype)
                x.work, x.place = Work(lambda array=array: [array], ()), 0
        return results
