"""What a run of PyTorch chooses by numbers, the largest of a window or a branch of `where`, as its roundings fall.

`subject.py` asks, where compiled code gives what the eager run does not: it may honestly have chosen another element.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from ...reference.programs import Unsupported, Value, computes
from .call import real
from .recorder import Recorder


class Choices(Recorder):
    """Writes the calls down in `choices`, and moves what each computes at random by up to so many of its roundings."""

    def __init__(self, generator: np.random.Generator, roundings: float) -> None:
        super().__init__()
        self.generator, self.roundings = generator, roundings

    def uncovered(self, reason: Unsupported, tensors: list[Any]) -> None:
        del reason  # what is computed of its results is computed of constants
        self.forget(tensors)

    def computed(
        self, outputs: list[Any], changed: list[Any], values: tuple[Any, ...], arguments: Mapping[str, Any]
    ) -> tuple[Any, ...]:
        found = super().computed(outputs, changed, values, arguments)
        tensors = [*outputs, *changed]
        for tensor, value in zip(tensors, found[: len(tensors)], strict=True):
            if self.roundings and isinstance(value, Value) and computes(value) and real(tensor):
                self.unseen(partial(self._move, tensor))
        return found

    def _move(self, tensor: Any) -> None:
        moved = self.roundings * torch.finfo(tensor.dtype).eps / 2
        side = torch.tensor(1 + moved * self.generator.uniform(-1, 1, tuple(tensor.shape)))
        tensor.copy_(tensor.double() * side.to(tensor.device))  # in 16 bits a factor beside 1 would be 1
