"""Other names of losses and activations: each is known at every border, and no library's name is taken for another's."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
from backproof.reference import aliases
from backproof.reference.case import Case, Dense, InvalidInput, known_activation, known_loss
from backproof.reference.diagnosis import candidates
from backproof.reference.more_activations import ACTIVATION_NAMES, activation_named
from backproof.reference.more_losses import LOSS_NAMES, loss_named
from backproof.reference.update_rules import family_named


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("mse", "squared_error"),
        ("nn.MSELoss()", "squared_error"),
        ("keras.losses.MeanSquaredError", "squared_error"),
        ("bce", "binary_cross_entropy"),
        ("BCEWithLogitsLoss", "binary_cross_entropy_from_logits"),
        ("F.cross_entropy", "softmax_cross_entropy_from_logits"),
        ("categorical_crossentropy", "softmax_cross_entropy"),
        ("SmoothL1Loss", "huber"),
        ("nn.HuberLoss(0.5)", "huber(0.5)"),
        ("optax.l2_loss", "half_squared_error"),
    ],
)
def test_losses_have_their_libraries_names(said: str, meant: str) -> None:
    assert known_loss("loss", said).name == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("nn.ReLU()", "relu"),
        ("LeakyReLU(0.2)", "leaky_relu(0.2)"),
        ("linear", "identity"),
        ("swish", "silu"),
        ("logistic", "sigmoid"),
        ("torch.nn.Hardswish", "hardswish"),
        # one name, other functions
        ("torch.nn.functional.gelu", "gelu"),
        ("jax.nn.gelu", "gelu_tanh"),
        ("keras.layers.LeakyReLU", "leaky_relu(0.3)"),
        ("tf.keras.activations.leaky_relu", "leaky_relu(0.2)"),
    ],
)
def test_activations_have_their_libraries_names(said: str, meant: str) -> None:
    found = known_activation("activation", said)
    assert found == activation_named(meant)
    assert Dense([[1.0]], None, said).activation == meant


def test_every_alias_means_a_name_of_ours() -> None:
    assert all(loss_named(name) for name in (*aliases.LOSSES, *aliases.LOSSES.values(), *aliases.OF_SOFTMAX.values()))
    others = (*aliases.ACTIVATIONS, *aliases.ACTIVATIONS.values(), *aliases.OTHERWISE, *aliases.OTHERWISE.values())
    assert all(activation_named(name) for name in others)
    assert [getattr(loss_named(name), "name", None) for name in LOSS_NAMES] == list(LOSS_NAMES)
    assert [getattr(activation_named(name), "name", None) for name in ACTIVATION_NAMES] == list(ACTIVATION_NAMES)


def test_cross_entropy_is_of_what_the_output_layer_gives() -> None:
    of_softmax = list(candidates((2, 3), "softmax", "cross_entropy", "sum"))
    of_logits = list(candidates((2, 3), "identity", "cross_entropy", "sum"))
    assert {c.loss for c in of_softmax} == {"softmax_cross_entropy"}
    assert {c.loss for c in of_logits} == {"softmax_cross_entropy_from_logits"}
    layer = Dense([[1.0], [2.0]], None, "softmax")
    assert Case("c", (layer,), [[1.0]], [[1.0, 0.0]], loss="cross_entropy").loss == "softmax_cross_entropy"


def test_a_mean_by_its_name_is_not_summed_unasked() -> None:
    layer = Dense([[1.0]], None, "linear")
    with pytest.raises(InvalidInput, match=r"loss: mse is a mean.*loss='squared_error' for the sum"):
        Case("c", (layer,), [[1.0]], [[0.0]], loss="mse")
    case = Case("c", (layer,), [[1.0]], [[0.0]], loss="mse", reduction="mean")
    assert (case.loss, case.layers[0].activation) == ("squared_error", "identity")


@pytest.mark.parametrize("said", ["mseloss2", "crossentropylos", "relu()x", "", "(", "leaky_relu(", "nn.", "mse(1)"])
def test_what_is_no_name_is_refused(said: str) -> None:
    with pytest.raises(InvalidInput, match="expected one of|expected "):
        known_loss("loss", said)


def test_an_unknown_name_is_answered_by_what_was_meant() -> None:
    with pytest.raises(InvalidInput, match="Did you mean 'squared_error'"):
        known_loss("loss", "MSELos")
    with pytest.raises(InvalidInput, match="Did you mean 'silu'"):
        known_activation("activation", "swishh")


def test_verify_takes_them() -> None:
    def gradients(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        o = inputs @ weights[0].T + biases[0]
        d = 2 * (o - targets) / o.size
        return [d.T @ inputs], [d.sum(0)]

    report = bp.verify(gradients, sizes=(2, 3), activations="linear", loss="nn.MSELoss", cases="few")
    assert report.verdict == "agrees"
    assert "squared error" in (report.conventions or "")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("torch.optim.Adam", "adam"),
        ("optim.RMSprop()", "rmsprop"),
        ("Adam(0.9, 0.99)", "adam(0.9, 0.99)"),
        ("DeltaRule", "delta rule"),
    ],
)
def test_optimizers_have_their_libraries_names(said: str, meant: str) -> None:
    found = family_named(said)
    assert found is not None
    assert found == family_named(meant)
    assert family_named("qqq") is None
    assert family_named("keras.optimizers.Adam") is None  # whose ε is another
    assert family_named("") is None
