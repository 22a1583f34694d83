"""What backproof and the process of a function say to each other: JSON, one line each; nothing in it is ever executed.

Numbers are sent as the bytes of an array, with its format and shape. The types are checked as they are read; that an
array fits the probe is checked here, since a function may write what it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...adapters.adapter import Unanswered
from ...adapters.protocol import Request, printable
from ...reference.case import Case
from ...reference.judging import Observation
from ...reference.numbers import PRECISIONS, numpy_dtype
from ..any_network import Result, Told
from ..console import printable_lines

Array = NDArray[Any]


VERDICTS = ("agrees", "suspect", "wrong", "undecided")  # of a network


class Find(msgspec.Struct, frozen=True):
    """The first thing asked. target: package.module:function, or path.py:function;  path: where modules are found

    numbers: of a network, judge those of a run as well
    """

    target: str
    path: list[str]
    numbers: bool = False


class Probe(msgspec.Struct, frozen=True):
    """A probe, and how the function is to be called with it: the fields of `Call`."""

    request: Request
    returns: str
    orientation: str
    bias: str | list[bool]
    arrays: str
    timeout: float | None


class Numbers(msgspec.Struct, frozen=True):
    """An array. data: its bytes, row by row"""

    dtype: str
    shape: list[int]
    data: bytes


NETWORK = "network"  # said of a function that is found: it builds one, and the report on that is next
Kind = Literal["ready", "found", "network", "invalid", "answer", "unanswered", "misshapen", "time"]


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the function's process says.

    kind: ready, to be asked; found, or invalid where there is no such function; an answer, or why there is none;
        network: the report on the one that the function builds
    id: the request's;  words: where there is no answer;  changed: the names of arguments that the function changed
    outputs, or weights and biases of each layer: the answer
    """

    kind: Kind
    id: int = 0
    words: str = ""
    changed: list[str] = []
    network: Told | None = None
    outputs: Numbers | None = None
    weights: list[Numbers | None] = []
    biases: list[Numbers | None] = []


def answer_of(number: int, returns: str, seen: Observation, changed: Sequence[str]) -> Reply:
    """An observation as an answer."""
    if returns == "outputs":
        return Reply("answer", number, changed=[*changed], outputs=_numbers(seen.outputs))
    weights, biases = (
        (seen.weight_gradients, seen.bias_gradients)
        if returns == "gradients"
        else (seen.updated_weights, seen.updated_biases)
    )
    return Reply(
        "answer",
        number,
        changed=[*changed],
        weights=[*map(_numbers, weights or ())],
        biases=[*map(_numbers, biases or ())],
    )


def observation_of(reply: Reply, returns: str, case: Case) -> Observation:
    """An answer as an observation. Raises Unanswered where it is not one to this probe."""
    if returns == "outputs":
        outputs = _array(reply.outputs, (case.batch, case.sizes[-1]))
        return Observation("function", "", "cpu", case.dtype, activations=(*(None,) * (len(case.layers) - 1), outputs))
    if not len(reply.weights) == len(reply.biases) == len(case.layers):
        raise Unanswered(FORGED)
    weights = tuple(_array(w, np.shape(layer.weights)) for w, layer in zip(reply.weights, case.layers, strict=True))
    biases = tuple(
        None if layer.biases is None else _array(b, (len(layer.biases),))
        for b, layer in zip(reply.biases, case.layers, strict=True)
    )
    if returns == "gradients":
        return Observation("function", "", "cpu", case.dtype, weight_gradients=weights, bias_gradients=biases)
    return Observation("function", "", "cpu", case.dtype, updated_weights=weights, updated_biases=biases)


LISTED = 4  # arguments that a function can change
FORGED = "its process wrote something of its own where answers are read"


def read_reply(line: bytes) -> Reply:
    """A line of the function's process. Raises Unanswered where it is none of ours."""
    try:
        reply = msgspec.json.decode(line, type=Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unanswered(FORGED) from None
    told = reply.network
    if told is not None:
        if told.verdict not in VERDICTS or not all(map(_possible, told.graph)):
            raise Unanswered(FORGED)
        told = Told(told.verdict, printable(told.name), printable_lines(told.text), told.graph)
    return msgspec.structs.replace(
        reply, words=printable(reply.words), changed=[printable(c, 60) for c in reply.changed], network=told
    )


def _possible(result: Result) -> bool:
    """Whether a picture can be drawn of it; its texts are made harmless there."""
    return result.verdict in VERDICTS and (result.digits is None or 0 <= result.digits < 1e3)


def _numbers(array: Array | None) -> Numbers | None:
    return (
        None if array is None else Numbers(array.dtype.name, list(array.shape), np.ascontiguousarray(array).tobytes())
    )


def _array(given: Numbers | None, shape: tuple[int, ...]) -> Array:
    if given is None or given.dtype not in PRECISIONS or tuple(given.shape) != shape:
        raise Unanswered(FORGED)
    dtype = numpy_dtype(given.dtype)
    if len(given.data) != prod(shape) * dtype.itemsize:
        raise Unanswered(FORGED)
    return np.frombuffer(given.data, dtype).reshape(shape).copy()
