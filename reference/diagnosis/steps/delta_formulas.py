"""What people write in place of the backward pass: another slope, another ∂E/∂o, another way through the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ...activations import ACTIVATIONS, SOFTMAX, Activation, activate, softmax_delta
from ...backprop import RULES, update
from ...losses import LOSSES, Loss
from ...more_activations import MORE_ACTIVATIONS
from ...numbers import Functions, Matrix, Number
from ..catalogue.wrong_rules import square
from .scope import Scope
from .vocabulary import (
    FORMATS,
    Array,
    Elementwise,
    Entry,
    as_it_is,
    clipped_right,
    in_format,
    largest,
    ratio,
    raw_error,
)

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
    ("1 above zero and a below", lambda z, a, e, fn: fn.step(z) + (1 - fn.step(z)) * a),
    ("1 above zero and a + 1 below", lambda z, a, e, fn: fn.step(z) + (1 - fn.step(z)) * (a + 1)),
    ("1 where z is negative", lambda z, a, e, fn: fn.step(-z)),
    ("√(1 − a²), of tanh 1/cosh z,", lambda z, a, e, fn: fn.sqrt(1 - a * a)),
    ("1/(1 + |z|)", lambda z, a, e, fn: 1 / (1 + fn.absolute(z))),
    ("1/(1 + z)²", lambda z, a, e, fn: 1 / ((1 + z) * (1 + z))),
)
GATED = ("silu", "gelu", "gelu_tanh", "mish", "hardswish")  # f = z · g(z), whose derivative has two terms
SMOOTHED = (0.1, 0.05, 0.2, 0.01)  # by which people smooth targets (Szegedy et al., 2016, §7: 0.1)
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
    ("√|o − t|", lambda o, t, fn: fn.sqrt(fn.absolute(o - t))),
    ("the sign of o − t", lambda o, t, fn: 2 * fn.step(o - t) - 1),
    ("o − t, and nothing beyond ±1,", lambda o, t, fn: (o - t) * (1 - fn.step(fn.absolute(o - t) - 1))),
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
        own = "softmax's Jacobian"
        yield entry(f"leaves {own} out", lambda z, a, e, fn: 1, "δ = ∂E/∂o")
        yield entry(f"keeps only the diagonal a(1 − a) of {own}", lambda z, a, e, fn: a * (1 - a))
        yield Entry(
            step,
            f"applies {own} twice",
            lambda s, _: softmax_delta(softmax_delta(s.arguments[3], s.arguments[2], s.ar), s.arguments[2], s.ar),
            linear=False,
        )
        yield from _elementwise_slopes(entry, activation, own)
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
    yield entry(f"takes {own} from z, though a is another activation's", lambda z, a, e, fn: d(z, f(z, fn), fn))
    if activation.name.partition("(")[0] in GATED:
        rule = f"of {own}, f = z · g(z)"
        yield entry(f"keeps only the term g(z) {rule}", lambda z, a, e, fn: a / z)
        yield entry(f"keeps only the term z · g′(z) {rule}", lambda z, a, e, fn: d(z, a, fn) - a / z)
    yield Entry(
        step, "uses slope {c} below zero in the backward pass", _slope_below, _fitted_below,
        f"the forward pass has {activation.name}; the backward pass another slope",
    )  # fmt: skip
    yield Entry(step, "clips δ to ±{c}", clipped_right, largest, "", linear=False, limit=as_it_is)
    yield from _elementwise_slopes(entry, activation, own)
    yield Entry(
        step,
        f"multiplies by {own}, and keeps positive errors alone (guided backpropagation)",
        elementwise_slope(lambda z, a, e, fn: fn.step(e) * d(z, a, fn)),
        linear=False,
    )
    for text, formula in OF_ERROR:
        yield Entry(step, f"takes {text} for {own}", elementwise_slope(formula), None, "", linear=False)
    if step == "output_delta":
        yield Entry(step, f"takes t(1 − t), of the target, for {own}", _slope_of_target)
    for offset, where in ((1, "above"), (-1, "below")):
        yield Entry(step, f"takes the derivative of the layer {where}", _slope_of_layer(offset))
    yield Entry(step, f"multiplies by f itself beside {own}", elementwise_slope(lambda z, a, e, fn: a * d(z, a, fn)))


def _elementwise_slopes(
    entry: Callable[[str, Elementwise], Entry], activation: Activation, own: str
) -> Iterator[Entry]:
    """Formulas of z and a that are somebody's derivative, or look like one."""
    right = own if activation is SOFTMAX else f"that of {activation.name}"
    for other in (*ACTIVATIONS.values(), *MORE_ACTIVATIONS.values()):
        if other.name != activation.name and (other.name, activation.name) != ("softplus", "sigmoid"):  # that is a
            yield entry(
                f"takes the derivative of {other.name} for {right}",
                lambda z, a, e, fn, other=other: other.derivative(z, other.value(z, fn), fn),
            )
    for text, formula in IN_PLACE_OF_SLOPE:
        yield entry(f"takes {text} for {own}", formula)


def _slope_of_target(scope: Scope, _: float) -> Matrix:
    return scope.ar.elementwise(lambda e, t, fn: e * (t * (1 - t)), scope.arguments[3], scope.targets)


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
            _derivative_of(loss),
        )  # fmt: skip
    for text, formula in IN_PLACE_OF_ERROR:
        yield entry(f"takes {text} for ∂E/∂o", formula)
    for smoothing in SMOOTHED:
        yield Entry(
            "output_error", f"smooths the targets by {smoothing}: (1 − {smoothing}) · t + {smoothing}/K, of K classes",
            partial(_smoothed, smoothing=smoothing),
        )  # fmt: skip
    for words, taken in TAKEN.items():
        yield Entry("output_error", f"takes {words}", partial(_with_targets_of, taken=taken))
    yield Entry("output_error", "clips ∂E/∂o to ±{c}", clipped_right, largest, limit=as_it_is)
    yield Entry(
        "output_error", "clips ∂E/∂o of each sample to ±{c}, before it is averaged", _clipped_before, _largest_before,
        limit=_divisor,
    )  # fmt: skip
    yield Entry(
        "output_error", "takes every output's error for all of them, added up",
        lambda scope, _: scope.ar.matmul(scope.right(), scope.ar.ones(*[scope.ar.shape(scope.outputs)[1]] * 2)),
    )  # fmt: skip


def _reduced(scope: Scope, formula: Elementwise) -> Matrix:
    objective, outputs, targets = scope.arguments
    batch, _ = scope.ar.shape(outputs)
    divisor = batch if objective.reduction == "mean" else 1
    return scope.ar.elementwise(lambda o, t, fn: formula(o, t, fn) / divisor, outputs, targets)


# The target that each of so many outputs is given, by its number.
TAKEN: dict[str, Callable[[int, int], int]] = {
    "the next output's target for each, as of classes that are counted from 1": lambda k, outputs: (k + 1) % outputs,
    "the previous output's target for each": lambda k, outputs: (k - 1) % outputs,
    "the targets in reverse order": lambda k, outputs: outputs - 1 - k,
    "the first output's target for all": lambda k, outputs: 0,
}


def _with_targets_of(scope: Scope, _: float, taken: Callable[[int, int], int]) -> Matrix | None:
    objective, outputs, targets = scope.arguments
    batch, units = scope.ar.shape(targets)
    if units == 1:
        return None
    order = [[row * units + taken(k, units) for k in range(units)] for row in range(batch)]
    return RULES.output_error(objective, outputs, scope.ar.rearranged(targets, order), scope.ar)


def _smoothed(scope: Scope, _: float, smoothing: float) -> Matrix:
    """∂E/∂o of smoothed targets."""
    objective, outputs, targets = scope.arguments
    _, classes = scope.ar.shape(targets)

    def less_sure(t: Number, fn: Functions) -> Number:
        return t * (1 - fn.constant(smoothing)) + fn.constant(smoothing) / classes

    return RULES.output_error(objective, outputs, scope.ar.elementwise(less_sure, targets), scope.ar)


def _divisor(scope: Scope) -> int:
    """What the objective divides by."""
    assert scope.objective is not None
    return int(scope.ar.shape(scope.outputs)[0]) if scope.objective.reduction == "mean" else 1


def _clipped_before(scope: Scope, limit: float) -> Matrix | None:
    divisor = _divisor(scope)
    if divisor == 1:
        return None if scope.objective is None or scope.objective.reduction != "mean" else clipped_right(scope, limit)
    return scope.ar.elementwise(
        lambda x, fn: fn.minimum(fn.maximum(x * divisor, -fn.constant(limit)), fn.constant(limit)) / divisor,
        scope.right(),
    )


def _largest_before(scope: Scope, seen: Array) -> float:
    return largest(scope, seen) * _divisor(scope)


def _derivative_of(loss: Loss) -> Callable[[Scope, float], Matrix | None]:
    def error(scope: Scope, _: float) -> Matrix | None:
        objective, outputs, targets = scope.arguments
        if loss is objective.loss:
            return None
        batch, _ = scope.ar.shape(outputs)
        divisor = batch if objective.reduction == "mean" else 1
        return scope.ar.elementwise(lambda e, fn: e / divisor, loss.derivative(outputs, targets, scope.ar))

    return error


UNITS = 8  # above, of which one alone may be used


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
        lambda s: through(s, raw_error(s)) if s.layer + 1 == max(s.layers) else None,
        "the layer above's derivative is applied to its weights only",
    )
    yield entry(
        "sends ∂E/∂a of the layer above back, where its δ belongs: its derivative is left out on the way down",
        lambda s: through(s, s.of("errors", 1)),
    )
    for quantity, what in (("errors", "∂E/∂o"), ("deltas", "the outputs' δ")):
        yield entry(
            f"sends {what} back through the weights above, where the δ above belongs",
            partial(_of_outputs, quantity=quantity, weighted=True),
        )
        yield entry(f"takes {what} for the error from above", partial(_of_outputs, quantity=quantity, weighted=False))
    yield entry(
        "adds the deltas above up without their weights",
        lambda s: s.ar.matmul(s.arguments[1], s.ar.ones(*s.ar.shape(s.above().weights))),
    )
    yield entry("uses the layer's own weights on the way back, where those of the layer above belong", _own_weights)
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
    for name in FORMATS:
        yield entry(f"has the weights in {name} on the way back", partial(_rounded, name=name, weights=True))
        yield entry(f"has δ of the layer above in {name} on the way back", partial(_rounded, name=name, weights=False))
    for where, name in ((0, "the first unit"), (-1, "the last unit"), *((k, f"unit {k + 1}") for k in range(1, UNITS))):
        yield entry(f"takes its error from {name} above alone", partial(_one_unit, unit=where))
    yield Entry(
        "hidden_error", "uses weights that are updated already, by {c} of their gradient", _updated_above,
        _fitted_update, "update and delta in one loop",
    )  # fmt: skip
    yield Entry("hidden_error", "clips the error from above to ±{c}", clipped_right, largest, limit=as_it_is)


def _own_weights(scope: Scope) -> Matrix | None:
    """The δ above through this layer's weights, where their shapes go together."""
    delta, own = scope.arguments[1], scope.layers[scope.layer].weights
    units, inputs = scope.ar.shape(own)
    fits = scope.ar.shape(delta)[1] == units and scope.ar.shape(scope.of("activations"))[1] == inputs
    return scope.ar.matmul(delta, own) if fits else None


def _of_outputs(scope: Scope, quantity: str, weighted: bool) -> Matrix | None:
    """What was computed at the output, where what was computed in the layer above belongs."""
    last = max(scope.layers)
    if scope.layer + 1 == last:
        return None
    matrix = scope.values[quantity, last]
    fits = scope.ar.shape(matrix) == scope.ar.shape(scope.of("deltas", 1) if weighted else scope.of("activations"))
    if not fits:
        return None
    return RULES.hidden_error(scope.above(), matrix, scope.ar) if weighted else matrix


def _rounded(scope: Scope, name: str, weights: bool) -> Matrix:
    """∂E/∂a with the weights, or δ, in a narrower format."""
    layer, delta = scope.arguments
    if weights:
        return scope.ar.matmul(delta, in_format(layer.weights, name, scope))
    return scope.ar.matmul(in_format(delta, name, scope), layer.weights)


def _one_unit(scope: Scope, unit: int) -> Matrix | None:
    _, delta = scope.arguments
    batch, units = scope.ar.shape(delta)
    if units == 1 or unit >= units:
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


# Of which powers a slope may be made: |z| and 1 ± a among them, as people write derivatives from memory. Last of z, a
# and f(a), of one element; f′ is softmax's diagonal.
FACTORS: tuple[tuple[str, Callable[[Number, Number, Number, Activation, Functions], Number]], ...] = (
    ("a", lambda z, a, again, f, fn: a),
    ("(1 − a)", lambda z, a, again, f, fn: 1 - a),
    ("(1 + a)", lambda z, a, again, f, fn: 1 + a),
    ("z", lambda z, a, again, f, fn: z),
    ("f′(z)", lambda z, a, again, f, fn: _own_slope(f, z, a, fn)),
    ("f′(a)", lambda z, a, again, f, fn: _own_slope(f, a, again, fn)),
    ("(1 − a²)", lambda z, a, again, f, fn: 1 - a * a),
)
MOST_FACTORS = 4  # in one product


def _own_slope(activation: Activation, z: Number, a: Number, fn: Functions) -> Number:
    """f′(z) of an element; of softmax, its Jacobian's diagonal."""
    return a * (1 - a) if activation is SOFTMAX else activation.derivative(z, a, fn)


def factors_in(scope: Scope, activation: Activation, z: Matrix, a: Matrix) -> list[Matrix]:
    """Each of `FACTORS` as a matrix."""
    again = activate(activation, a, scope.ar)
    return [
        scope.ar.elementwise(lambda z, a, s, fn, f=f: f(z, a, s, activation, fn) + 0 * z, z, a, again)
        for _, f in FACTORS
    ]


def product_of_powers(step: str, powers: Sequence[int], factor: float, activation: Activation) -> Entry:
    """δ with c · aⁱ(1 − a)ʲ(1 + a)ᵏzˡf′(z)ᵐ for f′(z)."""
    words = "".join(text + ("" if n == 1 else _power(n)) for (text, _), n in zip(FACTORS, powers, strict=True) if n)
    own = f"{activation.name}'s derivative{FORMULAS.get(activation.name, '')}"

    def delta(scope: Scope, _: float) -> Matrix:
        _, z, a, error = scope.arguments
        again = activate(activation, a, scope.ar)

        def product(e: Number, z: Number, a: Number, s: Number, fn: Functions) -> Number:
            made: Number = e * fn.constant(factor) if factor != 1 else e
            for (_, formula), n in zip(FACTORS, powers, strict=True):
                for _ in range(n):
                    made = made * formula(z, a, s, activation, fn)
            return made

        return scope.ar.elementwise(product, error, z, a, again)

    return Entry(step, f"takes {'' if factor == 1 else f'{factor:.9g} · '}{words or '1'} for {own}", delta)


def _power(n: int) -> str:
    return str(n).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
