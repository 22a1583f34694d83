"""Right recurrent networks and transformers in PyTorch, drawn for `torch_networks.py`."""

# mypy: allow-subclassing-any, allow-untyped-calls
# of PyTorch, which is typed in parts, and not where it is absent

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from .drawn import Dice
from .torch_networks import Subject, leaf, module_of


class Unrolled(nn.Module):
    """A cell, step by step; its weights are used once a step."""

    def __init__(self, cell: nn.Module, hidden: int) -> None:
        super().__init__()
        self.cell, self.hidden = cell, hidden

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[1], self.hidden)
        state: Any = (h, h) if isinstance(self.cell, nn.LSTMCell) else h
        seen = []
        for step in x:
            state = self.cell(step, state)
            seen.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(seen)


def recurrent(thrown: Dice, dtype: torch.dtype) -> Subject:
    """RNN, GRU or LSTM, in PyTorch's own loop or step by step."""
    kind = thrown.one_of(("RNN", "GRU", "LSTM"))
    steps, batch, width, hidden = thrown.one_of((1, 2, 3)), thrown.one_of((1, 2)), thrown.one_of((2, 3)), thrown.size()
    hidden = min(hidden, 3)
    words = f"{kind}, {steps} steps, batch {batch}, {width} → {hidden}"
    more: dict[str, Any] = {"nonlinearity": thrown.one_of(("tanh", "relu"))} if kind == "RNN" else {}
    bias = thrown.flag(0.7)
    if thrown.flag(0.35):
        cell = getattr(nn, f"{kind}Cell")(width, hidden, bias=bias, **more)
        module, mode = module_of(thrown, Unrolled(cell, hidden), dtype)
        return Subject(f"{words}, step by step, {mode}", module, (leaf(thrown, (steps, batch, width), dtype),))
    layers, both, first = thrown.one_of((1, 1, 2)), thrown.flag(0.3), thrown.flag()
    if kind == "LSTM" and hidden > 2 and thrown.flag(0.3):
        more["proj_size"] = 2
    if layers > 1 and thrown.flag():
        more["dropout"] = 0.3
    network = getattr(nn, kind)(width, hidden, layers, bias=bias, batch_first=first, bidirectional=both, **more)
    module, mode = module_of(thrown, network, dtype)
    x = leaf(thrown, (batch, steps, width) if first else (steps, batch, width), dtype)
    inputs: tuple[Any, ...] = (x,)
    if thrown.flag(0.4):
        rows = layers * (2 if both else 1)
        state = leaf(thrown, (rows, batch, more.get("proj_size", hidden)), dtype)
        inputs = (x, (state, leaf(thrown, (rows, batch, hidden), dtype)) if kind == "LSTM" else state)
    words += f", {layers} layers{', both ways' if both else ''}{', batch first' if first else ''}{more or ''}"
    return Subject(f"{words}{', from a state' if len(inputs) > 1 else ''}, {mode}", module, inputs)


def rotated(x: Tensor) -> Tensor:
    """Rotary positions: pairs of features turned by an angle that grows with the position."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2]).to(x)[:, None] * 0.7 ** torch.arange(half).to(x)
    one, other = x[..., :half], x[..., half : 2 * half]
    turned = torch.cat([one * angles.cos() - other * angles.sin(), one * angles.sin() + other * angles.cos()], -1)
    return torch.cat([turned, x[..., 2 * half :]], -1)


class Attention(nn.Module):
    """Self-attention. how: by hand, or the fused one;  mask: causal, boolean, added, or none."""

    def __init__(self, width: int, heads: int, how: str, mask: str, rope: bool) -> None:
        super().__init__()
        self.heads, self.how, self.mask, self.rope = heads, how, mask, rope
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=rope), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, width = x.shape
        q, k, v = (part.reshape(batch, steps, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        if self.rope:
            q, k = rotated(q), rotated(k)
        allowed = x.new_ones(steps, steps, dtype=torch.bool).tril()
        if self.how == "fused":
            mask = {"boolean": allowed, "added": torch.where(allowed, 0.0, -2.0).to(x.dtype)}.get(self.mask)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.mask == "causal")
        else:
            scores = q @ k.mT / q.shape[-1] ** 0.5
            if self.mask == "added":
                scores = scores + torch.where(allowed, 0.0, -2.0).to(x.dtype)
            elif self.mask:
                scores = scores.masked_fill(~allowed, float("-inf"))
            y = scores.softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(batch, steps, width))


class FeedForward(nn.Module):
    """GELU, ReLU or SwiGLU between two linear layers."""

    def __init__(self, width: int, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.up, self.gate, self.down = nn.Linear(width, 3), nn.Linear(width, 3, bias=False), nn.Linear(3, width)

    def forward(self, x: Tensor) -> Tensor:
        z = self.up(x)
        if self.kind == "SwiGLU":
            hidden = F.silu(self.gate(x)) * z
        elif self.kind == "ReLU":
            hidden = F.relu(z)
        else:
            hidden = F.gelu(z, approximate="tanh" if self.kind == "GELU tanh" else "none")
        return self.down(hidden)


class Block(nn.Module):
    """Tokens in; embedding, one block, and where `tied` the embedding's weights again as the head."""

    def __init__(
        self, width: int, attention: nn.Module, feeding: nn.Module, norm: str, dropout: float, tied: bool, after: bool
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, width, padding_idx=0 if after else None)
        self.attention, self.feeding = attention, feeding
        self.one, self.other = getattr(nn, norm)(width), getattr(nn, norm)(width)
        self.dropout, self.after = nn.Dropout(dropout), after
        self.head = nn.Linear(width, 5, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        if self.after:
            x = self.one(x + self.dropout(self.attention(x)))
            return self.head(self.other(x + self.feeding(x)))
        x = x + self.dropout(self.attention(self.one(x)))
        return self.head(x + self.feeding(self.other(x)))


def transformer(thrown: Dice, dtype: torch.dtype) -> Subject:
    """A part of a transformer, or a block of one."""
    part = thrown.one_of(("block", "attention", "attention", "feed-forward", "MultiheadAttention", "encoder layer"))
    heads = thrown.one_of((1, 2))
    width = heads * thrown.one_of((2, 2, 3) if part != "block" else (2,))
    batch, steps = thrown.one_of((1, 2)), thrown.one_of((2, 3))
    mask = thrown.one_of(("", "causal", "boolean", "added"))
    how, rope = thrown.one_of(("fused", "by hand")), thrown.flag(0.4)
    kind = thrown.one_of(("GELU", "GELU tanh", "ReLU", "SwiGLU"))
    norm, after, tied = thrown.one_of(("LayerNorm", "RMSNorm")), thrown.flag(0.4), thrown.flag()
    dropout = thrown.one_of((0.0, 0.2))
    words = f"{part}, batch {batch}, {steps} steps, {width} wide"
    attention, said = Attention(width, heads, how, mask, rope), f"{heads} heads {how}, mask {mask or 'none'}"
    said += ", rotary" if rope else ""
    if part == "MultiheadAttention":
        return _multihead(thrown, dtype, width, heads, (batch, steps))
    if part == "encoder layer":
        layer = nn.TransformerEncoderLayer(
            width, heads, 3, dropout, thrown.one_of(("relu", "gelu")), batch_first=thrown.flag(), norm_first=not after
        )
        module, mode = module_of(thrown, layer, dtype)
        return Subject(f"{words}, {dropout=}, {mode}", module, (leaf(thrown, (batch, steps, width), dtype),))
    if part == "block":
        block = Block(width, attention, FeedForward(width, kind), norm, dropout, tied, after)
        module, mode = module_of(thrown, block, dtype)
        tokens = torch.tensor(thrown.rng.integers(0, 5, (batch, steps)))
        words += f", {said}, {kind}, {norm} {'after' if after else 'before'}, {dropout=}{', tied' if tied else ''}"
        return Subject(f"{words}, {mode}", module, (tokens,))
    module, mode = module_of(thrown, attention if part == "attention" else FeedForward(width, kind), dtype)
    said = said if part == "attention" else kind
    return Subject(f"{words}, {said}, {mode}", module, (leaf(thrown, (batch, steps, width), dtype),))


def _multihead(thrown: Dice, dtype: torch.dtype, width: int, heads: int, shape: tuple[int, int]) -> Subject:
    """PyTorch's own, of one sequence by itself or by another."""
    bias, more = thrown.flag(0.7), thrown.flag(0.2)
    layer = nn.MultiheadAttention(
        width, heads, dropout=thrown.one_of((0.0, 0.2)), bias=bias, add_bias_kv=more, batch_first=True
    )
    module, mode = module_of(thrown, layer, dtype)
    x, weights = leaf(thrown, (*shape, width), dtype), thrown.flag()
    if thrown.flag():
        other = leaf(thrown, (shape[0], 2, width), dtype)
        return Subject(
            f"MultiheadAttention to another sequence, {shape}, {width} wide, {heads} heads, {bias=}, {mode}",
            Called(module, weights), (x, other, other),
        )  # fmt: skip
    words = f"MultiheadAttention to itself, {shape}, {width} wide, {heads} heads, {bias=}, {mode}"
    return Subject(words, Called(module, weights), (x, x, x))


class Called(nn.Module):
    """A module of three arguments, with or without the attention's weights as a second result."""

    def __init__(self, module: nn.Module, weights: bool) -> None:
        super().__init__()
        self.module, self.weights = module, weights
        self.training = module.training

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Any:
        result = self.module(q, k, v, need_weights=self.weights)
        return result if self.weights else result[0]
