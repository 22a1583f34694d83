"""The field test of a function on trial: does any loss have this gradient? It needs no convention at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...adapters.adapter import Unanswered
from ...reference.case import Case, Dense
from ...reference.diagnosis import Evidence
from ...reference.judging import FieldCheck, check_field
from ...reference.numbers import array_of
from ..documents import Subject


def field_of(subject: Subject, observed: Evidence, by_layer: bool = False) -> FieldCheck | None:
    """The test at the first probe of several samples; None where it cannot be asked, or shows no gradients.

    by_layer: whether to find out between which layers, where no loss has it, which takes five times as long

    Of updates, it is that of what the weights moved by: a plain step's is the gradient times the rate.
    """
    observe = subject.observe
    case = next((case for case, _ in observed if case.batch > 1), observed[0][0])
    if observe is None or subject.returns == "outputs" or case.online:
        return None
    case = replace(case, inputs=array_of(case.inputs, case.dtype), targets=array_of(case.targets, case.dtype))
    learned = [(layer.weights, layer.biases) for layer in case.layers]
    at: dict[str, Any] = {}
    for k, (weights, biases) in enumerate(learned):
        at[f"layer {k + 1}"] = [np.asarray(array_of(weights, case.dtype))]
        if biases is not None:
            at[f"layer {k + 1}"].append(np.asarray(array_of([biases], case.dtype)).reshape(-1))

    def gradient(point: dict[str, list[Any]]) -> dict[str, list[Any]]:
        layers = tuple(
            Dense(arrays[0], arrays[1].tolist() if len(arrays) > 1 else None, layer.activation)
            for arrays, layer in zip(point.values(), case.layers, strict=True)
        )
        seen = observe(replace(case, layers=layers))
        weights, biases = seen.weight_gradients, seen.bias_gradients
        if weights is None:
            return _moved(point, seen.updated_weights or (), seen.updated_biases or (), case)
        return {
            name: [found for found, _ in zip((weights[k], None if biases is None else biases[k]), arrays, strict=False)]
            for k, (name, arrays) in enumerate(point.items())
        }

    blocks = {name: [name] for name in at} if by_layer else {"all layers": list(at)}
    try:
        return check_field(gradient, at, blocks=blocks, dtype=case.dtype, locate=True)
    except Unanswered:
        return None


FURTHER = 4.0  # times the probes' weights: units are saturated, clipped ones cut off


def field_further_out(subject: Subject, observed: Evidence) -> FieldCheck | None:
    """The test where the weights are larger than any probe's."""
    case = next((case for case, _ in observed if case.batch > 1), None)
    if case is None:
        return None
    layers = tuple(
        replace(layer, weights=(FURTHER * np.asarray(array_of(layer.weights, case.dtype))).tolist())
        for layer in case.layers
    )
    return field_of(subject, [(replace(case, layers=layers), observed[0][1])], by_layer=True)


def _moved(
    point: dict[str, list[Any]], weights: Sequence[Any], biases: Sequence[Any], case: Case
) -> dict[str, list[Any]]:
    """Old less new, by the rate: the gradient of a plain step."""
    rate = case.learning_rate or 1.0
    return {
        name: [(np.asarray(old, float) - np.asarray(new, float).reshape(old.shape)) / rate
               for old, new in zip(arrays, (weights[k], biases[k] if len(biases) > k else None), strict=False)]
        for k, (name, arrays) in enumerate(point.items())
    }  # fmt: skip
