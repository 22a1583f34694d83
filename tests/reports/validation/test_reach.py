"""How far probes reach: every conditional fault of the catalogue is seen, and `agrees` claims what was covered, no more."""

from __future__ import annotations

import re
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("typer")

from backproof.reference.case import InvalidInput
from backproof.reference.diagnosis.reach import BATCHES, KINDS_OF_DATA, NETWORKS, reaching_probes
from backproof.reports.validation import front_door
from backproof.reports.validation.front_door import questions_for, verify
from conditional_faults import BEYOND, CE, LINEAR, RELU, SEEN, SIGMOID, SOFTMAX, ConditionalFault, Net, doubled, each

DOCS = Path(__file__).parents[3] / "docs"


def test_the_catalogue_is_of_at_least_forty() -> None:
    assert len({fault.name for fault in SEEN}) == len(SEEN) >= 40


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(54, 27)
@pytest.mark.parametrize("fault", SEEN, ids=lambda fault: fault.name)
def test_a_fault_under_a_condition_is_seen(fault: ConditionalFault) -> None:
    report = verify(fault.make(), **fault.options)
    assert report.verdict == "wrong"
    assert not report.ok


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("fault", "option"), BEYOND, ids=lambda x: x.name if isinstance(x, ConditionalFault) else "")
def test_what_is_beyond_them_is_documented_with_the_option_that_reaches_it(
    fault: ConditionalFault, option: dict[str, Any]
) -> None:
    assert verify(fault.make()).verdict == "agrees"
    assert verify(fault.make(), **option).verdict == "wrong"
    (name,) = option
    assert re.search(rf"^- {re.escape(fault.name)}.*`{name}", (DOCS / "validate.md").read_text("utf-8"), re.MULTILINE)


@pytest.mark.usefixtures("slow")
def test_a_condition_is_said() -> None:
    for condition, words in (
        (lambda W, B, x, t: len(x) > 4, "the batch above 4"),
        (lambda W, B, x, t: len(x) == 2, "the batch exactly 2"),
        (lambda W, B, x, t: len(W) >= 3, "the number of layers above 2"),
        (lambda W, B, x, t: bool((x == 0).any()), "exact zeros"),
    ):
        report = verify(doubled(condition)())
        assert report.verdict == "wrong"
        assert re.search(rf"^wrong: it is wrong with {words}[^.]*, and there alone\.$", str(report), re.MULTILINE)
        assert re.search(r"it is right on \d+ of \d+ probes, and wrong on \d+\.", str(report))


@pytest.mark.usefixtures("slow")
def test_what_was_covered_is_said_and_no_more_is_claimed() -> None:
    said = str(verify(SIGMOID))
    assert "covered: layers 1, 2, 3, 4; sizes 1, 2, 3, 4, 5, 17, 33; batches 1, 2, 3, 4, 5, 17, 33; |z| to " in said
    assert all(kind in said for kind in KINDS_OF_DATA)
    said = str(verify(SIGMOID, sizes=(2, 3, 1), batch=16))
    assert "covered: layers 2; sizes 1, 2, 3; batches 1, 16; |z| to " in said
    said = str(verify(SIGMOID, cases="few"))
    assert re.search(r"covered: layers 2; sizes 2, 3, 4; batches 1, 4; \|z\| to [\d.]+; generic numbers\.", said)


def test_a_large_network_is_asked_each_kind_of_data_with_fewer_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(batch: int | None, cases: str = "standard") -> set[tuple[str, int]]:
        found = questions_for([(2, 3, 1)], [(2, 3, 1)], batch, "separate", "float64", cases)
        return {(q.case.note, q.case.batch) for q in found if q.case.note}

    usual = asked(32)
    assert usual == {(kind, n) for kind in KINDS_OF_DATA for n in (1, 32)}
    monkeypatch.setattr(front_door, "LARGE", 10)
    assert asked(32) == {(kind, 32) for kind in KINDS_OF_DATA}
    assert asked(32, "many") == usual
    assert asked(None) == {(kind, n) for kind in KINDS_OF_DATA for n in front_door.LARGE_BATCHES}
    monkeypatch.setattr(front_door, "LARGE", 13)  # which it has
    assert asked(32) == usual


@pytest.mark.usefixtures("slow")
def test_what_a_function_does_not_take_is_said_and_is_no_failure() -> None:
    def two_layers(W: Any, B: Any, x: Any, t: Any) -> Any:
        (v, w), (a, b) = W, B
        return SIGMOID([v, w], [a, b], x, t)

    report = verify(two_layers)
    assert report.verdict == "agrees"
    said = "not covered, as it does not take them: networks of 1 layer, networks of 3 layers, networks of 4 layers ("
    assert said not in str(report) or "ValueError" in str(report)
    assert "networks of 4 layers" in str(report)
    assert "covered: layers 2;" in str(report)

    def sometimes(W: Any, B: Any, x: Any, t: Any) -> Any:
        if len(W) == 3 and len(x) == 17:
            raise ValueError("seventeen")
        return SIGMOID(W, B, x, t)

    assert verify(sometimes).verdict == "unanswered"  # it has taken networks of 3 layers before

    def batches(W: Any, B: Any, x: Any, t: Any) -> Any:
        assert len(x) == 16, "a batch is of 16"
        return SIGMOID(W, B, x, t)

    assert verify(batches).verdict == "unanswered"


@pytest.mark.usefixtures("slow")
def test_a_declared_batch_has_single_samples_beside_it_and_they_show_a_small_factor() -> None:
    def factor(W: Any, B: Any, x: Any, t: Any) -> Any:
        dw, db = SIGMOID(W, B, x, t)
        return [dw[0] * np.float32(1.0001), *dw[1:]], db

    assert verify(factor, batch=16, dtype="float32").verdict == "wrong"
    assert verify(SIGMOID, batch=16, dtype="float32").verdict == "agrees"


@pytest.mark.sampled(12, 4)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(("net", "options"), [(SIGMOID, {}), (SOFTMAX, CE), (RELU, LINEAR)])
def test_right_implementations_agree(net: Net, options: dict[str, Any], dtype: str) -> None:
    report = verify(net, dtype=dtype, **options)
    assert report.verdict == "agrees"


@pytest.mark.usefixtures("slow")
@pytest.mark.sampled(2, 1)
@pytest.mark.parametrize("targets", ["rows", None])
def test_a_distribution_that_was_found_out_is_asked_as_much_as_a_declared_one(targets: str | None) -> None:
    def of_classes(W: Any, B: Any, x: Any, t: Any) -> Any:
        return SOFTMAX(W, B, x, np.eye(len(W[-1]))[t])

    net = SOFTMAX if targets else of_classes
    found, declared = (verify(net, targets=targets, loss=loss) for loss in (None, "softmax_cross_entropy_from_logits"))
    assert found.verdict == declared.verdict == "agrees"
    assert dict(found.probes).keys() == dict(declared.probes).keys()
    assert len(found.probes) > 90  # of 134, single outputs and targets that are no distribution left out


@pytest.mark.usefixtures("slow")
def test_forms_that_overflow_on_the_way_and_are_right_agree() -> None:
    def naive(z: Any) -> Any:
        return 1 / (1 + np.exp(-z))  # warns, and warnings are errors here

    report = verify(Net(naive, output=naive))
    assert report.verdict == "agrees"


def test_two_of_kind_batch_and_depth_meet_in_some_probe() -> None:
    cases = list(reaching_probes(NETWORKS, BATCHES, "separate", "float64"))
    rows = {(case.note, case.batch, len(case.layers)) for case in cases}
    for one, other in combinations(range(3), 2):
        values = [sorted({row[k] for row in rows}, key=str) for k in (one, other)]
        assert {(row[one], row[other]) for row in rows} == {(a, b) for a in values[0] for b in values[1]}
    assert {case.note for case in cases} == set(KINDS_OF_DATA)
    assert {case.sizes for case in cases} == set(NETWORKS)
    assert len(cases) >= 40


@pytest.mark.usefixtures("slow")
def test_two_answers_that_are_rounded_otherwise_are_right_with_a_note() -> None:
    random = np.random.default_rng(0)

    def in_some_order(W: Any, B: Any, x: Any, t: Any) -> Any:
        order = random.permutation(len(x))
        return SIGMOID(W, B, x[order], t[order])

    report = verify(in_some_order)
    assert report.verdict == "agrees"
    assert "note: asked again, it rounds otherwise" in str(report)

    def in_any_precision(W: Any, B: Any, x: Any, t: Any) -> Any:
        half = random.random() < 0.5
        return each(lambda g: g.astype("f4").astype("f8") if half else g)(SIGMOID(W, B, x, t))

    report = verify(in_any_precision, activations="sigmoid", loss="half_squared_error", reduction="sum")
    assert report.verdict == "wrong"


@pytest.mark.usefixtures("slow")
def test_state_between_calls_is_a_finding_where_the_numbers_leave_the_bounds() -> None:
    seen: list[Any] = []

    def added_to_the_first(W: Any, B: Any, x: Any, t: Any) -> Any:
        found = SIGMOID(W, B, x, t)
        again = x.tobytes() in seen
        seen.append(x.tobytes())
        return each(lambda g: 2 * g)(found) if again and len(seen) > 9 else found

    report = verify(added_to_the_first)
    assert report.verdict == "wrong"
    assert "it keeps state between calls" in str(report)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": 3}, "sizes: expected two or more positive whole numbers, the inputs first; got 3."),
        ({"sizes": "23"}, "sizes: expected two or more positive whole numbers, the inputs first; got '23'."),
        ({"sizes": (2.0, 1)}, "sizes: expected two or more positive whole numbers, the inputs first; got [2.0, 1]."),
        ({"sizes": (10**12, 1)}, "sizes: expected a network of at most 100,000,000 weights and biases"),
        ({"sizes": (10**400, 1)}, "sizes: expected a network of at most 100,000,000 weights and biases."),
        ({"batch": 1.5}, "batch: expected a positive whole number, or None for several; got 1.5."),
        ({"batch": 0}, "batch: expected a positive whole number, or None for several; got 0."),
        ({"batch": True}, "batch: expected a positive whole number, or None for several; got True."),
        ({"activations": 5}, "activations: expected a name"),
        ({"activations": ""}, "activations[0]: expected one of "),
        ({"loss": ""}, "loss: expected one of "),
        ({"loss": "", "returns": "outputs"}, "loss: expected one of "),
        ({"reduction": ""}, "reduction: expected one of "),
        ({"updates": "", "returns": "updated"}, "updates: expected one of "),
        ({"orientation": ""}, "orientation: expected one of "),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive finite number, got 0.0."),
        ({"learning_rate": 0.0, "returns": "updated"}, "learning_rate: expected a positive finite number, got 0.0."),
        (
            {"learning_rate": 0.5},
            "learning_rate: only for returns='updated'; gradients and outputs do not depend on it.",
        ),
        ({"updates": "online"}, "updates: only for returns='updated'"),
        ({"timeout": -1}, "timeout: expected seconds, a number above 0, or None for no limit; got -1."),
        ({"cases": ""}, "cases: expected one of standard, few, many; got ''."),
    ],
)
def test_no_declaration_is_dropped(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match="^" + re.escape(message)):
        verify(SIGMOID, **options)


@pytest.mark.usefixtures("slow")
def test_a_function_that_hangs_is_not_asked_all_probes() -> None:
    def late(W: Any, B: Any, x: Any, t: Any) -> Any:
        if len(x) == 2:
            time.sleep(60)
        return SIGMOID(W, B, x, t)

    report = verify(late, timeout=2.0)
    assert report.verdict == "unanswered"
    assert "probes: not asked, after a call that took too long" in str(report)
