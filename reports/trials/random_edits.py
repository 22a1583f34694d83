"""Random edits of a backpropagation written by hand: mistakes that nobody has chosen, drawn from their number alone.

The network here is NumPy of its own, and knows neither the reference's rules nor the diagnosis' vocabulary. `run` is
the algorithm, in steps with names (`STEPS`); an `Edit` changes what steps give, in one layer or in all; `MAKERS` are
the kinds of edits, and `draw` makes a network with one edit in it, or with two in different layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...reference.case import Case
from ...reference.diagnosis import Convention, probes
from ...reference.numbers import array_of, numpy_dtype

Array = NDArray[Any]
Option = TypeVar("Option")

BATCHES = (4, 1, 2, 1)  # of the probes, as validation has them
HIDDEN = ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "identity")
FORMATS = {"float64": 0.46, "float32": 0.46, "float16": 0.04, "bfloat16": 0.04}
TWO = 0.3  # share of networks with two edits, in different layers

# What `run` computes, in this order. Forward, per layer: the operands of the product, the bias, z, a. Backward, at the
# output: the targets, ∂E/∂o, what it is divided by; per layer, the last first: the operands of ∂E/∂a, ∂E/∂a, f′(z), δ,
# the operands of ∂E/∂W and ∂E/∂b, and these.
STEPS = (
    "received", "weights", "bias", "z", "a",
    "targets", "output_error", "divisor",
    "delta above", "weights above", "error", "slope", "delta",
    "delta for weights", "received for weights", "delta for bias", "weight_gradient", "bias_gradient",
)  # fmt: skip


# ------------------------------------------------------------------------------------------ a network by hand


@dataclass(frozen=True)
class Network:
    """What the edits are planted in.

    sizes: units per layer, the inputs first;  biased: whether each layer has biases
    fused: whether δ of a cross entropy is written o − t, where no edit is of what that leaves out
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    reduction: str
    biased: tuple[bool, ...]
    dtype: str
    fused: bool

    @property
    def convention(self) -> Convention:
        """How its gradients are meant."""
        return Convention(self.activations, self.loss, self.reduction)

    @property
    def last(self) -> int:
        return len(self.activations) - 1

    def cases(self, batches: Sequence[int], seed: int) -> tuple[Case, ...]:
        """Probes under its convention."""
        drawn = probes(self.sizes, batches, self.biased, self.dtype, seed)
        return tuple(self.convention.applied(case) for case in drawn)

    def __str__(self) -> str:
        sizes = "-".join(map(str, self.sizes))
        biases = "".join("+" if b else "0" for b in self.biased)
        return f"{self.dtype} {sizes} (biases {biases}) {', '.join(self.activations)}, {self.loss}, {self.reduction}"


@dataclass
class Quantities:
    """What one run has computed so far, by layer; `weights`, `biases`, `inputs` and `targets` are the case's.

    errors: ∂E/∂a of each layer, at the output ∂E/∂o;  slopes: f′(z);  scale: what ∂E/∂o was divided by
    """

    network: Network
    weights: list[Array]
    biases: list[Array | None]
    inputs: Array
    targets: Array
    z: dict[int, Array] = field(default_factory=dict)
    a: dict[int, Array] = field(default_factory=dict)
    errors: dict[int, Array] = field(default_factory=dict)
    slopes: dict[int, Array] = field(default_factory=dict)
    deltas: dict[int, Array] = field(default_factory=dict)
    weight_gradients: dict[int, Array] = field(default_factory=dict)
    bias_gradients: dict[int, Array] = field(default_factory=dict)

    def received(self, k: int) -> Array:
        """What layer k receives."""
        return self.a[k - 1] if k else self.inputs

    def number(self, x: float) -> Any:
        """A constant in the network's format."""
        return self.inputs.dtype.type(x)


# From what a step gives rightly, in layer k, to what it gives instead.
Change = Callable[[Array, Quantities, int], Array]


@dataclass(frozen=True)
class Edit:
    """One mistake.

    kind: a key of `MAKERS`;  words: what was planted;  changes: by step
    layer: the only one in which it happens, or None for all
    format: that an operand is rounded to, where that is the edit
    """

    kind: str
    words: str
    changes: Mapping[str, Change]
    layer: int | None
    format: str | None = None

    def __str__(self) -> str:
        return f"{'everywhere' if self.layer is None else f'layer {self.layer}'}: {self.words}"


def run(network: Network, case: Case, edits: Sequence[Edit] = ()) -> Quantities:
    """Forward and backward, with edits."""
    q = Quantities(
        network,
        [array_of(layer.weights, network.dtype) for layer in case.layers],
        [None if layer.biases is None else array_of(layer.biases, network.dtype).reshape(-1) for layer in case.layers],
        array_of(case.inputs, network.dtype),
        array_of(case.targets, network.dtype),
    )

    def step(name: str, k: int, right: Array) -> Array:
        for edit in edits:
            if name in edit.changes and edit.layer in (None, k):
                right = edit.changes[name](right, q, k).astype(right.dtype)
        return right

    with np.errstate(all="ignore"):  # overflow and 0/0 are for the judge to see
        for k, name in enumerate(network.activations):
            z = product(step("received", k, q.received(k)), step("weights", k, q.weights[k]).T)
            bias = q.biases[k]
            q.z[k] = step("z", k, z if bias is None else z + step("bias", k, bias))
            q.a[k] = step("a", k, value(name, q.z[k]))
        _output_delta(network, q, step, {name for e in edits if e.layer in (None, network.last) for name in e.changes})
        for k in range(network.last, -1, -1):
            if k < network.last:
                above = step("delta above", k, q.deltas[k + 1])
                q.errors[k] = step("error", k, product(above, step("weights above", k, q.weights[k + 1])))
                q.slopes[k] = step("slope", k, derivative(network.activations[k], q.z[k], q.a[k]))
                q.deltas[k] = step("delta", k, q.errors[k] * q.slopes[k])
            delta = step("delta for weights", k, q.deltas[k])
            gradient = product(delta.T, step("received for weights", k, q.received(k)))
            q.weight_gradients[k] = step("weight_gradient", k, gradient)
            if q.biases[k] is not None:
                q.bias_gradients[k] = step("bias_gradient", k, total(step("delta for bias", k, q.deltas[k]), 0))
    return q


def _output_delta(network: Network, q: Quantities, step: Callable[[str, int, Array], Array], changed: set[str]) -> None:
    """δ of the last layer; with softmax by its Jacobian, unless its slopes were changed or it is fused."""
    k = network.last
    o, t = q.a[k], step("targets", k, q.targets)
    q.errors[k] = step("output_error", k, loss_derivative(network.loss, o, t))
    divisor = step("divisor", k, np.asarray(q.number(len(o) if network.reduction == "mean" else 1)))
    q.errors[k] = q.errors[k] / divisor
    softmax = network.activations[k] == "softmax"
    q.slopes[k] = o * (1 - o) if softmax else derivative(network.activations[k], q.z[k], o)
    if network.fused and "cross_entropy" in network.loss and not changed & {"output_error", "slope"}:
        delta = (o - t) / divisor
    elif softmax and "slope" not in changed:
        delta = o * (q.errors[k] - total(q.errors[k] * o, 1)[:, None])
    else:
        q.slopes[k] = step("slope", k, q.slopes[k])
        delta = q.errors[k] * q.slopes[k]
    q.deltas[k] = step("delta", k, delta)


def product(left: Array, right: Array) -> Array:
    """The matrix product; 16-bit numbers are added up in float32."""
    wide = np.float32 if left.dtype.itemsize == 2 else left.dtype
    return (left.astype(wide) @ right.astype(wide)).astype(left.dtype)


def total(x: Array, axis: int | None) -> Array:
    """A sum; 16-bit numbers are added up in float32."""
    return np.asarray(x.sum(axis=axis, dtype=np.float32 if x.dtype.itemsize == 2 else x.dtype)).astype(x.dtype)


def value(name: str, z: Array) -> Array:
    """a = f(z)."""
    match name:
        case "sigmoid":
            small = np.exp(-np.abs(z))
            return np.where(z < 0, small, z.dtype.type(1)) / (1 + small)
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(z, z.dtype.type(0))
        case "leaky_relu":
            return np.where(z > 0, z, z.dtype.type(0.01) * z)
        case "softplus":
            return np.maximum(z, z.dtype.type(0)) + np.log1p(np.exp(-np.abs(z)))
        case "softmax":
            return _softmax(z, 1)
    return z


def _softmax(z: Array, axis: int) -> Array:
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return powers / np.expand_dims(total(powers, axis), axis)


def derivative(name: str, z: Array, a: Array) -> Array:
    """f′(z), from z or a, whichever is customary."""
    match name:
        case "sigmoid" | "softmax":  # of softmax, the Jacobian's diagonal
            return a * (1 - a)
        case "tanh":
            return 1 - a * a
        case "relu":
            return (z > 0).astype(z.dtype)
        case "leaky_relu":
            return np.where(z > 0, z.dtype.type(1), z.dtype.type(0.01))
        case "softplus":
            return value("sigmoid", z)
    return np.ones_like(z)


def loss_derivative(name: str, o: Array, t: Array) -> Array:
    """∂E/∂o, of one sample."""
    match name:
        case "squared_error":
            return o.dtype.type(2) * (o - t)
        case "binary_cross_entropy":
            return (o - t) / (o * (1 - o))
        case "softmax_cross_entropy":
            return -t / o
    return o - t


# ------------------------------------------------------------------------------------------ drawing a network


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


@dataclass(frozen=True)
class Edited:
    """A network with its edits, and the probes that it is tried on."""

    network: Network
    cases: tuple[Case, ...]
    edits: tuple[Edit, ...]

    @property
    def kind(self) -> str:
        """The edit's kind; of two, their families."""
        if len(self.edits) == 1:
            return self.edits[0].kind
        return "two: " + " + ".join(sorted(FAMILY[edit.kind] for edit in self.edits))


def draw(number: int) -> Edited:
    """Everything about edit `number`."""
    rng = np.random.default_rng([number, 71])
    two = bool(rng.random() < TWO)
    network = _network(rng, int(rng.integers(2, 4)) if two else int(rng.integers(1, 4)))
    cases = network.cases(BATCHES, number)
    drawing = Drawing(rng, network, [run(network, case) for case in cases], alone=not two)
    layers = rng.choice(network.last + 1, size=1 + two, replace=False)
    return Edited(network, cases, tuple(_edit(drawing, int(k)) for k in layers))


def _network(rng: np.random.Generator, depth: int) -> Network:
    widths = rng.integers(2, 7, depth + 1)
    sizes = tuple(int(n) for n in (np.full(depth + 1, widths[0]) if rng.random() < 0.3 else widths))
    loss = str(rng.choice(["half_squared_error", "squared_error", "binary_cross_entropy", "softmax_cross_entropy"]))
    output = {"binary_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}.get(loss, str(rng.choice(HIDDEN)))
    biased = {
        "all": (True,) * depth,
        "none": (False,) * depth,
        "hidden": (*(True,) * (depth - 1), False),
    }[str(rng.choice(["all", "none", "hidden"], p=[0.7, 0.15, 0.15]))]
    return Network(
        sizes,
        (*(str(name) for name in rng.choice(HIDDEN, depth - 1)), output),
        loss,
        str(rng.choice(["sum", "mean"])),
        biased,
        str(rng.choice(list(FORMATS), p=list(FORMATS.values()))),
        bool(rng.random() < 0.5),
    )


def _edit(drawing: Drawing, k: int) -> Edit:
    """An edit of layer k, of a kind that makes sense there."""
    kinds = list(MAKERS)
    shares = np.array([MAKERS[kind][1] for kind in kinds])
    while True:
        kind = str(drawing.rng.choice(kinds, p=shares / shares.sum()))
        made = MAKERS[kind][2](drawing, k)
        if made is not None:
            return Edit(kind, *made)


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
    return "softmax over the samples", {"a": lambda right, q, k: _softmax(q.z[k], 0)}, k


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
