"""The catalogue of wrong backpropagations: each is the right algorithm with one rule (or one pair) replaced.

An entry says what the code does instead, and the mistake that leads to it. `planted` runs it, on any kind of number, in
the whole network or in one layer alone.

The list was gathered from what textbooks warn of and from what people ask about; where a mistake is documented, the
entry names the place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from itertools import cycle
from typing import Any

from ...backprop import RULES, Rules
from ...case import Case, Step, run
from ...numbers import Arithmetic, Matrix
from . import wrong_errors as wrong_error
from . import wrong_gradients as wrong_gradient
from . import wrong_rules as wrong
from . import wrong_steps as wrong_step
from .wrong_rules import layers_called, replacing


@dataclass(frozen=True)
class Fault:
    """One way to be wrong.

    Attributes:
        name: what reports call it
        description: what the code does, completing "the implementation …"
        mistake: how one comes to write that
        rules: the wrong algorithm for a case, made anew for every run
        seen: where it is documented, if anywhere
    """

    name: str
    description: str
    mistake: str
    rules: Callable[[Case], Rules]
    seen: str | None = None


def faulty_rules(fault: Fault, case: Case, layer: int | None = None) -> Rules:
    """The wrong algorithm, for one run: in every layer, or in one alone while all other layers are right."""
    rules = fault.rules(case)
    return rules if layer is None else _in_one_layer(case, rules, layer)


def planted(fault: Fault, case: Case, ar: Arithmetic, layer: int | None = None) -> Step:
    """The case run with the fault."""
    return run(case, ar, faulty_rules(fault, case, layer))


def touched_layers(fault: Fault, case: Case) -> tuple[int, ...]:
    """The layers in which the fault's rules are called at all; one entry means that "in one layer" says nothing new."""
    rules = fault.rules(case)
    changed = [field.name for field in fields(Rules) if getattr(rules, field.name) is not getattr(RULES, field.name)]
    return tuple(sorted({k for name in changed for k in layers_called(case, name)}))


def _in_one_layer(case: Case, rules: Rules, layer: int) -> Rules:
    changes: dict[str, Any] = {}
    for field in fields(Rules):
        faulty, right = getattr(rules, field.name), getattr(RULES, field.name)
        if faulty is not right:
            changes[field.name] = _chosen(faulty, right, cycle(layers_called(case, field.name)), layer)
    return replace(RULES, **changes)


def _chosen(
    faulty: Callable[..., Matrix], right: Callable[..., Matrix], layers: Iterator[int], layer: int
) -> Callable[..., Matrix]:
    def rule(*arguments: Any) -> Matrix:
        result = faulty(*arguments)  # always called: it may keep what it saw for a later layer
        return result if next(layers) == layer else right(*arguments)

    return rule


NIELSEN = "Nielsen, Neural Networks and Deep Learning (2015), ch. 2"
CS231N = "CS231n notes, Neural networks part 3, gradient checks"

_ENTRIES: tuple[tuple[str, str, str, Callable[[Case], Rules], str | None], ...] = (
    # deltas
    ("hidden-delta-without-derivative", "leaves the activation's derivative out of the hidden delta", "δ = Wᵀδ, without ⊙ f′(z)", replacing(hidden_delta=wrong.no_derivative), NIELSEN + ", BP2"),
    ("output-delta-without-derivative", "leaves the activation's derivative out of the output delta", "∂E/∂o is taken for δ = ∂E/∂z; δ = o − t is right for cross-entropy", replacing(output_delta=wrong.no_derivative), NIELSEN + ", BP1 and ch. 3"),
    ("no-derivatives", "leaves every activation's derivative out", "the chain rule without ∂o/∂net", replacing(hidden_delta=wrong.no_derivative, output_delta=wrong.no_derivative), None),
    ("hidden-derivative-twice", "multiplies by the hidden activation's derivative twice", "f′ in the delta and once more in the gradient", replacing(hidden_delta=wrong.derivative_twice), None),
    ("output-derivative-twice", "multiplies by the output activation's derivative twice", "the loss's derivative has f′ in it already", replacing(output_delta=wrong.derivative_twice), None),
    ("hidden-derivative-formula-of-z", "puts z where the hidden derivative's formula wants a: z(1 − z) for a(1 − a)", "a function that expects the activation gets the net input; of tanh it is 1 − z² for 1 − a²", replacing(hidden_delta=wrong.formula_of_z), None),
    ("output-derivative-formula-of-z", "puts z where the output derivative's formula wants a", "a function that expects the activation gets the net input; of tanh it is 1 − z² for 1 − a²", replacing(output_delta=wrong.formula_of_z), None),
    ("hidden-derivative-at-a", "takes the hidden derivative at a instead of z: f′(f(z))", "f′(a), where f′ applies f itself, as a sigmoid_prime(z) does", replacing(hidden_delta=wrong.derivative_at_a), None),
    ("output-derivative-at-a", "takes the output derivative at a instead of z", "f′(a), where f′ applies f itself, as a sigmoid_prime(z) does", replacing(output_delta=wrong.derivative_at_a), None),
    ("derivatives-at-a", "takes every derivative at a instead of z", "f′(a), where f′ applies f itself, as a sigmoid_prime(z) does", replacing(hidden_delta=wrong.derivative_at_a, output_delta=wrong.derivative_at_a), "libBrain issue 78; neural2d issue 40 (github.com/davidrmiller/neural2d)"),
    ("hidden-sigmoid-derivative", "uses the sigmoid's derivative a(1 − a) in hidden layers, whatever their activation", "the activation was changed, its derivative was not", replacing(hidden_delta=wrong.derivative_of(wrong.sigmoid_slope)), "nn issue 8 (github.com/ttezel/nn)"),
    ("hidden-tanh-derivative", "uses tanh's derivative 1 − a² in hidden layers, whatever their activation", "the activation was changed, its derivative was not", replacing(hidden_delta=wrong.derivative_of(wrong.tanh_slope)), None),
    ("output-sigmoid-derivative", "uses the sigmoid's derivative a(1 − a) at the output, whatever its activation", "the output was made linear, its derivative was not", replacing(output_delta=wrong.derivative_of(wrong.sigmoid_slope)), "nn issue 8 (github.com/ttezel/nn)"),
    ("output-tanh-derivative", "uses tanh's derivative 1 − a² at the output, whatever its activation", "the output's activation was changed, its derivative was not", replacing(output_delta=wrong.derivative_of(wrong.tanh_slope)), None),
    ("derivative-is-one-minus-a", "uses 1 − a for the hidden derivative", "half of a(1 − a), or a missing square in 1 − a²", replacing(hidden_delta=wrong.only_for(("sigmoid", "tanh"), wrong.one_minus_a)), "Neuroph issue 37 (github.com/neuroph/neuroph)"),
    ("derivative-is-a", "uses a itself for the hidden derivative", "f(z) where f′(z) belongs, or one factor of a(1 − a)", replacing(hidden_delta=wrong.activation_for_derivative), None),
    ("tanh-derivative-plus", "uses 1 + a² for tanh's derivative", "a sign in 1 − a²", replacing(hidden_delta=wrong.only_for(("tanh",), wrong.one_plus_a_squared)), "proposed in lstm issue 41 (github.com/nicodjimenez/lstm)"),
    ("relu-derivative-always-one", "uses slope 1 for ReLU on both sides of 0", "the mask is forgotten", replacing(hidden_delta=wrong.always_one_for_relu), None),
    ("leaky-slope-0.1", "uses slope 0.1 below zero in the backward pass", "another default for the leak", replacing(hidden_delta=wrong.leaky(0.1)), None),
    ("leaky-slope-0.2", "uses slope 0.2 below zero in the backward pass", "another default for the leak", replacing(hidden_delta=wrong.leaky(0.2)), None),
    ("leaky-slope-0", "uses slope 0 below zero in the backward pass", "ReLU's derivative for leaky ReLU", replacing(hidden_delta=wrong.leaky(0.0)), None),
    ("hidden-delta-halved", "halves the hidden delta", "a ½ of the loss applied once more", replacing(hidden_delta=wrong.halved_delta), None),
    ("hidden-delta-negative", "has the wrong sign in the hidden delta", "a minus of t − o carried along once too often", replacing(hidden_delta=wrong.negative_delta), None),
    ("output-delta-negative", "has the wrong sign in the output delta", "t − o with a descending update", replacing(output_delta=wrong.negative_delta), CS231N),
    ("softmax-diagonal-only", "keeps only the diagonal s(1 − s) of softmax's Jacobian", "softmax is treated like a sigmoid", replacing(output_delta=wrong.diagonal_softmax), "libnd4j issue 440; Neural-Network-Experiments pull request 5 (github.com/SebLague)"),
    ("softmax-without-jacobian", "leaves softmax's Jacobian out", "the delta of cross-entropy's inside is taken for that of softmax", replacing(output_delta=wrong.no_softmax_jacobian), None),
    ("softmax-jacobian-twice", "applies softmax's Jacobian twice", "o − t is the delta already, and goes through the Jacobian again", replacing(output_delta=wrong.softmax_jacobian_twice), None),
    ("derivative-of-layer-above", "takes the derivative of the layer above", "an index that is off by one", wrong.derivative_of_layer_above, None),
    # ∂E/∂output
    ("output-error-doubled", "has twice the loss's derivative", "the ½ of half the squared error is left out", replacing(output_error=wrong_error.output_error_scaled(2.0)), None),
    ("output-error-halved", "has half the loss's derivative", "a ½ that the loss does not have", replacing(output_error=wrong_error.output_error_scaled(0.5)), "DML-OpenProblem issue 54 (github.com/Open-Deep-ML)"),
    ("squared-difference-as-error", "uses (o − t)² where its derivative belongs", "the loss itself is propagated back", replacing(output_error=wrong_error.by_difference(lambda o, t, fn: (o - t) * (o - t))), None),
    ("absolute-difference-as-error", "uses |o − t|: the sign is lost", "the error as people report it is propagated back", replacing(output_error=wrong_error.by_difference(lambda o, t, fn: fn.absolute(o - t))), None),
    ("output-alone-as-error", "propagates the output itself back", "the target is forgotten", replacing(output_error=wrong_error.by_difference(lambda o, t, fn: o)), None),
    ("sum-of-output-and-target", "propagates o + t back", "a sign in o − t", replacing(output_error=wrong_error.by_difference(lambda o, t, fn: o + t)), None),
    ("difference-for-any-loss", "uses o − t for ∂E/∂o, whatever the loss", "the loss was changed, its derivative was not", replacing(output_error=wrong_error.by_difference(lambda o, t, fn: o - t)), None),
    ("mean-without-1/n", "does not divide by the number of samples", "a loss is averaged, its gradient is not", replacing(output_error=wrong_error.without_reduction), "DeepLearningZeroToAll issue 173; handson-ml issue 73 (github.com/ageron)"),
    ("1/n-once-more", "divides by the number of samples once too often", "both the loss and the update average", replacing(output_error=wrong_error.one_over_n_once_more), None),
    ("mean-over-outputs", "divides by the number of output units as well", "a mean over the whole array of errors", replacing(output_error=wrong_error.mean_over_outputs), None),
    ("targets-broadcast", "subtracts every target from every output: (n,) against (n, 1)", "NumPy broadcasts a column against a row to n × n", replacing(output_error=wrong_error.everything_broadcast), "PyTorch issue 19699; CoursIA pull request 926 (github.com/jsboige)"),
    ("first-sample-only", "uses the first sample alone", "x[0] where x was meant", replacing(output_error=wrong_error.only_sample(0)), None),
    ("last-sample-only", "uses the last sample alone", "the loop overwrites instead of adding up", replacing(output_error=wrong_error.only_sample(-1)), None),
    ("last-sample-dropped", "leaves the last sample out", "range(n − 1), or an incomplete last batch", replacing(output_error=wrong_error.without_last_sample), None),
    ("targets-of-the-next-sample", "compares each output with the next sample's target", "inputs were shuffled, targets were not", replacing(output_error=wrong_error.targets_shifted), None),
    ("first-output-only", "propagates the first output unit's error alone", "a scalar where a vector was meant", replacing(output_error=wrong_error.only_output(0)), None),
    ("probabilities-clipped", "clips probabilities to [0.1, 0.9] in the loss's derivative", "a guard against log(0) that is too wide", replacing(output_error=wrong_error.clipped), None),
    ("log-shifted", "adds 1e-7 to the outputs inside the loss's derivative", "log(o + ε) as a guard against log(0)", replacing(output_error=wrong_error.shifted_log(1e-7)), "Keras's epsilon of 1e-7"),
    ("log-shifted-1e-8", "adds 1e-8 to the outputs inside the loss's derivative", "log(o + ε) as a guard against log(0)", replacing(output_error=wrong_error.shifted_log(1e-8)), None),
    ("log-shifted-1e-9", "adds 1e-9 to the outputs inside the loss's derivative", "log(o + ε) as a guard against log(0)", replacing(output_error=wrong_error.shifted_log(1e-9)), None),
    ("log-shifted-1e-10", "adds 1e-10 to the outputs inside the loss's derivative", "log(o + ε) as a guard against log(0)", replacing(output_error=wrong_error.shifted_log(1e-10)), None),
    ("log-left-out", "leaves the logarithm out of cross-entropy: −Σ t·o", "probabilities for a loss that expects their logarithms: softmax with NLLLoss", replacing(output_error=wrong_error.by_loss({"softmax_cross_entropy": lambda o, t, fn: -t, "binary_cross_entropy": lambda o, t, fn: 1 - 2 * t})), "man-sf-emnlp issue 2 (github.com/midas-research); ACGAN-PyTorch pull request 4 (github.com/clvrai)"),
    ("softmax-left-out", "leaves softmax and its logarithm out of the loss: −Σ t·z", "raw outputs for a loss that expects log-probabilities: NLLLoss without LogSoftmax", replacing(output_error=wrong_error.by_loss({"softmax_cross_entropy_from_logits": lambda o, t, fn: -t})), "PyTorch pull request 12703, a documentation's example"),
    ("binary-loss-of-softmax", "takes cross-entropy of two classes for each of softmax's outputs", "(1 − t)/(1 − o) beside −t/o", replacing(output_error=wrong_error.by_loss({"softmax_cross_entropy": lambda o, t, fn: (1 - t) / (1 - o) - t / o})), "ML-From-Scratch issue 98 (github.com/eriklindernoren)"),
    ("activation-before-logits", "applies softmax, or the sigmoid, before a loss that applies it itself", "softmax in front of CrossEntropyLoss, or a sigmoid in front of BCEWithLogitsLoss", wrong_error.activation_before_logits, "EffectiveTensorflow issue 9 (github.com/vahidk); tflearn pull request 562; daisyRec pull request 15 (github.com/yudi-mars)"),
    # ∂E/∂a
    ("weights-not-transposed", "uses the weights the wrong way round on the way back, where they are square", "W for Wᵀ", replacing(hidden_error=wrong.transposed_weights), NIELSEN + ", BP2"),
    ("mean-over-units-above", "averages over the units above instead of adding up", "mean() for sum()", replacing(hidden_error=wrong.mean_over_units_above), None),
    ("weights-left-out", "adds the deltas above up without their weights", "Σ δ for Σ wδ", replacing(hidden_error=wrong.sum_of_deltas), None),
    ("first-unit-above-only", "takes its error from the first unit above alone", "a scalar where a vector was meant", replacing(hidden_error=wrong.first_unit_above), None),
    ("absolute-weights", "uses |w| on the way back", "a share of the error, in proportion to the size of the weight", replacing(hidden_error=wrong.absolute_weights), "Rashid, Make Your Own Neural Network (2016), splitting errors by weights"),
    ("updated-weights-below", "uses weights that are updated already for the deltas below", "update and delta in one loop", wrong.updated_weights_below, "data-science-from-scratch issue 31; basic_neural_network issue 7 (github.com/kim-marcel)"),
    # gradients
    ("weight-gradient-transposed", "transposes the weight gradient, where it is square", "aᵀδ for δᵀa", replacing(weight_gradient=wrong_gradient.weight_gradient_transposed), "Grokking-Deep-Learning pull request 22 (github.com/iamtrask)"),
    ("weight-gradient-over-units", "divides the weight gradient by the number of units", "mean() over the wrong axis", replacing(weight_gradient=wrong_gradient.weight_gradient_scaled(lambda d, a, ar: ar.shape(d)[1])), None),
    ("weight-gradient-over-samples", "divides the weight gradient by the number of samples, but not the bias gradient", "1/n in one line of two", replacing(weight_gradient=wrong_gradient.weight_gradient_scaled(lambda d, a, ar: ar.shape(d)[0])), None),
    ("weight-gradient-last-sample", "keeps the last sample's weight gradient", "= for +=", replacing(weight_gradient=wrong_gradient.last_sample_weights), None),
    ("samples-shifted", "pairs each delta with the next sample's activations", "stale activations: the forward pass has moved on", replacing(weight_gradient=wrong_gradient.shifted_samples), None),
    ("one-element-zero", "leaves one element of each weight gradient at zero", "a loop that starts at 1", replacing(weight_gradient=wrong_gradient.one_element(0.0)), None),
    ("one-element-negative", "has the wrong sign in one element of each weight gradient", "an index used twice", replacing(weight_gradient=wrong_gradient.one_element(-1.0)), None),
    ("first-layer-left-out", "leaves the first layer's gradient at zero", "the loop over layers stops at 1", wrong_gradient.layer_left_out(lambda case: {0}), None),
    ("last-layer-left-out", "leaves the last layer's gradient at zero", "the loop over layers starts one too low", wrong_gradient.layer_left_out(lambda case: {len(case.layers) - 1}), None),
    ("only-last-layer", "has a gradient in the last layer alone", "a detach(), or an error that is not propagated", wrong_gradient.layer_left_out(lambda case: set(range(len(case.layers) - 1))), None),
    ("own-activations", "uses a layer's own activations for its weight gradient, where shapes allow it", "an index that is off by one", wrong_gradient.own_activations, None),
    ("pre-activations-for-activations", "uses z of the layer below for the weight gradient", "the list of z for the list of a", wrong_gradient.pre_activations_for_activations, None),
    ("bias-gradient-zero", "has no bias gradient", "biases are forgotten in the backward pass", replacing(bias_gradient=wrong_gradient.scaled_bias(0.0)), "matconvnet issue 197 (github.com/vlfeat)"),
    ("bias-gradient-negative", "has the wrong sign in the bias gradient", "a bias taken for a threshold", replacing(bias_gradient=wrong_gradient.scaled_bias(-1.0)), None),
    ("bias-gradient-mean", "averages the bias gradient over the samples", "mean() for sum()", replacing(bias_gradient=wrong_gradient.mean_bias), "notes issue 5 (github.com/kvfrans/notes)"),
    ("bias-gradient-last-sample", "keeps the last sample's bias gradient", "= for +=", replacing(bias_gradient=wrong_gradient.sample_bias(-1)), None),
    ("bias-gradient-first-sample", "keeps the first sample's bias gradient", "δ[0] for the sum over samples", replacing(bias_gradient=wrong_gradient.sample_bias(0)), None),
    ("bias-gradient-over-units", "adds the bias gradient up over units too, so that all are equal", "sum() without an axis", replacing(bias_gradient=wrong_gradient.bias_over_units), "stat453-deep-learning-ss21 issue 5 (github.com/rasbt)"),
    ("bias-gradient-reversed", "has the bias gradient in reverse order", "layers or units enumerated backwards", replacing(bias_gradient=wrong_gradient.bias_gradient_reversed), None),
    ("weight-decay-0.01", "adds 0.01 · w to the gradient", "weight decay left on", wrong_gradient.with_weight_decay(0.01), CS231N),
    ("weight-decay-0.0001", "adds 0.0001 · w to the gradient", "weight decay left on", wrong_gradient.with_weight_decay(1e-4), CS231N),
    ("gradient-clipped-0.1", "clips weight gradients to ±0.1", "gradient clipping left on", replacing(weight_gradient=wrong_gradient.clipped_gradient(0.125)), None),
    # forward
    ("bias-not-added", "does not add the bias in the forward pass", "biases are forgotten in the forward pass", replacing(preactivation=wrong_step.no_bias), None),
    ("bias-added-twice", "adds the bias twice", "a bias column and a bias", replacing(preactivation=wrong_step.bias_twice), None),
    ("bias-subtracted", "subtracts the bias", "a bias taken for a threshold", replacing(preactivation=wrong_step.bias_subtracted), None),
    ("forward-transposed", "multiplies by the transposed weights, where they are square", "inputs × units for units × inputs", replacing(preactivation=wrong_step.forward_transposed), None),
    ("pre-activations-clamped", "clamps z to ±0.5 before the activation", "a guard against overflow that is too narrow", replacing(activation=wrong_step.limited(0.5)), None),
    ("activation-left-out", "leaves the activation function out of the forward pass", "z is handed on for a", replacing(activation=wrong_step.no_activation), None),
    ("activation-twice", "applies the activation function twice", "in the layer, and once more in the loop", replacing(activation=wrong_step.activation_twice), "lightning-bolts issue 654"),
    ("hard-sigmoid", "approximates the sigmoid by a clipped line", "a fast sigmoid", replacing(activation=wrong_step.activated_by(wrong_step.hard_sigmoid, "sigmoid")), None),
    ("rational-sigmoid", "approximates the sigmoid by (1 + z/(1 + |z|))/2", "a fast sigmoid", replacing(activation=wrong_step.activated_by(wrong_step.rational_sigmoid, "sigmoid")), None),
    ("rational-tanh", "approximates tanh by z(27 + z²)/(27 + 9z²)", "a fast tanh", replacing(activation=wrong_step.activated_by(wrong_step.rational_tanh, "tanh")), None),
    ("dropout-left-on", "drops every second unit and doubles the others", "training mode while checking", replacing(activation=wrong_step.dropout), CS231N + "; nanoGPT pull request 240 (github.com/karpathy)"),
    # the update
    ("update-uphill", "adds the gradient instead of subtracting it", "a sign", replacing(update=wrong_step.update_plus), "PyTorch issue 1871, a tutorial's formula"),
    ("no-update", "does not move the weights", "a copy is updated", replacing(update=wrong_step.no_update), None),
    ("biases-not-updated", "does not move the biases", "the loop covers the weights", wrong_step.update_step, "Tinn issue 30 (github.com/glouw); nntrainer pull request 219"),
    ("rate-doubled", "moves by twice the learning rate", "a 2 of the loss in the rate", replacing(update=wrong_step.update_scaled(2.0)), None),
    ("rate-halved", "moves by half the learning rate", "a ½ of the loss in the rate", replacing(update=wrong_step.update_scaled(0.5)), None),
    ("rate-squared", "moves by the square of the learning rate", "the rate in the velocity, and once more in the step", replacing(update=wrong_step.update_by_squared_rate), None),
    ("rate-left-out", "steps without the learning rate: the learning rate is left out", "w −= g", replacing(update=wrong_step.update_without_rate), None),
    ("step-replaces-weight", "replaces the weight by the step", "= for −=", replacing(update=wrong_step.gradient_becomes_weight), None),
    ("sign-of-gradient", "moves by the sign of the gradient", "Rprop's rule", replacing(update=wrong_step.sign_update), None),
    ("momentum-left-on", "moves by 1.9 gradients: momentum 0.9 in its second step", "momentum left on, or state kept between calls", replacing(update=wrong_step.momentum_update), None),
    ("decay-in-optimizer", "adds 0.01 · w to the gradient in the update", "weight decay left on in the optimizer", replacing(update=wrong_step.decayed_update), None),
)  # fmt: skip

FAULTS = tuple(Fault(*entry) for entry in _ENTRIES)
