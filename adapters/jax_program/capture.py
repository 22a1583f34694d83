"""What JAX does for a function and its gradient, as one program. Both are traced, and read by `interpreter.py`.

The gradient's jaxpr holds its own forward pass: `custom_vjp`s are their `fwd` there, and themselves in the function's.
Source: JAX, `jax.make_jaxpr`, `jax.vjp`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import source_info_util
from jax.interpreters import partial_eval

from ...reference.case import InvalidInput
from ...reference.programs import STOP, Captured, NoGraph
from ..jax_grad import enable_x64
from .complex_numbers import as_pairs, numbers_shape, of_pairs, value_of
from .interpreter import OWN, Interpreter

__all__ = ["as_pairs", "capture", "differentiable", "numbers_shape", "of_pairs"]


def capture(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    seed: int = 0,
    run: Callable[[Sequence[Any], Sequence[Any]], Any] | None = None,
    reader: Callable[..., Interpreter] = Interpreter,
    surrogates: frozenset[str] = frozenset(),
    reference: Callable[..., Any] | None = None,
) -> Captured:
    """Traces `function(*inputs)` and its gradient, and returns what they do at this point as a program.

    inputs: any trees of arrays and numbers; real ones are differentiated, everything else is as it is
    seed: of the cotangents, random numbers of order one
    run: what really runs, for `Captured.ran`: (differentiated leaves, cotangents) → (outputs, gradients); compiled
        once by a caller that captures often;  reader: what reads the jaxprs
    surrogates: the names of custom functions whose backward is declared to be meant as it is
    reference: the same function in plain operations, whose outputs are then the program's
    Raises Unsupported, with the user's line, if an operation is not known; InvalidInput if the reference returns arrays
    of other shapes.
    """
    config: Any = jax.config
    leaves, tree = jax.tree.flatten(tuple(inputs))
    places = [k for k, x in enumerate(leaves) if differentiable(x)]
    given = [leaves[k] for k in places]
    wide = bool(config.jax_enable_x64) or any(getattr(x, "dtype", None) in (np.float64, np.complex128) for x in given)

    def traced() -> AbstractContextManager[Any]:
        return enable_x64(wide)

    def of(called: Callable[..., Any]) -> Callable[..., list[Any]]:
        def outputs(*differentiated: Any) -> list[Any]:
            filled = list(leaves)
            for k, x in zip(places, differentiated, strict=True):
                filled[k] = x
            found = jax.tree.leaves(called(*jax.tree.unflatten(tree, filled)))
            return [y for y in found if differentiable(y)]

        return outputs

    outputs = of(function)

    def gradients(differentiated: Sequence[Any], cotangents: Sequence[Any]) -> Any:
        values, back = jax.vjp(outputs, *differentiated)
        return values, back(list(cotangents))

    interpreter = reader(np.random.default_rng(seed), traced, surrogates)
    with enable_x64(True):
        with traced():
            try:
                forward = jax.make_jaxpr(outputs if reference is None else of(reference))(*given)
                _same_shapes(forward.out_avals, jax.eval_shape(outputs, *given) if reference else forward.out_avals)
            except jax.errors.ConcretizationTypeError as error:
                where = f"Python decides by a number, which JAX cannot trace: {_first(error)}"
                raise NoGraph(where) from error
        starts = [
            interpreter.input(v.aval, np.asarray(x).astype(v.aval.dtype))
            for v, x in zip(forward.jaxpr.invars, given, strict=True)
        ]
        interpreter.recording = interpreter.looks_at_borders
        ends = interpreter.read(forward.jaxpr, forward.consts, starts)
        interpreter.recording = False
        arriving = [interpreter.random(v.aval) for v in forward.jaxpr.outvars]
        with traced():
            arrays = [np.asarray(x.run) for x in arriving]
            backward = jax.make_jaxpr(lambda xs, cts: gradients(xs, cts)[1])(given, arrays)
            ran = (run or gradients)([jax.device_put(x) for x in given], [jax.device_put(x) for x in arrays])
        needed, _ = partial_eval.dce_jaxpr(backward.jaxpr, [True] * len(backward.jaxpr.outvars), instantiate=True)
        found = interpreter.read(needed, backward.consts, [*starts, *arriving])
    return Captured(
        interpreter.program,
        tuple(x.value for x in starts),
        tuple(value_of(x) for x in ends),
        tuple(x.value for x in arriving),
        tuple(value_of(x, conjugate=True) for x in found),
        interpreter.given,
        tuple(as_pairs(x, conjugate=k >= len(ends)) for k, x in enumerate(jax.tree.leaves(ran))),
        tuple(interpreter.borders),
        tuple(interpreter.notes),
        stops=tuple(dict.fromkeys(node.origin for node in interpreter.program.nodes if node.operation is STOP)),
        surrogates=surrogates,
        roundoff=interpreter.roundoff,
        undefined=interpreter.undefined,
    )


def _same_shapes(plain: Sequence[Any], own: Sequence[Any]) -> None:
    if [x.shape for x in plain] != [x.shape for x in own]:
        shapes = [" and ".join(map(str, (x.shape for x in values))) or "none" for values in (own, plain)]
        raise InvalidInput(f"reference: expected outputs of the function's shapes, {shapes[0]}, got {shapes[1]}.")


def _first(error: Exception) -> str:
    """What JAX says, and where the user's function decides; JAX's message goes on for a page."""
    file, line = "", 0
    for frame in traceback.extract_tb(error.__traceback__):
        if source_info_util.is_user_filename(frame.filename) and not frame.filename.startswith(OWN):
            file, line = Path(frame.filename).name, frame.lineno or 0
    said = str(error).splitlines()[0].rstrip(".")
    return f"{said} ({file}:{line})" if file else said


def differentiable(x: Any) -> bool:
    """Whether it is a number, or an array of numbers, that a gradient flows through."""
    if isinstance(x, bool | int | str | bytes) or x is None:
        return False
    if isinstance(x, float):
        return True
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return False
    return bool(jnp.issubdtype(dtype, jnp.inexact))
