"""What JAX does, captured as a program: it computes what JAX computed, and its gradient is the chain rule's.

The functions stand in `jax_functions.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
import jax.numpy as jnp
from backproof.adapters.jax_grad import enable_x64
from backproof.adapters.jax_program.capture import capture
from backproof.adapters.jax_program.interpreter import TABLE
from backproof.reference.programs import (
    FLOATS,
    Border,
    Captured,
    Outcome,
    Unsupported,
    agreements,
    check,
    pullback,
    right_as_stopped,
    run,
)
from jax import lax
from jax_functions import CASES, QUICK, RANDOM, n, u

CLOSE = 1e-9  # relative: two orders of the same sums, in float64

COVERAGE = run_path(str(Path(__file__).with_name("jax_coverage.py")))
ROUNDED = {"float32": 1e-5, "dot_product_attention": 1e-5, "bfloat16": 2e-2}  # casts that the program does not do

VERSION = tuple(int(part) for part in jax.__version__.split(".")[:3])
NAMED = (0, 5, 1)  # the first whose jaxprs know what a custom function is called
# JAX before these has no derivative of theirs, or another primitive.
SINCE = {"names and places": (0, 5, 1), "groups of rows": (0, 5, 3), "three diagonals": (0, 5, 1)}


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order_of_the_tests() -> None:
    RANDOM.bit_generator.state = np.random.default_rng(7).bit_generator.state


def assert_computes_what_jax_did(captured: Captured, precision: float = CLOSE) -> None:
    results = run([*captured.outputs, *(g for g in captured.gradients if g is not None)], captured.given, FLOATS)
    assert len(results) == len(captured.ran)
    for ours, theirs in zip(results, captured.ran, strict=True):
        assert theirs is not None
        # whether the translation is right at all; rounding is not judged here
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=precision * max(1e-300, np.abs(theirs).max(initial=0)))


def at_border(captured: Captured, border: Border) -> list[Outcome]:
    """Of a custom rule by itself."""
    ours = pullback(border.outputs, [x for x in border.arrived if x is not None], border.inputs)
    return [a.outcome for a in agreements(captured, ours, border.gradients, border.inputs)]


def outcomes(function: Callable[..., Any], *inputs: Any) -> list[Outcome]:
    return [a.outcome for a in check(capture(function, inputs))]


@pytest.mark.sampled(16)
@pytest.mark.parametrize("name", CASES)
def test_the_program_is_what_jax_computed_and_its_gradient_the_chain_rules(name: str, quick: bool) -> None:
    if quick and name not in QUICK:
        pytest.skip("slow: tox runs it, and so does pytest --slow")
    if SINCE.get(name, VERSION) > VERSION:
        pytest.skip(f"JAX {jax.__version__} does not have it")
    function, inputs = CASES[name]
    captured = capture(function, inputs)
    assert captured.inputs
    assert captured.outputs
    assert_computes_what_jax_did(captured, ROUNDED.get(name, CLOSE))
    assert [a.outcome for a in check(captured)] == [Outcome.EQUAL] * len(captured.inputs)
    for border in captured.borders:
        assert set(at_border(captured, border)) <= {Outcome.EQUAL, Outcome.KINK}, border.name
        forward = agreements(captured, border.outputs, border.again, border.outputs)
        assert {a.outcome for a in forward} == {Outcome.EQUAL}, border.name


def primitives(jaxpr: Any) -> set[str]:
    """The names of all primitives in it, those of inner jaxprs too."""
    found = set()
    for eqn in jaxpr.eqns:
        found.add(eqn.primitive.name)
        for parameter in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr")):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                found |= primitives(inner)
    return found


def test_every_primitive_that_the_tables_have_is_in_a_case(slow: None) -> None:
    met: set[str] = set()
    with enable_x64(True):
        for name, (function, inputs) in CASES.items():
            if SINCE.get(name, VERSION) > VERSION:
                continue
            leaves, tree = jax.tree.flatten(inputs)
            real = [k for k, x in enumerate(leaves) if isinstance(x, float) or np.asarray(x).dtype.kind == "f"]

            def outputs(
                *xs: Any, leaves: Any = leaves, tree: Any = tree, real: Any = real, function: Any = function
            ) -> Any:
                filled = [xs[real.index(k)] if k in real else x for k, x in enumerate(leaves)]
                found = jax.tree.leaves(function(*jax.tree.unflatten(tree, filled)))
                return [y for y in found if jnp.issubdtype(jnp.result_type(y), jnp.floating)]

            def both(*xs: Any, outputs: Any = outputs) -> Any:
                values, back = jax.vjp(outputs, *xs)
                return back(values)

            given = [leaves[k] for k in real]
            met |= primitives(jax.make_jaxpr(outputs)(*given).jaxpr) | primitives(jax.make_jaxpr(both)(*given).jaxpr)
    entries = (set(TABLE) & set(COVERAGE["primitives"]())) | {"scan", "while", "cond", "custom_linear_solve"}
    assert entries - met <= NOT_SHOWN


# The identity, in programs for several devices or for one particular layout, and in JAX's own tracing.
NOT_SHOWN = {
    "layout_constraint", "pvary", "reduced_vary_cast_p", "reshard", "sharding_constraint", "tie",
    "with_memory_space_constraint",
}  # fmt: skip


def test_the_table_of_coverage_is_about_primitives_that_jax_has() -> None:
    found = {name: COVERAGE["covered"](name, module)[0] for name, module in COVERAGE["primitives"]().items()}
    assert sum(how != COVERAGE["NOT"] for how in found.values()) >= 120
    assert found["svd"] == COVERAGE["NOT"]


# ------------------------------------------------------------------------------------------------ wrong rules


def layer_norm(wrong_forward: float = 0.0, wrong_backward: float = 0.0) -> Callable[..., Any]:
    """Somebody's layer norm, with a rule that lacks its last term in this proportion."""

    def plain(x: Any, times: int) -> Any:
        centred = x - x.mean()
        return times * centred / jnp.sqrt((centred**2).mean())

    function = jax.custom_vjp(plain)

    def forward(x: Any, times: int) -> Any:
        y = plain(x, times)
        return y * (1 + wrong_forward), (y / times, jnp.sqrt(x.var()), times)

    def backward(saved: Any, g: Any) -> Any:
        y, deviation, times = saved
        return times / deviation * (g - g.mean() - (1 - wrong_backward) * y * (g * y).mean()), None

    function.defvjp(forward, backward)
    return function


@pytest.mark.sampled(4, 1)
@pytest.mark.parametrize("far", [1.0, 2.0**-30])
def test_a_wrong_custom_vjp_is_found_at_its_border(far: float) -> None:
    right, wrong = layer_norm(), layer_norm(wrong_backward=far)

    def network(x: Any) -> Any:
        x = jnp.tanh(right(x, 2))
        return wrong(x, 3) + wrong(x, 1)

    captured = capture(network, (n(5),))
    assert_computes_what_jax_did(captured)
    assert [a.outcome for a in check(captured)] == [Outcome.DIFFERENT]
    found = [at_border(captured, border)[0] for border in captured.borders]
    assert found == [Outcome.EQUAL, Outcome.DIFFERENT, Outcome.DIFFERENT]
    first = network.__code__.co_firstlineno
    assert [(b.origin.file, b.origin.line - first) for b in captured.borders] == [
        (__file__, 1),
        (__file__, 2),
        (__file__, 2),
    ]
    assert {b.name for b in captured.borders} == {"plain" if VERSION >= NAMED else "custom function"}


@pytest.mark.usefixtures("slow")
def test_a_forward_pass_of_the_rule_that_gives_other_values_is_found() -> None:
    captured = capture(lambda x: layer_norm(wrong_forward=1e-12)(x, 1), (n(4),))
    (border,) = captured.borders
    assert [a.outcome for a in agreements(captured, border.outputs, border.again, border.outputs)] == [
        Outcome.DIFFERENT
    ]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("factor", [1.0, 1.000001])
def test_a_custom_jvp_is_judged_too(factor: float) -> None:
    swish: Any = jax.custom_jvp(lambda x: x / (1 + jnp.exp(-x)))
    swish.defjvps(lambda t, y, x: t * factor * (y + (1 - y) / (1 + jnp.exp(-x))))

    def network(x: Any) -> Any:
        return lax.scan(lambda c, y: (swish(c * y), c), 1.0, x)[0]

    captured = capture(network, (u(3),))
    expected = Outcome.EQUAL if factor == 1 else Outcome.DIFFERENT
    # d(x·s) = s + x·s·(1 − s): with y = x·s that is y + s·(1 − y)
    assert [a.outcome for a in check(captured)] == [expected]
    (border,) = captured.borders  # of three rounds of one loop, the first
    assert at_border(captured, border) == [expected]


def test_the_same_operand_twice_is_two_operands_at_the_border() -> None:
    product: Any = jax.custom_vjp(lambda x, y: x * y)
    product.defvjp(lambda x, y: (x * y, (x, y)), lambda saved, g: (g * saved[1], g * saved[0]))
    captured = capture(lambda x: product(x, x) + product(x, jnp.sin(x)), (n(3),))
    for border in captured.borders:
        assert at_border(captured, border) == [Outcome.EQUAL, Outcome.EQUAL]


# ------------------------------------------------------------------------------------------------ known of JAX


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("predicate", [1, 2**32 - 1])
def test_select_by_a_number_out_of_range_has_no_gradient(predicate: int) -> None:
    """jax-ml/jax #10993: the value is one of the cases, and nothing goes back to it. In 0.12 it does."""

    def select(x: Any, y: Any) -> Any:
        return lax.select(jnp.array(predicate, jnp.uint32), x, y)

    x, y = n(2), n(2)
    right = any(g.any() for g in jax.grad(lambda *both: select(*both).sum(), (0, 1))(x, y))
    captured = capture(select, (x, y))
    assert_computes_what_jax_did(captured)
    assert all(a.outcome is Outcome.EQUAL for a in check(captured)) == right
    assert right or predicate != 1


@pytest.mark.usefixtures("slow")
def test_at_a_kink_any_gradient_that_may_be_taken_is_right() -> None:
    """jax-ml/jax #13600, #37821: at a tie `max` gives half to each."""
    x = np.array([0.0, 1.0])
    assert outcomes(lambda x: jnp.maximum(x, 0.0), x) == [Outcome.KINK]
    assert outcomes(jax.nn.relu, x) == [Outcome.KINK]
    assert outcomes(lambda x: x.max(), np.array([1.0, 1.0, 0.5])) == [Outcome.KINK]
    assert outcomes(jnp.abs, x) == [Outcome.KINK]


def test_a_stopped_gradient_is_told_and_may_be_left_out() -> None:
    def straight_through(x: Any) -> Any:
        return x + lax.stop_gradient(jnp.tanh(3 * x) - x)

    captured = capture(straight_through, (n(4),))
    assert [a.outcome for a in check(captured)] == [Outcome.DIFFERENT]
    line = straight_through.__code__.co_firstlineno + 1
    assert [(stop.name, stop.file, stop.line) for stop in captured.stops] == [("stop_gradient", __file__, line)]
    assert right_as_stopped(captured)


# ------------------------------------------------------------------------------------------------ what is told


@pytest.mark.usefixtures("slow")
def test_lines_are_the_users() -> None:
    def function(x: Any) -> Any:
        y = jnp.sin(x)
        return jax.nn.softmax(y)

    captured = capture(function, (n(3),))
    origins = {node.origin.name: node.origin for node in captured.program.nodes}
    first = function.__code__.co_firstlineno
    assert (origins["sin"].file, origins["sin"].line) == (__file__, first + 1)
    assert (origins["exp"].file, origins["exp"].line) == (__file__, first + 2)


@pytest.mark.sampled(4, 2)
@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: jnp.linalg.cholesky(jnp.outer(x, x) + 1j), "cholesky"),
        (lambda x: jnp.linalg.eigh(jnp.outer(x, x))[1], "eigh"),
        (lambda x: jnp.frexp(x)[0], "bitcast_convert_type"),
        (lambda x: jax.random.gamma(jax.random.key(0), x), "random_gamma"),
    ],
)
def test_what_is_not_covered_says_so_with_the_line(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(Unsupported, match=f"{named}.*{Path(__file__).name}:{function.__code__.co_firstlineno}"):
        capture(function, (u(4),))


def test_python_that_decides_by_a_number_is_not_covered() -> None:
    with pytest.raises(Unsupported, match="Python decides by a number"):
        capture(lambda x: x if x.sum() > 0 else -x, (n(3),))


def test_narrow_formats_stay_what_they_are() -> None:
    """Without 64 bits, JAX's own constants are float32; a cast is told, and the program does not round."""
    captured = capture(lambda x: (x * jnp.linspace(0, 1, 3)).astype(jnp.bfloat16), (n(3).astype(np.float32),))
    assert len(captured.notes) == 1
    assert "convert_element_type to bfloat16 rounds" in captured.notes[0]
    assert [a.outcome for a in check(captured)] == [Outcome.EQUAL]


def test_whole_numbers_are_what_they_are() -> None:
    captured = capture(lambda x, k, flag: x[k] * k if flag else x, (n(3, 2), 2, True))
    assert len(captured.inputs) == len(captured.gradients) == 1
    assert captured.outputs[0].shape == (2,)
