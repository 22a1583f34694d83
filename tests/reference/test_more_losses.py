"""Losses beyond the chapter's: their names, their derivatives, and bounds that hold the truth and honest libraries."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof import verify
from backproof.adapters.adapter import known_adapters
from backproof.reference.case import Case, Dense, InvalidInput
from backproof.reference.diagnosis.conventions import candidates
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.verdict import Verdict
from backproof.reference.losses import LOSSES, Loss
from backproof.reference.more_losses import LOSS_NAMES, MORE_LOSSES, loss_named
from backproof.reference.numbers import OUTWARD, TRUTH, BoundedArithmetic, numpy_dtype
from backproof.reference.numbers.certified import CertifiedArithmetic
from backproof.reference.numbers.plain import PLAIN
from backproof.reference.numbers.precision import PROFILES
from flint import arb, arb_mat, ctx
from hypothesis import given
from hypothesis import strategies as st


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


NAMES = [*MORE_LOSSES, "huber(0.3)", "huber(4)"]
DTYPES = ("float64", "float32", "bfloat16", "float16")


def named(name: str) -> Loss:
    found = loss_named(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "name"),
    [("hinge", "hinge"), (" huber ( .5 )", "huber(0.5)"), ("huber(1)", "huber"), ("huber(1e-3)", "huber(0.001)"), ("squared_error", "squared_error")],
)  # fmt: skip
def test_every_loss_has_one_name(given: str, name: str) -> None:
    assert named(given).name == name
    assert named(given) is named(name)
    assert Case("one", (Dense([[1.0]], None, "identity"),), [[1.0]], [[0.5]], loss=given).loss == name


@pytest.mark.parametrize("garbage", ["", "huber(", "huber(0)", "huber(-1)", "huber(1, 2)", "huber(nan)", "hinge(1)", 3, None, [""]])  # fmt: skip
def test_what_is_no_name_is_none(garbage: Any) -> None:
    assert loss_named(garbage) is None


@given(st.text("huberinge(0123456789.e-, )", max_size=20))
def test_no_name_raises(text: str) -> None:
    found = loss_named(text)
    assert found is None or loss_named(found.name) is found


def test_the_table_is_the_chapter_s() -> None:
    assert all(loss_named(name) is entry for name, entry in LOSSES.items())
    assert len(set(LOSS_NAMES)) == len(LOSSES) + len(MORE_LOSSES)


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"^loss: expected one of half_squared_error, .* hinge, huber\(delta\); got 'hinges'\. Did you mean 'hinge'\?$"):  # fmt: skip
        list(candidates((2, 1), "identity", "hinges"))


def test_by_hand() -> None:
    """In halves and quarters: products and sums are exact."""
    o, t = [[0.5, -1.0, 3.0]], [[1.0, 1.0, 0.0]]
    expected = {
        "absolute_error": ([0.5, 2.0, 3.0], [-1, -1, 1]),
        "huber": ([0.125, 1.5, 2.5], [-0.5, -1.0, 1.0]),
        "huber(4)": ([0.125, 2.0, 4.5], [-0.5, -2.0, 3.0]),
        "hinge": ([0.5, 2.0, 1.0], [-1.0, -1.0, 0.0]),
    }
    for name, (terms, derivative) in expected.items():
        assert named(name).terms(o, t, PLAIN) == [terms]
        assert named(name).derivative(o, t, PLAIN) == [derivative]


PAIRS = [(-30.5, 1.0), (-1.25, 0.75), (0.5, 1.0), (0.984375, 1.0), (2.0, -1.0), (800.0, 0.0)]
KINKS = [(0.75, 0.75), (1.0, 1.0), (2.0, 0.5), (0.5, 2.0), (1.75, 0.75)]


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_is_the_slope_of_the_terms(name: str) -> None:
    """By the mean value theorem, in balls of 2⁻⁶⁰ around a point, kinks among them: no tolerance is needed."""
    loss, ar = named(name), CertifiedArithmetic()

    def at(formula: Any, o: arb, t: float) -> arb:
        return formula(arb_mat([[o]]), arb_mat([[arb(t)]]), ar)[0, 0]

    with ctx.workprec(3000):
        h = arb(2) ** -60
        for o, t in PAIRS + KINKS:
            rise = at(loss.terms, arb(o) + h, t) - at(loss.terms, arb(o) - h, t)
            slope = at(loss.derivative, arb(o, h), t)
            assert slope.overlaps(rise / (2 * h)), (o, t)
            assert slope.rad() < (1.5 * max(1, abs(t)) if (o, t) in KINKS else 2.0**-40)


def test_at_a_kink_all_slopes_are_admissible() -> None:
    ar = BoundedArithmetic(PROFILES["float32"])
    for name, o, t, (low, high) in (("absolute_error", 0.5, 0.5, (-1, 1)), ("hinge", 0.5, 2.0, (-2, 0)), ("huber", 1.5, 0.5, (1, 1))):  # fmt: skip
        found = named(name).derivative(ar.lift([[o]]), ar.lift([[t]]), ar)
        ends = found.value - found.errors[TRUTH], found.value + found.errors[TRUTH]
        rounding = 2 * (OUTWARD - 1)  # with which the errors of two steps are kept on the large side
        assert [float(x[0, 0]) for x in ends] == pytest.approx([low, high], abs=rounding)


def numbers(dtype: str) -> tuple[Any, Any]:
    """Outputs and targets, some of them equal or a kink apart."""
    rng = np.random.default_rng(2)
    pairs = np.concatenate([rng.uniform(-3, 3, (80, 2)), rng.uniform(-40, 40, (20, 2)), np.array(KINKS)])
    o, t = pairs.astype(numpy_dtype(dtype)).T
    return o[None], t[None]


def bounds(name: str, o: Any, t: Any, dtype: str) -> tuple[Any, Any]:
    ar = BoundedArithmetic(PROFILES[dtype])
    given = ar.lift(o.astype(float)), ar.lift(t.astype(float))
    return named(name).terms(*given, ar), named(name).derivative(*given, ar)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_inside(name: str, dtype: str) -> None:
    o, t = numbers(dtype)
    balls = CertifiedArithmetic()
    with ctx.workprec(300):
        given = balls.lift(o.astype(float)), balls.lift(t.astype(float))
        for bound, formula in zip(bounds(name, o, t, dtype), (named(name).terms, named(name).derivative), strict=True):
            errors = np.broadcast_to(bound.errors[TRUTH], o.shape)
            for value, error, truth in zip(bound.value[0], errors[0], formula(*given, balls).entries(), strict=True):
                assert arb(float(value), float(error)).overlaps(truth)


@pytest.mark.parametrize("dtype", DTYPES)
def test_honest_numpy_is_inside(dtype: str) -> None:
    o, t = numbers(dtype)
    e, of = o - t, o.dtype.type
    size = np.abs(e)
    written = {
        "absolute_error": (size, np.sign(e)),
        "huber(0.3)": (np.where(size <= of(0.3), e * e / 2, of(0.3) * (size - of(0.15))), np.clip(e, -of(0.3), of(0.3))),
        "huber(4)": (np.where(size <= 4, of(0.5) * e**2, 4 * size - 8), np.where(size <= 4, e, 4 * np.sign(e))),
        "log_cosh": (np.logaddexp(e, -e) - of(math.log(2)), np.tanh(e)),
        "hinge": (np.maximum(1 - t * o, 0), np.where(1 - t * o > 0, -t, of(0))),
    }  # fmt: skip
    for name, both in written.items():
        for bound, got in zip(bounds(name, o, t, dtype), both, strict=True):
            assert bound.holds(got).all(), name


def network(loss: str, reduction: str, dtype: str) -> Case:
    layers = (Dense([[0.5, -1.25], [1.5, 0.75]], [0.25, -0.5], "tanh"), Dense([[0.75, -1.5], [0.5, 1.0]], None, "identity"))  # fmt: skip
    return Case("loss", layers, [[1.0, -0.5], [2.0, 1.5], [0.0, 0.25]], [[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]], loss, reduction, 0.5, dtype)  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(5)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("adapter", ["plain", pytest.param("torch", marks=needs("torch"))])
def test_an_adapter_s_learning_step_agrees(adapter: str, name: str, dtype: str) -> None:
    case = network(name, "mean", dtype)
    assert judge(case, known_adapters()[adapter].run(case)).verdict is Verdict.AGREES


@pytest.mark.parametrize("name", NAMES)
@needs("jax")
def test_jax_s_learning_step_agrees(name: str, slow: None) -> None:
    case = network(name, "sum", "float32")
    assert judge(case, known_adapters()["jax"].run(case)).verdict is Verdict.AGREES


def test_what_an_adapter_has_not_it_says() -> None:
    with pytest.raises(NotImplementedError, match="hinge"):
        known_adapters()["numpy"].run(network("hinge", "sum", "float64"))


def test_a_function_is_judged_by_a_declared_loss() -> None:
    def gradients(weights: Any, biases: Any, inputs: Any, targets: Any, limit: float = 0.5) -> Any:
        hidden = np.tanh(inputs @ weights[0].T + biases[0])
        delta = np.clip(hidden @ weights[1].T + biases[1] - targets, -limit, limit)
        below = delta @ weights[1] * (1 - hidden**2)
        return [below.T @ inputs, delta.T @ hidden], [below.sum(axis=0), delta.sum(axis=0)]

    def unclipped(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        return gradients(weights, biases, inputs, targets, math.inf)

    declared: dict[str, Any] = {"activations": ["tanh", "identity"], "loss": "huber(0.5)", "reduction": "sum", "cases": "few"}  # fmt: skip
    assert verify(gradients, **declared).verdict == "agrees"
    assert verify(unclipped, **declared).verdict == "wrong"
