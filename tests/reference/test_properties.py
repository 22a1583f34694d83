"""What must hold of every network: hypothesis picks networks and data, the derived bounds say what equal means."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from backproof.reference.case import Case, Dense, run, with_ones
from backproof.reference.numbers.bounded import BoundedArithmetic
from backproof.reference.numbers.bounded_values import Bounded
from backproof.reference.numbers.precision import FLOAT32, FLOAT64
from hypothesis import given
from hypothesis import strategies as st

ARITHMETIC = BoundedArithmetic(FLOAT64)
HIDDEN = ["identity", "sigmoid", "tanh", "relu", "leaky_relu", "softplus"]

numbers = st.floats(-2, 2, width=32).filter(lambda x: x == 0 or abs(x) > FLOAT32.smallest_normal)


def tables(rows: int, columns: int) -> st.SearchStrategy[list[list[float]]]:
    return st.lists(st.lists(numbers, min_size=columns, max_size=columns), min_size=rows, max_size=rows)


@st.composite
def cases(draw: st.DrawFn, biases: bool = True) -> Case:
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    layers = tuple(
        Dense(
            draw(tables(units, inputs)),
            draw(tables(1, units))[0] if biases else None,
            draw(st.sampled_from(HIDDEN)),
        )
        for inputs, units in pairwise(sizes)
    )
    batch = draw(st.integers(1, 4))
    return Case("drawn", layers, draw(tables(batch, sizes[0])), draw(tables(batch, sizes[-1])), learning_rate=0.5)


def enclosure(value: Any, error: Any) -> Bounded:
    return Bounded(value, np.array([error, np.zeros_like(error)]), ARITHMETIC.model)


def overlap(one: Bounded, other: Bounded) -> bool:
    """Whether two enclosures can hold the same numbers: an infinite error encloses everything."""
    reach = one.error + other.error
    with np.errstate(all="ignore"):
        return bool((~np.isfinite(reach) | (np.abs(one.value - other.value) <= reach)).all())


def gradients(case: Case) -> Any:
    backward = run(case, ARITHMETIC).backward
    return [g for g in (*backward.weight_gradients, *backward.bias_gradients) if g is not None]


@given(cases())
def test_the_gradient_of_a_batch_is_the_sum_over_its_samples(case: Case) -> None:
    samples = [
        gradients(replace(case, inputs=[x], targets=[t])) for x, t in zip(case.inputs, case.targets, strict=True)
    ]
    for whole, *parts in zip(gradients(case), *samples, strict=True):
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        assert overlap(whole, total)


@given(cases())
def test_a_bias_is_the_weight_of_a_constant_input(case: Case) -> None:
    """The chapter's two forms of a bias: outputs, gradients and updates of the first layer are the same numbers."""
    first = case.layers[0]
    separate = run(case, ARITHMETIC)
    for position, column in (("last", -1), ("first", 0)):
        weights = [
            [*row, b] if position == "last" else [b, *row]
            for row, b in zip(first.weights, first.biases or (), strict=True)
        ]
        layers = (replace(first, weights=weights, biases=None), *case.layers[1:])
        folded = run(replace(case, layers=layers, inputs=with_ones(case.inputs, position)), ARITHMETIC)
        assert overlap(folded.forward.outputs, separate.forward.outputs)
        assert separate.updated is not None
        assert folded.updated is not None
        pairs = (
            (
                folded.backward.weight_gradients[0],
                separate.backward.weight_gradients[0],
                separate.backward.bias_gradients[0],
            ),
            (folded.updated[0].weights, separate.updated[0].weights, separate.updated[0].biases),
        )
        for together, of_weights, of_biases in pairs:
            assert of_biases is not None
            at = column % (of_weights.value.shape[1] + 1)
            value = np.insert(of_weights.value, at, of_biases.value[0], axis=1)
            error = np.insert(of_weights.error, at, of_biases.error[0], axis=1)
            assert overlap(together, enclosure(value, error))


@given(cases(), st.randoms(use_true_random=False))
def test_renaming_hidden_units_renames_their_gradients(case: Case, random: Any) -> None:
    if len(case.layers) < 2:
        return
    order = list(range(len(case.layers[0].weights)))
    random.shuffle(order)
    first, second = case.layers[:2]
    renamed = replace(
        case,
        layers=(
            replace(first, weights=[first.weights[i] for i in order], biases=[(first.biases or ())[i] for i in order]),
            replace(second, weights=[[row[i] for i in order] for row in second.weights]),
            *case.layers[2:],
        ),
    )
    before, after = run(case, ARITHMETIC), run(renamed, ARITHMETIC)
    assert overlap(before.forward.outputs, after.forward.outputs)
    rows = before.backward.weight_gradients[0]
    assert overlap(enclosure(rows.value[order], rows.error[order]), after.backward.weight_gradients[0])


@given(cases(), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_scaling_the_loss_scales_every_gradient(case: Case, factor: float) -> None:
    """Squared error is twice half the squared error; for a linear output, scaling o and t together scales δ alike."""
    halved = gradients(case)
    whole = gradients(replace(case, loss="squared_error"))
    assert all(overlap(2 * h, w) for h, w in zip(halved, whole, strict=True))

    last = case.layers[-1]
    if last.activation != "identity":
        return
    scaled = replace(
        case,
        layers=(*case.layers[:-1], replace(last, weights=[[factor * w for w in row] for row in last.weights], biases=[factor * b for b in last.biases or ()])),
        targets=[[factor * t for t in row] for row in case.targets],
    )  # fmt: skip
    one, other = run(case, ARITHMETIC).backward, run(scaled, ARITHMETIC).backward
    assert overlap(factor * one.deltas[-1], other.deltas[-1])
    assert overlap(factor * factor * one.loss, other.loss)


@given(cases())
def test_a_mean_is_the_sum_divided_by_the_samples(case: Case) -> None:
    summed, mean = gradients(case), gradients(replace(case, reduction="mean"))
    assert all(overlap(s / case.batch, m) for s, m in zip(summed, mean, strict=True))


@given(cases())
def test_a_small_step_against_the_gradient_never_raises_the_error_to_first_order(case: Case) -> None:
    """The delta rule moves every weight against the sign of its derivative, and leaves it where that is exactly zero."""
    step = run(case, ARITHMETIC)
    assert step.updated is not None
    for layer, moved, gradient in zip(case.layers, step.updated, step.backward.weight_gradients, strict=True):
        change = moved.weights.value - np.array(layer.weights)
        surely = np.abs(gradient.value) * 0.5 > moved.weights.error + np.abs(gradient.error)
        assert (np.sign(change[surely]) == -np.sign(gradient.value[surely])).all()
        assert (change[(gradient.value == 0) & (gradient.error == 0)] == 0).all()
