"""Other names of losses and activations: PyTorch's, Keras's, JAX's and those that people use. Standard library only.

One table, asked by `loss_named` and `activation_named`, so that every border knows them. Case, underscores and the
module before a name are nothing: "nn.MSELoss", "mse_loss" and "MSELoss" are one; numbers in parentheses stay.
"""

from __future__ import annotations

import re

# As they are squeezed: lower case, letters and digits alone.
LOSSES = {
    "mse": "squared_error",
    "mseloss": "squared_error",
    "meansquarederror": "squared_error",
    "sumofsquares": "squared_error",
    "sse": "squared_error",
    "l2loss": "half_squared_error",  # optax's and TensorFlow's: ½ Σ e²
    "halfmse": "half_squared_error",
    "mae": "absolute_error",
    "maeloss": "absolute_error",
    "l1": "absolute_error",
    "l1loss": "absolute_error",
    "meanabsoluteerror": "absolute_error",
    "huberloss": "huber",
    "smoothl1": "huber",
    "smoothl1loss": "huber",
    "logcoshloss": "log_cosh",
    "hingeloss": "hinge",
    "bce": "binary_cross_entropy",
    "bceloss": "binary_cross_entropy",
    "binarycrossentropyloss": "binary_cross_entropy",
    "logloss": "binary_cross_entropy",
    "bcewithlogits": "binary_cross_entropy_from_logits",
    "bcewithlogitsloss": "binary_cross_entropy_from_logits",
    "binarycrossentropywithlogits": "binary_cross_entropy_from_logits",
    "sigmoidbinarycrossentropy": "binary_cross_entropy_from_logits",  # optax's
    "sigmoidcrossentropywithlogits": "binary_cross_entropy_from_logits",  # TensorFlow's
    "crossentropy": "softmax_cross_entropy_from_logits",  # PyTorch's; of softmax's outputs: see `OF_SOFTMAX`
    "crossentropyloss": "softmax_cross_entropy_from_logits",
    "softmaxcrossentropywithlogits": "softmax_cross_entropy_from_logits",
    "categoricalcrossentropy": "softmax_cross_entropy",  # Keras's, from_logits=False
    "sparsecategoricalcrossentropy": "softmax_cross_entropy",
}
OF_SOFTMAX = {"crossentropy": "softmax_cross_entropy"}  # where the output layer is declared to be softmax
MEANS = (
    "mse",
    "mseloss",
    "meansquarederror",
    "mae",
    "maeloss",
    "l1loss",
    "meanabsoluteerror",
)  # their names say how they add up

ACTIVATIONS = {
    "linear": "identity",
    "none": "identity",
    "logistic": "sigmoid",
    "expit": "sigmoid",
    "logsig": "sigmoid",
    "tansig": "tanh",
    "hyperbolictangent": "tanh",
    "rectifier": "relu",
    "rectifiedlinear": "relu",
    "lrelu": "leaky_relu",
    "swish": "silu",
    "geluapproximate": "gelu_tanh",
    "gelunew": "gelu_tanh",
    "gelupytorchtanh": "gelu_tanh",
}
# Where a library means another function by a name that is ours as well.
OTHERWISE = {
    "jax.nn.gelu": "gelu_tanh",
    "nnx.gelu": "gelu_tanh",
    "linen.gelu": "gelu_tanh",
    "jax.nn.hard_tanh": "hardtanh",
    "keras.activations.leaky_relu": "leaky_relu(0.2)",
    "keras.layers.leakyrelu": "leaky_relu(0.3)",
    "tf.nn.leaky_relu": "leaky_relu(0.2)",
}


def squeezed(name: str) -> str:
    """What of a name tells it from others: `keras.losses.MeanSquaredError()` is meansquarederror."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"\(\s*\)\s*$", "", name).lower().rpartition(".")[2])


def loss_meant(name: str, known: tuple[str, ...], output: object = None) -> str | None:
    """Our name for a loss of another name; None for none. output: the output layer's activation, where it is known"""
    of_softmax = OF_SOFTMAX.get(squeezed(name)) if output == "softmax" else None
    return of_softmax or _meant(name, LOSSES, known)


def activation_meant(name: str, known: tuple[str, ...]) -> str | None:
    """Our name for an activation of another name; None for none."""
    dotted = re.sub(r"^tensorflow\.", "tf.", re.sub(r"\(\s*\)\s*$", "", name.strip()).lower())
    otherwise = OTHERWISE.get(dotted.replace("tf.keras.", "keras."))
    return otherwise or _meant(name, ACTIVATIONS, known)


def _meant(name: str, aliases: dict[str, str], known: tuple[str, ...]) -> str | None:
    """By the table, or by one of our own names, spelled otherwise; with the numbers that it has."""
    bare, opened, numbers = name.strip().partition("(")
    key = squeezed(bare)
    ours = aliases.get(key) or next((own for own in known if squeezed(own) == key), None)
    if ours is None or (opened and not numbers.strip().endswith(")")):
        return None
    inside = numbers.strip().removesuffix(")").strip()
    return f"{ours}({inside})" if inside else ours


def says_mean(name: object) -> bool:
    """Whether the loss's own name says that it is a mean."""
    return isinstance(name, str) and squeezed(name) in MEANS
