"""The LSTM layer that oneDNN computes in one call, forward and backward; other recurrent layers are made of cells.

Source: Hochreiter & Schmidhuber (1997), with forget gates of Gers et al. (2000); gates in PyTorch's order i, f, g, o.
"""

# ruff: noqa: ARG001 (an entry takes what the schema's arguments are called)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....reference.programs import Unsupported, Value, concatenated, matmul, permuted, reshaped
from ....reference.programs import elementwise as e
from .shapes import sliced
from .table import entry

BIASES = (3, 4)  # among the operands of the backward


def _layer(x: Value, weights: Sequence[Value], h: Value, c: Value, reverse: bool) -> tuple[Value, Value, Value]:
    """x: time × batch × features;  weights: of x and of h, and their biases."""
    size = h.shape[-1]
    by_input, by_state, first, second = weights
    outputs: list[Value] = []
    for time in range(x.shape[0])[:: -1 if reverse else 1]:
        z = matmul(sliced(x, time), permuted(by_input, (1, 0))) + matmul(h, permuted(by_state, (1, 0)))
        if first.shape != by_input.shape:  # without biases PyTorch hands over zeros in the weights' shape
            z = z + first + second
        i, f, g, o = (sliced(z, slice(None), slice(k * size, (k + 1) * size)) for k in range(4))
        c = e.logistic(f) * c + e.logistic(i) * e.tanh(g)
        h = e.logistic(o) * e.tanh(c)
        outputs.append(reshaped(h, (1, *h.shape)))
    return concatenated(outputs[::-1] if reverse else outputs, 0), h, c


def _accept(call: Any, mode: int) -> None:
    """A call is one layer in one direction, whatever the network's number of layers and directions that it is told."""
    if mode != 2:
        raise Unsupported(f"{call.program.origin}: of oneDNN's recurrent layers only the LSTM's are covered")


def _flat(x: Value) -> Value:
    return reshaped(x, x.shape[-2:])


@entry("mkldnn_rnn_layer")
def _mkldnn_layer(
    call: Any, input: Value, weight0: Value, weight1: Value, weight2: Value, weight3: Value, hx_: Value, cx_: Value,
    reverse: bool, batch_sizes: Any, mode: int, hidden_size: int, num_layers: int, has_biases: bool,
    bidirectional: bool, batch_first: bool, train: bool,
) -> Any:  # fmt: skip
    _accept(call, mode)
    y, h, c = _layer(input, (weight0, weight1, weight2, weight3), _flat(hx_), _flat(cx_), reverse)
    shapes = [tuple(x.shape) for x in call.outputs[:3]]
    return (*(reshaped(v, shape) for v, shape in zip((y, h, c), shapes, strict=True)), None)


@entry("mkldnn_rnn_layer_backward")
def _mkldnn_layer_backward(
    call: Any, input: Value, weight1: Value, weight2: Value, weight3: Value, weight4: Value, hx_: Value, cx_tmp: Value,
    output: Value, hy_: Value, cy_: Value, grad_output: Value | None, grad_hy: Value | None, grad_cy: Value | None,
    reverse: bool, mode: int, hidden_size: int, num_layers: int, has_biases: bool, train: bool, bidirectional: bool,
    batch_sizes: Any, batch_first: bool, workspace: Any,
) -> Any:  # fmt: skip
    """What it keeps of the forward is in a layout of its own: the gates are computed again, from the operands."""
    _accept(call, mode)
    operands = [input, weight1, weight2, weight3, weight4, hx_, cx_tmp]
    arriving = [(k, g) for k, g in enumerate((grad_output, grad_hy, grad_cy)) if g is not None]

    def formula(x: Value, w1: Value, w2: Value, b1: Value, b2: Value, h: Value, c: Value) -> Value:
        ends = _layer(x, (w1, w2, b1, b2), _flat(h), _flat(c), reverse)
        return concatenated([reshaped(ends[k], (ends[k].size,)) for k, _ in arriving], 0)

    cotangent = concatenated([reshaped(g, (g.size,)) for _, g in arriving], 0)
    gradients = call.pulled(formula, operands, cotangent)
    return tuple(
        reshaped(g, tuple(x.shape)) if has_biases or k not in BIASES else call.recorded(x)
        for k, (g, x) in enumerate(zip(gradients, call.outputs, strict=True))
    )
