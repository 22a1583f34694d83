"""A run of JAX, judged equation by equation: every primitive's own numbers against what its operands allow.

`reports/any_network/numbers.py` asks for it. Each equation is run by itself, uncompiled, on what the one before gave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ...reference.judging import JudgedCall, judged_call, judged_whole
from ...reference.numbers import BFLOAT16, PRECISIONS, PROFILES, TF32, Precision, Profile
from ...reference.programs import NoGraph, Origin, Unsupported, Value, held
from ...reference.programs.special import identity
from . import control_flow
from .complex_numbers import is_complex
from .interpreter import Interpreter, bound, run_by_jax
from .seen import Seen, Work

FACTORS = {"gpu": TF32, "tpu": BFLOAT16}  # JAX's documentation of `jax.default_matmul_precision`


class JudgingInterpreter(Interpreter):
    """Reads a jaxpr and judges its equations. judged: a verdict on each result, in order.

    taken: results that the program has as the run's own numbers (random numbers), which nothing was asked of
    """

    asks_later = False

    def __init__(
        self,
        generator: np.random.Generator,
        traced: Callable[[], AbstractContextManager[Any]],
        surrogates: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(generator, traced, surrogates)
        self.looks_at_borders = False
        self.ran: dict[int, NDArray[Any]] = {}
        self.formats: set[Precision] = set()
        self.judged: list[JudgedCall] = []
        self.taken: list[str] = []
        self.not_judged: set[int] = set()  # lines that start with what an equation without a rule gave

    def input(self, aval: Any, array: Any, conjugate: bool = False) -> Seen:
        seen = super().input(aval, array, conjugate)
        self.ran.update(self.given)
        return seen

    def equation(self, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
        complex_results = any(is_complex(v.aval) for v in eqn.outvars) and eqn.primitive.name not in control_flow.TABLE
        if any(x.varies and (not x.real or complex_results) for x in operands):
            return self._taken(eqn, operands)
        try:
            results = super().equation(eqn, operands)
        except NoGraph:
            raise
        except Unsupported:  # no reason to stop: it is counted
            if eqn.primitive.name in control_flow.TABLE:
                raise
            return self._taken(eqn, operands)
        if eqn.primitive.name in control_flow.TABLE:
            return results
        run_by_jax(eqn, operands, results)
        written = [x for x in results if x.real and x.line is not None]
        if any(x.real and str(x.aval.dtype) not in PRECISIONS for x in (*operands, *written)):  # such as float8
            return self._taken(eqn, operands)
        asked = [x for x in written if not _constant(x.value)]
        self.taken += [str(x.value.node.origin) for x in written if _constant(x.value)]
        if asked:
            real = [x for x in (*operands, *asked) if x.real]
            formats = [PRECISIONS[str(x.aval.dtype)] for x in real]
            self.formats |= set(formats)
            narrowest = min(formats, key=lambda p: p.digits)
            calls = judged_call(
                [x.value for x in asked],
                self.ran,
                [_said(eqn.primitive.name, _array(x)) for x in asked],
                [PRECISIONS[str(x.aval.dtype)] for x in asked],
                _profile(narrowest),
                _allowed(eqn),
            )
            for x, call in zip(asked, calls, strict=True):
                x.become(identity(x.value), x.varies)  # a line of its own: the other may be that of an operand
                self.ran[x.value.index] = _array(x)
                self.judged.append(replace(call, line=x.value.index))
        return results

    def _taken(self, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
        """The results of an equation that has no rule, such as one of complex numbers: what it gave."""
        work = Work(bound(eqn), operands)
        results = [Seen(self.program, v.aval, work, k) for k, v in enumerate(eqn.outvars)]
        for x in results:
            if x.real:
                x.become(self.program.input(tuple(x.aval.shape)), varies=True)
                self.ran[x.value.index] = _array(x)
                self.not_judged.add(x.value.index)
            x.varies = x.real or is_complex(x.aval)
        self.taken.append(str(self.program.origin))
        return results

    def as_a_whole(
        self, values: Sequence[Value | None], names: Sequence[str], arrays: Sequence[NDArray[Any] | None]
    ) -> list[JudgedCall]:
        """The verdict on what compiled code gave for these values, from the inputs to them.

        It may have fused any equations, and kept what stands between them in any of the formats that occur.
        """
        asked = [(v, n, a) for v, n, a in zip(values, names, arrays, strict=True) if v is not None and a is not None]
        if not asked or not self.formats:
            return []
        profile = _profile(min(self.formats, key=lambda p: p.digits))
        if factors := FACTORS.get(jax.default_backend()):
            profile = replace(profile, multiply=min(factors, profile.multiply, key=lambda p: p.digits), truncated=True)
        widest = max(self.formats, key=lambda p: p.digits)
        nodes = self.program.nodes
        found = judged_whole(
            [v for v, _, _ in asked],
            {k: array for k, array in self.ran.items() if nodes[k].operation.name == "input"},
            [a for _, _, a in asked],
            [_held_in(a, self.formats, widest) for _, _, a in asked],
            profile,
            self.not_judged,
        )
        return [
            replace(call, origin=Origin(f"compiled: {name}"), number=0)
            for (_, name, _), call in zip(asked, found, strict=True)
        ]


def _profile(narrowest: Precision) -> Profile:
    """The formats of a computation. On a GPU XLA divides approximately, and makes of a small product of matrices in 16
    bits a sum of products that are rounded themselves (algebraic_simplifier.cc, "dot strength reduction")."""
    profile = PROFILES[narrowest.name]
    return replace(profile, division=4, stored_between=1) if jax.default_backend() == "gpu" else profile


def _held_in(array: NDArray[Any], formats: set[Precision], widest: Precision) -> Precision:
    """The narrowest of the formats that has all of these numbers: what they were stored in, or as good."""
    return min((p for p in formats if held(array, p).all()), key=lambda p: p.digits, default=widest)


def _allowed(eqn: Any) -> Precision | None:
    """The format that XLA may round the factors of float32 products to, where no higher precision is asked for."""
    asked = eqn.params.get("precision", jax.lax.Precision.HIGHEST)
    kinds = set(asked) if isinstance(asked, tuple) else {asked}
    return FACTORS.get(jax.default_backend()) if kinds <= {None, jax.lax.Precision.DEFAULT} else None


def _said(name: str, numbers: NDArray[Any]) -> NDArray[Any]:
    """What a primitive promises: of a Cholesky factor the lower triangle; what it leaves above is taken off by JAX."""
    return np.tril(numbers) if name == "cholesky" else numbers


def _array(x: Seen) -> NDArray[Any]:
    return x.array.astype(np.float64)


def _constant(value: Value) -> bool:
    """Whether the program has the run's numbers here, or the same in every run."""
    nodes, line = value.program.nodes, value.index
    while nodes[line].operation.name in ("reshape", "identity", "rearrange", "stop"):
        line = nodes[line].operands[0]
    return nodes[line].operation.name == "constant"
