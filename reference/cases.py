"""The standard cases: small enough to run in a moment, chosen so that what could hide has nowhere to.

Numbers come from `random.Random(seed)`, the same on every machine and Python, and are rounded to the case's dtype. They
are generic (nothing symmetric, square or repeated unless that is the point), so that transposed is told from right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from .activations import ACTIVATIONS
from .case import Case, Dense, with_ones
from .losses import LOSSES
from .numbers import PRECISIONS
from .worked_example import READINGS, worked_example

XOR_INPUTS = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
XOR_TARGETS = ((0.0,), (1.0,), (1.0,), (0.0,))

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Recipe:
    """How to generate a case.

    sizes: the inputs first;  hidden, output: activations;  biases: which layers have them, all if None
    scale: weights are uniform in ±scale/√inputs;  rate: a power of two, so that rate × gradient is exact
    """

    name: str
    sizes: tuple[int, ...]
    hidden: str | tuple[str, ...] = "tanh"
    output: str = "identity"
    loss: str = "half_squared_error"
    reduction: str = "sum"
    batch: int = 5
    biases: tuple[bool, ...] | None = None
    scale: float = 1.5
    rate: float = 0.25
    note: str = ""


def _recipes() -> Iterator[Recipe]:
    for name in ACTIVATIONS:
        yield Recipe(f"hidden-{name}", (3, 4, 2), hidden=name, note=f"{name} in the hidden layer")
        yield Recipe(f"output-{name}", (3, 4, 2), output=name, reduction="mean", note=f"{name} in the output layer")
    for loss in LOSSES.values():
        for reduction in ("sum", "mean"):
            output = loss.output_activation or "sigmoid"
            yield Recipe(f"{loss.name}-{reduction}", (4, 5, 3), output=output, loss=loss.name, reduction=reduction)
    yield Recipe("softmax-with-squared-error", (4, 5, 3), output="softmax", note="the whole softmax Jacobian")
    yield Recipe("logistic-regression", (5, 1), output="sigmoid", loss="binary_cross_entropy", note="no hidden layer")
    yield Recipe("linear-regression", (5, 1), note="no hidden layer")
    for depth in range(1, 9):
        yield Recipe(
            f"depth-{depth}", (3, *[4 + k % 3 for k in range(depth - 1)], 2), note=f"{depth} layers of weights"
        )
    yield Recipe(
        "depth-8-wide", (24, *[32] * 7, 10), batch=16, scale=1.0, note="bounds grow with depth: see the digits"
    )
    yield Recipe("wide", (64, 64, 10), hidden="sigmoid", batch=64, scale=1.0)
    yield Recipe("wide-relu", (64, 64, 64, 10), hidden="relu", batch=64, loss="softmax_cross_entropy_from_logits")
    yield Recipe("square", (4, 4, 4, 4), hidden="sigmoid", note="square weights refuse no transposition: values must")
    yield Recipe("one-sample", (4, 6, 3), hidden="softplus", batch=1, note="the bias gradient is δ itself")
    yield Recipe("mixed", (5, 7, 4, 6, 3), hidden=("relu", "sigmoid", "leaky_relu"), output="softplus", batch=9)
    yield Recipe("biases-in-some-layers", (3, 5, 4, 2), biases=(True, False, True))
    yield Recipe("no-biases", (3, 5, 4, 2), biases=(False, False, False))
    yield Recipe("single-unit", (1, 1), output="sigmoid", batch=1)
    yield Recipe("chain-of-single-units", (1, 1, 1, 1), hidden="sigmoid", batch=3)
    yield Recipe("saturated-sigmoid", (6, 8, 2), hidden="sigmoid", scale=60, note="most derivatives are nearly 0")
    yield Recipe("saturated-tanh", (6, 8, 2), hidden="tanh", scale=60, note="most derivatives are nearly 0")
    yield Recipe("saturated-logits", (6, 8, 1), output="identity", loss="binary_cross_entropy_from_logits", scale=30)


# Of weights: float16 has no numbers for the activations and slopes of units that are saturated further.
HIGHEST_SCALE = {"float16": 12.0}


def _generated(recipe: Recipe, dtype: str) -> Case:
    """The recipe's case, its numbers drawn from its name."""
    rng = Random(recipe.name)
    nearest = PRECISIONS[dtype].nearest

    def table(rows: int, columns: int, size: float) -> Table:
        return tuple(tuple(nearest(rng.uniform(-size, size)) for _ in range(columns)) for _ in range(rows))

    count = len(recipe.sizes) - 1
    scale = min(recipe.scale, HIGHEST_SCALE.get(dtype, recipe.scale))
    hidden = (recipe.hidden,) * (count - 1) if isinstance(recipe.hidden, str) else recipe.hidden
    has_biases = recipe.biases or (True,) * count
    layers = tuple(
        Dense(
            weights=table(units, inputs, scale / inputs**0.5),
            biases=table(1, units, 0.5)[0] if biased else None,
            activation=activation,
        )
        for inputs, units, activation, biased in zip(
            recipe.sizes[:-1], recipe.sizes[1:], (*hidden, recipe.output), has_biases, strict=True
        )
    )
    inputs = table(recipe.batch, recipe.sizes[0], 1.0)
    outputs = recipe.sizes[-1]
    if "softmax_cross_entropy" in recipe.loss:
        targets: Table = tuple(_one_hot(rng.randrange(outputs), outputs) for _ in range(recipe.batch))
    elif "binary_cross_entropy" in recipe.loss:
        targets = tuple(tuple(float(rng.randrange(2)) for _ in range(outputs)) for _ in range(recipe.batch))
    else:
        targets = table(recipe.batch, outputs, 1.0)
    return Case(recipe.name, layers, inputs, targets, recipe.loss, recipe.reduction, recipe.rate, dtype, recipe.note)


def _one_hot(hot: int, classes: int) -> tuple[float, ...]:
    return tuple(1.0 if k == hot else 0.0 for k in range(classes))


# ------------------------------------------------------------------------------------------ XOR, in every bias form


def xor(bias: str, dtype: str = "float64") -> Case:
    """XOR with 2-2-1, from a random start. bias: separate, hidden, column-last, column-first or none.

    "hidden" has biases in the hidden layer only, as the chapter wants it. With a column, 2-2-1 becomes 3-3-1: the
    column is one more input, and the third hidden unit is an ordinary computed unit.
    """
    column = bias.startswith("column-")
    size, hidden = (3, 3) if column else (2, 2)
    rng = Random("xor")
    nearest = PRECISIONS[dtype].nearest

    def row(length: int) -> tuple[float, ...]:
        return tuple(nearest(rng.uniform(-1.5, 1.5)) for _ in range(length))

    weights = tuple(row(size) for _ in range(hidden))
    above = (row(hidden),)
    return Case(
        name=f"xor-{bias}",
        layers=(
            Dense(weights, row(hidden) if bias in ("separate", "hidden") else None, "sigmoid"),
            Dense(above, row(1) if bias == "separate" else None, "sigmoid"),
        ),
        inputs=with_ones(XOR_INPUTS, bias.removeprefix("column-")) if column else XOR_INPUTS,
        targets=XOR_TARGETS,
        learning_rate=0.5,
        dtype=dtype,
        note=f"2-2-1, bias: {bias}",
    )


XOR_BIASES = ("separate", "hidden", "column-last", "column-first", "none")


# ------------------------------------------------------------------------------------------ nasty ones, by hand


def _zero_weights(dtype: str) -> Case:
    layers = (
        Dense(((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)), (0.0, 0.0, 0.0), "tanh"),
        Dense(((0.0, 0.0, 0.0),), (0.0,), "sigmoid"),
    )
    return Case(
        "zero-weights", layers, ((0.5, -1.25), (2.0, 0.75)), ((1.0,), (0.0,)),
        learning_rate=0.5, dtype=dtype, note="the symmetric start: hidden units learn nothing",
    )  # fmt: skip


def _relu_at_zero(dtype: str) -> Case:
    layers = (
        Dense(((1.0, -1.0), (0.5, 0.25), (-2.0, 1.0)), (0.0, 0.0, 0.5), "relu"),
        Dense(((0.75, -1.5, 2.0),), (0.25,), "identity"),
    )
    return Case(
        "relu-at-zero", layers, ((1.5, 1.5), (0.5, -1.0), (1.0, 1.5)), ((0.5,), (-1.0,), (2.0,)),
        learning_rate=0.25, dtype=dtype, note="pre-activations of exactly 0: every slope from 0 to 1 is admissible",
    )  # fmt: skip


def _duplicated_rows(dtype: str) -> Case:
    nearest = PRECISIONS[dtype].nearest
    row, unit = (nearest(0.3), nearest(-0.7), nearest(1.1)), (nearest(0.2), nearest(-0.9), nearest(0.4))
    layers = (Dense((unit, unit), (nearest(0.1),) * 2, "sigmoid"), Dense(((0.5, 0.5),), None, "sigmoid"))
    return Case(
        "duplicated-rows", layers, (row,) * 6, ((1.0,),) * 6,
        reduction="mean", learning_rate=0.5, dtype=dtype, note="equal samples and equal units",
    )  # fmt: skip


def _scaled(name: str, first: float, second: float, hidden: str, note: str) -> Callable[[str], Case | None]:
    """2-3-1 whose layers' weights have the sizes `first` and `second`; none in formats that have no such numbers."""

    def case(dtype: str) -> Case | None:
        rng = Random(name)
        nearest = PRECISIONS[dtype].nearest
        if not all(0 < nearest(size) <= PRECISIONS[dtype].largest for size in (first, second)):
            return None

        def row(length: int, size: float) -> tuple[float, ...]:
            return tuple(nearest(rng.uniform(0.25, 1.0) * rng.choice((-1, 1)) * size) for _ in range(length))

        layers = (
            Dense(tuple(row(2, first) for _ in range(3)), None, hidden),
            Dense((row(3, second),), None, "identity"),
        )
        inputs, targets = tuple(row(2, 1.0) for _ in range(4)), tuple(row(1, 1.0) for _ in range(4))
        return Case(name, layers, inputs, targets, learning_rate=0.5, dtype=dtype, note=note)

    return case


_BY_HAND: tuple[Callable[[str], Case | None], ...] = (
    *(lambda dtype, reading=reading: worked_example(reading, dtype) for reading in READINGS),
    *(lambda dtype, bias=bias: xor(bias, dtype) for bias in XOR_BIASES),
    _zero_weights,
    _relu_at_zero,
    _duplicated_rows,
    _scaled("weights-of-1e-30", 1e-30, 1e-30, "identity", "float32 products underflow: some libraries flush them to 0"),
    _scaled("weights-of-1e30", 1e30, 1e30, "tanh", "every hidden unit saturates, and float32 squares overflow"),
    _scaled("1e30-then-1e-30", 1e30, 1e-30, "identity", "huge and tiny cancel: all results are ordinary numbers"),
)  # fmt: skip


def standard_cases(dtypes: tuple[str, ...] = tuple(PRECISIONS)) -> tuple[Case, ...]:
    """Every standard case in every one of the dtypes that can hold it, always the same numbers in the same order."""
    return tuple(case for dtype in dtypes for case in _standard(dtype))


@cache
def _standard(dtype: str) -> tuple[Case, ...]:
    made = (*(make(dtype) for make in _BY_HAND), *(_generated(recipe, dtype) for recipe in _recipes()))
    return tuple(case for case in made if case is not None)
