"""JAX's primitives that treat every element by itself, in our operations.

`TABLE`: name → entry(call). `FROM_RUN`: results through which no gradient goes; the run's own numbers are taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...reference.programs import Unsupported, Value, special, stopped
from ...reference.programs import elementwise as e
from .seen import Call, Table

TABLE = Table()

# Piecewise constant, or whole numbers and truth values altogether.
FROM_RUN = {
    "sign", "floor", "ceil", "round", "is_finite",
    "eq", "ne", "lt", "le", "gt", "ge", "eq_to", "le_to", "lt_to", "argmax", "argmin",
    "and", "or", "xor", "not", "shift_left", "shift_right_arithmetic", "shift_right_logical", "population_count", "clz",
    "mulhi", "reduce_and", "reduce_or", "reduce_xor", "bitcast_convert_type",
    "iota", "empty", "empty2", "zeros_like", "rng_bit_generator", "rng_uniform", "random_bits", "random_fold_in",
    "random_seed", "random_split", "random_unwrap", "random_wrap", "random_clone", "threefry2x32", "threefry4x32",
    "philox2x32", "philox4x32", "iota_2x32_shape", "lu_pivots_to_permutation", "axis_index", "platform_index",
    "to_edtype", "from_edtype", "after_all", "create_token",
}  # fmt: skip


def _polynomial(x: Value, *coefficients: Value) -> Value:
    """a₀ + x (a₁ + x (a₂ + …)), by Horner's rule."""
    total = coefficients[-1]
    for a in reversed(coefficients[:-1]):
        total = a + x * total
    return total


_FORMULAS: dict[str, Callable[..., Value]] = {
    "add": lambda x, y: x + y,
    "add_any": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "neg": lambda x: -x,
    "max": e.maximum,
    "min": e.minimum,
    "clamp": lambda low, x, high: e.minimum(e.maximum(x, low), high),
    "abs": e.absolute,
    "polynomial": _polynomial,
    "square": lambda x: x * x,
    "one_minus_square": lambda x: (1 - x) * (1 + x),  # as XLA expands it
    "sqrt": e.sqrt,
    "rsqrt": lambda x: 1 / e.sqrt(x),
    "cbrt": e.cbrt,
    "exp": e.exp,
    "exp2": lambda x: e.exp(x * e.log(x.program.constant(2))),
    "expm1": e.expm1,
    "log": e.log,
    "log1p": e.log1p,
    "log2": lambda x: e.log(x) / e.log(x.program.constant(2)),
    "logistic": e.logistic,
    "sin": e.sin,
    "cos": e.cos,
    "tan": e.tan,
    "asin": e.asin,
    "acos": e.acos,
    "atan": e.atan,
    "atan2": e.atan2,
    "sinh": e.sinh,
    "cosh": e.cosh,
    "tanh": e.tanh,
    "asinh": e.asinh,
    "acosh": e.acosh,
    "atanh": e.atanh,
    "erf": e.erf,
    "erfc": e.erfc,
    "erf_inv": e.erfinv,
    "lgamma": e.lgamma,
    "digamma": lambda x: e.polygamma(x, order=0),
    "bessel_i0e": lambda x: e.exp(-e.absolute(x)) * e.bessel_i(x, order=0),
    "bessel_i1e": lambda x: e.exp(-e.absolute(x)) * e.bessel_i(x, order=1),
    "igamma": special.igamma,
    "igammac": special.igammac,
    "igamma_grad_a": special.igamma_grad_a,
    "zeta": special.zeta,
    "regularized_incomplete_beta": special.incomplete_beta,
}  # fmt: skip

# Operands that we have no derivative for.
_FIXED = {"zeta": (0,), "regularized_incomplete_beta": (0, 1)}

# The same number, in another format or place.
SAME = (
    "copy", "copy_p", "name", "pvary", "reduced_vary_cast_p", "sharding_constraint", "layout_constraint", "reshard",
    "with_memory_space_constraint",
)  # fmt: skip


def _by_formula(call: Call) -> Value:
    for k in _FIXED.get(call.name, ()):
        if call.operands[k].varies:
            raise Unsupported(f"{call.program.origin}: no derivative for operand {k + 1} of {call.name}")
    return _FORMULAS[call.name](*call.values)


# Functions of JAX's, not primitives, whose jaxpr takes numbers apart by their bits: what they compute.
FUNCTIONS: dict[str, Callable[..., Value]] = {"exp_neg_sq": lambda x: e.exp(-(x * x))}  # since 0.11
_FORMULAS |= FUNCTIONS

for _name in _FORMULAS:
    TABLE.entries[_name] = _by_formula


@TABLE("polygamma")
def _polygamma(call: Call) -> Value:
    orders = np.unique(call.operands[0].array)
    if call.operands[0].varies or orders.size != 1 or orders[0] != int(orders[0]):
        raise Unsupported(f"{call.program.origin}: polygamma of orders that are not one whole number")
    return e.polygamma(call.values[1], order=int(orders[0]))


@TABLE("integer_pow")
def _integer_pow(call: Call) -> Value:
    return e.whole_power(call.values[0], exponent=int(call.params["y"]))


@TABLE("pow")
def _pow(call: Call) -> Value:
    base, exponent = call.operands
    if not exponent.varies:
        array = exponent.array
        if array.size and (array == array.flat[0]).all() and float(array.flat[0]).is_integer():
            return e.whole_power(base.value, exponent=int(array.flat[0]))
    return e.power(base.value, exponent.value)


@TABLE("rem")
def _rem(call: Call) -> Value:
    """x − y · (x/y, rounded towards zero): the whole number is the run's."""
    x, y = (operand.array.astype(np.float64) for operand in call.operands)
    with np.errstate(all="ignore"):
        times = np.rint((x - np.fmod(x, y)) / y)
    return call.values[0] - call.values[1] * call.program.constant(times)


@TABLE("convert_element_type", "reduce_precision")
def _converted(call: Call) -> Value:
    x, result = call.operands[0], call.results[0].aval.dtype
    if call.name == "reduce_precision":
        call.note("reduce_precision rounds; the program does not")
    elif result.itemsize < x.aval.dtype.itemsize:
        call.note(f"convert_element_type to {result} rounds; the program does not")
    return x.value


@TABLE("stop_gradient")
def _stop_gradient(call: Call) -> Value:
    return stopped(call.operands[0].value)


@TABLE(*SAME)
def _same(call: Call) -> Value:
    return call.operands[0].value


@TABLE("tie")
def _tie(call: Call) -> Value:
    return call.operands[1].value


@TABLE("optimization_barrier", "device_put")
def _each_the_same(call: Call) -> list[Value | None]:
    return [x.value if x.real else None for x in call.operands]
