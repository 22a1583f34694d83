"""The algorithm run step by step on an implementation's own numbers: each rule is checked by itself.

From end to end, worst-case bounds grow with depth until they say nothing. So every rule gets what the implementation
itself was seen to have at that point (z from *its* activations of the layer below, δ from *its* δ above, …), and what
the rule makes of it is what the implementation's next number should be. Such bounds do not depend on depth, and the
step that fails is the faulty one.

It is the reference's own `forward`, `backward` and `delta_rule` that run; only what they hand on is exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import SOFTMAX
from ..backprop import RULES, Layer, Rules
from ..case import Case, run
from ..numbers import U64, WORST, Arithmetic, Bounded, BoundedArithmetic, Matrix, Profile, exactly
from .observation import Observation, Place, observed

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """Numbers of an implementation, in the reference's shape.

    value: what it had;  error: how far that may be from what it used, None for not at all
    source: the place that `value` was worked out from; None where it was shown as it is
    """

    value: Array
    error: Array | None = None
    source: Place | None = None


Evidence = Mapping[Place, Seen]


def as_matrix(place: Place, array: NDArray[Any]) -> NDArray[Any]:
    """An observed array in the reference's shape: vectors are 1 × units and the loss is 1 × 1."""
    return array.reshape(1, -1) if place.quantity in ("loss", "bias_gradients", "updated_biases") else array


def evidence(case: Case, observation: Observation, profile: Profile) -> dict[Place, Seen]:
    """What the observation shows, and what can be worked out from it."""
    return worked_out(case, matrices(observation), profile)


def matrices(observation: Observation) -> dict[Place, Array]:
    """Everything that the observation shows, each as a matrix."""
    return {place: as_matrix(place, array) for place, array in observed(observation)}


def worked_out(case: Case, shown: Mapping[Place, Array], profile: Profile, pure: bool = True) -> dict[Place, Seen]:
    """What is shown, as float64, and what can be worked out from it.

    shown: from `matrices`
    - gradient = (old − new) / rate, where only the updated weights are shown; the error is that of the subtraction
    - with one sample, the bias gradient is δ itself
    - with one sample, ∂E/∂W[i][j] = δ[i] · a[j]: with δ known, the row of the largest δ gives the activations below
    pure: whether these hold: not with a penalty on the weights, or for each sample, which a step may add by itself
    """
    if case.online:
        return {}  # what it had between samples does not show
    needed = case.batch == 1 or any(place.quantity.startswith("updated") for place in shown)
    seen = {
        place: Seen(np.asarray(array, np.float64))
        for place, array in shown.items()
        if needed or "gradients" not in place.quantity  # nothing follows from a gradient but δ and updates
    }
    unit = profile.storage.unit_roundoff
    for k, layer in enumerate(case.layers):
        olds = {"weight": layer.weights, "bias": None if layer.biases is None else [layer.biases]}
        for kind, old in olds.items():
            gradient, updated = Place(f"{kind}_gradients", k), Place(_UPDATED[kind], k)
            if gradient in seen or updated not in seen or old is None or case.learning_rate is None or not pure:
                continue
            new, before = seen[updated].value, np.array(old, np.float64, ndmin=2)
            with np.errstate(all="ignore"):
                change = before - new
                error = unit * (np.abs(new) + 2 * np.abs(change)) + U64 * np.abs(change) + profile.storage.underflow
                rate = case.learning_rate
                seen[gradient] = Seen(change / rate, error * (1 + 4 * unit) / rate, updated)
    if case.batch == 1 and pure:
        for k in range(len(case.layers)):
            _recover(seen, k, profile)
    return seen


_UPDATED = {"weight": "updated_weights", "bias": "updated_biases"}


def _recover(seen: dict[Place, Seen], k: int, profile: Profile) -> None:
    """δ and the activations below a layer, from its gradients on one sample."""
    weights, biases, delta = Place("weight_gradients", k), Place("bias_gradients", k), Place("deltas", k)
    if delta not in seen and biases in seen:
        seen[delta] = replace(seen[biases], source=biases)
    below = Place("activations", k - 1)
    if k and below not in seen and delta in seen and weights in seen:
        of_delta, of_weights = seen[delta], seen[weights]
        largest = int(np.argmax(np.abs(of_delta.value[0])))
        share, size = of_delta.value[0, largest], abs(of_delta.value[0, largest])
        if of_delta.error is not None or of_weights.error is not None or not size > profile.storage.smallest_normal:
            return  # from a difference of weights, a quotient would know too little
        with np.errstate(all="ignore"):
            row = of_weights.value[largest : largest + 1] / share
        error = (profile.storage.unit_roundoff + 2 * U64) * np.abs(row) + profile.storage.underflow / size
        seen[below] = Seen(row, error * (1 + 2**-7), weights)


@dataclass(frozen=True)
class Steps:
    """What each rule makes of the numbers that the implementation was seen to have, by place.

    used: the evidence, with the errors that it was used with
    axes: for a weight gradient with an operand that was not seen, the axis along which that operand's errors are shared
        (0: those of an activation, by a column; 1: those of a δ, by a row)
    """

    expected: dict[Place, Matrix]
    used: dict[Place, Seen]
    axes: dict[Place, int]


def stepwise(
    case: Case,
    ar: Arithmetic,
    seen: Evidence,
    rules: Rules = RULES,
    bounds: Mapping[Place, Bounded] | None = None,
    loss: bool = True,
) -> Steps:
    """Run the case, each rule on what was seen; where nothing was seen, the rule's own result goes on to the next step.

    bounds: what this gave in bounds, for a run in balls. A kink is one where an implementation's z may be on either
        side, though the exact z is on one: derivatives are taken of balls that reach as far
    loss: whether it is asked for; nothing else depends on it
    """
    forced = _Forced(case, ar, seen, bounds or {})
    if not loss:
        rules = replace(rules, error=lambda *_: None)
    run(case, ar, forced.rules(rules))
    return Steps(forced.expected, forced.used, forced.axes)


class _Forced:
    """Rules that record what they make of their arguments and hand on what was seen in its place."""

    def __init__(self, case: Case, ar: Arithmetic, seen: Evidence, bounds: Mapping[Place, Bounded]) -> None:
        self.ar = ar
        self.seen = seen
        self.bounds = bounds
        self.layers = range(len(case.layers))
        self.biased = [k for k in self.layers if case.layers[k].biases is not None]
        self.expected: dict[Place, Matrix] = {}
        self.used: dict[Place, Seen] = {}
        self.axes: dict[Place, int] = {}

    def rules(self, rules: Rules) -> Rules:
        """Every rule that computes a quantity, watched. They are called in the order of computing."""
        ascending = list(self.layers)
        last, hidden = ascending[-1], ascending[-2::-1] if len(ascending) > 1 else []
        updates = [(quantity, k) for k in ascending for quantity in ("updated_weights", "updated_biases")]
        has_biases = [(q, k) for q, k in updates if q == "updated_weights" or k in self.biased]
        return replace(
            rules,
            preactivation=self._watched(
                lambda layer, inputs, ar: rules.preactivation(layer, self._shared(inputs), ar),
                self._places("pre_activations", ascending),
            ),
            activation=self._watched(
                lambda layer, z, ar: rules.activation(layer, self._shared(z) if layer.activation is SOFTMAX else z, ar),
                self._places("activations", ascending),
            ),
            hidden_error=lambda layer, delta, ar: rules.hidden_error(layer, self._shared(delta), ar),
            error=self._watched(rules.error, iter([Place("loss", None)])),
            output_delta=self._delta(rules.output_delta, self._places("deltas", [last])),
            hidden_delta=self._delta(rules.hidden_delta, self._places("deltas", hidden)),
            weight_gradient=self._weight_gradient(rules),
            bias_gradient=self._bias_gradient(rules),
            update=self._update(rules, iter([Place(q, k) for q, k in has_biases])),
        )

    def _places(self, quantity: str, layers: list[int]) -> Iterator[Place]:
        return iter([Place(quantity, k) for k in layers])

    def _shared(self, operand: Matrix) -> Matrix:
        return self.ar.shared(operand) if isinstance(self.ar, BoundedArithmetic) else operand

    def _watched(self, rule: Callable[..., Matrix], places: Iterator[Place]) -> Callable[..., Matrix]:
        def watched(*arguments: Any) -> Matrix:
            return self._handed_on(next(places), rule(*arguments))

        return watched

    def _handed_on(self, place: Place, result: Matrix, fused: Matrix | None = None) -> Matrix:
        """What was seen of the result, or the result.

        fused: the elementwise part of the step on exact operands, whose errors are those of its few roundings
        """
        if result is not None:
            self.expected[place] = result
        if place not in self.seen:
            return result
        seen = self.seen[place]
        if isinstance(self.ar, BoundedArithmetic) and seen.source is not None:
            seen = replace(seen, error=self._off(seen, fused))
        self.used[place] = seen
        if seen.error is None:
            return self.ar.lift(seen.value)
        return self.ar.around(seen.value, seen.error)

    def _off(self, seen: Seen, fused: Matrix | None) -> Array:
        """How far a number that was worked out may be from the one that the implementation used in its next step.

        A compiler that fuses (XLA does) may have evaluated the elementwise part of a step once for each use, and
        rounded it differently; an activation's approximation is the same each time, but for an ulp.
        """
        assert isinstance(self.ar, BoundedArithmetic)
        unit = self.ar.model.profile.storage.unit_roundoff
        again = 2 * unit * np.abs(seen.value) if fused is None else 2 * fused.errors[WORST]
        return np.asarray(again + (0.0 if seen.error is None else seen.error))

    def _delta(self, rule: Callable[..., Matrix], places: Iterator[Place]) -> Callable[..., Matrix]:
        """A derivative may be formed from z or from a: a is good to its function's ulps only, whoever shows it."""

        def delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
            place = next(places)
            if not isinstance(ar, BoundedArithmetic):
                before = Place("pre_activations", place.layer)
                if before in self.bounds and before not in self.seen:
                    z = ar.around(self.bounds[before].value, self.bounds[before].error)
                return self._handed_on(place, rule(layer, z, a, error, ar))
            if layer.activation is SOFTMAX:
                a, error = self._shared(a), self._shared(error)
            fused = None
            if place in self.seen and self.seen[place].source is not None:
                fused = rule(layer, *(exactly(x.value, x.model) for x in (z, a, error)), ar)
            if Place("activations", place.layer) in self.seen:  # what was not seen reaches as far as all ways to get it
                a = ar.as_computed(None if layer.activation is SOFTMAX else layer.activation, z, a)
            return self._handed_on(place, rule(layer, z, a, error, ar), fused)

        return delta

    def _weight_gradient(self, rules: Rules) -> Callable[..., Matrix]:
        """An operand that was worked out from this very array proves nothing: the expected one is used instead."""
        places = self._places("weight_gradients", list(self.layers))

        def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
            place = next(places)
            k = place.layer
            assert k is not None
            delta = self._independent(Place("deltas", k), place, delta)
            inputs = self._independent(Place("activations", k - 1), place, inputs)
            if isinstance(ar, BoundedArithmetic):
                if not inputs.exact:
                    delta, self.axes[place] = ar.shared(delta), 0
                elif not delta.exact:
                    self.axes[place] = 1
            return self._handed_on(place, rules.weight_gradient(delta, inputs, ar))

        return weight_gradient

    def _bias_gradient(self, rules: Rules) -> Callable[..., Matrix]:
        places = self._places("bias_gradients", self.biased)

        def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
            place = next(places)
            delta = self._independent(Place("deltas", place.layer), place, delta)
            return self._handed_on(place, rules.bias_gradient(delta, ar))

        return bias_gradient

    def _update(self, rules: Rules, places: Iterator[Place]) -> Callable[..., Matrix]:
        def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
            place = next(places)
            of = Place("weight_gradients" if place.quantity == "updated_weights" else "bias_gradients", place.layer)
            gradient = self._independent(of, place, gradient)
            return self._handed_on(place, rules.update(old, gradient, learning_rate, ar))

        return update

    def _independent(self, operand: Place, of: Place, given: Matrix) -> Matrix:
        """The operand as given, unless it was worked out from the array to be checked."""
        seen = self.seen.get(operand)
        if seen is None or seen.source != of:
            return given
        return self.expected[operand]
