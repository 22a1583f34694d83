"""One activation, written as people write it: digits that cancel near zero are roundings, and no mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reference.diagnosis.steps.fitting import shown
from backproof.reference.more_activations import ACTIVATION_NAMES, activation_named, cancelling
from backproof.reference.numbers import PLAIN
from backproof.reports.validation.front_door import verify

Curve = Callable[[Any], Any]

SIGMOIDS: dict[str, Curve] = {
    "(1 + tanh(z/2))/2": lambda z: (1 + np.tanh(z / 2)) / 2,
    "1 − 1/(1 + exp z)": lambda z: 1 - 1 / (1 + np.exp(z)),
    "half the tanh, and a half": lambda z: np.tanh(z * z.dtype.type(0.5)) * z.dtype.type(0.5) + z.dtype.type(0.5),
}
SOFTPLUS: dict[str, Curve] = {
    "log(1 + exp z)": lambda z: np.where(z > 30, z, np.log(1 + np.exp(np.minimum(z, 30)))),
    "log(1 + exp z) everywhere": lambda z: np.log(1 + np.exp(z)),
}


LEAKY = {0.01: "leaky_relu", 0.1: "leaky_relu(0.1)"}


def gradients(curve: Curve, slope: Callable[[Any, Any], Any], output: bool, mistake: float = 1.0) -> Callable[..., Any]:
    """Of a net with that activation, at its output too or not, its squared error with ½."""

    def run(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        zs, activations = [], [inputs]
        last = len(weights) - 1
        with np.errstate(all="ignore"):
            for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
                zs.append(activations[-1] @ w.T + b)
                activations.append(curve(zs[-1]) if output or k < last else zs[-1])
            delta, dw, db = activations[-1] - targets, list[Any](), list[Any]()
            for k in reversed(range(last + 1)):
                if output or k < last:
                    delta = delta * slope(zs[k], activations[k + 1]) * inputs.dtype.type(mistake)
                dw.insert(0, delta.T @ activations[k])
                db.insert(0, delta.sum(axis=0))
                delta = delta @ weights[k]
        return dw, db

    return run


def of_sigmoid(z: Any, a: Any) -> Any:
    return a * (1 - a)


def of_softplus(z: Any, a: Any) -> Any:
    return 1 / (1 + np.exp(-z))


@pytest.mark.sampled(12, 4)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "found out"])
@pytest.mark.parametrize("way", SIGMOIDS)
def test_a_sigmoid_that_loses_digits_near_zero(way: str, declared: bool, dtype: str) -> None:
    known: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error"} if declared else {}
    report = verify(gradients(SIGMOIDS[way], of_sigmoid, output=True), dtype=dtype, **known)
    assert report.ok, report
    assert "to within a rounding of 1" in str(report).splitlines()[0]


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "found out"])
@pytest.mark.parametrize("way", SOFTPLUS)
def test_a_softplus_that_loses_digits_near_zero(way: str, declared: bool) -> None:
    known: dict[str, Any] = {"activations": ["softplus", "identity"], "loss": "half_squared_error"} if declared else {}
    report = verify(gradients(SOFTPLUS[way], of_softplus, output=False), **known)
    assert report.ok, report
    assert "to within a rounding of 1" in str(report).splitlines()[0]


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(8, 2)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "found out"])
@pytest.mark.parametrize("slope", LEAKY)
def test_a_leaky_relu_by_the_size_of_z(slope: float, declared: bool, dtype: str) -> None:
    """As Theano has it: theano.tensor.nnet.relu."""

    def by_size(z: Any) -> Any:
        number = z.dtype.type
        return number((1 + slope) / 2) * z + number((1 - slope) / 2) * abs(z)

    known: dict[str, Any] = {"activations": [LEAKY[slope], "identity"], "loss": "half_squared_error"}
    run = gradients(by_size, lambda z, a: np.where(z > 0, z.dtype.type(1), z.dtype.type(slope)), output=False)
    report = verify(run, dtype=dtype, **(known if declared else {}))
    assert report.ok, report


@pytest.mark.usefixtures("slow")
def test_the_usual_way_is_not_said_to_lose_any() -> None:
    usual = gradients(lambda z: 1 / (1 + np.exp(-z)), of_sigmoid, output=True)
    assert "rounding of 1" not in str(verify(usual, activations="sigmoid", loss="half_squared_error"))


MISTAKES: dict[str, Callable[..., Any]] = {
    "f′ off by 10⁻⁹": gradients(SIGMOIDS["(1 + tanh(z/2))/2"], of_sigmoid, output=True, mistake=1 + 1e-9),
    "clipped at 10⁻⁷": gradients(lambda z: np.clip(1 / (1 + np.exp(-z)), 1e-7, 1 - 1e-7), of_sigmoid, output=True),
    "½(1 + tanh z)": gradients(lambda z: (1 + np.tanh(z)) / 2, of_sigmoid, output=True),
}


@pytest.mark.sampled(3, 1)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_mistake_hides_in_lost_digits(mistake: str) -> None:
    report = verify(MISTAKES[mistake], activations="sigmoid", loss="half_squared_error")
    assert report.verdict == "wrong", report


@pytest.mark.usefixtures("slow")
def test_a_wrong_number_that_is_the_only_one_is_not_called_clipped() -> None:
    def off_near_zero(z: Any) -> Any:
        return np.where(np.abs(z) < 1e-9, np.log(2) * (1 + 1e-12), np.logaddexp(0, z))

    report = verify(
        gradients(off_near_zero, of_softplus, output=False),
        activations=["softplus", "identity"],
        loss="half_squared_error",
    )
    assert report.verdict == "wrong", report
    assert "clipped" not in str(report)


@pytest.mark.parametrize("name", [name for name in ACTIVATION_NAMES if name != "softmax"])
def test_it_is_the_same_function(name: str) -> None:
    activation = activation_named(name)
    assert activation is not None
    other = cancelling(activation)
    contains = name in ("sigmoid", "softplus", "silu", "mish", "leaky_relu")
    assert (other is activation) != contains
    for z in (-3.0, -0.5, 0.25, 2.0):
        assert other.value(z, PLAIN.functions) == activation.value(z, PLAIN.functions)


def test_a_factor_is_not_shown_as_one() -> None:
    assert shown(1 + 1e-9) == "1 + 1e−09"
    assert shown(1.0) == "1"
    assert shown(-2 + 3e-10) == "−2 + 3e−10"
    assert shown(float("inf")) == "inf"
