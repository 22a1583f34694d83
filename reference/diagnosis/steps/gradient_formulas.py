"""What people write in place of a gradient: another operand, a term added, an element changed, samples left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...activations import SOFTMAX, Activation, softmax_delta
from ...backprop import RULES
from ...numbers import Functions, Matrix, Number
from ..catalogue.wrong_rules import picked, square, zeros
from .scope import Scope
from .vocabulary import (
    FORMATS,
    Array,
    Entry,
    Placed,
    Weighed,
    as_it_is,
    clipped_right,
    coefficient,
    in_format,
    largest,
    ratio,
    raw_error,
)


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
    yield entry("drops the first sample from the weight gradient, be it the only one", _without_first)
    yield entry("drops the last sample from the weight gradient, be it the only one", _without_last)
    for name in FORMATS:
        yield entry(f"has δ in {name} in the weight gradient", partial(_rounded, name=name, operand=0))
        yield entry(f"has the activations in {name} in the weight gradient", partial(_rounded, name=name, operand=1))
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
    yield entry("uses o − t for δ in the weight gradient", lambda s: outer(s, raw_error(s), s.arguments[1]))
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
        weighed="decay",
    )
    yield Entry(
        "weight_gradient",
        "adds {c} · sign(w) to the weight gradient (an L1 penalty)",
        lambda s, c: _with(s, c, lambda w, fn: fn.step(w) - fn.step(-w)),
        lambda s, seen: _fitted_term(s, seen, np.sign),
        weighed="penalty",
    )
    yield Entry(
        "weight_gradient",
        "adds {c} to every element of the weight gradient",
        lambda s, c: _with(s, c, lambda w, fn: 0 * w + 1),
        lambda s, seen: _fitted_term(s, seen, np.ones_like),
        weighed="added",
    )
    yield Entry(
        "weight_gradient",
        "clips the weight gradient to ±{c}",
        clipped_right,
        largest,
        "gradient clipping left on",
        limit=as_it_is,
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


def _without(s: Scope, kept: Callable[[int, int], float]) -> Matrix:
    """The rule's result with some rows of δ left out."""
    delta, *rest = s.arguments
    batch, units = s.ar.shape(delta)
    rows = s.ar.lift([[kept(i, batch)] * units for i in range(batch)])
    masked = s.ar.elementwise(lambda d, k, fn: d * k, delta, rows)
    result: Matrix = getattr(RULES, s.step)(masked, *rest, s.ar)
    return result


def _without_first(s: Scope) -> Matrix:
    return _without(s, lambda i, batch: float(i > 0))


def _without_last(s: Scope) -> Matrix:
    return _without(s, lambda i, batch: float(i < batch - 1))


def _rounded(s: Scope, name: str, operand: int) -> Matrix:
    """The weight gradient with one operand in a narrower format."""
    delta, received = (in_format(m, name, s) if i == operand else m for i, m in enumerate(s.arguments))
    return RULES.weight_gradient(delta, received, s.ar)


def _rounded_sum(s: Scope, name: str) -> Matrix:
    return RULES.bias_gradient(in_format(s.arguments[0], name, s), s.ar)


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


def _fitted_term(scope: Scope, seen: Array, term: Callable[[Array], Array]) -> Weighed:
    return coefficient(seen, np.asarray(scope.right()), term(np.asarray(_own(scope))))


# One element, row or column has its place in the constant's whole part: place + 1, and the factor is carried beside it.
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
        farthest = float(along[at] / max(np.abs(right).max(), np.finfo(float).tiny))
    return Placed(at, ratio(np.atleast_1d(one[part]), np.atleast_1d(other[part])), farthest)


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
    for name in FORMATS:
        yield entry(f"has δ in {name} in the bias gradient", partial(_rounded_sum, name=name))
    yield entry("drops the first sample from the bias gradient, be it the only one", _without_first)
    yield entry("drops the last sample from the bias gradient, be it the only one", _without_last)
    yield entry(
        "takes the row sums of the weight gradient for the bias gradient", row_sums, "dW.sum(axis=1) for δ.sum(axis=0)"
    )
    yield entry(
        "takes the row means of the weight gradient for the bias gradient",
        lambda s: s.ar.elementwise(
            lambda x, fn: x / s.ar.shape(s.of("weight_gradients"))[1],
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
    yield entry("uses o − t for δ in the bias gradient", lambda s: summed(s, raw_error(s)))
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
        weighed="decay",
    )
    yield Entry(
        "bias_gradient",
        "adds {c} to every element of the bias gradient",
        lambda s, c: _with(s, c, lambda w, fn: 0 * w + 1),
        lambda s, seen: _fitted_term(s, seen, np.ones_like),
        weighed="added",
    )
    yield Entry(
        "bias_gradient",
        "clips the bias gradient to ±{c}",
        clipped_right,
        largest,
        "gradient clipping left on",
        limit=as_it_is,
    )
    yield Entry(
        "bias_gradient", "multiplies one unit of the bias gradient, {at}, by {c}", _one_element, _fitted_element
    )


# ------------------------------------------------------------------------------------------- over samples


def _all_targets(s: Scope, _: float) -> Matrix:
    """δ = o − t with the largest target of all samples for each: that of one is subtracted in the rows of all."""
    assert s.objective is not None
    samples, _ = s.ar.shape(s.targets)
    divisor = samples if s.objective.reduction == "mean" else 1
    most = s.targets
    for k in range(samples):
        same = picked([k] * samples, s.targets, s.ar)
        most = s.ar.elementwise(lambda one, other, fn: fn.maximum(one, other), most, same)
    return s.ar.elementwise(lambda d, t, m, fn: d + (t - m) / divisor, s.right(), s.targets, most)


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

        return Entry(step, words, formula, kept=weights)

    def only(which: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [1.0 if i == which % n else 0.0 for i in range(n)]

    def without(which: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [0.0 if n > 1 and i == which % n else 1.0 for i in range(n)]

    def without_one(k: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [0.0 if i == k else 1.0 for i in range(n)]

    def one_alone(k: int) -> Callable[[int], Sequence[float]]:
        return lambda n: [float(i == k or n <= k) for i in range(n)]

    def divided(by: Callable[[int], float]) -> Callable[[Scope, float], Matrix]:
        def formula(s: Scope, _: float) -> Matrix:
            count, right = by(s.ar.shape(s.outputs)[0]), s.right()
            if count == 0:  # an honest 0/0 or x/0, in every arithmetic
                rows, columns = s.ar.shape(right)
                return s.ar.elementwise(lambda g, n, fn: g / n, right, s.ar.lift([[0.0] * columns] * rows))
            return s.ar.elementwise(lambda g, fn: g / count if count > 1 else g * (1 / count), right)

        return formula

    for words, by in (
        ("the number of samples once too often", lambda n: n),
        ("the number of samples plus one", lambda n: (n + 1) / n),
        ("n − 1, the number of samples less one, or by 1", lambda n: max(n - 1, 1) / n),
        ("n − 1, the number of samples less one", lambda n: (n - 1) / n),
        ("the number of samples plus one, once too often", lambda n: n + 1),
    ):
        yield Entry(step, f"divides {what} by {words}", divided(by))
    yield Entry(step, f"does not divide {what} by the number of samples", divided(lambda n: 1 / n))
    yield Entry(step, f"divides {what} by the number of samples twice too often", divided(lambda n: n * n))
    if step == "output_delta":
        yield Entry(
            step, "subtracts every sample's target from each: p[:, y] −= 1 for p[range(n), y] −= 1", _all_targets
        )
    yield entry(f"uses the last sample alone for {what}", only(-1))
    yield entry(f"uses the first sample alone for {what}", only(0))
    yield entry(f"drops the last sample from {what}", without(-1))
    yield entry(f"drops the first sample from {what}", without(0))
    for k in (1, 2):
        yield entry(f"drops sample {k + 1} from {what}", without_one(k))
        yield entry(f"uses sample {k + 1} alone for {what}", one_alone(k))
    only_one = ", be it the only one"
    places: tuple[tuple[str, Callable[[int], int]], ...] = (
        ("first", lambda n: 0), ("last", lambda n: n - 1),
        ("middle", lambda n: n // 2), ("second", lambda n: min(1, n - 1)),
    )  # fmt: skip
    for which, at in places:
        yield entry(f"drops the {which} sample from {what}{only_one}", _all_but(at))
    for which, at in places[2:]:
        yield entry(f"uses the {which} sample alone for {what}", _at(at))
    for forward, whose in ((1, "next"), (-1, "previous")):
        yield Entry(step, f"takes the {whose} sample's {SHIFTED[step]}", partial(_rolled, by=forward))
    for words, taken in WHOSE.items() if step == "output_error" else ():
        yield Entry(step, words, partial(_with_targets_of, whose=taken))
    yield Entry(step, f"divides {what} by the number of samples less one", divided(lambda n: max(n - 1, 1)))
    yield Entry(step, f"divides {what} by the number of samples less one, once too often", divided(lambda n: n - 1))
    if step == "weight_gradient":
        yield Entry(step, "pairs each delta with the next sample's activations", _shifted)


def _at(which: Callable[[int], int]) -> Callable[[int], Sequence[float]]:
    return lambda n: [float(i == which(n)) for i in range(n)]


def _all_but(which: Callable[[int], int]) -> Callable[[int], Sequence[float]]:
    return lambda n: [float(i != which(n)) for i in range(n)]


SHIFTED = {
    "weight_gradient": "δ in the weight gradient",
    "bias_gradient": "δ in the bias gradient",
    "output_error": "∂E/∂o",
    "output_delta": "δ",
    "hidden_delta": "δ",
}


def _rolled(s: Scope, _: float, by: int) -> Matrix:
    """The rule on δ, or its result, with the samples in a cycle."""
    if s.step == "weight_gradient":
        delta, received = s.arguments
        return RULES.weight_gradient(_cycle(s, delta, by), received, s.ar)
    return s.right() if s.step == "bias_gradient" else _cycle(s, s.right(), by)


# The sample whose targets each of so many is given, by its number.
WHOSE: dict[str, Callable[[int, int], int]] = {
    "takes the next sample's targets": lambda k, samples: (k + 1) % samples,
    "takes the previous sample's targets": lambda k, samples: (k - 1) % samples,
    "takes the first sample's targets for all": lambda k, samples: 0,
    "takes the last sample's targets for all": lambda k, samples: samples - 1,
    "takes the samples' targets in reverse order": lambda k, samples: samples - 1 - k,
}


def _with_targets_of(scope: Scope, _: float, whose: Callable[[int, int], int]) -> Matrix:
    objective, outputs, targets = scope.arguments
    samples, _ = scope.ar.shape(targets)
    taken = picked([whose(k, samples) for k in range(samples)], targets, scope.ar)
    return RULES.output_error(objective, outputs, taken, scope.ar)


def _cycle(s: Scope, matrix: Matrix, by: int) -> Matrix:
    batch, _ = s.ar.shape(matrix)
    return picked([(i + by) % batch for i in range(batch)], matrix, s.ar)


def _shifted(s: Scope, _: float) -> Matrix:
    delta, received = s.arguments
    batch, _columns = s.ar.shape(delta)
    return RULES.weight_gradient(delta, picked([(i + 1) % batch for i in range(batch)], received, s.ar), s.ar)
