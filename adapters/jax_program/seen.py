"""What is known of one variable of a jaxpr: its line in the program, and the array that JAX itself has there.

The array is computed only where somebody asks for it: for a condition, an index, an order, a constant of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ...reference.programs import Program, Unsupported, Value
from ...reference.programs import elementwise as e

Array = NDArray[Any]


class Work:
    """A computation of JAX's that has not been done yet. function(*arrays of the operands): its results."""

    def __init__(self, function: Callable[..., Sequence[Any]], operands: Sequence[Seen]) -> None:
        self.function, self.operands = function, tuple(operands)
        self.results: Sequence[Any] | None = None

    def done(self) -> Sequence[Any]:
        """Its results. What it needs is done first; by a list and not by recursion, as loops are long."""
        waiting = [self]
        while waiting:
            work = waiting[-1]
            before = [x.work for x in work.operands if x.work is not None and x.work.results is None]
            if work.results is None and before:
                waiting += before
                continue
            waiting.pop()
            if work.results is None:
                work.results = work.function(*(x.run for x in work.operands))
                work.operands = ()
        assert self.results is not None
        return self.results


class Seen:
    """One variable. varies: whether it is a number that depends on an input (or a cotangent).

    parts: of a complex number, the real and the imaginary part, once they are asked for
    bits: whether it is made of the bits of such a number, which no gradient follows
    """

    def __init__(self, program: Program, aval: Any, work: Work, place: int = 0) -> None:
        self.program, self.aval, self.work, self.place = program, aval, work, place
        self.varies = self.bits = False
        self.line: Value | None = None
        self.parts: tuple[Seen, ...] | None = None
        self.refused: Unsupported | None = None  # why nothing can be written down, which counts where it is asked for

    @property
    def run(self) -> Any:
        """JAX's own array."""
        return self.work.done()[self.place]

    @property
    def array(self) -> Array:
        """The same, as NumPy's."""
        return np.asarray(self.run)

    @property
    def real(self) -> bool:
        """Whether it has real numbers, which a gradient flows through."""
        return real(self.aval)

    @property
    def number(self) -> bool:
        """Whether it has numbers that a gradient flows through, real or complex."""
        dtype = getattr(self.aval, "dtype", None)
        return dtype is not None and bool(jnp.issubdtype(dtype, jnp.inexact))

    @property
    def value(self) -> Value:
        """Its line in the program: a constant of the run, where nothing was written down for it.

        Raises Unsupported where what it comes from has no rule.
        """
        if self.refused is not None:
            raise self.refused
        if self.line is None:
            self.line = self.program.constant(self.array.astype(np.float64))
        return self.line

    def become(self, value: Value, varies: bool) -> None:
        """It is this line."""
        if value.shape != tuple(self.aval.shape):
            raise AssertionError(f"{value.program.origin}: {value.shape} where {tuple(self.aval.shape)} was computed")
        self.line, self.varies = value, varies


def real(aval: Any) -> bool:
    """Whether values of this type are real numbers. Keys of random numbers and tokens have no such type at all."""
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.floating))


def known(program: Program, aval: Any, array: Any) -> Seen:
    """A variable whose array is there."""
    return Seen(program, aval, Work(lambda: [array], ()))


def expected(aval: Any, operand: Seen) -> Seen:
    """What a jaxpr takes an operand for: JAX keeps a function's jaxpr, and calls it with whole numbers of the other
    width where `jax_enable_x64` has changed since."""
    if (
        operand.real
        or operand.parts is not None
        or operand.aval.dtype == aval.dtype
        or jnp.issubdtype(aval.dtype, jax.dtypes.extended)
    ):
        return operand
    return Seen(operand.program, aval, Work(lambda array: [np.asarray(array).astype(aval.dtype)], [operand]))


def literal(program: Program, aval: Any, number: Any) -> Seen:
    """A number that stands in the jaxpr."""
    key = jnp.issubdtype(aval.dtype, jax.dtypes.extended)
    seen = known(program, aval, number if key else np.asarray(number, dtype=aval.dtype))
    if seen.real and not aval.shape:
        seen.line = _meant(program, float(seen.array), aval.dtype)
    return seen


# Numbers that stand in JAX's own rules for derivatives, rounded: of erf, erf_inv, exp2, cbrt, log_ndtr.
_MEANT: Sequence[Callable[[Program], Value]] = (
    lambda p: 2 / e.sqrt(e.pi(p)),
    lambda p: e.sqrt(e.pi(p)) / 2,
    lambda p: e.log(p.constant(2)),
    lambda p: 1 / p.constant(3),
    lambda p: e.sqrt(p.constant(0.5)),
    lambda p: e.log(2 * e.pi(p)) / 2,
)
_ROUNDED = (2 / np.sqrt(np.pi), np.sqrt(np.pi) / 2, np.log(2.0), 1 / 3.0, np.sqrt(0.5), np.log(2 * np.pi) / 2)


def _meant(program: Program, number: float, dtype: Any) -> Value:
    """The number itself; where it is one of those above rounded to this format, that one, wherever it stands."""
    for rounded, meant in zip(_ROUNDED, _MEANT, strict=True):
        if abs(number) == float(np.asarray(rounded, dtype=dtype)):
            return meant(program) if number > 0 else -meant(program)
    return program.constant(number)


@dataclass
class Call:
    """One equation, as an entry of a table sees it. results: the variables it defines;  notes: see `Captured`."""

    program: Program
    name: str
    params: dict[str, Any]
    operands: Sequence[Seen]
    results: Sequence[Seen]
    bind: Callable[..., Sequence[Any]]  # the primitive itself, on other operands
    notes: dict[str, None] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.results[0].aval.shape)

    @property
    def values(self) -> list[Value]:
        """The operands, as lines of the program."""
        return [x.value for x in self.operands]

    def note(self, text: str) -> None:
        """Tells the reader, with the user's line."""
        origin = self.program.origin
        self.notes[f"{text} ({origin.file}:{origin.line})" if origin.file else text] = None


class Table:
    """Primitives by name. entry(call): the values of its results, or of its only one."""

    def __init__(self) -> None:
        self.entries: dict[str, Callable[[Call], Any]] = {}

    def __call__(self, *names: str) -> Callable[[Callable[[Call], Any]], Callable[[Call], Any]]:
        """The primitives of these names."""

        def register(function: Callable[[Call], Any]) -> Callable[[Call], Any]:
            self.entries.update(dict.fromkeys(names, function))
            return function

        return register
