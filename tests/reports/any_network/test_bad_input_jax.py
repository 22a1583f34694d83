"""Bad input to JAX's doors: one clear line each, never a traceback of ours and never a wrong verdict."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")
np = pytest.importorskip("numpy")

import backproof as bp
from backproof.adapters.jax_grad import enable_x64
from backproof.jax import check_grads, check_numbers
from backproof.reference.case import InvalidInput
from backproof.reference.programs import Unsupported
from backproof.reports.any_network import NotDecided

jnp = jax.numpy


def drawn(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def twice(function: Any, inputs: Any) -> None:
    check_grads(function, inputs, 2)


def once(function: Any, inputs: Any) -> None:
    check_grads(function, inputs, 1, "rev")


DOORS: dict[str, Callable[..., Any]] = {"once": once, "twice": twice, "verify": bp.verify}


@dataclass
class Held:
    x: Any


def raising(x: Any) -> Any:
    raise KeyError("weights")


def ruled(backward: Any) -> Any:
    """x · 2 with this backward."""

    def function(x: Any) -> Any:
        return x * 2

    custom = jax.custom_vjp(function)
    custom.defvjp(lambda x: (x * 2, None), lambda _, g: backward(g))
    return custom


def unable(g: Any) -> Any:
    raise ValueError("no backward here")


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "whole numbers": (lambda x: x * 2, (np.arange(5),), r"got int\d+ of shape 5"),
    "nan": (jnp.sin, (np.array([1, np.nan], np.float32),), r"input 0: expected finite numbers.* nan at \[1\]"),
    "complex": (jnp.linalg.cholesky, (np.eye(3, dtype=np.complex64),), "cholesky of complex numbers is not covered"),
    "no numbers": (lambda x: x * 2, (jax.ShapeDtypeStruct((3,), np.float32),), "input 0: expected numbers"),
    "no function": (3, (drawn(3),), "got int"),
    "too few": (lambda x, y: x * y, (drawn(3),), "it raised TypeError: .*missing 1 required positional argument"),
    "too many": (lambda x: x, (drawn(3), drawn(3)), "it raised TypeError"),
    "shapes": (lambda x: x @ x, (drawn(2, 3),), "it raised TypeError: dot_general"),
    "raises": (raising, (drawn(3),), r"raising: it raised KeyError: 'weights' \(test_bad_input_jax.py:\d+\)"),
    "ends": (lambda x: sys.exit(3), (drawn(3),), "it raised SystemExit: 3"),
    "not covered": (lambda x: jnp.linalg.eigh(x @ x.T)[0], (drawn(3, 3),), "eigh is not covered"),
    "backward raises": (ruled(unable), (drawn(3),), "it raised ValueError: no backward here"),
    "backward's shape": (ruled(lambda g: (g.sum(),)), (drawn(3),), "it raised ValueError: Custom VJP bwd rule"),
    "backward's count": (ruled(lambda g: (g, g)), (drawn(3),), "it raised TypeError: Custom VJP bwd rule"),
}


@pytest.mark.sampled(6)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_looked_at_is_refused_in_a_line(name: str, door: str) -> None:
    function, inputs, words = REFUSED[name]
    with pytest.raises((InvalidInput, Unsupported), match=words) as raised:
        DOORS[door](function, inputs)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("args", [drawn(3), {"x": drawn(3)}, None, "abc"], ids=["array", "dict", "none", "str"])
def test_arguments_are_a_tuple(args: Any) -> None:
    with pytest.raises(InvalidInput, match="expected a tuple of the arguments"):
        check_grads(lambda x: x, args, 1)


UNDECIDED: dict[str, tuple[Any, str]] = {
    "positions": (jnp.argmax, "none of its outputs"),
    "constant": (lambda x: jnp.ones(3), "none of its outputs"),
    "a number": (lambda x: 3.0, "none of its outputs"),
    "nothing": (lambda x: None, "none of its outputs"),
    "held": (lambda x: Held(x * 2), r"tuples, lists\s+or\s+dicts"),
    "nan": (lambda x: jnp.log(-(x * x)), r"output 0 is nan at \[0\], by log"),
}


@pytest.mark.sampled(4)
@pytest.mark.parametrize("mode", ["rev", "fwd"])
@pytest.mark.parametrize("name", UNDECIDED)
def test_what_has_no_answer_is_undecided_and_says_why(name: str, mode: str) -> None:
    function, words = UNDECIDED[name]
    with pytest.raises(NotDecided, match=words):
        check_grads(function, (drawn(3),), 1, mode)


@pytest.mark.usefixtures("slow")
def test_a_gradient_that_is_no_number_where_the_right_one_is_is_wrong() -> None:
    report = bp.verify(ruled(lambda g: (g * jnp.nan,)), drawn(3))
    assert report.verdict == "wrong"
    assert "seen              nan" in str(report)


def branching(x: Any) -> Any:
    return x * 2 if x.sum() > 0 else jnp.sin(x)


@pytest.mark.usefixtures("slow")
def test_the_line_is_said_where_python_decides() -> None:
    with enable_x64(True):
        report = bp.verify(branching, drawn(5).astype(np.float64))
    assert report.ok
    assert "(test_bad_input_jax.py:" in str(report)


@pytest.mark.usefixtures("slow")
def test_branches_and_rounds_are_said() -> None:
    def cond(x: Any) -> Any:
        return jax.lax.cond(x.sum() > 0, lambda x: x * 2, jnp.sin, x)

    assert "branch 1 of 2 was taken" in str(bp.verify(cond, np.ones(3, np.float32)))

    def rounds(x: Any, n: Any) -> Any:
        return x * jax.lax.while_loop(lambda k: k < n, lambda k: k + 1, 0)

    assert "a loop went round 3 times" in str(bp.verify(rounds, (drawn(3), np.int32(3))))


@pytest.mark.usefixtures("slow")
def test_what_changes_from_call_to_call_is_told() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(NotDecided, match=r"other\s+numbers\s+each\s+time"):
        check_grads(lambda x: x * float(generator.uniform(1, 2)), (drawn(3),), 1)


@pytest.mark.usefixtures("slow")
def test_words_functions_and_plain_numbers_among_the_arguments() -> None:
    check_grads(lambda x, word, f, n: f(x) * n if word == "sum" else x, (drawn(3), "sum", jnp.sin, 2), 2)
    check_grads(lambda x: (x * 2, "a"), (1.5,), 2)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
def test_narrow_formats(dtype: str) -> None:
    check_grads(lambda x: x.astype(np.float32) * 2, (jnp.asarray(drawn(3)).astype(dtype),), 1, "rev")


def test_what_has_no_forward_mode_says_what_to_do() -> None:
    with pytest.raises((Unsupported, InvalidInput), match="custom_vjp"):
        check_grads(ruled(lambda g: (2 * g,)), (drawn(3),), 1)


def test_of_its_numbers_too_a_line_says_what_a_function_raises_and_what_is_not_covered() -> None:
    def raising(x: Any) -> Any:
        raise ValueError("no such thing")

    with pytest.raises(InvalidInput, match=r"raising: it raised ValueError: no such thing \(test_bad_input_jax"):
        check_numbers(raising, (drawn(3),))
    with pytest.raises(InvalidInput, match=r"it raised NotImplementedError: .*JVP"):  # JAX has no gradient of it
        check_numbers(lambda x: x.at[0].apply(jnp.sin), (drawn(3),))


@pytest.mark.usefixtures("slow")
def test_rule_and_numbers_in_one_report() -> None:
    """In float64 too, and in every version of JAX: this file needs no PyTorch."""
    for dtype in ("float32", "float64"):
        with enable_x64(dtype == "float64"):
            report = bp.verify(lambda x: jnp.tanh(x).sum(), drawn(3).astype(dtype), numbers=True)
        assert report.ok
        assert {r.precision for r in report.numbers.run.results} == {dtype}


NO_RULE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "complex numbers": (lambda x: jnp.tanh(jnp.abs(jax.lax.complex(x, 2 * x))), "complex"),
    "fft": (lambda x: jnp.tanh(jnp.abs(jnp.fft.rfft(jnp.sin(x)))), "fft"),
    "svd": (lambda x: jnp.tanh(jnp.linalg.svd(2 * x, compute_uv=False)), "svd"),
}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(5)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", NO_RULE)
def test_what_has_no_rule_is_taken_as_it_came_in_a_run(name: str, compiled: bool) -> None:
    function, said = NO_RULE[name]
    report = check_numbers(jax.jit(function) if compiled else function, (drawn(3, 4),))
    assert report.ok, report
    assert any(taken.startswith(said) for taken in report.run.taken)
    judged = {r.origin.name: r.verdict.value for r in report.run.results}
    assert judged["tanh"] == "agrees", "what has a rule is judged"
    whole = {verdict for origin, verdict in judged.items() if origin.startswith("compiled")}
    assert whole == ({"undecided"} if compiled else set()), "another run's numbers say nothing of the compiled one's"
