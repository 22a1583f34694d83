"""The chain rule over a program: the chapter's net both ways, second derivatives, what depends on nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
flint = pytest.importorskip("flint")

from backproof.reference import worked_example as chapter
from backproof.reference.case import Case
from backproof.reference.case import run as run_case
from backproof.reference.cases import standard_cases
from backproof.reference.numbers import CertifiedArithmetic
from backproof.reference.programs import (
    FLOATS,
    Balls,
    Origin,
    Program,
    Value,
    broadcast,
    matmul,
    permuted,
    pullback,
    run,
    total,
)
from backproof.reference.programs import elementwise as e

ACTIVATIONS: dict[object, Callable[[Value], Value]] = {
    "sigmoid": e.logistic,
    "tanh": e.tanh,
    "identity": lambda z: z,
    "softplus": lambda z: e.log1p(e.exp(z)),
}


def as_program(case: Case) -> tuple[list[Value], Value, dict[int, Any]]:
    """A dense net with the squared error as a program: parameters, E, and their numbers."""
    program = Program()
    a = program.constant(np.array(case.inputs))
    parameters, given = [], {}
    for layer in case.layers:
        w = program.input((len(layer.weights), len(layer.weights[0])))
        given[w.index] = np.array(layer.weights)
        parameters.append(w)
        z = matmul(a, permuted(w, (1, 0)))
        if layer.biases is not None:
            b = program.input((len(layer.biases),))
            given[b.index] = np.array(layer.biases)
            parameters.append(b)
            z = z + broadcast(b, z.shape)
        a = ACTIVATIONS[layer.activation](z)
    gap = a - program.constant(np.array(case.targets))
    return parameters, total(gap * gap) * 0.5, given


def dense_cases() -> list[Case]:
    cases = [chapter.worked_example(reading) for reading in chapter.READINGS]
    return [*cases, *(c for c in standard_cases() if fits(c))][:12]


def fits(case: Case) -> bool:
    return (
        case.loss == "half_squared_error"
        and case.reduction == "sum"
        and all(layer.activation in ACTIVATIONS for layer in case.layers)
    )


@pytest.mark.parametrize("case", dense_cases(), ids=lambda case: case.name)
def test_a_dense_net_gives_the_same_balls_as_the_chapter(case: Case) -> None:
    parameters, error, given = as_program(case)
    gradients = pullback([error], [error.program.constant(1.0)], parameters)
    bits = Balls(512)  # weights of 1e30 cancel
    with bits.at_work():
        found = run([g for g in gradients if g is not None], given, bits)
        step = run_case(case, CertifiedArithmetic())
        expected = []
        for w, b in zip(step.backward.weight_gradients, step.backward.bias_gradients, strict=True):
            expected += [w.entries()] if b is None else [w.entries(), b.entries()]
        assert len(found) == len(expected)
        for array, balls in zip(found, expected, strict=True):
            for x, y in zip(array.flat, balls, strict=True):
                assert x.overlaps(y)
                assert abs(x - y).abs_upper() < flint.arb(10) ** -60


def test_the_gradient_is_a_program_and_has_a_gradient() -> None:
    program = Program()
    x = program.input((2,))
    y = total(e.exp(x * x))
    (first,) = pullback([y], [program.constant(1.0)], [x])
    assert first is not None
    (second,) = pullback([first], [program.constant(1.0, (2,))], [x])
    assert second is not None
    at = np.array([0.3, -1.1])
    (found,) = run([second], {x.index: at}, FLOATS)
    right = (2 + 4 * at**2) * np.exp(at**2)
    assert np.abs(found - right).max() <= 2.0**-48 * np.abs(right).max()  # a dozen roundings


def test_an_input_that_the_outputs_do_not_use_has_no_gradient() -> None:
    program = Program()
    x, unused = program.input((2,)), program.input((3,))
    assert pullback([e.exp(x)], [program.constant(1.0, (2,))], [unused]) == [None]


def test_uses_of_one_value_add_up() -> None:
    program = Program()
    x = program.input(())
    y = x * x * x + x
    (gradient,) = pullback([y], [program.constant(1.0)], [x])
    assert gradient is not None
    assert float(run([gradient], {x.index: np.array(2.0)}, FLOATS)[0]) == 13.0


def test_nothing_goes_back_beyond_the_inputs_asked_for() -> None:
    program = Program()
    w = program.input(())
    x = w * 2
    y = x * w
    of_x, of_w = pullback([y], [program.constant(1.0)], [x, w])
    assert of_x is not None
    assert of_w is not None
    at = {w.index: np.array(3.0)}
    assert [float(v) for v in run([of_x, of_w], at, FLOATS)] == [3.0, 6.0]


@pytest.mark.parametrize(
    ("line", "operation", "called"),
    [
        ("s = torch.sigmoid(beta * x)", "sigmoid", "s"),
        ("s = torch.sigmoid(beta*x)", "mul", "beta * x in s"),
        ("    s = torch.sigmoid(beta * x); ctx.save_for_backward(s)", "mul", "beta * x in s"),
        ("s = torch.sigmoid(beta * x); return x * s", "mul", ""),
        ("    d = s * (1 + v * (1 - s))", "mul", "part of d"),
        ("d = s * (1 + v * (1 - s))", "rsub", "1 - s in d"),
        ("y = F.layer_norm(x, (3,))", "native_layer_norm", "y"),
        ("y = (a @ b) * 2", "mm", "a @ b in y"),
        ("y: Tensor = x.mean()", "mean", "y"),
        ("z = torch.exp(x * x + y * y)", "mul", "part of z"),
        ("s = helper(", "mul", "s"),
        ("a, b = f(x * x)", "mul", ""),
        ("y += x * x", "mul", ""),
        ("return x * x", "mul", ""),
        ("try: y = x * x", "mul", ""),
        ("else: f(x * x, k=2)", "mul", ""),
    ],
)
def test_an_operation_is_called_by_what_it_computes_of_its_line(
    line: str, operation: str, called: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.py"
    file.write_text(line + "\n", encoding="utf-8")
    place = f"({operation}, f.py:1)" if called else f"{operation} (f.py:1)"
    assert str(Origin(operation, str(file), 1)) == f"{called} {place}".strip()
