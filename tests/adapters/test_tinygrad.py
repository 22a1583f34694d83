"""Where tinygrad is inaccurate, and the judge says so."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("tinygrad")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict

TINYGRAD = known_adapters()["tinygrad"]
pytestmark = pytest.mark.skipif(TINYGRAD.version != "0.14.0", reason="these are findings of tinygrad 0.14.0")


@pytest.mark.parametrize(("z", "verdict"), [(1.0, Verdict.AGREES), (0.0029, Verdict.WRONG)])
def test_tanh_of_small_numbers_cancels(z: float, verdict: Verdict) -> None:
    """It is 2·sigmoid(2z) − 1: near 0 as far off as sigmoid is near ½, however small the result."""
    z = float(np.float32(z))
    case = Case("tanh", (Dense(((1.0,),), None, "tanh"),), ((z,),), ((1.0,),), dtype="float32")
    judgement = judge(case, TINYGRAD.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("activations", 0)
        worst = judgement.wrong[0].worst[0]
        assert (worst.got + 1) / 2 == np.float32((worst.got + 1) / 2), "one less than twice a float32 number"
        assert abs(worst.got - worst.expected) < 4 * np.spacing(np.float32(0.5)), "a rounding error of sigmoid's"


@pytest.mark.parametrize(("z", "verdict"), [(-1.0, Verdict.AGREES), (-36.0, Verdict.WRONG)])
def test_sigmoid_far_from_0_is_off_by_the_rounding_of_its_argument(z: float, verdict: Verdict) -> None:
    """It is 1/(1 + 2^(−z/log 2)): the rounding of the power is an error of the result that grows with z."""
    case = Case("sigmoid", (Dense(((1.0,),), None, "sigmoid"),), ((z,),), ((1.0,),), dtype="float32")
    judgement = judge(case, TINYGRAD.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("activations", 0)
        # no tolerance of the judge: the roundings of float32's 2^x, a sum and a quotient
        power = np.float64(np.float32(-z) * np.float32(1 / np.log(2)))
        assert judgement.wrong[0].worst[0].got == pytest.approx(1 / (1 + 2.0**power), rel=5 * 2.0**-24)
