"""Where TensorFlow is inaccurate, and the judge says so."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
pytest.importorskip("tensorflow")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.arrays import array_of
from standard import CASES

TENSORFLOW = known_adapters()["tensorflow"]
pytestmark = pytest.mark.skipif(TENSORFLOW.version != "2.21.0", reason="these are findings of TensorFlow 2.21.0")


@pytest.mark.parametrize(("dtype", "verdict"), [("float32", Verdict.AGREES), ("float64", Verdict.WRONG)])
def test_float64_leaky_relu_has_a_slope_in_float32(dtype: str, verdict: Verdict) -> None:
    """tf.nn.leaky_relu takes its slope as an attribute of the operation, which is a float32: 0.01 is off by 2·10⁻¹⁰."""
    case = Case("leaky", (Dense(((1.0,),), None, "leaky_relu"),), ((-1.0,),), ((1.0,),), dtype=dtype)
    judgement = judge(case, TENSORFLOW.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        assert [comparison.place.quantity for comparison in judgement.wrong] == ["activations", "deltas"]
        assert judgement.wrong[0].worst[0].got == -float(np.float32(0.01))


def test_bfloat16_products_of_matrices_are_cut_and_not_rounded() -> None:
    """Its matmul adds up in float32, and drops the lower 16 bits of the sums: up to a whole ulp too small."""
    import tensorflow as tf

    case = CASES["squared_error-mean", "bfloat16"]
    judgement = judge(case, TENSORFLOW.run(case))
    assert judgement.wrong[0].place == Place("pre_activations", 0)

    x, w = array_of(case.inputs, "bfloat16"), array_of(case.layers[0].weights, "bfloat16")
    sums = x.astype(np.float32) @ w.astype(np.float32).T
    cut = (sums.view(np.uint32) & 0xFFFF0000).view(np.float32)
    got = tf.matmul(tf.constant(x), tf.constant(w), transpose_b=True).numpy().astype(np.float32)
    assert np.array_equal(got, cut)
    assert (got != sums.astype(x.dtype).astype(np.float32)).sum() > got.size / 4
