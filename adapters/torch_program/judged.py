"""A run of PyTorch, judged call by call: every operation's own numbers against what its operands allow.

`reports/any_network/numbers.py` asks for it. The recorder keeps the numbers of every line that a call wrote, so that
the next call is judged from the operands that it really had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...reference.judging import JudgedCall, judged_call
from ...reference.numbers import PRECISIONS, PROFILES, Precision, Profile
from ...reference.programs import Value
from ...reference.programs.special import identity
from .call import array, real
from .recorder import Recorder, leaves

FORMATS = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
# PyTorch's CPU kernels that keep sums of 16-bit numbers in 16 bits: a layer norm's, over the batch.
ADDED_NARROWLY = {"native_layer_norm_backward"}


class JudgingRecorder(Recorder):
    """Writes the calls down and judges them. judged: a verdict on each result, in order.

    taken: results that the program has as the run's own numbers (masks, random numbers), which nothing was asked of
    """

    def __init__(self) -> None:
        super().__init__()
        self.ran: dict[int, NDArray[Any]] = {}
        self.judged: list[JudgedCall] = []
        self.taken: list[str] = []

    def given(self, tensor: Any) -> Value:
        value = super().given(tensor)
        self.ran[value.index] = self.unseen(lambda: array(tensor))
        return value

    def computed(
        self, outputs: list[Any], changed: list[Any], values: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        tensors = [*outputs, *changed]
        pairs = [(k, tensors[k], v) for k, v in enumerate(values[: len(tensors)]) if v is not None and real(tensors[k])]
        numbers = self.unseen(lambda: [array(tensor) for _, tensor, _ in pairs])
        seen = [k for k, (_, _, value) in enumerate(pairs) if not _constant(value)]
        self.taken += [str(value.node.origin) for _, _, value in pairs if _constant(value)]
        if seen:
            self.judged += judged_call(
                [pairs[k][2] for k in seen],
                self.ran,
                [numbers[k] for k in seen],
                [precision(pairs[k][1]) for k in seen],
                _inside(self.program.origin.name, [x for x in (*leaves(dict(arguments)), *tensors) if real(x)]),
            )
        found = list(values)
        for (k, _, value), ran in zip(pairs, numbers, strict=True):
            line = identity(value)  # of its own: the line itself may be that of an operand in another format
            self.ran[line.index] = ran
            found[k] = line
        return tuple(found)


def precision(tensor: Any) -> Precision:
    """The format of a tensor of real numbers. KeyError: it is none that we know."""
    return PRECISIONS[FORMATS[tensor.dtype]]


def _inside(name: str, tensors: list[Any]) -> Profile:
    """The formats in which a call may hold what it computes on the way: those of its narrowest tensor.

    16 bits: steps between may be stored in 16 (attention's weights, the columns of a convolution), sums are added up in
    float32; where PyTorch adds up in 16 bits itself, `ADDED_NARROWLY` says so.
    """
    narrowest = min((precision(x) for x in tensors), key=lambda p: p.digits)
    profile = PROFILES[narrowest.name]
    return profile if name in ADDED_NARROWLY else replace(profile, reduce=profile.accumulate)


def _constant(value: Value) -> bool:
    """Whether the program has the run's numbers here, or the same in every run."""
    nodes, line = value.program.nodes, value.index
    while nodes[line].operation.name in ("reshape", "identity", "rearrange", "stop"):
        line = nodes[line].operands[0]
    return nodes[line].operation.name == "constant" and np.size(nodes[line].parameters["array"]) > 0
