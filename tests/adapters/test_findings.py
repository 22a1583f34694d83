"""Where a framework is inaccurate, and the judge says so. These are findings, not faults of the tests."""

from __future__ import annotations

import math

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.atlas import recorded


def as_recorded(framework: str) -> pytest.MarkDecorator:
    """Findings are of a version: another one may have been mended."""
    versions = {m.version for m in recorded() if m.adapter == framework}
    installed = known_adapters()[framework].version
    return pytest.mark.skipif(installed not in versions, reason=f"{framework} {installed} is not the one in the atlas")


@as_recorded("torch")
@pytest.mark.parametrize(("z", "verdict"), [(19.0, Verdict.AGREES), (20.5, Verdict.WRONG)])
def test_pytorch_s_float64_softplus_is_linear_beyond_its_threshold(z: float, verdict: Verdict) -> None:
    """F.softplus has threshold=20: beyond it, it returns z, which lacks log(1 + e^−20.5) = 1.25e-9."""
    case = Case("softplus", (Dense(((1.0,),), None, "softplus"),), ((z,),), ((1.0,),))
    judgement = judge(case, known_adapters()["torch"].run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("activations", 0)
        assert judgement.wrong[0].worst[0].got == z


@as_recorded("torch")
@pytest.mark.parametrize(("z", "verdict"), [(-20.0, Verdict.AGREES), (-30.0, Verdict.WRONG)])
def test_pytorch_s_binary_cross_entropy_learns_nothing_from_outputs_below_1e_12(z: float, verdict: Verdict) -> None:
    """Its backward divides by max(o(1 − o), 1e-12): δ = (o − t)·o(1 − o)/1e-12 ≈ 0 where it should be −1."""
    case = Case("bce", (Dense(((1.0,),), None, "sigmoid"),), ((z,),), ((1.0,),), loss="binary_cross_entropy")
    judgement = judge(case, known_adapters()["torch"].run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("deltas", 0)
        assert judgement.wrong[0].worst[0].expected == pytest.approx(-1)
        assert abs(judgement.wrong[0].worst[0].got) < 0.2


@as_recorded("torch")
@pytest.mark.parametrize(("dtype", "verdict"), [("float32", Verdict.AGREES), ("float64", Verdict.WRONG)])
def test_pytorch_s_float64_hardsigmoid_has_a_slope_in_float32(dtype: str, verdict: Verdict) -> None:
    """Its backward multiplies by 1/6 as float32 has it, 0.16666667163372: off by 3·10⁻⁸, in float64 as well."""
    case = Case("hard", (Dense(((1.0,),), None, "hardsigmoid"),), ((0.5,),), ((1.0,),), dtype=dtype)
    judgement = judge(case, known_adapters()["torch"].run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("deltas", 0)
        element = judgement.wrong[0].worst[0]
        sixth = float(np.float32(1) / np.float32(6))
        assert abs(element.got - 6 * sixth * element.expected) <= element.tolerance  # the judge's own, of this number


@as_recorded("jax")
def test_jax_s_float16_sigmoid_is_0_where_exp_overflows() -> None:
    case = Case("sigmoid", (Dense(((1.0,),), None, "sigmoid"),), ((-11.25,),), ((1.0,),), dtype="float16")
    judgement = judge(case, known_adapters()["jax"].run(case))
    assert judgement.wrong[0].place == Place("activations", 0)
    assert judgement.wrong[0].worst[0].got == 0.0


@as_recorded("jax")
def test_jax_s_float64_log1p_is_off_by_a_hundred_ulps() -> None:
    """In the loss −log(1 − o) at o = 0.41101204092038574."""
    o = 0.41101204092038574
    z = math.log(o / (1 - o))
    case = Case("log1p", (Dense(((1.0,),), None, "sigmoid"),), ((z,),), ((0.0,),), loss="binary_cross_entropy")
    assert [c.place.quantity for c in judge(case, known_adapters()["jax"].run(case)).wrong] == ["loss"]


@pytest.mark.usefixtures("slow")
@as_recorded("jax")
@pytest.mark.parametrize(("classes", "verdict"), [(200, Verdict.AGREES), (300, Verdict.WRONG)])
def test_jax_s_float16_softmax_gradient_loses_a_term_beyond_256_classes(classes: int, verdict: Verdict) -> None:
    """δ = s − t; of Σ exp, about the number of classes, the square overflows in float16, and s is lost."""
    weights = [[(k % 7 - 3) / 64] for k in range(classes)]
    targets = [[1.0 if k == 3 else 0.0 for k in range(classes)]]
    layers = (Dense(weights, None, "softmax"),)
    case = Case("softmax", layers, [[1.0]], targets, loss="softmax_cross_entropy", dtype="float16")
    judgement = judge(case, known_adapters()["jax"].run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("deltas", 0)
        assert judgement.wrong[0].wrong == classes - 1
