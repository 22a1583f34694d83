"""Equations that hold other jaxprs: calls, loops, branches, custom rules. Each is followed as it ran.

`TABLE`: name → entry(interpreter, equation, operands), which returns the variables of its results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ...reference.programs import Unsupported, chosen, concatenated, numbered, rearranged, reshaped
from .complex_numbers import is_complex, parts_of, real_dtype
from .seen import Seen, Work

if TYPE_CHECKING:
    from .interpreter import Interpreter

Entry = Callable[["Interpreter", Any, Sequence[Seen]], Sequence[Seen]]
LONGEST = 10_000  # rounds of a `while` that are followed

# Where an equation that does nothing but call keeps the jaxpr that it calls.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_closed_call": "call_jaxpr",
    "call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "remat_opt": "fwd_jaxpr",
    "eval_jaxpr": "jaxpr",
    "composite": "jaxpr",
    "custom_vmap_call": "call",
    "linear_call": "callee",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}


def _call(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    return interpreter.inside(eqn.params[CALLS[eqn.primitive.name]], operands)


def _custom(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    if not interpreter.recording:
        return _call(interpreter, eqn, operands)
    return interpreter.recorded(eqn, eqn.params[CALLS[eqn.primitive.name]], operands)


def _expanded(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    """A primitive of JAX's (since 0.11) or a user's that says what it is in terms of others."""
    primitive = eqn.params["_prim"]
    avals = jax.tree.unflatten(primitive.in_tree, [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in operands])
    jaxpr = jax.make_jaxpr(primitive.expand)(*avals)
    return interpreter.inside(jaxpr, operands)


def _cond(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    branches = eqn.params["branches"]
    taken = int(np.clip(int(operands[0].array), 0, len(branches) - 1))
    interpreter.note(f"branch {taken} of {len(branches)} was taken")
    return interpreter.inside(branches[taken], operands[1:])


def _while(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    p = eqn.params
    first, second = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    carry = list(operands[second:])
    for rounds in range(LONGEST):
        (going_on,) = interpreter.inside(p["cond_jaxpr"], [*operands[:first], *carry])
        condition = np.asarray(going_on.array, dtype=bool)
        if not condition.any():
            interpreter.note(f"a loop went round {rounds} times")
            return carry
        after = list(interpreter.inside(p["body_jaxpr"], [*operands[first:second], *carry]))
        carry = after if condition.all() else [_kept(condition, x, y) for x, y in zip(after, carry, strict=True)]
    raise Unsupported(f"{interpreter.program.origin}: a while loop of more than {LONGEST} rounds")


def _kept(condition: Any, after: Seen, before: Seen) -> Seen:
    """Of a loop under vmap: what a round made, where its own condition held; elsewhere what was there before."""
    mask = np.broadcast_to(
        condition.reshape(condition.shape + (1,) * (len(after.aval.shape) - condition.ndim)), after.aval.shape
    )
    seen = Seen(
        after.program, after.aval, Work(lambda x, y: [np.where(mask, np.asarray(x), np.asarray(y))], [after, before])
    )
    if after.real:
        seen.become(chosen(mask, after.value, before.value), after.varies or before.varies)
    elif after.number and (after.varies or before.varies):
        pairs = zip(parts_of(after), parts_of(before), strict=True)
        seen.parts, seen.varies = tuple(_kept(condition, x, y) for x, y in pairs), True
    return seen


def _scan(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    p = eqn.params
    first, carries = _scanned(p)
    carry, given = list(operands[first : first + carries]), operands[first + carries :]
    rows: list[tuple[int, Sequence[Seen]]] = []
    for k in reversed(range(p["length"])) if p["reverse"] else range(p["length"]):
        elements = [_element(x, k) for x in given]
        results = interpreter.inside(p["jaxpr"], [*operands[:first], *carry, *elements])
        carry = list(results[:carries])
        rows.append((k, results[carries:]))
    ordered = [row for _, row in sorted(rows, key=lambda row: row[0])]
    stacked = [_stacked(interpreter, v.aval, [row[j] for row in ordered]) for j, v in enumerate(eqn.outvars[carries:])]
    return [*carry, *stacked]


def _scanned(params: Mapping[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many are carried. Since JAX 0.11 trees say so, not numbers."""
    if "ft_in" in params:
        constants, carried, _ = params["ft_in"].unpack()
        return len(constants), len(carried)
    return params["num_consts"], params["num_carry"]


def _element(x: Seen, k: int) -> Seen:
    """x[k]."""
    aval = jax.core.ShapedArray(x.aval.shape[1:], x.aval.dtype)
    keys = jnp.issubdtype(x.aval.dtype, jax.dtypes.extended)
    element = Seen(x.program, aval, Work(lambda array: [array[k] if keys else np.asarray(array)[k]], [x]))
    if x.real:
        element.become(rearranged(x.value, numbered(tuple(x.aval.shape))[k]), x.varies)
    elif x.varies and is_complex(x.aval):
        element.parts, element.varies = tuple(_element(part, k) for part in parts_of(x)), True
    return element


def _stacked(interpreter: Interpreter, aval: Any, rows: Sequence[Seen]) -> Seen:
    def stack(*arrays: Any) -> Any:
        if not arrays:
            return [np.zeros(aval.shape, aval.dtype)]
        keys = jnp.issubdtype(aval.dtype, jax.dtypes.extended)
        return [jnp.stack(arrays) if keys else np.stack([np.asarray(x) for x in arrays])]

    stacked = Seen(interpreter.program, aval, Work(stack, rows))
    if stacked.real and rows:
        parts = [reshaped(x.value, (1, *x.aval.shape)) for x in rows]
        stacked.become(concatenated(parts, 0), any(x.varies for x in rows))
    elif is_complex(aval) and any(x.varies for x in rows):
        of_part = jax.core.ShapedArray(aval.shape, real_dtype(aval.dtype))
        both = zip(*(parts_of(x) for x in rows), strict=True)
        stacked.parts = tuple(_stacked(interpreter, of_part, list(part)) for part in both)
        stacked.varies = True
    return stacked


def _linear_solve(interpreter: Interpreter, eqn: Any, operands: Sequence[Seen]) -> Sequence[Seen]:
    """By the function that solves; what it knows of the matrix stands between its neighbours' constants."""
    lengths, jaxprs = eqn.params["const_lengths"], eqn.params["jaxprs"]
    counts = [lengths.matvec, lengths.vecmat, lengths.solve, lengths.transpose_solve]
    start, end = sum(counts[:2]), sum(counts)
    if jaxprs.matvec is jaxprs.vecmat and not _symmetric(jaxprs.matvec, operands[: lengths.matvec], operands[end:]):
        interpreter.undefined = f"{interpreter.program.origin} is told that its matrix is symmetric, which it is not"
    return interpreter.inside(jaxprs.solve, [*operands[start : start + lengths.solve], *operands[end:]])


def _symmetric(matvec: Any, constants: Sequence[Seen], vectors: Sequence[Seen]) -> bool:
    """Whether u·Av is v·Au, to half of the digits, of random u and v."""
    generator = np.random.default_rng(0)
    u, v = ([generator.standard_normal(x.array.shape) for x in vectors] for _ in range(2))
    fixed = [x.array for x in constants]

    def times(given: Sequence[NDArray[Any]], others: Sequence[NDArray[Any]]) -> tuple[float, float]:
        cast = [np.asarray(x, y.array.dtype) for x, y in zip(given, vectors, strict=True)]
        found = jax.core.eval_jaxpr(matvec.jaxpr, matvec.consts, *fixed, *cast)
        terms = [np.asarray(a, np.float64) * b for a, b in zip(found, others, strict=True)]
        return sum(float(t.sum()) for t in terms), sum(float(np.abs(t).sum()) for t in terms)

    (one, size), (other, _) = times(v, u), times(u, v)
    roundoff = max(float(jnp.finfo(x.array.dtype).eps) for x in vectors)
    return bool(abs(one - other) <= size * math.sqrt(roundoff))


def _nothing(*_: Any) -> Sequence[Seen]:
    """Printing and the like has no results."""
    return []


TABLE: dict[str, Entry] = {
    **dict.fromkeys(CALLS, _call),
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"), _custom),
    "call_hi_primitive": _expanded,
    "cond": _cond,
    "while": _while,
    "scan": _scan,
    "custom_linear_solve": _linear_solve,
    **dict.fromkeys(("debug_callback", "debug_print", "inspect_sharding", "dce_sink"), _nothing),
}
