"""Networks that go through complex numbers: Fourier transforms, rotations, complex weights and inputs, right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")

import backproof as bp
from backproof.reference.programs import Unsupported
from backproof.torch import check_numbers, gradcheck, gradgradcheck


def drawn(*shape: int, dtype: Any = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, dtype=dtype, generator=generator).requires_grad_()


def turning(x: Any) -> Any:
    """Rotary position embedding, as language models write it."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    turns = torch.polar(torch.ones(3, 2), torch.arange(6.0).reshape(3, 2))
    return torch.view_as_real(pairs * turns).flatten(2).type_as(x)


class SpectralConvolution(torch.nn.Module):
    """A layer of a Fourier neural operator. Source: Li and others, ICLR (2021), section 4."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights = torch.nn.Parameter(torch.randn(2, 3, 4, dtype=torch.cfloat))

    def forward(self, x: Any) -> Any:
        modes = torch.fft.rfft(x)
        kept = torch.zeros(x.shape[0], 3, modes.shape[-1], dtype=torch.cfloat)
        kept[:, :, :4] = torch.einsum("bik,iok->bok", modes[:, :, :4], self.weights)
        return torch.fft.irfft(kept, n=x.shape[-1])


def in_place(z: Any) -> Any:
    other = z.conj().clone()
    other.mul_(2j).add_(1)
    other[1:].copy_(z[:-1])
    other.conj().imag.mul_(3)
    return torch.view_as_real(other).sum(0), other.conj().imag


RIGHT: dict[str, tuple[Any, Callable[[], Any]]] = {
    "rotary embedding": (turning, lambda: drawn(2, 3, 4, dtype=torch.float32)),
    "Fourier mixing": (lambda x: torch.fft.fft2(x).real.tanh(), lambda: drawn(2, 3, 4)),
    "a Fourier neural operator": (SpectralConvolution(), lambda: drawn(2, 2, 10, dtype=torch.float32)),
    "magnitudes of a spectrogram": (
        lambda x: torch.stft(x, 8, window=torch.hann_window(8).double(), return_complex=True).abs().log1p(),
        lambda: drawn(24),
    ),
    "transforms of every norm": (
        lambda x: (torch.fft.ihfft(torch.fft.hfft(torch.fft.ifft(x, norm="ortho"), 6), norm="forward")).abs(),
        lambda: drawn(4),
    ),
    "complex in and out": (lambda z: z.conj() * z.tanh() / (2 + z), lambda: drawn(3, dtype=torch.cdouble)),
    "in place, and views": (in_place, lambda: drawn(4, dtype=torch.cdouble)),
    "products": (
        lambda z: torch.linalg.vector_norm(z @ z.mH + torch.eye(2), dim=0) + (z**-2.5).angle().sum(),
        lambda: drawn(2, 3, dtype=torch.cdouble),
    ),
    "a state space's kernel": (
        lambda x: 2 * (torch.exp((x[0] + 1j * x[1]).unsqueeze(-1) * torch.arange(3)) * x[0].unsqueeze(-1)).sum(0).real,
        lambda: drawn(2, 4),
    ),
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_agree(name: str) -> None:
    function, made = RIGHT[name]
    report = bp.verify(function, made())
    assert report.ok, report


def test_a_module_s_complex_input_is_differentiated() -> None:
    torch.manual_seed(0)
    report = bp.verify(torch.nn.Linear(3, 2, dtype=torch.cfloat), torch.randn(2, 3, dtype=torch.cfloat))
    assert report.ok, report
    assert report.names == ("input 0", "weight", "bias")


def custom(forward: Any, backward: Any) -> Any:
    """An autograd.Function of one tensor; backward(g, z)."""

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return forward(z)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(g, *ctx.saved_tensors)

    return Custom.apply


# the forward, a right backward, a wrong one, and what a right name of the mistake holds
MISTAKES: dict[str, tuple[Any, Any, Any, str]] = {
    "the conjugate forgotten": (
        lambda z: z * z,
        lambda g, z: 2 * g * z.conj(),
        lambda g, z: 2 * g * z,
        "and not its transpose",
    ),
    "the transform's scale forgotten": (
        torch.fft.fft,
        lambda g, z: torch.fft.ifft(g) * 3,
        lambda g, z: torch.fft.ifft(g),
        "multiplied by 0.333",
    ),
    "the same transform again": (
        torch.fft.fft,
        lambda g, z: torch.fft.ifft(g, norm="forward"),
        lambda g, z: torch.fft.fft(g),
        "and not its transpose",
    ),
    "the derivative of |z| as of a real number": (
        lambda z: z.abs(),
        lambda g, z: g * z / z.abs(),
        lambda g, z: (g * z.real.sign()).to(z.dtype),
        "",
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_and_its_right_twin_is_not(name: str) -> None:
    forward, right, wrong, words = MISTAKES[name]
    z = drawn(3, dtype=torch.cdouble)
    report = bp.verify(custom(forward, right), z)
    assert report.ok, report
    report = bp.verify(custom(forward, wrong), z)
    assert report.verdict == "wrong", report
    assert words in " ".join(str(report).split()), report


def detached(z: Any) -> Any:
    return (z.detach() * z).abs()


def a_conjugate_without_a_gradient(z: Any) -> Any:
    with torch.no_grad():
        w = z[:2].conj()
    return (w * z[:2]).real


@pytest.mark.sampled(3)
@pytest.mark.parametrize("function", [detached, a_conjugate_without_a_gradient])
def test_what_is_stopped_has_to_be_declared(function: Any) -> None:
    z = drawn(3, dtype=torch.cdouble)
    report = bp.verify(function, z)
    assert report.verdict == "undecided", report
    assert "the code itself stops a gradient" in report.reason
    report = bp.verify(function, z, stopped=True)
    assert report.ok, report


def test_what_leaves_the_graph_is_told() -> None:
    report = bp.verify(lambda z: (torch.from_numpy(2 * z.detach().numpy()) * z).abs(), drawn(3, dtype=torch.cdouble))
    assert not report.ok, report
    assert "numbers leave the graph at" in " ".join(str(report).split())


@pytest.mark.usefixtures("slow")
def test_the_doors_of_pytorch_s_own_checks_take_them() -> None:
    z = drawn(3, dtype=torch.cdouble)
    assert gradcheck(lambda z: (z * z).abs(), (z,))
    assert gradgradcheck(lambda z: (z * z).exp().abs(), (z,))


def test_in_a_run_they_are_taken_as_they_came() -> None:
    report = check_numbers(lambda z: (z * z).abs().tanh(), drawn(3, dtype=torch.cfloat))
    assert report.ok, report
    assert any("mul" in name for name in report.run.taken), report
    assert any("tanh" in str(r.origin) for r in report.run.results), "what is real is judged"


def test_what_has_no_rule_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match=r"linalg_inv_ex of complex numbers is not covered.*no verdict"):
        bp.verify(lambda z: torch.linalg.inv(z).abs(), drawn(2, 2, dtype=torch.cdouble))
    with pytest.raises(Unsupported, match="Fourier transforms of more than 1024 numbers"):
        bp.verify(lambda x: torch.fft.fft(x).abs(), drawn(1025))
