"""PyTorch's losses, drawn with their options for `torch_networks.py`."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from .drawn import Dice
from .torch_networks import Subject, leaf

Loss = Callable[..., Tensor]
REDUCTIONS = ("mean", "sum", "none")


def loss(thrown: Dice, dtype: torch.dtype) -> Subject:
    """One of the losses, of a batch or of one sample."""
    name = thrown.one_of(list(LOSSES))
    reduction = thrown.one_of(REDUCTIONS)
    shape = (thrown.batch(), thrown.size())
    words, function, inputs = LOSSES[name](thrown, dtype, shape, reduction)
    # and on CUDA one of many classes may have no gradient
    finding = "compiled, labels of -1 are not left out (pytorch#141017)" if name == "multilabel_margin_loss" else ""
    return Subject(f"{name}, {'×'.join(map(str, shape))}, {reduction}{words}", function, inputs, finding)


Made = tuple[str, Loss, tuple[Any, ...]]
Shape = tuple[int, int]


def _of_differences(name: str) -> Callable[[Dice, torch.dtype, Shape, str], Made]:
    def made(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
        option = {"smooth_l1_loss": "beta", "huber_loss": "delta"}.get(name)
        more = {option: thrown.one_of((0.3, 1.0, 2.0))} if option else {}
        x, y = leaf(thrown, shape, dtype), leaf(thrown, shape, dtype, grad=thrown.flag(0.4))
        return f"{more or ''}", lambda x, y: getattr(F, name)(x, y, reduction=reduction, **more), (x, y)

    return made


def _binary(logits: bool) -> Callable[[Dice, torch.dtype, Shape, str], Made]:
    def made(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
        y = torch.tensor(thrown.rng.random(shape)).round(decimals=thrown.one_of((0, 2))).to(dtype)
        more: dict[str, Any] = {"weight": leaf(thrown, shape, dtype, grad=False).abs()} if thrown.flag(0.3) else {}
        if not logits:

            def of_probabilities(x: Tensor) -> Tensor:
                return F.binary_cross_entropy(torch.sigmoid(x), y, reduction=reduction, **more)

            return f", {', '.join(more)}", of_probabilities, (leaf(thrown, shape, dtype),)
        if thrown.flag(0.3):
            more["pos_weight"] = leaf(thrown, shape[1:], dtype, grad=False).abs() + 0.5

        def of_logits(x: Tensor) -> Tensor:
            return F.binary_cross_entropy_with_logits(x, y, reduction=reduction, **more)

        return f", {', '.join(more)}", of_logits, (leaf(thrown, shape, dtype, 2.0),)

    return made


def _classes(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    more: dict[str, Any] = {}
    axes = (2,) if thrown.flag(0.3) else ()
    if thrown.flag(0.3):
        more["weight"] = leaf(thrown, shape[1:], dtype, grad=False).abs() + 0.3
    if thrown.flag(0.4):
        more["label_smoothing"] = 0.1
    x = leaf(thrown, (*shape, *axes), dtype)
    if thrown.flag(0.3):
        y = leaf(thrown, (*shape, *axes), dtype, grad=False).softmax(1)
        return f", {', '.join(more)}, probabilities", lambda x: F.cross_entropy(x, y, reduction=reduction, **more), (x,)
    labels = torch.tensor(thrown.rng.integers(0, shape[1], (shape[0], *axes)))
    if thrown.flag(0.3) and len(set(labels.flatten().tolist())) > 1:
        more["ignore_index"] = int(labels.flatten()[0])
    return f", {', '.join(more)}", lambda x: F.cross_entropy(x, labels, reduction=reduction, **more), (x,)


def _likelihood(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    labels = torch.tensor(thrown.rng.integers(0, shape[1], shape[:1]))
    weight = leaf(thrown, shape[1:], dtype, grad=False).abs() + 0.3 if thrown.flag() else None

    def function(x: Tensor) -> Tensor:
        return F.nll_loss(F.log_softmax(x, -1), labels, weight, reduction=reduction)

    return ", weight" if weight is not None else "", function, (leaf(thrown, shape, dtype),)


def _divergence(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    logs, mean = thrown.flag(), thrown.flag(0.3)
    y = leaf(thrown, shape, dtype, grad=thrown.flag())

    def function(x: Tensor, y: Tensor) -> Tensor:
        target = y.log_softmax(-1) if logs else y.softmax(-1)
        return F.kl_div(x.log_softmax(-1), target, log_target=logs, reduction="batchmean" if mean else reduction)

    return f", {logs=}, batchmean={mean}", function, (leaf(thrown, shape, dtype), y)


def _poisson(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    logs, full = thrown.flag(), thrown.flag()
    y = leaf(thrown, shape, dtype, 3.0, grad=False).abs().round()

    def function(x: Tensor) -> Tensor:
        return F.poisson_nll_loss(x if logs else x * x + 0.5, y, log_input=logs, full=full, reduction=reduction)

    return f", {logs=}, {full=}", function, (leaf(thrown, shape, dtype),)


def _gaussian(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    full = thrown.flag()

    def function(x: Tensor, y: Tensor, s: Tensor) -> Tensor:
        return F.gaussian_nll_loss(x, y, s * s + 0.4, full=full, reduction=reduction)

    return f", {full=}", function, tuple(leaf(thrown, shape, dtype) for _ in range(3))


def _signed(name: str) -> Callable[[Dice, torch.dtype, Shape, str], Made]:
    """With a target of ones and minus ones."""

    def made(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
        rows = name in ("cosine_embedding_loss", "margin_ranking_loss")
        signs = torch.tensor(thrown.rng.integers(0, 2, shape[:1] if rows else shape) * 2 - 1).to(dtype)
        more = {} if name == "soft_margin_loss" else {"margin": thrown.one_of((0.0, 0.5, 1.0))}
        count = 2 if rows else 1
        of = shape[:1] if name == "margin_ranking_loss" else shape

        def function(*x: Tensor) -> Tensor:
            return getattr(F, name)(*x, signs, reduction=reduction, **more)

        return f"{more or ''}", function, tuple(leaf(thrown, of, dtype) for _ in range(count))

    return made


def _labels(name: str) -> Callable[[Dice, torch.dtype, Shape, str], Made]:
    def made(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
        y = torch.tensor(thrown.rng.integers(0, shape[1], shape[:1]))
        more: dict[str, Any] = {"p": thrown.one_of((1, 2)), "margin": 0.8} if name == "multi_margin_loss" else {}
        if name == "multilabel_margin_loss":
            y = torch.full(shape, -1)
            y[:, 0] = torch.tensor(thrown.rng.integers(0, shape[1], shape[:1]))
        elif name == "multilabel_soft_margin_loss":
            y = torch.tensor(thrown.rng.integers(0, 2, shape)).to(dtype)

        def function(x: Tensor) -> Tensor:
            return getattr(F, name)(x, y, reduction=reduction, **more)

        return f"{more or ''}", function, (leaf(thrown, shape, dtype),)

    return made


def _triplet(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    swap, p = thrown.flag(0.3), thrown.one_of((1.5, 2.0))

    def function(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        return F.triplet_margin_loss(a, b, c, p=p, swap=swap, reduction=reduction)

    return f", {p=}, {swap=}", function, tuple(leaf(thrown, shape, dtype) for _ in range(3))


def _connectionist(thrown: Dice, dtype: torch.dtype, shape: Shape, reduction: str) -> Made:
    wide = torch.float32 if dtype is torch.bfloat16 else dtype
    steps, batch, classes = 4, min(shape[0], 2), 3
    y = torch.tensor(thrown.rng.integers(1, classes, (batch, 2)))

    def function(x: Tensor) -> Tensor:
        lengths = torch.full((batch,), steps), torch.full((batch,), 2)
        return F.ctc_loss(x.log_softmax(-1), y, *lengths, reduction=reduction)

    return "", function, (leaf(thrown, (steps, batch, classes), wide),)


LOSSES: dict[str, Callable[[Dice, torch.dtype, Shape, str], Made]] = {
    **{name: _of_differences(name) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")},
    "binary_cross_entropy": _binary(False),
    "binary_cross_entropy_with_logits": _binary(True),
    "cross_entropy": _classes,
    "nll_loss": _likelihood,
    "kl_div": _divergence,
    "poisson_nll_loss": _poisson,
    "gaussian_nll_loss": _gaussian,
    **{
        name: _signed(name)
        for name in ("hinge_embedding_loss", "margin_ranking_loss", "soft_margin_loss", "cosine_embedding_loss")
    },
    **{name: _labels(name) for name in ("multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss")},
    "triplet_margin_loss": _triplet,
    "ctc_loss": _connectionist,
}
