"""Conventions are not bugs: a loss with or without ½, a sum or a mean, a gradient or its negative.

A `Convention` is one way to read "the gradient of the loss". The reference computes under any of them; which one an
implementation follows is declared, or found out by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from ..activations import SOFTMAX, Activation
from ..backprop import RULES, Layer, Objective, Rules
from ..case import Case, Dense, InvalidInput, called, known_activation, known_loss, one_of, with_ones
from ..losses import DISTRIBUTION, LOSSES
from ..more_activations import cancelling, parts
from ..numbers import PRECISIONS, Arithmetic, Functions, Matrix, Number, array_of
from ..update_rules import decayed
from .own_activations import checked

REDUCTIONS = ("sum", "mean", "mean over outputs", "sum over samples, mean over outputs")
# hidden: separate, and none at the output. column-*: the inputs have a column of ones. weights-*: every layer's biases
# are the first or last column of its weights, and the implementation puts a 1 before or behind what the layer receives.
BIASES = ("separate", "none", "hidden", "column-first", "column-last", "weights-first", "weights-last")


@dataclass(frozen=True)
class Convention:
    """How an implementation means its numbers.

    activations: one per layer, as `Dense` takes them;  loss: a name that `loss_named` knows
    reduction: one of `REDUCTIONS`; "mean over outputs" divides by the number of samples and of output units
    negative: whether what is returned is −∂E/∂w, as for ascent on −E
    online: whether weights are updated after every sample, not once for the batch; what is summed over is then one
    decay: of the penalty decay/2 · Σw² that E contains, whose gradient is decay · w;  decays_biases: whether b too
    in_turn: whether each sample's share of one step for the batch is subtracted from the weights by itself
    cancelling: whether activations may lose digits where they are near zero: `more_activations.cancelling`
    decay_over_samples: whether it is decay/(2n) · Σw², for n samples (Nielsen 2015, ch. 3)
    """

    activations: tuple[str | Activation, ...]
    loss: str
    reduction: str = "sum"
    negative: bool = False
    online: bool = False
    decay: float = 0.0
    decays_biases: bool = False
    decay_over_samples: bool = False
    in_turn: bool = False
    cancelling: bool = False

    def rules(self, rules: Rules = RULES) -> Rules:
        """`rules` (the right ones, or a fault's), under this convention."""
        if self.decay:
            rules = _with_penalty(rules, self.penalty, self.decays_biases)
        if self.in_turn:
            rules = _in_turn(rules)
        if self.cancelling:
            rules = _cancelling(rules)
        if not self.negative and not self._by_units:
            return rules

        def output_error(objective: Objective, outputs: Matrix, targets: Matrix, ar: Arithmetic) -> Matrix:
            return self.error(rules.output_error(objective, outputs, targets, ar), outputs, ar)

        return replace(rules, output_error=output_error)

    def penalty(self, samples: int) -> float:
        """What weights are multiplied by in the gradient of so many samples, or in minus the gradient."""
        decay = -self.decay if self.negative else self.decay
        return decay / samples if self.decay_over_samples else decay

    @property
    def _by_units(self) -> bool:
        return self.reduction.endswith("mean over outputs")

    def error(self, error: Matrix, outputs: Matrix, ar: Arithmetic) -> Matrix:
        """∂E/∂o of a loss that is summed, or averaged over samples alone, under this convention."""
        if not self.negative and not self._by_units:
            return error
        units = ar.shape(outputs)[1] if self._by_units else 1
        sign = -1 if self.negative else 1
        return ar.elementwise(lambda e, fn: sign * e / units, error)

    def applied(self, case: Case) -> Case:
        """A probe with this convention's loss, reduction and activations."""
        layers = tuple(
            replace(layer, activation=name) for layer, name in zip(case.layers, self.activations, strict=True)
        )
        reduction = "sum" if self.reduction.startswith("sum") else "mean"
        return replace(case, layers=layers, loss=self.loss, reduction=reduction, online=self.online)

    def for_layers(self, count: int) -> Convention:
        """The same for a network of so many layers: its hidden layers have the activation of the first one here."""
        if count == len(self.activations):
            return self
        return replace(self, activations=((self.activations[0],) * (count - 1)) + self.activations[-1:])

    def of_outputs(self) -> str:
        """What can be said of an implementation that returns outputs alone."""
        hidden, output = self.activations[:-1], self.activations[-1]
        names = (
            "no hidden layer" if not hidden else ", ".join(map(in_words, dict.fromkeys(hidden))) + " in hidden layers"
        )
        return f"{names}, {in_words(output)} at the output"

    def __str__(self) -> str:
        loss = {"half_squared_error": "squared error with ½", "squared_error": "squared error without ½"}.get(
            self.loss, self.loss.replace("_", " ")
        )
        reduced = {
            "sum": "summed over samples",
            "mean": "averaged over samples",
            "mean over outputs": "averaged over samples and outputs",
        }.get(self.reduction, "summed over samples, averaged over outputs")
        if self.online:
            reduced = "updated sample by sample" + (", averaged over outputs" * (self.reduction == REDUCTIONS[2]))
        penalty = ""
        if self.decay:
            over = " / n" * self.decay_over_samples
            penalty = f"; with weight decay: {self.decay:.6g}{over} · w{' and b' * self.decays_biases} in the gradient"
            penalty += ", n samples" * self.decay_over_samples
        penalty += "; each sample's share subtracted from the weights by itself" * self.in_turn
        penalty += CANCELLING * self.cancelling
        negative = "; minus the gradient (negative gradient)" if self.negative else ""
        return f"{loss}, {reduced}; {self.of_outputs()}{penalty}{negative}"


CANCELLING = "; activations near zero to within a rounding of 1, or of z: their formula's digits cancel there"

FAMILIES_IN_WORDS = {
    "leaky_relu": "leaky ReLU of slope {}",
    "elu": "ELU with α {}",
    "silu": "SiLU with β {}",
    "sigmoid": "sigmoid of steepness {}",
    "scaled_tanh": "{} · tanh({} · z)",
}


def in_words(activation: str | Activation) -> str:
    """An activation's name, and what its constants mean."""
    family, constants = parts(activation)
    if not constants or family not in FAMILIES_IN_WORDS:
        return str(activation)
    return f"{activation} ({FAMILIES_IN_WORDS[family].format(*(f'{c:.6g}' for c in constants))})"


def _with_penalty(rules: Rules, penalty: Callable[[int], float], biases: bool) -> Rules:
    """`rules`, with penalty(samples) · w added to each gradient; a step adds it to w in any of the usual ways.

    What a layer's parameters are is kept from the forward pass.
    """
    layers: list[Layer] = []
    decays: list[float] = []
    asked = {"weights": 0, "biases": 0}

    def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
        if any(asked.values()):  # another run has begun
            layers.clear()
            asked.update(weights=0, biases=0)
        layers.append(layer)
        return rules.preactivation(layer, inputs, ar)

    def penalised(kind: str, gradient: Matrix, delta: Matrix, ar: Arithmetic) -> Matrix:
        decay = penalty(ar.shape(delta)[0])
        decays[:] = [decay]
        own = [getattr(layer, kind) for layer in layers if getattr(layer, kind) is not None][asked[kind]]
        asked[kind] += 1
        return ar.elementwise(lambda g, w, fn: g + fn.constant(decay) * w, gradient, own)

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        return penalised("weights", rules.weight_gradient(delta, inputs, ar), delta, ar)

    def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
        gradient = rules.bias_gradient(delta, ar)
        asked["biases"] += not biases
        return penalised("biases", gradient, delta, ar) if biases else gradient

    def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        new = rules.update(old, gradient, learning_rate, ar)
        if not biases and any(old is layer.biases for layer in layers):
            return new
        (decay,) = decays

        def moved(new: Number, w: Number, g: Number, fn: Functions) -> Number:
            return fn.either(new, decayed(w, g - fn.constant(decay) * w, learning_rate, decay, fn))

        return ar.elementwise(moved, new, old, gradient)

    return replace(
        rules, preactivation=preactivation, weight_gradient=weight_gradient, bias_gradient=bias_gradient, update=update
    )


def _in_turn(rules: Rules) -> Rules:
    """`rules`, with a step that is made of n subtractions, one for each sample, and so of n − 1 more roundings."""
    layers: list[Layer] = []
    sizes: dict[str, list[Matrix]] = {"weights": [], "biases": []}
    samples: list[int] = []

    def preactivation(layer: Layer, inputs: Matrix, ar: Arithmetic) -> Matrix:
        if any(sizes.values()):  # another run has begun
            layers.clear()
            samples.clear()
            sizes.update(weights=[], biases=[])
        layers.append(layer)
        return rules.preactivation(layer, inputs, ar)

    def weight_gradient(delta: Matrix, inputs: Matrix, ar: Arithmetic) -> Matrix:
        samples[:] = [ar.shape(delta)[0]]
        sizes["weights"].append(ar.matmul(ar.transpose(_absolute(delta, ar)), _absolute(inputs, ar)))
        return rules.weight_gradient(delta, inputs, ar)

    def bias_gradient(delta: Matrix, ar: Arithmetic) -> Matrix:
        sizes["biases"].append(ar.column_sums(_absolute(delta, ar)))
        return rules.bias_gradient(delta, ar)

    def update(old: Matrix, gradient: Matrix, learning_rate: float, ar: Arithmetic) -> Matrix:
        new = rules.update(old, gradient, learning_rate, ar)
        kind = "biases" if any(old is layer.biases for layer in layers) else "weights"
        of_kind = [getattr(layer, kind) for layer in layers if getattr(layer, kind) is not None]
        size = sizes[kind][next(k for k, own in enumerate(of_kind) if own is old)]

        def rounded(new: Number, w: Number, size: Number, fn: Functions) -> Number:
            reach, again = (fn.absolute(w) + size * learning_rate) * 2, new
            for _ in range(samples[0] - 1):  # no partial sum is larger than half of it, so each of these rounds as much
                again = (again + reach) - reach
            return fn.either(new, again)

        return ar.elementwise(rounded, new, old, size)

    return replace(
        rules, preactivation=preactivation, weight_gradient=weight_gradient, bias_gradient=bias_gradient, update=update
    )


def _cancelling(rules: Rules) -> Rules:
    """`rules`, with activations that may lose digits where they are near zero."""

    def with_it(layer: Layer) -> Layer:
        return replace(layer, activation=cancelling(layer.activation))

    def activation(layer: Layer, z: Matrix, ar: Arithmetic) -> Matrix:
        return rules.activation(with_it(layer), z, ar)

    def output_delta(layer: Layer, z: Matrix, outputs: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        return rules.output_delta(with_it(layer), z, outputs, error, ar)

    def hidden_delta(layer: Layer, z: Matrix, a: Matrix, error: Matrix, ar: Arithmetic) -> Matrix:
        return rules.hidden_delta(with_it(layer), z, a, error, ar)

    return replace(rules, activation=activation, output_delta=output_delta, hidden_delta=hidden_delta)


def _absolute(matrix: Matrix, ar: Arithmetic) -> Matrix:
    return ar.elementwise(lambda x, fn: fn.absolute(x), matrix)


def candidates(
    sizes: Sequence[int],
    activations: Sequence[str | Activation] | str | Activation | None = None,
    loss: str | None = None,
    reduction: str | None = None,
    negative: Sequence[bool] = (False, True),
    online: Sequence[bool] = (False,),
) -> Iterator[Convention]:
    """Every convention that agrees with what is declared (None: not declared), the customary ones first.

    sizes: of the network, the inputs first; with a single output, losses that want distributions say nothing
    negative: the signs to consider; of an update, only False makes sense
    online: whether updates may be for the batch, sample by sample, or either

    Raises InvalidInput for a name that does not exist.
    """
    if loss is not None:
        loss = known_loss("loss", loss, output_of(activations)).name
    if reduction is not None:
        one_of("reduction", reduction, REDUCTIONS)
    for names in _activations(len(sizes) - 1, activations):
        for name in (loss,) if loss else LOSSES:
            known = known_loss("loss", name)
            if known.output_activation not in (None, names[-1]) or (known.targets == DISTRIBUTION and sizes[-1] == 1):
                continue
            for reduced in (reduction,) if reduction else REDUCTIONS[:3]:
                for sign in negative:
                    if False in online:
                        yield Convention(names, name, reduced, sign)
                    if True in online and (reduced != "mean" or reduction == "mean"):  # of one sample, mean is sum
                        yield Convention(names, name, reduced, sign, online=True)


def output_of(activations: Sequence[str | Activation] | str | Activation | None) -> str | Activation | None:
    """The output layer's activation, by its one name, as far as it is declared."""
    if isinstance(activations, (str, Activation)):
        return called(activations)
    return called(activations[-1]) if isinstance(activations, Sequence) and activations else None


def _activations(
    layers: int, declared: Sequence[str | Activation] | str | Activation | None
) -> Iterator[tuple[str | Activation, ...]]:
    if isinstance(declared, (str, Activation)):
        declared = (declared,) * layers
    if declared is not None:
        if not isinstance(declared, Sequence):
            raise InvalidInput(f"activations: expected a name, or one per layer; got {declared!r}.")
        for k, given in enumerate(declared):
            known = called(known_activation(f"activations[{k}]", given))
            if isinstance(known, Activation):
                checked(f"activations[{k}]", known)
        if len(declared) != layers:
            raise InvalidInput(f"activations: expected {layers}, one per layer; got {len(declared)}.")
        yield tuple(map(called, declared))
        return
    customary = ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "identity")
    hidden = customary if layers > 1 else ("identity",)
    for name in hidden:
        for output in dict.fromkeys((name, "sigmoid", "identity", SOFTMAX.name, *customary)):
            yield (*(name,) * (layers - 1), output)


def probes(
    sizes: Sequence[int], batches: Sequence[int], bias: str | Sequence[bool], dtype: str, seed: int
) -> tuple[Case, ...]:
    """Networks and data that hide nothing, one case per batch size; a convention's loss and activations come later.

    Numbers are generic. Targets are sixty-fourths between 0 and 1 whose rows add up to 1 (of one output, any), so that
    they suit every loss. A power of two as batch size and learning rate makes divisions and updates exact.
    """
    rng = Random(f"probes {seed} {sizes} {bias}")
    nearest = PRECISIONS[dtype].nearest
    column = isinstance(bias, str) and bias.startswith("column-")
    count = len(sizes) - 1
    if isinstance(bias, str):
        one_of("bias", bias, BIASES)
        everywhere = bias in ("separate", "weights-first", "weights-last")
        biased = [everywhere or (bias == "hidden" and k + 1 < count) for k in range(count)]
    else:
        biased = list(bias)
    if len(biased) != count:
        raise InvalidInput(f"bias: expected {count} truth values, one per layer; got {len(biased)}.")

    def row(length: int, size: float) -> tuple[float, ...]:
        numbers = _generic(rng, length, size)
        return tuple(numbers) if dtype == "float64" else tuple(map(nearest, numbers))

    cases = []
    for number, batch in enumerate(batches):
        layers = []
        for k, units in enumerate(sizes[1:]):
            inputs = sizes[k] + (column and k == 0)
            weights = tuple(row(inputs, 1.6 / inputs**0.5) for _ in range(units))
            layers.append(Dense(array_of(weights, dtype), row(units, 0.7) if biased[k] else None, "identity"))
        x = tuple(row(sizes[0], 1.4) for _ in range(batch))
        t = tuple(_shares(rng, sizes[-1]) for _ in range(batch))
        inputs_given = with_ones(x, str(bias).removeprefix("column-")) if column else x
        name, inputs_of, targets_of = f"probe-{seed}-{number}", array_of(inputs_given, dtype), array_of(t, dtype)
        cases.append(Case(name, tuple(layers), inputs_of, targets_of, learning_rate=0.5, dtype=dtype))
    return tuple(cases)


def _generic(rng: Random, count: int, size: float) -> list[float]:
    """So many numbers of either sign, from 0.15 to 1 times a size, as `uniform` and `choice` draw them, but quicker."""
    drawn, bits, numbers = rng.random, rng.getrandbits, list[float]()
    for _ in range(count):
        number = 0.15 + (1.0 - 0.15) * drawn()
        while (sign := bits(2)) > 1:
            pass
        numbers.append((number if sign else -number) * size)
    return numbers


def _shares(rng: Random, outputs: int) -> tuple[float, ...]:
    """Generic sixty-fourths that add up to 1; of one output, any from 1/64 to 63/64."""
    if outputs == 1:
        return (rng.randrange(1, 64) / 64,)
    parts = max(64, 2 ** (4 * outputs).bit_length())
    cuts = sorted(rng.sample(range(1, parts), outputs - 1))
    return tuple((b - a) / parts for a, b in zip((0, *cuts), (*cuts, parts), strict=True))
