"""Layers by name, each a program of a few operations: what `assert_operation` holds somebody's kernel against.

An entry: layer(inputs by name, numbers by name, **options) → its output. `numbers` are the inputs' own; a layer reads
them where its program depends on them: a shift by the largest element, indices, which elements are masked.
To have another one, write it here with @layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import elementwise as e
from .movement import broadcast, joined, numbered, permuted, rearranged, reshaped, scattered
from .program import Value
from .sums import matmul, mean, products, total

Array = NDArray[Any]
Inputs = Mapping[str, Value]
Numbers = Mapping[str, Array]
Layer = Callable[..., Value]

LAYERS: dict[str, Layer] = {}
WHOLE = {"indices", "target", "mask"}  # inputs that are not differentiated: whole numbers and truth values


def layer(function: Layer) -> Layer:
    """An entry of LAYERS, under its own name."""
    LAYERS[function.__name__] = function
    return function


def _like(x: Value, of: Value) -> Value:
    """Broadcast; its gradient is a sum, and added up as one."""
    return broadcast(reshaped(x, (*[1] * (len(of.shape) - len(x.shape)), *x.shape)), of.shape)


def _one_of(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{option}: expected one of {', '.join(known)}, got {value!r}")


def _indices(numbers: Array, count: int, name: str) -> NDArray[np.int64]:
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected whole numbers, got {numbers.dtype}")
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < count):
        raise ValueError(f"{name}: expected numbers from 0 to {count - 1}, got {numbers.min()} to {numbers.max()}")
    return numbers.astype(np.int64)


def _softmax(x: Value, numbers: Array, keep: Array | None = None) -> Value:
    """Over the last axis, shifted by the largest of each row. keep: which take part. Blanchard, D. J. & N. J. Higham,
    Accurately computing the log-sum-exp and softmax functions, IMA J. Numer. Anal. 41 (2021)."""
    masked = numbers if keep is None else np.where(keep, numbers, -np.inf)
    largest = np.max(masked, axis=-1, keepdims=True, initial=-np.inf)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    shifted = x - x.program.constant(np.broadcast_to(largest, x.shape).copy())
    if keep is not None:  # what takes no part may be so large that its exponential overflows
        shifted = rearranged(shifted, np.where(keep, numbered(x.shape), -1))
    powers = e.exp(shifted)
    if keep is not None:
        powers = powers * x.program.constant(np.broadcast_to(keep, x.shape).astype(np.float64))
    return powers / _like(total(powers, [-1], keep=True), powers)


@layer
def matrix_product(given: Inputs, numbers: Numbers) -> Value:
    """left @ right, as NumPy's matmul; + bias where there is one."""
    del numbers
    product = matmul(given["left"], given["right"])
    return product + _like(given["bias"], product) if "bias" in given else product


@layer
def convolution(
    given: Inputs, numbers: Numbers, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Value:
    """x: batch × channels × size…;  weight: outputs × channels/groups × window…;  bias: outputs. A correlation, as
    frameworks have it."""
    del numbers
    x, weight = given["x"], given["weight"]
    axes = len(x.shape) - 2
    steps, pads, gaps = (_several(option, axes) for option in (stride, padding, dilation))
    batch, channels, outputs, window = x.shape[0], x.shape[1], weight.shape[0], weight.shape[2:]
    pad = [(0, 0), (0, 0), *((p, p) for p in pads)]
    places = np.pad(numbered(x.shape), pad, constant_values=-1)
    spans = [(n - 1) * gap + 1 for n, gap in zip(window, gaps, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(places, spans, tuple(range(2, 2 + axes)))
    taken: list[Any] = [slice(None), slice(None), *(slice(None, None, k) for k in (*steps, *gaps))]
    views = views[tuple(taken)]
    shown = views.shape[2 : 2 + axes]  # batch × channels × shown… × window… → batch, group, channel × window, shown
    order = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    columns = np.ascontiguousarray(views.transpose(order)).reshape(
        batch * groups, channels // groups * prod(window), prod(shown)
    )
    rows = reshaped(weight, (groups, outputs // groups, channels // groups * prod(window)))
    rows = broadcast(rows, (batch, *rows.shape))
    found = products(reshaped(rows, (batch * groups, *rows.shape[2:])), rearranged(x, columns))
    found = reshaped(found, (batch, outputs, *shown))
    if "bias" in given:
        found = found + _like(reshaped(given["bias"], (outputs, *[1] * axes)), found)
    return found


def _several(option: Any, axes: int) -> tuple[int, ...]:
    found = tuple(option) if isinstance(option, Sequence) else (option,) * axes
    if len(found) != axes or not all(isinstance(n, int | np.integer) for n in found):
        raise ValueError(f"expected a whole number, or one for each of {axes} axes, got {option!r}")
    return found


@layer
def softmax(given: Inputs, numbers: Numbers) -> Value:
    """Over the last axis."""
    return _softmax(given["x"], numbers["x"])


@layer
def cross_entropy(given: Inputs, numbers: Numbers, reduction: str = "mean", ignore_index: int = -100) -> Value:
    """logits: samples × classes;  target: samples, whole numbers. log Σ exp − the target's logit; 0 where that is
    ignored, and the mean is over the others."""
    _one_of("reduction", reduction, ("none", "sum", "mean"))
    logits, there = given["logits"], numbers["target"] != ignore_index
    target = _indices(np.where(there, numbers["target"], 0), logits.shape[1], "target")
    largest = logits.program.constant(numbers["logits"].max(axis=1))
    powers = e.exp(logits - _like(reshaped(largest, (logits.shape[0], 1)), logits))
    chosen = rearranged(logits, np.arange(logits.shape[0]) * logits.shape[1] + target)
    each = e.log(total(powers, [1])) + largest - chosen
    if not there.all():
        each = rearranged(each, np.where(there, np.arange(each.size), -1))
    if reduction == "none":
        return each
    return total(each) / int(there.sum()) if reduction == "mean" else total(each)


@layer
def layer_norm(given: Inputs, numbers: Numbers, epsilon: float = 1e-5) -> Value:
    """Over the last axis. Ba, Kiros & Hinton (2016), §3."""
    del numbers
    x = given["x"]
    centred = x - _like(mean(x, [-1], keep=True), x)
    result = centred / _like(e.sqrt(mean(centred * centred, [-1], keep=True) + epsilon), x)
    return _affine(result, given)


@layer
def rms_norm(given: Inputs, numbers: Numbers, epsilon: float = 1e-6) -> Value:
    """Over the last axis. Zhang & Sennrich (2019), eq. 4."""
    del numbers
    x = given["x"]
    return _affine(x / _like(e.sqrt(mean(x * x, [-1], keep=True) + epsilon), x), given)


def _affine(x: Value, given: Inputs) -> Value:
    x = x * _like(given["weight"], x) if "weight" in given else x
    return x + _like(given["bias"], x) if "bias" in given else x


@layer
def gelu(given: Inputs, numbers: Numbers, approximate: str = "none") -> Value:
    """x Φ(x); approximate="tanh": 0.5 x (1 + tanh(√(2/π)(x + 0.044715 x³))). Hendrycks & Gimpel (2016)."""
    del numbers
    _one_of("approximate", approximate, ("none", "tanh"))
    x = given["x"]
    if approximate == "tanh":
        scale = e.sqrt(2 / e.pi(x.program))
        return x * (1 + e.tanh(scale * (x + x * x * x * 0.044715))) / 2
    return x * (1 + e.erf(x / e.sqrt(x.program.constant(2)))) / 2


@layer
def silu(given: Inputs, numbers: Numbers) -> Value:
    """x σ(x)."""
    del numbers
    return given["x"] * e.logistic(given["x"])


@layer
def swiglu(given: Inputs, numbers: Numbers) -> Value:
    """gate σ(gate) ⊙ up. Shazeer, GLU variants improve transformer (2020), eq. 6."""
    del numbers
    return given["gate"] * e.logistic(given["gate"]) * given["up"]


@layer
def rope(given: Inputs, numbers: Numbers, interleaved: bool = False) -> Value:
    """x: … × positions × width, turned by the angles of cos and sin (positions × width). Halves are paired, or
    neighbours where interleaved. Su et al., RoFormer (2021), eq. 34."""
    del numbers
    x = given["x"]
    width = x.shape[-1]
    places = numbered(x.shape)
    if interleaved:
        other, sign = places.reshape(-1, 2)[:, ::-1].reshape(x.shape), np.tile([-1.0, 1.0], width // 2)
    else:
        other = np.concatenate([places[..., width // 2 :], places[..., : width // 2]], axis=-1)
        sign = np.repeat([-1.0, 1.0], width // 2)
    turned = rearranged(x, other) * x.program.constant(np.broadcast_to(sign, x.shape).copy())
    return x * _like(given["cos"], x) + turned * _like(given["sin"], x)


@layer
def embedding(given: Inputs, numbers: Numbers) -> Value:
    """The rows of `weight` at `indices`; a row that is read twice gets both gradients."""
    weight = given["weight"]
    return rearranged(weight, numbered(weight.shape)[_indices(numbers["indices"], weight.shape[0], "indices")])


@layer
def attention(given: Inputs, numbers: Numbers, causal: bool = False, scale: float | None = None) -> Value:
    """softmax(scale · query keyᵀ) value; query: … × length × width;  mask: where True, takes part; or of floats, which
    are added to the scores, −∞ where nothing takes part.
    Vaswani et al., Attention is all you need (2017), eq. 1."""
    query, key, value = given["query"], given["key"], given["value"]
    axes = [*range(len(key.shape) - 2), len(key.shape) - 1, len(key.shape) - 2]
    by = query.shape[-1] ** -0.5 if scale is None else scale
    scores = matmul(query, permuted(key, axes)) * by
    at_run = np.matmul(numbers["query"], np.swapaxes(numbers["key"], -1, -2)) * by
    mask = numbers.get("mask")
    keep = None if mask is None else mask.astype(bool)
    if mask is not None and mask.dtype.kind == "f":
        keep = mask > -np.inf
        finite = np.broadcast_to(np.where(keep, mask, 0.0), scores.shape).copy()
        scores, at_run = scores + scores.program.constant(finite), at_run + finite
    if causal:
        lower = np.tril(np.ones(scores.shape[-2:], bool))
        keep = lower if keep is None else keep & lower
    keep = None if keep is None else np.broadcast_to(keep, scores.shape)
    return matmul(_softmax(scores, at_run, keep), value)


@layer
def scatter_add(given: Inputs, numbers: Numbers) -> Value:
    """x with each row of `source` added at its index of the first axis."""
    x, source = given["x"], given["source"]
    places = numbered(x.shape)[_indices(numbers["indices"], x.shape[0], "indices")]
    if places.shape != source.shape:
        raise ValueError(f"source: expected the shape {places.shape}, a row for each index, got {source.shape}")
    both = joined([x, source])
    return scattered(both, np.concatenate([numbered(x.shape).reshape(-1), places.reshape(-1)]), x.shape)
