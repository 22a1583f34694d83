"""The rule check and its explanations, on backward code written by hand: a layer norm with one mistake at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

np = pytest.importorskip("numpy")
flint = pytest.importorskip("flint")

from backproof.reference.programs import (
    Border,
    Captured,
    Origin,
    Outcome,
    Program,
    Value,
    broadcast,
    check,
    explained,
    mean,
    ran_as_captured,
    total,
)
from backproof.reference.programs import elementwise as e
from backproof.reference.programs.rule_check import compared

SHAPE = (5, 7)


@dataclass(frozen=True)
class Norm:
    """What a layer norm's forward leaves for its backward."""

    x: Value
    w: Value
    variance: Value
    inverse: Value
    normed: Value


Backward = Callable[[Norm, Value], tuple[Value | None, Value | None, Value | None]]


def right(n: Norm, g: Value) -> tuple[Value | None, Value | None, Value | None]:
    return from_parts(n, g * broadcast(n.w, SHAPE)), total(g * n.normed, [0]), total(g, [0])


def from_parts(n: Norm, g: Value, of_mean: float = 1.0, of_variance: float = 1.0, scale: Value | None = None) -> Value:
    by_mean = mean(g, [1], keep=True) * of_mean
    by_variance = n.normed * mean(g * n.normed, [1], keep=True) * of_variance
    return (n.inverse if scale is None else scale) * (g - by_mean - by_variance)


def changed(**others: Callable[[Norm, Value], Value | None]) -> Backward:
    def backward(n: Norm, g: Value) -> tuple[Value | None, Value | None, Value | None]:
        dx, dw, db = right(n, g)
        given = {"dx": dx, "dw": dw, "db": db} | {name: other(n, g) for name, other in others.items()}
        return given["dx"], given["dw"], given["db"]

    return backward


def weighted(n: Norm, g: Value) -> Value:
    return g * broadcast(n.w, SHAPE)


MISTAKES: dict[str, tuple[Backward, int, str]] = {
    "through the variance": (changed(dx=lambda n, g: from_parts(n, weighted(n, g), of_variance=0.0)), 0, "variance.* is missing"),
    "through the mean": (changed(dx=lambda n, g: from_parts(n, weighted(n, g), of_mean=0.0)), 0, "mean.* is missing"),
    "variance doubled": (changed(dx=lambda n, g: from_parts(n, weighted(n, g), of_variance=2.0)), 0, "is doubled"),
    "mean negated": (changed(dx=lambda n, g: from_parts(n, weighted(n, g), of_mean=-1.0)), 0, "mean.* is negated"),
    "a hundredth too much": (changed(dx=lambda n, g: from_parts(n, weighted(n, g), of_mean=1.01)), 0, r"multiplied by 1\.01"),
    "less than floats tell": (
        changed(dx=lambda n, g: from_parts(n, weighted(n, g)) * (1 + 2.0**-25)), 0, r"multiplied by 1 \+ 2\.98e-08"),
    "everything negated": (changed(dx=lambda n, g: -from_parts(n, weighted(n, g))), 0, "input 0 is negated"),
    "the weight is forgotten": (changed(dx=from_parts), 0, "1 stands where"),
    "the incoming gradient is dropped": (
        changed(dx=lambda n, g: from_parts(n, broadcast(n.w, SHAPE))), 0, "incoming gradient is dropped"),
    "the variance for its root": (
        changed(dx=lambda n, g: from_parts(n, weighted(n, g), scale=n.variance)), 0, "variance.* stands where .*inverse"),
    "the variance's mean is left out": (
        changed(dx=lambda n, g: n.inverse * ((h := weighted(n, g)) - broadcast(mean(h, [1], keep=True), SHAPE) - n.normed * (h * n.normed))),
        0, "not averaged over axis 1"),
    "dw is never computed": (changed(dw=lambda n, g: None), 1, "input 1 is never computed"),
    "dw by the input": (changed(dw=lambda n, g: total(g * n.x, [0])), 1, "stands where .*normed"),
    "db averaged": (changed(db=lambda n, g: mean(g, [0])), 2, r"multiplied by 0\.2|divided by 5"),
    "db of the last sample": (
        changed(db=lambda n, g: total(g * g.program.constant((np.arange(5) == 4)[:, None] * np.ones(7)), [0])), 2, "only the last"),
    "db summed too far": (
        changed(db=lambda n, g: broadcast(total(g, [0, 1], keep=True), (1, 7)) * broadcast(g.program.constant(1.0, (7,)), (1, 7))),
        2, "one axis too many"),
}  # fmt: skip


def captured(backward: Backward, seed: int, outer: Callable[[Value], Value] = e.tanh) -> Captured:
    """A layer norm of our own inside of another function, with this backward."""
    program = Program()
    x, w, b = program.input(SHAPE), program.input((7,)), program.input((7,))
    arriving = program.input(SHAPE)

    def at(call: int, name: str) -> None:
        program.origin = Origin(name, "norm.py", call, call, "Norm")

    at(1, "mean")
    centred = x - mean(x, [1], keep=True)
    at(2, "variance")
    variance = mean(centred * centred, [1], keep=True) + 1e-5
    at(3, "inverse")
    inverse = 1 / e.sqrt(variance)
    at(4, "normed")
    normed = centred * inverse
    at(5, "scaled")
    out = normed * broadcast(w, SHAPE) + broadcast(b, SHAPE)
    at(6, "outer")
    y = outer(out)
    at(7, "backward")
    arrived = arriving * (1 - y * y) if outer is e.tanh else arriving
    gradients = tuple(
        None if g is None else g if g.shape == v.shape else total(g, [0])
        for g, v in zip(backward(Norm(x, w, variance, inverse, normed), arrived), (x, w, b), strict=True)
    )
    border = Border("Norm", Origin("Norm", "user.py", 3, 0), (x, w, b), (out,), (arrived,), gradients, True)
    generator = np.random.default_rng(seed)
    given = {v.index: generator.standard_normal(v.shape) for v in (x, w, b, arriving)}
    return Captured(program, (x, w, b), (y,), (arriving,), gradients, given, (None,) * 4, (border,))


def test_a_right_backward_is_equal_to_30_digits() -> None:
    for agreement in check(captured(right, 0)):
        assert agreement.outcome is Outcome.EQUAL
        assert agreement.digits > 30


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_and_named(name: str) -> None:
    import re

    backward, place, words = MISTAKES[name]
    found = captured(backward, 0)
    outcomes = [a.outcome for a in check(found)]
    assert outcomes == [Outcome.DIFFERENT if k == place else Outcome.EQUAL for k in range(3)]
    explanations = explained(found, captured(backward, 1))
    assert [e.inputs for e in explanations] == [(place,)]
    assert re.search(words, explanations[0].text), explanations[0].text
    assert explanations[0].border is not None


def test_the_witness_is_the_element_that_is_furthest_off() -> None:
    backward = changed(db=lambda n, g: total(g, [0]) + g.program.constant(np.array([0, 0, 0, 5e-9, 0, 1e-9, 0])))
    (agreement,) = check(captured(backward, 0))[2:]
    assert agreement.outcome is Outcome.DIFFERENT
    assert agreement.wrong == 2
    assert agreement.witness is not None
    assert agreement.witness.index == (3,)
    assert abs(agreement.witness.seen - agreement.witness.right - 5e-9) < 2.0**-50


@pytest.mark.usefixtures("slow")
def test_what_nothing_explains_gets_no_name() -> None:
    backward = changed(dx=lambda n, g: e.sin(from_parts(n, weighted(n, g)) * 3) + n.normed)
    assert explained(captured(backward, 0), captured(backward, 1)) == []


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", ["dx", "dw", "db"])
def test_what_is_off_by_less_than_floats_tell_is_not_called_a_factor(name: str) -> None:
    """3e-8 of each element, but not the same of all: so 1/α in float32 moves celu's gradient."""

    def moved(n: Norm, g: Value) -> Value:
        right = {"dx": from_parts(n, weighted(n, g)), "dw": total(g * n.normed, [0]), "db": total(g, [0])}[name]
        return right + e.sin(3 * right) * 2.0**-26

    backward = changed(**{name: moved})
    found = captured(backward, 0)
    assert [a.outcome for a in check(found)].count(Outcome.DIFFERENT) == 1
    assert not [e for e in explained(found, captured(backward, 1)) if "multiplied by" in e.text]


@pytest.mark.usefixtures("slow")
def test_a_coincidence_at_one_point_is_no_explanation() -> None:
    """Negated at the one point only: proved elsewhere, it does not hold."""
    wrong = captured(changed(dx=lambda n, g: -from_parts(n, weighted(n, g))), 0)
    other = captured(changed(dx=lambda n, g: 2 * from_parts(n, weighted(n, g))), 1)
    assert explained(wrong, other) == []


def test_a_literal_in_two_roundings_is_told_as_that() -> None:
    program = Program()
    x, arriving = program.input((3,)), program.input((3,))
    y = x * x * 0.7978845608
    seen = arriving * x * (2 * 0.79788456)
    given = {x.index: np.array([0.3, 1.2, -0.7]), arriving.index: np.array([1.0, -0.4, 2.0])}
    (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (seen,), given, (None, None)))
    assert agreement.outcome is Outcome.LITERALS
    off = arriving * x * (2 * 0.797)
    (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (off,), given, (None, None)))
    assert agreement.outcome is Outcome.DIFFERENT


@pytest.mark.parametrize("factor", [0.999999999, 1.00000001])
def test_a_literal_on_both_sides_hides_no_factor(factor: float) -> None:
    """0.1234567 may mean a number 3e-8 beside it, but then it does so in the forward and in the backward."""
    program = Program()
    x, arriving = program.input((3,)), program.input((3,))
    y = x * x * 0.1234567
    seen = arriving * x * 2 * 0.1234567 * factor
    given = {x.index: np.array([0.3, 1.2, -0.7]), arriving.index: np.array([1.0, -0.4, 2.0])}
    (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (seen,), given, (None, None)))
    assert agreement.outcome is Outcome.DIFFERENT


def test_at_a_kink_any_slope_between_is_admitted_and_others_are_not() -> None:
    for slope, outcome in (
        (0.0, Outcome.KINK),
        (0.5, Outcome.KINK),
        (1.0, Outcome.KINK),
        (1.5, Outcome.DIFFERENT),
        (-0.1, Outcome.DIFFERENT),
    ):
        program = Program()
        x, arriving = program.input((2,)), program.input((2,))
        y = e.maximum(x, 0)
        seen = arriving * program.constant(np.array([slope, 1.0]))
        given = {x.index: np.array([0.0, 2.0]), arriving.index: np.array([1.0, 1.0])}
        (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (seen,), given, (None, None)))
        assert agreement.outcome is outcome, slope


def test_cancellation_takes_more_bits_and_is_decided() -> None:
    program = Program()
    x, arriving = program.input(()), program.input(())
    y = (x + 1e200) * x - x * 1e200  # 128 bits hold nothing of it
    seen = arriving * (x + x)
    given = {x.index: np.array(1.7), arriving.index: np.array(1.0)}
    (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (seen,), given, (None, None)))
    assert agreement.outcome is Outcome.EQUAL


def test_where_there_is_no_number_nothing_is_decided() -> None:
    program = Program()
    x, arriving = program.input((1,)), program.input((1,))
    y = e.log(x)
    given = {x.index: np.array([-1.0]), arriving.index: np.array([1.0])}
    (agreement,) = check(Captured(program, (x,), (y,), (arriving,), (arriving / x * e.sqrt(x),), given, (None, None)))
    assert agreement.outcome is Outcome.UNDECIDED
    assert "not a number" in agreement.reason


def test_empty_arrays_are_equal() -> None:
    empty = np.empty((0, 3), dtype=object)
    assert compared(empty, empty, last=False).outcome is Outcome.EQUAL


def test_numbers_that_ran_otherwise_are_seen() -> None:
    program = Program()
    x, arriving = program.input((2,)), program.input((2,))
    y, seen = e.exp(x), arriving * e.exp(x)
    given = {x.index: np.array([0.1, 0.2]), arriving.index: np.array([1.0, 1.0])}
    values = np.exp(given[x.index])
    good = Captured(program, (x,), (y,), (arriving,), (seen,), given, (values, values))
    assert ran_as_captured(good) > 14
    bad = Captured(program, (x,), (y,), (arriving,), (seen,), given, (values, values * [1, 1.001]))
    assert 2 < ran_as_captured(bad) < 4
