"""A dense network too large to be held in memory, judged one layer after the other, each matrix a block at a time.

Every rule is checked on the implementation's own numbers, as in `stepwise.py`: a layer needs of its neighbours their
activations and δ only, batch × units numbers. Of its own weights and gradients some rows are read at a time (for z and
∂E/∂W), then some columns (for the error that it hands down), so that arrays may be mapped from files.

A block is judged as an array by itself: an element is undecided where its bound reaches the largest of its block, and
the statistical tests of scale are those of the blocks. The exact results are known as float64 gives them, with its own
error added to the tolerance, at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import SOFTMAX, Activation
from ..backprop import RULES, Layer, Objective
from ..case import Case, Dense, InvalidInput, known_activation, one_of
from ..numbers import CHANNELS, PROFILES, Bounded, BoundedArithmetic
from .comparing import SHOWN, compared
from .expected import around_own_value
from .judgement import moment
from .layer_gradient import VECTORS, LayerGradientCheck, check_layer_gradient
from .observation import Place
from .verdict import SEVERITY, Comparison, Verdict

Array = NDArray[Any]

NUMBERS_AT_A_TIME = 2**20  # of a matrix; the bounds of a block are a few times as large


@dataclass(frozen=True, eq=False)
class ShownLayer:
    """A layer, and what an implementation computed there. Arrays may be mapped from files.

    Attributes:
        weights: units × inputs
        biases: one per unit, or None for none
        activation: a name that `Dense` takes
        pre_activations: z, batch × units
        activations: f(z), batch × units
        deltas: ∂E/∂z, batch × units
        weight_gradients: units × inputs
        bias_gradients: one per unit; None is not judged
    """

    weights: Array
    biases: Array | None
    activation: str | Activation
    pre_activations: Array
    activations: Array
    deltas: Array
    weight_gradients: Array
    bias_gradients: Array | None = None


@dataclass(frozen=True)
class LayersJudgement:
    """What `judge_layers` found.

    Attributes:
        comparisons: of each array that was compared number by number, in the order of computing
        probabilistic: of each layer's weight gradient, where Freivalds' check was asked for; else empty
        parameters: weights and biases
        precision: what it was judged as
        unseen: the arrays that were not given, with their sizes
    """

    comparisons: tuple[Comparison, ...]
    probabilistic: tuple[LayerGradientCheck, ...]
    parameters: int
    precision: str
    unseen: tuple[tuple[Place, int], ...] = ()

    @property
    def verdict(self) -> Verdict:
        found = {c.verdict for c in self.comparisons} | {c.verdict for c in self.probabilistic}
        return next(verdict for verdict in SEVERITY if verdict in found)

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.AGREES

    @property
    def wrong(self) -> tuple[Place, ...]:
        """Where numbers are wrong, in the order of computing: the first is where it begins."""
        places = [c.place for c in self.comparisons if c.wrong]
        places += [Place("weight_gradients", k) for k, c in enumerate(self.probabilistic) if c.wrong]
        return tuple(sorted(places, key=moment))

    def __str__(self) -> str:
        of = f"{self.parameters:,} parameters, {self.precision}"
        lines = [f"{self.verdict.value}: {of}{', begins in ' + str(self.wrong[0]) if self.wrong else ''}"]
        for c in self.comparisons:
            if c.verdict in {Verdict.WRONG, Verdict.SUSPECT}:
                lines.append(f"  {c.place}: {c.wrong or c.suspect} of {c.elements:,} numbers are {c.verdict.value}")
                lines += [
                    f"    [{', '.join(map(str, e.index))}] expected {e.expected:.9g}, got {e.got:.9g}, "
                    f"tolerance {e.tolerance:.3g}"
                    for e in c.worst[:2]
                ]
        for k, check in enumerate(self.probabilistic):
            said = [" ".join(str(check).split())] if not check.wrong else str(check).splitlines()
            lines += [f"  weight_gradients[{k}]: {said[0]}", *(f"  {line}" for line in said[1:])]
        if undecided := sum(c.undecided for c in self.comparisons):
            lines.append(f"  undecided: {undecided:,} of {sum(c.elements for c in self.comparisons):,} numbers")
        if self.unseen:
            numbers = sum(size for _, size in self.unseen)
            lines.append(
                f"  not given, and not judged: {', '.join(str(p) for p, _ in self.unseen)}: {numbers:,} numbers"
            )
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Below:
    """What a layer receives, and what its error is compared with: the batch's numbers of the layer below."""

    activation: Activation
    z: Array
    a: Array
    delta: Array


ARRAYS = (
    "weights", "biases", "pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients",
)  # fmt: skip
OPTIONAL = ("biases", "bias_gradients")


def layers_in(folder: Path, activations: Sequence[str | Activation]) -> Iterator[ShownLayer]:
    """The layers of a net in files, mapped one after the other: 0.weights.npy, 0.deltas.npy, …, 1.weights.npy, …

    Args:
        folder: of `.npy` files, named by the layer, from 0 on, and by `ShownLayer`'s attributes
        activations: one a layer, first to last

    Raises:
        InvalidInput: a file that is missing or that NumPy cannot map.
    """
    for k, activation in enumerate(activations):
        arrays = {name: _mapped(folder / f"{k}.{name}.npy", name in OPTIONAL) for name in ARRAYS}
        yield ShownLayer(activation=activation, **arrays)


def _mapped(path: Path, optional: bool) -> Any:
    if optional and not path.exists():
        return None
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidInput(f"{path}: expected an array as numpy.save writes it; {said}.") from error


def judge_layers(
    layers: Iterable[ShownLayer],
    inputs: Any,
    targets: Any,
    *,
    loss: str = "half_squared_error",
    reduction: str = "sum",
    precision: str | None = None,
    probabilistic: bool = False,
    vectors: int = VECTORS,
    seed: int = 0,
) -> LayersJudgement:
    """Whether every number of a dense network's forward and backward pass is what it may be, a layer at a time.

    Args:
        layers: first to last; read once, so that a generator may load each when it is asked for
        inputs: batch × inputs
        targets: batch × outputs
        loss: as a `Case` has it
        reduction: sum or mean
        precision: what was computed in, a profile such as "tf32"; by default the format of the first weight gradient
        probabilistic: weight gradients by `check_layer_gradient`, which computes none of them; its chances are said
        vectors: of that check, an element is missed with a probability of at most 2⁻ᵏ
        seed: of its signs

    Raises:
        InvalidInput: shapes that do not fit each other, names and formats that there are not, no layer.
    """
    own = _Layers(np.asarray(inputs), precision, probabilistic, vectors, seed)
    with np.errstate(all="ignore"):
        for k, layer in enumerate(layers):
            own.read(k, layer)
        own.end(np.asarray(targets), loss, reduction)
    assert own.precision is not None
    ordered = tuple(sorted(own.comparisons, key=lambda c: moment(c.place)))
    return LayersJudgement(ordered, tuple(own.checks), own.parameters, own.precision, tuple(own.unseen))


class _Layers:
    """The judgement so far, and what the next layer needs of it."""

    def __init__(self, inputs: Array, precision: str | None, probabilistic: bool, vectors: int, seed: int) -> None:
        self.received = _matrix("inputs", inputs, None, "batch × inputs")
        self.precision, self.probabilistic, self.vectors, self.seed = precision, probabilistic, vectors, seed
        self.below: _Below | None = None
        self.comparisons: list[Comparison] = []
        self.checks: list[LayerGradientCheck] = []
        self.parameters = 0
        self.unseen: list[tuple[Place, int]] = []
        _refuse_what_is_no_number("inputs", self.received)

    def read(self, k: int, shown: ShownLayer) -> None:
        """All of a layer's steps but its δ, which the layer above explains; and the δ of the layer below."""
        activation = known_activation(f"layers[{k}].activation", shown.activation)
        if self.below is not None and self.below.activation is SOFTMAX:
            raise InvalidInput(f"layers[{k - 1}].activation: softmax is for the output layer only.")
        _check(k, shown, self.received.shape)
        self.precision = self.precision or str(shown.weight_gradients.dtype.name)
        one_of("precision", self.precision, PROFILES)
        self.ar = ar = BoundedArithmetic(PROFILES[self.precision], len(CHANNELS))
        z, a, delta = (np.array(x) for x in (shown.pre_activations, shown.activations, shown.deltas))
        self.parameters += shown.weights.size + (0 if shown.biases is None else shown.biases.size)

        if shown.biases is not None:
            _refuse_what_is_no_number(f"layers[{k}].biases", shown.biases)
            if shown.bias_gradients is None:
                self.unseen.append((Place("bias_gradients", k), shown.biases.size))
        received, lifted_z = ar.lift(self.received), ar.lift(z)
        for rows in _parts(len(shown.weights), shown.weights.shape[1]):
            biases = None if shown.biases is None else ar.lift(shown.biases[rows].reshape(1, -1))
            _refuse_what_is_no_number(f"layers[{k}].weights", shown.weights[rows], rows.start)
            layer = Layer(ar.lift(shown.weights[rows]), biases, activation)
            self._compare("pre_activations", k, z[:, rows], RULES.preactivation(layer, received, ar), (0, rows.start))
            part = ar.lift(delta[:, rows])
            if shown.bias_gradients is not None:
                got = shown.bias_gradients[rows].reshape(1, -1)
                self._compare("bias_gradients", k, got, RULES.bias_gradient(part, ar), (0, rows.start))
            if not self.probabilistic:
                expected = RULES.weight_gradient(part, received, ar)
                self._compare("weight_gradients", k, shown.weight_gradients[rows], expected, (rows.start, 0))
        self._compare("activations", k, a, RULES.activation(Layer(None, None, activation), lifted_z, ar))
        if self.probabilistic:
            self.checks.append(
                check_layer_gradient(
                    delta, self.received, shown.weight_gradients,
                    precision=self.precision, vectors=self.vectors, seed=self.seed + k,
                )
            )  # fmt: skip
        if self.below is not None:
            self._delta_below(k, shown.weights, ar.lift(delta))
        self.below, self.received = _Below(activation, z, a, delta), a

    def _delta_below(self, k: int, weights: Array, delta: Bounded) -> None:
        assert self.below is not None
        ar, below = self.ar, self.below
        layer = Layer(None, None, below.activation)
        for columns in _parts(weights.shape[1], len(weights)):
            error = RULES.hidden_error(Layer(ar.lift(weights[:, columns]), None, below.activation), delta, ar)
            z, a = ar.lift(below.z[:, columns]), ar.lift(below.a[:, columns])
            expected = RULES.hidden_delta(layer, z, ar.as_computed(below.activation, z, a), error, ar)
            self._compare("deltas", k - 1, below.delta[:, columns], expected, (0, columns.start))

    def end(self, targets: Array, loss: str, reduction: str) -> None:
        """The δ of the output layer, from the loss."""
        if self.below is None or self.precision is None:
            raise InvalidInput("layers: expected at least one layer, got none.")
        _refuse_what_is_no_number("targets", np.asarray(targets))
        ar, top = self.ar, self.below
        objective = _objective(top, targets, loss, reduction, PROFILES[self.precision].storage.name)
        z, a = ar.lift(top.z), ar.lift(top.a)
        error = RULES.output_error(objective, a, ar.lift(targets), ar)
        a = ar.as_computed(None if top.activation is SOFTMAX else top.activation, z, a)
        layer = Layer(None, None, top.activation)
        k = max(c.place.layer or 0 for c in self.comparisons)
        self._compare("deltas", k, top.delta, RULES.output_delta(layer, z, a, error, ar))

    def _compare(self, quantity: str, k: int, got: Array, expected: Bounded, at: tuple[int, int] = (0, 0)) -> None:
        """A block that begins `at` this row and column; with what was found of the array before it."""
        place = Place(quantity, k)
        found = compared(place, got, around_own_value(expected), None)
        moved = [
            replace(e, index=tuple(i + start for i, start in zip(e.index, at[-len(e.index) :], strict=True)))
            for e in found.worst
        ]
        found = replace(found, worst=tuple(moved))
        before = next((n for n, c in enumerate(self.comparisons) if c.place == place), None)
        if before is None:
            self.comparisons.append(found)
        else:
            self.comparisons[before] = _together(self.comparisons[before], found)


def _together(one: Comparison, other: Comparison) -> Comparison:
    """Two blocks of one array."""
    worst = sorted((*one.worst, *other.worst), key=lambda e: -e.ratio)
    if one.wrong or other.wrong:
        worst = [e for e in worst if e.ratio > 1]

    def largest(name: str) -> float | None:
        return max((x for c in (one, other) if (x := getattr(c, name)) is not None), default=None)

    return Comparison(
        place=one.place,
        elements=one.elements + other.elements,
        undecided=one.undecided + other.undecided,
        wrong=one.wrong + other.wrong,
        suspect=one.suspect + other.suspect,
        largest_ulps=None,
        largest_ratio=largest("largest_ratio"),
        largest_error=largest("largest_error"),
        digits=min((x for c in (one, other) if (x := c.digits) is not None), default=None),
        scale_error=largest("scale_error"),
        worst=tuple(worst[:SHOWN]),
        aggregates=(*one.aggregates, *other.aggregates),
        undecided_because=tuple(dict.fromkeys((*one.undecided_because, *other.undecided_because))),
    )


def _parts(lines: int, length: int) -> Iterator[slice]:
    """So many rows, or columns, of this length at a time."""
    step = max(1, NUMBERS_AT_A_TIME // length)
    for start in range(0, lines, step):
        yield slice(start, min(start + step, lines))


def _objective(top: _Below, targets: Array, loss: str, reduction: str, dtype: str) -> Objective:
    """The loss as a case has it, with the checks that a case does of it and of the targets."""
    batch, units = top.a.shape
    zeros = np.zeros((units, 1), targets.dtype), np.zeros((batch, 1), targets.dtype)
    output = Dense(zeros[0], None, top.activation.name)
    return Case("output", (output,), zeros[1], targets, loss, reduction, dtype=dtype).objective


def _check(k: int, shown: ShownLayer, received: Sequence[int]) -> None:
    """Shapes and formats. Raises InvalidInput."""
    batch, inputs = received
    weights = _matrix(f"layers[{k}].weights", shown.weights, (None, inputs), "units × inputs")
    units = len(weights)
    for name in ("pre_activations", "activations", "deltas"):
        _matrix(f"layers[{k}].{name}", getattr(shown, name), (batch, units), "batch × units")
    _matrix(f"layers[{k}].weight_gradients", shown.weight_gradients, (units, inputs), "units × inputs")
    for name in ("biases", "bias_gradients"):
        given = getattr(shown, name)
        if given is not None and np.shape(given) != (units,):
            raise InvalidInput(f"layers[{k}].{name}: expected {units} numbers, one per unit, got {_shape(given)}.")


def _refuse_what_is_no_number(place: str, given: Array, first_row: int = 0) -> None:
    """Raises InvalidInput for NaN and ∞ in what an implementation was given: of what it made of it nothing is known."""
    finite = np.isfinite(np.asarray(given, np.float64))
    if not finite.all():
        index = [int(i) for i in np.argwhere(~finite)[0]]
        index[0] += first_row
        raise InvalidInput(f"{place}{index}: expected finite numbers, got {given[tuple(np.argwhere(~finite)[0])]}.")


def _matrix(place: str, given: Any, wanted: tuple[int | None, int] | None, meaning: str) -> Array:
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    fits = array.ndim == 2 and array.size > 0
    if not fits or (wanted and any(w not in (None, n) for w, n in zip(wanted, array.shape, strict=True))):
        expected = f"{' × '.join('any' if n is None else str(n) for n in wanted)} ({meaning})" if wanted else meaning
        raise InvalidInput(f"{place}: expected {expected}, got {_shape(array)}.")
    if array.dtype.name not in PROFILES:
        raise InvalidInput(f"{place}: expected an array of {', '.join(PROFILES)}; got {array.dtype.name}.")
    return array


def _shape(given: Any) -> str:
    return " × ".join(map(str, np.shape(given))) or "a number"
