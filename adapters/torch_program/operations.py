"""PyTorch's operations in ours. An entry takes what the schema's arguments are called; tensors come as values.

`OPERATIONS`: name, or name.overload, → entry(call, **arguments) that returns a value, or one for each result.
`MOVEMENTS` move elements and compute nothing: the call itself is made on their numbers. `CONSTANTS`: results through
which no gradient goes; the run's own numbers are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...reference.programs import Value
from ...reference.programs import elementwise as e
from ...reference.programs import sums as s

Entry = Callable[..., Any]
OPERATIONS: dict[str, Entry] = {}
MOVEMENTS: set[str] = set()
CONSTANTS: set[str] = set()


class Unsupported(Exception):
    """An operation that we have no rule for; the message says which, where, and what to do."""


def entry(*names: str) -> Callable[[Entry], Entry]:
    """The operation of these names."""

    def register(function: Entry) -> Entry:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


MOVEMENTS |= {
    "cat", "stack", "index", "gather", "index_select", "roll", "flip", "tril", "triu", "diag_embed", "unfold", "repeat",
    "clone", "copy", "_to_copy", "select_scatter", "slice_scatter", "_unsafe_view", "_reshape_alias", "view_copy",
    "select_backward", "slice_backward", "im2col", "constant_pad_nd",
}  # fmt: skip
CONSTANTS |= {
    "sign", "floor", "ceil", "round", "trunc", "bernoulli", "rand_like", "randn_like", "empty_like", "zeros_like",
    "ones_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided", "heaviside",
}  # fmt: skip

# ------------------------------------------------------------------------------------------------ element by element

for _name in (
    "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
    "asinh", "acosh", "atanh", "erf", "erfc", "erfinv", "lgamma",
):  # fmt: skip
    OPERATIONS[_name] = lambda call, self, _f=getattr(e, _name): _f(self)
OPERATIONS["neg"] = lambda call, self: -self
OPERATIONS["sigmoid"] = lambda call, self: e.logistic(self)
OPERATIONS["rsqrt"] = lambda call, self: 1 / e.sqrt(self)
OPERATIONS["reciprocal"] = lambda call, self: 1 / self
OPERATIONS["relu"] = lambda call, self: e.maximum(self, 0)
OPERATIONS["abs"] = lambda call, self: e.absolute(self)


@entry("add.Tensor", "add.Scalar")
def _add(call: Any, self: Any, other: Any, alpha: float = 1) -> Value:
    return call.value(self) + (call.value(other) if alpha == 1 else call.value(other) * alpha)


@entry("sub.Tensor", "sub.Scalar")
def _sub(call: Any, self: Any, other: Any, alpha: float = 1) -> Value:
    return call.value(self) - (call.value(other) if alpha == 1 else call.value(other) * alpha)


@entry("mul.Tensor", "mul.Scalar")
def _mul(call: Any, self: Any, other: Any) -> Value:
    return call.value(self) * call.value(other)


@entry("div.Tensor", "div.Scalar")
def _div(call: Any, self: Any, other: Any) -> Value:
    return call.value(self) / call.value(other)


@entry("pow.Tensor_Scalar")
def _pow(call: Any, self: Value, exponent: float) -> Value:
    return e.raised(self, exponent)


@entry("tanh_backward")
def _tanh_backward(call: Any, grad_output: Value, output: Value) -> Value:
    return grad_output * (1 - output * output)


@entry("sigmoid_backward")
def _sigmoid_backward(call: Any, grad_output: Value, output: Value) -> Value:
    return grad_output * (output * (1 - output))


# ------------------------------------------------------------------------------------------------ sums


@entry("sum", "sum.dim_IntList")
def _sum(call: Any, self: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return s.total(self, dim or None, keepdim)


@entry("mean", "mean.dim")
def _mean(call: Any, self: Value, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Value:
    return s.mean(self, dim or None, keepdim)


@entry("mm", "bmm", "mv", "dot")
def _mm(call: Any, **operands: Value) -> Value:
    return s.matmul(*operands.values())


@entry("addmm")
def _addmm(call: Any, self: Value, mat1: Value, mat2: Value, beta: float = 1, alpha: float = 1) -> Value:
    return self * beta + s.matmul(mat1, mat2) * alpha
