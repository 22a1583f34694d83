"""PyTorch's activations and what their backward kernels compute, written from the operands that each kernel is given.

A kernel decides by comparing its operand, so a mask is taken from the run: it belongs to the branch that was taken.
Source of the kernels' formulas: PyTorch, aten/src/ATen/native/cpu/Activation.cpp and BinaryOpsKernel.cpp.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....reference.programs import Value, chosen, concatenated, total
from ....reference.programs import elementwise as e
from ....reference.programs.elementwise import pi
from .pointwise import root
from .shapes import halves
from .table import each, entry

each(("relu",), lambda name: lambda call, self: e.maximum(self, 0))
each(("relu6",), lambda name: lambda call, self: e.minimum(e.maximum(self, 0), 6))


@entry("tanh_backward")
def _tanh_backward(call: Any, grad_output: Value, output: Value) -> Value:
    return grad_output * (1 - output * output)


@entry("sigmoid_backward")
def _sigmoid_backward(call: Any, grad_output: Value, output: Value) -> Value:
    return grad_output * (output * (1 - output))


@entry("threshold")
def _threshold(call: Any, self: Value, threshold: float, value: float) -> Value:
    if value == threshold:  # a kink, and no jump
        return e.maximum(self, threshold)
    return call.where("self", call.compared(np.greater, threshold), self, value)


@entry("threshold_backward")
def _threshold_backward(call: Any, grad_output: Value, self: Value, threshold: float) -> Value:
    return call.where("self", call.compared(np.greater, threshold), grad_output, 0)


def _inside(x: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    return np.asarray((x > low) & (x < high))


@entry("hardtanh_backward")
def _hardtanh_backward(call: Any, grad_output: Value, self: Value, min_val: float, max_val: float) -> Value:
    return call.where("self", call.compared(_inside, min_val, max_val), grad_output, 0)


@entry("leaky_relu")
def _leaky_relu(call: Any, self: Value, negative_slope: float = 0.01) -> Value:
    return e.maximum(self, 0) + e.minimum(self, 0) * negative_slope


@entry("leaky_relu_backward")
def _leaky_relu_backward(
    call: Any, grad_output: Value, self: Value, negative_slope: float, self_is_result: bool
) -> Value:
    return call.where("self", lambda x: x > 0, grad_output, grad_output * negative_slope)


@entry("elu")
def _elu(call: Any, self: Value, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Value:
    return (e.maximum(self, 0) + e.expm1(e.minimum(self, 0) * input_scale) * alpha) * scale


@entry("celu")
def _celu(call: Any, self: Value, alpha: float = 1) -> Value:
    return _elu(call, self, alpha, 1, 1 / alpha)


@entry("selu")
def _selu(call: Any, self: Value) -> Value:
    """Klambauer et al. (2017), with the float64 literals of the backward."""
    return _elu(call, self, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946)


@entry("elu_backward")
def _elu_backward(
    call: Any,
    grad_output: Value,
    alpha: float,
    scale: float,
    input_scale: float,
    is_result: bool,
    self_or_result: Value,
) -> Value:
    x, steep = self_or_result, call.program.constant(alpha) * scale
    slope = x + steep if is_result else steep * e.exp(x * input_scale)
    below = grad_output * input_scale * slope
    return call.where("self_or_result", lambda v: v <= 0, below, grad_output * scale)


def _density(x: Value) -> Value:
    """exp(−x²/2)/√(2π)."""
    return e.exp(-(x * x) / 2) / e.sqrt(2 * pi(x.program))


def _tanh_inside(x: Value) -> tuple[Value, Value]:
    """√(2/π)(x + 0.044715x³), and its derivative."""
    scale = e.sqrt(2 / pi(x.program))
    return scale * (x + x * x * x * 0.044715), scale * (1 + x * x * (3 * x.program.constant(0.044715)))


@entry("gelu")
def _gelu(call: Any, self: Value, approximate: str = "none") -> Value:
    """Hendrycks & Gimpel (2016)."""
    if approximate == "tanh":
        return self * (1 + e.tanh(_tanh_inside(self)[0])) / 2
    return self * (1 + e.erf(self / root(call, 2))) / 2


@entry("gelu_backward")
def _gelu_backward(call: Any, grad_output: Value, self: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        inside, slope = _tanh_inside(self)
        bent = e.tanh(inside)
        return grad_output * ((1 + bent) / 2 + self * (1 - bent * bent) * slope / 2)
    return grad_output * ((1 + e.erf(self / root(call, 2))) / 2 + self * _density(self))


@entry("silu")
def _silu(call: Any, self: Value) -> Value:
    return self * e.logistic(self)


@entry("silu_backward")
def _silu_backward(call: Any, grad_output: Value, self: Value) -> Value:
    gate = e.logistic(self)
    return grad_output * gate * (1 + self * (1 - gate))


def soft_plus(call: Any, x: Value, name: str, scale: float = 1) -> Value:
    """ln(1 + exp(x)), by exp(−|x|): which side of zero the argument `name`, times scale, lies on changes no digit."""
    small = call.where(name, lambda v: v * scale > 0, -x, x)
    return call.where(name, lambda v: v * scale > 0, x, call.filled(0, x.shape)) + e.log1p(e.exp(small))


@entry("mish")
def _mish(call: Any, self: Value) -> Value:
    return self * e.tanh(soft_plus(call, self, "self"))


@entry("mish_backward")
def _mish_backward(call: Any, grad_output: Value, self: Value) -> Value:
    bent = e.tanh(soft_plus(call, self, "self"))
    return grad_output * (bent + self * e.logistic(self) * (1 - bent * bent))


@entry("softplus")
def _softplus(call: Any, self: Value, beta: float = 1, threshold: float = 20) -> Value:
    """Above the threshold PyTorch's softplus is the identity: a jump of 2e-9."""
    bent = soft_plus(call, self * beta, "self", beta) / beta
    return call.where("self", lambda x: x * beta > threshold, self, bent)


@entry("softplus_backward")
def _softplus_backward(call: Any, grad_output: Value, self: Value, beta: float, threshold: float) -> Value:
    gradient = grad_output * e.logistic(self * beta)
    return call.where("self", lambda x: x * beta > threshold, grad_output, gradient)


@entry("log_sigmoid_forward")
def _log_sigmoid(call: Any, self: Value) -> tuple[Value, Value | None]:
    small = e.exp(call.where("self", lambda x: x < 0, self, -self))
    buffer = small if call.outputs[1].numel() else None
    return call.where("self", lambda x: x < 0, self, 0) - e.log1p(small), buffer


@entry("log_sigmoid_backward")
def _log_sigmoid_backward(call: Any, grad_output: Value, self: Value, buffer: Value) -> Value:
    if not buffer.size:
        return grad_output * e.logistic(-self)
    share = buffer / (1 + buffer)
    return grad_output * call.where("self", lambda x: x < 0, 1 - share, share)


each(("hardsigmoid",), lambda name: lambda call, self: e.minimum(e.maximum(self + 3, 0), 6) / 6)
each(("hardswish",), lambda name: lambda call, self: self * e.minimum(e.maximum(self + 3, 0), 6) / 6)


@entry("hardsigmoid_backward")
def _hardsigmoid_backward(call: Any, grad_output: Value, self: Value) -> Value:
    return call.where("self", lambda x: (x > -3) & (x < 3), grad_output / 6, 0)


@entry("hardswish_backward")
def _hardswish_backward(call: Any, grad_output: Value, self: Value) -> Value:
    inside = call.where("self", lambda x: x < 3, grad_output * (self / 3 + 0.5), grad_output)
    return call.where("self", lambda x: x <= -3, 0, inside)


@entry("softshrink")
def _softshrink(call: Any, self: Value, lambd: float = 0.5) -> Value:
    return e.maximum(self - lambd, 0) + e.minimum(self + lambd, 0)


@entry("hardshrink")
def _hardshrink(call: Any, self: Value, lambd: float = 0.5) -> Value:
    return call.where("self", call.within(lambd), 0, self)


@entry("softshrink_backward", "hardshrink_backward")
def _shrink_backward(call: Any, self: Value, lambd: float, grad_output: Any = None, grad_out: Any = None) -> Value:
    gradient = grad_out if grad_output is None else grad_output
    return call.where("self", call.within(lambd), 0, gradient)


@entry("_prelu_kernel")
def _prelu(call: Any, self: Value, weight: Value) -> Value:
    return e.maximum(self, 0) + e.minimum(self, 0) * weight


@entry("_prelu_kernel_backward")
def _prelu_backward(call: Any, grad_output: Value, self: Value, weight: Value) -> tuple[Value, Value]:
    return (
        call.where("self", lambda x: x > 0, grad_output, grad_output * weight),
        call.where("self", lambda x: x > 0, 0, grad_output * self),
    )


@entry("rrelu_with_noise")
def _rrelu(
    call: Any, self: Value, noise: Value, lower: float, upper: float, training: bool = False, generator: Any = None
) -> Any:
    """The noise is drawn by the call, and taken from it."""
    drawn = call.recorded(call.after["noise"])
    if not training:
        return _leaky_relu(call, self, (lower + upper) / 2), drawn
    # drawn in float32 and used so, and kept in 16 bits: the factor 1 stands for that rounding
    return call.where("self", lambda x: x > 0, self, self * (drawn * 1)), drawn


@entry("rrelu_with_noise_backward")
def _rrelu_backward(
    call: Any,
    grad_output: Value,
    self: Value,
    noise: Value,
    lower: float,
    upper: float,
    training: bool,
    self_is_result: bool,
) -> Value:
    if training and upper - lower > 1e-6:
        return grad_output * noise
    return _leaky_relu_backward(call, grad_output, self, (lower + upper) / 2, self_is_result)


@entry("glu")
def _glu(call: Any, self: Value, dim: int = -1) -> Value:
    """Dauphin et al. (2017)."""
    first, second = halves(self, dim)
    return first * e.logistic(second)


@entry("glu_backward")
def _glu_backward(call: Any, grad_output: Value, self: Value, dim: int) -> Value:
    first, second = halves(self, dim)
    gate = e.logistic(second)
    return concatenated([grad_output * gate, grad_output * first * gate * (1 - gate)], dim % len(self.shape))


# ------------------------------------------------------------------------------------------------ along an axis


def softmax(call: Any, x: Value, dim: int, name: str = "self") -> Value:
    """exp(x − m)/Σ exp(x − m). It is the same for every m, so the run's largest element may stand there as a number."""
    if not x.shape:
        return x - x + 1
    powers = e.exp(x - call.constant(_most(call.numbers(call.arguments[name]), dim)))
    return powers / total(powers, (dim,), keep=True)


def _most(numbers: Any, dim: int) -> Any:
    return numbers.max(axis=dim, keepdims=True) if numbers.size else np.zeros(())


@entry("_softmax")
def _softmax(call: Any, self: Value, dim: int, half_to_float: bool) -> Value:
    return softmax(call, self, dim)


@entry("_safe_softmax")
def _safe_softmax(call: Any, self: Value, dim: int, dtype: Any = None) -> Value:
    """Zero where every element of a row is −∞."""
    numbers = call.numbers(call.arguments["self"])
    empty = np.broadcast_to(np.isneginf(numbers).all(axis=dim, keepdims=True), self.shape)
    if not empty.any():
        return softmax(call, self, dim)
    zeros = call.filled(0, self.shape)
    safe = chosen(empty, zeros, self)
    powers = e.exp(safe - call.constant(np.where(empty, 0, numbers).max(axis=dim, keepdims=True)))
    return chosen(empty, zeros, powers / total(powers, (dim,), keep=True))


@entry("_softmax_backward_data")
def _softmax_backward(call: Any, grad_output: Value, output: Value, dim: int, input_dtype: Any) -> Value:
    return output * (grad_output - total(grad_output * output, (dim,), keep=True))


@entry("_log_softmax")
def _log_softmax(call: Any, self: Value, dim: int, half_to_float: bool) -> Value:
    if not self.shape:
        return self - self
    shifted = self - call.constant(_most(call.numbers(call.arguments["self"]), dim))
    return shifted - e.log(total(e.exp(shifted), (dim,), keep=True))


@entry("_log_softmax_backward_data")
def _log_softmax_backward(call: Any, grad_output: Value, output: Value, dim: int, input_dtype: Any) -> Value:
    return grad_output - e.exp(output) * total(grad_output, (dim,), keep=True)
