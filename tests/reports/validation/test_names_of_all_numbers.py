"""What is said of wrong numbers is true of all of them: of other batches, other calls, other data, other signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reports.validation.front_door import verify

Array = Any
Curve = Callable[[Array], Array]


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def network(output: Curve, output_delta: Callable[[Array, Array, Array], Array]) -> Callable[..., Any]:
    """tanh in hidden layers.  output_delta(outputs, targets, inputs)"""

    def gradients(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        activations = [inputs]
        for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = activations[-1] @ w.T + b
            activations.append(output(z) if k == len(weights) - 1 else np.tanh(z))
        delta, dw, db = output_delta(activations[-1], targets, inputs), list[Any](), list[Any]()
        for k in reversed(range(len(weights))):
            dw.insert(0, delta.T @ activations[k])
            db.insert(0, delta.sum(axis=0))
            delta = delta @ weights[k] * (1 - activations[k] ** 2)
        return dw, db

    return gradients


def itself(z: Array) -> Array:
    return z


FALSE = ("the number of the call", "what its samples give by themselves", "averaged over samples")


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(8, 2)
@pytest.mark.parametrize("factor", [1 / 2, 1 / 4, 1 / 8, 1 / 5])
@pytest.mark.parametrize(
    "known", [{}, {"activations": ["tanh", "identity"]}], ids=["found out", "activations declared"]
)
def test_a_loss_with_a_factor_is_not_one_that_is_averaged_over_as_many(factor: float, known: dict[str, Any]) -> None:
    """Four samples and two outputs are asked for first: a quarter is no mean of four."""
    report = verify(network(itself, lambda o, t, x: factor * (o - t)), **known)
    assert report.verdict == "unrecognised", report
    assert not any(words in str(report) for words in FALSE), report


@pytest.mark.usefixtures("slow")
def test_what_has_no_state_does_not_depend_on_the_number_of_the_call() -> None:
    report = verify(network(softmax, lambda o, t, x: (o - t) * o * (1 - o)))
    assert report.verdict in ("wrong", "unrecognised"), report
    assert "number of the call" not in str(report)


@pytest.mark.usefixtures("slow")
def test_what_has_a_state_is_still_found() -> None:
    right, calls = network(itself, lambda o, t, x: o - t), [0]

    def wrong_from_the_third_call_on(*given: Any) -> Any:
        calls[0] += 1
        dw, db = right(*given)
        return ([1.5 * g for g in dw], db) if calls[0] > 2 else (dw, db)

    report = verify(wrong_from_the_third_call_on, activations=["tanh", "identity"], loss="half_squared_error")
    assert report.verdict == "wrong", report


def test_where_a_sum_is_meant_nothing_is_to_be_divided() -> None:
    report = verify(
        network(itself, lambda o, t, x: (o - t) * len(x)),
        activations=["tanh", "identity"],
        loss="half_squared_error",
        reduction="sum",
    )
    assert "it multiplies ∂E/∂o by the number of samples" in str(report)
    assert "does not divide" not in str(report)


REFUTED: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "targets as whole numbers": (
        network(itself, lambda o, t, x: o - t.astype(int)),
        {"activations": ["tanh", "identity"], "loss": "half_squared_error"},
        "targets all one",
    ),
    "divided by the number of inputs": (
        network(softmax, lambda o, t, x: (o - t) / x.shape[1]),
        {"activations": ["tanh", "softmax"], "loss": "softmax_cross_entropy", "reduction": "sum"},
        "",
    ),
}


@pytest.mark.parametrize("case", REFUTED)
def test_a_name_that_other_data_refute_is_said_to_be_refuted(case: str) -> None:
    run, known, kind = REFUTED[case]
    report = verify(run, **known)
    assert report.verdict == "wrong", report
    (line,) = (finding for finding in report.findings if finding.startswith("not so on "))
    assert kind in line
    assert "proved: " not in str(report)


@pytest.mark.usefixtures("slow")
def test_a_name_that_is_true_of_all_is_not_said_to_be_refuted() -> None:
    wrong = network(itself, lambda o, t, x: -(o - t))
    for run in (wrong, network(itself, lambda o, t, x: 3 * (o - t)), network(itself, lambda o, t, x: o)):
        report = verify(run, activations=["tanh", "identity"], loss="half_squared_error", sign="positive")
        assert report.verdict == "wrong", report
        assert "not so on" not in str(report)


@pytest.mark.usefixtures("slow")
def test_another_convention_has_to_give_everything() -> None:
    """Outputs that are clamped to [0, 1] are no ReLU's: some probes' are larger than 1."""

    def clamped(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        hidden = np.tanh(inputs @ weights[0].T + biases[0])
        z = hidden @ weights[1].T + biases[1]
        delta = (np.clip(z, 0, 1) - targets) * ((z > 0) & (z < 1))
        below = delta @ weights[1] * (1 - hidden**2)
        return [below.T @ inputs, delta.T @ hidden], [below.sum(axis=0), delta.sum(axis=0)]

    report = verify(clamped, activations=["tanh", "identity"], loss="half_squared_error", sizes=(3, 4, 2))
    assert report.verdict == "wrong", report
    assert "relu at the output, exactly" not in str(report)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    ("made", "words"),
    [
        (np.sign, "every number is −1 or 1: the sign of a gradient, without its size."),
        (lambda g: np.round(g, 8), "no number has more than 8 decimals: they are rounded."),
        (lambda g: np.round(g, 3), "no number has more than 3 decimals: they are rounded."),
        (np.trunc, "all numbers are whole"),
    ],
)
def test_what_was_made_of_numbers_is_told_by_them(made: Curve, words: str) -> None:
    right = network(itself, lambda o, t, x: 3 * (o - t))

    def gradients(*given: Any) -> Any:
        return tuple([made(g / 3) for g in each] for each in right(*given))

    report = verify(gradients, activations=["tanh", "identity"], loss="half_squared_error")
    assert report.verdict == "wrong", report
    assert words in str(report)


@pytest.mark.usefixtures("slow")
def test_two_mistakes_are_told_and_no_third_that_a_convention_takes_back() -> None:
    """A sum of squares without ½, each weight's gradient of the first sample, the error from the first unit above."""

    def assigned(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        dw = [np.zeros_like(w) for w in weights]
        db = [np.zeros_like(b) for b in biases]
        for x, t in zip(inputs[::-1], targets[::-1], strict=True):
            activations = [x]
            for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
                z = w @ activations[-1] + b
                activations.append(z if k == len(weights) - 1 else np.tanh(z))
            delta = 2 * (activations[-1] - t)
            for k in reversed(range(len(weights))):
                dw[k] = np.outer(delta, activations[k])
                db[k] = db[k] + delta
                delta = delta[0] * weights[k][0] * (1 - activations[k] ** 2)
        return dw, db

    report = verify(assigned)
    assert report.verdict == "wrong", report
    assert "multiplies every gradient by 2" not in str(report)
    assert "squared error without ½" in str(report)


@pytest.mark.usefixtures("slow")
def test_decay_of_the_biases_is_told_and_has_a_declaration() -> None:
    right = network(itself, lambda o, t, x: o - t)

    def decayed(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        dw, db = right(weights, biases, inputs, targets)
        return [g + 0.1 * w for g, w in zip(dw, weights, strict=True)], [
            g + 0.1 * b for g, b in zip(db, biases, strict=True)
        ]

    known: dict[str, Any] = {"activations": ["tanh", "identity"], "loss": "half_squared_error", "reduction": "sum"}
    report = verify(decayed, decay=0.1, **known)
    assert report.ok, report
    assert "found out, not declared: decay (0.1 with biases)." in str(report)
    strictly = verify(decayed, decay=0.1, strict=True, sign="positive", **known)
    assert strictly.verdict == "unrecognised", strictly
    assert "decay='0.1 with biases'" in str(strictly)
    assert verify(decayed, decay="0.1 with biases", strict=True, sign="positive", **known).ok
    assert verify(decayed, decay="0.1/n with biases", **known).verdict == "wrong"
    with pytest.raises(Exception, match="decay: expected a finite number, as 0.1, 0.1/n, or '0.1 with biases'"):
        verify(decayed, decay="0.1 with weights", **known)
