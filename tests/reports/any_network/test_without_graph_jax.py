"""JAX functions without a graph: the path and field tests answer, and say that they do."""

from __future__ import annotations

from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.adapters.jax_grad import enable_x64
from backproof.jax import check_grads
from backproof.reference.case import InvalidInput
from backproof.reports.any_network import OnlyAlongPaths, WrongRule

jnp = jax.numpy


def drawn(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def outside(function: Any, *operands: Any) -> Any:
    x = operands[0]
    return jax.pure_callback(
        lambda *a: function(*map(np.asarray, a)), jax.ShapeDtypeStruct(x.shape, x.dtype), *operands
    )


def sine(forward: bool, backward: bool, factor: float) -> Any:
    """sin(x); which pass is called back from JAX, and a factor in the backward."""

    def plain(x: Any) -> Any:
        return outside(np.sin, x) if forward else jnp.sin(x)

    function = jax.custom_vjp(plain)
    function.defvjp(
        lambda x: (plain(x), x), lambda x, g: ((g * (outside(np.cos, x) if backward else jnp.cos(x)) * factor),)
    )
    return function


def pushed(factor: float) -> Any:
    """The same with a rule for forward mode."""
    function = jax.custom_jvp(lambda x: outside(np.sin, x))
    function.defjvp(lambda points, moved: (function(*points), moved[0] * jnp.cos(points[0]) * factor))
    return function


def branching(factor: float) -> Any:
    """Python decides by a number, which cannot be traced."""
    custom = sine(False, False, factor)
    return lambda x: custom(x) if x.sum() > 100 or x[0] != 0 else x


FUNCTIONS: dict[str, Any] = {
    "forward": (lambda factor: sine(True, False, factor), "numbers leave the graph at pure_callback"),
    "backward": (lambda factor: sine(False, True, factor), "numbers leave the graph at pure_callback"),
    "both": (lambda factor: sine(True, True, factor), "numbers leave the graph at pure_callback"),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_paths_and_loops_answer_and_it_is_said(name: str) -> None:
    function, where = FUNCTIONS[name]
    with enable_x64(True):
        report = bp.verify(function(1.0), drawn(5))
        with pytest.warns(OnlyAlongPaths, match="the path test answers"):
            check_grads(function(1.0), (drawn(5),), 1, "rev")
        words = " ".join(str(report).split())
        assert report.ok
        assert f"no graph to be had: {where}" in words
        assert "the path test answers, which sees an error of" in words
        assert "and the field test, which sees" in words
        with pytest.raises(WrongRule, match=r"0\.990099"):
            bp.verify(function(1.01), drawn(5)).raise_for_wrong()
        with pytest.raises(WrongRule, match=r"0\.990099"):
            check_grads(function(1.01), (drawn(5),), 1, "rev")


@pytest.mark.usefixtures("slow")
def test_python_that_decides_by_a_number_is_followed_as_it_runs() -> None:
    with enable_x64(True):
        report = bp.verify(branching(1.0), drawn(2))
        assert report.ok
        words = " ".join(str(report).split())
        assert "no graph to be had: Python decides by a number, which JAX cannot trace" in words
        assert "the path test answers" in words
        assert bp.verify(branching(1.01), drawn(2)).verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_forward_mode_is_asked_along_paths() -> None:
    with enable_x64(True):
        with pytest.warns(OnlyAlongPaths, match="tangent in forward mode adds up"):
            check_grads(pushed(1.0), (drawn(3),), 1, "fwd")
        with pytest.raises(WrongRule, match="tangent in forward mode"):
            check_grads(pushed(1.01), (drawn(3),), 1, "fwd")
    with pytest.raises(InvalidInput, match="can't apply forward-mode autodiff"):
        check_grads(sine(True, False, 1.0), (drawn(3),), 1, "fwd")
