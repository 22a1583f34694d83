"""The frameworks beside PyTorch and JAX, each where it is installed: every case that they can run, and what they show.

Where a framework is known to be inaccurate is in `KNOWN`; its own test file traces each of these findings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.adapter import Adapter, known_adapters
from backproof.reference.case import Case
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import QUANTITIES, differences
from backproof.reference.judging.verdict import Verdict
from standard import CASES

BESIDE = {name: adapter for name, adapter in known_adapters().items() if adapter.rank == 4}
EVERY = 6  # a quick run takes every sixth case


def made_of(case: Case) -> set[str]:
    """The names of its activations and of its loss."""
    return {case.loss, *(str(layer.activation) for layer in case.layers)}


def of_tensorflow(case: Case) -> bool:
    """A slope in float32; matrix products in bfloat16 that are cut."""
    return {"float64": "leaky_relu" in made_of(case), "bfloat16": True}.get(case.dtype, False)


def of_mlx(case: Case) -> bool:
    """An exp as of float32 in float64, and one that is far off in float32; a gradient of logits that cancels."""
    by_exp = {"sigmoid", "softplus", "softmax", *(name for name in made_of(case) if name.endswith("_from_logits"))}
    return bool(case.dtype == "float64" and made_of(case) & by_exp) or case.name.startswith("saturated-")


def of_tinygrad(case: Case) -> bool:
    """A tanh that cancels, a sigmoid that is off the more the larger its argument."""
    return "tanh" in made_of(case) or case.name.startswith("saturated-")


KNOWN: dict[str, Callable[[Case], bool]] = {
    "keras": of_tensorflow,
    "mlx": of_mlx,
    "tensorflow": of_tensorflow,
    "tinygrad": of_tinygrad,
}


@pytest.fixture(params=BESIDE)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    found: Adapter = BESIDE[request.param]
    if not found.present:
        pytest.skip(f"{found.package} is not installed")
    return found


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_a_framework_agrees_from_identical_bits_but_where_it_is_known_not_to(
    adapter: Adapter, dtype: str, quick: bool
) -> None:
    if dtype not in adapter.dtypes:
        pytest.skip(f"it computes in {', '.join(adapter.dtypes)}")
    able = [case for case in CASES.values() if case.dtype == dtype and adapter.refusal(case) is None]
    assert able
    wrong = []
    for case in islice(able, 0, None, EVERY if quick and len(able) > EVERY else 1):
        observation = adapter.run(case)
        assert observation.received is not None
        assert differences(case, observation.received) == []
        verdict = judge(case, observation).verdict
        if verdict is not Verdict.AGREES and not (adapter.name in KNOWN and KNOWN[adapter.name](case)):
            wrong.append((case.name, verdict))
    assert wrong == []


def first_able(adapter: Adapter) -> Case:
    return next(case for case in CASES.values() if case.learning_rate and adapter.refusal(case) is None)


def test_a_framework_shows_what_it_declares_and_where_it_ran(adapter: Adapter) -> None:
    case = first_able(adapter)
    observation = adapter.run(case)
    assert [quantity for quantity in adapter.shows if getattr(observation, quantity) is None] == []
    for quantity in set(adapter.shows) - {"loss"}:
        shown = getattr(observation, quantity)
        has = [layer.biases is not None or "bias" not in quantity for layer in case.layers]
        assert [array is not None for array in shown] == has, quantity
    undeclared = {quantity for quantity in QUANTITIES if getattr(observation, quantity) is not None}
    assert undeclared - set(adapter.shows) <= {"loss"}, "scikit-learn's is shown where it is the case's"
    assert observation.adapter == adapter.name
    assert observation.version == adapter.version
    assert observation.device.startswith("cpu")
    assert observation.precision == case.dtype
    dtypes = {array.dtype.name for array in observation.weight_gradients or () if array is not None}
    assert dtypes == {case.dtype}


def test_a_framework_without_a_learning_rate_updates_nothing_and_answers_the_same_twice(adapter: Adapter) -> None:
    case = replace(first_able(adapter), learning_rate=None)
    first, second = adapter.run(case), adapter.run(case)
    assert (first.updated_weights, first.updated_biases) == (None, None)
    for one, other in zip(first.weight_gradients or (), second.weight_gradients or (), strict=True):
        assert np.array_equal(one, other)


def test_a_network_that_a_framework_cannot_run_is_refused_in_words(adapter: Adapter) -> None:
    refused = {why: case for case in CASES.values() if (why := adapter.cannot(case))}
    assert bool(adapter.limits) or (adapter.shows == QUANTITIES and not refused)
    if adapter.name in ("sklearn", "micrograd"):
        assert len(refused) > 3
        for why, case in refused.items():
            with pytest.raises(NotImplementedError, match=f"has no {why}"):
                adapter.run(case)
