"""Names: what a function's bug is called, with much declared or nothing, and what is said where nothing fits."""

from __future__ import annotations

import json
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

import backproof as bp
from backproof.reference.case import Case, Dense, run
from backproof.reference.diagnosis.catalogue.faults import FAULTS, faulty_rules
from backproof.reference.diagnosis.conventions import Convention
from backproof.reference.diagnosis.explanation import ARRAYS
from backproof.reference.diagnosis.search import diagnose
from backproof.reports.trials.edit_trials import evidence_of
from backproof.reports.trials.random_edits import draw
from backproof.reports.validation.front_door import WrongGradients, verify
from backproof.reports.validation.wording import because
from tutorial import gradients


@pytest.mark.usefixtures("slow")
def test_a_missing_derivative_is_named_proved_and_shown_on_the_smallest_network() -> None:
    report = verify(lambda W, B, x, t: gradients(W, B, x, t, bug="no derivative"))
    assert not report.ok
    text = str(report)
    assert text.startswith("wrong: it leaves the activation's derivative out of the hidden delta, in layer 1")
    assert "(fault `hidden-delta-without-derivative`)" in text
    assert "proved: with it, the reference reproduces all 200 numbers" in text
    assert "smallest network that shows it:" in text
    assert report.diagnosis is not None
    assert report.diagnosis.names == ["hidden-delta-without-derivative"]
    with pytest.raises(WrongGradients, match="hidden-delta-without-derivative"):
        report.raise_for_wrong()
    assert json.loads(report.to_json())["faults"] == ["hidden-delta-without-derivative"]


@pytest.mark.usefixtures("slow")
def test_a_bug_under_a_convention_that_was_not_declared_is_named_and_both_are_said() -> None:
    report = verify(lambda W, B, x, t: gradients(W, B, x, t, bug="no derivative"), loss="squared_error")
    assert report.diagnosis is not None
    assert report.diagnosis.names == ["hidden-delta-without-derivative"]
    besides = "besides, it computes squared error with ½, summed over samples; sigmoid in hidden layers, sigmoid at the"
    assert any(finding.startswith(besides) and "not what was declared" in finding for finding in report.findings)


UNDECLARED = [
    (("relu", "identity"), "softmax_cross_entropy_from_logits", "softmax-left-out"),
    (("tanh", "softmax"), "softmax_cross_entropy", "log-left-out"),
    (("tanh", "softmax"), "softmax_cross_entropy", "binary-loss-of-softmax"),
    (("tanh", "softmax"), "softmax_cross_entropy", "softmax-diagonal-only"),
    (("tanh", "softmax"), "softmax_cross_entropy", "log-shifted-1e-8"),
    (("relu", "sigmoid"), "binary_cross_entropy", "log-shifted-1e-10"),
    (("relu", "sigmoid"), "binary_cross_entropy", "output-delta-without-derivative"),
    (("sigmoid", "sigmoid"), "half_squared_error", "1/n-once-more"),
    (("sigmoid", "sigmoid"), "half_squared_error", "last-sample-only"),
    (("sigmoid", "sigmoid"), "half_squared_error", "sum-of-output-and-target"),
    (("tanh", "identity"), "squared_error", "bias-added-twice"),
    (("relu", "identity"), "softmax_cross_entropy_from_logits", "activation-before-logits"),
]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("activations", "loss", "name"), UNDECLARED)
def test_a_fault_at_the_outputs_is_named_though_nothing_was_declared(
    activations: tuple[str, ...], loss: str, name: str
) -> None:
    """It spoils every number, so that they resemble those of no convention."""
    convention, fault = Convention(activations, loss, "mean"), next(f for f in FAULTS if f.name == name)

    def function(W: Any, B: Any, x: Any, t: Any) -> Any:
        layers = tuple(Dense(w, b, "identity") for w, b in zip(W, B, strict=True))
        case = convention.applied(Case("asked", layers, x, t))
        step = run(case, ARRAYS, faulty_rules(fault, case))
        return step.backward.weight_gradients, step.backward.bias_gradients

    report = verify(function, cases="few")
    assert report.diagnosis is not None
    if name == "activation-before-logits":  # as its formula: the loss of logits takes softmax's outputs
        assert "has the derivative of softmax cross entropy from logits for ∂E/∂o" in report.findings[0]
        return
    assert name in report.diagnosis.names
    assert f"{activations[0]} in hidden layers, {activations[-1]} at the output" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize("declared", [{}, {"activations": "sigmoid"}], ids=["nothing", "activations"])
def test_a_factor_of_the_outputs_hides_no_mistake_below(declared: dict[str, Any]) -> None:
    """2 (o − t) over samples and outputs is twice a mean of cross entropies: below, a stands for a(1 − a)."""

    def twice(W: Any, B: Any, x: Any, t: Any) -> Any:
        a = 1 / (1 + np.exp(-(x @ W[0].T + B[0])))
        delta = 2 * (1 / (1 + np.exp(-(a @ W[1].T + B[1]))) - t) / t.size
        below = delta @ W[1] * a
        return [below.T @ x, delta.T @ a], [below.sum(axis=0), delta.sum(axis=0)]

    report = verify(twice, **declared)
    assert report.verdict == "wrong"
    assert (
        "multiplies every gradient by 2, in layer 2, and takes a for sigmoid's derivative a(1 − a), in layer 1"
        in str(report)
    )


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "declared", [{}, {"activations": "sigmoid", "loss": "half_squared_error"}], ids=["nothing", "all"]
)
def test_rounded_numbers_are_said_to_be_rounded_and_no_loss_is_claimed(declared: dict[str, Any]) -> None:
    """Between two steps of a stair it is level, as the gradient of some loss is."""

    def rounded(W: Any, B: Any, x: Any, t: Any) -> Any:
        return [[np.round(array, 4) for array in arrays] for arrays in gradients(W, B, x, t)]

    report = verify(rounded, **declared)
    assert report.findings[0] == "no number has more than 4 decimals: they are rounded."
    assert report.verdict == ("wrong" if declared else "unrecognised")
    assert "gradient of some loss" not in str(report)


def sines(W: Any, B: Any, x: Any, t: Any) -> Any:
    """A right network with an activation that nobody knows: sin, half the squared error."""
    z = x @ W[0].T + B[0]
    o = np.sin(z) @ W[1].T + B[1]
    delta = (o - t) @ W[1] * np.cos(z)
    return [delta.T @ x, (o - t).T @ np.sin(z)], [delta.sum(axis=0), (o - t).sum(axis=0)]


@pytest.mark.usefixtures("slow")
def test_an_activation_that_nobody_knows_is_not_called_a_bug_and_what_was_tried_is_said() -> None:
    report = verify(sines, sizes=(2, 2, 1), batch=4)
    assert report.verdict == "unrecognised"
    assert not report.ok
    assert "the gradient of some loss, but of none that is known" in report.findings[0]
    assert "tried: activations identity, sigmoid, " in str(report)
    assert "declare it: activations=[bp.Activation" in str(report)
    own = bp.Activation("sine", lambda z, fn: z - z * z * z / 6, lambda z, a, fn: 1 - z * z / 2)
    assert verify(sines, sizes=(2, 2, 1), activations=[own, "identity"], loss="half_squared_error").verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_what_was_tried_is_not_listed_where_it_was_declared() -> None:
    noise = ([np.array([[0.37, -1.41]])], [np.array([0.83])])
    text = str(verify(lambda *given: noise, sizes=(2, 1), activations="tanh", loss="squared_error", batch=2))
    assert "no known mistake" in text
    assert "tried: " not in text


@pytest.mark.usefixtures("slow")
def test_a_forgotten_downcast_is_said_to_be_float32() -> None:
    def narrow(*arguments: Any) -> Any:
        W, B, x, t = ([np.float32(v) for v in a] if isinstance(a, list) else np.float32(a) for a in arguments)
        return tuple([g.astype(np.float64) for g in part] for part in gradients(W, B, x, t))

    report = verify(narrow)
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("it computes everything in float32 (fault `everything-in-float32`).")


@pytest.mark.usefixtures("slow")
def test_what_nothing_explains_is_mapped_and_not_given_a_name() -> None:
    def strange(*a: Any) -> Any:
        weight_gradients, bias_gradients = gradients(*a)
        weight_gradients[0] = weight_gradients[0] * np.cos(np.arange(weight_gradients[0].shape[1]))
        return weight_gradients, bias_gradients

    report = verify(strange, activations="sigmoid", loss="half_squared_error", reduction="sum")
    assert report.verdict == "wrong"
    assert report.diagnosis is not None
    assert report.diagnosis.names == []
    assert "weight_gradients[0]: 8 of 12 elements\n  ·##\n" in "\n".join(report.findings)


@pytest.mark.usefixtures("slow")
def test_a_wrong_softmax_from_logits_has_a_witness_of_two_outputs() -> None:
    """Its targets are distributions, which a single output has none of."""

    def wrong(W: Any, B: Any, x: Any, t: Any) -> Any:
        a = np.tanh(x @ W[0].T + B[0])
        o = a @ W[1].T + B[1]
        powers = np.exp(o - o.max(axis=1, keepdims=True))
        delta = powers / powers.sum(axis=1, keepdims=True) - t
        below = delta @ W[1]  # without tanh'
        return [below.T @ x, delta.T @ a], [below.sum(axis=0), delta.sum(axis=0)]

    report = verify(wrong, sizes=(3, 4, 2), loss="softmax_cross_entropy_from_logits", activations=("tanh", "identity"))
    assert report.diagnosis is not None
    assert report.diagnosis.names[0] == "hidden-delta-without-derivative"
    assert "smallest network that shows it:" in str(report)


@pytest.mark.usefixtures("slow")
def test_where_everything_is_nan_nothing_is_told_of_it_and_that_is_said_first() -> None:
    """NaN from above is NaN, whatever else is done to it: every formula that gives NaN would fit."""

    def lost(*a: Any) -> Any:
        weight_gradients, bias_gradients = gradients(*a)
        weight_gradients[0], bias_gradients[0] = weight_gradients[0] * np.nan, bias_gradients[0] * np.nan
        return weight_gradients, bias_gradients

    text = " ".join(str(verify(lost)).split())
    assert text.startswith("unrecognised: ")
    assert "NaN or infinite: all of weight_gradients[0], all of bias_gradients[0]. tried: " in text


@pytest.mark.usefixtures("slow")
def test_beside_an_explanation_it_is_said_what_is_nowhere_a_number() -> None:
    """Where the derivative of the loss is NaN or infinite for most outputs, nothing shows of another mistake below."""
    edited = draw(90926)
    diagnosis = diagnose(evidence_of(edited.network, edited.cases, edited.edits), edited.network.convention)
    assert "has the derivative of binary cross entropy for ∂E/∂o" in str(diagnosis.explanations)
    (said,) = (line for line in because(diagnosis, edited.network.convention) if "NaN" in line)
    assert said.startswith("weight_gradients[0], weight_gradients[1], bias_gradients[0], bias_gradients[1]: NaN or ")


def _dense(weights: Any, biases: Any, x: Any, t: Any, slope: Any, activation: Any, output: Any) -> Any:
    """δ = o − t at the output; hidden units by `activation` and its `slope`, of z."""
    zs, activations = [], [x]
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        zs.append(activations[-1] @ w.T + b)
        activations.append((activation if k < len(weights) - 1 else output)(zs[-1]))
    delta, of_weights, of_biases = activations[-1] - t, list[Any](), list[Any]()
    for k in reversed(range(len(weights))):
        of_weights.insert(0, delta.T @ activations[k])
        of_biases.insert(0, delta.sum(0))
        delta = delta @ weights[k] * (slope(zs[k - 1]) if k else 1)
    return of_weights, of_biases


@pytest.mark.usefixtures("slow")
def test_a_delta_that_some_loss_has_is_no_mistake_while_no_loss_was_declared() -> None:
    """o − t is right for tanh with E = −Σ ½(1 + t) log ½(1 + o) + ½(1 − t) log ½(1 − o), as for ±1 targets."""

    def function(W: Any, B: Any, x: Any, t: Any) -> Any:
        return _dense(W, B, x, t, lambda z: 1 - np.tanh(z) ** 2, np.tanh, np.tanh)

    report = verify(function)
    assert report.verdict == "unrecognised", report
    assert "leaves the activation's derivative out of the output delta" in str(report)
    declared = verify(function, loss="half_squared_error", activations=["tanh", "tanh"])
    assert declared.verdict == "wrong", declared


@pytest.mark.usefixtures("slow")
def test_a_gradient_near_by_that_is_none_further_out_is_told() -> None:
    """A hard sigmoid whose slope is not cut off where it is clipped, which no probe reaches."""

    def function(W: Any, B: Any, x: Any, t: Any) -> Any:
        return _dense(W, B, x, t, lambda z: 0.2 + 0 * z, lambda z: np.clip(0.2 * z + 0.5, 0, 1), lambda z: z)

    report = verify(function)
    assert report.verdict == "unrecognised", report
    assert "with weights four times as large no loss has this gradient" in str(report)
    assert "it is the gradient of some loss" not in str(report)


@pytest.mark.usefixtures("slow")
def test_a_half_that_is_read_off_wrong_numbers_may_be_the_mistake() -> None:
    """tanh's derivative with the bipolar sigmoid, of which it is twice: layer 1 is right without ½, layer 2 with it."""

    def function(W: Any, B: Any, x: Any, t: Any) -> Any:
        return _dense(W, B, x, t, lambda z: 1 - np.tanh(z / 2) ** 2, lambda z: 2 / (1 + np.exp(-z)) - 1, lambda z: z)

    report = verify(function)
    assert report.diagnosis is not None
    assert report.diagnosis.names == ["hidden-tanh-derivative"], report
