"""Right networks in 16 bits, of which nothing is declared: nothing can be read off, so what is known is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reports.validation.front_door import verify
from written_networks import Array, Curve, leaky, mish_slope, sigmoid, softplus, swish

HIDDEN = {
    "silu": swish(1.0),
    "mish": Curve(lambda z: z * np.tanh(softplus(z)), mish_slope),
    "leaky_relu(0.2)": leaky(0.2),
    "relu": Curve(lambda z: np.maximum(z, 0), lambda z, a: z > 0),
}
ERRORS: dict[str, Callable[[Array], Array]] = {"squared error without ½": lambda e: 2 * e, "absolute error": np.sign}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(4)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_right_network_of_known_parts_agrees(hidden: str, error: str) -> None:
    curve, of_error = HIDDEN[hidden], ERRORS[error]

    def in_half(f: Callable[..., Array], *arrays: Array) -> Array:
        """Computed in float32, as kernels do, and stored."""
        return f(*(array.astype(np.float32) for array in arrays)).astype(np.float16)

    def network(W: Any, B: Any, x: Any, t: Any) -> Any:
        z = in_half(lambda x, w: x @ w.T, x, W[0]) + B[0]
        a = in_half(curve.value, z)
        o = in_half(sigmoid, in_half(lambda a, w: a @ w.T, a, W[1]) + B[1])
        delta = in_half(lambda e, o: of_error(e) / e.size * o * (1 - o), o - t, o)
        below = in_half(lambda d, w, z, a: d @ w * curve.slope(z, a), delta, W[1], z, a)
        return [in_half(lambda d, x: d.T @ x, d, x) for d, x in ((below, x), (delta, a))], [
            in_half(lambda d: d.sum(axis=0), d) for d in (below, delta)
        ]

    report = verify(network, dtype="float16")
    assert report.verdict == "agrees", str(report)
    assert f"{error}, averaged over samples and outputs; {hidden} " in str(report).splitlines()[0]


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_a_softmax_of_another_temperature_is_a_network_that_is_not_known(dtype: str) -> None:
    """Twice the cross entropy of softmax(z/2) has the gradient o − t: some loss has it, in any format."""

    def network(W: Any, B: Any, x: Any, t: Any) -> Any:
        activations, gradients = [x], list[Any]()
        for w, b in zip(W, B, strict=True):
            z = activations[-1] @ w.T + b
            activations.append(np.tanh(z))
        powers = np.exp(z / 2 - (z / 2).max(1, keepdims=True))
        delta = powers / powers.sum(1, keepdims=True) - t
        for k in reversed(range(len(W))):
            gradients.insert(0, (delta.T @ activations[k], delta.sum(0)))
            delta = delta @ W[k] * (1 - activations[k] ** 2)
        return [w for w, _ in gradients], [b for _, b in gradients]

    assert verify(network, dtype=dtype).verdict == "unrecognised"
