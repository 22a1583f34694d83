"""Where Keras is inaccurate on one of its backends, and the judge says so; and what its adapter leaves as it was."""

from __future__ import annotations

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")
keras = pytest.importorskip("keras")

from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import Place
from backproof.reference.judging.verdict import Verdict
from standard import CASES

KERAS = known_adapters()["keras"]
BACKEND = keras.config.backend()
AS_FOUND = pytest.mark.skipif(KERAS.version != "3.15.1", reason="this is a finding of Keras 3.15.1")


def test_it_says_its_backend_and_leaves_keras_s_settings() -> None:
    before = keras.config.floatx(), keras.config.dtype_policy().name
    observation = KERAS.run(CASES["xor-hidden", "float16"])
    assert observation.device == f"cpu ({BACKEND})"
    assert observation.precision == "float16"
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == before


def test_a_backend_without_gradients_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "numpy")
    case = CASES["xor-hidden", "float32"]
    assert KERAS.refusal(case) == "gradients on its backend numpy"
    with pytest.raises(RuntimeError, match="backend numpy computes no gradients; set KERAS_BACKEND to another"):
        KERAS.run(case)


@AS_FOUND
@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow's backend keeps float64")
def test_beside_tensorflow_a_float64_network_is_computed_in_float32_in_part() -> None:
    """Results are cast to what Keras says is the type of two float64: float32. On JAX tanh, on PyTorch products."""
    assert keras.backend.result_type("float64", "float64") == "float32"
    case = Case("tanh", (Dense(((0.3,),), None, "tanh"),), ((0.7,),), ((1.0,),))
    assert KERAS.refusal(case) == f"float64 on its backend {BACKEND}: it makes float32 of results there"
    judgement = judge(case, KERAS.run(case))
    assert judgement.verdict is Verdict.WRONG
    assert judgement.explained_by == "float32"


@AS_FOUND
@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow's backend finds the sigmoid's argument, and takes that")
@pytest.mark.parametrize(("z", "verdict"), [(-10.0, Verdict.AGREES), (-30.0, Verdict.WRONG)])
def test_binary_cross_entropy_learns_nothing_from_outputs_below_its_epsilon(z: float, verdict: Verdict) -> None:
    """Outputs are clipped to [1e-7, 1 − 1e-7]: the loss is 16.1 where it should be 30, and its gradient 0."""
    case = Case(
        "bce", (Dense(((1.0,),), None, "sigmoid"),), ((z,),), ((1.0,),), "binary_cross_entropy", dtype="float32"
    )
    judgement = judge(case, KERAS.run(case))
    assert judgement.verdict is verdict
    if judgement.wrong:
        found = {comparison.place: comparison.worst[0].got for comparison in judgement.wrong}
        assert found[Place("loss", None)] == pytest.approx(-np.log(1e-7), rel=1e-5)
        assert found[Place("weight_gradients", 0)] == 0.0
