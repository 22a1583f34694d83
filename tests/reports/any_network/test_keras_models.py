"""Keras models on PyTorch or JAX, handed over as people have them."""

from __future__ import annotations

from typing import Any

import backproof as bp
import pytest
from backproof.reference.case import InvalidInput

keras: Any = pytest.importorskip("keras")
BACKEND = keras.config.backend()
if BACKEND not in ("jax", "torch"):
    pytest.skip("rules are checked on PyTorch and JAX", allow_module_level=True)
pytest.importorskip(BACKEND)


class Stopped(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x * keras.ops.stop_gradient(keras.ops.sigmoid(x))


def test_a_model_of_one_shape_tells_the_line_that_verifies_it() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(InvalidInput, match=r"backproof.verify\(model, keras.random.normal\(\(2, 4\)\)\)"):
        bp.verify(model)
    assert bp.verify(model, keras.random.normal((2, 4))).ok


def test_without_a_shape_it_tells_what_it_takes() -> None:
    with pytest.raises(InvalidInput, match=r"backproof.verify\(module, inputs\)"):
        bp.verify(keras.Sequential([keras.layers.Dense(3)]))


def test_a_model_that_was_never_called_has_its_parameters() -> None:
    model = keras.Sequential([keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    report = bp.verify(model, keras.random.normal((2, 4)))
    assert report.ok
    assert len(model.trainable_variables) == 4
    assert sum("kernel" in name for name in report.names) == 2


def test_a_model_of_two_inputs_takes_them_as_keras_does() -> None:
    x, y = keras.Input((4,)), keras.Input((3,))
    model = keras.Model([x, y], keras.layers.Dense(3)(x) * y)
    given = [keras.random.normal((2, 4)), keras.random.normal((2, 3))]
    assert bp.verify(model, given).ok
    assert bp.verify(model, [given]).ok


def test_what_raises_is_told_with_a_line_of_the_user_s() -> None:
    class Wrong(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.matmul(x, keras.ops.ones((7, 7)))

    with pytest.raises(InvalidInput, match=r"Wrong: it raised .*test_keras_models\.py:\d+"):
        bp.verify(Wrong(), keras.random.normal((2, 4)))


def test_operations_bear_the_user_s_line_and_not_keras_s() -> None:
    said = str(bp.verify(keras.Sequential([keras.Input((4,)), Stopped()]), keras.random.normal((2, 4))))
    assert said.count("test_keras_models.py:") == 1
    assert "core.py" not in said


def test_names_that_are_not_keras_s_alone_are_numbered() -> None:
    class Twins(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.left = self.add_weight(shape=shape[-1:], initializer="ones", name="w")
            self.right = self.add_weight(shape=shape[-1:], initializer="ones", name="w")

        def call(self, x: Any) -> Any:
            return x * self.left + keras.ops.tanh(x) * self.right

    assert bp.verify(Twins(), keras.random.normal((2, 4))).ok
