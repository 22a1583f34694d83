"""Activations by tables and formulas that are nearly they: named as that, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp
from backproof.reports.documents import Subject
from backproof.reports.validation.approximated import approximated
from written_networks import SIGMOID, TANH, Array, Curve, Network, ones, sigmoid, softmax, squared

Value = Callable[[Array], Array]
OWN = {"sigmoid": SIGMOID, "tanh": TANH}


def nearest(f: Value, entries: int, end: float) -> Value:
    table = f(np.linspace(-end, end, entries))
    return lambda z: table[np.clip(np.rint((z + end) * ((entries - 1) / 2 / end)), 0, entries - 1).astype(int)]


def below(f: Value, entries: int, end: float) -> Value:
    table = f(np.linspace(-end, end, entries))
    return lambda z: table[np.clip((z + end) * ((entries - 1) / 2 / end), 0, entries - 1).astype(int)]


def straight(f: Value, entries: int, end: float) -> Value:
    at = np.linspace(-end, end, entries)
    return lambda z: np.interp(z, at, f(at))


def pade(z: Array) -> Array:
    return z * (15 + z * z) / (15 + 6 * z * z)


def sigmoid_by_pade(z: Array) -> Array:
    return (1 + np.clip(pade(z / 2), -1, 1)) / 2


def by_a_quotient(z: Array) -> Array:
    """eᶻ by a quotient of polynomials."""
    return 1 / (1 + (12 - 6 * z + z * z) / (12 + 6 * z + z * z))


STEPS, PIECES, SMOOTHLY = "in steps", "in straight pieces", "smoothly"
APPROXIMATIONS: tuple[tuple[str, Value, str], ...] = (
    ("sigmoid", nearest(sigmoid, 4096, 15), STEPS),
    ("sigmoid", below(sigmoid, 256, 8), STEPS),
    ("tanh", nearest(np.tanh, 1024, 10), STEPS),
    ("sigmoid", straight(sigmoid, 64, 4), PIECES),
    ("tanh", straight(np.tanh, 256, 8), PIECES),
    ("tanh", pade, SMOOTHLY),
    ("sigmoid", sigmoid_by_pade, SMOOTHLY),
    ("sigmoid", by_a_quotient, SMOOTHLY),
)


def in_format_of(value: Value) -> Value:
    return lambda z: value(z).astype(z.dtype)


def network(name: str, hidden: Value, output: Value) -> Network:
    return Network(
        Curve(in_format_of(hidden), OWN[name].slope),
        Curve(in_format_of(output), OWN[name].slope),
        squared(Curve(in_format_of(output), OWN[name].slope)),
    )


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(16, 3)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "value", "manner"), APPROXIMATIONS)
def test_an_approximation_is_named_with_its_manner(name: str, value: Value, manner: str, dtype: str) -> None:
    report = bp.verify(network(name, value, value), activations=name, loss="half_squared_error", dtype=dtype)
    assert report.verdict == "wrong"
    told = str(report)
    assert f"it approximates {name} in hidden layers" in told
    assert f"it approximates {name} at the output" in told
    assert manner in told


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("where", ["in hidden layers", "at the output"])
def test_it_is_said_where(where: str) -> None:
    table = nearest(sigmoid, 1000, 6)
    net = network("sigmoid", *((table, sigmoid) if where == "in hidden layers" else (sigmoid, table)))
    told = str(bp.verify(net, activations="sigmoid", loss="half_squared_error"))
    assert told.count("it approximates") == 1
    assert f"it approximates sigmoid {where}" in told
    assert "in steps about 0.012 wide" in told


@pytest.mark.usefixtures("slow")
def test_so_it_is_below_a_softmax() -> None:
    tanh = Curve(nearest(np.tanh, 1000, 6), OWN["tanh"].slope)
    net = Network(tanh, Curve(softmax, ones), lambda z, a, t: a - t)
    told = str(bp.verify(net, activations=["tanh", "softmax"], loss="softmax_cross_entropy"))
    assert "it approximates tanh in hidden layers" in told


def said(function: Any, dtype: str = "float64") -> list[str]:
    """What is said of a function's activations under sigmoids and half the squared error."""
    from backproof.reference.diagnosis import Convention, probes
    from backproof.reports.calling import how_to_call

    call, problem = how_to_call(function, "gradients", [(3, 4, 2)], None, None, dtype, None, (False,))
    assert call is not None, problem
    observed = [(case, call.observe(case)) for case in probes((3, 4, 2), (4, 1, 2, 1), call.bias, dtype, 0)]
    subject = Subject("gradients", "", call.bias, call.observe, 0.5)
    return approximated(subject, observed, Convention(("sigmoid", "sigmoid"), "half_squared_error"))


def weights_off(layer: int, delta: Array, below: Array, by: Callable[[Array], Array]) -> Array:
    return delta.T @ by(below)


NO_APPROXIMATIONS: dict[str, Any] = {
    "right": Network(),
    "activations in float32": Network(Curve(lambda z: sigmoid(z).astype(np.float32).astype(float), SIGMOID.slope)),
    "z in float16": Network(Curve(lambda z: sigmoid(z.astype(np.float16).astype(float)), SIGMOID.slope)),
    "only in the weight gradient": Network(weights=partial(weights_off, by=nearest(lambda a: a, 1000, 6))),
    "a table, and a factor of δ": Network(
        Curve(nearest(sigmoid, 1000, 6), lambda z, a: 1.5 * a * (1 - a)), weights=partial(weights_off, by=lambda a: a)
    ),
    "another activation": Network(TANH, SIGMOID),
    "a wrong derivative": Network(Curve(sigmoid, lambda z, a: a)),
}


@pytest.mark.parametrize("name", NO_APPROXIMATIONS)
def test_nothing_else_is_called_an_approximation(name: str) -> None:
    assert said(NO_APPROXIMATIONS[name]) == []
    assert said(Network(Curve(nearest(sigmoid, 1000, 6), SIGMOID.slope))) != []


@pytest.mark.usefixtures("slow")
def test_what_may_be_meant_is_not_called_wrong() -> None:
    """A table whose own slopes are its derivative is some activation."""
    at = np.linspace(-6, 6, 60)
    slopes = np.diff(sigmoid(at)) / np.diff(at)

    def slope(z: Array, a: Array) -> Array:
        inside = (np.searchsorted(at, z) - 1).clip(0, len(slopes) - 1)
        return np.where(abs(z) < 6, slopes[inside], 0.0)

    curve = Curve(straight(sigmoid, 60, 6), slope)
    report = bp.verify(Network(curve, curve, squared(curve)))
    assert report.verdict != "wrong", str(report)
