"""The numbers that probes are made of: reports name probes by them, so that they have to stay what they are."""

from __future__ import annotations

from random import Random

import pytest

np = pytest.importorskip("numpy")

from backproof.reference.diagnosis.conventions import probes


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numbers_are_those_of_uniform_and_choice(dtype: str) -> None:
    (case,) = probes((5, 7, 3), (4,), "separate", dtype, 3)
    rng = Random("probes 3 (5, 7, 3) separate")

    def drawn(rows: int, columns: int, size: float) -> list[list[float]]:
        return [[rng.uniform(0.15, 1.0) * rng.choice((-1, 1)) * size for _ in range(columns)] for _ in range(rows)]

    for layer, (units, inputs) in zip(case.layers, ((7, 5), (3, 7)), strict=True):
        weights, biases = drawn(units, inputs, 1.6 / inputs**0.5), drawn(1, units, 0.7)[0]
        assert np.array_equal(layer.weights, np.array(weights).astype(dtype))
        assert np.array_equal(np.array(layer.biases), np.array(biases).astype(dtype).astype(float))
    assert np.array_equal(case.inputs, np.array(drawn(4, 5, 1.4)).astype(dtype))
