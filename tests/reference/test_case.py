"""Bad input is refused with the place, what was expected, what came and what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from backproof.reference.case import Case, Dense, InvalidInput, run, with_ones
from backproof.reference.numbers.plain import PLAIN

GOOD: dict[str, Any] = {
    "name": "good",
    "layers": (Dense(((0.5, -1.0), (0.25, 2.0), (1.0, 1.0)), (0.0, 0.5, 1.0), "tanh"), Dense(((1.0, 2.0, 3.0),), None, "sigmoid")),
    "inputs": ((1.0, 2.0), (3.0, 4.0)),
    "targets": ((0.0,), (1.0,)),
    "learning_rate": 0.5,
}  # fmt: skip


def layers(**changes: Any) -> dict[str, Any]:
    """The good layers with the second one changed."""
    first, second = GOOD["layers"]
    fields = {"weights": second.weights, "biases": second.biases, "activation": second.activation, **changes}
    return {"layers": (first, Dense(**fields))}


BAD: list[tuple[dict[str, Any], str]] = [
    (layers(weights=((1.0,), (2.0,), (3.0,))), "layers[1].weights: expected 1 × 3 (units × inputs: the layer below has 3 units), got 3 × 1."),
    (layers(weights=((1.0, 2.0),)), "layers[1].weights: expected 1 × 3 (units × inputs: the layer below has 3 units), got 1 × 2."),
    (layers(weights=((1.0, 2.0, 3.0), (1.0, 2.0))), "layers[1].weights[1]: expected 3 numbers, as in the rows before it (units × inputs); got 2."),
    (layers(weights=((1.0, float("nan"), 3.0),)), "layers[1].weights[0][1]: expected a finite number, got nan."),
    (layers(weights=((1.0, 2.0, float("inf")),)), "layers[1].weights[0][2]: expected a finite number, got inf."),
    (layers(weights=((1.0, "2", 3.0),)), "layers[1].weights[0][1]: expected a number, got '2'."),
    (layers(weights=((1.0, True, 3.0),)), "layers[1].weights[0][1]: expected a number, got True."),
    (layers(weights=(1.0, 2.0, 3.0)), "layers[1].weights[0]: expected a row of numbers (units × inputs), got 1.0."),
    (layers(weights=()), "layers[1].weights: expected at least one row (units × inputs), got none."),
    (layers(weights=((),)), "layers[1].weights[0]: expected at least one number, got an empty row."),
    (layers(weights=3.0), "layers[1].weights: expected a matrix (units × inputs), got 3.0."),
    (layers(weights="123"), "layers[1].weights: expected a matrix (units × inputs), got '123'."),
    (layers(biases=(1.0, 2.0)), "layers[1].biases: expected 1 numbers, one per unit; got 2."),
    (layers(biases=(float("nan"),)), "layers[1].biases[0]: expected a finite number, got nan."),
    (layers(biases=0.5), "layers[1].biases: expected 1 numbers, one per unit, or None; got 0.5."),
    (layers(activation="sigmod"), "layers[1].activation: expected one of identity, sigmoid, tanh, relu, leaky_relu, softplus, elu, selu, gelu, gelu_tanh, silu, mish, hardtanh, hardsigmoid, hardswish, softsign, relu6, softmax, leaky_relu(slope), elu(alpha), scaled_tanh(scale, steepness), sigmoid(steepness), silu(steepness), softplus(steepness); got 'sigmod'. Did you mean 'sigmoid'?"),
    ({"layers": (Dense(((1.0, 1.0),), None, "softmax"), Dense(((1.0,),), None, "identity"))}, "layers[0].activation: softmax is for the output layer only; this is a hidden layer."),
    ({"layers": ()}, "layers: expected at least one layer, got none."),
    ({"inputs": ()}, "inputs: expected at least one row (batch × inputs), got none."),
    ({"inputs": ((1.0,), (2.0,))}, "layers[0].weights: expected 3 × 1 (units × inputs: the inputs have 1 columns), got 3 × 2."),
    ({"targets": ((1.0,),)}, "targets: expected 2 × 1 (batch × outputs: there are 2 samples and 1 output units), got 1 × 1."),
    ({"targets": ((1.0, 0.0), (1.0, 0.0))}, "targets: expected 2 × 1 (batch × outputs: there are 2 samples and 1 output units), got 2 × 2."),
    (layers(activation="elu(much)"), "layers[1].activation: expected elu(alpha) with numbers, such as elu(0.1); got 'elu(much)'."),
    ({"loss": "huber(0)"}, "loss: expected huber(delta) with numbers, such as huber(0.5); got 'huber(0)'."),
    ({"loss": "foo"}, "loss: expected one of half_squared_error, squared_error, binary_cross_entropy, "),
    ({"loss": "softmax_cross_entropy"}, "layers[1].activation: loss softmax_cross_entropy expects softmax on the output layer, got sigmoid."),
    ({"loss": "binary_cross_entropy", "targets": ((0.0,), (1.5,))}, "targets[1]: loss binary_cross_entropy expects numbers from 0 to 1, got [1.5]."),
    ({"loss": "softmax_cross_entropy", **layers(activation="softmax"), "targets": ((0.5,), (1.0,))}, "targets[0]: loss softmax_cross_entropy expects rows of numbers from 0 to 1 that add up to exactly 1, got [0.5]."),
    ({"reduction": "average"}, "reduction: expected one of sum, mean; got 'average'."),
    ({"dtype": "float"}, "dtype: expected one of float64, float32, float16, bfloat16; got 'float'. Did you mean 'float64'?"),
    ({"learning_rate": 0.0}, "learning_rate: expected a positive finite number, or None for no update; got 0.0."),
    ({"learning_rate": -0.5}, "learning_rate: expected a positive finite number, or None for no update; got -0.5."),
    ({"learning_rate": float("nan")}, "learning_rate: expected a positive finite number, or None for no update; got nan."),
    ({"dtype": "float32", "learning_rate": 0.1}, "learning_rate: 0.1 is not a float32 number, so frameworks would each round it themselves; give the nearest one, 0.10000000149011612."),
    ({"dtype": "float32", **layers(weights=((1.0, 2.0, 0.1),))}, "layers[1].weights[0][2]: 0.1 is not a float32 number"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message[:60] for _, message in BAD])
def test_bad_input_is_refused_in_words(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(message)):
        Case(**{**GOOD, **change})


def test_a_transposed_matrix_gets_a_hint() -> None:
    with pytest.raises(InvalidInput, match="stores inputs × units, transpose"):
        Case(**{**GOOD, **layers(weights=((1.0,), (2.0,), (3.0,)))})


def test_good_input_is_taken() -> None:
    case = Case(**GOOD)
    assert case.sizes == (2, 3, 1)
    assert case.batch == 2


def test_arrays_are_taken_and_checked() -> None:
    np = pytest.importorskip("numpy")
    for dtype in ("float64", "float32"):
        weights = np.array(((1.0, 2.0, 3.0),), dtype)
        assert Case(**{**GOOD, "dtype": dtype, **layers(weights=weights)}).sizes == (2, 3, 1)
        weights[0, 1] = np.inf
        with pytest.raises(
            InvalidInput, match=re.escape("layers[1].weights[0][1]: expected a finite number, got inf.")
        ):
            Case(**{**GOOD, "dtype": dtype, **layers(weights=weights)})
    with pytest.raises(InvalidInput, match="expected a matrix .*, got an array of shape"):
        Case(**{**GOOD, **layers(weights=np.ones(3))})
    with pytest.raises(InvalidInput, match="0.1 is not a float32 number"):
        Case(**{**GOOD, "dtype": "float32", **layers(weights=np.array(((0.1, 0.5, 0.5),)))})


def test_the_bias_column() -> None:
    assert with_ones(((0.5,), (2.0,))) == ((0.5, 1.0), (2.0, 1.0))
    assert with_ones(((0.5,), (2.0,)), "first") == ((1.0, 0.5), (1.0, 2.0))
    with pytest.raises(InvalidInput, match="position: expected first or last, got 'middle'"):
        with_ones(((0.5,),), "middle")


@pytest.mark.parametrize("kind", ["numpy arrays", "numpy scalars", "bfloat16", "torch tensors", "torch scalars"])
def test_numbers_of_numpy_and_pytorch_are_taken_as_python_s(kind: str) -> None:
    weights, biases, inputs = [[0.5, -1.0], [0.25, 2.0]], [0.5, -0.25], [[1.0, 2.0]]
    if kind.startswith("torch"):
        library = pytest.importorskip("torch")
        given: list[Any] = [
            library.tensor(x, dtype=library.float32, requires_grad=True) for x in (weights, biases, inputs)
        ]
    else:
        library = pytest.importorskip("numpy")
        dtype = pytest.importorskip("ml_dtypes").bfloat16 if kind == "bfloat16" else library.float32
        given = [library.array(x, dtype) for x in (weights, biases, inputs)]
    if kind != "numpy arrays" and not kind.endswith("tensors"):
        given = [[list(row) if row.ndim else row for row in array] for array in given]
    case = Case("given", (Dense(given[0], given[1], "tanh"),), given[2], [[1.0, 0.0]], dtype="float32")
    plain = Case("given", (Dense(weights, biases, "tanh"),), inputs, [[1.0, 0.0]], dtype="float32")
    assert all(type(b) is float for b in case.layers[0].biases or ())
    assert run(case, PLAIN).backward.weight_gradients == run(plain, PLAIN).backward.weight_gradients
