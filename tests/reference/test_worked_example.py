"""The chapter's worked example: both readings, digit by printed digit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest
from backproof.reference.backprop import forward
from backproof.reference.case import run
from backproof.reference.numbers.plain import PLAIN
from backproof.reference.worked_example import (
    AS_PRINTED,
    PRINTED,
    READINGS,
    SIGNS_RESTORED,
    Printed,
    Reading,
    as_the_print_shows,
    label,
    truncated,
    worked_example,
)


def test_with_the_signs_restored_every_printed_result_is_reproduced() -> None:
    assert as_the_print_shows(run(worked_example(SIGNS_RESTORED), PLAIN)) == PRINTED


def test_as_printed_the_numbers_contradict_the_printed_results() -> None:
    step = run(worked_example(AS_PRINTED), PLAIN)
    assert as_the_print_shows(step) == Printed(("0.899", "0.669", "0.621"), "0.480", 0)


@pytest.mark.parametrize(
    ("reading", "hidden", "output"),
    [
        (AS_PRINTED, ("0.8995288", "0.6697379", "0.6215189"), "0.4802691"),
        (SIGNS_RESTORED, ("0.8995288", "0.5931493", "0.3784811"), "0.5065095"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_seven_digits_of_the_certified_values(reading: Reading, hidden: tuple[str, ...], output: str) -> None:
    """Rounded to seven digits, from balls of 256 bits; 1/(1 + e^−0.707) = 0.66973793… by any calculator."""
    pytest.importorskip("flint")
    from backproof.reference.judging.truth import certified

    step = certified(worked_example(reading))
    balls = [*step.forward.activations[0].entries(), *step.forward.outputs.entries()]
    assert [str(Decimal(ball.mid().str(30, radius=False)).quantize(Decimal("1e-7"))) for ball in balls] == [
        *hidden,
        output,
    ]


def test_hidden_values_cut_to_three_decimals_still_give_the_printed_output() -> None:
    """0.5065106, from 0.899, 0.593 and 0.378: the print may have been computed either way."""
    case = worked_example(SIGNS_RESTORED)
    cut = [[float(digits) for digits in PRINTED.hidden]]
    from backproof.reference.activations import ACTIVATIONS
    from backproof.reference.backprop import Layer

    output = forward([Layer(case.layers[1].weights, None, ACTIVATIONS["sigmoid"])], cut, PLAIN).outputs[0][0]
    assert f"{output:.7f}" == "0.5065106"
    assert truncated(output) == PRINTED.output


def test_the_print_truncates_and_does_not_round() -> None:
    step = run(worked_example(SIGNS_RESTORED), PLAIN)
    first, output = step.forward.activations[0][0][0], step.forward.outputs[0][0]
    assert (f"{first:.3f}", f"{output:.3f}") == ("0.900", "0.507")
    assert (truncated(first), truncated(output)) == ("0.899", "0.506")


def test_truncation_is_exact() -> None:
    assert truncated(0.9999999999999999) == "0.999"
    assert truncated(-0.0009999) == "-0.000"
    assert truncated(0.5) == "0.500"
    assert truncated(1.0005) == "1.000"


def test_the_printed_results_force_three_of_the_four_restored_signs() -> None:
    """Every choice of signs is tried. The weights times x₀ = 0 do not show, so −0.097 is a convention."""
    sizes = [w for row in AS_PRINTED.hidden for w in row]
    fitting = []
    for signs in product((1, -1), repeat=9):
        weights = [sign * w for sign, w in zip(signs, sizes, strict=True)]
        reading = replace(AS_PRINTED, hidden=tuple(zip(*[iter(weights)] * 3, strict=True)))
        if as_the_print_shows(run(worked_example(reading), PLAIN)) == PRINTED:
            fitting.append(signs)
    forced = {sizes[i]: signs[i] for signs in fitting for i in range(9) if len({choice[i] for choice in fitting}) == 1}
    assert forced == {1.076: 1, 1.116: 1, 0.165: -1, 0.542: 1, 0.331: -1}
    assert all(signs[4] == signs[7] == -1 for signs in fitting)  # 0.165 stands twice, and both times it is forced
    assert len(fitting) == 2**3  # what is left open are the three weights of x₀


def test_one_step_of_the_delta_rule_moves_the_output_towards_the_target() -> None:
    for reading in READINGS:
        case = worked_example(reading)
        step = run(case, PLAIN)
        assert step.updated is not None
        after = forward(step.updated, PLAIN.lift(case.inputs), PLAIN).outputs[0][0]
        assert step.forward.outputs[0][0] < after < 1


def test_the_step_function() -> None:
    assert (label(0.49), label(0.5), label(0.51)) == (0, 0, 1)
