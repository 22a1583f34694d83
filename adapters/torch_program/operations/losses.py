"""PyTorch's losses that are one call, forward and backward; the others it makes of operations that stand elsewhere.

reduction: 0 none, 1 the mean, 2 the sum. Sources: PyTorch's documentation; aten/src/ATen/native/Loss*.cpp.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from typing import Any

import numpy as np

from ....reference.programs import Value, broadcast, chosen, concatenated, mean, rearranged, reshaped, scattered, total
from ....reference.programs import elementwise as e
from .shapes import sliced
from .table import entry


def reduced(x: Value, reduction: int) -> Value:
    """The terms, their mean or their sum."""
    return mean(x) if reduction == 1 else total(x) if reduction == 2 else x


def _arriving(grad_output: Value, shape: Any, reduction: int) -> Value:
    """∂E/∂(each term), where ∂E/∂(the reduced) arrives."""
    g = broadcast(grad_output, shape)
    return g / max(1, int(np.prod(shape))) if reduction == 1 else g


# ------------------------------------------------------------------------------------------------ squares and kinks


@entry("mse_loss")
def _mse(call: Any, self: Value, target: Value, reduction: int = 1) -> Value:
    away = self - target
    return reduced(away * away, reduction)


@entry("mse_loss_backward")
def _mse_backward(call: Any, grad_output: Value, self: Value, target: Value, reduction: int) -> Value:
    away = self - target
    return 2 * away * _arriving(grad_output, away.shape, reduction)


def _apart(call: Any) -> Any:
    return call.numbers(call.arguments["self"]) - call.numbers(call.arguments["target"])


@entry("smooth_l1_loss")
def _smooth_l1(call: Any, self: Value, target: Value, reduction: int = 1, beta: float = 1) -> Value:
    away = self - target
    size = e.absolute(away)
    if beta == 0:
        return reduced(size, reduction)
    return reduced(chosen(np.abs(_apart(call)) < beta, away * away / (2 * beta), size - 0.5 * beta), reduction)


@entry("smooth_l1_loss_backward")
def _smooth_l1_backward(
    call: Any, grad_output: Value, self: Value, target: Value, reduction: int, beta: float
) -> Value:
    away, numbers = self - target, _apart(call)
    g = _arriving(grad_output, away.shape, reduction)
    outer = call.constant(np.sign(numbers)) * g
    return outer if beta == 0 else chosen(np.abs(numbers) < beta, away / beta * g, outer)


@entry("huber_loss")
def _huber(call: Any, self: Value, target: Value, reduction: int = 1, delta: float = 1) -> Value:
    away = self - target
    outer = (e.absolute(away) - 0.5 * delta) * delta
    return reduced(chosen(np.abs(_apart(call)) <= delta, away * away / 2, outer), reduction)


@entry("huber_loss_backward")
def _huber_backward(call: Any, grad_output: Value, self: Value, target: Value, reduction: int, delta: float) -> Value:
    away, numbers = self - target, _apart(call)
    g = _arriving(grad_output, away.shape, reduction)
    return chosen(np.abs(numbers) <= delta, away * g, call.constant(np.sign(numbers)) * delta * g)


@entry("soft_margin_loss")
def _soft_margin(call: Any, self: Value, target: Value, reduction: int = 1) -> Value:
    return reduced(e.log1p(e.exp(-(target * self))), reduction)


@entry("soft_margin_loss_backward")
def _soft_margin_backward(call: Any, grad_output: Value, self: Value, target: Value, reduction: int) -> Value:
    return -(target * e.logistic(-(target * self))) * _arriving(grad_output, self.shape, reduction)


# ------------------------------------------------------------------------------------------------ cross entropies

LEAST = -100.0  # what PyTorch takes a logarithm for that is smaller
SMALLEST = 1e-12  # what its backward takes x(1 − x) for that is smaller


def _log_at_least(x: Value, numbers: Any, call: Any) -> Value:
    """max(ln x, −100)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.log(numbers) <= LEAST
    return chosen(low, call.filled(LEAST, x.shape), e.log(x))


@entry("binary_cross_entropy")
def _bce(call: Any, self: Value, target: Value, weight: Value | None = None, reduction: int = 1) -> Value:
    numbers = call.numbers(call.arguments["self"])
    terms = -(target * _log_at_least(self, numbers, call) + (1 - target) * _log_at_least(1 - self, 1 - numbers, call))
    return reduced(terms if weight is None else terms * weight, reduction)


@entry("binary_cross_entropy_backward")
def _bce_backward(
    call: Any, grad_output: Value, self: Value, target: Value, weight: Value | None = None, reduction: int = 1
) -> Value:
    g = _arriving(grad_output, self.shape, reduction)
    divisor = (1 - self) * self
    result = g * (self - target) / call.where("self", lambda x: (1 - x) * x < SMALLEST, SMALLEST, divisor)
    return result if weight is None else result * weight


@entry("binary_cross_entropy_with_logits")
def _bce_with_logits(
    call: Any,
    self: Value,
    target: Value,
    weight: Value | None = None,
    pos_weight: Value | None = None,
    reduction: int = 1,
) -> Value:
    """(1 − t)x + (1 + (w − 1)t)·ln(1 + e⁻ˣ), by e⁻|ˣ|."""
    small = e.exp(call.where("self", lambda x: x > 0, -self, self))
    tail = e.log1p(small) + call.where("self", lambda x: x > 0, 0, -self)
    terms = (1 - target) * self + (tail if pos_weight is None else (1 + (pos_weight - 1) * target) * tail)
    return reduced(terms if weight is None else terms * weight, reduction)


def _classes(call: Any, x: Value, target: Any, ignore_index: int) -> tuple[Any, Any, Any]:
    """Where each sample's class stands in x, which samples count, and their classes. x: C, N × C or N × C × …."""
    classes = call.positions(target)
    there = classes != ignore_index
    inside = np.where(there, classes, 0)
    own = np.arange(x.size).reshape(x.shape)
    if len(x.shape) == 1:
        return own[inside.reshape(-1)].reshape(classes.shape), there, inside
    return np.take_along_axis(own, np.expand_dims(inside, 1), 1).squeeze(1), there, inside


def _class_weights(call: Any, weight: Value | None, there: Any, inside: Any) -> Value:
    if weight is None:
        return call.constant(there.astype(np.float64))
    return chosen(there, rearranged(weight, inside), call.filled(0, inside.shape))


@entry("nll_loss_forward", "nll_loss2d_forward")
def _nll(
    call: Any, self: Value, target: Any, weight: Value | None, reduction: int, ignore_index: int
) -> tuple[Value, Value]:
    places, there, inside = _classes(call, self, target, ignore_index)
    weights = _class_weights(call, weight, there, inside)
    terms = -(chosen(there, rearranged(self, places), call.filled(0, places.shape)) * weights)
    weight_sum = total(weights)
    if reduction == 0:
        return terms, call.recorded(call.outputs[1])
    return (total(terms) / weight_sum if reduction == 1 else total(terms)), weight_sum


@entry("nll_loss_backward", "nll_loss2d_backward")
def _nll_backward(
    call: Any, grad_output: Value, self: Value, target: Any, weight: Value | None, reduction: int, ignore_index: int,
    total_weight: Value,
) -> Value:  # fmt: skip
    places, there, inside = _classes(call, self, target, ignore_index)
    g = broadcast(grad_output, places.shape)
    shares = -(g * _class_weights(call, weight, there, inside))
    if reduction == 1:
        shares = shares / total_weight
    return scattered(shares, np.where(there, places, -1), self.shape)


# ------------------------------------------------------------------------------------------------ margins


def _margins(call: Any, x: Value, classes: Any, p: float, margin: float, weight: Value | None, reduction: int) -> Value:
    """Σ_{j≠y} max(0, m − x_y + x_j)ᵖ/C, times the class's weight."""
    size = x.shape[-1] if x.shape else 1
    rows = reshaped(x, (x.size // max(1, size), size))
    count = rows.shape[0]
    own = rearranged(rows, np.arange(count)[:, None] * size + classes.reshape(-1, 1))
    terms = e.maximum(rows - own + margin, 0)
    terms = terms if p == 1 else terms * terms
    if weight is not None:
        terms = terms * reshaped(rearranged(weight, classes.reshape(-1)), (count, 1))
    other = np.arange(size)[None, :] != classes.reshape(-1, 1)
    sums = total(chosen(other, terms, call.filled(0, terms.shape)), (1,)) / size
    return reduced(reshaped(sums, x.shape[:-1]) if len(x.shape) > 1 else total(sums), reduction)


@entry("multi_margin_loss")
def _multi_margin(
    call: Any,
    self: Value,
    target: Any,
    p: float = 1,
    margin: float = 1,
    weight: Value | None = None,
    reduction: int = 1,
) -> Value:
    return _margins(call, self, call.positions(target), float(p), float(margin), weight, reduction)


@entry("multi_margin_loss_backward")
def _multi_margin_backward(
    call: Any, grad_output: Value, self: Value, target: Any, p: float, margin: float, weight: Value | None = None,
    reduction: int = 1,
) -> Value:  # fmt: skip
    """Nothing is saved but the operands of the forward."""
    classes = call.positions(target)
    return call.pulled(
        lambda x: _margins(call, x, classes, float(p), float(margin), weight, reduction), [self], grad_output
    )[0]


def _multilabel(call: Any, x: Value, target: Any, reduction: int) -> Value:
    """Σ over classes j that are named and i that are not of max(0, 1 − (x_j − x_i))/C. −1 ends the list of names."""
    names = call.positions(target).reshape(-1, max(1, x.shape[-1] if x.shape else 1))
    rows = reshaped(x, names.shape)
    size = names.shape[1]
    named = np.cumprod(names >= 0, axis=1).astype(bool)
    is_target = np.zeros(names.shape, dtype=bool)
    for row, there in enumerate(named):
        is_target[row, names[row, there]] = True
    first = rearranged(rows, np.arange(len(names))[:, None] * size + np.where(named, names, 0))
    gaps = e.maximum(1 - reshaped(first, (*names.shape, 1)) + reshaped(rows, (len(names), 1, size)), 0)
    counted = named[:, :, None] & ~is_target[:, None, :]
    sums = total(chosen(counted, gaps, call.filled(0, gaps.shape)), (1, 2)) / size
    return reduced(reshaped(sums, x.shape[:-1] if x.shape else ()), reduction)


@entry("multilabel_margin_loss_forward")
def _multilabel_margin(call: Any, self: Value, target: Any, reduction: int) -> tuple[Value, Value]:
    return _multilabel(call, self, target, reduction), call.recorded(call.outputs[1])


@entry("multilabel_margin_loss_backward")
def _multilabel_margin_backward(
    call: Any, grad_output: Value, self: Value, target: Any, reduction: int, is_target: Any
) -> Value:
    return call.pulled(lambda x: _multilabel(call, x, target, reduction), [self], grad_output)[0]


# ------------------------------------------------------------------------------------------------ sequences


def _extended(labels: Any, blank: int) -> Any:
    result = np.full(2 * labels.size + 1, blank)
    result[1::2] = labels
    return result


def _alignments(call: Any, log_probs: Value, sample: int, labels: Any, length: int, blank: int) -> Value:
    """−ln of the probability of these labels, summed over alignments: in products, not logarithms; scaled at each step.

    Graves et al. (2006), §4.1. log_probs: T × N × C.
    """
    names = _extended(labels, blank)
    count = names.size
    skip = np.zeros(count, dtype=bool)
    skip[2:] = (names[2:] != blank) & (names[2:] != names[:-2])
    scale = None
    alpha = None
    steps = (np.arange(length) * log_probs.shape[1] + sample) * log_probs.shape[2]
    table = e.exp(rearranged(log_probs, steps[:, None] + names[None, :]))
    for time in range(length):
        chances = sliced(table, time)
        if alpha is None:
            alpha = chosen(np.arange(count) < 2, chances, call.filled(0, (count,)))
        else:
            once = rearranged(alpha, np.arange(count) - 1)
            twice = rearranged(alpha, np.where(skip, np.arange(count) - 2, -1))
            alpha = (alpha + once + twice) * chances
        size = total(alpha)
        scale = e.log(size) if scale is None else scale + e.log(size)
        alpha = alpha / size
    assert alpha is not None
    assert scale is not None
    ends = sliced(alpha, slice(max(0, count - 2), count))
    return -(scale + e.log(total(ends)))


def _lengths(call: Any, lengths: Any) -> list[int]:
    return [int(n) for n in (call.positions(lengths) if hasattr(lengths, "dtype") else lengths)]


def _labels(call: Any, targets: Any, lengths: list[int]) -> list[Any]:
    names = call.positions(targets)
    if names.ndim == 2:
        return [row[:n] for row, n in zip(names, lengths, strict=True)]
    starts = np.cumsum([0, *lengths[:-1]])
    return [names[start : start + n] for start, n in zip(starts, lengths, strict=True)]


def _impossible(labels: Any, length: int) -> bool:
    """Whether the labels do not fit: equal neighbours need a blank between them."""
    return length == 0 or labels.size + int((labels[1:] == labels[:-1]).sum()) > length


def _ctc(
    call: Any, log_probs: Value, targets: Any, input_lengths: Any, target_lengths: Any, blank: int, zero_infinity: bool
) -> Value:
    inputs, sizes = _lengths(call, input_lengths), _lengths(call, target_lengths)
    single = len(log_probs.shape) == 2
    x = reshaped(log_probs, (log_probs.shape[0], 1, log_probs.shape[1])) if single else log_probs
    terms = []
    for sample, labels in enumerate(_labels(call, targets, sizes)):
        if _impossible(labels, inputs[sample]):
            terms.append(call.filled(0.0 if zero_infinity else np.inf, (1,)))
        else:
            terms.append(reshaped(_alignments(call, x, sample, labels, inputs[sample], blank), (1,)))
    return concatenated(terms, 0)


@entry("_ctc_loss", "_ctc_loss.Tensor")
def _ctc_loss(
    call: Any, log_probs: Value, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    zero_infinity: bool = False,
) -> tuple[Value, None]:  # fmt: skip
    value = _ctc(call, log_probs, targets, input_lengths, target_lengths, blank, False)
    return reshaped(value, tuple(call.outputs[0].shape)), None


@entry("_ctc_loss_backward", "_ctc_loss_backward.Tensor")
def _ctc_loss_backward(
    call: Any, grad: Value, log_probs: Value, targets: Any, input_lengths: Any, target_lengths: Any,
    neg_log_likelihood: Value, log_alpha: Any, blank: int, zero_infinity: bool = False,
) -> Value:  # fmt: skip
    """(exp(log_probs) − share of the alignments)·g: what it gives is right only where log_probs is a log-softmax, whose
    pullback takes the first term out. Source: aten/src/ATen/native/LossCTC.cpp, eq. 16 of Graves et al. (2006)."""
    inputs = _lengths(call, input_lengths)
    shape = tuple(int(n) for n in neg_log_likelihood.shape)
    shares = call.pulled(
        lambda x: _ctc(call, x, targets, input_lengths, target_lengths, blank, zero_infinity),
        [log_probs],
        reshaped(broadcast(grad, shape), (max(1, int(np.prod(shape))),)),
    )[0]
    single = len(log_probs.shape) == 2
    within = np.arange(log_probs.shape[0])[:, None] < np.asarray(inputs)[None, :]
    possible = np.isfinite(call.numbers(call.arguments["neg_log_likelihood"])).reshape(1, -1)
    counted = np.broadcast_to(
        (within & (possible | (not zero_infinity)))[..., None], (*within.shape, log_probs.shape[-1])
    )
    g = reshaped(grad, (1,)) if single else grad if grad.shape else reshaped(grad, (1,))
    first = e.exp(log_probs) * (reshaped(g, (1,)) if single else reshaped(g, (1, g.shape[0], 1)))
    mask = counted[:, 0] if single else counted
    return shares + chosen(mask, first, call.filled(0, first.shape))
