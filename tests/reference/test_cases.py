"""The standard cases keep what they promise: number, variety, exact and unchanging numbers."""

from __future__ import annotations

import json
from hashlib import sha256

from backproof.reference.activations import ACTIVATIONS
from backproof.reference.cases import standard_cases
from backproof.reference.losses import LOSSES
from backproof.reference.numbers.precision import PRECISIONS

CASES = standard_cases()


def test_names_are_unique_and_every_case_comes_in_every_dtype() -> None:
    keys = [(case.name, case.dtype) for case in CASES]
    assert len(set(keys)) == len(keys)
    names = {case.name for case in CASES}
    assert len(names) >= 40
    too_large = {name for name in names if "1e" in name}  # for float16
    assert set(keys) == {(n, p) for n in names for p in PRECISIONS if not (p == "float16" and n in too_large)}


def test_everything_that_the_reference_offers_is_in_some_case() -> None:
    assert {layer.activation for case in CASES for layer in case.layers[:-1]} == set(ACTIVATIONS)
    assert {case.layers[-1].activation for case in CASES} == {*ACTIVATIONS, "softmax"}
    assert {(case.loss, case.reduction) for case in CASES} == {(loss, r) for loss in LOSSES for r in ("sum", "mean")}
    assert {len(case.layers) for case in CASES} == set(range(1, 9))
    assert max(max(case.sizes) for case in CASES) == 64
    assert {1, 64} <= {case.batch for case in CASES}
    biases = {tuple(layer.biases is not None for layer in case.layers) for case in CASES}
    assert {(True, True), (False, False), (True, False), (True, False, True)} <= biases


def test_the_numbers_are_the_same_on_every_machine_and_python() -> None:
    """A digest of every number of every case. It changes only when a case is changed on purpose."""
    digest = sha256()
    for case in CASES:
        numbers = [[layer.weights, layer.biases] for layer in case.layers]
        digest.update(json.dumps([case.name, case.dtype, numbers, case.inputs, case.targets]).encode())
    assert digest.hexdigest() == "e68d89bea64a0806a565c17e3ffe7f04899604e5eb8cccdbe05038ef5ffed3a6"
