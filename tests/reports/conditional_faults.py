"""Implementations that are right but for one condition: each is wrong only if something holds of what it is given.

Catalogued to measure how far the standard probes reach. `SEEN` they must see; `BEYOND` names the option that does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

Array = Any
Gradients = tuple[list[Array], list[Array]]
Condition = Callable[[list[Array], list[Array], Array, Array], bool]


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def relu(z: Array) -> Array:
    return np.maximum(z, 0)


def sigmoid_slope(z: Array, a: Array) -> Array:
    return a * (1 - a)


def relu_slope(z: Array, a: Array) -> Array:
    return (z > 0) * 1.0


def ones(z: Array, a: Array) -> Array:
    return np.ones_like(z)


@dataclass(frozen=True)
class Net:
    """A right implementation of any depth. error: δ of the output from (z, a, t)."""

    hidden: Callable[[Array], Array] = sigmoid
    slope: Callable[[Array, Array], Array] = sigmoid_slope
    output: Callable[[Array], Array] = sigmoid
    error: Callable[[Array, Array, Array], Array] = lambda z, a, t: (a - t) * a * (1 - a)

    def forward(self, W: list[Array], B: list[Array], x: Array) -> tuple[list[Array], list[Array]]:
        zs, acts = [], [x]
        for k, (w, b) in enumerate(zip(W, B, strict=True)):
            zs.append(acts[-1] @ w.T + (0 if b is None else b))
            acts.append((self.output if k + 1 == len(W) else self.hidden)(zs[-1]))
        return zs, acts

    def __call__(self, W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
        zs, acts = self.forward(W, B, x)
        delta = self.error(zs[-1], acts[-1], t)
        dw: list[Array] = []
        db: list[Array] = []
        for k in reversed(range(len(W))):
            dw.insert(0, delta.T @ acts[k])
            db.insert(0, delta.sum(axis=0))
            if k:
                delta = (delta @ W[k]) * self.slope(zs[k - 1], acts[k])
        return dw, db


SIGMOID = Net()
RELU = Net(relu, relu_slope, lambda z: z, lambda z, a, t: a - t)
SOFTMAX = Net(sigmoid, sigmoid_slope, softmax, lambda z, a, t: a - t)


@dataclass(frozen=True)
class ConditionalFault:
    """name: wrong only if …;  function: made anew for each use, some count their calls;  options: a user's own"""

    name: str
    make: Callable[[], Callable[..., Gradients]]
    options: dict[str, Any] = field(default_factory=dict)


def doubled(condition: Condition, net: Net = SIGMOID) -> Callable[[], Callable[..., Gradients]]:
    """Every weight gradient twice what it should be, where the condition holds."""

    def f(W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
        dw, db = net(W, B, x, t)
        return ([2 * g for g in dw] if condition(W, B, x, t) else dw), db

    return lambda: f


def changed(change: Callable[[Gradients], Gradients], net: Net = SIGMOID) -> Callable[[], Callable[..., Gradients]]:
    return lambda: lambda W, B, x, t: change(net(W, B, x, t))


def each(change: Callable[[Array], Array]) -> Callable[[Gradients], Gradients]:
    return lambda found: ([change(g) for g in found[0]], [change(g) for g in found[1]])


def from_call(first: int) -> Callable[[], Callable[..., Gradients]]:
    def make() -> Callable[..., Gradients]:
        calls = count(1)

        def f(W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
            dw, db = SIGMOID(W, B, x, t)
            return ([3 * g for g in dw] if next(calls) >= first else dw), db

        return f

    return make


def _clipped_by_norm(found: Gradients) -> Gradients:
    norm = np.sqrt(sum((g**2).sum() for g in found[0]))
    return each(lambda g: g * min(1, 10 / norm))(found)


def _sizes(W: list[Array]) -> list[int]:
    return [W[0].shape[1], *(len(w) for w in W)]


def _largest_z(net: Net) -> Callable[..., float]:
    return lambda W, B, x: max(float(np.abs(z).max()) for z in net.forward(W, B, x)[0])


def _without_duplicates(W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
    rows = np.unique(np.hstack([x, t]), axis=0)
    return SIGMOID(W, B, rows[:, : x.shape[1]], rows[:, x.shape[1] :])


def _transposed_in_2_2_1(W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
    dw, db = SIGMOID(W, B, x, t)
    return ([dw[0].T, *dw[1:]] if _sizes(W) == [2, 2, 1] else dw), db


def _zero_bias_is_none(W: list[Array], B: list[Array], x: Array, t: Array) -> Gradients:
    dw, db = SIGMOID(W, B, x, t)
    return dw, [np.zeros_like(g) if not b.any() else g for g, b in zip(db, B, strict=True)]


def _naive_softmax(z: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def _softmax_minus_the_batch_maximum(z: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=1, keepdims=True)


def _naive_sigmoid(z: Array) -> Array:
    """exp(z) / (1 + exp(z)): ∞ / ∞ for large z."""
    with np.errstate(all="ignore"):
        return np.exp(z) / (1 + np.exp(z))


CE = {"activations": ["sigmoid", "softmax"], "loss": "softmax_cross_entropy"}
LINEAR = {"activations": ["relu", "identity"], "loss": "half_squared_error"}
Z, ZR = _largest_z(SIGMOID), _largest_z(RELU)

SEEN = (
    ConditionalFault("batch above 4", doubled(lambda W, B, x, t: len(x) > 4)),
    ConditionalFault("batch above 16", doubled(lambda W, B, x, t: len(x) > 16)),
    ConditionalFault("batch above 32", doubled(lambda W, B, x, t: len(x) > 32)),
    ConditionalFault("odd batch above 1", doubled(lambda W, B, x, t: len(x) > 1 and len(x) % 2 == 1)),
    ConditionalFault("batch of 2", doubled(lambda W, B, x, t: len(x) == 2)),
    ConditionalFault("batch of 3", doubled(lambda W, B, x, t: len(x) == 3)),
    ConditionalFault("batch of 1", doubled(lambda W, B, x, t: len(x) == 1)),
    ConditionalFault("a layer wider than 4", doubled(lambda W, B, x, t: max(_sizes(W)) > 4)),
    ConditionalFault("a layer wider than 16", doubled(lambda W, B, x, t: max(_sizes(W)) > 16)),
    ConditionalFault("a layer wider than 32", doubled(lambda W, B, x, t: max(_sizes(W)) > 32)),
    ConditionalFault("batch above the width", doubled(lambda W, B, x, t: len(x) > max(_sizes(W)))),
    ConditionalFault("1 layer", doubled(lambda W, B, x, t: len(W) == 1)),
    ConditionalFault("3 or more layers", doubled(lambda W, B, x, t: len(W) >= 3)),
    ConditionalFault("4 layers", doubled(lambda W, B, x, t: len(W) == 4)),
    ConditionalFault("a single output", doubled(lambda W, B, x, t: t.shape[1] == 1)),
    ConditionalFault("a single input", doubled(lambda W, B, x, t: x.shape[1] == 1)),
    ConditionalFault("a single hidden unit", doubled(lambda W, B, x, t: 1 in _sizes(W)[1:-1])),
    ConditionalFault("more outputs than hidden units", doubled(lambda W, B, x, t: len(W) > 1 and len(W[-1]) > W[-1].shape[1])),
    ConditionalFault("square weights everywhere", doubled(lambda W, B, x, t: len(set(_sizes(W))) == 1)),
    ConditionalFault("a transpose in 2-2-1", lambda: _transposed_in_2_2_1),
    ConditionalFault("an input of exactly 0", doubled(lambda W, B, x, t: bool((x == 0).any()))),
    ConditionalFault("a weight of exactly 0", doubled(lambda W, B, x, t: any((w == 0).any() for w in W))),
    ConditionalFault("all inputs 0", doubled(lambda W, B, x, t: not x.any())),
    ConditionalFault("every input 0 or 1", doubled(lambda W, B, x, t: bool(((x == 0) | (x == 1)).all()))),
    ConditionalFault("one-hot inputs", doubled(lambda W, B, x, t: x.shape[1] > 1 and bool(((x == 0).sum(axis=1) == x.shape[1] - 1).all() and (x.max(axis=1) == 1).all()))),
    ConditionalFault("a layer's weights all 0", doubled(lambda W, B, x, t: not all(w.any() for w in W))),
    ConditionalFault("a unit whose weights are all 0", doubled(lambda W, B, x, t: not all(w.any(axis=1).all() for w in W))),
    ConditionalFault("all weights of a layer equal", doubled(lambda W, B, x, t: any(w.size > 1 and bool((w == w[0, 0]).all()) for w in W))),
    ConditionalFault("all targets 0", doubled(lambda W, B, x, t: not t.any())),
    ConditionalFault("all targets 1", doubled(lambda W, B, x, t: bool((t == 1).all()))),
    ConditionalFault("weights of one sign", doubled(lambda W, B, x, t: all(bool((w > 0).all()) for w in W))),
    ConditionalFault("a target of 0", doubled(lambda W, B, x, t: bool((t == 0).any()))),
    ConditionalFault("a target of 1", doubled(lambda W, B, x, t: bool((t == 1).any()))),
    ConditionalFault("all biases 0", doubled(lambda W, B, x, t: not any(b.any() for b in B))),
    ConditionalFault("a bias of 0 taken for none", lambda: _zero_bias_is_none),
    ConditionalFault("an input beyond 2", doubled(lambda W, B, x, t: bool((np.abs(x) > 2).any()))),
    ConditionalFault("an input beyond 100", doubled(lambda W, B, x, t: bool((np.abs(x) > 100).any()))),
    ConditionalFault("an input below 1e-6", doubled(lambda W, B, x, t: bool((np.abs(x) < 1e-6).any()))),
    ConditionalFault("all inputs positive", doubled(lambda W, B, x, t: bool((x > 0).all()))),
    ConditionalFault("all inputs negative", doubled(lambda W, B, x, t: bool((x < 0).all()))),
    ConditionalFault("equal samples left out", lambda: _without_duplicates),
    ConditionalFault("|z| above 5", doubled(lambda W, B, x, t: Z(W, B, x) > 5)),
    ConditionalFault("|z| above 20", doubled(lambda W, B, x, t: Z(W, B, x) > 20)),
    ConditionalFault("|z| above 40, ReLU", doubled(lambda W, B, x, t: ZR(W, B, x) > 40, RELU), LINEAR),
    ConditionalFault("dead for |z| above 5", lambda: Net(slope=lambda z, a: np.where(np.abs(z) > 5, 0, a * (1 - a)), error=lambda z, a, t: (a - t) * np.where(np.abs(z) > 5, 0, a * (1 - a)))),
    ConditionalFault("derivative clipped to [0.01, 0.99]", lambda: Net(slope=lambda z, a: (c := np.clip(a, 0.01, 0.99)) * (1 - c), error=lambda z, a, t: (a - t) * (c := np.clip(a, 0.01, 0.99)) * (1 - c))),
    ConditionalFault("clipped at 1", changed(each(lambda g: np.clip(g, -1, 1)))),
    ConditionalFault("clipped at 5", changed(each(lambda g: np.clip(g, -5, 5)))),
    ConditionalFault("clipped by norm 10", changed(_clipped_by_norm)),
    ConditionalFault("below 1e-6 dropped", changed(each(lambda g: np.where(np.abs(g) < 1e-6, 0, g)))),
    ConditionalFault("ReLU6 for ReLU", lambda: Net(lambda z: np.clip(z, 0, 6), lambda z, a: ((z > 0) & (z < 6)) * 1.0, lambda z: z, lambda z, a, t: a - t), LINEAR),
    ConditionalFault("Huber for squared error", lambda: Net(relu, relu_slope, lambda z: z, lambda z, a, t: np.clip(a - t, -1, 1)), LINEAR),
    ConditionalFault("Huber with δ = 10", lambda: Net(relu, relu_slope, lambda z: z, lambda z, a, t: np.clip(a - t, -10, 10)), LINEAR),
    ConditionalFault("softmax without the maximum", lambda: Net(sigmoid, sigmoid_slope, _naive_softmax, lambda z, a, t: a - t), CE),
    ConditionalFault("softmax minus the batch's maximum", lambda: Net(sigmoid, sigmoid_slope, _softmax_minus_the_batch_maximum, lambda z, a, t: a - t), CE),
    ConditionalFault("softmax, one-hot targets only", doubled(lambda W, B, x, t: bool((t.max(axis=1) == 1).all()), SOFTMAX), CE),
    ConditionalFault("a sigmoid that overflows", lambda: Net(_naive_sigmoid, sigmoid_slope, _naive_sigmoid, lambda z, a, t: (a - t) * a * (1 - a))),
    ConditionalFault("a hidden weight above 10", doubled(lambda W, B, x, t: bool((np.abs(W[0]) > 10).any()))),
    *(ConditionalFault(f"from call {n} on", from_call(n)) for n in (2, 5, 11, 21, 41, 101)),
)  # fmt: skip

# Not seen by the standard probes, and the options with which they are: docs/validate.md lists them.
BEYOND: tuple[tuple[ConditionalFault, dict[str, Any]], ...] = (
    (ConditionalFault("batch above 33", doubled(lambda W, B, x, t: len(x) > 33)), {"batch": 64}),
    (ConditionalFault("a layer wider than 33", doubled(lambda W, B, x, t: max(_sizes(W)) > 33)), {"sizes": (3, 40, 2)}),
    (ConditionalFault("5 or more layers", doubled(lambda W, B, x, t: len(W) >= 5)), {"sizes": (3, 4, 3, 4, 3, 2)}),
    (ConditionalFault("from call 200 on", from_call(200)), {"cases": "many"}),
)
