"""The networks that adapters are compared on, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from ...reference.programs.networks import EPSILON, TOKENS

Tensor: TypeAlias = Any  # torch.Tensor: types are checked without PyTorch
Parameters = Mapping[str, Tensor]


def cnn(p: Parameters, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
    """See `reference/programs/networks.py`."""
    z = F.conv2d(inputs[0], p["convolution"], p["convolution_bias"], padding=1)
    z = F.batch_norm(z, None, None, p["scale"], p["shift"], training=True, eps=EPSILON)
    z = F.max_pool2d(F.relu(z), 2)
    z = F.conv2d(z, p["strided"], p["strided_bias"], stride=2, padding=1)
    return F.cross_entropy(F.linear(z.flatten(1), p["linear"], p["linear_bias"]), targets)


def lstm(p: Parameters, inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
    """See `reference/programs/networks.py`."""
    x = inputs[0]
    h = c = torch.zeros(x.shape[1], 5, dtype=x.dtype)
    for step in x:
        gates = F.linear(step, p["input_weights"], p["input_bias"]) + F.linear(h, p["hidden_weights"], p["hidden_bias"])
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return F.cross_entropy(F.linear(h, p["linear"], p["linear_bias"]), targets)


def gpt_block(p: Parameters, _: Sequence[Tensor], targets: Tensor) -> Tensor:
    """See `reference/programs/networks.py`."""
    x = F.embedding(torch.from_numpy(TOKENS), p["embedding"]) + p["positions"]
    z = F.layer_norm(x, (6,), p["norm_scale"], p["norm_shift"], EPSILON)
    q, k, v = F.linear(z, p["attention"], p["attention_bias"]).view(5, 3, 2, 3).permute(1, 2, 0, 3)
    heads = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    x = x + F.linear(heads.transpose(0, 1).reshape(5, 6), p["projection"], p["projection_bias"])
    z = F.layer_norm(x, (6,), p["second_scale"], p["second_shift"], EPSILON)
    z = F.gelu(F.linear(z, p["wide"], p["wide_bias"]), approximate="tanh")
    x = x + F.linear(z, p["narrow"], p["narrow_bias"])
    return F.cross_entropy(x @ p["embedding"].T, targets)


FORWARD: dict[str, Callable[..., Tensor]] = {"cnn": cnn, "lstm": lstm, "gpt_block": gpt_block}


def function(name: str, names: Sequence[str], targets: Any) -> Callable[..., Tensor]:
    """f(*parameters in this order, *inputs) → loss."""
    indices = torch.from_numpy(targets)

    def forward(*arrays: Tensor) -> Tensor:
        parameters = dict(zip(names, arrays, strict=False))
        return FORWARD[name](parameters, arrays[len(names) :], indices)

    forward.__name__ = name
    return forward
