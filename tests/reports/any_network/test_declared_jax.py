"""Surrogates in JAX: a custom rule that is meant though it is not the chain rule's."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.jax import check_grads
from backproof.reports.any_network import NotDecided, WrongRule

jnp = jax.numpy
named = pytest.mark.skipif(
    tuple(int(part) for part in jax.__version__.split(".")[:3]) < (0, 5, 1),
    reason="JAX before 0.5.1 does not keep what a custom function is called",
)


def drawn(*shape: int) -> Any:
    return 3 * np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@jax.custom_vjp
def rounded(x: Any) -> Any:
    return jnp.round(x)


rounded.defvjp(lambda x: (jnp.round(x), None), lambda _, g: (g,))


@jax.custom_vjp
def turned(x: Any) -> Any:
    return x


turned.defvjp(lambda x: (x, None), lambda _, g: (-0.5 * g,))


@jax.custom_jvp
def straight(x: Any) -> Any:
    return jnp.round(x)


straight.defjvp(lambda points, tangents: (jnp.round(points[0]), tangents[0]))


@jax.custom_vjp
def tripled(x: Any) -> Any:
    return x * x


tripled.defvjp(lambda x: (x * x, x), lambda x, g: (3 * g * x,))


def scanned(x: Any) -> Any:
    return jax.lax.scan(lambda c, e: (rounded(c * 1.3 + e), turned(c) * e), x[0], x)


SURROGATES: dict[str, tuple[Any, Any]] = {
    "among others": (lambda x: jnp.sin(rounded(x @ x.T)) @ x, rounded),
    "by its name": (lambda x: jnp.sin(turned(x * x)) + x, "turned"),
    "twice": (lambda x: jnp.cos(turned(jnp.sin(turned(x)))) * x, turned),
    "custom_jvp in jit": (jax.jit(lambda x: straight(x) * x), straight),
    "in a scan": (scanned, [rounded, turned]),
}


@named
@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_wrong_unless_it_is_declared_and_told_if_it_is(name: str) -> None:
    function, surrogate = SURROGATES[name]
    with pytest.raises(WrongRule):
        check_grads(function, (drawn(4, 3),), 1, "rev")
    check_grads(function, (drawn(4, 3),), 1, "rev", surrogate=surrogate)
    report = bp.verify(function, drawn(4, 3), surrogate=surrogate)
    assert "but for what is declared a surrogate" in " ".join(str(report).split())


@pytest.mark.usefixtures("slow")
@named
def test_a_mistake_around_a_surrogate_is_found() -> None:
    for function in (lambda x: tripled(rounded(x)), lambda x: rounded(tripled(x))):
        report = bp.verify(function, drawn(4, 3), surrogate=rounded)
        assert report.verdict == "wrong"
        assert "in the backward of tripled" in str(report)


@pytest.mark.usefixtures("slow")
def test_stopped_is_an_argument_of_every_door() -> None:
    def function(x: Any) -> Any:
        return x + jax.lax.stop_gradient(jnp.round(x) - x)

    with pytest.raises(NotDecided, match="stops a gradient"):
        check_grads(function, (drawn(3),), 1, "rev")
    check_grads(function, (drawn(3),), 1, "rev", stopped=True)
    assert bp.verify(function, drawn(3), stopped=True).ok
