"""How small an error the checks see, layer by layer: measured on networks that are as large as one likes.

The figures are the tests' own thresholds, and each is tried: the gradient of one layer is scaled by a little more than
the threshold, and the judge must refuse it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ...adapters.numpy_vectorised import observe
from ...reference.case import Case, Dense
from ...reference.judging import Comparison, Observation, Verdict, judge
from ...reference.numbers import PRECISIONS, numpy_dtype


@dataclass(frozen=True)
class Power:
    """What is seen in the weight gradient of one layer.

    scale_error: the smallest relative error of the whole array that the aggregate test refuses; None where it has none
    element_error: the smallest error of one element that is wrong for certain, relative to the largest element
    tried: whether a scale error of 1.5 × that (or of 3 %, without an aggregate test) was in fact refused
    """

    dtype: str
    depth: int
    width: int
    batch: int
    shown: str
    layer: int
    scale_error: float | None
    element_error: float | None
    tried: bool


def network(depth: int, width: int, batch: int, dtype: str, activation: str = "tanh") -> Case:
    """`depth` layers of `width` units (10 outputs), generic numbers."""
    rng = np.random.default_rng([depth, width, batch])
    sizes = (width,) * depth + (10,)
    kind = numpy_dtype(dtype)
    layers = tuple(
        Dense(
            (rng.uniform(-1.5, 1.5, (units, inputs)) / inputs**0.5).astype(kind),
            rng.uniform(-0.5, 0.5, units).astype(kind).tolist(),
            activation if k + 1 < depth else "identity",
        )
        for k, (inputs, units) in enumerate(pairwise(sizes))
    )
    inputs, targets = (rng.uniform(-1, 1, (batch, n)).astype(kind) for n in (width, 10))
    return Case(f"{depth}×{width}", layers, inputs, targets, dtype=dtype)


def gradients_alone(observation: Observation) -> Observation:
    """What an implementation shows that returns nothing but gradients."""
    hidden: dict[str, Any] = dict.fromkeys(("received", "pre_activations", "activations", "loss", "deltas"))
    return replace(observation, **hidden)


SHOWN: dict[str, Callable[[Observation], Observation]] = {
    "everything": lambda observation: observation,
    "gradients": gradients_alone,
}


def measure(
    dtypes: Sequence[str], depths: Sequence[int], widths: Sequence[int], batch: int, shown: str = "everything"
) -> Iterator[Power]:
    """The power in every layer of every network. With gradients alone, `batch` should be 1: a probe (`stepwise.py`)."""
    for dtype in dtypes:
        for depth in depths:
            for width in widths:
                case = network(depth, width, batch, dtype)
                observation = SHOWN[shown](observe(case))
                compared = _by_layer(case, observation)
                for layer, comparison in compared.items():
                    yield Power(
                        dtype, depth, width, batch, shown, layer, comparison.scale_error,
                        None if comparison.digits is None else 10**-comparison.digits,
                        _refused(case, observation, layer, comparison.scale_error or 0.02),
                    )  # fmt: skip


def _by_layer(case: Case, observation: Observation) -> dict[int, Comparison]:
    return {
        comparison.place.layer: comparison
        for comparison in judge(case, observation).comparisons
        if comparison.place.quantity == "weight_gradients" and comparison.place.layer is not None
    }


def _refused(case: Case, observation: Observation, layer: int, scale_error: float) -> bool:
    """Whether a layer's weight gradient is refused when it is too large by 1.5 × `scale_error`.

    Computed in float64 and rounded once: in the format itself, such a factor may be below what it can represent.
    """
    assert observation.weight_gradients is not None
    gradients = list(observation.weight_gradients)
    honest = gradients[layer]
    assert honest is not None
    exact = np.asarray(honest, np.float64) * (1 + 1.5 * scale_error)
    rng = np.random.default_rng(layer)
    gaps = np.spacing(np.abs(honest)).astype(np.float64)
    gradients[layer] = (np.rint(exact / gaps + rng.uniform(-0.5, 0.5, exact.shape)) * gaps).astype(honest.dtype)
    planted = replace(observation, weight_gradients=tuple(gradients), received=None)
    verdict = _by_layer(case, planted)[layer].verdict
    return verdict in (Verdict.WRONG, Verdict.SUSPECT)


HEADERS = ("shown", "dtype", "layers", "width", "layer", "scale error", "one element", "refused")


def rows() -> list[list[str]]:
    """The table that people see: everything shown on batches, gradients alone on one sample, in `HEADERS` order."""
    table = []
    for shown, batch in (("everything", 64), ("gradients", 1)):
        for p in measure(tuple(PRECISIONS), (2, 4, 8), (32, 256), batch, shown):
            seen = [f"{x:.2g}" if x is not None else "–" for x in (p.scale_error, p.element_error)]
            where = [shown, p.dtype, str(p.depth), str(p.width), str(p.layer + 1)]
            table.append([*where, *seen, "yes" if p.tried else "NO"])
    return table
