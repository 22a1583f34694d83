"""Where a framework is inaccurate, and the judge says so. These are findings, not faults of the tests."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judge import Verdict, judge
from backproof.reference.observation import Place


@pytest.mark.parametrize(("z", "verdict"), [(19.0, Verdict.AGREES), (20.5, Verdict.WRONG)])
def test_pytorch_s_float64_softplus_is_linear_beyond_its_threshold(z: float, verdict: Verdict) -> None:
    """F.softplus has threshold=20: beyond it, it returns z, which lacks log(1 + e^−20.5) = 1.25e-9."""
    case = Case("softplus", (Dense(((1.0,),), None, "softplus"),), ((z,),), ((1.0,),))
    judgement = judge(case, known_adapters()["torch"].run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert judgement.wrong[0].place == Place("activations", 0)
        assert judgement.wrong[0].worst[0].got == z
