"""PyTorch's functions and modules, and what they are called with: by what their derivatives' rules ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


def drawn(*shape: int, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(1000 * seed + 7 * len(shape) + sum(shape))
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()


def between(*shape: int, low: float = 0.1, high: float = 0.9, seed: int = 0) -> Any:
    return (torch.sigmoid(drawn(*shape, seed=seed)) * (high - low) + low).detach().requires_grad_()


def module(made: Callable[[], Any], seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return made().double()


class Attention(nn.Module):
    """One block, with rotated queries and keys, SwiGLU and RMS norms, as a language model has them."""

    def __init__(self, size: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(size, 3 * size), nn.Linear(size, size, bias=False)
        self.gate, self.up, self.down = nn.Linear(size, 12), nn.Linear(size, 12), nn.Linear(12, size)
        self.first, self.second = nn.RMSNorm(size), nn.RMSNorm(size, eps=1e-6)

    def forward(self, x: Any) -> Any:
        batch, length, size = x.shape
        parts = self.qkv(self.first(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = self.rotated(parts[0]), self.rotated(parts[1]), parts[2]
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, size))
        y = self.second(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

    def rotated(self, x: Any) -> Any:
        half = x.shape[-1] // 2
        angles = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] / 100 ** (torch.arange(half, dtype=x.dtype) / half)
        first, second = x[..., :half], x[..., half:]
        return torch.cat(
            [first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos()], -1
        )


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(8, 2, 12, batch_first=True, norm_first=True, activation="gelu")

    def forward(self, x: Any) -> Any:
        return self.layer(x, x, tgt_mask=nn.Transformer.generate_square_subsequent_mask(3, dtype=x.dtype))


class Twice(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Any) -> Any:
        return self.inner(x, x)


MASK = torch.tensor([[0.0, -torch.inf, 0.5], [0.0, 0.0, -torch.inf], [1.0, 0.0, 0.0]], dtype=torch.float64)
CLASSES, ORDER = torch.tensor([1, 0, 3, -100, 2]), torch.tensor([[2, 0, 1], [0, 2, 2]])
SIGNS = torch.tensor([1.0, -1, 1, 1, -1], dtype=torch.float64)


def attended(mask: Any = None, causal: bool = False, scale: Any = None, **options: Any) -> Callable[..., Any]:
    return lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, scale=scale, **options
    )


def spelled_out(q: Any, k: Any, v: Any) -> Any:
    scores = (q @ k.transpose(-1, -2) / 2).masked_fill(~torch.tril(torch.ones(3, 3, dtype=torch.bool)), -torch.inf)
    return F.dropout(F.softmax(scores, -1), 0.3) @ v


def normed(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Callable[..., Any]:
    return lambda x, w, b: function(x, *arguments, weight=w, bias=b, **keywords)


def q() -> tuple[Any, ...]:
    return drawn(2, 2, 3, 4), drawn(2, 2, 3, 4, seed=1), drawn(2, 2, 3, 4, seed=2)


Case = tuple[Callable[..., Any], Callable[[], tuple[Any, ...]]]
SMOOTH: dict[str, Case] = {
    "mlp": (lambda x, v, w: torch.tanh(x @ v).sigmoid() @ w, lambda: (drawn(4, 3), drawn(3, 5), drawn(5, 2))),
    "gelu": (lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"), lambda: (drawn(7),)),
    "silu mish softplus": (lambda x: F.silu(x) + F.mish(x) + F.softplus(x, 2.0), lambda: (drawn(7),)),
    "logsigmoid elu glu": (lambda x: F.glu(F.logsigmoid(x) * F.elu(x, 0.7)), lambda: (drawn(8),)),
    "softmax": (lambda x: F.softmax(x, 1) * F.log_softmax(x, 0), lambda: (drawn(3, 4),)),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1), lambda: (drawn(2, 3, 7), drawn(4, 3, 3), drawn(4))),
    "conv2d groups": (
        lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=2),
        lambda: (drawn(2, 4, 5, 6), drawn(4, 2, 2, 3)),
    ),
    "conv3d": (F.conv3d, lambda: (drawn(1, 2, 3, 4, 3), drawn(2, 2, 2, 2, 2), drawn(2))),
    "conv_transpose1d": (
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=2, padding=1, output_padding=1, groups=2),
        lambda: (drawn(2, 4, 3), drawn(4, 3, 3), drawn(6)),
    ),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, dilation=2),
        lambda: (drawn(1, 2, 3, 2), drawn(2, 3, 2, 2)),
    ),
    "conv_transpose3d": (F.conv_transpose3d, lambda: (drawn(1, 2, 2, 2, 2), drawn(2, 1, 2, 2, 2))),
    "avg_pool2d": (
        lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True) ** 2 + F.avg_pool2d(x, 3, 2, 1, True, False),
        lambda: (drawn(1, 2, 6, 6),),
    ),
    "batch_norm": (normed(F.batch_norm, None, None, training=True), lambda: (drawn(4, 3, 2), drawn(3), drawn(3, seed=1))),
    "layer_norm": (normed(F.layer_norm, (2, 3)), lambda: (drawn(4, 2, 3), drawn(2, 3), drawn(2, 3, seed=1))),
    "group_norm": (normed(F.group_norm, 2), lambda: (drawn(2, 4, 3), drawn(4), drawn(4, seed=1))),
    "rms_norm": (lambda x, w: F.rms_norm(x, (5,), w), lambda: (drawn(3, 5), drawn(5))),
    "embedding": (lambda w: torch.tanh(F.embedding(ORDER, w, padding_idx=0)), lambda: (drawn(3, 4),)),
    "mse": (F.mse_loss, lambda: (drawn(5), drawn(5, seed=1))),
    "cross_entropy": (
        lambda x, w: F.cross_entropy(x, CLASSES, w, label_smoothing=0.1), lambda: (drawn(5, 4), between(4).detach())
    ),
    "bce_with_logits": (
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.full_like(x, 2.5)),
        lambda: (drawn(5), between(5)),
    ),
    "kl_div": (lambda x, y: F.kl_div(x, y, reduction="batchmean"), lambda: (drawn(3, 4), between(3, 4))),
    "soft_margin": (lambda x: F.soft_margin_loss(x, SIGNS), lambda: (drawn(5),)),
    "poisson gaussian": (
        lambda x, y: F.poisson_nll_loss(x, y) + F.gaussian_nll_loss(x, y, torch.full_like(x, 0.7)),
        lambda: (drawn(5), between(5).detach()),
    ),
    "einsum": (lambda x, y: torch.einsum("bij,bjk->ik", x, y), lambda: (drawn(2, 3, 4), drawn(2, 4, 2))),
    "logsumexp var std": (
        lambda x: torch.logsumexp(x, 0) + x.var(0) + x.std(0, correction=0), lambda: (drawn(4, 3),)
    ),
    "norms": (lambda x: x.norm(dim=0) + torch.linalg.vector_norm(x, 3.5, dim=0), lambda: (between(4, 3),)),
    "running": (lambda x: x.cumsum(0) * x.cumprod(1) + torch.logcumsumexp(x, 1), lambda: (drawn(3, 4),)),
    "prod lerp": (lambda x: torch.lerp(x.prod(0), x[0], 0.3) + torch.addcdiv(x[0], x[1], x[2]), lambda: (between(3, 4),)),
    "special": (
        lambda x: torch.digamma(x) + torch.special.i0e(x) + torch.erfinv(x) + torch.logit(x) + torch.xlogy(x, x),
        lambda: (between(5),),
    ),
    "bilinear": (
        lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear", align_corners=False) ** 2, lambda: (drawn(1, 2, 3, 4),)
    ),
    "bicubic": (lambda x: F.interpolate(x, (5, 7), mode="bicubic", align_corners=True).exp(), lambda: (drawn(1, 1, 4, 3),)),
    "linear algebra": (
        lambda x: torch.linalg.inv(x) + torch.linalg.solve(x, x.T) + torch.linalg.slogdet(x)[1],
        lambda: (drawn(3, 3),),
    ),
    "cholesky": (lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(3, dtype=x.dtype)), lambda: (drawn(3, 3),)),
    "attention spelled out": (spelled_out, q),
    "index_put": (
        lambda x, y: torch.sin(x).index_put((torch.tensor([0, 0, 2]),), y, accumulate=True), lambda: (drawn(3, 2), drawn(3, 2, seed=1))
    ),
    "scatter_add": (
        lambda x, y: torch.exp(x).scatter_add(1, ORDER, y), lambda: (drawn(2, 3), drawn(2, 3, seed=1))
    ),
}  # fmt: skip
CORNERED: dict[str, Case] = {
    "relu family": (
        lambda x: F.relu(x) + F.leaky_relu(x, 0.1) + F.hardtanh(x) + F.relu6(x) + F.selu(x) + F.celu(x, 0.5), lambda: (drawn(9),)
    ),
    "shrink family": (lambda x: F.softshrink(x) + F.hardshrink(x) + F.hardswish(x) + F.threshold(x, 0.2, -1.0), lambda: (drawn(9),)),
    "bce": (lambda x: F.binary_cross_entropy(x, torch.full_like(x, 0.3)), lambda: (between(5),)),
    "prelu": (F.prelu, lambda: (drawn(2, 3, 2), between(3))),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), lambda: (drawn(2, 3, 7),)),
    "max_pool2d": (lambda x: F.max_pool2d(x, (2, 3), stride=1, padding=1, dilation=(2, 1)), lambda: (drawn(2, 2, 6, 6),)),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2, ceil_mode=True), lambda: (drawn(1, 2, 3, 4, 3),)),
    "avg_pool": (
        lambda x: F.avg_pool1d(x[0, 0], 2).sum() + F.avg_pool3d(x, 2, 1, divisor_override=5), lambda: (drawn(1, 2, 4, 4, 4),)
    ),
    "adaptive pools": (
        lambda x: F.adaptive_avg_pool2d(x, (3, 2)) + F.adaptive_max_pool2d(x, (3, 2)) + F.adaptive_avg_pool1d(x[0], 2).sum(),
        lambda: (drawn(1, 2, 5, 7),),
    ),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, 2), lambda: (drawn(1, 1, 3, 4, 5),)),
    "attention": (attended(), q),
    "attention causal": (attended(causal=True, scale=0.3), q),
    "attention of fewer keys": (
        attended(causal=True, enable_gqa=True), lambda: (drawn(2, 4, 3, 4), drawn(2, 2, 3, 4, seed=1), drawn(2, 2, 3, 4, seed=2))
    ),
    "attention masked": (attended(MASK), q),
    "attention where": (attended(MASK > -1), q),
    "huber smooth_l1 l1": (
        lambda x, y: F.huber_loss(x, y, delta=0.4) + F.smooth_l1_loss(x, y, beta=0.5) + F.l1_loss(x, y), lambda: (drawn(9), drawn(9, seed=1))
    ),
    "margins": (
        lambda x: F.multi_margin_loss(x, CLASSES.clamp(0), margin=0.7) + F.multilabel_margin_loss(x, torch.tensor([[1, 3, -1, 0]] * 5))
        + F.multilabel_soft_margin_loss(x, (x > 0).double()), lambda: (drawn(5, 4),)
    ),
    "pair losses": (
        lambda x, y: F.cosine_embedding_loss(x, y, SIGNS) + F.triplet_margin_loss(x, y, x.flip(0)) + F.hinge_embedding_loss(x[:, 0], SIGNS)
        + F.margin_ranking_loss(x[:, 0], y[:, 0], SIGNS, margin=0.3), lambda: (drawn(5, 4), drawn(5, 4, seed=1))
    ),
    "nll 2d": (lambda x: F.nll_loss(F.log_softmax(x, 1), torch.tensor([[[0, 2], [1, -100]]])), lambda: (drawn(1, 3, 2, 2),)),
    "ctc": (
        lambda x: F.ctc_loss(F.log_softmax(x, -1), torch.tensor([[1, 2, 2], [1, 0, 0]]), torch.tensor([6, 5]), torch.tensor([3, 1])),
        lambda: (drawn(6, 2, 4),),
    ),
    "embedding_bag": (
        lambda w: F.embedding_bag(ORDER, w, mode="mean") + F.embedding_bag(ORDER, w, mode="max"), lambda: (drawn(3, 4),)
    ),
    "nearest": (
        lambda x: F.interpolate(x, (5, 7), mode="nearest").sum() * F.interpolate(x, (5, 7), mode="nearest-exact"), lambda: (drawn(1, 2, 3, 4),)
    ),
    "trilinear": (lambda x: F.interpolate(x, (3, 4, 5), mode="trilinear"), lambda: (drawn(1, 1, 2, 3, 2),)),
    "antialiased": (lambda x: F.interpolate(x, (2, 3), mode="bilinear", antialias=True), lambda: (drawn(1, 1, 5, 7),)),
    "pads": (
        lambda x: F.pad(x, (1, 2, 1, 0), "reflect") * F.pad(x, (1, 2, 1, 0), "replicate") + F.pad(x, (1, 2, 1, 0), value=1.5)
        + F.pad(x, (1, 2, 1, 0), "circular"), lambda: (drawn(1, 2, 3, 4),)
    ),
    "grid_sample": (
        lambda x, g: F.grid_sample(x, torch.tanh(g), padding_mode="reflection", align_corners=True)
        + F.grid_sample(x, g, mode="bicubic", align_corners=False), lambda: (drawn(1, 2, 4, 4), drawn(1, 2, 3, 2))
    ),
    "fold": (lambda x: F.fold(F.unfold(x, 2, padding=1) ** 2, (4, 4), 2, padding=1), lambda: (drawn(1, 2, 4, 4),)),
    "order": (
        lambda x: x.sort(0).values * x.topk(4, 0).values + x.kthvalue(2, 0).values + x.median(0).values + x.max(0).values + x.amin(0),
        lambda: (drawn(4, 3),),
    ),
    "extremes": (lambda x: x.max() * x.min() + x.cummax(0).values + x.amax(1, True) + torch.minimum(x, x.flip(0)), lambda: (drawn(4, 3),)),
    "selection": (
        lambda x: x.gather(1, ORDER) + x[:, [0, 2, 1]] * x.index_select(1, torch.tensor([1, 1, 0])) + x.take(torch.tensor([0, 5, 3])),
        lambda: (drawn(2, 3),),
    ),
    "written": (
        lambda x, y: x.scatter(1, ORDER[:, :2], y[:, :2]) + x.index_add(0, torch.tensor([1, 1]), y, alpha=0.5) + x.index_copy(0, torch.tensor([1, 0]), y)
        + x.index_fill(1, torch.tensor([0]), 2.0) + x.masked_scatter(x > 0, y), lambda: (drawn(2, 3), drawn(2, 3, seed=1))
    ),
    "scatter_reduce": (
        lambda x, y: x.scatter_reduce(1, ORDER, y, "mean") + x.scatter_reduce(1, ORDER, y, "amax") + x.scatter_reduce(1, ORDER, y, "prod", include_self=False),
        lambda: (drawn(2, 3), drawn(2, 3, seed=1)),
    ),
    "where": (lambda x, y: torch.where(x > y, x * y, x.masked_fill(y > 0, 3.0)), lambda: (drawn(9), drawn(9, seed=1))),
    "rest": (
        lambda x, y: torch.fmod(x, y) + torch.remainder(x, y) + x.clamp(-y, y) + x.clamp_min(0.1) + torch.copysign(x, y) + x.frac(),
        lambda: (drawn(9), between(9)),
    ),
    "distances": (lambda x, y: torch.cdist(x, y) + torch.cdist(x, y, p=1.5) + F.pdist(x).sum(), lambda: (drawn(3, 4), drawn(5, 4))),
    "qr lu det": (
        lambda x: torch.linalg.det(x) + torch.linalg.qr(x).R + torch.linalg.lu(x)[1] + torch.linalg.pinv(x).T, lambda: (drawn(4, 4),)
    ),
}  # fmt: skip
MODULES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "LSTM": (lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True), (3, 2, 3)),
    "GRU": (lambda: nn.GRU(3, 4, batch_first=True), (2, 3, 3)),
    "RNN": (lambda: nn.RNN(3, 4, nonlinearity="relu"), (3, 2, 3)),
    "LSTM projected": (lambda: nn.LSTM(3, 4, proj_size=2), (3, 2, 3)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), (2, 3, 8)),
    "TransformerDecoderLayer": (Decoder, (2, 3, 8)),
    "GPT block": (Attention, (2, 3, 8)),
    "CNN": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(),
            nn.Linear(16, 3),
        ),
        (3, 2, 6, 6),
    ),
    "norms": (
        lambda: nn.Sequential(nn.InstanceNorm1d(3, affine=True), nn.LocalResponseNorm(2), nn.GroupNorm(3, 3)),
        (2, 3, 4),
    ),
    "bilinear": (lambda: Twice(nn.Bilinear(3, 3, 2)), (4, 3)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), (4, 3)),
}
