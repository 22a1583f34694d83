"""The trials themselves: correct implementations pass, a planted error is an alarm, and power only grows with precision."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.adapters import numpy_vectorised
from backproof.adapters.adapter import ELEMENTARY, OF_PROGRAMS, Adapter, known_adapters
from backproof.reference.case import Case
from backproof.reference.judging.observation import Observation
from backproof.reference.numbers.atlas import Campaign, Measurement
from backproof.reference.numbers.precision import PRECISIONS
from backproof.reports.trials import accuracy, selftest
from backproof.reports.trials import running as trials
from backproof.reports.trials.power import measure


@pytest.mark.usefixtures("slow")
def test_correct_implementations_are_not_accused(quick: bool) -> None:
    trials = list(selftest.clean(16 if quick else 100, first=5000, frameworks=["plain", "numpy"]))
    assert [t.alarm for t in trials if t.alarm] == []
    assert {t.verdict for t in trials} <= {"agrees", "undecided"}
    assert {t.dtype for t in trials} == set(PRECISIONS)


def test_a_configuration_is_the_same_each_time() -> None:
    one, other = (selftest.configuration(77, ["plain", "numpy"]) for _ in range(2))
    assert one[2] == other[2]
    assert all(np.array_equal(a.weights, b.weights) for a, b in zip(one[1].layers, other[1].layers, strict=True))


@pytest.mark.usefixtures("slow")
def test_a_planted_error_is_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial can fail: an implementation whose bias gradient is off by 1 % is accused, with words to find it by."""
    right = numpy_vectorised.observe

    def wrong(case: Case, product: Any = numpy_vectorised.product) -> Observation:
        honest = right(case, product)
        gradients = tuple(
            None if g is None else (g * g.dtype.type(1.02)).astype(g.dtype) for g in honest.bias_gradients or ()
        )
        return replace(honest, bias_gradients=gradients)

    monkeypatch.setattr(numpy_vectorised, "observe", wrong)
    monkeypatch.setattr(selftest, "adapters_by_name", lambda: {"numpy": replace(known_adapters()["numpy"], run=wrong)})
    alarms = [t.alarm for t in selftest.clean(8, first=5000, frameworks=["numpy"]) if t.alarm]
    assert alarms
    assert all("bias_gradients" in a.places or "updated" in a.places for a in alarms if a.verdict == "wrong")


def test_an_implementation_that_fails_is_said_to_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(case: Case) -> Observation:
        raise RuntimeError("out of order")

    monkeypatch.setattr(selftest, "adapters_by_name", lambda: {"broken": Adapter("broken", "", None, raises)})
    (trial,) = selftest.clean(1, frameworks=["broken"])
    assert trial.verdict == "unanswered"
    assert trial.alarm is not None
    assert trial.alarm.places == "RuntimeError: out of order"


XLA = "JaxRuntimeError: INTERNAL: Failed to materialize symbols: {{ (<xla_jit_dylib_{}>, {{ {}_fusion }}) }}"


def failing(number: int, said: str, framework: str = "jax", dtype: str = "float16") -> selftest.Trial:
    alarm = selftest.Alarm(number, f"{framework} {dtype} · 1-1", "unanswered", said)
    return selftest.Trial(number, framework, dtype, "unanswered", alarm)


def test_failures_of_one_kind_are_one_line() -> None:
    """XLA's names differ each time."""
    xla = [failing(k, XLA.format(k, "add" * k)) for k in (9, 3, 7)]
    lines = trials.unanswered([*xla, failing(4, "RuntimeError: a"), failing(5, "RuntimeError: a", "torch")])
    assert [line.partition(" (")[0] for line in lines] == [
        "unanswered   jax float16, 3 configurations, first 3",
        "unanswered   jax float16, 1 configuration, first 4",
        "unanswered   torch float16, 1 configuration, first 5",
    ]
    assert "addaddadd_fusion" in lines[0], "the first one's words"
    assert not any("\n" in line for line in trials.unanswered([failing(1, "RuntimeError: one\ntwo")]))


AGREES = selftest.Trial(0, "numpy", "float16", "agrees", None)
ACCUSED = selftest.Trial(1, "numpy", "float16", "suspect", selftest.Alarm(1, "", "suspect", ""))
FAILED = failing(3, "TypeError: a fault of the adapter")


@pytest.mark.parametrize(
    ("tried", "outcome"),
    [
        ([AGREES], "agrees"),
        ([AGREES, FAILED], "unanswered"),
        ([], "unanswered"),
        ([AGREES, FAILED, ACCUSED], "wrong"),
    ],
    ids=["fine", "a failure", "no trials", "accused"],
)
def test_what_a_campaign_comes_to(tried: list[selftest.Trial], outcome: str) -> None:
    assert selftest.outcome(tried) == outcome


@pytest.mark.usefixtures("slow")
def test_power_grows_with_precision_and_does_not_fall_with_depth() -> None:
    seen = {}
    for shown, batch in (("everything", 32), ("gradients", 1)):
        for p in measure(("float64", "float32", "float16", "bfloat16"), (2, 5), (24,), batch, shown):
            assert p.tried, p
            seen[shown, p.dtype, p.depth, p.layer] = p.scale_error or 1.0
    for (shown, dtype, depth, layer), error in seen.items():
        coarser = {"float64": "float32", "float32": "float16", "float16": "bfloat16"}.get(dtype)
        if coarser:
            assert error < seen[shown, coarser, depth, layer], (shown, dtype, depth, layer)
        if shown == "everything":
            assert error < 20 * seen[shown, dtype, 2, 0], "no step is weaker for being deep"


def test_an_inaccurate_function_is_a_finding() -> None:
    """A sigmoid by a rational approximation, off by 1 %, among honest functions."""
    honest = known_adapters()["numpy"]
    assert honest.evaluate is not None

    def evaluate(function: str, x: Any) -> Any:
        assert honest.evaluate is not None
        return 0.5 + x / (2 * (1 + abs(x))) if function == "sigmoid" else honest.evaluate(function, x)

    measured = accuracy.measure([honest, replace(honest, name="rough", evaluate=evaluate)], ["float32"], points=200)
    findings = accuracy.findings(measured)
    assert len(findings) == 1
    assert findings[0].startswith("rough ")
    assert "sigmoid in float32 is off by " in findings[0]
    without = {"erfc", "erfinv"}  # NumPy has none
    assert len(accuracy.accuracy_rows(measured)) == 2 * len({*ELEMENTARY, *OF_PROGRAMS} - without)
    assert max(m.ulps for m in measured if m.adapter == "numpy") < 4


@pytest.mark.usefixtures("slow")
def test_what_a_framework_cannot_compute_here_is_left_out_of_the_atlas_and_said() -> None:
    honest = known_adapters()["numpy"]

    def evaluate(function: str, x: Any) -> Any:
        assert honest.evaluate is not None
        if x.dtype == np.float16:
            raise RuntimeError("no conversions")
        return honest.evaluate(function, x)

    said: list[str] = []
    poor = replace(honest, name="poor", evaluate=evaluate)
    measured = accuracy.measure(
        [honest, poor], ["float32", "float16"], points=20, progress=said.append, functions=["tanh"]
    )
    assert {m.precision for m in measured if m.adapter == "poor"} == {"float32"}
    assert {m.precision for m in measured if m.adapter == "numpy"} == {"float32", "float16"}
    assert f"poor {np.__version__}: no tanh in float16: RuntimeError: no conversions" in said


def test_a_new_campaign_takes_the_place_of_the_same_processor_level_and_versions_only() -> None:
    def campaign(simd: str, version: str, ulps: float) -> Campaign:
        return Campaign("2026-01-01", "a", simd, (Measurement("numpy", version, "float64", "exp", ulps, 0.0, 1),))

    old = [campaign("AVX2", "1", 1.0), campaign("AVX2", "2", 1.0), campaign("SSE4.2", "2", 1.0)]
    again = campaign("AVX2", "2", 9.0)
    assert accuracy.replaced(old, [again]) == [old[0], old[2], again]
