"""scikit-learn: the backpropagation of its MLPRegressor and MLPClassifier, and their SGDOptimizer.

Both know one activation for all hidden layers, biases everywhere and the mean over the batch. Their deltas are those
before the division by the batch, and no pre-activations are kept: neither is shown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..reference.case import Case
from ..reference.judging import Observation, Received
from ..reference.numbers import array_of
from .adapter import Adapter

HIDDEN = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
# The loss, the activation at the output and scikit-learn's name of it, and which of its two classes has them.
OUTPUTS = {
    "half_squared_error": ("identity", "identity", "MLPRegressor"),
    "binary_cross_entropy": ("sigmoid", "logistic", "MLPClassifier"),
    "softmax_cross_entropy": ("softmax", "softmax", "MLPClassifier"),
}


def cannot(case: Case) -> str | None:
    """Why neither class can be given this network."""
    hidden = {str(layer.activation) for layer in case.layers[:-1]}
    if case.loss not in OUTPUTS:
        return f"loss {case.loss}"
    if case.layers[-1].activation != OUTPUTS[case.loss][0]:
        return f"{case.loss} with {case.layers[-1].activation} at the output"
    if unknown := sorted(hidden - set(HIDDEN)):
        return f"activation {unknown[0]}"
    if len(hidden) > 1:
        return "several activations in hidden layers"
    if any(layer.biases is None for layer in case.layers):
        return "a layer without biases"
    if case.reduction == "sum" and case.batch > 1:
        return "a sum over the batch, not its mean"
    return None


def observe(case: Case) -> Observation:
    """One call of `_backprop`, and one update of momentum 0. Raises NotImplementedError for what `cannot` says."""
    if why := cannot(case):
        raise NotImplementedError(f"scikit-learn has no {why}")
    with np.errstate(all="ignore"):  # overflow and 0 · ∞ are for the judge to see
        return _observe(case)


def _observe(case: Case) -> Observation:
    import sklearn.neural_network
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    inputs, targets = array_of(case.inputs, case.dtype), array_of(case.targets, case.dtype)
    hidden = HIDDEN[str(case.layers[0].activation)] if len(case.layers) > 1 else "identity"
    network: Any = getattr(sklearn.neural_network, OUTPUTS[case.loss][2])(activation=hidden, alpha=0)
    network.n_layers_, network.out_activation_ = len(case.sizes), OUTPUTS[case.loss][1]
    network.coefs_ = [np.ascontiguousarray(array_of(layer.weights, case.dtype).T) for layer in case.layers]
    network.intercepts_ = [array_of(layer.biases, case.dtype) for layer in case.layers]
    received = Received(_transposed(network.coefs_), _copies(network.intercepts_), inputs.copy(), targets.copy())

    activations: list[Any] = [inputs, *[None] * len(case.layers)]
    deltas, of_weights, of_biases = ([None] * len(case.layers) for _ in range(3))
    loss, of_weights, of_biases = network._backprop(inputs, targets, None, activations, deltas, of_weights, of_biases)
    observation = Observation(
        adapter=ADAPTER.name,
        version=sklearn.__version__,
        device="cpu",
        precision=case.dtype,
        received=received,
        activations=_copies(activations[1:]),
        loss=None if loss_is_of_the_mean_output(case) else np.asarray(loss, dtype=case.dtype),
        weight_gradients=_transposed(of_weights),
        bias_gradients=_copies(of_biases),
    )
    if case.learning_rate is None:
        return observation
    parameters = network.coefs_ + network.intercepts_
    SGDOptimizer(parameters, case.learning_rate, momentum=0, nesterov=False).update_params(
        parameters, of_weights + of_biases
    )
    return replace(
        observation,
        updated_weights=_transposed(network.coefs_),
        updated_biases=_copies(network.intercepts_),
    )


def loss_is_of_the_mean_output(case: Case) -> bool:
    """Whether the loss that scikit-learn reports is divided by the number of outputs, which its gradient is not."""
    return case.loss == "half_squared_error" and case.sizes[-1] > 1


def _transposed(matrices: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """Units × inputs, of scikit-learn's inputs × units."""
    return tuple(matrix.T.copy() for matrix in matrices)


def _copies(arrays: list[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    return tuple(array.copy() for array in arrays)


ADAPTER = Adapter(
    "sklearn",
    "scikit-learn: backpropagation of MLPRegressor and MLPClassifier",
    package="sklearn",
    distributions=("scikit-learn",),
    run=observe,
    rank=4,
    shows=("activations", "weight_gradients", "bias_gradients", "updated_weights", "updated_biases"),
    limits="one activation in all hidden layers, biases everywhere, the mean over the batch, three losses; shows no z "
    "and no δ, and the loss of several outputs of a regression is another one",
    cannot=cannot,
)
