"""Activations beyond the chapter's: their names, their derivatives, and bounds that hold the truth and honest libraries."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof import Activation, verify
from backproof.adapters.adapter import known_adapters
from backproof.adapters.jax_grad import enable_x64
from backproof.reference.activations import ACTIVATIONS, SOFTMAX
from backproof.reference.case import Case, Dense, InvalidInput, run
from backproof.reference.diagnosis.conventions import Convention, candidates
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.verdict import Verdict
from backproof.reference.more_activations import (
    ACTIVATION_NAMES,
    FAMILIES,
    GELU_GATE,
    MORE_ACTIVATIONS,
    activation_named,
    parsed,
    spelled,
)
from backproof.reference.numbers import TRUTH, Bounded, BoundedArithmetic, numpy_dtype
from backproof.reference.numbers.arrays import ArrayArithmetic
from backproof.reference.numbers.certified import BallFunctions
from backproof.reference.numbers.plain import PLAIN
from backproof.reference.numbers.precision import PROFILES
from backproof.reference.numbers.reproducible import REPRODUCIBLE
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


WITH_PARAMETERS = [family.example for family in FAMILIES.values()] + ["leaky_relu(-0.5)", "leaky_relu(1.5)", "elu(2.5)"]
NAMES = [*MORE_ACTIVATIONS, *WITH_PARAMETERS]
DTYPES = ("float64", "float32", "bfloat16", "float16")
KINKS = (0.0, 1.0, -1.0, 3.0, -3.0, 6.0)
BALLS = BallFunctions()


def named(name: str) -> Activation:
    found = activation_named(name)
    assert found is not None
    return found


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("gelu", "gelu"), (" softmax ", "softmax"), ("leaky_relu( .2 )", "leaky_relu(0.2)"), ("leaky_relu(0.01)", "leaky_relu"),
        ("elu(1)", "elu"), ("elu(1.0)", "elu"), ("elu(2)", "elu(2)"), ("sigmoid (1)", "sigmoid"), ("silu(1e0)", "silu"), ("scaled_tanh(1,1)", "tanh"),
        ("scaled_tanh(1.7159 ,0.6667)", "scaled_tanh(1.7159, 0.6667)"), ("softplus(1)", "softplus"), ("elu(1e-7)", "elu(1e-07)"),
    ],
)  # fmt: skip
def test_every_activation_has_one_name(given: str, name: str) -> None:
    assert named(given).name == name
    assert named(given) is named(name)
    assert Dense([[1.0]], None, given).activation == name
    assert Dense([[1.0]], None, named(given)).activation == name


@pytest.mark.parametrize(
    "garbage",
    ["", "(", "gelu(", "gelu(1)", "elu(x)", "elu(1, 2)", "elu(inf)", "elu(nan)", "elu(0)", "sigmoid(-1)", "elu(1)(2)",
     "scaled_tanh(1)", "gelu_gate", "elu(1e999)", 3, None, 2.5, ["gelu"], b"gelu"],
)  # fmt: skip
def test_what_is_no_name_is_none(garbage: Any) -> None:
    assert activation_named(garbage) is None


@given(st.text("elugsim(0123456789.e-, )∞\n", max_size=20))
def test_no_name_raises(text: str) -> None:
    found = activation_named(text)
    assert found is None or activation_named(found.name) is found


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_parameter_is_read_back_as_the_same_number(parameter: float) -> None:
    assert parsed(spelled("leaky_relu", (parameter,))) == ("leaky_relu", (parameter,))


def test_the_table_is_the_chapter_s() -> None:
    assert all(activation_named(name) is entry for name, entry in ACTIVATIONS.items())
    assert activation_named("softmax") is SOFTMAX
    assert not set(ACTIVATIONS) & set(MORE_ACTIVATIONS)
    assert len(set(ACTIVATION_NAMES)) == len(ACTIVATION_NAMES)


# ------------------------------------------------------------------------------------------ derivatives


@pytest.mark.parametrize("name", [*NAMES, "gelu_gate"])
def test_the_derivative_is_the_slope_of_the_value(name: str) -> None:
    """By the mean value theorem, in balls of 2⁻⁶⁰ around a point, kinks among them: no tolerance is needed."""
    activation = GELU_GATE if name == "gelu_gate" else named(name)
    with ctx.workprec(400):
        h = arb(2) ** -60
        for z in (-30.25, -5.5, -2.0, -0.7, -0.125, 0.3, 1.7, 2.5, 7.0, 30.5, *KINKS):
            near = arb(z, h)
            rise = activation.value(arb(z) + h, BALLS) - activation.value(arb(z) - h, BALLS)
            slope = arb(activation.derivative(near, activation.value(near, BALLS), BALLS))
            assert slope.overlaps(rise / (2 * h)), z
            assert slope.rad() < (1.5 if z in KINKS else 2.0**-40), "or it would say nothing"


def test_at_a_kink_the_derivative_is_all_between_the_two_slopes() -> None:
    found = {
        (name, z): arb(named(name).derivative(arb(z), arb(0), BALLS))
        for name, z in [("hardtanh", 1), ("relu6", 6), ("hardsigmoid", 3), ("hardswish", 3), ("hardswish", -3), ("elu(0.25)", 0), ("elu", 0)]
    }  # fmt: skip
    ends = {key: (float(ball.lower()), float(ball.upper())) for key, ball in found.items()}
    expected = {
        ("hardtanh", 1): (0, 1), ("relu6", 6): (0, 1), ("hardsigmoid", 3): (0, 1 / 6), ("hardswish", 3): (1, 1.5),
        ("hardswish", -3): (-0.5, 0), ("elu(0.25)", 0): (0.25, 1), ("elu", 0): (1, 1),
    }  # fmt: skip
    # the radius of a ball has 30 bits
    assert ends == {key: pytest.approx(value, abs=2.0**-27) for key, value in expected.items()}


@pytest.mark.parametrize("name", NAMES)
def test_no_formula_overflows(name: str) -> None:
    activation = named(name)
    for z in (-1e300, -1e5, -800.0, 800.0, 1e5, 1e300):
        a = activation.value(z, PLAIN.functions)
        assert math.isfinite(a)
        assert math.isfinite(activation.derivative(z, a, PLAIN.functions))


# ------------------------------------------------------------------------------------------ bounds


def arguments(dtype: str, count: int = 120) -> Any:
    """Generic numbers, large ones, and numbers at and near kinks, in a format."""
    rng = np.random.default_rng(1)
    large = {"float64": 700.0, "float16": 60.0}.get(dtype, 85.0)
    near = [kink + sign * 2.0**-k for kink in KINKS for sign in (-1, 0, 1) for k in (2, 5, 9)]
    z = np.concatenate(
        [rng.uniform(-8, 8, count), rng.uniform(-1, 1, count // 2), rng.uniform(-large, large, 30), near]
    )
    return z.astype(numpy_dtype(dtype))


def bounds(activation: Activation, z: Any, dtype: str, ar: BoundedArithmetic | None = None) -> tuple[Bounded, Bounded]:
    """Of the value and of the derivative, for z as everybody has it."""
    ar = ar or BoundedArithmetic(PROFILES[dtype])
    given = ar.lift([z.astype(float)])
    a = ar.activate(activation, given)
    return a, ar.elementwise(activation.derivative, given, ar.as_computed(activation, given, a))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("dtype", ["float64", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_the_truth_is_inside(name: str, dtype: str) -> None:
    activation, z = named(name), arguments(dtype, 24)
    kinds = [None, BoundedArithmetic(PROFILES[dtype], kernels=REPRODUCIBLE)]
    with ctx.workprec(300):
        truths = [(a := activation.value(arb(x), BALLS), activation.derivative(arb(x), a, BALLS)) for x in z.tolist()]
        for found in (bounds(activation, z, dtype, ar) for ar in kinds):
            for which, bound in enumerate(found):
                errors = np.broadcast_to(bound.errors[TRUTH], z[None].shape)[0]
                for value, error, truth in zip(bound.value[0], errors, truths, strict=True):
                    assert not np.isfinite(error) or arb(float(value), float(error)).overlaps(arb(truth[which]))


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", NAMES)
@given(st.floats(-40, 40) | st.sampled_from(KINKS), st.floats(0, 3), st.floats(-1, 1))
def test_whatever_the_pre_activation_in_reach_the_activation_is_in_reach(
    name: str, z: float, error: float, t: float
) -> None:
    activation, ar = named(name), BoundedArithmetic(PROFILES["float64"])
    around = Bounded(np.array([[z]]), np.array([[[error]], [[0.0]]]), ar.model)
    value = ar.activate(activation, around)
    slope = ar.elementwise(activation.derivative, around, value)
    with ctx.workprec(256):
        inside = arb(z) + arb(error) * arb(t)
        a = activation.value(inside, BALLS)
        for bound, truth in ((value, a), (slope, activation.derivative(inside, a, BALLS))):
            found = float(bound.error[0, 0])
            assert math.isinf(found) or arb(float(bound.value[0, 0]), found).overlaps(arb(truth))


def test_bounds_are_of_the_size_of_roundings() -> None:
    """Of generic z in float32, not far out: a few dozen roundings of numbers up to 4, and of slopes."""
    z = np.linspace(-4, 4, 101, dtype=np.float32) + np.float32(1 / 64)
    u = PROFILES["float32"].storage.unit_roundoff
    for name in NAMES:
        value, slope = bounds(named(name), z, "float32")
        assert value.error.max() < 100 * u, name
        assert slope.error.max() < 700 * u, name  # 1 − tanh² of the library's tanh, times what grows as z³


Forms = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def numpy_forms() -> dict[str, list[Callable[[Any], Any]]]:
    """Ways in which people write them in NumPy, values and derivatives in one list: each has to be inside."""
    erf = ArrayArithmetic("float64").erf

    def sigmoid(z: Any) -> Any:
        small = np.exp(-np.abs(z))
        return np.where(z >= 0, 1 / (1 + small), small / (1 + small)).astype(z.dtype)

    def of(dtype: Any, x: float) -> Any:
        return dtype.type(x)

    def erfc(z: Any) -> Any:
        return np.array([math.erfc(x) for x in z.astype(float).tolist()]).astype(z.dtype)

    return {
        "gelu": [
            lambda z: of(z.dtype, 0.5) * z * (1 + erf(z / np.sqrt(of(z.dtype, 2)))),
            lambda z: of(z.dtype, 0.5) * z * erfc(-z * of(z.dtype, math.sqrt(0.5))),
        ],
        "gelu_tanh": [
            lambda z: of(z.dtype, 0.5) * z * (1 + np.tanh(of(z.dtype, math.sqrt(2 / math.pi)) * (z + of(z.dtype, 0.044715) * z**3))),
        ],
        "silu": [lambda z: z * sigmoid(z), lambda z: z / (1 + np.exp(-np.clip(z, -10, None)))],
        "elu": [lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1)],
        "mish": [lambda z: z * np.tanh(np.logaddexp(z, of(z.dtype, 0)))],
        "softsign": [lambda z: z / (1 + np.abs(z))],
        "hardswish": [lambda z: z * np.clip(z + 3, 0, 6) / 6, lambda z: z * np.clip(z / 6 + of(z.dtype, 0.5), 0, 1)],
        "leaky_relu(0.2)": [lambda z: np.where(z > 0, z, of(z.dtype, 0.2) * z)],
        "softplus(2)": [lambda z: np.logaddexp(2 * z, of(z.dtype, 0)) / 2],
    }  # fmt: skip


@pytest.mark.sampled(6)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", numpy_forms())
def test_honest_numpy_is_inside(name: str, dtype: str) -> None:
    z = arguments(dtype)
    z = z[np.abs(z.astype(float)) < 10]  # where none of the forms overflows
    with np.errstate(all="ignore"):
        for form in numpy_forms()[name]:
            assert bounds(named(name), z, dtype)[0].holds(form(z)[None]).all()


# Where PyTorch or JAX is off by more than rounding: findings, see docs/tolerances.md and test_findings.py.
INACCURATE = {
    ("torch", "float64"): {"hardsigmoid", "softplus(2)"},  # 1/6 is a float32 number in its gradient; a threshold
    ("jax", "float16"): {"silu", "silu(1.702)", "sigmoid(2)"},  # exp overflows in its sigmoid
}


@pytest.mark.sampled(8)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
@needs("torch")
def test_pytorch_s_are_inside(name: str, dtype: str) -> None:
    from backproof.adapters import torch_autograd as adapter

    if name in INACCURATE.get(("torch", dtype), ()):
        pytest.skip("a finding")
    z = arguments(dtype)
    tensor = adapter._tensor(z.copy()).requires_grad_()
    value = adapter._activation(name, tensor)
    value.sum().backward()
    both: tuple[Any, Any] = (value, tensor.grad)
    for bound, got in zip(bounds(named(name), z, dtype), both, strict=True):
        assert bound.holds(adapter._array(got)[None]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@needs("jax")
def test_jax_s_are_inside(dtype: str, slow: None) -> None:
    """All of them in one program, which compiles once."""
    import jax
    from backproof.adapters import jax_grad as adapter

    names = [name for name in NAMES if name not in INACCURATE.get(("jax", dtype), ())]

    def everything(z: Any) -> Any:
        return [jax.vmap(jax.value_and_grad(partial(adapter._activation, name)))(z) for name in names]

    z = arguments(dtype)
    with enable_x64(True):
        found = jax.jit(everything)(z)
    for name, both in zip(names, found, strict=True):
        for bound, got in zip(bounds(named(name), z, dtype), both, strict=True):
            assert bound.holds(np.asarray(got)[None]).all(), name


# ------------------------------------------------------------------------------------------ from end to end


def network(hidden: str | Activation, dtype: str = "float32") -> Case:
    layers = (
        Dense([[0.5, -1.25], [1.5, 0.75], [-0.25, 2.0]], [0.25, -0.5, 0.125], hidden),
        Dense([[0.75, -1.5, 0.5]], None, "identity"),
    )
    return Case("more", layers, [[1.0, -0.5], [2.0, 1.5]], [[0.5], [-1.0]], learning_rate=0.5, dtype=dtype)  # fmt: skip


@pytest.mark.sampled(40, 7)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("adapter", ["plain", pytest.param("torch", marks=needs("torch"))])
def test_an_adapter_s_learning_step_agrees(adapter: str, name: str) -> None:
    case = network(name)
    assert judge(case, known_adapters()[adapter].run(case)).verdict is Verdict.AGREES


@pytest.mark.parametrize("adapter", ["numpy", pytest.param("torch", marks=needs("torch")), pytest.param("jax", marks=needs("jax"))])  # fmt: skip
def test_what_an_adapter_has_not_it_says(adapter: str) -> None:
    with pytest.raises(NotImplementedError, match="swirl"):
        known_adapters()[adapter].run(network(OWN))


OWN = Activation(
    "swirl",
    lambda z, fn: z / (1 + fn.absolute(z)) + z / 4,
    lambda z, a, fn: 1 / (1 + fn.absolute(z)) ** 2 + 0.25,
)


def gradients(slope: Callable[[Any], Any]) -> Callable[..., Any]:
    """Backpropagation by hand for a hidden layer of swirl, with a derivative."""

    def function(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        z = inputs @ weights[0].T + biases[0]
        hidden = z / (1 + abs(z)) + z / 4
        delta = hidden @ weights[1].T + biases[1] - targets
        below = delta @ weights[1] * slope(z)
        return [below.T @ inputs, delta.T @ hidden], [below.sum(axis=0), delta.sum(axis=0)]

    return function


def test_an_activation_of_one_s_own_is_judged_by_its_formulas() -> None:
    declared: dict[str, Any] = {"loss": "half_squared_error", "reduction": "sum", "sizes": (3, 4, 2), "cases": "few"}
    right = verify(gradients(lambda z: 1 / (1 + abs(z)) ** 2 + 0.25), activations=[OWN, "identity"], **declared)
    assert (right.verdict, right.digits is not None and right.digits > 12) == ("agrees", True)
    assert "swirl in hidden layers, identity at the output" in str(right)
    wrong = verify(gradients(lambda z: 1 / (1 + abs(z)) ** 2), activations=[OWN, "identity"], **declared)
    assert wrong.verdict == "wrong"
    assert "[swirl, 'identity']" in str(wrong)


@pytest.mark.parametrize(
    ("value", "derivative", "message"),
    [
        (lambda z, fn: np.exp(z), lambda z, a, fn: a, "activations[0]: the value of mine: TypeError: "),
        (lambda z, fn: fn.sin(z), lambda z, a, fn: z, "activations[0]: the value of mine: AttributeError: 'FloatFunctions' object has no attribute 'sin'. Write it with"),
        (lambda z, fn: max(z, 0), lambda z, a, fn: z, "activations[0]: the value of mine: ValueError: "),
        (lambda z, fn: z * z, lambda z, fn: z, "activations[0]: the derivative of mine: TypeError: "),
        (lambda z, fn: z * z, lambda z, a, fn: z, "activations[0]: the derivative of mine at -20 is -20, but its value rises there by -40 per unit."),
    ],
)  # fmt: skip
def test_an_activation_that_cannot_be_judged_by_is_refused(value: Any, derivative: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        list(candidates((2, 2, 1), Activation("mine", value, derivative)))
    assert str(refused.value).startswith(message)


def test_declared_activations_are_resolved_in_every_form() -> None:
    def first(declared: Any) -> Convention:
        return next(iter(candidates((2, 3, 1), declared, "half_squared_error", "sum")))

    assert first("gelu").activations == ("gelu", "gelu")
    assert first(["leaky_relu( 0.20)", "identity"]).activations == ("leaky_relu(0.2)", "identity")
    assert first([MORE_ACTIVATIONS["gelu"], ACTIVATIONS["identity"]]).activations == ("gelu", "identity")
    assert first(OWN).activations == (OWN, OWN)
    assert first(OWN).of_outputs() == "swirl in hidden layers, swirl at the output"
    with pytest.raises(
        InvalidInput, match=r"activations\[0\]: expected elu\(alpha\) with numbers, such as elu\(0\.1\)"
    ):
        first("elu(a)")


def test_what_it_says_of_its_steepest_point_does_not_matter() -> None:
    """No library's ulps were measured of it."""
    with_it = Activation("swirl", OWN.value, OWN.derivative, steepest=0)
    found = [
        run(network(own), BoundedArithmetic(PROFILES["float32"])).backward.weight_gradients[0] for own in (OWN, with_it)
    ]
    np.testing.assert_array_equal(found[0].error, found[1].error)
