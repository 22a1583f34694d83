"""Complex numbers: what JAX's primitives compute of them, by real primitives of their real and imaginary parts.

A complex variable is two real ones. JAX's gradient is ∂E/∂x − i ∂E/∂y, so the gradient of the parts is its conjugate,
and a cotangent's. Source: JAX, "The Autodiff Cookbook", Complex numbers and differentiation; the formulas:
`reference/programs/complex_formulas.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ...reference.programs import (
    WHAT_TO_DO,
    Unsupported,
    Value,
    concatenated,
    numbered,
    of_half,
    rearranged,
    reshaped,
    waves,
)
from ...reference.programs import complex_formulas as formulas
from ...reference.programs.complex_formulas import Parts
from .seen import Seen, Work

if TYPE_CHECKING:
    from .interpreter import Interpreter


# Primitives that are linear in all of their complex operands together: each part by itself.
LINEAR = {
    "add", "add_any", "sub", "neg", "reduce_sum", "cumsum", "concatenate", "reshape", "transpose", "broadcast_in_dim",
    "slice", "dynamic_slice", "dynamic_update_slice", "gather", "scatter", "scatter-add", "scatter_add", "select_n",
    "pad", "squeeze", "rev", "expand_dims", "copy", "copy_p", "split", "reduce_window_sum", "device_put",
    "stop_gradient",
}  # fmt: skip
BILINEAR = {"dot_general", "conv_general_dilated"}


def is_complex(aval: Any) -> bool:
    """Whether values of this type are complex numbers."""
    dtype = getattr(aval, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.complexfloating))


def real_dtype(dtype: Any) -> Any:
    """Of the parts."""
    return np.finfo(dtype).dtype


def as_pairs(array: Any, conjugate: bool = False) -> NDArray[np.float64]:
    """Numbers in float64; of complex ones real and imaginary parts, … × 2."""
    array = np.asarray(array)
    if not np.issubdtype(array.dtype, np.complexfloating):
        return array.astype(np.float64)
    return np.stack([array.real, -array.imag if conjugate else array.imag], -1).astype(np.float64)


def of_pairs(numbers: Any, dtype: Any, conjugate: bool = False) -> NDArray[Any]:
    """The array of this format that `as_pairs` gives these numbers of."""
    numbers = np.asarray(numbers)
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        return numbers.astype(dtype)
    imaginary = -numbers[..., 1] if conjugate else numbers[..., 1]
    return (numbers[..., 0] + 1j * imaginary).astype(dtype)


def numbers_shape(x: Any) -> tuple[int, ...]:
    """Of the array of its numbers: a complex number is two."""
    return (*x.shape, 2) if is_complex(x) else tuple(x.shape)


def parts_of(seen: Seen) -> tuple[Seen, ...]:
    """The two real variables; of a constant, what it is made of. Raises Unsupported as `Seen.value` does."""
    if seen.refused is not None:
        raise seen.refused
    if seen.parts is None:
        aval = jax.core.ShapedArray(seen.aval.shape, real_dtype(seen.aval.dtype))
        seen.parts = tuple(
            Seen(seen.program, aval, Work(lambda x, part=part: [part(np.asarray(x))], [seen]))
            for part in (np.real, np.imag)
        )
    return seen.parts


def become_pair(seen: Seen, value: Value, conjugate: bool = False) -> None:
    """The variable is the number whose parts are this line's, … × 2."""
    shape = tuple(seen.aval.shape)
    places = numbered((*shape, 2))
    for k, part in enumerate(parts_of(seen)):
        line = rearranged(value, places[..., k])
        part.become(-line if k and conjugate else line, varies=True)
    seen.varies, seen.line = True, value


def value_of(seen: Seen, conjugate: bool = False) -> Value:
    """Its line in the program; of a complex one, both parts beside each other along one more axis."""
    if not is_complex(seen.aval):
        return seen.value
    if seen.line is not None and not conjugate:
        return seen.line
    real, imaginary = (x.value for x in parts_of(seen))
    one = (*seen.aval.shape, 1)
    return concatenated([reshaped(real, one), reshaped(-imaginary if conjugate else imaginary, one)], len(one) - 1)


def followed(
    interpreter: Interpreter,
    eqn: Any,
    bind: Callable[..., Sequence[Any]],
    operands: Sequence[Seen],
    results: Sequence[Seen],
) -> Sequence[Seen]:
    """The results of an equation of complex numbers, by equations of their parts."""
    name = eqn.primitive.name
    if not any(x.number for x in results):
        return results
    rule = RULES.get(name) or (_part_by_part if name in LINEAR else _bilinear if name in BILINEAR else None)
    if rule is None:
        raise Unsupported(
            f"{interpreter.program.origin}: JAX's primitive {name} of complex numbers is not covered: {WHAT_TO_DO}"
        )
    flat = [y for x in operands for y in (parts_of(x) if is_complex(x.aval) else (x,))]

    def of_parts(*arrays: Any) -> list[Any]:
        left = iter(arrays)
        given = [(next(left), next(left)) if is_complex(x.aval) else next(left) for x in operands]
        found = rule(bind, eqn.params, *given)
        both = zip(found if isinstance(found, list) else [found], results, strict=True)
        return [
            jnp.broadcast_to(y, x.aval.shape).astype(real_dtype(x.aval.dtype) if is_complex(x.aval) else x.aval.dtype)
            for z, x in both
            for y in (z if is_complex(x.aval) else (z,))
        ]

    with interpreter.traced():
        closed = jax.make_jaxpr(of_parts)(*(jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in flat))
    found = iter(interpreter.by_parts(closed, flat))
    for x in results:
        if is_complex(x.aval):
            x.parts = next(found), next(found)
            x.varies = any(part.varies for part in x.parts)
        else:
            part = next(found)
            x.become(part.value, part.varies)
    return results


# ---------------------------------------------------------------- rules: of the primitive, its parameters, the operands


def _part_by_part(bind: Any, params: Any, *operands: Any) -> Any:
    del params
    found = [bind(*(x[k] if isinstance(x, tuple) else x for x in operands)) for k in (0, 1)]
    return [(real, imaginary) for real, imaginary in zip(*found, strict=True)]


def _bilinear(bind: Any, params: Any, x: Any, y: Any) -> Parts:
    preferred = params.get("preferred_element_type")
    changed = {} if preferred is None else {"preferred_element_type": real_dtype(preferred)}

    def product(a: Any, b: Any) -> Any:
        return bind(a, b, **changed)[0]

    (a, b), (c, d) = _pair(x), _pair(y)
    return product(a, c) - product(b, d), product(a, d) + product(b, c)


def _pair(x: Any) -> Parts:
    return x if isinstance(x, tuple) else (x, jnp.zeros_like(x))


FORMULAS: dict[str, Callable[[Parts], Any]] = {  # primitives of one complex number, besides those of the same name
    "conj": formulas.conjugate,
    "real": lambda x: x[0],
    "imag": lambda x: x[1],
    "abs": lambda x: jnp.sqrt(formulas.squared_size(x)),
    "sign": lambda x: formulas.direction(x, jnp),
    "logistic": formulas.functions(jnp)["sigmoid"],
}


def _formula(formula: Callable[[Parts], Any]) -> Callable[..., Any]:
    return lambda bind, params, x: formula(_pair(x))


def _cast(bind: Any, params: Any, x: Any) -> Any:
    del bind
    return _pair(x) if jnp.issubdtype(params["new_dtype"], jnp.complexfloating) else _pair(x)[0]


# ---------------------------------------------------------------- Fourier transforms


def _along(x: Any, numbers: Any, axis: int) -> Any:
    product = jnp.matmul(jnp.moveaxis(x, axis, -1), numbers.astype(x.dtype), precision="highest")
    return jnp.moveaxis(product, -1, axis)


def _transformed(x: Parts, axis: int, sign: int) -> Parts:
    """Σ_j x_j e^{±2πijk/n} along an axis."""
    cosines, sines = waves(x[0].shape[axis], sign)
    return (
        _along(x[0], cosines, axis) - _along(x[1], sines, axis),
        _along(x[1], cosines, axis) + _along(x[0], sines, axis),
    )


def _fourier(bind: Any, params: Any, x: Any) -> Any:
    del bind
    kind, lengths = str(getattr(params["fft_type"], "name", params["fft_type"])), params["fft_lengths"]
    pair, inverse = _pair(x), "I" in kind
    axes = list(range(pair[0].ndim - len(lengths), pair[0].ndim))
    scale = math.prod(lengths) if inverse else 1
    if kind != "IRFFT":
        for axis in reversed(axes):
            pair = _transformed(pair, axis, 1 if inverse else -1)
        kept = lengths[-1] // 2 + 1 if kind == "RFFT" and lengths else None
        return pair[0][..., :kept] / scale, pair[1][..., :kept] / scale
    for axis in axes[:-1]:
        pair = _transformed(pair, axis, 1)
    n = lengths[-1]
    kept = pair[0].shape[-1]
    cosines, sines = (numbers[:kept] for numbers in waves(n))
    twice = of_half(n, kept)[:, None]
    return (_along(pair[0], twice * cosines, -1) - _along(pair[1], twice * sines, -1)) / scale


RULES: dict[str, Callable[..., Any]] = {
    "mul": lambda bind, params, x, y: formulas.times(_pair(x), _pair(y)),
    "div": lambda bind, params, x, y: formulas.over(_pair(x), _pair(y)),
    "complex": lambda bind, params, x, y: (x, y),
    "integer_pow": lambda bind, params, x: formulas.whole_power(_pair(x), params["y"]),
    "pow": lambda bind, params, x, y: formulas.exponential(
        formulas.times(_pair(y), formulas.logarithm(_pair(x), jnp)), jnp
    ),
    "convert_element_type": _cast,
    "fft": _fourier,
    **{name: _formula(formula) for name, formula in (formulas.functions(jnp) | FORMULAS).items()},
}
