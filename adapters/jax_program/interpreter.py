"""Reads a jaxpr equation by equation and writes it down as a program; called by `capture.py`, entries in the tables.

A real number becomes a line of the program. Whole numbers, truth values, keys and random bits are JAX's own, computed
where a branch, an index or an order depends on them: the program is of what was done at this point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import source_info_util

from ...reference.programs import (
    WHAT_TO_DO,
    Border,
    NoGraph,
    Origin,
    Program,
    Unsupported,
    of_a_wrapper,
    special,
)
from . import complex_numbers, control_flow, elementwise, linear_algebra, movement, sums
from .by_numpy import by_numpy
from .complex_numbers import as_pairs, become_pair, is_complex, numbers_shape, of_pairs, value_of
from .seen import Call, Seen, Work, expected, known, literal, real

TABLE = (
    elementwise.TABLE.entries | movement.TABLE.entries | sums.TABLE.entries | linear_algebra.TABLE.entries
)  # name → entry(call)
OWN = tuple(str(Path(__file__).parents[2] / room) for room in ("adapters", "reference", "reports"))
_FRAMES_OF_SOURCE = "source_info" in signature(source_info_util.user_frames).parameters  # before JAX 0.7
FORWARD_MODE = "custom_lin"  # of a function that has none
_UNKNOWN = {
    "eigh": "eigenvectors have no formula in our operations",
    "svd": "singular vectors have no formula in our operations",
    "eig": "eigenvectors have no formula in our operations",
    FORWARD_MODE: 'forward mode of a custom_vjp, which JAX does not have (say modes="rev")',
}
# what they do is not JAX's: Python called back, foreign code, kernels written by hand
_OUTSIDE = {"pure_callback", "io_callback", "ffi_call", "pallas_call", "triton_kernel_call", "tpu_custom_call"}


class Interpreter:
    """Writes into one program. recording: whether custom functions are to be looked at by themselves.

    asks_later: whether an equation without a rule may turn out to have no influence, and is refused where it has
    traced: the context, 32 or 64 bits, in which the user's functions are traced
    surrogates: the names of custom functions whose backward is declared to be meant as it is
    """

    asks_later = True

    def __init__(
        self,
        generator: np.random.Generator,
        traced: Callable[[], AbstractContextManager[Any]],
        surrogates: frozenset[str] = frozenset(),
    ) -> None:
        self.generator, self.traced, self.surrogates = generator, traced, surrogates
        self.program = Program()
        self.given: dict[int, np.ndarray[Any, Any]] = {}
        self.notes: dict[str, None] = {}
        self.borders: list[Border] = []
        self.undefined = ""  # see `Captured`
        self.recording = False
        self.looks_at_borders = True
        self.calls = 0
        self.roundoff = 0.0  # of the coarsest format that a followed number came in
        self._seen: set[int] = set()  # equations with a custom rule that has been looked at
        self._kept: list[Any] = []
        self._within = ""
        self._place: tuple[str, int] | None = None  # of the call of one of JAX's own functions
        self._made_of = ""  # the primitive of complex numbers whose parts are computed
        self._around = ("", 0)  # the line of the equation that holds this jaxpr

    def note(self, text: str) -> None:
        """Tells the reader, with the user's line."""
        origin = self.program.origin
        self.notes[f"{text} ({origin.file}:{origin.line})" if origin.file else text] = None

    def input(self, aval: Any, array: Any, conjugate: bool = False) -> Seen:
        """An input of the program, and its numbers.  conjugate: whether the program has a complex one's conjugate"""
        seen = known(self.program, aval, array)
        if real(aval):
            seen.become(self.program.input(tuple(aval.shape)), varies=True)
        elif is_complex(aval):
            become_pair(seen, self.program.input(numbers_shape(aval)), conjugate)
        if seen.varies:
            self.given[seen.value.index] = as_pairs(array, conjugate)
        return seen

    def random(self, aval: Any) -> Seen:
        """A cotangent of random numbers of order one, in the format of `aval`."""
        numbers = np.asarray(self.generator.standard_normal(numbers_shape(aval)))
        return self.input(aval, of_pairs(numbers, aval.dtype, conjugate=True), conjugate=True)

    # ---------------------------------------------------------------- jaxprs

    def read(self, jaxpr: Any, consts: Sequence[Any], operands: Sequence[Seen]) -> list[Seen]:
        """The results of a jaxpr."""
        variables = {v: expected(v.aval, x) for v, x in zip(jaxpr.invars, operands, strict=True)}
        for v, const in zip(jaxpr.constvars, consts, strict=True):
            variables[v] = known(self.program, v.aval, const)

        def seen(atom: Any) -> Seen:
            return literal(self.program, atom.aval, atom.val) if hasattr(atom, "val") else variables[atom]

        for eqn in jaxpr.eqns:
            self.calls += 1
            self.program.origin = self._origin(eqn)
            results = self.equation(eqn, [seen(atom) for atom in eqn.invars])
            coarse = (float(jnp.finfo(x.aval.dtype).eps) / 2 for x in results if x.number and x.varies)
            self.roundoff = max(self.roundoff, *coarse, 0.0)
            variables.update(zip(eqn.outvars, results, strict=True))
        return [seen(atom) for atom in jaxpr.outvars]

    def inside(self, jaxpr: Any, operands: Sequence[Seen]) -> list[Seen]:
        """The results of a jaxpr that an equation holds. Those of JAX's own functions are kept from call to call: their
        lines are those of the first one, so that this call's line is taken for all of them."""
        inner, consts = getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())
        place, around, origin = self._place, self._around, self.program.origin
        self._around = origin.file, origin.line
        if place is None and not _users(inner):
            self._place = self._around
        try:
            return self.read(inner, consts, operands)
        finally:
            self._place, self._around, self.program.origin = place, around, origin

    def by_parts(self, jaxpr: Any, operands: Sequence[Seen]) -> list[Seen]:
        """The results of a jaxpr that was made of an equation: its lines are all that equation's."""
        place, made_of, origin = self._place, self._made_of, self.program.origin
        self._place, self._made_of = (origin.file, origin.line), origin.name
        try:
            return self.read(jaxpr.jaxpr, jaxpr.consts, operands)
        finally:
            self._place, self._made_of, self.program.origin = place, made_of, origin

    def equation(self, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
        """The variables that one equation defines. One without a rule counts only where its results are asked for."""
        name = _jaxs_own(eqn) or eqn.primitive.name
        if name in control_flow.TABLE:
            return control_flow.TABLE[name](self, eqn, operands)
        bind = bound(eqn)
        work = Work(by_numpy(eqn) or bind, operands)
        results = [Seen(self.program, v.aval, work, k) for k, v in enumerate(eqn.outvars)]
        try:
            return self._written_down(eqn, name, bind, operands, results)
        except NoGraph:
            raise
        except Unsupported as reason:
            if not self.asks_later or name == FORWARD_MODE or not any(x.number for x in results):
                raise
            for x in results:
                if x.number:
                    x.refused, x.varies = reason, True
            return results

    def _written_down(
        self,
        eqn: Any,
        name: str,
        bind: Callable[..., Sequence[Any]],
        operands: Sequence[Seen],
        results: Sequence[Seen],
    ) -> Sequence[Seen]:
        varies = any(x.varies for x in operands)
        reason = next((x.refused for x in operands if x.refused is not None), None)
        if reason is not None and any(x.number for x in results):
            raise reason
        self._follow_bits(name, operands, results)
        if varies and any(is_complex(x.aval) for x in (*operands, *results)):
            return complex_numbers.followed(self, eqn, bind, operands, results)
        if not any(x.real for x in results) or not any(x.real for x in operands) or name in elementwise.FROM_RUN:
            return results
        entry = TABLE.get(name)
        if entry is None:
            if not varies:
                return results
            if name in _OUTSIDE:
                raise NoGraph(f"numbers leave the graph at {self.program.origin}")
            raise Unsupported(
                f"{self.program.origin}: JAX's primitive {name} is not covered{_reason(name)}: {WHAT_TO_DO}"
            )
        call = Call(self.program, name, eqn.params, operands, results, bind, self.notes)
        try:
            values = entry(call)
        except Unsupported:
            if varies:
                raise
            return results
        for seen, value in zip(results, values if isinstance(values, list) else [values], strict=True):
            if seen.real:
                seen.become(value, varies)
        return results

    def _follow_bits(self, name: str, operands: Sequence[Seen], results: Sequence[Seen]) -> None:
        """A comparison of bits is a branch like any other; but bits that become a number again are not followed."""
        cast = name == "bitcast_convert_type" and operands[0].varies
        if not cast and not any(x.bits for x in operands):
            return
        for x in results:
            if x.real and not any(y.varies for y in operands):
                raise Unsupported(f"{self.program.origin}: a number is made of another's bits, by {name}")
            x.bits = _typed(x) and not x.real and x.aval.dtype != bool

    # ---------------------------------------------------------------- custom rules

    def recorded(self, eqn: Any, jaxpr: Any, operands: Sequence[Seen]) -> list[Seen]:
        """A call of a function with a rule of its own: its value, and what its rule makes of random cotangents."""
        name = eqn.params.get("name") or _name(getattr(jaxpr, "jaxpr", jaxpr))
        origin, within = self.program.origin, self._within
        self._within = name
        try:
            if id(eqn) in self._seen and name not in self.surrogates:  # another round of a loop
                return self.inside(jaxpr, operands)
            self._seen.add(id(eqn))
            self._kept.append(eqn)
            # x twice among the operands, or f(x), is another place to each of them
            inputs = [self._apart(x) for x in operands]
            results = self.inside(jaxpr, inputs)
            if name in self.surrogates:  # lines of their own, which depend on an input though they may be constants
                results = [self._apart(x, any(y.varies for y in inputs)) for x in results]
            arrived = [self.random(x.aval) for x in results if x.number]
            forward, gradients = self._by_its_rule(eqn, inputs, results, arrived)
        finally:
            self._within, self.program.origin = within, origin
        self.borders.append(
            Border(
                name,
                Origin(name, origin.file, origin.line, origin.call, within),
                tuple(value_of(x) for x in inputs if x.varies),
                tuple(value_of(x) for x in results if x.number),
                tuple(x.value for x in arrived),
                tuple(value_of(x, conjugate=True) for x in gradients),
                True,
                tuple(value_of(x) for x in forward),
                not _users(getattr(jaxpr, "jaxpr", jaxpr)),
            )
        )
        return results

    def _apart(self, x: Seen, varies: bool = False) -> Seen:
        apart = Seen(self.program, x.aval, x.work, x.place)
        if x.real:
            apart.become(special.identity(x.value), x.varies or varies)
        elif x.number and (x.varies or varies):
            become_pair(apart, special.identity(value_of(x)))
        return apart

    def _by_its_rule(
        self, eqn: Any, inputs: Sequence[Seen], results: Sequence[Seen], arrived: Sequence[Seen]
    ) -> tuple[list[Seen], list[Seen]]:
        """The outputs as the rule's own forward pass has them, and the gradients."""
        places = [k for k, x in enumerate(inputs) if x.varies]
        bind = bound(eqn)

        def both(operands: Sequence[Any], cotangents: Sequence[Any]) -> Any:
            def outputs(*differentiated: Any) -> list[Any]:
                filled = list(operands)
                for k, x in zip(places, differentiated, strict=True):
                    filled[k] = x
                return [y for y, x in zip(bind(*filled), results, strict=True) if x.number]

            values, back = jax.vjp(outputs, *(operands[k] for k in places))
            return values, back(list(cotangents))

        with self.traced():
            shapes = [_shape(x.aval) for x in (*inputs, *arrived)]
            closed = jax.make_jaxpr(both)(shapes[: len(inputs)], shapes[len(inputs) :])
        recording, self.recording = self.recording, False
        try:
            found = self.read(closed.jaxpr, closed.consts, [*inputs, *arrived])
        finally:
            self.recording = recording
        return found[: len(arrived)], found[len(arrived) :]

    # ---------------------------------------------------------------- lines

    def _origin(self, eqn: Any) -> Origin:
        file, line = self._place or _line(eqn) or self._around
        return Origin(self._made_of or eqn.primitive.name, file, line, self.calls, self._within)


def _shape(aval: Any) -> Any:
    shape: Any = jax.ShapeDtypeStruct
    return shape(aval.shape, aval.dtype)


def _typed(x: Seen) -> bool:
    return getattr(x.aval, "dtype", None) is not None


def _reason(name: str) -> str:
    return f": {_UNKNOWN[name]}" if name in _UNKNOWN else ""


def _jaxs_own(eqn: Any) -> str | None:
    """The name of a function of JAX's that is an operation of ours as a whole, if this equation calls one."""
    held = eqn.params.get("call_jaxpr")
    jaxpr = getattr(held, "jaxpr", held)
    if jaxpr is None or _name(jaxpr) not in elementwise.FUNCTIONS or _users(jaxpr):
        return None
    return _name(jaxpr)


def run_by_jax(eqn: Any, operands: Sequence[Seen], results: Sequence[Seen]) -> None:
    """Makes the results what the primitive itself gives, where the interpreter may have had NumPy compute them."""
    work = Work(bound(eqn), operands)
    for place, x in enumerate(results):
        x.work, x.place = work, place


def bound(eqn: Any) -> Callable[..., Sequence[Any]]:
    """The primitive as a function of arrays, which returns a list of results. More parameters replace its own."""

    def bind(*operands: Any, **parameters: Any) -> Sequence[Any]:
        manager = getattr(getattr(eqn, "ctx", None), "manager", None) or nullcontext()
        with manager:
            params = eqn.primitive.get_bind_params({**eqn.params, **parameters})
            if isinstance(params, tuple):  # JAX 0.8: the functions come first
                found = eqn.primitive.bind(*params[0], *operands, **params[1])
            else:
                found = eqn.primitive.bind(*operands, **params)
        return found if eqn.primitive.multiple_results else [found]

    return bind


def _line(eqn: Any) -> tuple[str, int] | None:
    """The innermost line that is neither JAX's nor ours, if the equation knows it."""
    source = eqn.source_info if _FRAMES_OF_SOURCE else eqn.source_info.traceback
    for frame in source_info_util.user_frames(source):
        if not frame.file_name.startswith((*OWN, "<")) and not of_a_wrapper(frame.file_name):
            return frame.file_name, frame.start_line
    return None


def _users(jaxpr: Any) -> bool:
    """Whether the function that this jaxpr was traced from is the user's."""
    info = jaxpr.debug_info
    where = str(getattr(info, "func_src_info", "") or "")
    file = where.partition(" at ")[2].rpartition(":")[0]
    return not file or bool(source_info_util.is_user_filename(file))


def _name(jaxpr: Any) -> str:
    return str(getattr(jaxpr.debug_info, "func_src_info", "") or "").partition(" at ")[0] or "custom function"
