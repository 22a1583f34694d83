"""Numbers that are right to some digits, and no further, are told with these digits."""

from __future__ import annotations

from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")
pytest.importorskip("flint")

import backproof as bp


def gradients(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
    """Of tanh below an identity, ½ Σ e²."""
    activations = [inputs]
    for k, (w, b) in enumerate(zip(weights, biases, strict=True)):
        z = activations[-1] @ w.T + b
        activations.append(np.tanh(z) if k + 1 < len(weights) else z)
    delta, found = activations[-1] - targets, list[Any]()
    for k in reversed(range(len(weights))):
        found.insert(0, (delta.T @ activations[k], delta.sum(0)))
        delta = delta @ weights[k] * (1 - activations[k] ** 2)
    return [w for w, _ in found], [b for _, b in found]


def off_by(relative: float) -> Any:
    """The gradients, each element off by another part of the largest."""

    def function(*given: Any) -> Any:
        both = gradients(*given)
        largest = max(np.abs(g).max() for each in both for g in each)
        return [
            [g + relative * largest * np.cos(7 * np.arange(g.size)).reshape(g.shape) for g in each] for each in both
        ]

    return function


DECLARED: dict[str, Any] = {"activations": ["tanh", "identity"], "loss": "half_squared_error"}


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(4)
@pytest.mark.parametrize(("declared", "verdict"), [({}, "unrecognised"), (DECLARED, "wrong")])
@pytest.mark.parametrize(("relative", "digits"), [(1e-9, 9), (1e-6, 6)])
def test_to_how_many_digits_they_are_right_is_told(
    relative: float, digits: int, declared: dict[str, Any], verdict: str
) -> None:
    report = bp.verify(off_by(relative), **declared)
    assert report.verdict in {verdict, "wrong"}
    assert f"to some {digits} digits and no further" in " ".join(str(report).split())


@pytest.mark.usefixtures("slow")
def test_what_is_further_off_is_not_said_to_be_near() -> None:
    report = bp.verify(off_by(0.01), **DECLARED)
    assert report.verdict == "wrong"
    assert "no further" not in str(report)


@pytest.mark.usefixtures("slow")
def test_what_is_right_is_not_either() -> None:
    assert bp.verify(gradients, **DECLARED).verdict == "agrees"


def printed(digits: int) -> Any:
    """The gradients, as they come back from so many decimal digits."""

    def function(*given: Any) -> Any:
        return [
            [np.vectorize(lambda x: type(x)(f"%.{digits}g" % x), otypes=[g.dtype])(g) for g in each]
            for each in gradients(*given)
        ]

    return function


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("digits", "dtype"), [(15, "float64"), (6, "float32"), (12, "float64"), (17, "float64"), (9, "float32")]
)
def test_digits_that_were_dropped_when_printing_are_told(digits: int, dtype: str) -> None:
    enough = {"float64": 17, "float32": 9}[dtype]
    report = bp.verify(printed(digits), loss="half_squared_error", reduction="sum", dtype=dtype)
    said = " ".join(str(report).split())
    if digits == enough:
        assert report.ok, report
    else:
        assert report.verdict == "wrong", report
        assert f"no number has more than {digits} digits: print {enough}" in said
        assert "How that comes" not in said
