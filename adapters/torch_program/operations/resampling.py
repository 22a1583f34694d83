"""PyTorch's interpolation, grid sampling and the pullbacks of its paddings: sums of neighbours with weights.

Where a sample lies is computed with the program's own numbers, so that a third is a third; which neighbours it lies
between, exactly, in fractions. Source: aten/src/ATen/native/UpSample.h, GridSampler.h; Keys (1981) for the cubic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import torch

from ....reference.programs import Value, broadcast, chosen, concatenated, rearranged, reshaped, total
from ....reference.programs import elementwise as e
from .shapes import Positions, batched, grid
from .table import OPERATIONS, Entry, entry

CUBIC = -0.75  # Keys' parameter, as PyTorch has it

# ------------------------------------------------------------------------------------------------ movements, backwards


def _moving_back(name: str) -> Entry:
    """The pullback of a padding, or of the nearest neighbour: the elements are added where they came from."""
    forward = getattr(torch.ops.aten, name.removesuffix("_backward"))
    packet = getattr(torch.ops.aten, name).default
    names = [a.name for a in packet._schema.arguments]

    def back(call: Any, **operands: Any) -> Value:
        rest = {n: operands[n] for n in names if n in operands and n not in {"grad_output", "self", "input_size"}}
        shape = operands["input_size"] if "input_size" in operands else operands["self"].shape
        return call.moved_back(operands["grad_output"], tuple(shape), lambda x: forward(x, *rest.values()))

    return back


for _kind in ("reflection_pad", "replication_pad", "upsample_nearest", "_upsample_nearest_exact"):
    for _rank in (1, 2, 3):
        OPERATIONS[f"{_kind}{_rank}d_backward"] = _moving_back(f"{_kind}{_rank}d_backward")


# ------------------------------------------------------------------------------------------------ lines, planes, spaces

Axis = tuple[Positions, Value]  # per output: the neighbours' places, and their weights


def _scale(size: int, count: int, align_corners: bool, factor: float | None) -> tuple[Fraction, Fraction]:
    """Where sample k lies: k·step + start."""
    if align_corners:
        return (Fraction(size - 1, count - 1) if count > 1 else Fraction(0)), Fraction(0)
    step = 1 / Fraction(factor) if factor is not None and factor > 0 else Fraction(size, count)
    return step, step / 2 - Fraction(1, 2)


def _fraction(call: Any, numbers: Sequence[Fraction]) -> Value:
    """Fractions, to as many digits as the program is run with."""
    top = [float(x.numerator) for x in numbers]
    bottom = [float(x.denominator) for x in numbers]
    if all(int(t) == x.numerator and int(b) == x.denominator for t, b, x in zip(top, bottom, numbers, strict=True)):
        return call.constant(top) / call.constant(bottom)
    return call.constant([float(x) for x in numbers])


def _line(call: Any, size: int, count: int, align_corners: bool, factor: float | None) -> Axis:
    """Between two neighbours, linearly."""
    step, start = _scale(size, count, align_corners, factor)
    at = [max(Fraction(0), k * step + start) for k in range(count)]
    first = [min(int(x), size - 1) for x in at]
    part = _fraction(call, at) - call.constant(first)  # positions are rounded where they are computed
    places = np.array([[f, min(f + 1, size - 1)] for f in first]).reshape(count, 2)
    return places, _columns([1 - part, part])


def _cubic_weights(part: Value) -> list[Value]:
    """Keys' kernel at 1 + t, t, 1 − t, 2 − t."""

    def near(t: Value) -> Value:
        return ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1

    def far(t: Value) -> Value:
        return ((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]


def _cubic_line(call: Any, size: int, count: int, align_corners: bool, factor: float | None) -> Axis:
    step, start = _scale(size, count, align_corners, factor)
    at = [k * step + start for k in range(count)]
    first = [x.numerator // x.denominator for x in at]
    part = _fraction(call, at) - call.constant(first)
    places = np.clip(np.array(first)[:, None] + np.arange(-1, 3)[None, :], 0, size - 1)
    return places, _columns(_cubic_weights(part))


def _columns(parts: Sequence[Value]) -> Value:
    """Side by side: one column each."""
    return concatenated([reshaped(p, (*p.shape, 1)) for p in parts], len(parts[0].shape))


def _widened(call: Any, size: int, count: int, align_corners: bool, factor: float | None) -> Axis:
    """Antialiased: a triangle, as wide as the step where that is above one, its weights divided by their sum."""
    step, _ = _scale(size, count, align_corners, factor)
    width = max(Fraction(1), step)
    rows, weights, centres = [], [], []
    for k in range(count):
        centre = step * (k + Fraction(1, 2))
        centres.append(centre)
        low = max(int(centre - width + Fraction(1, 2)), 0)
        high = min(int(centre + width + Fraction(1, 2)), size)
        own = [max(Fraction(0), 1 - abs((j + Fraction(1, 2) - centre) / width)) for j in range(low, high)]
        rows.append(list(range(low, high)))
        weights.append([w > 0 for w in own])
    longest = max(len(row) for row in rows)
    places = np.array([row + [-1] * (longest - len(row)) for row in rows])
    inside = np.array([row + [False] * (longest - len(row)) for row in weights])
    away = e.absolute(
        call.constant(places + 0.5) - broadcast(reshaped(_fraction(call, centres), (count, 1)), places.shape)
    )
    heights = chosen(inside, 1 - away / _fraction(call, [width]), call.filled(0, places.shape))
    return places, heights / total(heights, (1,), keep=True)


def _resampled(x: Value, axes: Sequence[Axis]) -> Value:
    """Weighted sums of neighbours, along each of the last axes."""
    rank = len(axes)
    leading, inside = x.shape[:-rank], x.shape[-rank:]
    sizes = tuple(places.shape[0] for places, _ in axes)
    where = grid([places for places, _ in axes], inside)
    taken = rearranged(x, batched(where, prod(leading), prod(inside)))
    for k, (places, weights) in enumerate(axes):
        shape = [1] * (2 * rank + 1)
        shape[1 + k], shape[1 + rank + k] = places.shape
        taken = taken * reshaped(weights, shape)
    return reshaped(total(taken, range(1 + rank, 1 + 2 * rank)), (*leading, *sizes))


Line = Callable[[Any, int, int, bool, float | None], Axis]


def _interpolating(line: Line, names: Sequence[str]) -> None:
    """Forward and backward, the latter from the size of its input alone: both are linear."""

    def factors(scales: dict[str, Any], rank: int) -> list[float | None]:
        listed = scales.get("scale_factors")
        if listed is not None:
            return list(listed)
        return [scales.get(name) for name in ("scales_d", "scales_h", "scales_w")[3 - rank :]] if rank > 1 else [
            scales.get("scales")
        ]  # fmt: skip

    def formula(call: Any, x: Value, sizes: Sequence[int], align_corners: bool, scales: dict[str, Any]) -> Value:
        inside = x.shape[-len(sizes) :]
        each = zip(inside, sizes, factors(scales, len(sizes)), strict=True)
        return _resampled(x, [line(call, n, m, align_corners, factor) for n, m, factor in each])

    def forward(call: Any, align_corners: bool = False, **rest: Any) -> Value:
        x = rest.get("self", rest.get("input"))
        assert isinstance(x, Value)
        return formula(call, x, tuple(call.outputs[0].shape)[2:], align_corners, rest)

    def backward(
        call: Any, grad_output: Value, output_size: Any, input_size: Any, align_corners: bool, **rest: Any
    ) -> Value:
        zeros = call.filled(0, tuple(input_size))
        sizes = tuple(output_size)
        return call.pulled(lambda x: formula(call, x, sizes, align_corners, rest), [zeros], grad_output)[0]

    for name in names:
        OPERATIONS[name], OPERATIONS[f"{name}_backward"] = forward, backward


_interpolating(_line, ["upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"])
_interpolating(_cubic_line, ["upsample_bicubic2d"])
_interpolating(_widened, ["_upsample_bilinear2d_aa"])


# ------------------------------------------------------------------------------------------------ samples anywhere


def _unnormalised(x: Value, size: int, align_corners: bool) -> Value:
    """−1 and 1 are the middles of the border pixels, or their outer edges."""
    return (x + 1) * ((size - 1) / 2) if align_corners else ((x + 1) * size - 1) / 2


def _inside(call: Any, x: Value, numbers: Any, size: int, padding: int, align_corners: bool) -> tuple[Value, Any]:
    """Coordinates moved into the picture: not at all, to its border, or reflected there; as the run's numbers lie."""
    if padding == 2:
        low, span = (0.0, float(size - 1)) if align_corners else (-0.5, float(size))
        away = np.abs(numbers - low)
        flips, rest = (np.floor(away / span), np.fmod(away, span)) if span else (away * 0, away * 0)
        turned = np.where(flips % 2 == 0, rest + low, span - rest + low)
        side = np.where(numbers < low, -1.0, 1.0)
        even = flips % 2 == 0
        sign = np.where(even, side, -side)
        offset = np.where(even, low - side * low - flips * span, low + (flips + 1) * span + side * low)
        x = x * call.constant(sign) + call.constant(offset) if span else x * 0
        numbers = turned
    if padding in {1, 2}:
        low_mask, high_mask = numbers < 0, numbers > size - 1
        x = chosen(low_mask, call.filled(0, x.shape), chosen(high_mask, call.filled(size - 1, x.shape), x))
        numbers = np.clip(numbers, 0, size - 1)
    return x, numbers


def _sampled(
    call: Any, picture: Value, points: Value, numbers: Any, mode: int, padding: int, align_corners: bool
) -> Value:
    """picture: N × C × size…;  points: N × counts… × rank, the last axis first;  numbers: theirs in the run."""
    rank = points.shape[-1]
    sizes, counts = picture.shape[2:], points.shape[1:-1]
    axes: list[tuple[Value, Any]] = []
    for k in range(rank):  # k-th axis of the picture is the last but k of a point
        place = np.arange(points.size // rank) * rank + (rank - 1 - k)
        taken = rearranged(points, place.reshape(points.shape[:-1]))
        own = numbers[..., rank - 1 - k]
        raw = (own + 1) * ((sizes[k] - 1) / 2) if align_corners else ((own + 1) * sizes[k] - 1) / 2
        x = _unnormalised(taken, sizes[k], align_corners)
        if mode != 2:
            x, raw = _inside(call, x, raw, sizes[k], padding, align_corners)
        axes.append((x, raw))
    neighbours: list[list[tuple[Any, Value | None]]]
    if mode == 1:
        neighbours = [[(np.rint(raw).astype(np.int64), None)] for _, raw in axes]
    elif mode == 0:
        neighbours = []
        for x, raw in axes:
            first = np.floor(raw).astype(np.int64)
            part = x - call.constant(first)
            neighbours.append([(first, 1 - part), (first + 1, part)])
    else:
        neighbours = []
        for k, (x, raw) in enumerate(axes):
            first = np.floor(raw).astype(np.int64)
            weights = _cubic_weights(x - call.constant(first))
            neighbours.append(
                [(_bounded(first + j - 1, sizes[k], padding, align_corners), w) for j, w in enumerate(weights)]
            )
    result: Value | None = None
    for choice in np.ndindex(*[len(n) for n in neighbours]):
        parts = [neighbours[k][j] for k, j in enumerate(choice)]
        flat = _taken(picture, [place for place, _ in parts], sizes, counts)
        for _, weight in parts:
            if weight is not None:
                flat = flat * reshaped(weight, (picture.shape[0], 1, *counts))
        result = flat if result is None else result + flat
    assert result is not None
    return result


def _bounded(places: Any, size: int, padding: int, align_corners: bool) -> Any:
    """Whole places moved into the picture."""
    if padding == 0:
        return places
    if padding == 2:
        low, span = (0, size - 1) if align_corners else (-0.5, size)
        if not span:
            return places * 0
        away = np.abs(places - low)
        flips, rest = np.floor(away / span), np.fmod(away, span)
        places = np.where(flips % 2 == 0, rest + low, span - rest + low)
    return np.clip(np.rint(places), 0, size - 1).astype(np.int64)


def _taken(picture: Value, places: Sequence[Any], sizes: Sequence[int], counts: Sequence[int]) -> Value:
    """N × C × counts…: the picture's elements at these places, zero outside."""
    count, channels = picture.shape[:2]
    outside = np.zeros(places[0].shape, dtype=bool)
    flat = np.zeros(places[0].shape, dtype=np.int64)
    for place, size in zip(places, sizes, strict=True):
        outside |= (place < 0) | (place >= size)
        flat = flat * size + np.clip(place, 0, size - 1)
    first = (np.arange(count * channels) * prod(sizes)).reshape((count, channels, *[1] * len(counts)))
    return rearranged(picture, np.where(outside[:, None], -1, flat[:, None] + first))


@entry("grid_sampler_2d", "grid_sampler_3d")
def _grid_sampler(
    call: Any, input: Value, grid: Value, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Value:
    numbers = call.numbers(call.arguments["grid"])
    return _sampled(call, input, grid, numbers, interpolation_mode, padding_mode, align_corners)


@entry("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def _grid_sampler_backward(
    call: Any, grad_output: Value, input: Value, grid: Value, interpolation_mode: int, padding_mode: int,
    align_corners: bool, output_mask: Any,
) -> Any:  # fmt: skip
    numbers = call.numbers(call.arguments["grid"])
    gradients = call.pulled(
        lambda x, points: _sampled(call, x, points, numbers, interpolation_mode, padding_mode, align_corners),
        [input, grid],
        grad_output,
    )
    return tuple(g if wanted else None for g, wanted in zip(gradients, output_mask, strict=True))
