"""Networks with gradients by hand, right or with a mistake in them, for the checks of any gradient function."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import backproof as bp
import numpy as np
from backproof.reference.judging.field import FieldCheck
from backproof.reference.judging.path import PathCheck
from backproof.reference.numbers import numpy_dtype


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def normal_cdf(z: Any) -> Any:
    return (0.5 * (1 + np.vectorize(math.erf, otypes=[float])(z * math.sqrt(0.5)))).astype(z.dtype)


ACTIVATIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "swish": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1 + z * (1 - sigmoid(z)))),
    "gelu": (
        lambda z: z * normal_cdf(z),
        lambda z: normal_cdf(z) + z * np.exp(-z * z / 2) * z.dtype.type(1 / math.sqrt(2 * math.pi)),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))).astype(z.dtype),
    ),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
}


class Net:
    """An MLP with softmax cross-entropy or ½ squared error, a mean over samples, L2 and a fixed dropout mask.

    fault: a mistake in the gradient of the hidden layer with this number (from 0), or of all: (name, layer)
    """

    def __init__(
        self, seed: int, *activations: str, sizes: tuple[int, ...] = (3, 4, 4, 2), dtype: str = "float64",
        loss: str = "softmax", dropout: bool = False, fault: tuple[Any, ...] = (),
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        self.dtype = numpy_dtype(dtype)
        self.activations, self.loss, self.fault = activations, loss, fault
        self.x = rng.standard_normal((5, sizes[0])).astype(self.dtype)
        self.t = np.eye(sizes[-1])[rng.integers(0, sizes[-1], 5)].astype(self.dtype)
        self.decay = self.dtype.type(0.0625)
        self.masks = [((rng.random((5, n)) < 0.7) / 0.7).astype(self.dtype) if dropout else None for n in sizes[1:-1]]
        self.parameters = [
            rng.standard_normal(shape).astype(self.dtype) / self.dtype.type(2)
            for a, b in pairwise(sizes)
            for shape in ((b, a), (b,))
        ]

    def value_and_gradient(self, p: Any) -> tuple[Any, list[Any]]:  # noqa: PLR0912 -- a branch for each mistake
        mistake, where = (*self.fault, None, None)[:2]
        last = len(p) // 2 - 1
        a, seen = self.x, []
        for k in range(last + 1):
            z = a @ p[2 * k].T + p[2 * k + 1]
            seen.append((a, z))
            a = z
            if k < last:
                a = ACTIVATIONS[self.activations[k]][0](z)
                a = a if self.masks[k] is None else a * self.masks[k]
        n = self.dtype.type(len(self.x))
        if self.loss == "softmax":
            shifted = a - a.max(axis=1, keepdims=True)
            sums = np.exp(shifted).sum(axis=1, keepdims=True)
            value = -(self.t * (shifted - np.log(sums))).sum() / n
            delta = (np.exp(shifted) / sums - self.t) / n
        else:
            value, delta = ((a - self.t) ** 2).sum() / (2 * n), (a - self.t) / n
        gradients: list[Any] = [None] * len(p)
        for k in reversed(range(last + 1)):
            a, z = seen[k]
            here = mistake if k == where else None
            if k < last:
                value_of, slope = ACTIVATIONS[self.activations[k]]
                if self.masks[k] is not None and mistake != "no mask":
                    delta = delta * self.masks[k]
                if here == "derivative squared wrongly":
                    delta = delta * (1 - value_of(z)) ** 2
                elif here == "incoming gradient dropped":
                    delta = slope(z)
                elif here != "derivative left out":
                    delta = delta * slope(z)
            w = p[2 * k]
            gradients[2 * k : 2 * k + 2] = delta.T @ a + self.decay * w, delta.sum(axis=0)
            if here == "bias of the first sample":
                gradients[2 * k + 1] = delta[0]
            if here == "factor" or mistake == "factor on all":
                factor = self.dtype.type(self.fault[2])
                gradients[2 * k : 2 * k + 2] = [g * factor for g in gradients[2 * k : 2 * k + 2]]
            if here == "transposed":
                w = w.T
            if here == "updated below":
                w = w - self.dtype.type(0.25) * gradients[2 * k]
            delta = delta @ w
        value = value + self.decay / 2 * sum((w * w).sum() for w in p[::2])
        return value, [g.astype(self.dtype) for g in gradients]

    def gradient(self, p: Any) -> list[Any]:
        return self.value_and_gradient(p)[1]

    def field(self, **options: Any) -> FieldCheck:
        return bp.check_field(self.gradient, self.parameters, **options)

    def path(self, **options: Any) -> PathCheck:
        return bp.check_path(self.value_and_gradient, self.parameters, **options)


LAYERS = {f"layer {k + 1}": [f"at[{2 * k}]", f"at[{2 * k + 1}]"] for k in range(3)}
PATH_LAYERS = {name: [leaf.replace("at", "start") for leaf in leaves] for name, leaves in LAYERS.items()}


def uncertainty(path: PathCheck) -> float:
    """By how much the factor of the path that knows it best may be off."""
    return max(p.tolerance / abs(p.integral) for p in path.paths)
