"""The kinds of edits: what may be written in place of a step, drawn at random; `MAKERS` lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, TypeVar

import numpy as np

from ...reference.numbers import numpy_dtype
from .handwritten_network import (
    Array,
    Change,
    Network,
    Quantities,
    derivative,
    loss_derivative,
    product,
    softmax,
    total,
    value,
)

Option = TypeVar("Option")

HIDDEN = ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "identity")


@dataclass(frozen=True)
class Drawing:
    """What an edit is drawn from.

    rng: the number's own;  right: the network without edits on each probe
    alone: whether there is no other edit, so that it may be everywhere
    """

    rng: np.random.Generator
    network: Network
    right: Sequence[Quantities]
    alone: bool

    def one_of(self, options: Sequence[Option]) -> Option:
        return options[int(self.rng.integers(len(options)))]

    def often(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def size(self) -> float:
        """From 1/1000 to 10, log-uniform."""
        return float(10 ** self.rng.uniform(-3, 1))

    def constant(self) -> float:
        """Not only nice ones, of either sign."""
        size = self.one_of((1.01, 1.0001, 0.5, 2.0)) if self.often(0.3) else self.size()
        return -size if self.often(0.3) else size

    def where(self, k: int) -> int | None:
        """Layer k, or at times every layer."""
        return None if self.alone and self.often(0.3) else k


# words, changes by step, layer (None: all) and, where that is the edit, the format rounded to; None: it makes no sense
# in that layer
Made = tuple[str, Mapping[str, Change], int | None] | tuple[str, Mapping[str, Change], int | None, str] | None


# ------------------------------------------------------------------------------------------ operands


def _of_layer(q: Quantities, k: int) -> dict[str, Array]:
    """Quantities of layer k that may be mistaken for its slope."""
    z, a, name = q.z[k], q.a[k], q.network.activations[k]
    slope = derivative(name, z, a)
    at_a = derivative(name, a, value(name, a))
    return {
        "z": z, "a": a, "z²": z * z, "a²": a * a, "(1 − a)": 1 - a, "(1 − a)²": (1 - a) * (1 - a),
        "(1 − a²)": 1 - a * a, "f′(z)": slope, "f′(a)": at_a, "f′(z)²": slope * slope, "1": np.ones_like(z),
    }  # fmt: skip


SINGLE = ("z", "a", "(1 − a)", "a²", "(1 − a)²", "(1 − a²)", "z²", "f′(a)", "f′(z)²", "1")
PAIRS = tuple(combinations_with_replacement(("z", "a", "(1 − a)", "(1 − a²)", "f′(z)", "f′(a)"), 2))


def _slope(d: Drawing, k: int) -> Made:
    name = d.one_of(SINGLE)
    return f"{name} in place of f′(z)", {"slope": lambda right, q, k: _of_layer(q, k)[name]}, k


def _slope_product(d: Drawing, k: int) -> Made:
    one, other = d.one_of(PAIRS)
    third = d.one_of(("", one, other)) if d.often(0.2) else ""

    def slope(_right: Array, q: Quantities, k: int) -> Array:
        quantities = _of_layer(q, k)
        made = quantities[one] * quantities[other]
        return made * quantities[third] if third else made

    return f"{one}·{other}{'·' * bool(third)}{third} in place of f′(z)", {"slope": slope}, k


def _slope_of_another(d: Drawing, k: int) -> Made:
    own = d.network.activations[k]
    other = d.one_of([name for name in HIDDEN if name != own])
    from_a = d.often(0.5)

    def slope(_right: Array, q: Quantities, k: int) -> Array:
        return derivative(other, q.z[k], q.a[k] if from_a else value(other, q.z[k]))

    return f"{other}'s derivative in place of {own}'s{' (from a)' * from_a}", {"slope": slope}, k


def _error(d: Drawing, k: int) -> Made:
    """Something else comes from above."""
    if k == d.network.last:
        return None
    sizes = d.network.sizes
    units, above, outputs = sizes[k + 1], sizes[k + 2], sizes[-1]
    j = int(d.rng.integers(above))
    options: dict[str, Change] = {
        "ones": lambda right, q, k: np.ones_like(right),
        "δ · |W|": lambda right, q, k: product(q.deltas[k + 1], np.abs(q.weights[k + 1])),
        "the sum of the deltas above": lambda right, q, k: right * 0 + total(q.deltas[k + 1], 1)[:, None],
        f"the part of unit {j} above alone": lambda right, q, k: q.deltas[k + 1][:, [j]] * q.weights[k + 1][j : j + 1],
        "∂E/∂a of above · W (no δ)": lambda right, q, k: product(q.errors[k + 1], q.weights[k + 1]),
    }
    if above == outputs and k + 1 < d.network.last:
        options["∂E/∂o · W"] = lambda right, q, k: product(q.errors[q.network.last], q.weights[k + 1])
        options["δ of the output · W"] = lambda right, q, k: product(q.deltas[q.network.last], q.weights[k + 1])
    if units == above:
        options["δ of above without weights"] = lambda right, q, k: q.deltas[k + 1]
        options["δ · Wᵀ"] = lambda right, q, k: product(q.deltas[k + 1], q.weights[k + 1].T)
    if units == outputs and k + 1 < d.network.last:
        options["∂E/∂o"] = lambda right, q, k: q.errors[q.network.last]
    name = d.one_of(list(options))
    return f"{name} in place of ∂E/∂a", {"error": options[name]}, k


def _output_error(d: Drawing, k: int) -> Made:
    if k != d.network.last:
        return None
    formulas: dict[str, Callable[[Array, Array], Array]] = {
        "(o − t)²": lambda o, t: (o - t) * (o - t),
        "(o − t)³": lambda o, t: (o - t) * (o - t) * (o - t),
        "|o − t|": lambda o, t: np.abs(o - t),
        "√|o − t|": lambda o, t: np.sqrt(np.abs(o - t)),
        "sign(o − t)": lambda o, t: np.sign(o - t),
        "o": lambda o, t: o,
        "o + t": lambda o, t: o + t,
        "o² − t²": lambda o, t: o * o - t * t,
        "o · (o − t)": lambda o, t: o * (o - t),
    }
    losses = ("half_squared_error", "squared_error", "binary_cross_entropy", "softmax_cross_entropy")
    others = [loss for loss in losses if loss != d.network.loss]
    name = d.one_of((*formulas, *others))

    def error(_right: Array, q: Quantities, k: int) -> Array:
        return loss_derivative(name, q.a[k], q.targets) if name in others else formulas[name](q.a[k], q.targets)

    return f"{name}{'′' * (name in others)} in place of ∂E/∂o", {"output_error": error}, k


# ------------------------------------------------------------------------------------------ constants


def _times(c: float) -> Change:
    return lambda right, q, k: right * q.number(c)


def _factor(step: str, what: str) -> Callable[[Drawing, int], Made]:
    def made(d: Drawing, k: int) -> Made:
        if (step == "output_error" and k != d.network.last) or (step == "bias_gradient" and not d.network.biased[k]):
            return None
        c = d.constant()
        return f"{what} times {c:.7g}", {step: _times(c)}, k if step == "output_error" else d.where(k)

    return made


def _weight_decay(d: Drawing, k: int) -> Made:
    c = d.constant()
    what = d.one_of(("weights", "biases", "weights and biases") if d.network.biased[k] else ("weights",))
    changes: dict[str, Change] = {}
    if "weights" in what:
        changes["weight_gradient"] = lambda right, q, k: right + q.number(c) * q.weights[k]
    if "biases" in what:
        changes["bias_gradient"] = lambda right, q, k: right + q.number(c) * q.biases[k]
    return f"{c:.7g} times {what} added to the gradients", changes, d.where(k)


def _slope_below_zero(d: Drawing, k: int) -> Made:
    if "relu" not in d.network.activations[k]:
        return None
    c = d.constant()

    def slope(_right: Array, q: Quantities, k: int) -> Array:
        return np.where(q.z[k] > 0, q.number(1), q.number(c))

    return f"slope {c:.7g} below zero", {"slope": slope}, k


def _clipping(d: Drawing, k: int) -> Made:
    last = k == d.network.last
    steps = ["weight_gradient", "output_error" if last else "error", *["bias_gradient"] * d.network.biased[k]]
    step = d.one_of(steps)
    quantile = d.rng.uniform(0.2, 0.95)
    sizes = [np.abs(_right_values(q, step, k).astype(float)).ravel() for q in d.right]
    c = float(np.quantile(np.concatenate(sizes), quantile))
    if not c or not np.isfinite(c):
        return None

    def clipped(right: Array, q: Quantities, _k: int) -> Array:
        return np.clip(right, q.number(-c), q.number(c))

    return f"{step} clipped to ±{c:.7g} (quantile {quantile:.2f})", {step: clipped}, k


def _right_values(q: Quantities, step: str, k: int) -> Array:
    match step:
        case "weight_gradient":
            return q.weight_gradients[k]
        case "bias_gradient":
            return q.bias_gradients[k]
        case "output_error":
            return loss_derivative(q.network.loss, q.a[k], q.targets)
    return q.errors[k]


def _added(d: Drawing, k: int) -> Made:
    c = d.constant()
    step = d.one_of(["weight_gradient", *["bias_gradient"] * d.network.biased[k]])
    return f"{c:.7g} added to the {step}", {step: lambda right, q, k: right + q.number(c)}, k


def _bias_times(d: Drawing, k: int) -> Made:
    if not d.network.biased[k]:
        return None
    c = d.constant()
    return f"bias times {c:.7g} in the forward pass", {"bias": _times(c)}, k


def _z_times(d: Drawing, k: int) -> Made:
    c = d.constant()
    return f"z times {c:.7g} in the forward pass", {"z": _times(c)}, k


# ------------------------------------------------------------------------------------------ axes and parts


def _transposed(d: Drawing, k: int) -> Made:
    if d.network.sizes[k] != d.network.sizes[k + 1]:
        return None
    return "weight gradient transposed", {"weight_gradient": lambda right, q, k: right.T}, k


def _bias_gradient(d: Drawing, k: int) -> Made:
    if not d.network.biased[k]:
        return None
    options: dict[str, Change] = {
        "summed over units too": lambda right, q, k: right * 0 + total(q.deltas[k], None),
        "the rows of the weight gradient, summed": lambda right, q, k: total(q.weight_gradients[k], 1),
        "the rows of the weight gradient, averaged": lambda right, q, k: (
            total(q.weight_gradients[k], 1) / q.number(q.weight_gradients[k].shape[1])
        ),
        "reversed": lambda right, q, k: right[::-1],
    }
    name = d.one_of(list(options))
    return f"bias gradient: {name}", {"bias_gradient": options[name]}, k


def _part(d: Drawing, k: int) -> Made:
    """One element, row or column times a constant."""
    units, inputs = d.network.sizes[k + 1], d.network.sizes[k]
    i, j = int(d.rng.integers(units)), int(d.rng.integers(inputs))
    c = 0.0 if d.often(0.3) else d.constant()
    parts: dict[str, tuple[str, Any]] = {
        f"element [{i}][{j}] of the weight gradient": ("weight_gradient", (i, j)),
        f"row {i} of the weight gradient": ("weight_gradient", (i, slice(None))),
        f"column {j} of the weight gradient": ("weight_gradient", (slice(None), j)),
    }
    if d.network.biased[k]:
        parts[f"unit {i} of the bias gradient"] = ("bias_gradient", i)
    name = d.one_of(list(parts))
    step, part = parts[name]

    def scaled(right: Array, q: Quantities, _k: int) -> Array:
        changed = right.copy()
        changed[part] = changed[part] * q.number(c)
        return changed

    return f"{name} times {c:.7g}", {step: scaled}, k


def _softmax_over_samples(d: Drawing, k: int) -> Made:
    if d.network.activations[k] != "softmax":
        return None
    return "softmax over the samples", {"a": lambda right, q, k: softmax(q.z[k], 0)}, k


# ------------------------------------------------------------------------------------------ samples


def _places(d: Drawing, k: int) -> dict[str, str]:
    """What a mistake with samples may touch: in words, and the step."""
    places = {"weight gradient": "delta for weights", "δ": "delta"}
    if d.network.biased[k]:
        places["bias gradient"] = "delta for bias"
    if k == d.network.last:
        places["everything"] = "delta"
    return places


def _samples_left_out(d: Drawing, k: int) -> Made:
    places = _places(d, k)
    where = d.one_of(list(places))
    which = d.one_of(("first", "last", "middle", "second"))
    alone = d.often(0.4)

    def masked(right: Array, q: Quantities, _k: int) -> Array:
        n = len(right)
        i = {"first": 0, "last": n - 1, "middle": n // 2, "second": min(1, n - 1)}[which]
        chosen = (np.arange(n) == i)[:, None]
        return np.where(chosen if alone else ~chosen, right, q.number(0))

    words = f"{where}: the {which} sample {'alone' if alone else 'dropped'}"
    return words, {places[where]: masked}, k


DIVISORS: dict[str, Callable[[int], float]] = {
    "n − 1": lambda n: n - 1,
    "n − 1, at least 1": lambda n: max(n - 1, 1),
    "n²": lambda n: n * n,
    "n + 1": lambda n: n + 1,
    "n": lambda n: n,
}


def _another_divisor(d: Drawing, k: int) -> Made:
    mean = d.network.reduction == "mean"
    steps = {"weight gradient": "weight_gradient", "δ": "delta"}
    if d.network.biased[k]:
        steps["bias gradient"] = "bias_gradient"
    if k == d.network.last:
        steps["everything"] = "divisor"
    where = d.one_of(list(steps))
    name = d.one_of([name for name in DIVISORS if not (mean and name == "n")])

    def divided(right: Array, q: Quantities, _k: int) -> Array:
        n = len(q.inputs)
        if where == "everything":
            return np.asarray(q.number(DIVISORS[name](n)))
        return (right * q.number(n) if mean else right) / q.number(DIVISORS[name](n))

    return f"{where}: divided by {name}{' in place of n' * mean}", {steps[where]: divided}, k


def _shifted(d: Drawing, k: int) -> Made:
    by = d.one_of((1, -1))
    steps = {"δ against what was received": "delta for weights", "δ": "delta"}
    if k == d.network.last:
        steps["targets"] = "targets"
    where = d.one_of(list(steps))
    return f"{where}: samples shifted by {by}", {steps[where]: lambda right, q, k: np.roll(right, by, 0)}, k


# ------------------------------------------------------------------------------------------ forward


def _another_activation(right_derivative: bool) -> Callable[[Drawing, int], Made]:
    def made(d: Drawing, k: int) -> Made:
        own = d.network.activations[k]
        other = d.one_of([name for name in HIDDEN if name != own])
        changes: dict[str, Change] = {"a": lambda right, q, k: value(other, q.z[k])}
        words = f"{other} in place of {own} forward, with "
        if right_derivative:
            changes["slope"] = lambda right, q, k: derivative(other, q.z[k], q.a[k])
            words += "its derivative"
        elif own != "softmax" and d.often(0.5):
            changes["slope"] = lambda right, q, k: derivative(own, q.z[k], value(own, q.z[k]))
            words += f"{own}'s derivative, from z"
        else:
            words += f"{own}'s derivative, from z and a"
        return words, changes, k

    return made


def _bias_added(d: Drawing, k: int) -> Made:
    if not d.network.biased[k]:
        return None
    c = d.one_of((0.0, 2.0))
    return f"bias {'added twice' if c else 'not added'} in the forward pass", {"bias": _times(c)}, k


def _received(d: Drawing, k: int) -> Made:
    if not k:
        return None
    options: dict[str, Change] = {"z of the layer below": lambda right, q, k: q.z[k - 1]}
    if d.network.sizes[k] == d.network.sizes[0]:
        options["the inputs"] = lambda right, q, k: q.inputs
    name = d.one_of(list(options))
    return f"weight gradient with {name} in place of what was received", {"received for weights": options[name]}, k


# ------------------------------------------------------------------------------------------ formats


OPERANDS = {
    "what is received, in the forward product": "received",
    "the weights, in the forward product": "weights",
    "δ, in the product backward": "delta above",
    "the weights, in the product backward": "weights above",
    "δ, in the weight gradient": "delta for weights",
    "what was received, in the weight gradient": "received for weights",
    "δ, in the bias gradient": "delta for bias",
}


def _rounded(d: Drawing, k: int) -> Made:
    narrower = {"float64": ("float32", "float16", "bfloat16"), "float32": ("float16", "bfloat16")}
    if d.network.dtype not in narrower:
        return None
    format = d.one_of(narrower[d.network.dtype])
    what = d.one_of(list(OPERANDS))
    if (k == d.network.last and "backward" in what) or ("bias" in what and not d.network.biased[k]):
        return None
    dtype = numpy_dtype(format)
    return f"{what}, rounded to {format}", {OPERANDS[what]: lambda right, q, k: right.astype(dtype)}, k, format


# By kind of edit: its family, how often it is drawn, relative to others, and what makes one for a layer.
MAKERS: dict[str, tuple[str, float, Callable[[Drawing, int], Made]]] = {
    "slope replaced": ("operands", 7, _slope),
    "slope replaced by a product": ("operands", 6, _slope_product),
    "another activation's slope": ("operands", 6, _slope_of_another),
    "error from above replaced": ("operands", 14, _error),
    "∂E/∂o replaced": ("operands", 12, _output_error),
    "factor on ∂E/∂o": ("constants", 4, _factor("output_error", "∂E/∂o")),
    "factor on δ": ("constants", 3, _factor("delta", "δ")),
    "factor on the weight gradient": ("constants", 3, _factor("weight_gradient", "weight gradient")),
    "factor on the bias gradient": ("constants", 2, _factor("bias_gradient", "bias gradient")),
    "weight decay": ("constants", 4, _weight_decay),
    "slope below zero": ("constants", 4, _slope_below_zero),
    "clipping": ("constants", 6, _clipping),
    "constant added": ("constants", 3, _added),
    "bias times a constant": ("constants", 3, _bias_times),
    "z times a constant": ("constants", 3, _z_times),
    "weight gradient transposed": ("axes", 6, _transposed),
    "bias gradient from elsewhere": ("axes", 4, _bias_gradient),
    "part scaled": ("axes", 6, _part),
    "softmax over the samples": ("axes", 10, _softmax_over_samples),
    "samples left out": ("samples", 6, _samples_left_out),
    "another divisor": ("samples", 5, _another_divisor),
    "samples shifted": ("samples", 3, _shifted),
    "another activation, its derivative": ("forward", 4, _another_activation(True)),
    "another activation, the old derivative": ("forward", 4, _another_activation(False)),
    "bias left out or twice": ("forward", 3, _bias_added),
    "received replaced": ("forward", 4, _received),
    "operand rounded": ("formats", 7, _rounded),
}
FAMILY = {kind: family for kind, (family, _, _) in MAKERS.items()}
