"""What people write in place of the forward pass: biases left out, another activation, softmax along the wrong axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from ...activations import ACTIVATIONS, SOFTMAX, Activation
from ...backprop import RULES, Layer
from ...more_activations import MORE_ACTIVATIONS
from ...numbers import Matrix, Number
from ..catalogue.wrong_rules import square
from .scope import Scope
from .vocabulary import FORMATS, Entry, clipped_right, in_format, times


def forwards(activation: Activation) -> Iterator[Entry]:
    """Entries of z, then of a."""

    def of_z(words: str, formula: Callable[[Scope], Matrix | None], mistake: str = "") -> Entry:
        return Entry("preactivation", words, lambda scope, _: formula(scope), None, mistake)

    def without_bias(s: Scope) -> Layer:
        return Layer(s.arguments[0].weights, None, s.arguments[0].activation)

    def with_bias(factor: float) -> Callable[[Scope], Matrix | None]:
        def z(s: Scope) -> Matrix | None:
            biases = s.arguments[0].biases
            if biases is None:
                return None
            own = Layer(s.arguments[0].weights, times(biases, factor, s), s.arguments[0].activation)
            return RULES.preactivation(own, s.arguments[1], s.ar)

        return z

    yield of_z(
        "does not add the bias in the forward pass",
        lambda s: (
            RULES.preactivation(without_bias(s), s.arguments[1], s.ar) if s.arguments[0].biases is not None else None
        ),
    )
    yield of_z("subtracts the bias", with_bias(-1.0), "a bias taken for a threshold")
    yield of_z("adds the bias twice", with_bias(2.0))
    yield of_z(
        "multiplies by the transposed weights in the forward pass",
        lambda s: (
            RULES.preactivation(
                Layer(s.ar.transpose(s.arguments[0].weights), s.arguments[0].biases, s.arguments[0].activation),
                s.arguments[1],
                s.ar,
            )
            if square(s.arguments[0].weights, s.ar)
            else None
        ),
    )

    for name in FORMATS:
        yield of_z(f"has the weights in {name} in the forward pass", partial(_rounded, name=name, weights=True))
        yield of_z(
            f"has what the layer receives in {name} in the forward pass", partial(_rounded, name=name, weights=False)
        )

    def of_a(words: str, formula: Callable[..., Number], mistake: str = "") -> Entry:
        return Entry("activation", words, lambda s, _: s.ar.elementwise(formula, s.arguments[1]), None, mistake)

    if activation is SOFTMAX:
        yield Entry(
            "activation", "takes softmax along the wrong axis: over the samples instead of the units",
            lambda s, _: s.ar.transpose(s.ar.softmax(s.ar.transpose(s.arguments[1]))), None, "axis=0 for axis=1",
        )  # fmt: skip
        yield Entry("activation", "applies softmax twice", lambda s, _: s.ar.softmax(s.ar.softmax(s.arguments[1])))
    else:
        f = activation.value
        yield of_a(f"applies {activation.name} twice", lambda z, fn: f(f(z, fn), fn))
        yield of_a(f"applies {activation.name} to −z", lambda z, fn: f(-z, fn))
        yield of_a(f"takes 1 − {activation.name} for {activation.name}", lambda z, fn: 1 - f(z, fn))
    for other in (*ACTIVATIONS.values(), *MORE_ACTIVATIONS.values()):
        if other.name != activation.name:
            yield of_a(f"computes {other.name} in the forward pass, where {activation.name} belongs", other.value)
    yield of_a("computes a clipped line for the sigmoid", lambda z, fn: fn.minimum(fn.maximum(z / 4 + 0.5, 0), 1))
    yield of_a("computes (1 + z/(1 + |z|))/2 for the sigmoid", lambda z, fn: (z / (1 + fn.absolute(z)) + 1) / 2)
    starts = (-2.0, -0.5, 0.1, 0.5, 1.5, 3.0)
    yield Entry(
        "preactivation", "multiplies the bias by {c} in the forward pass", lambda s, c: with_bias(c)(s), starts=starts
    )
    yield Entry("preactivation", "multiplies z by {c}", lambda s, c: times(s.right(), c, s), starts=starts)
    yield Entry("preactivation", "adds {c} to z", _shifted, starts=(0.0, -1.0, 1.0))
    yield Entry("preactivation", "clamps z to ±{c}", clipped_right, starts=(0.25, 0.5, 1.0, 2.0))
    yield Entry("activation", "multiplies the activations by {c}", lambda s, c: times(s.right(), c, s), starts=starts)


def _rounded(s: Scope, name: str, weights: bool) -> Matrix:
    """z with the weights, or what the layer receives, in a narrower format."""
    layer, received = s.arguments
    if weights:
        return s.ar.weighted_sums(received, in_format(layer.weights, name, s), layer.biases)
    return s.ar.weighted_sums(in_format(received, name, s), layer.weights, layer.biases)


def _shifted(s: Scope, by: float) -> Matrix:
    return s.ar.elementwise(lambda z, fn: z + fn.constant(by), s.right())
