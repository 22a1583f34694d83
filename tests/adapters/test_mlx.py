"""Where MLX is inaccurate on the CPU, and the judge says so."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("mlx")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict

MLX = known_adapters()["mlx"]
pytestmark = pytest.mark.skipif(MLX.version != "0.32.4", reason="these are findings of MLX 0.32.4")


@pytest.mark.parametrize(("activation", "verdict"), [("tanh", Verdict.AGREES), ("sigmoid", Verdict.WRONG)])
def test_float64_exp_is_no_better_than_float32_s(activation: str, verdict: Verdict) -> None:
    """And so is what is made of it: sigmoid, softplus, softmax."""
    case = Case("float64", (Dense(((1.0,),), None, activation),), ((0.5,),), ((1.0,),))
    judgement = judge(case, MLX.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("activations", 0)
        assert judgement.explained_by == "float32"
    assert MLX.evaluate is not None
    off = MLX.evaluate("exp", np.array([-20.0]))[0] / np.exp(-20.0) - 1
    assert 1e-8 < abs(off) < 1e-6


def test_float32_exp_is_off_by_the_more_the_larger_its_argument() -> None:
    """About z/log 2 is rounded before its integer part is taken off: tens of ulps at −77.7, 1 at −2."""
    assert MLX.evaluate is not None
    x = np.array([-2.0, -77.68169403076172], np.float32)
    exact = np.exp(x.astype(np.float64))
    ulps = np.abs(MLX.evaluate("exp", x) - exact) / np.spacing(exact.astype(np.float32))
    assert ulps[0] < 1.5
    assert 30 < ulps[1] < 64


@pytest.mark.parametrize(("z", "verdict"), [(1.0, Verdict.AGREES), (-18.5, Verdict.WRONG)])
def test_binary_cross_entropy_from_logits_learns_nothing_below_minus_17(z: float, verdict: Verdict) -> None:
    """The gradient of logaddexp(0, z) in z is 1 − sigmoid(−z): 0 there, where it should be sigmoid(z) = 9.2e-9."""
    layers, loss = (Dense(((1.0,),), None, "identity"),), "binary_cross_entropy_from_logits"
    case = Case("logits", layers, ((z,),), ((0.0,),), loss=loss, dtype="float32")
    judgement = judge(case, MLX.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("deltas", 0)
        assert judgement.wrong[0].worst[0].got == 0.0
