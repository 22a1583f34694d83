"""What people write in place of a step's right formula: operands that stand beside the right one, constants, axes.

An `Entry` is one such formula. A constant in it is fitted to what was seen, not listed. The entries of a step are in the
order in which they are tried: what is left out or put in its place first, then what has a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, SOFTMAX, Activation, softmax_delta
from ..backprop import RULES, Layer, update
from ..losses import LOSSES
from ..more_activations import MORE_ACTIVATIONS
from ..numbers import Functions, Matrix, Number
from .scope import Scope
from .wrong_rules import picked, scaled, square, zeros

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """A formula for a step. words: completing "the implementation …", with {c} for a fitted constant

    formula: of what is in scope and the constant. Raises KeyError, or gives None, where it has no meaning
    fit: the constant, from what is in scope (float64 arrays) and what was seen; None for an entry without one
    linear: whether the result is ∂E/∂a times something, for an entry of δ
    """

    step: str
    words: str
    formula: Callable[[Scope, float], Matrix | None]
    fit: Callable[[Scope, Array], float] | None = None
    mistake: str = ""
    linear: bool = True


Elementwise = Callable[..., Number]  # (z, a, e, functions)

# What stands where f′(z) belongs; e is ∂E/∂a. Of f itself: see `slopes`.
IN_PLACE_OF_SLOPE: tuple[tuple[str, Elementwise], ...] = (
    ("a(1 − a)", lambda z, a, e, fn: a * (1 - a)),
    ("1 − a²", lambda z, a, e, fn: 1 - a * a),
    ("(1 − a)²", lambda z, a, e, fn: (1 - a) * (1 - a)),
    ("1 − a", lambda z, a, e, fn: 1 - a),
    ("1 + a", lambda z, a, e, fn: 1 + a),
    ("a²", lambda z, a, e, fn: a * a),
    ("a", lambda z, a, e, fn: a),
    ("z", lambda z, a, e, fn: z),
    ("1 − z", lambda z, a, e, fn: 1 - z),
    ("1 − z²", lambda z, a, e, fn: 1 - z * z),
    ("z(1 − z)", lambda z, a, e, fn: z * (1 - z)),
    ("a(1 + a)", lambda z, a, e, fn: a * (1 + a)),
    ("|a|", lambda z, a, e, fn: fn.absolute(a)),
    ("1 where z is negative", lambda z, a, e, fn: fn.step(-z)),
)
OF_ERROR: tuple[tuple[str, Elementwise], ...] = (
    ("e(1 − e), of the error,", lambda z, a, e, fn: e * (1 - e)),
    ("1 − e, of the error,", lambda z, a, e, fn: 1 - e),
    ("1 − e², of the error,", lambda z, a, e, fn: 1 - e * e),
    ("1 where the error is positive", lambda z, a, e, fn: fn.step(e)),
)

FORMULAS = {"sigmoid": " a(1 − a)", "tanh": " 1 − a²", "relu": " 1 where z > 0", "softplus": " σ(z)", "identity": " 1"}

# What stands where ∂E/∂o belongs, beside the derivatives of known losses.
IN_PLACE_OF_ERROR: tuple[tuple[str, Elementwise], ...] = (
    ("o − t", lambda o, t, fn: o - t),
    ("2(o − t)", lambda o, t, fn: 2 * (o - t)),
    ("(o − t)²", lambda o, t, fn: (o - t) * (o - t)),
    ("(o − t)²/2", lambda o, t, fn: (o - t) * (o - t) / 2),
    ("(o − t)³", lambda o, t, fn: (o - t) * (o - t) * (o - t)),
    ("|o − t|", lambda o, t, fn: fn.absolute(o - t)),
    ("the sign of o − t", lambda o, t, fn: 2 * fn.step(o - t) - 1),
    ("o", lambda o, t, fn: o),
    ("t", lambda o, t, fn: t),
    ("o + t", lambda o, t, fn: o + t),
    ("1", lambda o, t, fn: 0 * o + 1),
    ("1 − t", lambda o, t, fn: 1 - t),
    ("t·o", lambda o, t, fn: t * o),
    ("t/o", lambda o, t, fn: t / o),
    ("1/o", lambda o, t, fn: 1 / o),
    ("(o − t)/o", lambda o, t, fn: (o - t) / o),
    ("(o − t)/(1 − o)", lambda o, t, fn: (o - t) / (1 - o)),
    ("o(o − t)", lambda o, t, fn: o * (o - t)),
    ("t(o − t)", lambda o, t, fn: t * (o - t)),
    ("(1 − o)(o − t)", lambda o, t, fn: (1 - o) * (o - t)),
    ("o² − t²", lambda o, t, fn: o * o - t * t),
)


def elementwise_slope(formula: Elementwise) -> Callable[[Scope, float], Matrix]:
    """∂E/∂a times what stands for the slope."""

    def delta(scope: Scope, _: float) -> Matrix:
        _, z, a, error = scope.arguments
        return scope.ar.elementwise(lambda z, a, e, fn: e * formula(z, a, e, fn), z, a, error)

    return delta


def slopes(step: str, activation: Activation) -> Iterator[Entry]:
    """Entries of a delta: another slope than the activation's own."""

    def entry(words: str, formula: Elementwise, mistake: str = "") -> Entry:
        return Entry(step, words, elementwise_slope(formula), None, mistake)

    if activation is SOFTMAX:
        yield entry("leaves softmax's Jacobian out", lambda z, a, e, fn: 1, "δ = ∂E/∂o")
        yield entry("keeps only the diagonal a(1 − a) of softmax's Jacobian", lambda z, a, e, fn: a * (1 - a))
        yield Entry(
            step,
            "applies softmax's Jacobian twice",
            lambda scope, _: softmax_delta(softmax_delta(scope.arguments[3], scope.arguments[2], scope.ar), scope.arguments[2], scope.ar),
        )  # fmt: skip
        return
    f, d = activation.value, activation.derivative
    own = f"{activation.name}'s derivative{FORMULAS.get(activation.name, '')}"
    yield entry(f"leaves {own} out", lambda z, a, e, fn: 1, "δ without ⊙ f′(z)")
    yield entry(f"takes {own} at a instead of z", lambda z, a, e, fn: d(a, f(a, fn), fn), "f′(f(z))")
    yield entry(f"multiplies by {own} twice", lambda z, a, e, fn: d(z, a, fn) * d(z, a, fn))
    yield entry(f"puts z where the formula of {own} wants a", lambda z, a, e, fn: d(z, z, fn))
    yield entry(f"puts a where the formula of {own} wants z", lambda z, a, e, fn: d(a, a, fn))
    yield entry(f"divides by {own}", lambda z, a, e, fn: 1 / d(z, a, fn))
    yield entry(f"takes {own} at −z", lambda z, a, e, fn: d(-z, f(-z, fn), fn))
    yield Entry(
        step, "uses slope {c} below zero in the backward pass", _slope_below, _fitted_below,
        f"the forward pass has {activation.name}; the backward pass another slope",
    )  # fmt: skip
    for other in (*ACTIVATIONS.values(), *MORE_ACTIVATIONS.values()):
        if other.name != activation.name:
            yield entry(
                f"takes the derivative of {other.name} for that of {activation.name}",
                lambda z, a, e, fn, other=other: other.derivative(z, other.value(z, fn), fn),
            )
    for text, formula in IN_PLACE_OF_SLOPE:
        yield entry(f"takes {text} for {own}", formula)
    for text, formula in OF_ERROR:
        yield Entry(step, f"takes {text} for {own}", elementwise_slope(formula), None, "", linear=False)
    for offset, where in ((1, "above"), (-1, "below")):
        yield Entry(step, f"takes the derivative of the layer {where}", _slope_of_layer(offset))
    yield Entry(step, f"multiplies by f itself beside {own}", elementwise_slope(lambda z, a, e, fn: a * d(z, a, fn)))


def _slope_below(scope: Scope, below: float) -> Matrix:
    _, z, _, error = scope.arguments
    return scope.ar.elementwise(
        lambda z, e, fn: e * (fn.step(z) + fn.constant(below) * (1 - fn.step(z))), z, error
    )  # fmt: skip


def _fitted_below(scope: Scope, seen: Array) -> float:
    _, z, _, error = scope.arguments
    below = (z < 0) & (error != 0)
    return ratio(seen[below], error[below])


def _slope_of_layer(offset: int) -> Callable[[Scope, float], Matrix | None]:
    def delta(scope: Scope, _: float) -> Matrix | None:
        _, z, _, error = scope.arguments
        layer = scope.layers.get(scope.layer + offset)
        if layer is None or layer.activation is SOFTMAX:
            return None
        other_z, other_a = scope.of("pre_activations", offset), scope.of("activations", offset)
        if scope.ar.shape(other_z) != scope.ar.shape(z):
            return None
        d = layer.activation.derivative
        return scope.ar.elementwise(lambda e, z, a, fn: e * d(z, a, fn), error, other_z, other_a)

    return delta


def output_errors() -> Iterator[Entry]:
    """Entries of ∂E/∂o."""

    def entry(words: str, formula: Elementwise) -> Entry:
        return Entry("output_error", words, lambda scope, _: _reduced(scope, formula))

    for loss in LOSSES.values():
        yield Entry(
            "output_error", f"has the derivative of {loss.name.replace('_', ' ')} for ∂E/∂o",
            lambda scope, _, loss=loss: _of_loss(scope, loss),
        )  # fmt: skip
    for text, formula in IN_PLACE_OF_ERROR:
        yield entry(f"takes {text} for ∂E/∂o", formula)
    yield Entry("output_error", "clips ∂E/∂o to ±{c}", _clipped_right, lambda scope, seen: float(np.abs(seen).max()))
    yield Entry(
        "output_error", "takes every output's error for all of them, added up",
        lambda scope, _: scope.ar.matmul(scope.right(), scope.ar.ones(*[scope.ar.shape(scope.outputs)[1]] * 2)),
    )  # fmt: skip


def _reduced(scope: Scope, formula: Elementwise) -> Matrix:
    objective, outputs, targets = scope.arguments
    batch, _ = scope.ar.shape(outputs)
    divisor = batch if objective.reduction == "mean" else 1
    return scope.ar.elementwise(lambda o, t, fn: formula(o, t, fn) / divisor, outputs, targets)


def _of_loss(scope: Scope, loss: Any) -> Matrix | None:
    objective, outputs, targets = scope.arguments
    if loss is objective.loss:
        return None
    batch, _ = scope.ar.shape(outputs)
    divisor = batch if objective.reduction == "mean" else 1
    return scope.ar.elementwise(lambda e, fn: e / divisor, loss.derivative(outputs, targets, scope.ar))


def _clipped_right(scope: Scope, limit: float) -> Matrix:
    return clipped(scope.right(), limit, scope)


def clipped(matrix: Matrix, limit: float, scope: Scope) -> Matrix:
    return scope.ar.elementwise(
        lambda x, fn: fn.minimum(fn.maximum(x, -fn.constant(limit)), fn.constant(limit)), matrix
    )  # fmt: skip


def hidden_errors() -> Iterator[Entry]:
    """Entries of ∂E/∂a of a hidden layer."""

    def entry(words: str, formula: Callable[[Scope], Matrix | None], mistake: str = "") -> Entry:
        return Entry("hidden_error", words, lambda scope, _: formula(scope), None, mistake)

    def through(scope: Scope, quantity: Matrix) -> Matrix:
        return RULES.hidden_error(scope.above(), quantity, scope.ar)

    def weights_as(change: Callable[[Number, Functions], Number]) -> Callable[[Scope], Matrix]:
        return lambda s: s.ar.matmul(s.arguments[1], s.ar.elementwise(change, s.above().weights))

    def narrowed(s: Scope, quantity: Matrix) -> Matrix | None:
        return quantity if s.ar.shape(quantity) == s.ar.shape(s.of("activations")) else None

    yield entry(
        "leaves out the error from above: δ = f′(z) alone, without Wᵀδ",
        lambda s: s.ar.ones(*s.ar.shape(s.of("activations"))),
        "the incoming gradient is overwritten by the derivative instead of multiplied with it",
    )
    yield entry(
        "sends the raw error o − y back: Wᵀ(o − y), where Wᵀδ belongs",
        lambda s: through(s, _raw(s)) if s.layer + 1 == max(s.layers) else None,
        "the layer above's derivative is applied to its weights only",
    )
    yield entry(
        "sends ∂E/∂a of the layer above back, where its δ belongs: its derivative is left out on the way down",
        lambda s: through(s, s.of("errors", 1)),
    )
    yield entry(
        "adds the deltas above up without their weights",
        lambda s: s.ar.matmul(s.arguments[1], s.ar.ones(*s.ar.shape(s.above().weights))),
    )
    yield entry("hands the deltas above on as they are, without the weights", lambda s: narrowed(s, s.arguments[1]))
    yield entry("uses |w| on the way back", weights_as(lambda w, fn: fn.absolute(w)))
    yield entry("uses w² on the way back", weights_as(lambda w, fn: w * w))
    yield entry("uses only the positive weights on the way back", weights_as(lambda w, fn: fn.maximum(w, 0)))
    yield entry("uses the sign of each weight on the way back", weights_as(lambda w, fn: 2 * fn.step(w) - 1))
    yield entry(
        "uses the weights the wrong way round on the way back",
        lambda s: (
            s.ar.matmul(s.arguments[1], s.ar.transpose(s.above().weights)) if square(s.above().weights, s.ar) else None
        ),
    )
    yield entry(
        "multiplies by a², beside Wᵀδ",
        lambda s: s.ar.elementwise(lambda e, a, fn: e * a * a, s.right(), s.of("activations")),
    )
    for where in (0, -1):
        yield entry(
            f"takes its error from the {'first' if where == 0 else 'last'} unit above alone",
            lambda s, where=where: _one_unit(s, where),
        )
    yield Entry(
        "hidden_error", "uses weights that are updated already, by {c} of their gradient", _updated_above, _fitted_update,
        "update and delta in one loop",
    )  # fmt: skip
    yield Entry(
        "hidden_error",
        "clips the error from above to ±{c}",
        _clipped_right,
        lambda scope, seen: float(np.abs(seen).max()),
    )


def _raw(scope: Scope) -> Matrix:
    """o − t, as the objective reduces it."""
    assert scope.objective is not None
    batch, _ = scope.ar.shape(scope.outputs)
    divisor = batch if scope.objective.reduction == "mean" else 1
    return scope.ar.elementwise(lambda o, t, fn: (o - t) / divisor, scope.outputs, scope.targets)


def _one_unit(scope: Scope, unit: int) -> Matrix | None:
    _, delta = scope.arguments
    batch, units = scope.ar.shape(delta)
    if units == 1:
        return None
    kept = scope.ar.lift([[1.0 if j == unit % units else 0.0 for j in range(units)]] * batch)
    return RULES.hidden_error(scope.above(), scope.ar.elementwise(lambda d, k, fn: d * k, delta, kept), scope.ar)


def _updated_above(scope: Scope, rate: float) -> Matrix:
    layer, delta = scope.arguments
    gradient = RULES.weight_gradient(delta, scope.of("activations"), scope.ar)
    return scope.ar.matmul(delta, update(layer.weights, gradient, rate, scope.ar))


def _fitted_update(scope: Scope, seen: Array) -> float:
    gradient = RULES.weight_gradient(scope.arguments[1], scope.of("activations"), scope.ar)
    return -ratio((seen - scope.right()).ravel(), (scope.arguments[1] @ gradient).ravel())


# ------------------------------------------------------------------------------------------------ forward


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
            own = Layer(s.arguments[0].weights, scaled(biases, factor, s.ar), s.arguments[0].activation)
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
    yield Entry("preactivation", "multiplies z by {c}", lambda s, c: times(s.right(), c, s), None)

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


# ---------------------------------------------------------------------------------------------- gradients


def weight_gradients() -> Iterator[Entry]:
    """Entries of ∂E/∂W: another left operand, another right one, terms added, elements changed."""

    def entry(words: str, formula: Callable[[Scope], Matrix | None], mistake: str = "") -> Entry:
        return Entry("weight_gradient", words, lambda scope, _: formula(scope), None, mistake)

    def outer(s: Scope, left: Matrix, right: Matrix) -> Matrix | None:
        shapes = s.ar.shape(left), s.ar.shape(right)
        own = s.ar.shape(s.arguments[0]), s.ar.shape(s.arguments[1])
        return RULES.weight_gradient(left, right, s.ar) if shapes == own else None

    def below(s: Scope) -> Activation:
        return s.layers[s.layer - 1].activation

    yield entry("leaves the weight gradient at zero", lambda s: zeros(s.right(), s.ar))
    yield entry(
        "uses z of the layer below for the weight gradient, where its a belongs",
        lambda s: outer(s, s.arguments[0], s.of("pre_activations", -1)),
        "the list of z for the list of a",
    )
    yield entry(
        "uses the layer's own activations for its weight gradient",
        lambda s: outer(s, s.arguments[0], s.of("activations")),
        "an index that is off by one",
    )
    yield entry(
        "uses the network's inputs for the weight gradient",
        lambda s: outer(s, s.arguments[0], s.values["activations", -1]),
    )
    yield entry(
        "takes 1 for the activations below in the weight gradient",
        lambda s: outer(s, s.arguments[0], s.ar.ones(*s.ar.shape(s.arguments[1]))),
    )
    yield entry(
        "uses a² of the layer below for the weight gradient",
        lambda s: outer(s, s.arguments[0], s.ar.elementwise(lambda a, fn: a * a, s.arguments[1])),
    )
    yield entry(
        "applies the activation once more to what the layer received, in the weight gradient",
        lambda s: (
            None
            if s.layer == 0 or below(s) is SOFTMAX
            else outer(s, s.arguments[0], s.ar.activate(below(s), s.arguments[1]))
        ),
    )
    yield entry(
        "uses ∂E/∂a for δ in the weight gradient: the derivative is left out there",
        lambda s: outer(s, s.of("errors"), s.arguments[1]),
    )
    yield entry(
        "multiplies by the derivative once more in the weight gradient", lambda s: outer(s, _sloped(s), s.arguments[1])
    )
    yield entry(
        "uses the δ of the layer above for the weight gradient", lambda s: outer(s, s.of("deltas", 1), s.arguments[1])
    )
    yield entry("uses o − t for δ in the weight gradient", lambda s: outer(s, _raw(s), s.arguments[1]))
    yield entry(
        "transposes the weight gradient",
        lambda s: s.ar.transpose(s.right()) if square(s.right(), s.ar) else None,
        "aᵀδ for δᵀa",
    )
    yield entry(
        "uses the sign of the weight gradient alone",
        lambda s: s.ar.elementwise(lambda g, fn: fn.step(g) - fn.step(-g), s.right()),
    )
    yield entry("uses |∂E/∂W|", lambda s: s.ar.elementwise(lambda g, fn: fn.absolute(g), s.right()))
    yield Entry(
        "weight_gradient",
        "adds {c} · w to the weight gradient (weight decay)",
        lambda s, c: _with(s, c, lambda w, fn: w),
        lambda s, seen: _fitted_term(s, seen, lambda w: w),
        "weight decay",
    )
    yield Entry(
        "weight_gradient",
        "adds {c} · sign(w) to the weight gradient (an L1 penalty)",
        lambda s, c: _with(s, c, lambda w, fn: fn.step(w) - fn.step(-w)),
        lambda s, seen: _fitted_term(s, seen, np.sign),
    )
    yield Entry(
        "weight_gradient",
        "adds {c} to every element of the weight gradient",
        lambda s, c: _with(s, c, lambda w, fn: 0 * w + 1),
        lambda s, seen: _fitted_term(s, seen, np.ones_like),
    )
    yield Entry(
        "weight_gradient",
        "clips the weight gradient to ±{c}",
        _clipped_right,
        lambda scope, seen: float(np.abs(seen).max()),
        "gradient clipping left on",
    )
    yield Entry(
        "weight_gradient", "multiplies one element of the weight gradient, {at}, by {c}", _one_element, _fitted_element
    )
    yield Entry(
        "weight_gradient", "multiplies one unit's row of the weight gradient, {at}, by {c}", _one_row, _fitted_row
    )
    yield Entry(
        "weight_gradient", "multiplies one column of the weight gradient, {at}, by {c}", _one_column, _fitted_column
    )


def _sloped(s: Scope) -> Matrix:
    activation = s.layers[s.layer].activation
    if activation is SOFTMAX:
        return softmax_delta(s.arguments[0], s.of("activations"), s.ar)
    d = activation.derivative
    return s.ar.elementwise(
        lambda x, z, a, fn: x * d(z, a, fn), s.arguments[0], s.of("pre_activations"), s.of("activations")
    )


def _own(scope: Scope) -> Matrix:
    """The parameters whose gradient it is."""
    layer = scope.layers[scope.layer]
    return layer.weights if scope.step == "weight_gradient" else layer.biases


def _with(scope: Scope, constant: float, term: Callable[[Number, Functions], Number]) -> Matrix:
    return scope.ar.elementwise(lambda g, w, fn: g + fn.constant(constant) * term(w, fn), scope.right(), _own(scope))


def _fitted_term(scope: Scope, seen: Array, term: Callable[[Array], Array]) -> float:
    return ratio((seen - scope.right()).ravel(), term(np.asarray(_own(scope))).ravel())


# One element, row or column has its place in the constant's whole part: place + 1, and the factor is carried beside it.


@dataclass(frozen=True)
class Placed:
    """A factor, and where it belongs: flat position, row or column."""

    at: int
    factor: float


def _placed(scope: Scope, placed: Any, mask: Callable[[int, int, int], bool]) -> Matrix:
    rows, columns = scope.ar.shape(scope.right())
    kept = [[1.0 if mask(i, j, columns) else 0.0 for j in range(columns)] for i in range(rows)]
    return scope.ar.elementwise(
        lambda g, k, fn: (1 - k) * g + k * (fn.constant(placed.factor) * g), scope.right(), scope.ar.lift(kept)
    )


def _one_element(scope: Scope, placed: Any) -> Matrix:
    return _placed(scope, placed, lambda i, j, columns: i * columns + j == placed.at)


def _one_row(scope: Scope, placed: Any) -> Matrix:
    return _placed(scope, placed, lambda i, j, columns: i == placed.at)


def _one_column(scope: Scope, placed: Any) -> Matrix:
    return _placed(scope, placed, lambda i, j, columns: j == placed.at)


def _fitted_place(scope: Scope, seen: Array, axis: int | None) -> Any:
    right = np.asarray(scope.right())
    with np.errstate(all="ignore"):
        off = np.abs(seen - right)
        along = off.ravel() if axis is None else off.max(axis=1 - axis)
        at = int(np.argmax(along))
        part = (slice(None), at) if axis == 1 else at
        one, other = (seen.ravel(), right.ravel()) if axis is None else (seen, right)
    return Placed(at, ratio(np.atleast_1d(one[part]), np.atleast_1d(other[part])))


def _fitted_element(scope: Scope, seen: Array) -> Any:
    return _fitted_place(scope, seen, None)


def _fitted_row(scope: Scope, seen: Array) -> Any:
    return _fitted_place(scope, seen, 0)


def _fitted_column(scope: Scope, seen: Array) -> Any:
    return _fitted_place(scope, seen, 1)


def bias_gradients() -> Iterator[Entry]:
    """Entries of ∂E/∂b."""

    def entry(words: str, formula: Callable[[Scope], Matrix | None], mistake: str = "") -> Entry:
        return Entry("bias_gradient", words, lambda scope, _: formula(scope), None, mistake)

    def summed(s: Scope, quantity: Matrix) -> Matrix | None:
        if s.ar.shape(quantity) != s.ar.shape(s.arguments[0]):
            return None
        return RULES.bias_gradient(quantity, s.ar)

    def row_sums(s: Scope) -> Matrix:
        gradient = s.of("weight_gradients")
        return s.ar.transpose(s.ar.matmul(gradient, s.ar.ones(s.ar.shape(gradient)[1], 1)))

    def over_units(s: Scope) -> Matrix:
        units = s.ar.shape(s.arguments[0])[1]
        return s.ar.matmul(s.right(), s.ar.ones(units, units))

    yield entry("leaves the bias gradient at zero", lambda s: zeros(s.right(), s.ar))
    yield entry(
        "takes the row sums of the weight gradient for the bias gradient", row_sums, "dW.sum(axis=1) for δ.sum(axis=0)"
    )
    yield entry(
        "takes the row means of the weight gradient for the bias gradient",
        lambda s: s.ar.elementwise(
            lambda x, fn: x / s.ar.shape(s.arguments[0])[1] if False else x / s.ar.shape(s.of("weight_gradients"))[1],
            row_sums(s),
        ),
    )
    yield entry(
        "adds the bias gradient up over units too, so that all are equal (one shared bias)",
        over_units,
        "sum() without an axis",
    )
    yield entry(
        "averages the bias gradient over units, so that all are equal",
        lambda s: s.ar.elementwise(lambda x, fn: x / s.ar.shape(s.arguments[0])[1], over_units(s)),
    )
    yield entry(
        "uses ∂E/∂a for δ in the bias gradient: the derivative is left out there", lambda s: summed(s, s.of("errors"))
    )
    yield entry("multiplies by the derivative once more in the bias gradient", lambda s: summed(s, _sloped(s)))
    yield entry("uses o − t for δ in the bias gradient", lambda s: summed(s, _raw(s)))
    yield entry("uses the δ of the layer above for the bias gradient", lambda s: summed(s, s.of("deltas", 1)))
    yield entry(
        "multiplies δ by a in the bias gradient",
        lambda s: summed(s, s.ar.elementwise(lambda d, a, fn: d * a, s.arguments[0], s.of("activations"))),
    )
    yield entry(
        "has the bias gradient in reverse order",
        lambda s: s.ar.transpose(
            picked(list(reversed(range(s.ar.shape(s.arguments[0])[1]))), s.ar.transpose(s.right()), s.ar)
        ),
    )
    yield entry("uses |∂E/∂b|", lambda s: s.ar.elementwise(lambda g, fn: fn.absolute(g), s.right()))
    yield entry(
        "uses the sign of the bias gradient alone",
        lambda s: s.ar.elementwise(lambda g, fn: fn.step(g) - fn.step(-g), s.right()),
    )
    yield Entry(
        "bias_gradient",
        "adds {c} · b to the bias gradient (weight decay of biases)",
        lambda s, c: _with(s, c, lambda w, fn: w),
        lambda s, seen: _fitted_term(s, seen, lambda w: w),
        "weight decay that includes the biases",
    )
    yield Entry(
        "bias_gradient",
        "adds {c} to every element of the bias gradient",
        lambda s, c: _with(s, c, lambda w, fn: 0 * w + 1),
        lambda s, seen: _fitted_term(s, seen, np.ones_like),
    )
    yield Entry(
        "bias_gradient",
        "clips the bias gradient to ±{c}",
        _clipped_right,
        lambda scope, seen: float(np.abs(seen).max()),
        "gradient clipping left on",
    )
    yield Entry(
        "bias_gradient", "multiplies one unit of the bias gradient, {at}, by {c}", _one_element, _fitted_element
    )


# ------------------------------------------------------------------------------------------- over samples


def over_samples(step: str) -> Iterator[Entry]:
    """Entries that differ from the right formula on several samples alone."""

    def rows(s: Scope, kept: Sequence[float]) -> Matrix:
        """The rule's result with its first operand's rows times these."""
        first, *rest = s.arguments
        units = s.ar.shape(first)[1]
        masked = s.ar.elementwise(lambda d, k, fn: d * k, first, s.ar.lift([[k] * units for k in kept]))
        return getattr(RULES, step)(masked, *rest, s.ar)

    def samples(s: Scope) -> int:
        matrix = s.right() if step.endswith("error") else s.arguments[0]
        return s.ar.shape(matrix)[0]

    what = {
        "weight_gradient": "the weight gradient", "bias_gradient": "the bias gradient", "output_error": "∂E/∂o",
        "output_delta": "δ", "hidden_delta": "δ",
    }[step]  # fmt: skip

    def entry(words: str, weights: Callable[[int], Sequence[float]]) -> Entry:
        def formula(s: Scope, _: float) -> Matrix:
            if step in ("weight_gradient", "bias_gradient"):
                return rows(s, weights(samples(s)))
            right = s.right()
            batch, units = s.ar.shape(right)
            kept = s.ar.lift([[w] * units for w in weights(batch)])
            return s.ar.elementwise(lambda d, k, fn: d * k, right, kept)

        return Entry(step, words, formula)

    def only(which: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [1.0 if i == which % n else 0.0 for i in range(n)]

    def without(which: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [0.0 if n > 1 and i == which % n else 1.0 for i in range(n)]

    def divided(by: Callable[[int], float]) -> Callable[[Scope, float], Matrix]:
        def formula(s: Scope, _: float) -> Matrix:
            count = by(s.ar.shape(s.outputs)[0])
            return s.ar.elementwise(lambda g, fn: g / count if count > 1 else g * (1 / count), s.right())

        return formula

    yield Entry(step, f"divides {what} by the number of samples once too often", divided(lambda n: n))
    yield Entry(step, f"does not divide {what} by the number of samples", divided(lambda n: 1 / n))
    yield Entry(step, f"divides {what} by the number of samples twice too often", divided(lambda n: n * n))
    yield entry(f"uses the last sample alone for {what}", only(-1))
    yield entry(f"uses the first sample alone for {what}", only(0))
    yield entry(f"drops the last sample from {what}", without(-1))
    yield entry(f"drops the first sample from {what}", without(0))
    yield Entry(step, f"divides {what} by the number of samples less one", divided(lambda n: max(n - 1, 1)))
    if step == "weight_gradient":
        yield Entry(step, "pairs each delta with the next sample's activations", _shifted)


def _shifted(s: Scope, _: float) -> Matrix:
    delta, received = s.arguments
    batch, _columns = s.ar.shape(delta)
    return RULES.weight_gradient(delta, picked([(i + 1) % batch for i in range(batch)], received, s.ar), s.ar)


# ------------------------------------------------------------------------------------------------ constants


def times(matrix: Matrix, factor: float, scope: Scope) -> Matrix:
    return scope.ar.elementwise(lambda x, fn: fn.constant(factor) * x, matrix)


def ratio(seen: Array, right: Array) -> float:
    """The constant that is nearest to seen / right, by least squares; NaN where nothing tells it."""
    with np.errstate(all="ignore"):
        return float(np.divide(seen.ravel() @ right.ravel(), right.ravel() @ right.ravel()))


def snapped(constant: float, nearly: float) -> float:
    """The shortest decimal, or simple fraction, that is nearly this constant: 0.1, 1/3, 1.0001.

    nearly: the relative distance that is allowed; what is not near a short number stays as it is
    """
    if not math.isfinite(constant):
        return 0.0
    for digits in range(1, 10):
        short = float(f"{constant:.{digits}g}")
        if abs(short - constant) <= nearly * abs(constant):
            return short
    for below in range(3, 65):
        above = round(constant * below)
        if above and abs(above / below - constant) <= nearly * abs(constant):
            return above / below
    return constant
