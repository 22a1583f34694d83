"""CasADi: one function of an MX graph, its gradients by `casadi.gradient`; float64.

A "tap" is added to every pre-activation, a matrix of zeros when it is called: ∂E/∂tap is δ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.activations import LEAKY_SLOPE, Activation
from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.more_activations import parts
from ..reference.numbers import array_of
from .adapter import Adapter


def observe(case: Case) -> Observation:
    """One learning step: the graph is built, and evaluated once."""
    import casadi

    def symbol(name: str, rows: Any) -> Any:
        return casadi.MX.sym(name, *np.shape(rows))

    weights = [array_of(layer.weights, "float64") for layer in case.layers]
    biases = [None if x.biases is None else array_of([x.biases], "float64") for x in case.layers]
    taps = [np.zeros((case.batch, units)) for units in case.sizes[1:]]
    inputs, targets = array_of(case.inputs, "float64"), array_of(case.targets, "float64")
    of_weights, of_taps = [symbol("w", w) for w in weights], [symbol("tap", tap) for tap in taps]
    of_biases = [None if b is None else symbol("b", b) for b in biases]
    x, t = symbol("x", inputs), symbol("t", targets)

    zs, activations = [], [x]
    for layer, w, b, tap in zip(case.layers, of_weights, of_biases, of_taps, strict=True):
        z = casadi.mtimes(activations[-1], w.T)
        zs.append((z if b is None else z + casadi.repmat(b, case.batch, 1)) + tap)
        activations.append(_activation(layer.activation, zs[-1]))
    loss = _loss(case.loss, activations[-1], t)
    loss = loss / case.batch if case.reduction == "mean" else loss

    there = [b for b in of_biases if b is not None]
    arguments = [x, t, *of_weights, *of_taps, *there]
    gradients = [casadi.gradient(loss, symbols) for symbols in (*of_weights, *of_taps, *there)]
    step = casadi.Function("step", arguments, [*arguments, *zs, *activations[1:], loss, *gradients])
    given = [inputs, targets, *weights, *taps, *(b for b in biases if b is not None)]
    answers = iter([np.asarray(answer.full()) for answer in step.call([casadi.DM(array) for array in given])])

    def taken(count: int) -> tuple[NDArray[Any], ...]:
        return tuple(next(answers) for _ in range(count))

    def rows() -> tuple[NDArray[Any] | None, ...]:
        return tuple(None if b is None else next(answers)[0] for b in biases)

    count = len(weights)
    (held_inputs, held_targets), held = taken(2), taken(count)
    taken(count)  # the taps
    received = Received(held, rows(), held_inputs, held_targets)
    observation = Observation(
        adapter=ADAPTER.name,
        version=casadi.__version__,
        device="cpu",
        precision="float64",
        received=received,
        pre_activations=taken(count),
        activations=taken(count),
        loss=taken(1)[0],
        weight_gradients=taken(count),
        deltas=taken(count),
        bias_gradients=rows(),
    )
    if case.learning_rate is None:
        return observation
    return replace(
        observation,
        updated_weights=_stepped(held, observation.weight_gradients, case.learning_rate),
        updated_biases=_stepped(received.biases, observation.bias_gradients, case.learning_rate),
    )


def _stepped(old: Any, gradients: Any, rate: float) -> tuple[NDArray[Any] | None, ...]:
    pairs = zip(old, gradients, strict=True)
    return tuple(None if value is None else value - rate * gradient for value, gradient in pairs)


def _activation(activation: str | Activation, z: Any) -> Any:
    import casadi

    match parts(activation):
        case "identity", ():
            return z
        case "sigmoid", ():
            return _sigmoid(z)
        case "tanh", ():
            return casadi.tanh(z)
        case "relu", ():
            return casadi.fmax(z, 0)
        case "leaky_relu", slope:
            return casadi.if_else(z > 0, z, (slope[0] if slope else LEAKY_SLOPE) * z)
        case "softplus", ():
            return _softplus(z)
        case "softmax", ():
            return casadi.exp(_log_softmax(z))
        case "gelu", ():
            return z * (1 + casadi.erf(z / np.sqrt(2))) / 2
        case "silu", ():
            return z * _sigmoid(z)
        case "softsign", ():
            return z / (1 + casadi.fabs(z))
    raise NotImplementedError(f"activation {activation}")


def _sigmoid(z: Any) -> Any:
    import casadi

    return 1 / (1 + casadi.exp(-z))


def _softplus(z: Any) -> Any:
    import casadi

    return casadi.fmax(z, 0) + casadi.log1p(casadi.exp(-casadi.fabs(z)))


def _log_softmax(z: Any) -> Any:
    """By CasADi's logsumexp, which is of a column."""
    import casadi

    sums = [casadi.logsumexp(z[row, :].T) for row in range(z.shape[0])]
    return z - casadi.repmat(casadi.vertcat(*sums), 1, z.shape[1])


def _loss(name: str, o: Any, t: Any) -> Any:
    import casadi

    match name:
        case "half_squared_error":
            return casadi.sumsqr(o - t) / 2
        case "squared_error":
            return casadi.sumsqr(o - t)
        case "binary_cross_entropy":
            return -_total(t * casadi.log(o) + (1 - t) * casadi.log1p(-o))
        case "binary_cross_entropy_from_logits":
            return _total(_softplus(o) - t * o)
        case "softmax_cross_entropy":
            return -_total(t * casadi.log(o))
        case "softmax_cross_entropy_from_logits":
            return -_total(t * _log_softmax(o))
        case "absolute_error":
            return _total(casadi.fabs(o - t))
        case "hinge":
            return _total(casadi.fmax(1 - t * o, 0))
    raise NotImplementedError(f"loss {name}")


def _total(x: Any) -> Any:
    import casadi

    return casadi.sum1(casadi.sum2(x))


ADAPTER = Adapter(
    "casadi",
    "CasADi: gradient of an MX graph",
    package="casadi",
    run=observe,
    rank=4,
    dtypes=("float64",),
)
