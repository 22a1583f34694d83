"""Every operation by itself: both kinds of numbers agree, and the pullback is the derivative, to 40 digits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
flint = pytest.importorskip("flint")

from backproof.reference.programs import (
    FLOATS,
    Balls,
    Program,
    Value,
    broadcast,
    concatenated,
    contracted,
    matmul,
    mean,
    permuted,
    pullback,
    pushforward,
    rearranged,
    run,
    scattered,
    total,
)
from backproof.reference.programs import elementwise as e

BITS = 600
STEP = 2.0**-150  # a central difference in 600 bits is off by its square

UNARY = ("negate", "absolute", "exp", "expm1", "log", "log1p", "logistic", "sin", "cos", "tan", "asin", "acos", "atan",
         "sinh", "cosh", "tanh", "asinh", "atanh", "erf", "erfc", "erfinv", "lgamma", "sqrt", "cbrt")  # fmt: skip
BINARY = ("add", "subtract", "multiply", "divide", "power", "atan2", "maximum", "minimum")
Function = Callable[..., Value]

SHAPED: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "sum": (lambda x: total(x, [1]), ((2, 3),)),
    "sum of all": (total, ((2, 3),)),
    "mean": (lambda x: mean(x, [0], keep=True), ((5, 3),)),
    "matrix product": (matmul, ((2, 3), (3, 5))),
    "batched product": (matmul, ((2, 1, 3, 5), (7, 5, 2))),
    "vector product": (matmul, ((3,), (3,))),
    "contraction": (lambda x, y: contracted(x, y, ([1], [0]), ([0], [2])), ((2, 3, 5), (3, 7, 2))),
    "broadcast": (lambda x: broadcast(x, (2, 3)), ((3,),)),
    "transpose": (lambda x: permuted(x, (2, 0, 1)), ((2, 3, 5),)),
    "concatenate": (lambda x, y: concatenated([x, y], 1), ((2, 3), (2, 2))),
    "rearrange, one twice and one nowhere": (lambda x: rearranged(x, np.array([2, 2, -1, 0])), ((3,),)),
    "scatter, two in one place": (lambda x: scattered(x, np.array([1, 1, -1]), (4,)), ((3,),)),
    "whole power": (lambda x: e.raised(x - 0.7, 3.0), ((4,),)),
    "negative power": (lambda x: e.raised(x, -2.0), ((4,),)),
    "square root as a power": (lambda x: e.raised(x, 0.5), ((4,),)),
    "polygamma": (lambda x: e.polygamma(x, order=1), ((3,),)),
    "acosh": (lambda x: e.acosh(x + 1), ((3,),)),
    "broadcast product": (lambda x, y: x * y, ((2, 1), (3,))),
    "a number on the left": (lambda x: 2 / x - (1 - x), ((3,),)),
}
ALL: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    **{name: (getattr(e, name), ((3,),)) for name in UNARY},
    **{name: (getattr(e, name), ((3,), (3,))) for name in BINARY},
    **SHAPED,
}


def written(function: Function, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[Value], Value, dict[int, Any]]:
    program = Program()
    inputs = [program.input(shape) for shape in shapes]
    generator = np.random.default_rng(len(shapes))
    given = {x.index: generator.uniform(0.1, 0.9, x.shape) for x in inputs}
    return inputs, function(*inputs), given


def balls(values: Any) -> Any:
    return Balls(BITS).array(np.asarray(values))


@pytest.mark.parametrize("name", ALL)
def test_floats_are_inside_of_the_balls_up_to_rounding(name: str) -> None:
    _, output, given = written(*ALL[name])
    (floats,), (certified,) = run([output], given, FLOATS), run([output], given, Balls(BITS))
    assert floats.shape == certified.shape == output.shape
    for x, ball in zip(floats.flat, certified.flat, strict=True):
        assert abs(float(ball - flint.arb(float(x)))) <= 64 * 2**-52 * max(1.0, abs(x))


@pytest.mark.parametrize("name", ALL)
def test_a_pullback_is_the_derivative(name: str) -> None:
    inputs, output, given = written(*ALL[name])
    arriving = output.program.input(output.shape)
    gradients = pullback([output], [arriving], inputs)
    generator = np.random.default_rng(5)
    cotangent = balls(generator.standard_normal(output.shape))
    with Balls(BITS).at_work():
        exact = {k: balls(v) for k, v in given.items()}
        for x, gradient in zip(inputs, gradients, strict=True):
            assert gradient is not None
            assert gradient.shape == x.shape
            direction = balls(generator.standard_normal(x.shape))
            ahead, behind = (
                run([output], exact | {x.index: exact[x.index] + direction * side}, Balls(BITS))[0]
                for side in (flint.arb(STEP), flint.arb(-STEP))
            )
            (found,) = run([gradient], exact | {arriving.index: cotangent}, Balls(BITS))
            slope = sum(
                ((a - b) * c for a, b, c in zip(ahead.flat, behind.flat, cotangent.flat, strict=True)), flint.arb(0)
            )
            along = sum((g * d for g, d in zip(found.flat, direction.flat, strict=True)), flint.arb(0))
            gap = abs(slope / (2 * flint.arb(STEP)) - along)
            assert gap.abs_upper() < flint.arb(10) ** -40


@pytest.mark.parametrize("name", [n for n in ALL if n not in {"absolute", "maximum", "minimum"}])
def test_a_pushforward_is_the_pullback_transposed(name: str) -> None:
    inputs, output, given = written(*ALL[name])
    program = output.program
    arriving = program.input(output.shape)
    tangents = [program.input(x.shape) for x in inputs]
    forward = pushforward([output], inputs, tangents)[0]
    backward = pullback([output], [arriving], inputs)
    assert forward is not None
    generator = np.random.default_rng(6)
    given |= {v.index: generator.standard_normal(v.shape) for v in (arriving, *tangents)}
    moved, *sent = run([forward, *[g for g in backward if g is not None]], given, FLOATS)
    left = float((moved * given[arriving.index]).sum())
    right = sum(float((g * given[t.index]).sum()) for g, t in zip(sent, tangents, strict=True))
    assert math.isclose(left, right, rel_tol=2**-40, abs_tol=2**-40)  # the rounding of a few float64 sums


@pytest.mark.parametrize(
    ("function", "at", "least", "most"),
    [
        (lambda x: e.maximum(x, 0), 0.0, 0, 1),
        (lambda x: e.minimum(x, 0), 0.0, 0, 1),
        (e.absolute, 0.0, -1, 1),
        (e.step, 0.0, 0, 0),
    ],
)
def test_at_a_kink_the_pullback_holds_every_slope_between_both_sides(
    function: Function, at: float, least: int, most: int
) -> None:
    program = Program()
    x = program.input((1,))
    (gradient,) = pullback([function(x)], [program.constant(1.0, (1,))], [x])
    if gradient is None:
        assert least == most == 0
        return
    (ball,) = run([gradient], {x.index: np.array([at])}, Balls(128))[0]
    assert ball.contains(flint.arb(least))
    assert ball.contains(flint.arb(most))
    assert float(ball.rad()) * 2 <= most - least + 2**-20  # it holds no more than that


def test_shapes_that_do_not_fit_are_refused_where_they_are_written() -> None:
    program = Program()
    x, y = program.input((2, 3)), program.input((4, 3))
    with pytest.raises(ValueError, match="broadcast|shape"):
        x + y
    with pytest.raises(ValueError, match="another program"):
        Program().add(e.OPERATIONS["exp"], x)
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        run([e.exp(x)], {x.index: np.zeros((3, 2))}, FLOATS)
    with pytest.raises(ValueError, match="not given"):
        run([e.exp(x)], {}, FLOATS)
