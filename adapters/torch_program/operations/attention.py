"""PyTorch's fused attention, on a CPU and on CUDA: forward with the log-sum-exp that it saves, and backward from that.

Sources: Vaswani et al. (2017); Dao et al., FlashAttention (2022), algorithms 2 and 4;
aten/src/ATen/native/transformers/attention.cpp and cuda/attention.cu.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from typing import Any

import numpy as np

from ....reference.programs import Unsupported, Value, broadcast, chosen, matmul, permuted, rearranged, reshaped, total
from ....reference.programs import elementwise as e
from .pointwise import root
from .table import entry


def _scores(call: Any, query: Value, key: Value, is_causal: bool, bias: Any, scale: float | None) -> tuple[Value, Any]:
    """Scaled products of queries and keys, and where one may look."""
    factor = 1 / root(call, query.shape[-1]) if scale is None else scale
    scores = matmul(query, permuted(key, (0, 1, 3, 2))) * factor
    seen = np.ones(scores.shape, dtype=bool)
    if is_causal:
        seen &= np.tril(np.ones(scores.shape[-2:], dtype=bool))
    if isinstance(bias, Value):
        seen &= ~np.isneginf(np.broadcast_to(call.numbers(_bias(call)), scores.shape))
        scores = scores + bias
    elif bias is not None:
        seen &= np.broadcast_to(call.numbers(bias) != 0, scores.shape)
    return scores, seen


def _for_each_head(x: Value, heads: int) -> Value:
    """Keys or values of as many heads as queries have: one that several of them share, once for each of these.

    Source: Ainslie et al., GQA (2023), §2.2.
    """
    batch, own, *rest = x.shape
    if own == heads:
        return x
    shared = broadcast(reshaped(x, (batch, own, 1, *rest)), (batch, own, heads // own, *rest))
    return reshaped(shared, (batch, heads, *rest))


def _of_its_heads(gradient: Value, own: int) -> Value:
    """The gradient of what `_for_each_head` handed out."""
    batch, heads, *rest = gradient.shape
    return gradient if own == heads else total(reshaped(gradient, (batch, own, heads // own, *rest)), (2,))


def _bias(call: Any) -> Any:
    return call.arguments.get("attn_mask", call.arguments.get("attn_bias"))


def _largest(call: Any, seen: Any) -> Any:
    """For each row about its largest score, from float64; the result does not depend on it."""
    query, key = (call.numbers(call.arguments[name]) for name in ("query", "key"))
    scale, bias = call.arguments.get("scale"), _bias(call)
    key = np.repeat(key, query.shape[1] // key.shape[1], axis=1)
    numbers = query @ np.swapaxes(key, -1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None and bias.is_floating_point():
        numbers = numbers + call.numbers(bias)
    most = np.where(seen, numbers, -np.inf).max(axis=-1, keepdims=True, initial=-np.inf)
    return np.where(np.isfinite(most), most, 0.0)


def _attended(
    call: Any, query: Value, key: Value, value: Value, is_causal: bool, bias: Any, scale: float | None
) -> tuple[Value, Value]:
    """The result, and the log-sum-exp of the scores, one for each query; a row that sees nothing gives zeros."""
    key, value = (_for_each_head(x, query.shape[1]) for x in (key, value))
    scores, seen = _scores(call, query, key, is_causal, bias, scale)
    empty = ~seen.any(axis=-1)
    zeros = call.filled(0, scores.shape)
    shifted = chosen(seen, scores, zeros)
    most = call.constant(_largest(call, seen))
    powers = chosen(seen, e.exp(shifted - most), zeros)
    sums = total(powers, (-1,), keep=True)
    safe = chosen(empty[..., None], call.filled(1, sums.shape), sums)
    return matmul(powers / safe, value), reshaped(e.log(safe) + most, sums.shape[:-1])


def _pulled_back(
    call: Any, arrived: Value, query: Value, key: Value, value: Value, out: Value, lengths: Value, is_causal: bool,
    bias: Any, scale: float | None,
) -> tuple[Value, Value, Value, Value]:  # fmt: skip
    """P = exp(S − L), dS = P ∘ (dP − Σ g ∘ out); dS itself comes last. lengths: L, with an axis of length 1"""
    own = key.shape[1], value.shape[1]
    key, value = (_for_each_head(x, query.shape[1]) for x in (key, value))
    scores, seen = _scores(call, query, key, is_causal, bias, scale)
    zeros = call.filled(0, scores.shape)
    weights = chosen(seen, e.exp(chosen(seen, scores, broadcast(lengths, scores.shape)) - lengths), zeros)
    by_weights = matmul(arrived, permuted(value, (0, 1, 3, 2)))
    by_scores = weights * (by_weights - total(arrived * out, (-1,), keep=True))
    factor = 1 / root(call, query.shape[-1]) if scale is None else scale
    return (
        matmul(by_scores, key) * factor,
        _of_its_heads(matmul(permuted(by_scores, (0, 1, 3, 2)), query) * factor, own[0]),
        _of_its_heads(matmul(permuted(weights, (0, 1, 3, 2)), arrived), own[1]),
        by_scores,
    )


# ------------------------------------------------------------------------------------------------ on a CPU


@entry("_scaled_dot_product_flash_attention_for_cpu")
def _attention(
    call: Any, query: Value, key: Value, value: Value, dropout_p: float = 0, is_causal: bool = False,
    attn_mask: Any = None, scale: float | None = None,
) -> tuple[Value, Value]:  # fmt: skip
    result, saved = _attended(call, query, key, value, is_causal, attn_mask, scale)
    return result, reshaped(saved, tuple(call.outputs[1].shape))


@entry("_scaled_dot_product_flash_attention_for_cpu_backward")
def _attention_backward(
    call: Any, grad_out: Value, query: Value, key: Value, value: Value, out: Value, logsumexp: Value, dropout_p: float,
    is_causal: bool, attn_mask: Any = None, scale: float | None = None,
) -> tuple[Value, ...]:  # fmt: skip
    lengths = reshaped(reshaped(logsumexp, query.shape[:-1]), (*query.shape[:-1], 1))
    return _pulled_back(call, grad_out, query, key, value, out, lengths, is_causal, attn_mask, scale)[:3]


# ------------------------------------------------------------------------------------------------ on CUDA


@entry(
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
)  # fmt: skip
def _attention_on_cuda(
    call: Any, query: Value, key: Value, value: Value, attn_bias: Any = None, compute_log_sumexp: bool = True,
    dropout_p: float = 0, is_causal: bool = False, return_debug_mask: bool = False, scale: float | None = None,
) -> tuple[Value | None, ...]:  # fmt: skip
    """The log-sum-exp may stand in longer rows than there are queries; it is none where no gradient is asked for."""
    _without_dropout(call, dropout_p)
    result, saved = _attended(call, query, key, value, is_causal, attn_bias, scale)
    there = call.outputs[1].numel() == saved.size
    rest = (None,) * (len(call.outputs) - 2)
    return result, reshaped(saved, tuple(call.outputs[1].shape)) if there else None, *rest


@entry(
    "_scaled_dot_product_flash_attention_backward", "_scaled_dot_product_efficient_attention_backward",
    "_scaled_dot_product_cudnn_attention_backward",
)  # fmt: skip
def _attention_on_cuda_backward(
    call: Any, query: Value, key: Value, value: Value, out: Value, logsumexp: Value, dropout_p: float, is_causal: bool,
    grad_out: Any = None, grad_out_: Any = None, attn_bias: Any = None, grad_input_mask: Any = None,
    scale: float | None = None, **unused: Any,
) -> tuple[Value | None, ...]:  # fmt: skip
    _without_dropout(call, dropout_p)
    attn_bias = None if attn_bias is None or not attn_bias.size else attn_bias
    arrived = grad_out if grad_out_ is None else grad_out_
    *batch, queries, _ = query.shape
    longer = logsumexp.size // int(np.prod(batch))
    places = np.arange(logsumexp.size).reshape(*batch, longer)[..., :queries, None]
    lengths = rearranged(reshaped(logsumexp, (logsumexp.size,)), places)
    found = _pulled_back(call, arrived, query, key, value, out, lengths, is_causal, attn_bias, scale)
    if grad_input_mask is None:
        return found[:3]
    by_bias = found[3] if grad_input_mask[3] and attn_bias is not None and attn_bias.shape == found[3].shape else None
    return *found[:3], by_bias


def _without_dropout(call: Any, probability: float) -> None:
    if probability:
        raise Unsupported(f"{call.program.origin}: attention's dropout draws its mask inside, where it cannot be seen")
