"""Precision profiles: what an implementation declares is what it is held to, and what it really did is inferred."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters import numpy_vectorised
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.arrays import numpy_dtype
from backproof.reference.numbers.precision import PRECISIONS, PROFILES, TF32
from backproof.reports.trials.power import network
from hypothesis import given
from hypothesis import strategies as st
from standard import CASES


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@given(x=st.floats(allow_nan=False, width=32))
def test_rounding_to_16_bits_is_what_numpy_and_ml_dtypes_do(name: str, x: float) -> None:
    with np.errstate(all="ignore"):
        assert PRECISIONS[name].nearest(x) == float(np.float32(x).astype(numpy_dtype(name)))


def test_profiles_go_from_fine_to_coarse() -> None:
    roundoffs = [p.multiply.unit_roundoff for p in PROFILES.values()]
    assert roundoffs == sorted(roundoffs)
    assert list(PROFILES) == ["float64", "float32", "tf32", "float16", "bfloat16"]


def in_tf32(left: Any, right: Any) -> Any:
    """What a tensor core does: factors cut to 11 bits, products added in float32."""

    def cut(x: Any) -> Any:
        return np.array([TF32.nearest(float(v)) for v in x.ravel()], np.float32).reshape(x.shape)

    return cut(left) @ cut(right)


def test_float32_that_multiplies_in_tf32_is_wrong_and_said_to_be_tf32() -> None:
    case = network(3, 32, 16, "float32")
    honest = numpy_vectorised.observe(case)
    assert judge(case, honest).explained_by == "float32"
    judgement = judge(case, numpy_vectorised.observe(case, in_tf32))
    assert judgement.verdict is Verdict.WRONG
    assert judgement.explained_by == "tf32"
    declared = replace(numpy_vectorised.observe(case, in_tf32), precision="tf32")
    assert judge(case, declared).verdict is Verdict.AGREES


@pytest.mark.parametrize("narrow", ["float32", "float16", "bfloat16"])
def test_float64_that_computes_in_less_is_wrong_and_said_to_be_less(narrow: str) -> None:
    """A downcast that was forgotten: float64 arrays out, narrow arithmetic inside."""
    case = CASES["hidden-tanh", narrow]
    observation = numpy_vectorised.observe(case)
    wide: dict[str, Any] = {
        quantity: tuple(None if a is None else a.astype(np.float64) for a in getattr(observation, quantity))
        for quantity in ("pre_activations", "activations", "deltas", "weight_gradients", "bias_gradients",
                         "updated_weights", "updated_biases")
    }  # fmt: skip
    declared = replace(observation, precision="float64", received=None, **wide)
    judgement = judge(replace(case, dtype="float64"), declared)
    assert judgement.verdict is Verdict.WRONG
    assert judgement.explained_by == narrow


def test_a_wrong_algorithm_is_explained_by_no_precision() -> None:
    case = CASES["hidden-tanh", "float32"]
    honest = numpy_vectorised.observe(case)
    gradients = tuple(None if g is None else -g for g in honest.weight_gradients or ())
    judgement = judge(case, replace(honest, weight_gradients=gradients))
    assert judgement.verdict is Verdict.WRONG
    assert judgement.explained_by is None


def test_16_bit_products_are_added_in_float32_and_not_in_16_bits() -> None:
    """Adding bfloat16 products in bfloat16 is what no framework does: wrong in the declared profile."""
    case = network(2, 256, 4, "bfloat16")
    kind = numpy_dtype("bfloat16")

    def narrow_sums(left: Any, right: Any) -> Any:
        total = np.zeros((left.shape[0], right.shape[1]), kind)
        for column, row in zip(left.T, right, strict=True):
            total = (total + np.multiply.outer(column, row).astype(kind)).astype(kind)
        return total

    assert judge(case, numpy_vectorised.observe(case)).verdict is Verdict.AGREES
    assert judge(case, numpy_vectorised.observe(case, narrow_sums)).verdict is Verdict.WRONG
