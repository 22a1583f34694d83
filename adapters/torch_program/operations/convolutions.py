"""Convolutions and pools of one to three dimensions: windows are picked by their positions, then summed.

Sources: Dumoulin & Visin, A guide to convolution arithmetic (2016); PyTorch's documentation of `nn.Conv2d`.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ....reference.programs import Value, chosen, permuted, products, rearranged, reshaped, scattered, total
from .shapes import Positions, batched, grid, windows
from .table import entry


def _each(numbers: Any, rank: int) -> list[int]:
    """One number for each dimension."""
    numbers = list(numbers) if isinstance(numbers, tuple | list) else [numbers]
    return [int(n) for n in numbers] * rank if len(numbers) == 1 else [int(n) for n in numbers]


def _patches(
    sizes: Sequence[int], kernel: Sequence[int], counts: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> Positions:
    """(∏ counts) × (∏ kernel): the places of each window in one channel."""
    rank = len(sizes)
    steps, edges, holes = _each(stride, rank), _each(padding, rank), _each(dilation, rank)
    axes = [
        windows(n, k, step, edge, hole, count)
        for n, k, step, edge, hole, count in zip(sizes, kernel, steps, edges, holes, counts, strict=True)
    ]
    return grid(axes, sizes).reshape(prod(counts), prod(kernel))


def convolution(
    x: Value,
    weight: Value,
    sizes: Sequence[int],
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    groups: int,
) -> Value:
    """x: N × C × size…; sizes: of the result. Transposed, it is the map that takes back what the other took there."""
    count, channels, *inside = x.shape
    kernel = weight.shape[2:]
    if transposed:
        places = _patches(sizes, kernel, inside, stride, padding, dilation)  # windows of the result
        into = weight.shape[1]
        left = permuted(
            reshaped(x, (count, groups, channels // groups, prod(inside))), (1, 0, 3, 2)
        )  # groups × N × windows × channels
        left = reshaped(left, (groups, count * prod(inside), channels // groups))
        right = reshaped(weight, (groups, channels // groups, into * prod(kernel)))
        spread = reshaped(products(left, right), (groups, count, prod(inside), into, prod(kernel)))
        where = batched(places, count * groups * into, prod(sizes))
        where = where.reshape(count, groups, into, prod(inside), prod(kernel)).transpose(1, 0, 3, 2, 4)
        return scattered(spread, where, (count, groups * into, *sizes))
    places = _patches(inside, kernel, sizes, stride, padding, dilation)
    where = batched(places, count * channels, prod(inside))
    where = where.reshape(count, groups, channels // groups, prod(sizes), prod(kernel)).transpose(1, 0, 3, 2, 4)
    left = reshaped(rearranged(x, where), (groups, count * prod(sizes), channels // groups * prod(kernel)))
    outs = weight.shape[0] // groups
    right = permuted(reshaped(weight, (groups, outs, left.shape[2])), (0, 2, 1))
    result = reshaped(products(left, right), (groups, count, prod(sizes), outs))
    return reshaped(permuted(result, (1, 0, 3, 2)), (count, groups * outs, *sizes))


@entry("convolution", "convolution_overrideable", "_convolution")
def _convolution(
    call: Any, input: Value, weight: Value, bias: Value | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, **_: Any,
) -> Value:  # fmt: skip
    single = len(input.shape) < len(weight.shape)
    x = reshaped(input, (1, *input.shape)) if single else input
    sizes = tuple(call.outputs[0].shape)[1 if single else 2 :]
    result = convolution(x, weight, sizes, stride, padding, dilation, transposed, groups)
    if bias is not None:
        result = result + reshaped(bias, (bias.size, *[1] * len(sizes)))
    return reshaped(result, tuple(call.outputs[0].shape))


@entry("convolution_backward", "convolution_backward_overrideable")
def _convolution_backward(
    call: Any, grad_output: Value, input: Value, weight: Value, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, output_mask: Any, bias_sizes: Any = None,
) -> Any:  # fmt: skip
    """Bilinear in input and weight, which are the operands here too."""
    sizes = grad_output.shape[2:]

    def formula(x: Value, w: Value) -> Value:
        return convolution(x, w, sizes, stride, padding, dilation, transposed, groups)

    by_input, by_weight = call.pulled(formula, [input, weight], grad_output)
    by_bias = total(grad_output, (0, *range(2, len(grad_output.shape))))
    return tuple(g if wanted else None for g, wanted in zip((by_input, by_weight, by_bias), output_mask, strict=True))


# -------------------------------------------------------------------------------------------- the largest of a window


def _flat_places(call: Any, indices: Any, shape: Sequence[int], rank: int) -> Positions:
    """Indices into the last `rank` dimensions, as positions in the whole array."""
    found = call.positions(indices)
    leading, inside = prod(shape[:-rank]), prod(shape[-rank:])
    first = (np.arange(leading) * inside).reshape((*shape[:-rank], *[1] * rank))
    return np.where(found < inside, found + first, -1).astype(np.int64)  # beyond: of a window of nothing but padding


def _dimensions(call: Any) -> int:
    return next(n for n in (1, 2, 3) if f"{n}d" in call.name)


@entry(
    "max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "fractional_max_pool2d", "fractional_max_pool3d",
)  # fmt: skip
def _max_pool(call: Any, self: Value, **_: Any) -> tuple[Value, None]:
    """The elements whose indices the run found. A window of nothing but padding gives −∞, and an index of nothing."""
    places = _flat_places(call, call.outputs[1], self.shape, _dimensions(call))
    found = rearranged(self, places)
    given = np.append(call.numbers(call.arguments["self"]).reshape(-1), 0.0)
    nothing = np.isneginf(call.numbers(call.outputs[0])) & ~np.isneginf(given[places])
    return (chosen(nothing, call.filled(-np.inf, found.shape), found) if nothing.any() else found), None


@entry(
    "max_pool2d_with_indices_backward", "max_pool3d_with_indices_backward", "adaptive_max_pool2d_backward",
    "adaptive_max_pool3d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward",
)  # fmt: skip
def _max_pool_backward(call: Any, grad_output: Value, self: Value, indices: Any, **_: Any) -> Value:
    return scattered(grad_output, _flat_places(call, indices, self.shape, _dimensions(call)), self.shape)


# ------------------------------------------------------------------------------------------------ means of a window


def _averaged(x: Value, places: Positions, sizes: Sequence[int], divisors: Value | float) -> Value:
    """places: windows × elements of a window, in the last dimensions of x."""
    leading, rank = x.shape[: -len(sizes)], len(sizes)
    where = batched(places, prod(leading), prod(x.shape[-rank:]))
    return reshaped(total(rearranged(x, where), (2,)) / divisors, (*leading, *sizes))


def _average(
    call: Any, x: Value, sizes: Sequence[int], kernel_size: Any, stride: Any, padding: Any, count_include_pad: bool,
    divisor_override: int | None,
) -> Value:  # fmt: skip
    """A window that hangs over the padding's end counts what of it is inside. Source: AvgPoolKernel.cpp."""
    rank = len(sizes)
    inside, kernel = x.shape[-rank:], _each(kernel_size, rank)
    steps = _each(stride, rank) if stride else kernel
    edges = _each(padding, rank)
    places = _patches(inside, kernel, sizes, steps, edges, 1)
    if divisor_override is not None:
        return _averaged(x, places, sizes, float(divisor_override))
    if not count_include_pad:
        return _averaged(x, places, sizes, call.constant((places >= 0).sum(axis=1)))
    lengths = [
        np.minimum(np.arange(count) * step - edge + k, n + edge) - (np.arange(count) * step - edge)
        for count, step, edge, k, n in zip(sizes, steps, edges, kernel, inside, strict=True)
    ]
    divisors = lengths[0]
    for length in lengths[1:]:
        divisors = np.multiply.outer(divisors, length)
    return _averaged(x, places, sizes, call.constant(divisors.reshape(-1)))


@entry("avg_pool2d", "avg_pool3d")
def _avg_pool(
    call: Any, self: Value, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Value:  # fmt: skip
    sizes = tuple(call.outputs[0].shape)[-_dimensions(call) :]
    return _average(call, self, sizes, kernel_size, stride, padding, count_include_pad, divisor_override)


@entry("avg_pool2d_backward", "avg_pool3d_backward")
def _avg_pool_backward(
    call: Any, grad_output: Value, self: Value, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Value:  # fmt: skip
    """Linear: of its input it needs the shape only."""
    sizes = grad_output.shape[-_dimensions(call) :]

    def formula(x: Value) -> Value:
        return _average(call, x, sizes, kernel_size, stride, padding, count_include_pad, divisor_override)

    return call.pulled(formula, [call.filled(0, self.shape)], grad_output)[0]


def _adaptive(call: Any, x: Value, sizes: Sequence[int]) -> Value:
    """Window i of m reaches from ⌊i·n/m⌋ to ⌈(i+1)·n/m⌉."""
    rank = len(sizes)
    axes = []
    for n, m in zip(x.shape[-rank:], sizes, strict=True):
        first, last = np.arange(m) * n // m, -(-(np.arange(m) + 1) * n // m)
        places = first[:, None] + np.arange((last - first).max(initial=0))[None, :]
        axes.append(np.where(places < last[:, None], places, -1))
    places = grid(axes, x.shape[-rank:]).reshape(prod(sizes), -1)
    return _averaged(x, places, sizes, call.constant((places >= 0).sum(axis=1)))


@entry("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d")
def _adaptive_avg_pool(call: Any, self: Value, output_size: Any) -> Value:
    return _adaptive(call, self, tuple(call.outputs[0].shape)[-_dimensions(call) :])


@entry("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward")
def _adaptive_avg_pool_backward(call: Any, grad_output: Value, self: Value) -> Value:
    sizes = grad_output.shape[-_dimensions(call) :]
    return call.pulled(lambda x: _adaptive(call, x, sizes), [call.filled(0, self.shape)], grad_output)[0]
