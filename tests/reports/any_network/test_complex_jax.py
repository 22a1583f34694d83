"""Networks of JAX's that go through complex numbers: right and wrong."""

from __future__ import annotations

from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")

import backproof as bp
import jax.numpy as jnp
import numpy as np
from backproof.adapters.jax_grad import enable_x64
from backproof.jax import check_grads, check_numbers
from backproof.reference.programs import Unsupported


def drawn(*shape: int, of_complex: bool = False) -> Any:
    generator = np.random.default_rng(sum(shape))
    real = generator.standard_normal(shape).astype(np.float32)
    return (real + 1j * generator.standard_normal(shape)).astype(np.complex64) if of_complex else real


def turning(x: Any) -> Any:
    """Rotary position embedding."""
    pairs = x.reshape(*x.shape[:-1], -1, 2)
    turned = jax.lax.complex(pairs[..., 0], pairs[..., 1]) * jnp.exp(1j * jnp.arange(2.0))
    return jnp.stack([turned.real, turned.imag], -1).reshape(x.shape)


def spectral(weights: Any, x: Any) -> Any:
    """A layer of a Fourier neural operator. Source: Li and others, ICLR (2021), section 4."""
    modes = jnp.fft.rfft(x)
    modes = modes.at[:, :2].set(jnp.einsum("bi,io->bo", modes[:, :2], weights))
    return jnp.fft.irfft(modes, n=x.shape[-1])


def state_space(eigenvalues: Any, x: Any) -> Any:
    """A diagonal state space layer. Source: Gu and others, NeurIPS (2022), Parameterization of Diagonal SSMs."""

    def step(state: Any, u: Any) -> Any:
        state = eigenvalues * state + u
        return state, 2 * state.real.sum()

    return jax.lax.scan(step, jnp.zeros_like(eigenvalues), x)[1]


RIGHT: dict[str, tuple[Any, Any]] = {
    "rotary embedding": (turning, (drawn(3, 4),)),
    "Fourier mixing": (lambda x: jnp.tanh(jnp.fft.fft2(x).real), (drawn(3, 4),)),
    "a Fourier neural operator": (spectral, (drawn(2, 2, of_complex=True), drawn(4, 6))),
    "a state space layer": (state_space, (drawn(3, of_complex=True), drawn(5))),
    "complex in and out": (lambda z: z.conj() * jnp.tanh(z) / (2 + z), (drawn(3, of_complex=True),)),
    "powers": (lambda z: z**3 + z**-2 + jnp.sqrt(z) + z ** (0.3 + 1j), (drawn(3, of_complex=True),)),
    "products": (
        lambda z: jax.lax.associative_scan(jnp.multiply, jnp.outer(z, z.conj()) @ z),
        (drawn(3, of_complex=True),),
    ),
    "a branch": (
        lambda z: jax.lax.cond(z[0].real < 9, lambda z: z * 1j, lambda z: z, z),
        (drawn(3, of_complex=True),),
    ),
    "transforms": (
        lambda x: jnp.abs(jnp.fft.ifft(jnp.fft.ihfft(jnp.fft.hfft(x, 6)), norm="ortho")),
        (drawn(4),),
    ),
}


@pytest.mark.sampled(9, 4)
@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_agree(name: str) -> None:
    function, inputs = RIGHT[name]
    report = bp.verify(function, inputs)
    assert report.ok, report


def custom(forward: Any, backward: Any) -> Any:
    function = jax.custom_vjp(forward)
    function.defvjp(lambda z: (forward(z), z), lambda z, g: (backward(g, z),))
    return function


# the forward, a right backward, a wrong one, and what a right name of the mistake holds: JAX's gradients are conjugates
MISTAKES: dict[str, tuple[Any, Any, Any, str]] = {
    "a conjugate too many": (
        lambda z: z * z, lambda g, z: 2 * g * z, lambda g, z: 2 * g * z.conj(), "conj",
    ),
    "the transform's scale forgotten": (
        lambda z: 1 * jnp.fft.ifft(z),
        lambda g, z: jnp.fft.ifft(g),
        lambda g, z: jnp.fft.ifft(g, norm="forward"),
        "multiplied by 3",
    ),
    "PyTorch's convention": (
        lambda z: 1 * jnp.fft.ifft(z), lambda g, z: jnp.fft.ifft(g), lambda g, z: jnp.fft.fft(g, norm="forward"), "",
    ),
}  # fmt: skip


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_and_its_right_twin_is_not(name: str) -> None:
    forward, right, wrong, words = MISTAKES[name]
    report = bp.verify(lambda z: jnp.abs(custom(forward, right)(z)), drawn(3, of_complex=True))
    assert report.ok, report
    report = bp.verify(lambda z: jnp.abs(custom(forward, wrong)(z)), drawn(3, of_complex=True))
    assert report.verdict == "wrong", report
    assert words in " ".join(str(report).split()), report


@pytest.mark.usefixtures("slow")
def test_the_door_of_jax_s_own_check_takes_them_forward_and_back() -> None:
    with enable_x64(True):
        check_grads(lambda z: jnp.abs(z * z), (drawn(3, of_complex=True).astype(np.complex128),), order=2)


def test_in_a_run_they_are_taken_as_they_came() -> None:
    report = check_numbers(lambda z: jnp.tanh(jnp.abs(z * z)), (drawn(3, of_complex=True),))
    assert report.ok, report
    assert any("mul" in name for name in report.run.taken), report
    assert any("tanh" in str(r.origin) for r in report.run.results), "what is real is judged"


def test_what_has_no_rule_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="cholesky of complex numbers is not covered"):
        bp.verify(lambda z: jnp.abs(jnp.linalg.cholesky(z)), drawn(2, 2, of_complex=True))
