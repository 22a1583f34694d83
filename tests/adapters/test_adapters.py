"""Every adapter on every case: the case's bits in, honest numbers out."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("flint")

from backproof.adapters.adapter import Adapter, chosen, known_adapters
from backproof.reference.backprop import RULES
from backproof.reference.case import Case, InvalidInput
from backproof.reference.diagnosis.catalogue.faults import FAULTS, faulty_rules
from backproof.reference.diagnosis.conventions import Convention, probes
from backproof.reference.diagnosis.search import diagnose
from backproof.reference.judging.judgement import judge
from backproof.reference.judging.observation import QUANTITIES, Observation, Place, computed, differences
from backproof.reference.judging.verdict import Verdict
from backproof.reference.numbers.plain import PLAIN
from standard import CASES

ALL = known_adapters()


@pytest.mark.sampled(231, slow=3)  # `backproof compare`, in tox -e report, runs every case on every adapter
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_every_adapter_agrees_on_every_case_from_identical_bits(adapter_name: str, name: str, dtype: str) -> None:
    case = CASES[name, dtype]
    observation = ALL[adapter_name].run(case)

    assert observation.received is not None
    assert differences(case, observation.received) == []

    for quantity in QUANTITIES:  # all of them are shown, for every layer that has them
        shown = getattr(observation, quantity)
        assert shown is not None, quantity
        if quantity != "loss":
            has = [layer.biases is not None or "bias" not in quantity for layer in case.layers]
            assert [array is not None for array in shown] == has, quantity

    judgement = judge(case, observation)
    assert judgement.verdict is Verdict.AGREES, judgement.wrong


@pytest.mark.usefixtures("slow")
def test_adapters_say_what_ran_and_where(adapter_name: str) -> None:
    adapter = ALL[adapter_name]
    case = CASES["xor-hidden", "float32"]
    observation = adapter.run(case)
    assert observation.adapter == adapter_name
    assert observation.device.startswith("cpu")
    assert observation.version == (adapter.version or observation.version)
    assert observation.precision == ("float64" if adapter_name == "plain" else "float32")
    dtypes = {array.dtype.name for array in observation.weight_gradients or () if array is not None}
    assert dtypes == {observation.precision}


def test_without_a_learning_rate_nothing_is_updated(adapter_name: str) -> None:
    case = replace(CASES["xor-hidden", "float64"], learning_rate=None)
    observation = ALL[adapter_name].run(case)
    assert observation.updated_weights is None
    assert observation.updated_biases is None
    assert judge(case, observation).verdict is Verdict.AGREES


@pytest.mark.usefixtures("slow")
def test_running_a_case_leaves_it_as_it_was(adapter_name: str) -> None:
    """Arrays given in a case are read, not updated in place, and a second run gives the same bits."""
    base = CASES["hidden-tanh", "float64"]
    arrays = [np.array(layer.weights) for layer in base.layers]
    case = replace(base, layers=tuple(replace(layer, weights=w) for layer, w in zip(base.layers, arrays, strict=True)))
    before = [w.copy() for w in arrays]
    first, second = (ALL[adapter_name].run(case) for _ in range(2))
    assert all((w == b).all() for w, b in zip(arrays, before, strict=True))
    for one, other in zip(first.weight_gradients or (), second.weight_gradients or (), strict=True):
        assert np.array_equal(one, other)


def test_the_plain_adapter_shows_the_reference() -> None:
    from backproof.reference.case import run

    case = CASES["mixed", "float64"]
    observation, step = ALL["plain"].run(case), computed(run(case, PLAIN))
    for k, gradient in enumerate(observation.weight_gradients or ()):
        assert np.array_equal(gradient, np.array(step[Place("weight_gradients", k)]))


def absent(case: Case) -> Observation:
    raise AssertionError("must not be run")


def test_a_framework_that_is_not_installed_is_listed_with_its_pip_command() -> None:
    adapter = Adapter("ghost", "a framework from nowhere", package="no_such_framework", run=absent)
    assert not adapter.present
    assert adapter.version is None
    assert adapter.install == "python -m pip install no_such_framework"


def test_asking_for_an_unknown_or_absent_adapter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidInput,
        match="adapter: expected one of plain, numpy, torch, jax, .*; got 'pytorch'. Did you mean 'torch'?",
    ):
        chosen(["pytorch"])
    monkeypatch.setattr("backproof.adapters.adapter.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match="adapter jax: jax is not installed. To bring it: python -m pip install jax"):
        chosen(["jax"])
    assert [adapter.name for adapter in chosen()] == ["plain"]


class EntryPoint:
    def __init__(self, name: str, value: object) -> None:
        self.name, self.value = name, value

    def load(self) -> object:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def with_entry(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr("backproof.adapters.adapter.entry_points", lambda group: [EntryPoint(name, value)])


def test_third_parties_can_bring_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Adapter("theirs", "somebody's framework", package=None, run=ALL["plain"].run)
    with_entry(monkeypatch, "theirs", theirs)
    assert list(known_adapters())[-1] == "theirs"
    assert known_adapters()["theirs"] is theirs


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("broken", ImportError("no libfoo"), "adapter broken: its entry point failed to load: no libfoo"),
        ("wrong", "a string", "adapter wrong: its entry point must name an Adapter, got str"),
        ("numpy", None, "adapter numpy: two installed packages offer an adapter of this name"),
    ],
)
def test_a_bad_third_party_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: object, message: str) -> None:
    with_entry(monkeypatch, name, value)
    with pytest.raises(InvalidInput, match=message):
        known_adapters()


PLANTING = [adapter for adapter in chosen() if adapter.plant]


@pytest.mark.sampled(4, 1)
@pytest.mark.parametrize("adapter", PLANTING, ids=attrgetter("name"))
def test_an_adapter_plants_the_right_rules_and_wrong_ones(adapter: Adapter) -> None:
    """Through the framework's own mechanism for custom gradients: an autograd.Function, a custom_vjp."""
    assert adapter.plant is not None
    convention = Convention(("tanh", "sigmoid"), "half_squared_error", "mean")
    (probe,) = probes((3, 3, 3), (4,), "separate", "float64", 0)
    case = convention.applied(probe)
    honest = adapter.plant(case, RULES)
    assert judge(case, honest).verdict is Verdict.AGREES
    fault = next(f for f in FAULTS if f.name == "weights-not-transposed")
    wrong = adapter.plant(case, faulty_rules(fault, case))
    assert judge(case, wrong).verdict is Verdict.WRONG
    assert diagnose([(case, replace(wrong, updated_weights=None, updated_biases=None))]).names == [fault.name]
