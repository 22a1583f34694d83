"""PyTorch's normalisations, recurrent layers and dropout; their backward kernels from the operands they get.

A kernel is handed the mean and the inverse deviation that the forward saved, and uses them: so does its entry, and a
saved tensor that is no longer right shows. Sources: Ioffe & Szegedy (2015), Ba et al. (2016), Wu & He (2018),
Zhang & Sennrich (2019); aten/src/ATen/native/{Normalization,layer_norm,group_norm}.cpp.
"""

# ruff: noqa: ARG001, N803 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from typing import Any

import torch

from ....reference.programs import Value, chosen, mean, reshaped, special, total
from ....reference.programs import elementwise as e
from .table import entry


def _normalised(x: Value, axes: tuple[int, ...], eps: float) -> tuple[Value, Value, Value]:
    """x less its mean over its deviation, the mean, and one over the deviation; both with axes of length 1."""
    middle = mean(x, axes, keep=True)
    away = x - middle
    inverse = 1 / e.sqrt(mean(away * away, axes, keep=True) + eps)
    return away * inverse, middle, inverse


def _back(g: Value, normal: Value, inverse: Value, axes: tuple[int, ...]) -> Value:
    """(g − mean g − x̂·mean(g·x̂))/σ: what is left of g once its share along 1 and along x̂ is taken out."""
    return (g - mean(g, axes, keep=True) - normal * mean(g * normal, axes, keep=True)) * inverse


def _folded(normal: Value, scale: Value | None, bias: Value | None, middle: Value, inverse: Value) -> Value:
    """x̂·γ + β, as it may also be computed: x·α + (β − μ·α), where α = γ/σ, with one addition for each channel."""
    result = normal if scale is None else normal * scale
    if bias is None:
        return result
    shift = middle * inverse if scale is None else middle * inverse * scale
    return special.identity(result + bias, bias, shift)


def _asked(wanted: Any, *gradients: Any) -> tuple[Any, ...]:
    return tuple(g if asked else None for g, asked in zip(gradients, wanted, strict=True))


def _none(x: Value | None) -> Value | None:
    return None if x is None or not x.size else x


# ------------------------------------------------------------------------------------------------ batches


def _channels(x: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that are summed over, and the shape of one number for each channel."""
    return (0, *range(2, len(x.shape))), (1, x.shape[1], *[1] * (len(x.shape) - 2))


def _batch_norm(
    call: Any, x: Value, weight: Value | None, bias: Value | None, mean_: Value | None, var: Value | None,
    training: bool, momentum: float, eps: float,
) -> tuple[Value, Value, Value, Value | None, Value | None]:  # fmt: skip
    """The result, the saved mean and inverse deviation, and the running mean and variance from now on."""
    axes, shape = _channels(x)
    if training or mean_ is None or var is None:
        result, middle, inverse = _normalised(x, axes, eps)
        count = x.size // x.shape[1]
        if mean_ is not None and var is not None:
            away = x - middle
            variance = total(away * away, axes) / max(1, count - 1)
            mean_ = mean_ * (1 - momentum) + reshaped(middle, mean_.shape) * momentum
            var = var * (1 - momentum) + variance * momentum
    else:
        middle, inverse = reshaped(mean_, shape), 1 / e.sqrt(reshaped(var, shape) + eps)
        result = (x - middle) * inverse
    scale = None if weight is None else reshaped(weight, shape)
    result = _folded(result, scale, None if bias is None else reshaped(bias, shape), middle, inverse)
    return result, reshaped(middle, (x.shape[1],)), reshaped(inverse, (x.shape[1],)), mean_, var


@entry(
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit.no_stats", "_batch_norm_with_update",
    "_batch_norm_no_update", "_batch_norm_with_update_functional", "_native_batch_norm_legit_no_training",
)  # fmt: skip
def _native_batch_norm(
    call: Any, input: Value, weight: Value | None, bias: Value | None, momentum: float, eps: float,
    running_mean: Value | None = None, running_var: Value | None = None, training: bool | None = None,
) -> Any:  # fmt: skip
    if training is None:
        training = "with_update" in call.name
    result, middle, inverse, mean_, var = _batch_norm(
        call, input, _none(weight), _none(bias), _none(running_mean), _none(running_var), training, momentum, eps
    )
    saved = (middle, inverse) if call.outputs[1].numel() else (None, None)
    declared = any(a.alias_info is not None and a.alias_info.is_write for a in call.func._schema.arguments)
    if training and not declared:  # the schema keeps quiet about it
        for name, value in (("running_mean", mean_), ("running_var", var)):
            if value is not None:
                call.recorder.write(call.arguments[name], value)
    reserve = (None,) * (len(call.outputs) - 3)
    return (result, *saved, *reserve, *((mean_, var) if training else (None, None)))


@entry("cudnn_batch_norm")
def _cudnn_batch_norm(
    call: Any, input: Value, weight: Value, bias: Value | None, running_mean: Value | None, running_var: Value | None,
    training: bool, exponential_average_factor: float, epsilon: float,
) -> Any:  # fmt: skip
    """Four results: the last is a reserve of bytes."""
    found = _native_batch_norm(
        call, input, weight, bias, exponential_average_factor, epsilon, running_mean, running_var, training
    )
    return found[: len(call.outputs)]


@entry("cudnn_batch_norm_backward")
def _cudnn_batch_norm_backward(
    call: Any, input: Value, grad_output: Value, weight: Value, running_mean: Value | None, running_var: Value | None,
    save_mean: Value | None, save_var: Value | None, epsilon: float, reserveSpace: Any,
) -> Any:  # fmt: skip
    return _batch_norm_backward(
        call, weight, running_mean, running_var, epsilon, (True, True, True), grad_output, input, save_mean, save_var
    )


@entry("native_batch_norm_backward", "batch_norm_backward")
def _batch_norm_backward(
    call: Any, weight: Value | None, running_mean: Value | None, running_var: Value | None, eps: float,
    output_mask: Any, grad_out: Value, input: Value, save_mean: Value | None = None,
    save_invstd: Value | None = None, save_var: Value | None = None, train: bool = True, update: bool | None = None,
    reserve: Any = None,
) -> Any:  # fmt: skip
    axes, shape = _channels(input)
    train = train if update is None else update
    saved = save_invstd if save_invstd is not None else save_var
    weight = _none(weight)
    scale = 1.0 if weight is None else reshaped(weight, shape)
    if train:
        assert save_mean is not None
        assert saved is not None
        inverse = reshaped(saved, shape)
        normal = (input - reshaped(save_mean, shape)) * inverse
        by_input = _back(grad_out, normal, inverse, axes) * scale
    else:
        assert running_mean is not None
        assert running_var is not None
        inverse = 1 / e.sqrt(reshaped(running_var, shape) + eps)
        normal = (input - reshaped(running_mean, shape)) * inverse
        by_input = grad_out * inverse * scale
    return _asked(output_mask, by_input, total(grad_out * normal, axes), total(grad_out, axes))


# ------------------------------------------------------------------------------------------------ layers, groups


def _last(x: Value, normalized_shape: Any) -> tuple[int, ...]:
    return tuple(range(len(x.shape) - len(normalized_shape), len(x.shape)))


def _scaled(x: Value, weight: Value | None, bias: Value | None) -> Value:
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


@entry("native_layer_norm")
def _layer_norm(
    call: Any, input: Value, normalized_shape: Any, weight: Value | None, bias: Value | None, eps: float
) -> tuple[Value, Value, Value]:
    normal, middle, inverse = _normalised(input, _last(input, normalized_shape), eps)
    return _scaled(normal, weight, bias), middle, inverse


@entry("native_layer_norm_backward")
def _layer_norm_backward(
    call: Any, grad_out: Value, input: Value, normalized_shape: Any, mean: Value, rstd: Value, weight: Value | None,
    bias: Value | None, output_mask: Any,
) -> Any:  # fmt: skip
    axes = _last(input, normalized_shape)
    outer = tuple(range(len(input.shape) - len(axes)))
    normal = (input - mean) * rstd
    by_input = _back(grad_out if weight is None else grad_out * weight, normal, rstd, axes)
    return _asked(output_mask, by_input, total(grad_out * normal, outer) if outer else grad_out * normal,
                  total(grad_out, outer) if outer else grad_out)  # fmt: skip


@entry("_fused_rms_norm")
def _rms_norm(
    call: Any, input: Value, normalized_shape: Any, weight: Value | None, eps: float | None
) -> tuple[Value, Value]:
    axes = _last(input, normalized_shape)
    wide = call.arguments["input"].dtype == torch.float64  # ε is that of the format it computes in: float32 for 16 bits
    least = torch.finfo(torch.float64 if wide else torch.float32).eps if eps is None else eps
    inverse = 1 / e.sqrt(mean(input * input, axes, keep=True) + least)
    return _scaled(input * inverse, weight, None), inverse


@entry("_fused_rms_norm_backward")
def _rms_norm_backward(
    call: Any, grad_out: Value, input: Value, normalized_shape: Any, rstd: Value, weight: Value | None, output_mask: Any
) -> Any:
    axes = _last(input, normalized_shape)
    outer = tuple(range(len(input.shape) - len(axes)))
    normal = input * rstd
    g = grad_out if weight is None else grad_out * weight
    by_input = (g - normal * mean(g * normal, axes, keep=True)) * rstd
    return _asked(output_mask, by_input, total(grad_out * normal, outer) if outer else grad_out * normal)


def _grouped(x: Value, count: int, channels: int, inside: int, groups: int) -> Value:
    return reshaped(x, (count, groups, channels // groups, inside))


@entry("native_group_norm")
def _group_norm(
    call: Any, input: Value, weight: Value | None, bias: Value | None, N: int, C: int, HxW: int, group: int, eps: float
) -> tuple[Value, Value, Value]:
    normal, middle, inverse = _normalised(_grouped(input, N, C, HxW, group), (2, 3), eps)
    shape = (1, group, C // group, 1)
    scale = None if weight is None else reshaped(weight, shape)
    result = _folded(normal, scale, None if bias is None else reshaped(bias, shape), middle, inverse)
    return reshaped(result, input.shape), reshaped(middle, (N, group)), reshaped(inverse, (N, group))


@entry("native_group_norm_backward")
def _group_norm_backward(
    call: Any, grad_out: Value, input: Value, mean: Value, rstd: Value, weight: Value | None, N: int, C: int, HxW: int,
    group: int, output_mask: Any,
) -> Any:  # fmt: skip
    inverse = reshaped(rstd, (N, group, 1, 1))
    normal = (_grouped(input, N, C, HxW, group) - reshaped(mean, (N, group, 1, 1))) * inverse
    g = _grouped(grad_out, N, C, HxW, group)
    scaled = g if weight is None else g * reshaped(weight, (1, group, C // group, 1))
    by_input = reshaped(_back(scaled, normal, inverse, (2, 3)), input.shape)
    return _asked(output_mask, by_input, reshaped(total(g * normal, (0, 3)), (C,)), reshaped(total(g, (0, 3)), (C,)))


# ------------------------------------------------------------------------------------------------ weights


def _others(x: Value, dim: int) -> tuple[int, ...]:
    return tuple(k for k in range(len(x.shape)) if k != dim % len(x.shape))


@entry("_weight_norm_interface")
def _weight_norm(call: Any, v: Value, g: Value, dim: int = 0) -> tuple[Value, Value]:
    """v·g/‖v‖, one norm for each index of an axis. Salimans & Kingma (2016)."""
    length = e.sqrt(total(v * v, _others(v, dim), keep=True))
    return v * (g / length), length


@entry("_weight_norm_interface_backward")
def _weight_norm_backward(
    call: Any, grad_w: Value, saved_v: Value, saved_g: Value, saved_norms: Value, dim: int
) -> tuple[Value, Value]:
    along = total(grad_w * saved_v, _others(saved_v, dim), keep=True)
    by_v = (grad_w - saved_v * (along / (saved_norms * saved_norms))) * (saved_g / saved_norms)
    return by_v, along / saved_norms


# ------------------------------------------------------------------------------------------------ dropout


@entry("native_dropout")
def _dropout(call: Any, input: Value, p: float, train: bool | None) -> tuple[Value, None]:
    if train is False or p == 0:
        return input, None
    return chosen(
        call.positions(call.outputs[1]) != 0, input * (1 / (1 - p) if p < 1 else 0), call.filled(0, input.shape)
    ), None


@entry("native_dropout_backward")
def _dropout_backward(call: Any, grad_output: Value, mask: Any, scale: float) -> Value:
    return grad_output * (call.recorded(mask) * scale)
