"""scikit-learn's own backpropagation, on the standard cases as it would have them; and where its loss is another one."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("sklearn")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict
from standard import CASES

SKLEARN = known_adapters()["sklearn"]
OVERFLOWS = "1e30-then-1e-30"


def as_it_would_have_it(case: Case) -> Case:
    """With biases everywhere, the mean over the batch, and the identity at the output of a regression."""
    layers = [replace(layer, biases=layer.biases or [0.0] * len(layer.weights)) for layer in case.layers]
    if case.loss == "half_squared_error":
        layers[-1] = replace(layers[-1], activation="identity")
    return replace(case, layers=tuple(layers), reduction="mean")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_agrees_on_the_standard_cases_restated(dtype: str) -> None:
    restated = [as_it_would_have_it(case) for case in CASES.values() if case.dtype == dtype]
    able = [case for case in restated if SKLEARN.refusal(case) is None]
    assert len(able) > 35
    agree = {case.name: judge(case, SKLEARN.run(case)).verdict is Verdict.AGREES for case in able}
    assert {name for name, does in agree.items() if not does} == ({OVERFLOWS} if dtype == "float32" else set())


def test_a_penalty_of_nothing_makes_the_loss_not_a_number_where_the_squares_of_weights_overflow() -> None:
    """It adds ½·α·Σw², and 0 · ∞ is not a number. The gradients are right."""
    case = as_it_would_have_it(CASES[OVERFLOWS, "float32"])
    judgement = judge(case, SKLEARN.run(case))
    assert [comparison.place for comparison in judgement.wrong] == [Place("loss", None)]
    assert np.isnan(judgement.wrong[0].worst[0].got)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("xor-none", "half_squared_error with sigmoid at the output"),
        ("no-biases", "a layer without biases"),
        ("depth-3", "a sum over the batch, not its mean"),
        ("hidden-softplus", "activation softplus"),
        ("squared_error-mean", "loss squared_error"),
    ],
)
def test_what_it_cannot_be_asked_is_said(case: str, why: str) -> None:
    assert SKLEARN.refusal(CASES[case, "float64"]) == why
    with pytest.raises(NotImplementedError, match=f"scikit-learn has no {why}"):
        SKLEARN.run(CASES[case, "float64"])


def test_the_loss_of_several_outputs_is_divided_by_their_number_and_its_gradient_is_not() -> None:
    """`loss_` of a regression is a mean over the outputs as well; what it descends is the sum over them."""
    from sklearn.neural_network import MLPRegressor

    x, t = np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([[1.0, 0.0, 2.0], [0.0, -1.0, 1.0]])
    settings = {"alpha": 0, "momentum": 0, "learning_rate_init": 1.0, "max_iter": 1, "random_state": 0}
    network = MLPRegressor(hidden_layer_sizes=(), solver="sgd", **settings)
    with warnings.catch_warnings(action="ignore"):  # that one update is not enough
        network.partial_fit(x, t)
        before = network.coefs_[0].copy()
        error = network.predict(x) - t
        network.partial_fit(x, t)
    assert network.loss_ == pytest.approx((error**2).mean() / 2)
    assert before - network.coefs_[0] == pytest.approx(x.T @ error / len(x))
    case = as_it_would_have_it(CASES["depth-2", "float64"])
    assert case.sizes[-1] > 1
    assert SKLEARN.run(case).loss is None
    assert SKLEARN.run(as_it_would_have_it(CASES["linear-regression", "float64"])).loss is not None


def test_the_log_loss_of_saturated_outputs_is_clipped_and_its_gradient_is_not() -> None:
    """At z = −40 and t = 1 it is −log ε = 36.04, where it should be 40."""
    layers = (Dense(((1.0,),), (0.0,), "sigmoid"),)
    case = Case("log loss", layers, ((-40.0,),), ((1.0,),), loss="binary_cross_entropy")
    judgement = judge(case, SKLEARN.run(case))
    assert [comparison.place for comparison in judgement.wrong] == [Place("loss", None)]
    assert judgement.wrong[0].worst[0].got == pytest.approx(-np.log(np.finfo(np.float64).eps))
