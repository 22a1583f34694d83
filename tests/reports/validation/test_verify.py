"""The front door: functions of every kind, right and wrong; the hostile are in test_verify_hostile.py."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

import backproof as bp
from backproof.reference.case import InvalidInput
from backproof.reports.validation.front_door import Report, WrongGradients, verify
from backproof.reports.validation.given_gradients import assert_gradients
from tutorial import gradients, sigmoid


def test_a_right_one_agrees_to_so_many_digits_and_its_conventions_are_said() -> None:
    report = verify(gradients)
    assert report.ok
    assert report.verdict == "agrees"
    assert str(report).startswith(
        "agrees, to 14 digits: squared error with ½, summed over samples; sigmoid in hidden layers"
    )
    assert report.digits is not None
    assert report.digits > 13
    report.raise_for_wrong()


CONVENTIONS: list[tuple[str, Callable[..., Any], str]] = [
    ("without ½", lambda W, B, x, t: gradients(W, B, x, t, 2.0), "squared error without ½, summed"),
    ("mean", lambda W, B, x, t: gradients(W, B, x, t, 1 / len(x)), "squared error with ½, averaged over samples;"),
    ("mean over all", lambda W, B, x, t: gradients(W, B, x, t, 2 / t.size), "squared error without ½, averaged over samples and outputs"),
]  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("function", "words"), [c[1:] for c in CONVENTIONS], ids=[c[0] for c in CONVENTIONS])
def test_a_convention_is_an_answer_and_not_a_failure(function: Callable[..., Any], words: str) -> None:
    report = verify(function)
    assert report.ok
    assert report.conventions is not None
    assert words in report.conventions


def ascent(W: Any, B: Any, x: Any, t: Any) -> Any:
    return gradients(W, B, x, t, -1.0)


@pytest.mark.usefixtures("slow")
def test_minus_the_gradient_is_accepted_by_declaring_it_and_not_before() -> None:
    """A sign error must not pass a check silently."""
    report = verify(ascent, cases="few")
    assert (report.verdict, report.ok) == ("unrecognised", False)
    assert str(report).startswith("unrecognised: minus the gradient of squared error with ½, summed over samples;")
    assert "sign='negative'" in report.findings[1]
    declared = verify(ascent, sign="negative", cases="few")
    assert declared.ok
    assert "minus the gradient" in str(declared).splitlines()[0]
    assert verify(ascent, sign="positive", cases="few").verdict == "wrong"
    with pytest.raises(InvalidInput, match="sign: expected one of positive, negative"):
        verify(ascent, sign="minus")


@pytest.mark.usefixtures("slow")
def test_strict_refuses_what_was_found_out_and_not_declared() -> None:
    report = verify(gradients, strict=True)
    assert (report.verdict, report.ok) == ("unrecognised", False)
    assert "activations=['sigmoid', 'sigmoid'], loss='half_squared_error', reduction='sum'" in report.findings[1]
    declared: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error", "reduction": "sum"}
    assert verify(gradients, strict=True, **declared).ok


@pytest.mark.usefixtures("slow")
def test_a_penalty_is_found_out_with_an_undeclared_loss_and_has_to_be_declared_with_a_declared_one() -> None:
    def decayed(W: Any, B: Any, x: Any, t: Any) -> Any:
        weight_gradients, bias_gradients = gradients(W, B, x, t)
        return [g + 0.03 * w for g, w in zip(weight_gradients, W, strict=True)], bias_gradients

    found = verify(decayed)
    assert found.ok
    assert "with weight decay: 0.03 · w in the gradient" in str(found).splitlines()[0]
    report = verify(decayed, loss="half_squared_error")
    assert report.verdict == "wrong"
    assert "with weight decay: 0.03 · w" in report.findings[0]
    assert verify(decayed, loss="half_squared_error", decay=0.03).ok
    assert verify(decayed, loss="half_squared_error", decay=0.02).verdict == "wrong"
    assert verify(decayed, loss="half_squared_error", decay="0.03/n").verdict == "wrong"


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("sign", [1, -1], ids=["the gradient", "minus the gradient"])
def test_a_penalty_that_is_subtracted_is_no_penalty_and_with_minus_the_gradient_it_is_minus_the_penalty(
    sign: int,
) -> None:
    def decayed(W: Any, B: Any, x: Any, t: Any, decay: float) -> Any:
        of_weights, of_biases = gradients(W, B, x, t)
        return [sign * (g + decay * w) for g, w in zip(of_weights, W, strict=True)], [sign * g for g in of_biases]

    def right(W: Any, B: Any, x: Any, t: Any) -> Any:
        return decayed(W, B, x, t, 0.03)

    def subtracted(W: Any, B: Any, x: Any, t: Any) -> Any:
        return decayed(W, B, x, t, -0.03)

    declared: dict[str, Any] = {
        "loss": "half_squared_error",
        "decay": 0.03,
        "sign": "positive" if sign > 0 else "negative",
    }
    assert verify(right, **declared).ok
    assert verify(subtracted, **declared).verdict == "wrong"
    assert "with weight decay: 0.03 · w in the gradient" in str(verify(right)).splitlines()[0]
    undeclared = verify(subtracted)
    assert undeclared.verdict == "wrong"
    assert "0.03 · w to the weight gradient (weight decay)" in str(undeclared)


@pytest.mark.usefixtures("slow")
def test_a_penalty_over_the_number_of_samples_is_found_out_and_may_be_declared() -> None:
    def decayed(W: Any, B: Any, x: Any, t: Any) -> Any:
        weights, biases = gradients(W, B, x, t)
        return [g + 0.03 / len(x) * w for g, w in zip(weights, W, strict=True)], biases

    found = verify(decayed)
    assert found.ok
    assert "with weight decay: 0.03 / n · w in the gradient, n samples" in str(found).splitlines()[0]
    assert verify(decayed, loss="half_squared_error", decay="0.03/n").ok
    assert verify(decayed, loss="half_squared_error", decay=0.03).verdict == "wrong"
    with pytest.raises(InvalidInput, match=r"decay: expected a finite number, as 0.1, 0.1/n, or"):
        verify(decayed, decay="0.03/m")


def online(W: Any, B: Any, x: Any, t: Any, rate: float, forgets_biases: bool = False) -> Any:
    """A loop over samples, each of which moves the weights."""
    W, B = list(W), list(B)
    for i in range(len(x)):
        found = gradients(W, B, x[i : i + 1], t[i : i + 1])
        for arrays, steps in zip((W,) if forgets_biases else (W, B), found, strict=False):
            arrays[:] = [array - rate * step for array, step in zip(arrays, steps, strict=True)]
    return W, B


@pytest.mark.usefixtures("slow")
def test_weights_may_be_updated_sample_by_sample() -> None:
    report = verify(online, returns="updated")
    assert report.ok
    assert "squared error with ½, updated sample by sample" in str(report)
    declared = verify(online, returns="updated", updates="batch")
    assert declared.verdict == "wrong"
    assert "it computes squared error with ½, updated sample by sample" in declared.findings[0]
    wrong = verify(partial(online, forgets_biases=True), returns="updated")
    assert wrong.diagnosis is not None
    assert "biases-not-updated" in wrong.diagnosis.names


def biases_in_weights(W: Any, x: Any, t: Any, last: bool, bug: bool) -> Any:
    """Every layer puts a 1 before or behind what it receives; there are no separate biases."""
    a, received = x, []
    for w in W:
        ones = np.ones((len(a), 1))
        received.append(np.hstack([a, ones] if last else [ones, a]))
        a = sigmoid(received[-1] @ w.T)
    delta = (a - t) * a * (1 - a)
    found: list[Any] = []
    for k in reversed(range(len(W))):
        found.insert(0, delta.T @ received[k])
        below = received[k][:, :-1] if last else received[k][:, 1:]
        error = delta @ (W[k][:, :-1] if last else W[k][:, 1:])
        delta = error if bug else error * below * (1 - below)
    return found, None


@pytest.mark.parametrize("last", [False, True])
def test_biases_may_be_a_column_of_the_weights(last: bool, sampled: Callable[[int, int], None]) -> None:
    sampled(1, 2)
    report = verify(lambda W, B, x, t: biases_in_weights(W, x, t, last, bug=False))
    assert report.ok
    assert f"bias: weights-{'last' if last else 'first'}" in str(report)
    wrong = verify(lambda W, B, x, t: biases_in_weights(W, x, t, last, bug=True))
    assert wrong.diagnosis is not None
    assert wrong.diagnosis.names == ["hidden-delta-without-derivative"]
    assert f"bias: weights-{'last' if last else 'first'}" in str(wrong)


@pytest.mark.usefixtures("slow")
def test_gradients_that_are_not_set_to_zero_are_told_from_chance() -> None:
    before: list[Any] = []

    def accumulating(W: Any, B: Any, x: Any, t: Any) -> Any:
        found = gradients(W, B, x, t)
        if before and before[0].shape == found[0][0].shape:
            weights, biases = (
                [a + b for a, b in zip(found[0], before[:2], strict=True)],
                [a + b for a, b in zip(found[1], before[2:], strict=True)],
            )
            found = weights, biases
        before[:] = [*found[0], *found[1]]
        return found

    report = verify(accumulating)
    assert report.verdict == "wrong"
    assert report.findings[0].startswith("it adds its gradients to those of the call before.")


def test_what_is_declared_is_enforced() -> None:
    report = verify(gradients, loss="squared_error")
    assert report.verdict == "wrong"
    assert "it computes squared error with ½, summed over samples" in report.findings[0]
    assert "that is not what was declared" in report.findings[0]


@pytest.mark.usefixtures("slow")
def test_weights_the_other_way_round() -> None:
    def inputs_by_units(W: Any, B: Any, x: Any, t: Any) -> Any:
        weight_gradients, bias_gradients = gradients([w.T for w in W], B, x, t)
        return [g.T for g in weight_gradients], bias_gradients

    assert "inputs × units" in str(verify(inputs_by_units))
    assert verify(inputs_by_units, orientation="inputs_by_units").ok


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(5, 2)
@pytest.mark.parametrize("bias", ["none", "hidden", "column-last", "column-first", [True, False]])
def test_every_bias_form(bias: Any) -> None:
    assert verify(gradients, bias=bias).ok


@pytest.mark.usefixtures("slow")
def test_updates_outputs_formats_and_kinds_of_array() -> None:
    def updated(W: Any, B: Any, x: Any, t: Any, rate: float) -> Any:
        weight_gradients, bias_gradients = gradients(W, B, x, t)
        return [w - rate * g for w, g in zip(W, weight_gradients, strict=True)], [b - rate * g for b, g in zip(B, bias_gradients, strict=True)]  # fmt: skip

    assert verify(updated, returns="updated").ok
    assert verify(updated, returns="updated", learning_rate=0.1).ok
    uphill = verify(lambda W, B, x, t, rate: updated(W, B, x, t, -rate), returns="updated", activations="sigmoid", loss="half_squared_error", reduction="sum")  # fmt: skip
    assert not uphill.ok

    def outputs(W: Any, B: Any, x: Any, t: Any) -> Any:
        for w, b in zip(W, B, strict=True):
            x = sigmoid(x @ w.T + b)
        return x

    assert verify(outputs, returns="outputs").ok
    assert not verify(lambda *a: outputs(*a) + 1e-9, returns="outputs", activations="sigmoid").ok
    assert verify(gradients, dtype="float32").ok

    def lists(W: list[Any], B: list[Any], x: list[Any], t: list[Any]) -> Any:
        assert isinstance(x, list)
        out = gradients([np.array(w) for w in W], [np.array(b) for b in B], np.array(x), np.array(t))
        return [g.tolist() for g in out[0]], [g.tolist() for g in out[1]]

    assert verify(lists).ok


@pytest.mark.usefixtures("slow")
def test_torch_tensors_in_and_out() -> None:
    torch = pytest.importorskip("torch")

    def autograd(W: Any, B: Any, x: Any, t: Any) -> Any:
        W, B = [w.clone().requires_grad_() for w in W], [b.clone().requires_grad_() for b in B]
        a = x
        for w, b in zip(W, B, strict=True):
            a = torch.sigmoid(torch.nn.functional.linear(a, w, b))
        (((a - t) ** 2).sum() / 2).backward()
        return [w.grad for w in W], [b.grad for b in B]

    assert verify(autograd, dtype="float32").ok


@pytest.mark.usefixtures("slow")
def test_weights_and_biases_may_come_layer_by_layer() -> None:
    assert verify(lambda *given: list(zip(*gradients(*given), strict=True)), cases="few").ok
    columns = verify(lambda *given: ((f := gradients(*given))[0], [b.reshape(-1, 1) for b in f[1]]), sizes=(3, 4, 1))
    assert columns.ok  # whose shapes, layer by layer, would fit as well


def test_gradients_the_other_way_round_than_the_weights_are_said_to_be_so() -> None:
    """Weights inputs × units, gradients units × inputs: what it answered is told, not what it raised before."""

    def turned(W: Any, B: Any, x: Any, t: Any) -> Any:
        if W[0].shape[0] != x.shape[1]:
            raise ValueError("matmul")
        return gradients([w.T for w in W], B, x, t)

    text = str(verify(turned))
    assert "gradient weights[0]: expected 3 × 4 (inputs × units, as it takes them), got 4 × 3" in text


def test_a_parameter_without_a_gradient_is_said_to_be_out_of_the_loss_s_reach() -> None:
    report = verify(lambda *given: ([None, gradients(*given)[0][1]], gradients(*given)[1]))
    assert report.verdict == "unanswered"
    assert "a parameter that the loss does not reach" in str(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"returns": "grads"}, "returns: expected one of gradients, updated, outputs; got 'grads'."),
        ({"loss": "foo"}, "loss: expected one of half_squared_error, "),
        ({"activations": ["sigmoid"]}, "activations: expected 2, one per layer; got 1."),
        ({"activations": "sigmod"}, "activations[0]: expected one of "),
        ({"sizes": [2]}, "sizes: expected two or more positive whole numbers"),
        ({"bias": "columns"}, "bias: expected one of separate, none, hidden, column-first, column-last, weights-first, weights-last; got 'columns'."),
        ({"loss": "binary_cross_entropy", "activations": "tanh"}, "loss binary_cross_entropy does not go with activation 'tanh'"),
    ],
)  # fmt: skip
def test_a_declaration_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        verify(gradients, **options)


@pytest.mark.usefixtures("slow")
def test_assert_gradients_replaces_assert_allclose() -> None:
    network = (
        bp.Dense([[0.5, -1.0], [0.25, 2.0]], [0.5, -0.25], "sigmoid"),
        bp.Dense([[1.0, -0.5]], [0.25], "sigmoid"),
    )
    inputs, targets = [[1.0, 2.0], [0.5, -1.0]], [[1.0], [0.0]]
    arrays = [np.array(layer.weights) for layer in network], [np.array(layer.biases) for layer in network]
    right = gradients(*arrays, np.array(inputs), np.array(targets))
    assert_gradients(network, inputs, targets, *right)
    assert_gradients(network, inputs, targets, right[0])
    wrong = gradients(*arrays, np.array(inputs), np.array(targets), bug="no derivative")
    with pytest.raises(WrongGradients, match="hidden-delta-without-derivative"):
        assert_gradients(network, inputs, targets, *wrong)
    for missing, message in (
        ((right[0][:1], right[1]), "weight_gradients: expected 2 arrays, one per layer; got 1"),
        ((None, right[1]), "weight_gradients: expected 2 arrays, one per layer; got NoneType"),
        (([None, None], right[1]), "weight_gradients[0]: expected an array, got None"),
        ((right[0], [None, None]), "bias_gradients[0]: expected an array, got None"),
        ((right[0], []), "bias_gradients: expected 2 arrays, one per layer; got 0"),
        (([g * 1j for g in right[0]], right[1]), "weight_gradients[0]: expected real numbers, got complex128"),
        (([g.astype(str) for g in right[0]], right[1]), "weight_gradients[0]: expected numbers, got ndarray"),
        (([g.astype("f4") for g in right[0]], right[1]), "gradients: expected all in one format, got float32 and float64"),
        (([np.zeros((3, 3)) for g in right[0]], right[1]), "weight_gradients[0]"),
    ):  # fmt: skip
        with pytest.raises(WrongGradients, match="^unanswered: .*" + re.escape(message)):
            assert_gradients(network, inputs, targets, *missing)
    assert isinstance(verify(gradients), Report)


def _without_biases(weights: Any, x: Any, t: Any) -> Any:
    activations = [x]
    for k, w in enumerate(weights):
        z = activations[-1] @ w.T
        activations.append(np.tanh(z) if k < len(weights) - 1 else z)
    delta, gradients = activations[-1] - t, list[Any]()
    for k in reversed(range(len(weights))):
        gradients.insert(0, delta.T @ activations[k])
        delta = delta @ weights[k] * (1 - activations[k] ** 2)
    return gradients


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(1)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 2, 2), (3, 4, 5, 2)])
def test_without_biases_the_weights_gradients_are_all(sizes: tuple[int, ...]) -> None:
    report = bp.verify(lambda W, B, x, t: _without_biases(W, x, t), bias="none", sizes=sizes)
    assert report.verdict == "agrees", report
