"""Right numbers that are rounded at the end to a narrower format: told from a computation in that format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")
from backproof.reports.validation.front_door import verify
from written_networks import gradients_of_sigmoids as gradients

DECLARED: dict[str, Any] = {"activations": "sigmoid", "loss": "half_squared_error"}


def storing(format: str, weights_too: bool = True, biases_too: bool = True, layer: int | None = None) -> Any:
    def stored(x: Any, whether: bool, k: int) -> Any:
        return x.astype(format).astype(x.dtype) if whether and layer in (None, k) else x

    def run(weights: Any, biases: Any, inputs: Any, targets: Any) -> Any:
        dw, db = gradients(weights, biases, inputs, targets)
        return [stored(g, weights_too, k) for k, g in enumerate(dw)], [
            stored(g, biases_too, k) for k, g in enumerate(db)
        ]

    return run


def computing(format: str) -> Callable[..., Any]:
    def run(*given: Any) -> Any:
        narrow = [[x.astype(format) for x in each] if isinstance(each, list) else each.astype(format) for each in given]
        return tuple([x.astype(float) for x in each] for each in gradients(*narrow))

    return run


STORED = {
    "all in float32": (storing("float32"), "weight gradients, bias gradients: each number is the nearest of float32"),
    "weights' in float32": (storing("float32", biases_too=False), "weight gradients: each number is the nearest of"),
    "one layer's in float32": (
        storing("float32", biases_too=False, layer=0),
        "weight_gradients[0]: each number is the nearest of float32",
    ),
    "all in float16": (storing("float16"), "weight gradients, bias gradients: each number is the nearest of float16"),
}


@pytest.mark.sampled(8, 2)
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "found out"])
@pytest.mark.parametrize("case", STORED)
def test_what_is_stored_in_a_narrower_format_is_said(case: str, declared: bool) -> None:
    run, words = STORED[case]
    report = verify(run, **(DECLARED if declared else {}))
    assert report.verdict == "wrong", report
    assert words in str(report)
    assert "what comes before is computed in float64" in str(report)


def test_an_update_that_is_stored_in_float32() -> None:
    def step(weights: Any, biases: Any, inputs: Any, targets: Any, rate: float) -> Any:
        dw, db = gradients(weights, biases, inputs, targets)
        return [(w - rate * g).astype("float32") for w, g in zip(weights, dw, strict=True)], [
            (b - rate * g).astype("float32") for b, g in zip(biases, db, strict=True)
        ]

    report = verify(step, returns="updated", **DECLARED)
    assert report.verdict == "wrong", report
    assert "updated weights, updated biases: each number is the nearest of float32" in str(report)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("format", ["float32", "float16"])
def test_what_computes_in_it_is_not_said_to_store_in_it(format: str) -> None:
    report = verify(computing(format), **DECLARED)
    assert report.verdict == "wrong", report
    assert "nearest of" not in str(report)
    assert f"it computes everything in {format}" in str(report)
