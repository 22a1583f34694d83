"""How small an error the checks see in the numbers of whole networks: a transformer's block and a small CNN, by format.

One training run of each in PyTorch, forward and backward, judged call by call. What is reported are the tests' own
thresholds, which `reference/judging/statistical.py` derives: nothing is planted here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu

from ...reference.judging import JudgedCall, Verdict
from ...reference.numbers import PRECISIONS
from ..any_network.torch_doors import judged

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
Module: Any = nn.Module
FORMATS = ("float32", "bfloat16", "float16")
HEADERS = (
    "network", "format", "results", "scale error seen", "in a parameter's gradient", "could be zero", "bound / error",
)  # fmt: skip


@dataclass(frozen=True)
class NetworkPower:
    """What is seen in one network. Medians over its results, in roundings of the format where they are relative errors.

    of_results, of_gradients: the smallest relative error of a whole result, and of a parameter's gradient, that its
        test refuses
    zeroable: the share of all elements that might be zero instead, unseen one by one
    tightness: what an element may be off, over the largest error that came
    """

    network: str
    dtype: str
    results: int
    of_results: float
    of_gradients: float
    zeroable: float
    tightness: float


class Block(Module):
    """A transformer's block with embedding and head, its attention of single operations; tokens → logits."""

    def __init__(self, length: int = 64, width: int = 64, heads: int = 4, vocabulary: int = 64) -> None:
        super().__init__()
        self.heads = heads
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Parameter(torch.randn(length, width) / 8)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        samples, length = tokens.shape
        x = self.embedding(tokens) + self.positions
        threes = self.attention(self.first_norm(x)).view(samples, length, 3, self.heads, -1)
        query, key, value = threes.permute(2, 0, 3, 1, 4)
        later = torch.triu(torch.full((length, length), -torch.inf, dtype=x.dtype), 1)
        weights = (query @ key.mT / math.sqrt(query.shape[-1]) + later).softmax(-1)
        x = x + self.projection((weights @ value).transpose(1, 2).flatten(2))
        return self.head(x + self.narrow(gelu(self.wide(self.second_norm(x)))))


def cnn(channels: int = 8, size: int = 16) -> Tensor:
    """Two convolutions, a batch norm, a max pooling and a linear layer; images of one channel → 10 logits."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Linear(2 * channels * (size // 2) ** 2, 10),
    )  # fmt: skip


def power_of(network: str, dtype: str, module: Tensor, inputs: Tensor, targets: Tensor) -> NetworkPower:
    """One forward and backward of the module's cross entropy, judged. Raises AssertionError if anything is accused."""
    with judged() as report:
        cross_entropy(module(inputs).flatten(0, -2), targets).backward()
    run, unit = report(), PRECISIONS[dtype].unit_roundoff
    if run.verdict in (Verdict.WRONG, Verdict.SUSPECT):
        raise AssertionError(str(run))
    results = run.run.results
    return NetworkPower(
        network,
        dtype,
        len(results),
        median(_seen(results)) / unit,
        median(_seen(_gradients(results))) / unit,
        run.zeroable,
        median(1 / r.ratio for r in results if r.ratio > 0),
    )


def _gradients(results: Sequence[JudgedCall]) -> list[JudgedCall]:
    """What the backward ends in: results that nothing else was computed from, but for their copies into `.grad`."""
    used = {line for r in results if r.origin.name != "copy_" for line in r.operands}
    return [r for r in results if r.backward and r.line not in used and r.origin.name != "copy_"]


def _seen(results: Sequence[JudgedCall]) -> list[float]:
    """The smallest scale error that each result's test refuses; infinite where it has none, or none is seen."""
    own = [[a.resolution for a in r.aggregates if a.resolution is not None] for r in results if r.aggregates]
    return [min(each, default=math.inf) for each in own]


def rows() -> Iterator[list[str]]:
    """The table that people see, in `HEADERS` order."""
    for dtype in FORMATS:
        kind = getattr(torch, dtype)
        torch.manual_seed(0)
        block, tokens = Block().to(kind), torch.randint(0, 64, (2, 64))
        images, labels = torch.randn(4, 1, 16, 16).to(kind), torch.randint(0, 10, (4,))
        for power in (
            power_of("block", dtype, block, tokens, torch.randint(0, 64, (128,))),
            power_of("CNN", dtype, cnn().to(kind), images, labels),
        ):
            yield [
                power.network, dtype, str(power.results), f"{power.of_results:.3g} u", f"{power.of_gradients:.3g} u",
                f"{power.zeroable:.2%}", f"{power.tightness:.3g}",
            ]  # fmt: skip
