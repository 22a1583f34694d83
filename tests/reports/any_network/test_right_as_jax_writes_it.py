"""Right code of JAX's own ways: loops, sums and checks under vmap, operations that decide and have no gradient."""

from __future__ import annotations

import re
from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")

import backproof as bp
import jax.numpy as jnp
import numpy as np
from backproof.jax import check_numbers
from backproof.reference.programs import Unsupported


def drawn(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def doubled_until_large(x: Any) -> Any:
    """Each its own number of rounds, and a whole number that counts them."""
    start = (x * x + 0.1, 0)
    y, rounds = jax.lax.while_loop(lambda s: s[0] < 5, lambda s: (s[0] * (1.5 + x * x), s[1] + 1), start)
    return y + rounds


def turned_until_large(x: Any) -> Any:
    start = jax.lax.complex(x * x + 0.1, x)
    return jnp.abs(jax.lax.while_loop(lambda z: jnp.abs(z) < 5, lambda z: z * jax.lax.complex(1.5, x), start))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("loop", [doubled_until_large, turned_until_large])
def test_a_loop_under_vmap_keeps_what_is_done(loop: Any) -> None:
    """JAX has no backward of it; with a rule of its own, which is that of each element by itself, it is one."""
    x = np.array([0.6, 1.1, 2.5], np.float32)
    batched = jax.vmap(loop)

    ruled = jax.custom_vjp(batched)
    ruled.defvjp(lambda x: (batched(x), x), lambda x, g: (g * jax.jvp(batched, (x,), (jnp.ones_like(x),))[1],))
    report = bp.verify(ruled, x)
    assert report.ok, report
    assert "a loop went round" in str(report)


def test_a_loop_under_vmap_that_no_gradient_goes_through() -> None:
    def counted(x: Any) -> Any:
        rounds = jax.lax.while_loop(lambda c: c < x, lambda c: c + 1.0, 0.0)
        return jax.lax.stop_gradient(rounds) * 0 + jnp.sin(x)

    report = bp.verify(jax.vmap(counted), np.array([0.5, 2.5], np.float32))
    assert report.ok, report


@pytest.mark.sampled(2, 1)
@pytest.mark.parametrize("of", [jax.lax.psum, jax.lax.pmean])
def test_a_sum_over_a_vmapped_axis_is_a_sum(of: Any) -> None:
    """Batch normalisation in flax and equinox."""

    def normalised(x: Any) -> Any:
        centred = x - of(x, "batch")
        return centred / jnp.sqrt(of(centred * centred, "batch") + 0.1)

    report = bp.verify(jax.vmap(normalised, axis_name="batch"), drawn(4, 3))
    assert report.ok, report
    assert check_numbers(jax.vmap(normalised, axis_name="batch"), (drawn(4, 3),)).ok


def test_an_operation_without_a_rule_that_only_decides_is_no_reason_to_refuse() -> None:
    """As distributions check that a covariance is positive."""

    def checked(x: Any) -> Any:
        covariance = jnp.outer(x, x) + jnp.eye(3)
        return jnp.where(jnp.all(jnp.linalg.eigh(covariance)[0] > 0), jnp.sin(x), jnp.nan)

    report = bp.verify(checked, drawn(3))
    assert report.ok, report
    with pytest.raises(Unsupported, match="eigh is not covered"):
        bp.verify(lambda x: jnp.sin(jnp.linalg.eigh(jnp.outer(x, x) + jnp.eye(3))[0]), drawn(3))


@pytest.mark.usefixtures("slow")
def test_a_fixed_point_s_report_says_what_to_declare() -> None:
    def iterated(a: Any) -> Any:
        start = (jnp.float32(0.5), jnp.float32(1.0))
        return jax.lax.while_loop(lambda s: jnp.abs(s[0] - s[1]) > 1e-3, lambda s: (jnp.cos(a * s[0]), s[0]), start)[0]

    fixed = jax.custom_vjp(iterated)

    def backward(kept: Any, g: Any) -> Any:
        a, x = kept
        slope = -jnp.sin(a * x)
        return (g * slope * x / (1 - slope * a),)

    fixed.defvjp(lambda a: (iterated(a), (a, iterated(a))), backward)
    report = bp.verify(fixed, np.float32(0.7))
    assert report.verdict == "wrong", "what the loop has come to is not there yet"
    declared = re.search("say surrogate='([^']+)'", " ".join(str(report).split()))
    assert declared, report
    assert bp.verify(fixed, np.float32(0.7), surrogate=declared[1]).ok


def log_of_the_normal_distribution(x: Any) -> Any:
    return jax.scipy.special.log_ndtr(x)


@pytest.mark.usefixtures("slow")
def test_jaxs_derivative_of_what_it_approximates() -> None:
    """From 5 on it cuts a series off in float32, and gives the derivative of the whole."""
    report = bp.verify(log_of_the_normal_distribution, np.array([1.42, 5.3], np.float32))
    assert report.ok, report
    assert "but for the framework's own log_ndtr" in " ".join(str(report).split())


def _square(x: Any) -> Any:
    return x * x


square = jax.custom_jvp(_square)
square.defjvps(lambda t, y, x: x * t)  # 2 is missing


def log_ndtr(x: Any) -> Any:
    return jnp.log(jax.scipy.special.ndtr(x))


own = jax.custom_jvp(log_ndtr)  # a user's, of the same name
own.defjvps(lambda t, y, x: 1.001 * jnp.exp(-x * x / 2 - y) / np.float32(np.sqrt(2 * np.pi)) * t)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("function", [lambda x: square(jax.scipy.special.log_ndtr(x)), own, lambda x: own(square(x))])
@pytest.mark.sampled(1)
def test_what_is_wrong_beside_jaxs_own_is_wrong(function: Any) -> None:
    assert bp.verify(function, np.array([0.3, 2.2], np.float32)).verdict == "wrong"


SPD = np.array([[4.0, 1, 0.5], [1, 3, -0.4], [0.5, -0.4, 2]])


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(1)
@pytest.mark.parametrize("lower", [True, False])
def test_one_triangle_of_a_symmetric_input(lower: bool) -> None:
    def solved(s: Any, b: Any) -> Any:
        return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(s, lower=lower), b)

    report = bp.verify(solved, [SPD, np.arange(3.0)])
    assert report.ok, report
    assert "for changes that leave the matrix symmetric, as it is" in " ".join(str(report).split())

    def off(s: Any, b: Any) -> Any:
        return square(solved(s, b))

    assert bp.verify(off, [SPD, np.arange(3.0)]).verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_a_solver_that_is_told_that_its_matrix_is_symmetric() -> None:
    def solved(a: Any, b: Any) -> Any:
        def by_elimination(_: Any, b: Any) -> Any:
            return jnp.linalg.solve(a, b)

        return jax.lax.custom_linear_solve(lambda x: a @ x, b, by_elimination, symmetric=True)

    report = bp.verify(solved, [SPD, np.arange(3.0)])
    assert report.ok, report
    assert "is told that its matrix is symmetric, which it is not" in " ".join(str(report).split())
    told_falsely = bp.verify(solved, [SPD + np.triu(np.ones((3, 3)), 1), np.arange(3.0)])
    assert told_falsely.verdict == "wrong", told_falsely


@pytest.mark.usefixtures("slow")
def test_a_mask_of_minus_infinity_leaves_nothing_unjudged() -> None:
    def attention(q: Any) -> Any:
        scores = q @ q.swapaxes(-1, -2)
        return jax.nn.softmax(jnp.where(np.triu(np.ones((5, 5), bool), 1), -jnp.inf, scores)) @ q

    report = check_numbers(attention, (drawn(5, 4),))
    assert report.ok, report
    assert all(r.undecided == 0 for r in report.run.results), report
